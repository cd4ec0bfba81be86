"""Evaluation of the engine-free mode: trees of memory_parse become Python functions of a row.

A relation is (columns, rows): columns are (qualifier, name, type), a qualifier being an alias or the parts of a
table's full name. Three-valued logic: None is NULL.
"""

import gzip
import os
import re
from datetime import UTC, date, datetime
from decimal import Decimal

from .errors import SqlError
from .memory_text import text_function, to_json
from .memory_types import BadValue, Far, Float32, Instant, caster, parse_json, read_struct, session, special, to_text
from .memory_union import run_union
from .refusals import is_hidden, refuse, unresolved_column

_AGGREGATES = {"count", "max", "min", "sum"}


def unknown(what):
    return refuse("PARSE_SYNTAX_ERROR", f"Syntax error: the engine-free mode does not know {what}.")


def same_kind(a, b):
    """Two values made comparable as Spark's implicit casts would: text follows the other side."""
    if type(a) is str and type(b) is not str:
        a = caster(_kind_of(b))(a)
    elif type(b) is str and type(a) is not str:
        b = caster(_kind_of(a))(b)
    if isinstance(a, Instant) != isinstance(b, Instant):  # the other side is a DATE or TIMESTAMP_NTZ
        cast = caster("TIMESTAMP")
        a, b = cast(a), cast(b)
    elif isinstance(a, datetime) != isinstance(b, datetime) and isinstance(a, date) and isinstance(b, date):
        cast = caster("TIMESTAMP_NTZ")
        a, b = cast(a), cast(b)
    return a, b


_KINDS = {
    int: "BIGINT",
    Decimal: "DOUBLE",
    float: "DOUBLE",
    Float32: "FLOAT",
    bool: "BOOLEAN",
    Instant: "TIMESTAMP",
    datetime: "TIMESTAMP_NTZ",
    date: "DATE",
}


def _kind_of(value):
    return _KINDS.get(type(value.value if isinstance(value, Far) else value), "STRING")


def _sizes(kind, literal=None):
    """(precision, scale) of an exact number's type."""
    if kind.startswith("DECIMAL("):
        return tuple(map(int, kind[8:-1].split(",")))
    if isinstance(literal, int):
        return len(str(abs(literal))), 0
    return {"TINYINT": 3, "SMALLINT": 5, "INT": 10}.get(kind, 20), 0


_INTEGERS = ("TINYINT", "SMALLINT", "INT", "BIGINT")


def _arithmetic(op, left, right):
    """The type of `left op right`; each is (type, value of a literal or None)."""
    (a, x), (b, y) = left, right
    if "VOID" in (a, b):
        return b if a == "VOID" else a
    if not all(k in _INTEGERS or k.startswith("DECIMAL(") for k in (a, b)):
        return "DOUBLE"
    if a in _INTEGERS and b in _INTEGERS:
        return _INTEGERS[max(_INTEGERS.index(a), _INTEGERS.index(b))]
    (p1, s1), (p2, s2) = _sizes(a, x), _sizes(b, y)
    scale = s1 + s2 if op == "*" else max(s1, s2)
    precision = p1 + p2 + 1 if op == "*" else max(p1 - s1, p2 - s2) + scale + 1
    return f"DECIMAL({min(precision, 38)},{scale})"


_WORDS = {"+": "add", "-": "subtract", "*": "multiply"}


def _bounded(run, kind, op):
    """`run` with the overflow of whole numbers that ANSI mode refuses."""
    bound = 1 << {"TINYINT": 7, "SMALLINT": 15, "INT": 31, "BIGINT": 63}[kind]

    def bounded(row):
        value = run(row)
        if value is not None and not -bound <= value < bound:
            if not session.ansi:
                return (value + bound) % (2 * bound) - bound
            raise refuse(
                "ARITHMETIC_OVERFLOW",
                f"{'long' if kind == 'BIGINT' else 'integer'} overflow. Use 'try_{_WORDS[op]}' to tolerate overflow "
                f"and "
                'return NULL instead. If necessary set "spark.sql.ansi.enabled" to "false" to bypass this error.',
            )
        return value
    return bounded


def _compare(test):
    def apply(left, right):
        def run(row):
            a = left(row)
            if a is None:
                return None
            b = right(row)
            if b is None:
                return None
            if type(a) is not type(b):
                a, b = same_kind(a, b)
            return test(a, b)
        return run
    return apply


_OPERATORS = {
    "=": _compare(lambda a, b: a == b), "==": _compare(lambda a, b: a == b), "<>": _compare(lambda a, b: a != b),
    "!=": _compare(lambda a, b: a != b), "<": _compare(lambda a, b: a < b), ">": _compare(lambda a, b: a > b),
    "<=": _compare(lambda a, b: a <= b), ">=": _compare(lambda a, b: a >= b),
    "+": _compare(lambda a, b: a + b), "-": _compare(lambda a, b: a - b), "*": _compare(lambda a, b: a * b),
    "||": _compare(lambda a, b: to_text(a) + to_text(b)),
}


class Context:
    """What one statement sees: its text, parameters and tables. `table(name)` answers a Table; `read_file(path)`
    lines."""

    def __init__(self, text, parameters, table, local_path):
        self.text, self.parameters, self.table, self.local_path = text, parameters, table, local_path
        now = datetime.now(UTC)
        self.now = Instant(*now.timetuple()[:6], now.microsecond)

    def fail_at(self, bad, span):
        """The error of a bad value with the place of its cast in the statement."""
        if span is None:
            return bad.as_error()
        start, end = span
        line = self.text.count("\n", 0, start) + 1
        position = start - self.text.rfind("\n", 0, start)
        return refuse(
            bad.error_class,
            f"{bad.text} SQLSTATE: {bad.as_error().sql_state}\n== SQL (line {line}, position {position}) "
            f"==\n...{self.text[start:end]}...\n{' ' * 3}{'^' * (end - start)}\n",
        )


class Scope:
    """The columns a name may mean."""

    def __init__(self, columns, context):
        self.columns, self.context = columns, context
        self._by_name = {}
        for at, (_, name, _) in enumerate(columns):
            self._by_name.setdefault(name.lower(), []).append(at)

    def find(self, parts):
        """(position, field or None, type) of a column name. Raises UNRESOLVED_COLUMN, AMBIGUOUS_REFERENCE or
        FIELD_NOT_FOUND."""
        lower = [part.lower() for part in parts]
        for split in range(len(parts), 0, -1):  # the longest column name first, then a struct's field
            if len(parts) - split > 1:
                break
            qualifier, name = tuple(lower[:split - 1]), lower[split - 1]
            found = [at for at in self._by_name.get(name, ()) if _fits(self.columns[at][0], qualifier)]
            if len(found) > 1:
                raise refuse("AMBIGUOUS_REFERENCE", f"Reference `{'`.`'.join(parts)}` is ambiguous.")
            if found:
                kind = self.columns[found[0]][2]
                if split == len(parts):
                    return found[0], None, kind
                if isinstance(kind, dict):
                    return found[0], self.field(kind, parts[-1]), "STRING"
        raise unresolved_column("`.`".join(parts), [c[1] for c in self.columns])

    @staticmethod
    def field(kind, name):
        found = next((f for f in kind if f.lower() == name.lower()), None)
        if found is None:
            raise refuse("FIELD_NOT_FOUND", f"No such struct field `{name}` in `{'`, `'.join(kind)}`.")
        return found

    def compile(self, node):
        """(function of a row, type) for an expression."""
        return getattr(self, "_" + node[0])(*node[1:])

    def _lit(self, value):
        if type(value) is int:
            kind = "INT" if -(1 << 31) <= value < 1 << 31 else "BIGINT"
        elif type(value) is Decimal:
            _, digits, exponent = value.as_tuple()
            kind = f"DECIMAL({max(len(digits), -exponent)},{max(-exponent, 0)})"
        else:
            kind = {str: "STRING", bool: "BOOLEAN", float: "DOUBLE", Float32: "FLOAT"}.get(type(value), "VOID")
        return (lambda row: value), kind

    def _typed(self, value, kind):
        return (lambda row: value), kind

    def _param(self, name):
        if name not in self.context.parameters:
            raise refuse(
                "UNBOUND_SQL_PARAMETER",
                f"Found the unbound parameter: {name}. Please, fix `args` and provide a mapping "
                "of the parameter to either a SQL literal or collection constructor functions such as `map()`, "
                "`array()`, `struct()`.",
            )
        value, kind = self.context.parameters[name]
        return (lambda row: value), kind

    def _slot(self, at, kind):
        return (lambda row: row[at]), kind

    def _col(self, parts):
        at, name, kind = self.find(parts)
        if name is None:
            return (lambda row: row[at]), kind
        return (lambda row: None if row[at] is None else row[at].get(name)), kind

    def _field(self, inner, name):
        run, kind = self.compile(inner)
        if not isinstance(kind, dict):
            raise unknown("a field of something that is no struct")
        name = self.field(kind, name)
        return (lambda row: None if (v := run(row)) is None else v.get(name)), "STRING"

    def _date_literal(self, text, kind):
        """DATE'...' and its kind."""
        try:
            value = caster(kind)(text)
        except BadValue:
            raise refuse(
                "INVALID_TYPED_LITERAL", f"The value of the typed literal \"{kind}\" is invalid: '{text}'."
            ) from None
        return (lambda row: value), kind

    def _cast(self, inner, kind, tolerant, span):
        run, cast, context = self.compile(inner)[0], caster(kind), self.context
        if (
            inner[0] in ("lit", "param")
            and isinstance(run(None), str)
            and (word := special(run(None), kind)) is not None
        ):
            return (lambda row: word), kind
        if tolerant:
            def attempt(row):
                try:
                    return cast(run(row))
                except BadValue:
                    return None
            return attempt, kind
        if kind == "STRING":
            return (lambda row: cast(run(row))), kind

        def convert(row):
            value = run(row)
            try:
                return cast(value)
            except BadValue as bad:
                if not session.ansi:
                    return None
                raise context.fail_at(bad, span) from None
        return convert, kind

    def _bin(self, op, left, right):
        (a, kind), (b, other) = self.compile(left), self.compile(right)
        if op == "and":
            def both(row):
                x = a(row)
                if x is False:
                    return False
                y = b(row)
                return False if y is False else None if x is None or y is None else True
            return both, "BOOLEAN"
        if op == "or":
            def either(row):
                x = a(row)
                if x is True:
                    return True
                y = b(row)
                return True if y is True else None if x is None or y is None else False
            return either, "BOOLEAN"
        if op == "<=>":
            def alike(row):
                x, y = a(row), b(row)
                if x is None or y is None:
                    return x is None and y is None
                x, y = same_kind(x, y)
                return x == y
            return alike, "BOOLEAN"
        if op not in _OPERATORS:
            raise unknown(f"the operator {op}")
        if op not in "+-*":
            return _OPERATORS[op](a, b), "STRING" if op == "||" else "BOOLEAN"
        result = _arithmetic(
            op, (kind, left[1] if left[0] == "lit" else None), (other, right[1] if right[0] == "lit" else None)
        )
        run, cast = _OPERATORS[op](a, b), caster(result)
        if result in _INTEGERS:
            return _bounded(run, result, op), result
        return (lambda row: cast(run(row))), result

    def _not(self, inner):
        run, _ = self.compile(inner)
        return (lambda row: None if (v := run(row)) is None else not v), "BOOLEAN"

    def _isnull(self, inner):
        run, _ = self.compile(inner)
        return (lambda row: run(row) is None), "BOOLEAN"

    def _in(self, inner, options):
        run, tests = self.compile(inner)[0], [self.compile(o)[0] for o in options]

        def among(row):
            value = run(row)
            if value is None:
                return None
            seen = False
            for test in tests:
                other = test(row)
                seen = seen or other is None
                if other is not None and (value == other or same_kind(value, other)[0] == same_kind(value, other)[1]):
                    return True
            return None if seen else False
        return among, "BOOLEAN"

    def _case(self, branches, otherwise):
        compiled = [(self._condition(w), self.compile(t)) for w, t in branches]
        other, kind = self.compile(otherwise)

        def choose(row):
            for when, (then, _) in compiled:
                if when(row) is True:
                    return then(row)
            return other(row)
        return choose, next((k for _, (_, k) in compiled if k != "VOID"), kind)

    def _condition(self, node):
        run, kind = self.compile(node)
        if kind == "VOID":
            raise refuse(
                "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
                'Cannot resolve "CASE WHEN NULL" due to data type mismatch: The first parameter '
                'requires the "BOOLEAN" type, however "NULL" has the type "VOID".',
            )
        return run

    def _query(self, select):
        columns, rows = run_select(select, self.context, late=True)
        if len(columns) != 1:
            raise unknown("a subquery of several columns here")

        def single(row, memo=None):
            if memo is None:
                memo = []
            if not memo:
                found = rows()
                if len(found) > 1:
                    raise refuse(
                        "SCALAR_SUBQUERY_TOO_MANY_ROWS",
                        "More than one row returned by a subquery used as an expression.",
                    )
                memo.append(found[0][0] if found else None)
            return memo[0]
        return single, columns[0][2]

    def _exists(self, select):
        _, rows = run_select(select, self.context, late=True)
        return (lambda row: bool(rows())), "BOOLEAN"

    def _call(self, name, args, distinct):
        if name in ("from_json",):
            return self._from_json(args)
        if name == "to_json":
            return self._to_json(args)
        if name in _AGGREGATES or distinct:
            raise unknown(f"{name}() here")
        compiled = [self.compile(a) for a in args]
        runs = [c[0] for c in compiled]
        kind = next((k for _, k in compiled if k != "VOID"), "VOID")
        simple = {
            "lower": lambda v: to_text(v).lower(),
            "upper": lambda v: to_text(v).upper(),
            "trim": lambda v: to_text(v).strip(" "),
            "length": lambda v: len(to_text(v)),
            "size": len,
        }
        if name in simple and len(runs) == 1:
            apply, run = simple[name], runs[0]
            return (lambda row: None if (v := run(row)) is None else apply(v)), "INT" if name in (
                "length",
                "size",
            ) else "STRING"
        if name in ("coalesce", "nvl", "ifnull"):
            return (lambda row: next((v for run in runs if (v := run(row)) is not None), None)), kind
        if name == "concat":
            def concat(row):
                values = [run(row) for run in runs]
                return None if None in values else "".join(map(to_text, values))
            return concat, "STRING"
        found = text_function(name, runs)
        if found is not None:
            return found
        if name in ("current_timestamp", "now"):
            return (lambda row, now=self.context.now: now), "TIMESTAMP"
        if name in ("current_date", "curdate"):
            today = caster("DATE")(self.context.now)
            return (lambda row: today), "DATE"
        if name == "raise_error" and len(runs) == 1:
            return (lambda row: _raise(runs[0](row))), "VOID"
        if name == "assert_true" and runs:
            message = runs[1] if len(runs) > 1 else (lambda row: f"'{name}' is not true!")
            return (lambda row: None if runs[0](row) is True else _raise(message(row))), "VOID"
        if name in ("greatest", "least"):
            pick = max if name == "greatest" else min
            return (lambda row: pick([v for run in runs if (v := run(row)) is not None], default=None)), kind
        raise refuse("UNRESOLVED_ROUTINE", f"Cannot resolve routine `{name}`: the engine-free mode does not know it.")

    def _from_json(self, args):
        run = self.compile(args[0])[0]
        if len(args) < 2 or args[1][0] != "lit":
            raise unknown("from_json without a literal schema")
        fields, is_array = read_struct(args[1][1])
        options = [a[1] for a in args[2][2]] if len(args) > 2 and args[2][:2] == ("call", "map") else []
        failfast = "FAILFAST" in [str(o).upper() for o in options]
        return (lambda row: parse_json(run(row), is_array, failfast)), [fields] if is_array else fields


    def _to_json(self, args):
        """to_json(named_struct('a', text, …), map('ignoreNullFields', 'false')): members that are texts only."""
        if not args or args[0][:2] != ("call", "named_struct") or len(args[0][2]) % 2:
            raise unknown("to_json of this")
        options = [a[1] for a in args[1][2]] if len(args) > 1 and args[1][:2] == ("call", "map") else []
        kept = dict(zip(options[::2], options[1::2])).get("ignoreNullFields", "true").lower() == "false"
        members = args[0][2]
        names = [self.compile(name)[0](None) for name in members[::2]]
        values = [self.compile(value) for value in members[1::2]]
        if any(kind not in ("STRING", "VOID") for _, kind in values):
            raise unknown("to_json of members that are no texts")

        return (lambda row: to_json(zip(names, [value(row) for value, _ in values]), kept)), "STRING"


def _raise(text):
    raise refuse("USER_RAISED_EXCEPTION", to_text(text) or "")


def _fits(own, asked):
    """Whether a column's qualifier answers to the one asked for: the alias, or the end of the table's full name."""
    if not asked:
        return True
    own = own if isinstance(own, tuple) else (own,)
    return own[-len(asked):] == asked


def conjuncts(node):
    """The parts of an AND."""
    if node is None:
        return []
    return conjuncts(node[2]) + conjuncts(node[3]) if node[:2] == ("bin", "and") else [node]


def columns_of(table, alias):
    return [(alias.lower() if alias else table.full, c.name, c.kind) for c in table.columns]


# Sources

def open_source(source, context):
    """(columns, function that gives the rows, the Table when the source is one)."""
    kind = source[0]
    if kind == "table":
        table = context.table(source[1])
        return columns_of(table, source[2]), lambda: table.rows, table
    if kind == "file":
        path = context.local_path(source[1])
        return [((source[2] or "text").lower(), "value", "STRING")], lambda: _read_lines(path, source[1]), None
    if kind == "query":
        columns, rows = run_select(source[1], context, late=True)
        alias = (source[2] or "").lower()
        return [(alias, name, type) for _, name, type in columns], rows, None
    columns, rows = _join(source, context)
    return columns, rows, None


def _read_lines(path, shown):
    """The lines of a file, or of the files of a directory; hidden ones have none."""
    shown = shown if shown.startswith("dbfs:") else f"dbfs:{shown}"
    if re.search(r"[{}\[\]]", path):
        raise refuse(
            "UNSUPPORTED_DATASOURCE_FOR_DIRECT_QUERY",
            f"Unsupported data source type for direct query on files: text {shown}",
        )
    if not os.path.exists(path):
        raise refuse("PATH_NOT_FOUND", f"Path does not exist: {shown}.")
    names = [path] if os.path.isfile(path) else sorted(e.path for e in os.scandir(path) if e.is_file())
    rows = []
    for name in names:
        if is_hidden(os.path.basename(name)):
            session.met("hidden_file")
            continue
        try:
            with (gzip.open(name, "rb") if name.endswith(".gz") else open(name, "rb")) as source:
                text = source.read()
        except (OSError, EOFError):
            raise refuse("FAILED_READ_FILE.NO_HINT", f"Error while reading file {shown}.") from None
        lines = re.split(rb"\r\n|\n|\r", text.removeprefix(b"\xef\xbb\xbf"))
        rows += [[line.decode(errors="replace")] for line in (lines if lines[-1] else lines[:-1])]
    return rows


def equalities(condition, left_columns, right_columns, context):
    """Splits a join condition into pairs (expression of the left, expression of the right) and the rest."""
    pairs, rest = [], []
    left, right = Scope(left_columns, context), Scope(right_columns, context)
    for part in conjuncts(condition):
        found = None
        if part[0] == "bin" and part[1] in ("=", "=="):
            for a, b in ((part[2], part[3]), (part[3], part[2])):
                if _resolves(left, a) and _resolves(right, b) and not (_resolves(right, a) and _resolves(left, b)):
                    found = (a, b)
                    break
        pairs.append(found) if found else rest.append(part)
    return pairs, rest


def _resolves(scope, node):
    try:
        scope.compile(node)
        return True
    except SqlError:
        return False


def lookup(table, rows, keys, scope):
    """A function key tuple -> rows. Uses the table's own index when all keys are plain columns of it."""
    if table is not None and all(k[0] == "col" for k in keys):
        index = table.index(tuple(scope.find(k[1])[0] for k in keys))
        return lambda key: index.get(key, ())
    runs, index = [scope.compile(k)[0] for k in keys], {}
    for row in rows():
        key = tuple(run(row) for run in runs)
        if None not in key:
            index.setdefault(key, []).append(row)
    return lambda key: index.get(key, ())


def _join(source, context):
    _, kind, left, right, on = source
    left_columns, left_rows, left_table = open_source(left, context)
    right_columns, right_rows, right_table = open_source(right, context)
    both = left_columns + right_columns
    pairs, rest = equalities(on, left_columns, right_columns, context)
    tests = [Scope(both, context).compile(part)[0] for part in rest]
    left_scope, right_scope = Scope(left_columns, context), Scope(right_columns, context)
    keys = [left_scope.compile(a)[0] for a, _ in pairs]

    def matches():
        if kind == "inner" and pairs and left_table is not None and right_table is None:
            flipped = lookup(left_table, left_rows, [a for a, _ in pairs], left_scope)
            runs = [right_scope.compile(b)[0] for _, b in pairs]
            for b in right_rows():
                for a in flipped(tuple(run(b) for run in runs)):
                    if all(test(a + b) is True for test in tests):
                        yield a, [b]
            return
        rows = None if pairs else right_rows()
        find = (
            lookup(right_table, right_rows, [b for _, b in pairs], right_scope)
            if pairs
            else (lambda key: rows)
        )
        for a in left_rows():
            yield a, [b for b in find(tuple(key(a) for key in keys)) if all(test(a + b) is True for test in tests)]

    def rows():
        if kind == "anti":
            return [a for a, found in matches() if not found]
        if kind == "semi":
            return [a for a, found in matches() if found]
        empty = [None] * len(right_columns)
        return [a + b for a, found in matches() for b in (found or ([empty] if kind == "left" else []))]

    return (left_columns if kind in ("anti", "semi") else both), rows


# Queries

def run_select(select, context, late=False):
    """(columns, rows) of a query; with `late` rows is a function."""
    if select.union:
        return run_union(select, context, late, run_select)
    if select.source is None:
        columns, rows, table = [], lambda: [[]], None
    else:
        columns, rows, table = open_source(select.source, context)
    scope = Scope(columns, context)
    rows = _filtered(select.where, rows, table, scope)
    items = _expand(select.items, columns)
    calls = _find(items, "call", lambda n: n[1] in _AGGREGATES)
    if calls or select.group:
        columns, rows, items = _aggregate(select, items, calls, columns, rows, context)
    windows = _find(items, "window")
    if windows:
        columns, rows, items = _number(items, windows, columns, rows, context)
    scope = Scope(columns, context)
    out, producer = _project(items, scope)

    def finish():
        found = rows()
        if select.order and not select.group:
            found = ordered(found, [(scope.compile(_by_alias(e, items))[0], down) for e, down in select.order])
        found = producer(found)
        if select.distinct:
            found = [list(row) for row in dict.fromkeys(map(tuple, found))]
        if select.offset is not None:
            found = found[int(scope.compile(select.offset)[0](None)):]
        if select.limit is not None:
            found = found[:int(scope.compile(select.limit)[0](None))]
        return found

    return (out, finish) if late else (out, finish())


def _by_alias(expression, items):
    if expression[0] == "col" and len(expression[1]) == 1:
        return next((e for e, alias in items if alias.lower() == expression[1][0].lower()), expression)
    return expression


def ordered(rows, keys):
    """Rows sorted by several keys; NULL first ascending, last descending, as Spark does."""
    for run, down in reversed(keys):
        rows = sorted(rows, key=lambda row: ((v := run(row)) is not None, v if v is not None else 0), reverse=down)
    return rows


def _filtered(where, rows, table, scope):
    if where is None:
        return rows
    parts = conjuncts(where)
    tests = [scope.compile(part)[0] for part in parts]
    narrowed = table.narrow(parts, scope) if table is not None else None

    def kept():
        if narrowed is None and all(part[0] == "isnull" and part[1][0] == "query" for part in parts):
            return rows() if all(test(None) is True for test in tests) else []
        return [row for row in (narrowed() if narrowed else rows()) if all(test(row) is True for test in tests)]
    return kept


def _expand(items, columns):
    out = []
    for node, alias in items:
        if node[0] == "star":
            asked = tuple(part.lower() for part in node[1])
            out += [(("slot", at, kind), name) for at, (own, name, kind) in enumerate(columns) if _fits(own, asked)]
        else:
            out.append((node, alias))
    return out


def _find(items, tag, test=lambda node: True):
    """All nodes `tag` inside the items, not looking into subqueries."""
    found = []

    def walk(node):
        if isinstance(node, tuple):
            if node and node[0] == tag and test(node):
                if node not in found:
                    found.append(node)
                return
            if node and node[0] in ("query", "exists"):
                return
            for part in node:
                walk(part)
        elif isinstance(node, list):
            for part in node:
                walk(part)
    for node, _ in items:
        walk(node)
    return found


def _replace(node, by):
    """The tree with the nodes in `by` (pairs) exchanged."""
    for old, new in by:
        if node == old:
            return new
    if isinstance(node, tuple):
        return node if node and node[0] in ("query", "exists") else tuple(_replace(part, by) for part in node)
    return [_replace(part, by) for part in node] if isinstance(node, list) else node


def _aggregate(select, items, calls, columns, rows, context):
    scope, base = Scope(columns, context), len(select.group)
    keys = [scope.compile(g) for g in select.group]
    made = [(c[1], _summed(c[1], *scope.compile(c[2][0])), c[3]) for c in calls]
    new = [("", f"_g{i}", kind) for i, (_, kind) in enumerate(keys)]
    new += [("", f"_a{i}", "BIGINT" if name == "count" else kind) for i, (name, (_, kind), _) in enumerate(made)]
    by = [(g, ("slot", i, keys[i][1])) for i, g in enumerate(select.group)]
    by += [(c, ("slot", base + i, new[base + i][2])) for i, c in enumerate(calls)]

    def grouped():
        groups = {} if keys else {(): []}
        for row in rows():
            groups.setdefault(tuple(run(row) for run, _ in keys), []).append(row)
        return [
            list(key) + [_fold(name, run, distinct, members) for name, (run, _), distinct in made]
            for key, members in groups.items()
        ]

    return new, grouped, [(_replace(node, by), alias) for node, alias in items]


def _summed(name, run, kind):
    """The function and type of an aggregate's argument: sums have a wider type, and of texts they are sums of
    numbers."""
    if name != "sum" or not isinstance(kind, str):
        return run, kind
    if kind in _INTEGERS:
        return _bounded(run, "BIGINT", "+"), "BIGINT"
    if kind.startswith("DECIMAL("):
        precision, scale = _sizes(kind)
        return run, f"DECIMAL({min(precision + 10, 38)},{scale})"
    cast = caster("DOUBLE")
    return (lambda row: cast(run(row))), "DOUBLE"


def _fold(name, run, distinct, rows):
    values = [v for row in rows if (v := run(row)) is not None]
    if distinct:
        values = list(dict.fromkeys(values))
    if name == "count":
        return len(values)
    return {"max": max, "min": min, "sum": sum}[name](values) if values else None


def _number(items, windows, columns, rows, context):
    scope = Scope(columns, context)
    made = [
        (
            [scope.compile(p)[0] for p in w[1]],
            [(scope.compile(e)[0], down) for e, down in w[2]],
            w[3],
            scope.compile(w[4]) if w[4] is not None else (None, "BIGINT" if w[3] == "count" else "INT"),
        )
        for w in windows
    ]
    new = columns + [("", f"_w{i}", kind) for i, (_, _, _, (_, kind)) in enumerate(made)]

    def numbered():
        found = [row + [None] * len(made) for row in rows()]
        for at, (partition, order, name, (value, _)) in enumerate(made):
            last, keys = {}, []
            rows_in_order = ordered(found, order)
            for row in reversed(rows_in_order) if name == "lead" else rows_in_order:
                key = tuple(run(row) for run in partition)
                if name == "lead":
                    row[len(columns) + at], last[key] = last.get(key), value(row)
                    continue
                if name == "last_value":
                    here = value(row)
                    last[key] = last.get(key) if here is None else here
                else:
                    last[key] = last.get(key, 0) + 1
                row[len(columns) + at] = last[key]
                keys.append((row, key))
            if name == "count":
                for row, key in keys:
                    row[len(columns) + at] = last[key]
        return found

    by = [(w, ("slot", len(columns) + i, new[len(columns) + i][2])) for i, w in enumerate(windows)]
    return new, numbered, [(_replace(node, by), alias) for node, alias in items]


def _project(items, scope):
    """The output columns, and the function from source rows to result rows. One item may be explode()."""
    exploded = next((i for i, (node, _) in enumerate(items) if node[:2] == ("call", "explode")), None)
    out, runs = [], []
    for i, (node, alias) in enumerate(items):
        run, kind = scope.compile(node[2][0] if i == exploded else node)
        if i == exploded:
            kind = kind[0] if isinstance(kind, list) else "STRING"
        out.append(("", alias, kind))
        runs.append(run)
    if exploded is None:
        return out, lambda rows: [[run(row) for run in runs] for row in rows]

    def spread(rows):
        return [[element if i == exploded else run(row) for i, run in enumerate(runs)]
                for row in rows for element in (runs[exploded](row) or ())]
    return out, spread
