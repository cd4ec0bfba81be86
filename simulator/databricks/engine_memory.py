"""The engine-free mode: the statements of the hub interpreted in memory, fast and without Java."""

import os
import re
import threading

from .engine import Table, TableColumn
from .memory_statement import Statement
from .memory_table import MemoryTable
from .memory_types import session
from .refusals import refuse
from .sql_rewrite import Rewriter
from .sql_text import split_statements, tokenize

_JSON_TYPES = {"BIGINT": "long", "INT": "integer", "SMALLINT": "short", "TINYINT": "byte"}


_VARIABLE = re.compile(r"\$\{(?:(\w+?):)?([^\s}]+?)\}")


class MemoryEngine:
    def __init__(self, unity, settings):
        self.unity, self.settings = unity, settings
        self._schemas = {"default": {}}
        self._lock = threading.RLock()

    def start(self, progress):
        progress("engine-free mode: statements are interpreted in memory")

    def stop(self):
        pass

    def snapshot(self, job):
        """The tables that a job writes, as they are now."""
        with self._lock:
            found = {table: self._schemas.get(table[1], {}).get(table[2]) for table in job.targets}
            return {table: (kept, kept.snapshot()) for table, kept in found.items() if isinstance(kept, MemoryTable)}

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
        columns = [
            TableColumn(c.name, c.kind.lower(), c.nullable, c.comment, _JSON_TYPES.get(c.kind, c.kind.lower()))
            for c in found.columns
        ]
        return Table(table, columns, dict(found.properties), found.comment, f"memory/{schema}/{table}")

    def has_null(self, full, column):
        table = self._schemas[full[1]][full[2]]
        at = table.position(column)
        return any(row[at] is None for row in table.rows)

    def set_nullable(self, full, column, nullable):
        table = self._schemas[full[1]][full[2]]
        table.columns[table.position(column)].nullable = nullable

    def execute(self, job):
        """Executes a job of one statement. Raises SqlError, also for every statement this mode does not know."""
        if len(job.statements) != 1 or job.tokens[0].is_word("begin"):
            raise refuse("PARSE_SYNTAX_ERROR", "Syntax error: the engine-free mode does not know SQL scripts.")
        tokens, uses = job.statements[0]
        text = self._expand(job.text)
        if text != job.text:
            self.unity.met("variable")
            tokens = split_statements(tokenize(text))[0]
        rewriter = Rewriter(text, self.unity)
        rewriter.statement(tokens, uses)
        if rewriter.edits:
            text = rewriter.result()
            tokens = split_statements(tokenize(text))[0]
        with self._lock:
            session.set(self.settings.time_zone, self.settings.ansi_mode)
            session.met = self.unity.met
            existed = rewriter.constraints and self.describe(job.targets[0][1], job.targets[0][2])
            result = Statement(self, job, text, tokens).run()
            if rewriter.constraints and not existed:
                self.unity.remember(job.targets[0], rewriter.constraints[0][1])
        return result

    def _expand(self, text):
        """The text with `${name}` expanded, as Spark does before it parses: also in literals."""
        known = {
            "spark.sql.session.timezone": self.settings.time_zone,
            "spark.sql.ansi.enabled": str(self.settings.ansi_mode).lower(),
        }

        def value(match):
            if match[1] == "env":
                return os.environ.get(match[2], match[0])
            if match[1] in (None, "spark", "sparkconf", "hivevar", "hiveconf"):
                return known.get(match[2].lower(), "")
            return match[0]
        return _VARIABLE.sub(value, text) if "${" in text else text
