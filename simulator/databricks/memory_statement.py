"""One statement of the engine-free mode, from its tokens to its effect."""

from .errors import SqlError
from .memory_eval import Context, Scope, columns_of, equalities, lookup, open_source, run_select
from .memory_parse import Parser
from .memory_table import MemoryColumn, MemoryTable, MemoryView, ViewRows
from .memory_types import BadValue, caster, to_cell
from .result import Column, Result, counted
from .sql_text import quote
from .unity import no_such_schema


class Statement:
    """One statement being executed."""

    def __init__(self, engine, job, text, tokens):
        self.engine, self.job, self.p = engine, job, Parser(tokens, text)
        parameters = {}
        for name, value in job.parameters.items():
            try:
                parameters[name] = caster(job.types[name].replace(" ", "").upper())(value) if name in job.types else value
            except BadValue as bad:
                raise bad.as_error() from None
        self.context = Context(text, parameters, self.table, engine.unity.local_path)

    def run(self):
        p = self.p
        for first, action in (("merge", self._merge), ("create", self._create), ("alter", self._alter), ("drop", self._drop),
                              ("insert", self._insert), ("delete", self._delete), ("update", self._update), ("truncate", self._truncate),
                              ("comment", self._comment), ("show", self._show)):
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
            raise SqlError("TABLE_OR_VIEW_NOT_FOUND", "42P01", f"The table or view {'.'.join(map(quote, name.parts))} cannot be found. Verify "
                           "the spelling and correctness of the schema and catalog.")
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
                raise SqlError("SCHEMA_ALREADY_EXISTS", "42P06", f"Cannot create schema {quote(full[0])}.{quote(full[1])} because it "
                               "already exists.")
            self.engine._schemas.setdefault(full[1], {})
            return Result()
        replace = p.words("or", "replace")
        if p.word("view"):
            return self._create_view(replace)
        p.need("table")
        guarded = p.words("if", "not", "exists")
        full = self._full(p.name())
        schema = self._schema(full)
        table = MemoryTable(full, self._columns())
        while p.at < len(p.tokens):
            if p.word("using"):
                p.need("delta")
            elif p.words("cluster", "by"):
                p.word("none") or self._known(table, p.names())
            elif p.word("comment"):
                table.comment = p.string()
            elif p.word("tblproperties"):
                table.properties = self._properties()
            else:
                raise p.unknown()
        if full[2] in schema and guarded:
            return Result()
        if full[2] in schema and not replace:
            raise SqlError("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", f"Cannot create table or view {quote(full[1])}.{quote(full[2])} because "
                           "it already exists.")
        schema[full[2]] = table
        return Result()

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
        view.columns = [MemoryColumn(names[i] if names else name, kind if isinstance(kind, str) else "STRING") for i, (_, name, kind) in enumerate(columns)]
        self._distinct(view.columns)
        found = schema.get(full[2])
        if found is not None and guarded:
            return Result()
        if found is not None and not replace:
            raise SqlError("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", f"Cannot create table or view {quote(full[1])}.{quote(full[2])} because "
                           "it already exists.")
        if found is not None and not isinstance(found, MemoryView):
            raise SqlError("EXPECT_VIEW_NOT_TABLE.NO_ALTERNATIVE", "42809", f"The table {'.'.join(map(quote, full))} does not support CREATE OR REPLACE VIEW.")
        schema[full[2]] = view
        return Result()

    def _known(self, table, names):
        for name in names:
            if table.position(name) is None:
                raise SqlError("DELTA_COLUMN_NOT_FOUND", "42703", f"Unable to find the column `{name}`.")

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
                raise SqlError("COLUMN_ALREADY_EXISTS", "42711", f"The column `{name}` already exists. Choose another name or rename the "
                               "existing column.")

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
        if p.word("add") and p.word("column", "columns"):
            if p.tokens[p.at].text != "(":
                raise p.unknown()
            added = self._columns()
            for column in added:
                if table.position(column.name) is not None:
                    raise SqlError("FIELD_ALREADY_EXISTS", "42710", f"Cannot add column, because `{column.name}` already exists in "
                                   f"\"{', '.join(c.name for c in table.columns)}\".")
                if not column.nullable:
                    raise SqlError("DELTA_OPERATION_NOT_ALLOWED", "0AKDC", "Operation not allowed: `ADD COLUMNS ... NOT NULL` is not "
                                   "supported for Delta tables.")
            table.columns.extend(added)
            for row in table.rows:
                row.extend([None] * len(added))
        elif p.words("set", "tblproperties"):
            table.properties.update(self._properties())
        elif p.words("unset", "tblproperties"):
            p.words("if", "exists")
            for key in self._properties():
                table.properties.pop(key, None)
        elif p.word("alter", "change") and p.word("column"):
            name = p.identifier()
            at = table.position(name)
            p.need("comment")
            if at is None:
                self._known(table, [name])
            table.columns[at].comment = p.string()
        elif p.words("cluster", "by"):
            p.word("none") or self._known(table, p.names())
        else:
            raise p.unknown()
        p.end()
        return Result()

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
                raise SqlError("WRONG_COMMAND_FOR_OBJECT_TYPE", "42809", f"The operation DROP {what.upper()} requires another kind of object than "
                               f"{'.'.join(map(quote, found.full))}.")
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
            raise SqlError("SCHEMA_NOT_EMPTY", "2BP01", f"Cannot drop a schema `{full[1]}` because it contains objects.")
        del self.engine._schemas[full[1]]
        return Result()

    def _describe(self):
        p = self.p
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
            schema = self._full(p.name(), "schema")[1] if p.word("in", "from") else self.job.schema
            p.end()
            return Result([Column("database", "STRING"), Column("tableName", "STRING"), Column("isTemporary", "BOOLEAN")],
                          [[schema, t, "false"] for t in self.engine.tables(schema)])
        raise p.unknown()

    # Writing

    def _stored(self, table, names):
        """Positions of the named columns and the casts that storing in them applies."""
        self._known(table, names)
        positions = [table.position(name) for name in names]
        return positions, [caster(table.columns[at].kind) for at in positions]

    @staticmethod
    def _store(cast, value):
        try:
            return cast(value)
        except BadValue as bad:
            raise bad.as_error() from None

    def _assignments(self, table, scope):
        """The SET list: [(position, cast, function of a row)]."""
        p, out = self.p, []
        while True:
            name = p.name().parts[-1]
            p.need("=")
            run = scope.compile(p.expression())[0]
            [at], [cast] = self._stored(table, [name])
            out.append((at, cast, run))
            if not p.op(","):
                return out

    def _insert(self):
        p = self.p
        p.need("into")
        p.word("table")
        table = self.table(p.name())
        names = p.names() if p.op("(") and not setattr(p, "at", p.at - 1) else [c.name for c in table.columns]
        positions, casts = self._stored(table, names)
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
            source = run_select(p.query(), self.context)[1]
        p.end()
        rows = []
        for values in source:
            if len(values) != len(positions):
                raise SqlError("INSERT_COLUMN_ARITY_MISMATCH.NOT_ENOUGH_DATA_COLUMNS" if len(values) < len(positions) else
                               "INSERT_COLUMN_ARITY_MISMATCH.TOO_MANY_DATA_COLUMNS", "21S01",
                               f"Cannot write to {quote(table.full[-1])}: {len(positions)} columns, {len(values)} values.")
            row = [None] * len(table.columns)
            for at, cast, value in zip(positions, casts, values):
                row[at] = self._store(cast, value)
            table.check(row)
            rows.append(row)
        table.insert(rows)
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
        alias = p._alias()
        gone = {id(row) for row in self._where(table, alias)}
        table.rows = [row for row in table.rows if id(row) not in gone]
        table.changed(None)
        return counted(num_affected_rows=len(gone))

    def _truncate(self):
        self.p.need("table")
        table = self.table(self.p.name())
        self.p.end()
        table.rows = []
        table.changed(None)
        return Result()

    def _update(self):
        p = self.p
        table = self.table(p.name())
        alias = p._alias()
        p.need("set")
        assigned = self._assignments(table, Scope(columns_of(table, alias), self.context))
        changes = [(row, [(at, self._store(cast, run(row))) for at, cast, run in assigned]) for row in self._where(table, alias)]
        self._change(table, changes)
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
        target = columns_of(table, p._alias())
        p.need("using")
        source, rows, _ = open_source(p.source(), self.context)
        p.need("on")
        condition = p.expression()
        both = Scope(target + source, self.context)
        pairs, rest = equalities(condition, target, source, self.context)
        if not pairs:
            raise p.unknown("a MERGE without an equality of columns in ON")
        tests = [both.compile(part)[0] for part in rest]
        matched, unmatched, left = self._clauses(table, both, Scope(source, self.context), Scope(target, self.context))
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
                    raise SqlError("DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", "21506", "Cannot perform Merge as multiple "
                                   "source rows matched and attempted to modify the same target row in the Delta table in possibly "
                                   "conflicting ways.")
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
            gone += [t for t in table.rows if id(t) not in met and any(test is None or test(t) is True for test in left)]
        self._change(table, changes)
        if gone:
            dead = {id(t) for t in gone}
            table.rows = [row for row in table.rows if id(row) not in dead]
            table.changed(None)
        table.insert(new)
        return counted(num_affected_rows=len(changes) + len(gone) + len(new), num_updated_rows=len(changes), num_deleted_rows=len(gone),
                       num_inserted_rows=len(new))

    def _clauses(self, table, both, source, target):
        """The WHEN clauses: matched [(test, assignments or "delete")], not matched [(test, [(position, cast, function)])], and the tests of
        rows that are deleted because no source row matches them."""
        p, matched, unmatched, left = self.p, [], [], []
        while p.word("when"):
            negated = p.word("not")
            p.need("matched")
            if negated and p.word("by") and not p.word("target"):
                p.need("source")
                left.append(target.compile(p.expression())[0] if p.word("and") else None)
                p.need("then", "delete")
                continue
            test = (source if negated else both).compile(p.expression())[0] if p.word("and") else None
            p.need("then")
            if negated:
                p.need("insert")
                positions, casts = self._stored(table, [n for n in p.names()])
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
                matched.append((test, self._assignments(table, both)))
        p.end()
        return matched, unmatched, left
