"""Tables of the engine-free mode: rows in lists, indexes made when first asked for."""

import bisect
import json
import re
from dataclasses import dataclass

from .memory_types import to_text
from .refusals import refuse
from .result import Column, Result, history_columns, history_row


@dataclass
class MemoryColumn:
    name: str
    kind: str
    nullable: bool = True
    comment: str | None = None


class MemoryTable:
    """Rows in insertion order, with indexes made when first asked for."""

    def __init__(self, full, columns):
        self.full, self.columns, self.rows = full, columns, []
        self.properties, self.comment = {}, None
        self.checks = {}  # name of a CHECK constraint -> (text, function of a row)
        self.commits = []  # (version, rows before it or None, row of DESCRIBE HISTORY), the oldest first
        self._hashes, self._sorted = {}, {}

    def commit(self, job, user, operation, parameters=None, metrics=None, before=None):
        """A new version. `before`: the rows that a RESTORE of the version before it brings back."""
        version = self.commits[-1][0] + 1 if self.commits else 0
        texts = {k: v if isinstance(v, str) else json.dumps(v) for k, v in (parameters or {}).items()}
        counts = {k: str(v) for k, v in (metrics or {}).items()}
        self.commits.append((version, before, history_row(version, job, user, operation, texts, counts)))

    def rows_at(self, version):
        """The rows as they were at `version`; None when they were not kept."""
        return next((before for at, before, _ in self.commits if at == version + 1), None)

    def history(self, limit, ids):
        """The answer of DESCRIBE HISTORY: the newest version first; without ids as open source tells it."""
        rows = [list(row) for _, _, row in reversed(self.commits)]
        columns = [Column(*c) for c in history_columns()]
        if not ids:
            at = [i for i, column in enumerate(columns) if column.name != "queryHistoryStatementId"]
            columns = [columns[i] for i in at]
            rows = [[None if columns[n].name in ("userId", "userName") else row[i] for n, i in enumerate(at)]
                    for row in rows]
        return Result(columns, rows[:limit])

    def position(self, name):
        return next((i for i, c in enumerate(self.columns) if c.name.lower() == name.lower()), None)

    def index(self, positions):
        """{key tuple: rows} over the columns at `positions`."""
        if positions not in self._hashes:
            self._hashes[positions] = {}
            for row in self.rows:
                self._enter(self._hashes[positions], positions, row)
        return self._hashes[positions]

    @staticmethod
    def _enter(index, positions, row):
        key = tuple(row[p] for p in positions)
        if None not in key:
            index.setdefault(key, []).append(row)

    def narrow(self, parts, scope):
        """A function giving the rows that may satisfy `parts`, from an index; None when no part helps."""
        lows, highs = {}, {}
        for part in parts:
            if part[0] != "bin" or part[2][0] != "col" or part[3][0] != "lit" or type(part[3][1]) is not int:
                continue
            at, _field, kind = scope.find(part[2][1])
            if kind not in ("INT", "BIGINT"):
                continue
            if part[1] in (">=", "="):
                lows[at] = part[3][1]
            if part[1] in ("<=", "="):
                highs[at] = part[3][1]
        at = max((p for p in lows if p in highs), default=None)
        return None if at is None else lambda: self._between(at, lows[at], highs[at])

    def _between(self, at, low, high):
        if at not in self._sorted:
            self._sorted[at] = sorted((row for row in self.rows if row[at] is not None), key=lambda row: row[at])
        ranked = self._sorted[at]
        first = bisect.bisect_left(ranked, low, key=lambda row: row[at])
        return ranked[first:bisect.bisect_right(ranked, high, key=lambda row: row[at])]

    def insert(self, rows):
        self.rows.extend(rows)
        for positions, index in self._hashes.items():
            for row in rows:
                self._enter(index, positions, row)
        for at, ranked in self._sorted.items():
            for row in rows:
                if row[at] is not None:
                    bisect.insort(ranked, row, key=lambda r: r[at])

    def changed(self, positions):
        """Forgets what was derived from the columns at `positions`; all of it for None."""
        if positions is None:
            self._hashes, self._sorted = {}, {}
        else:
            self._hashes = {k: v for k, v in self._hashes.items() if not positions & set(k)}
            self._sorted = {k: v for k, v in self._sorted.items() if k not in positions}

    def check(self, row):
        for value, column in zip(row, self.columns):
            if value is None and not column.nullable:
                raise refuse(
                    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED", f"NOT NULL constraint violated for column: {column.name}."
                )
        for name, (text, run) in self.checks.items():
            if run(row) is not True:
                values = "".join(
                    f"\n - {c.name} : {to_text(v)}"
                    for c, v in zip(self.columns, row)
                    if re.search(rf"\b{c.name}\b", text, re.I)
                )
                raise refuse(
                    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES",
                    f"CHECK constraint {name} ({text}) violated by row with values:{values}",
                )

    def snapshot(self):
        """A copy of the table with copies of its rows: what a statement sees that began now."""
        copy = MemoryTable(self.full, list(self.columns))
        copy.rows, copy.properties, copy.checks = [list(row) for row in self.rows], self.properties, self.checks
        copy.origins = list(zip(copy.rows, self.rows))
        return copy


class MemoryView:
    """A stored query: its columns and rows are made anew whenever it is read."""

    def __init__(self, full, text, tokens, names):
        self.full, self.text, self.tokens, self.names = full, text, tokens, names
        self.columns, self.properties, self.comment = [], {}, None


class ViewRows(MemoryTable):
    """What a view shows at one moment; nothing can be written into it."""

    def _refuse(self, *_):
        raise refuse(
            "EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE",
            f"'{self.full[-1]}' expects a table but {'.'.join(self.full)} is a view.",
        )

    insert = changed = check = _refuse
