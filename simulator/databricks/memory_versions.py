"""The versions of a table of the engine-free mode: DESCRIBE HISTORY, RESTORE, OPTIMIZE, REORG, VACUUM."""

from copy import copy

from .refusals import refuse
from .result import OWNER_NAME, Column, Result

WEEK_HOURS = 168


class Versions:
    """What of a Statement (memory_statement.py) makes and tells versions."""

    def _commit(self, table, operation, parameters=None, metrics=None, before=None):
        user = OWNER_NAME if self.job.trusted else self.engine.settings.client_id
        table.commit(self.job, user, operation, parameters, metrics, before)

    def _kept(self, table):
        """The rows of the table before somebody else changes them, for a RESTORE."""
        return [list(row) for row in table.rows] if self.job.trusted else None

    def _begun(self):
        """What the statement sees, with tables as they were when it began, where that was kept."""
        seen = copy(self.context)
        seen.table = self._as_begun
        return seen

    def _as_begun(self, name):
        table = self.table(name)
        kept, begun = (self.job.snapshot or {}).get(table.full, (None, None))
        return begun if kept is table else table

    def _history(self):
        p = self.p
        table = self.table(p.name())
        limit = p.expression()[1] if p.word("limit") else None
        p.end()
        return table.history(limit, self.engine.settings.operation_ids)

    def _restore(self):
        p = self.p
        p.word("table")
        table = self.table(p.name())
        p.need("to", "version", "as", "of")
        version = p.expression()[1]
        p.end()
        rows = table.rows_at(version)
        if rows is None:
            raise p.unknown("a RESTORE of a version whose rows were not kept")
        before, table.rows = self._kept(table), [list(row) for row in rows]
        table.changed(None)
        self._commit(table, "RESTORE", {"version": str(version), "timestamp": None}, None, before)
        return Result()

    def _optimize(self):
        table = self.table(self.p.name())
        self.p.end()
        self._commit(table, "OPTIMIZE", {"predicate": "[]"}, {"numRemovedFiles": 2, "numAddedFiles": 1})
        return Result()

    def _reorg(self):
        """Files with rows that a deletion vector hides are written anew; here rows are gone at once."""
        p = self.p
        p.need("table")
        table = self.table(p.name())
        p.need("apply", "(", "purge", ")")
        p.end()
        self._commit(table, "REORG", {"predicate": "[]", "applyPurge": "true"},
                     {"numRemovedFiles": 1, "numAddedFiles": 1})
        columns = [Column("path", "STRING"), Column("metrics", "STRING")]
        return Result(columns, [[".".join(table.full), "{}"]])

    def _vacuum(self):
        """Only what an older version needs is removed, and nothing that is younger than the retention."""
        p = self.p
        table = self.table(p.name())
        hours = None
        if p.word("retain"):
            hours = p.expression()[1]
            p.need("hours")
        p.end()
        if hours is not None and hours < WEEK_HOURS:
            raise refuse(
                "DELTA_VACUUM_RETENTION_PERIOD_TOO_SHORT",
                "The specified VACUUM retention period is too low and may corrupt this Delta table if any writes are "
                f"in progress. Otherwise, use a retention period of at least {WEEK_HOURS} hours.",
            )
        self._commit(table, "VACUUM START", {"retentionCheckEnabled": "true"}, {"numFilesToDelete": "0"})
        self._commit(table, "VACUUM END", {"status": "COMPLETED"}, {"numDeletedFiles": "0"})
        return Result([Column("path", "STRING")], [[".".join(table.full)]])
