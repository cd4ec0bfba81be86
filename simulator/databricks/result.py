"""The result of a statement: rows as the Statement Execution API carries them, every cell a string or null."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime


@dataclass
class Column:
    name: str
    type_text: str  # SQL type in upper case, such as DECIMAL(18,4)

    def as_json(self, position):
        base = self.type_text.split("(")[0].split("<")[0].split(" ")[0]
        out = {
            "name": self.name,
            "type_text": self.type_text,
            "type_name": _TYPE_NAMES.get(base, base),
            "position": position,
        }
        if base == "DECIMAL":
            precision, scale = self.type_text[8:-1].split(",")
            out["type_precision"], out["type_scale"] = int(precision), int(scale)
        if base == "INTERVAL":
            out["type_interval_type"] = self.type_text[9:]
        return out


_TYPE_NAMES = {
    "BIGINT": "LONG",
    "SMALLINT": "SHORT",
    "TINYINT": "BYTE",
    "VOID": "NULL",
    "VARCHAR": "STRING",
    "INTEGER": "INT",
}


@dataclass
class Result:
    """Columns and rows; no columns at all for a statement that answers none."""

    columns: list = field(default_factory=list)
    rows: list = field(default_factory=list)
    truncated: bool = False

    def counts(self):
        """The num_* counts of a MERGE, INSERT, UPDATE or DELETE, else nothing."""
        if len(self.rows) == 1 and self.columns and self.columns[0].name == "num_affected_rows":
            return {c.name: int(v) for c, v in zip(self.columns, self.rows[0]) if v is not None}
        return {}

    def size(self):
        """Bytes of all cells."""
        return sum(len(cell.encode()) for row in self.rows for cell in row if cell is not None)

    def limit(self, rows=None, size=None):
        """Cuts to `rows` rows and `size` bytes; says so in `truncated`."""
        if rows is not None and len(self.rows) > rows:
            self.rows, self.truncated = self.rows[:rows], True
        if size is not None:
            total = 0
            for at, row in enumerate(self.rows):
                total += sum(len(cell.encode()) for cell in row if cell is not None)
                if total > size:
                    self.rows, self.truncated = self.rows[:at], True
                    break


def counted(**counts):
    """The one row that DML answers."""
    return Result([Column(name, "BIGINT") for name in counts], [[str(value) for value in counts.values()]])


class Chunks:
    """A result cut into chunks of at most `rows` rows and about `size` bytes."""

    def __init__(self, result, rows, size):
        self.result, self.bounds, first, filled = result, [], 0, 0
        self.total, self.truncated = len(result.rows), result.truncated
        for at, row in enumerate(result.rows):
            width = sum(len(cell) for cell in row if cell is not None)
            if at > first and (at - first >= rows or filled + width > size):
                self.bounds.append((first, at))
                first, filled = at, 0
            filled += width
        if result.rows:
            self.bounds.append((first, len(result.rows)))

    def cut(self, rows, truncated):
        """Delivers the first `rows` rows only: a result that says it was truncated, or one whose count is larger
        than its rows."""
        self.bounds = [(a, min(b, rows)) for a, b in self.bounds if a < rows]
        self.truncated = truncated
        if truncated:
            self.total = rows

    def manifest(self):
        columns = [column.as_json(position) for position, column in enumerate(self.result.columns)]
        schema = {"column_count": len(columns)}
        if columns:
            schema["columns"] = columns
        out = {"format": "JSON_ARRAY", "schema": schema, "total_row_count": self.total,
               "total_chunk_count": len(self.bounds), "truncated": self.truncated}
        if self.bounds:
            out["chunks"] = [
                {"chunk_index": i, "row_offset": a, "row_count": b - a} for i, (a, b) in enumerate(self.bounds)
            ]
        return out

    def chunk(self, statement_id, index):
        """The `result` object of chunk `index`; the empty object when there are no rows."""
        if not self.bounds:
            return {}
        first, last = self.bounds[index]
        out = {
            "chunk_index": index,
            "row_offset": first,
            "row_count": last - first,
            "data_array": self.result.rows[first:last],
        }
        if index + 1 < len(self.bounds):
            out["next_chunk_index"] = index + 1
            out["next_chunk_internal_link"] = (
                f"/api/2.0/sql/statements/{statement_id}/result/chunks/{index + 1}?row_offset={last}")
        return out


def timestamp_cell(moment, zone):
    """The text of a TIMESTAMP (naive, in UTC) as seen in `zone`, with its offset; of a TIMESTAMP_NTZ when there is
    no zone."""
    offset = ""
    if zone is not None:
        try:
            moment = moment.replace(tzinfo=UTC).astimezone(zone)
            minutes = round(moment.utcoffset().total_seconds()) // 60
        except OverflowError:
            minutes = 0
        offset = (
            "Z" if not minutes else f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        )
    text = f"{moment.year:04d}{moment.strftime('-%m-%dT%H:%M:%S')}"
    fraction = f"{moment.microsecond:06d}".rstrip("0").ljust(3, "0")
    return f"{text}.{fraction}{offset}"


OWNER_NAME = "owner@example.com"  # who runs what POST /_control/sql is given

# The columns of DESCRIBE HISTORY, in the order of open source, with the statement's id that the service adds.
_HISTORY = (
    ("version", "BIGINT"),
    ("timestamp", "TIMESTAMP"),
    ("userId", "STRING"),
    ("userName", "STRING"),
    ("operation", "STRING"),
    ("operationParameters", "MAP<STRING, STRING>"),
    ("job", "STRUCT<jobId: STRING, jobName: STRING, jobRunId: STRING, runId: STRING, jobOwnerId: STRING, "
            "triggerType: STRING>"),
    ("notebook", "STRUCT<notebookId: STRING>"),
    ("queryHistoryStatementId", "STRING"),
    ("clusterId", "STRING"),
    ("readVersion", "BIGINT"),
    ("isolationLevel", "STRING"),
    ("isBlindAppend", "BOOLEAN"),
    ("operationMetrics", "MAP<STRING, STRING>"),
    ("userMetadata", "STRING"),
    ("engineInfo", "STRING"),
)


def history_columns():
    return _HISTORY


def history_row(version, job, user, operation, parameters, metrics):
    """A row of DESCRIBE HISTORY of an engine that has no log of its own."""
    now = timestamp_cell(datetime.now(UTC).replace(tzinfo=None), UTC)
    compact = (",", ":")
    return [str(version), now, user, user, operation, json.dumps(parameters, separators=compact), None, None, job.id,
            None, str(version - 1) if version else None, "WriteSerializable", "false",
            json.dumps(metrics, separators=compact), None, "engine-free"]


def told_by_service(result, known):
    """A DESCRIBE HISTORY of open source with what only the service tells; known: {version: (user, statement id)}."""
    at = {column.name: i for i, column in enumerate(result.columns)}
    rows = []
    for row in result.rows:
        user, id = known.get(int(row[at["version"]]), (None, None))
        told = {"userId": user, "userName": user, "queryHistoryStatementId": id}
        rows.append([told[name] if name in told else row[at[name]] if name in at else None for name, _ in _HISTORY])
    return Result([Column(*c) for c in _HISTORY], rows)
