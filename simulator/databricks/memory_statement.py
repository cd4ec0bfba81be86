"""One statement of the engine-free mode, from its tokens to its effect."""

from .errors import SqlError
from .memory_eval import Context, Scope, columns_of, equalities, lookup, open_source, run_select
from .memory_parse import Parser
from .memory_table import MemoryColumn, MemoryTable, MemoryView, ViewRows
from .memory_types import BadValue, caster, normal_type, session, to_cell
from .memory_versions import Versions
from .refusals import (
    check_append_only,
    check_clustering,
    check_column_names,
    check_properties,
    check_relation_name,
    check_table_features,
    refuse,
    unresolved_column,
)
from .result import Column, Result, counted
from .sql_text import quote
from .unity import no_such_schema

_MAPPING = (
    "\nPlease enable Column Mapping on your Delta table with mapping mode 'name'.\nYou can use one of the following "
    "commands.\n\nALTER "
    "TABLE table_name SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')"
)


def _by_name(table):
    return {c.name.lower(): (c.name, c.kind) for c in table.columns}


class Statement(Versions):
    """One statement being executed."""

    def __init__(self, engine, job, text, tokens):
        self.engine, self.job, self.p = engine, job, Parser(tokens, text)
        parameters = {}
        for name, value in job.parameters.items():
            kind = normal_type(job.types[name]) if name in job.types else "STRING"
            try:
                parameters[name] = caster(kind)(value), kind
            except BadValue as bad:
                if session.ansi:
                    raise bad.as_error() from None
                parameters[name] = None, kind
        self.context = Context(text, parameters, self.table, engine.unity.local_path)

    def run(self):
        try:
            return self._run()
        except BadValue as bad:
            raise bad.as_error() from None

    def _run(self):
        p = self.p
        for first, action in (
            ("merge", self._merge),
            ("create", self._create),
            ("alter", self._alter),
            ("drop", self._drop),
            ("insert", self._insert),
            ("delete", self._delete),
            ("update", self._update),
            ("truncate", self._truncate),
            ("comment", self._comment),
            ("show", self._show),
            ("restore", self._restore),
            ("optimize", self._optimize),
            ("reorg", self._reorg),
            ("vacuum", self._vacuum),
        ):
            if p.word(first):
                return action()
        if p.word("describe", "desc"):
            return self._describe()
        select = p.query()
        p.end()
        columns, rows = run_select(select, self.context)
        kinds = [kind if isinstance(kind, str) else "STRING" for _, _, kind in columns]
        return Result([Column(name, kind) for (_, name, _), kind in zip(columns, kinds)],
                      [[to_cell(v, kind) for v, kind in zip(row, kinds)] for row in rows])

    # Names

    def _full(self, name, what="table"):
        return self.engine.unity.resolve(name, self.job.catalog, self.job.schema, what)

    def table(self, name):
        found = self._object(name)
        if not isinstance(found, MemoryView):
            return found
        rows = ViewRows(found.full, found.columns)
        rows.rows = self._view_rows(found)[1]
        return rows

    def _view_rows(self, view):
        """(columns, rows) of the query of a view."""
        p = Parser(view.tokens, view.text)
        select = p.query()
        p.end()
        return run_select(select, Context(view.text, {}, self.table, self.engine.unity.local_path))

    def _object(self, name):
        full = self._full(name)
        found = self.engine._schemas.get(full[1], {}).get(full[2])
        if found is None:
            raise refuse(
                "TABLE_OR_VIEW_NOT_FOUND",
                f"The table or view {'.'.join(map(quote, name.parts))} cannot be found. Verify "
                "the spelling and correctness of the schema and catalog.",
            )
        return found

    def _schema(self, full):
        if full[1] not in self.engine._schemas:
            raise no_such_schema(full[0], full[1])
        return self.engine._schemas[full[1]]

    # DDL

    def _create(self):
        p = self.p
        if p.word("schema", "database"):
            guarded = p.words("if", "not", "exists")
            full = self._full(p.name(), "schema")
            if p.word("comment"):
                p.string()
            p.end()
            if full[1] in self.engine._schemas and not guarded:
                raise refuse(
                    "SCHEMA_ALREADY_EXISTS",
                    f"Cannot create schema {quote(full[0])}.{quote(full[1])} because it already exists.",
                )
            self.engine._schemas.setdefault(full[1], {})
            return Result()
        replace = p.words("or", "replace")
        if p.word("view"):
            return self._create_view(replace)
        p.need("table")
        guarded = p.words("if", "not", "exists")
        full = self._full(p.name())
        schema = self._schema(full)
        table, clustered = MemoryTable(full, self._columns()), []
        while p.at < len(p.tokens):
            if p.word("using"):
                p.need("delta")
            elif p.words("cluster", "by"):
                clustered = [] if p.word("none") else p.names()
            elif p.word("comment"):
                table.comment = p.string()
            elif p.word("tblproperties"):
                table.properties = self._properties()
            else:
                raise p.unknown()
        if full[2] in schema and guarded:
            return Result()
        self._check_new(table, clustered)
        if full[2] in schema and not replace:
            raise refuse(
                "TABLE_OR_VIEW_ALREADY_EXISTS",
                f"Cannot create table or view {quote(full[1])}.{quote(full[2])} because it already exists.",
            )
        kept, schema[full[2]] = schema.get(full[2]), table
        if isinstance(kept, MemoryTable):
            table.commits = kept.commits
        self._commit(table, "CREATE OR REPLACE TABLE" if replace else "CREATE TABLE")
        return Result()

    def _check_new(self, table, clustered):
        """What Delta checks before it makes a table."""
        check_relation_name(table.full[2])
        check_clustering(clustered, _by_name(table), created=True)
        check_properties(table.properties)
        self._set_properties(table, table.properties)
        check_column_names([c.name for c in table.columns], table.properties)
        if any(c.kind == "TIMESTAMP_NTZ" for c in table.columns):
            self._set_properties(table, {"delta.feature.timestampNtz": "supported"})

    @staticmethod
    def _set_properties(table, properties):
        """Takes over properties; a table feature is `supported`, however it was asked for."""
        for key, value in list(properties.items()):
            table.properties[key] = "supported" if key.lower().startswith("delta.feature.") else value

    def _create_view(self, replace):
        p = self.p
        guarded = p.words("if", "not", "exists")
        full = self._full(p.name())
        schema = self._schema(full)
        names = p.names() if p.at < len(p.tokens) and p.tokens[p.at].text == "(" else None
        comment, properties = None, {}
        while not p.word("as"):
            if p.word("comment"):
                comment = p.string()
            elif p.word("tblproperties"):
                properties = self._properties()
            else:
                raise p.unknown()
        view = MemoryView(full, p.text, p.tokens[p.at:], names)
        view.comment, view.properties = comment, properties
        columns = self._view_rows(view)[0]
        if names is not None and len(names) != len(columns):
            raise p.unknown("a list of names of another length than the query")
        view.columns = [
            MemoryColumn(names[i] if names else name, kind if isinstance(kind, str) else "STRING")
            for i, (_, name, kind) in enumerate(columns)
        ]
        self._distinct(view.columns)
        found = schema.get(full[2])
        if found is not None and guarded:
            return Result()
        if found is not None and not replace:
            raise refuse("TABLE_OR_VIEW_ALREADY_EXISTS", f"Cannot create table or view "
                                                         f"{quote(full[1])}.{quote(full[2])} because "
                           "it already exists.")
        if found is not None and not isinstance(found, MemoryView):
            raise refuse(
                "EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE",
                f"The table {'.'.join(map(quote, full))} does not support CREATE OR REPLACE VIEW.",
            )
        schema[full[2]] = view
        return Result()

    @staticmethod
    def _known(table, names):
        for name in names:
            if table.position(name) is None:
                raise unresolved_column(name, [c.name for c in table.columns])

    def _columns(self):
        p, out = self.p, []
        p.need("(")
        while True:
            column = MemoryColumn(p.identifier(), p.type())
            caster(column.kind)  # refuses an unknown type
            while not p.op(","):
                if p.words("not", "null"):
                    column.nullable = False
                elif p.word("comment"):
                    column.comment = p.string()
                elif p.op(")"):
                    self._distinct(out + [column])
                    return out + [column]
                else:
                    raise p.unknown()
            out.append(column)

    @staticmethod
    def _distinct(columns):
        names = [c.name.lower() for c in columns]
        for name in names:
            if names.count(name) > 1:
                raise refuse(
                    "COLUMN_ALREADY_EXISTS",
                    f"The column `{name}` already exists. Choose another name or rename the existing column.",
                )

    def _properties(self):
        p, out = self.p, {}
        p.need("(")
        while True:
            key = p.string() if p.tokens[p.at].kind in ("string", "raw") else ".".join(p.name().parts)
            if p.op("="):
                token = p.tokens[p.at]
                if token.kind in ("string", "raw"):
                    out[key] = p.string()
                else:
                    p.at += 1
                    out[key] = token.text
            else:
                out[key] = None
            if p.op(")"):
                return out
            p.need(",")

    def _alter(self):
        p = self.p
        p.need("table")
        table = self.table(p.name())
        if isinstance(table, ViewRows):
            table.check()
        operation = "CHANGE COLUMN"
        if p.word("add") and p.word("column", "columns"):
            self._add_columns(table)
            operation = "ADD COLUMNS"
        elif p.word("constraint"):
            self._add_check(table)
            operation = "ADD CONSTRAINT"
        elif p.words("set", "tblproperties"):
            properties = self._properties()
            check_properties(properties)
            self._set_properties(table, properties)
            operation = "SET TBLPROPERTIES"
        elif p.words("unset", "tblproperties"):
            p.words("if", "exists")
            for key in self._properties():
                table.properties.pop(key, None)
        elif p.word("alter", "change") and p.word("column"):
            self._alter_column(table)
            while p.op(","):
                self._alter_column(table)
        elif p.words("cluster", "by"):
            if not p.word("none"):
                check_clustering(p.names(), _by_name(table), created=False)
        elif p.words("drop", "constraint"):
            self._drop_check(table)
            operation = "DROP CONSTRAINT"
        elif p.words("drop", "column"):
            self._known(table, [p.identifier()])
            raise refuse(
                "DELTA_UNSUPPORTED_DROP_COLUMN", "DROP COLUMN is not supported for your Delta table. " + _MAPPING
            )
        elif p.words("rename", "column"):
            self._known(table, [p.identifier()])
            raise refuse(
                "DELTA_UNSUPPORTED_RENAME_COLUMN", "Column rename is not supported for your Delta table. " + _MAPPING
            )
        else:
            raise p.unknown()
        p.end()
        self._commit(table, operation)
        return Result()

    def _add_columns(self, table):
        p = self.p
        if p.tokens[p.at].text != "(":
            raise p.unknown()
        added = self._columns()
        for column in added:
            if table.position(column.name) is not None:
                raise refuse("FIELD_ALREADY_EXISTS", f"Cannot add column, because `{column.name}` already exists in "
                             f"\"{', '.join(c.name for c in table.columns)}\".")
            if not column.nullable:
                raise refuse(
                    "DELTA_OPERATION_NOT_ALLOWED",
                    "Operation not allowed: `ADD COLUMNS ... NOT NULL` is not supported for Delta tables.",
                )
        check_column_names([c.name for c in added], table.properties)
        check_table_features([c.kind for c in added], table.properties)
        table.columns.extend(added)
        for row in table.rows:
            row.extend([None] * len(added))

    def _alter_column(self, table):
        p = self.p
        name = p.identifier()
        self._known(table, [name])
        column = table.columns[table.position(name)]
        if p.word("comment"):
            column.comment = p.string()
        elif p.words("drop", "not", "null"):
            column.nullable = True
        elif p.words("set", "not", "null"):
            if column.nullable:
                raise refuse("", f"Cannot change nullable column to non-nullable: {column.name}.")
        elif p.word("type"):
            kind = p.type()
            if kind != column.kind:
                raise refuse(
                    "DELTA_UNSUPPORTED_ALTER_TABLE_CHANGE_COL_OP",
                    "ALTER TABLE CHANGE COLUMN is not supported for changing column "
                    f"{column.name} from {column.kind} to {kind}",
                )
        else:
            raise p.unknown()

    def _add_check(self, table):
        """ADD CONSTRAINT name CHECK (condition); rows that are there must satisfy it."""
        p = self.p
        name = p.identifier()
        p.need("check", "(")
        begin = p.tokens[p.at].start
        run, kind = Scope(columns_of(table, None), self.context).compile(p.expression())
        text = p.text[begin:p.tokens[p.at].start].strip()
        p.need(")")
        known = next((n for n in table.checks if n.lower() == name.lower()), None)
        if known is not None:
            raise refuse(
                "DELTA_CONSTRAINT_ALREADY_EXISTS",
                f"Constraint '{name}' already exists. Please delete the old constraint first.\nOld "
                f"constraint:\n{table.checks[known][0]}",
            )
        if kind != "BOOLEAN":
            raise refuse(
                "DELTA_NON_BOOLEAN_CHECK_CONSTRAINT",
                f"CHECK constraint '{name}' ({text}) should be a boolean expression.",
            )
        bad = sum(run(row) is not True for row in table.rows)
        if bad:
            raise refuse("DELTA_NEW_CHECK_CONSTRAINT_VIOLATION",
                         f"{bad} rows in {'.'.join(table.full)} violate the new CHECK constraint ({text})")
        table.checks[name] = text, run
        table.properties[f"delta.constraints.{name.lower()}"] = text

    def _drop_check(self, table):
        guarded = self.p.words("if", "exists")
        name = self.p.identifier()
        known = next((n for n in table.checks if n.lower() == name.lower()), None)
        if known is not None:
            del table.checks[known]
            table.properties.pop(f"delta.constraints.{known.lower()}", None)
        elif not guarded:
            raise refuse(
                "DELTA_CONSTRAINT_DOES_NOT_EXIST",
                f"Cannot drop nonexistent constraint {name} from table "
                f"{'.'.join(map(quote, table.full[1:]))}. To avoid throwing an error, provide the parameter IF EXISTS.",
            )

    def _comment(self):
        p = self.p
        p.need("on")
        if not p.word("table"):
            raise p.unknown()
        table = self.table(p.name())
        p.need("is")
        table.comment = None if p.word("null") else p.string()
        p.end()
        return Result()

    def _drop(self):
        p = self.p
        what = p.word("table", "view", "schema", "database")
        if what is None:
            raise p.unknown()
        guarded = p.words("if", "exists")
        name = p.name()
        if what in ("table", "view"):
            if guarded and self.engine._schemas.get(self._full(name)[1], {}).get(self._full(name)[2]) is None:
                return Result()
            found = self._object(name)
            p.end()
            if isinstance(found, MemoryView) != (what == "view"):
                raise refuse(
                    "WRONG_COMMAND_FOR_OBJECT_TYPE",
                    f"The operation DROP {what.upper()} requires another kind of object than "
                    f"{'.'.join(map(quote, found.full))}.",
                )
            full = found.full
            del self.engine._schemas[full[1]][full[2]]
            return Result()
        full, cascade = self._full(name, "schema"), p.word("cascade")
        p.end()
        if full[1] not in self.engine._schemas:
            if guarded:
                return Result()
            raise no_such_schema(*full)
        if self.engine._schemas[full[1]] and not cascade:
            raise refuse("SCHEMA_NOT_EMPTY", f"Cannot drop a schema `{full[1]}` because it contains objects.")
        del self.engine._schemas[full[1]]
        return Result()

    def _describe(self):
        p = self.p
        if p.word("history"):
            return self._history()
        p.word("table")
        table = self.table(p.name())
        p.end()
        return Result([Column("col_name", "STRING"), Column("data_type", "STRING"), Column("comment", "STRING")],
                      [[c.name, c.kind.lower(), c.comment] for c in table.columns])

    def _show(self):
        p = self.p
        if p.word("tblproperties"):
            table = self._object(p.name())
            wanted = None
            if p.op("("):
                wanted = p.string()
                p.need(")")
            p.end()
            rows = [[k, v] for k, v in sorted(table.properties.items()) if wanted in (None, k)]
            if wanted is not None and not rows:
                rows = [[wanted, f"Table {'.'.join(table.full)} does not have property: {wanted}"]]
            return Result([Column("key", "STRING"), Column("value", "STRING")], rows)
        if p.word("schemas", "databases"):
            if p.word("in", "from"):
                p.name()
            p.end()
            return Result([Column("databaseName", "STRING")], [[s] for s in sorted(self.engine._schemas)])
        if p.word("tables"):
            full = self._full(p.name(), "schema") if p.word("in", "from") else (self.job.catalog, self.job.schema)
            schema = full[1]
            p.end()
            self._schema(full)
            return Result(
                [Column("database", "STRING"), Column("tableName", "STRING"), Column("isTemporary", "BOOLEAN")],
                [[schema, t, "false"] for t in self.engine.tables(schema)],
            )
        raise p.unknown()

    # Writing

    def _stored(self, table, names, merged=False):
        """Positions of the named columns and the casts that storing in them applies."""
        missing = next((name for name in names if table.position(name) is None), None)
        if missing is not None and merged:
            raise refuse(
                "DELTA_MERGE_UNRESOLVED_EXPRESSION",
                f"Cannot resolve {missing} in the clause given columns {', '.join(c.name for c in table.columns)}.",
            )
        self._known(table, names)
        positions = [table.position(name) for name in names]
        return positions, [caster(table.columns[at].kind) for at in positions]

    @staticmethod
    def _store(cast, value, inserted=False):
        """The value as the column keeps it."""
        try:
            return cast(value)
        except BadValue as bad:
            if type(value) is str:
                if not session.ansi:
                    return None
                raise bad.as_error() from None
            error_class = "CAST_OVERFLOW_IN_TABLE_INSERT" if inserted else "DELTA_CAST_OVERFLOW_IN_TABLE_WRITE"
            raise refuse(
                error_class,
                "Failed to write a value into a column of a narrower type due to an overflow. Use `try_cast` on the "
                "input value to tolerate overflow and return NULL instead.",
            ) from None

    def _assignments(self, table, scope, merged=False):
        """The SET list: [(position, cast, function of a row)]."""
        p, out = self.p, []
        while True:
            name = p.name().parts[-1]
            p.need("=")
            run = scope.compile(p.expression())[0]
            [at], [cast] = self._stored(table, [name], merged)
            out.append((at, cast, run))
            if not p.op(","):
                return out

    def _insert(self):
        p = self.p
        p.need("into")
        p.word("table")
        table = self.table(p.name())
        if isinstance(table, ViewRows):
            raise refuse("", f"Table {'.'.join(map(quote, table.full))} did not specify locationUri.")
        names = p.names() if p.op("(") and not setattr(p, "at", p.at - 1) else [c.name for c in table.columns]
        positions, casts = self._stored(table, names)
        for at in positions:
            if positions.count(at) > 1:
                raise refuse(
                    "COLUMN_ALREADY_EXISTS",
                    f"The column `{table.columns[at].name}` already exists. Choose another name or rename the "
                    "existing column.",
                )
        scope = Scope([], self.context)
        if p.word("values"):
            source = []
            while True:
                p.need("(")
                source.append([scope.compile(e)[0](None) for e in p._expressions()])
                p.need(")")
                if not p.op(","):
                    break
        else:
            source = run_select(p.query(), self._begun())[1]
        p.end()
        rows = []
        for values in source:
            if len(values) != len(positions):
                if len(values) > len(positions):
                    raise refuse(
                        "DELTA_METADATA_MISMATCH",
                        "A metadata mismatch was detected when writing to the Delta table.\n- A schema mismatch "
                        "detected when writing to the Delta table.",
                    )
                raise refuse(
                    "DELTA_INSERT_COLUMN_ARITY_MISMATCH",
                    f"Cannot write to '{'.'.join(table.full)}', not enough data columns; target "
                    f"table has {len(positions)} column(s) but the inserted data has {len(values)} column(s)",
                )
            row = [None] * len(table.columns)
            for at, cast, value in zip(positions, casts, values):
                row[at] = self._store(cast, value, inserted=True)
            table.check(row)
            rows.append(row)
        before = self._kept(table)
        table.insert(rows)
        self._commit(table, "WRITE", {"mode": "Append", "partitionBy": "[]"}, {"numOutputRows": len(rows)}, before)
        return counted(num_affected_rows=len(rows), num_inserted_rows=len(rows))

    def _where(self, table, alias=None):
        p = self.p
        scope = Scope(columns_of(table, alias), self.context)
        test = scope.compile(p.expression())[0] if p.word("where") else (lambda row: True)
        p.end()
        return [row for row in table.rows if test(row) is True]

    def _delete(self):
        p = self.p
        p.need("from")
        table = self.table(p.name())
        check_append_only(table.properties)
        alias = p._alias()
        begin = p.tokens[p.at].start if p.at < len(p.tokens) else len(p.text)
        gone = {id(row) for row in self._where(table, alias)}
        if gone:
            self._commit(table, "DELETE", {"predicate": [p.text[begin:]]}, {"numDeletedRows": len(gone)},
                         self._kept(table))
        table.rows = [row for row in table.rows if id(row) not in gone]
        table.changed(None)
        return counted(num_affected_rows=len(gone))

    def _truncate(self):
        self.p.need("table")
        table = self.table(self.p.name())
        self.p.end()
        self._commit(table, "TRUNCATE", None, None, self._kept(table))
        table.rows = []
        table.changed(None)
        return Result()

    def _update(self):
        p = self.p
        table = self.table(p.name())
        check_append_only(table.properties)
        alias = p._alias()
        p.need("set")
        assigned = self._assignments(table, Scope(columns_of(table, alias), self.context))
        changes = [
            (row, [(at, self._store(cast, run(row))) for at, cast, run in assigned])
            for row in self._where(table, alias)
        ]
        before = self._kept(table)
        self._change(table, changes)
        if changes:
            self._commit(table, "UPDATE", {}, {"numUpdatedRows": len(changes)}, before)
        return counted(num_affected_rows=len(changes))

    @staticmethod
    def _change(table, changes):
        """Applies [(row, [(position, value)])] after checking all of them."""
        touched = set()
        for row, values in changes:
            new = list(row)
            for at, value in values:
                new[at] = value
                touched.add(at)
            table.check(new)
        for row, values in changes:
            for at, value in values:
                row[at] = value
        table.changed(touched)

    def _merge(self):
        p = self.p
        p.need("into")
        name = p.name()
        table = self.table(name)
        kept, seen_at = table, {}
        if self.job.snapshot and table.full in self.job.snapshot and self.job.snapshot[table.full][0] is table:
            table = self.job.snapshot[table.full][1]  # what others wrote since this statement began is not seen
            seen_at = {id(copy): row for copy, row in table.origins}
        target = columns_of(table, p._alias())
        p.need("using")
        source, rows, _ = open_source(p.source(), self.context)
        p.need("on")
        begin = p.tokens[p.at].start
        condition = p.expression()
        told = {"predicate": [" ".join(p.text[begin:p.tokens[p.at].start].split())]}
        both = Scope(target + source, self.context)
        pairs, rest = equalities(condition, target, source, self.context)
        try:
            tests = [both.compile(part)[0] for part in rest]
            if not pairs:
                raise p.unknown("a MERGE without an equality of columns in ON")
            matched, unmatched, left = self._clauses(
                told, table, both, Scope(source, self.context), Scope(target, self.context)
            )
        except SqlError as error:
            if error.error_class.startswith("UNRESOLVED_COLUMN"):
                raise refuse(
                    "DELTA_MERGE_UNRESOLVED_EXPRESSION",
                    "Cannot resolve an expression of the MERGE given columns "
                    f"{', '.join(c[1] for c in target + source)}.",
                ) from None
            raise
        if matched or left:
            check_append_only(table.properties)
        source_scope = Scope(source, self.context)
        keys = [source_scope.compile(b)[0] for _, b in pairs]
        source_rows = rows()
        find = lookup(table, lambda: table.rows, [a for a, _ in pairs], Scope(target, self.context))
        changes, gone, new, seen, met = [], [], [], set(), set()
        for s in source_rows:
            found = [t for t in find(tuple(key(s) for key in keys)) if all(test(t + s) is True for test in tests)]
            met.update(map(id, found))
            for t in found:
                row = t + s
                action = next((a for test, a in matched if test is None or test(row) is True), None)
                if action is None:
                    continue
                if id(t) in seen:
                    raise refuse(
                        "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE",
                        "Cannot perform Merge as multiple "
                        "source rows matched and attempted to modify the same target row in the Delta table in "
                        "possibly "
                        "conflicting ways.",
                    )
                seen.add(id(t))
                if action == "delete":
                    gone.append(t)
                else:
                    changes.append((t, [(at, self._store(cast, run(row))) for at, cast, run in action]))
            if not found:
                action = next((a for test, a in unmatched if test is None or test(s) is True), None)
                if action is not None:
                    row = [None] * len(table.columns)
                    for at, cast, run in action:
                        row[at] = self._store(cast, run(s))
                    table.check(row)
                    new.append(row)
        if left:
            gone += [
                t for t in table.rows if id(t) not in met and any(test is None or test(t) is True for test in left)
            ]
        if kept is not table:
            changes, gone = (
                [(self._unchanged(kept, seen_at, t), values) for t, values in changes],
                [self._unchanged(kept, seen_at, t) for t in gone],
            )
            table = kept
        before = self._kept(table)
        self._change(table, changes)
        if gone:
            dead = {id(t) for t in gone}
            table.rows = [row for row in table.rows if id(row) not in dead]
            table.changed(None)
        table.insert(new)
        if changes or gone or new:
            metrics = {"numTargetRowsInserted": len(new), "numTargetRowsUpdated": len(changes),
                       "numTargetRowsDeleted": len(gone)}
            self._commit(table, "MERGE", told, metrics, before)
        return counted(
            num_affected_rows=len(changes) + len(gone) + len(new),
            num_updated_rows=len(changes),
            num_deleted_rows=len(gone),
            num_inserted_rows=len(new),
        )

    @staticmethod
    def _unchanged(table, seen_at, copy):
        """The row of the table that a row of the snapshot stands for; writers of the same row conflict."""
        row = seen_at[id(copy)]
        if row != copy or not any(r is row for r in table.rows):
            raise refuse(
                "DELTA_CONCURRENT_APPEND", "Rows were changed by a concurrent update. Please try the operation again."
            )
        return row

    def _clauses(self, told, table, both, source, target):
        """The WHEN clauses: matched [(test, assignments or "delete")], not matched [(test, [(position, cast,
        function)])], and the tests of rows that are deleted because no source row matches them. Their conditions
        go into `told`, for DESCRIBE HISTORY."""
        p, matched, unmatched, left = self.p, [], [], []
        while p.word("when"):
            negated = p.word("not")
            p.need("matched")
            if negated and p.word("by") and not p.word("target"):
                p.need("source")
                left.append(target.compile(p.expression())[0] if p.word("and") else None)
                p.need("then", "delete")
                continue
            begin = p.tokens[p.at].end
            test = (source if negated else both).compile(p.expression())[0] if p.word("and") else None
            text = " ".join(p.text[begin:p.tokens[p.at].start].split())
            told.setdefault("notMatchedPredicates" if negated else "matchedPredicates", []).append(
                {"predicate": text, "actionType": "insert" if negated else "update"})
            p.need("then")
            if negated:
                p.need("insert")
                positions, casts = self._stored(table, p.names(), merged=True)
                p.need("values", "(")
                values = [source.compile(e)[0] for e in p._expressions()]
                p.need(")")
                if len(values) != len(positions):
                    raise p.unknown("an INSERT whose lists differ in length")
                unmatched.append((test, list(zip(positions, casts, values))))
            elif p.word("delete"):
                matched.append((test, "delete"))
            else:
                p.need("update", "set")
                matched.append((test, self._assignments(table, both, merged=True)))
        p.end()
        return matched, unmatched, left
