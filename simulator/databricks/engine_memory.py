"""The engine-free mode: the statements of the hub interpreted in memory, fast and without Java."""

import threading

from .engine import Table, TableColumn
from .errors import SqlError
from .memory_statement import Statement
from .sql_rewrite import Rewriter
from .sql_text import split_statements, tokenize

_JSON_TYPES = {"BIGINT": "long", "INT": "integer", "SMALLINT": "short", "TINYINT": "byte"}


class MemoryEngine:
    def __init__(self, unity):
        self.unity = unity
        self._schemas = {"default": {}}
        self._lock = threading.RLock()

    def start(self, progress):
        progress("engine-free mode: statements are interpreted in memory")

    def stop(self):
        pass

    def cancel(self, id):
        """Statements here end before a cancellation could reach them."""

    def schemas(self):
        return list(self._schemas)

    def tables(self, schema):
        return sorted(self._schemas.get(schema, {}))

    def describe(self, schema, table):
        found = self._schemas.get(schema, {}).get(table)
        if found is None:
            return None
        columns = [TableColumn(c.name, c.kind.lower(), c.nullable, c.comment, _JSON_TYPES.get(c.kind, c.kind.lower())) for c in found.columns]
        return Table(table, columns, dict(found.properties), found.comment, f"memory/{schema}/{table}")

    def execute(self, job):
        """Executes a job of one statement. Raises SqlError, also for every statement this mode does not know."""
        if len(job.statements) != 1 or job.tokens[0].is_word("begin"):
            raise SqlError("PARSE_SYNTAX_ERROR", "42601", "Syntax error: the engine-free mode does not know SQL scripts.")
        rewriter = Rewriter(job.text, self.unity)
        tokens, uses = job.statements[0]
        rewriter.statement(tokens, uses)
        text = job.text
        if rewriter.edits:
            text = rewriter.result()
            tokens = split_statements(tokenize(text))[0]
        with self._lock:
            existed = rewriter.constraints and self.describe(job.targets[0][1], job.targets[0][2])
            result = Statement(self, job, text, tokens).run()
            if rewriter.constraints and not existed:
                self.unity.remember(job.targets[0], rewriter.constraints[0][1])
        return result
