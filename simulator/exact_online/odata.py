"""The part of OData version 2 that Exact Online understands: query options, $filter, $orderby, $select, skip tokens.

Strict on purpose: literals must have the form of their field's type, and what the service is not known to accept is
refused.
"""
import re
from urllib.parse import quote, unquote_plus

from . import clock
from .catalogue import comparable

OPTIONS = {"$select", "$filter", "$orderby", "$top", "$skip", "$skiptoken", "$expand", "$inlinecount", "$format"}
FUNCTIONS = {"trim": 1, "tolower": 1, "indexof": 2, "startswith": 2}
NOT_IMPLEMENTED = {"substringof", "endswith", "toupper", "substring", "concat", "length", "replace", "year", "month",
                   "day", "hour",
                   "minute",
                   "second", "round", "floor", "ceiling", "isof", "cast", "any", "all"}
_TOKEN = re.compile(
    r"\s*(?:(?P<guid>guid'(?P<guidv>[^']*)')|(?P<date>datetime'(?P<datev>[^']*)')|(?P<string>'(?P<stringv>"
    r"(?:[^']|'')*)')"
    r"|(?P<long>-?\d+[lL]\b)|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?\b)|(?P<name>[A-Za-z_][A-Za-z_0-9/"
    r"]*)|(?P<punct>[(),]))")
_GUID = re.compile(r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$")
_INTEGERS = ("Byte", "Int16", "Int32")


class Refused(Exception):
    """The service refuses a request: status and the text of its error."""

    def __init__(self, status, text, headers=None):
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or {}


def parse_options(query):
    """{option: decoded value} of a query string; names are case-sensitive, a repeated one is refused."""
    options = {}
    for part in query.split("&"):
        if not part:
            continue
        name, _, value = part.partition("=")
        name = unquote_plus(name)
        if name in options:
            raise Refused(400, f"Query parameter '{name}' is specified, but it should be specified exactly once.")
        if name.startswith("$") and name not in OPTIONS:
            raise Refused(400,
                          f"The query parameter '{name}' begins with a system-reserved '$' character but is not "
                          f"recognized.")
        options[name] = unquote_plus(value)
    return options


def whole_number(options, name):
    """A non-negative integer option, or None."""
    text = options.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise Refused(400, f"Incorrect format for {name} argument '{text}'.")
    return int(text)


def tokens(text):
    """[(kind, value)] of a filter expression."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise Refused(400, f"Syntax error at position {at}.")
        at = match.end()
        kind = match.lastgroup
        found.append((kind, match.group(kind + "v" if kind in ("guid", "date", "string") else kind)))
    return found


class Node:
    """A parsed expression: its Edm type (None for the null literal) and a function from a row to its value."""
    __slots__ = ("edm", "field", "literal", "parts", "value")

    def __init__(self, edm, value, field=None, literal=None, parts=None):
        self.edm, self.value, self.field, self.literal, self.parts = edm, value, field, literal, parts


def _literal(kind, text):
    if kind == "guid":
        if not _GUID.match(text):
            raise Refused(400, f"Unrecognized 'Edm.Guid' literal 'guid'{text}''.")
        value, edm = text.lower(), "Guid"
    elif kind == "date":
        try:
            value, edm = clock.parse_wall(text, zone_allowed=False), "DateTime"
        except ValueError:
            raise Refused(400, f"Unrecognized 'Edm.DateTime' literal 'datetime'{text}''.") from None
    elif kind == "string":
        value, edm = text.replace("''", "'").rstrip(" "), "String"
    elif kind == "long":
        value, edm = int(text[:-1]), "Int64"
    elif re.fullmatch(r"-?\d+", text):
        value, edm = int(text), "Int32"
    else:
        value, edm = float(text), "Double"
    return Node(edm, lambda row: value, literal=value)


class Parser:
    """Recursive descent over the tokens of one $filter of one resource."""

    def __init__(self, text, resource, fold=False):
        self.resource, self.tokens, self.at, self.fold = resource, tokens(text), 0, fold
        self.fields = set()

    def peek(self, kind, value=None):
        if self.at >= len(self.tokens):
            return False
        k, v = self.tokens[self.at]
        return k == kind and (value is None or v == value)

    def take(self, kind, value=None):
        if not self.peek(kind, value):
            got = f"'{self.tokens[self.at][1]}'" if self.at < len(self.tokens) else "end of expression"
            raise Refused(400, f"Syntax error in $filter at {got}.")
        self.at += 1
        return self.tokens[self.at - 1][1]

    def parse(self):
        if not self.tokens:
            raise Refused(400, "The $filter expression must not be empty.")
        node = self.either()
        if self.at < len(self.tokens):
            raise Refused(400, f"Syntax error in $filter at '{self.tokens[self.at][1]}'.")
        return self.boolean(node)

    @staticmethod
    def boolean(node):
        if node.edm != "Boolean":
            raise Refused(400, "The $filter expression must evaluate to a single boolean value.")
        return node

    def either(self):
        node = self.both()
        while self.peek("name", "or"):
            self.at += 1
            left, right = self.boolean(node), self.boolean(self.both())
            node = Node("Boolean", lambda row, a=left.value, b=right.value: a(row) or b(row), parts=("or", left, right))
        return node

    def both(self):
        node = self.negation()
        while self.peek("name", "and"):
            self.at += 1
            left, right = self.boolean(node), self.boolean(self.negation())
            node = Node("Boolean", lambda row, a=left.value, b=right.value: a(row) and b(row),
                        parts=("and", left, right))
        return node

    def negation(self):
        if self.peek("name", "not"):
            self.at += 1
            inner = self.boolean(self.negation())
            return Node("Boolean", lambda row: not inner.value(row))
        return self.comparison()

    def comparison(self):
        left = self.primary()
        if self.at < len(self.tokens) and self.tokens[self.at][0] == "name" and self.tokens[self.at][1] in COMPARE:
            operator = self.take("name")
            right = self.primary()
            self.check_types(left, right)
            test, a, b = COMPARE[operator], left.value, right.value
            return Node("Boolean", lambda row: test(a(row), b(row)), parts=(operator, left, right))
        return left

    @staticmethod
    def check_types(left, right):
        """Both sides must have one type; integers also go with Double, but never with Int64 (which takes an L)."""
        a, b = left.edm, right.edm
        if a is None or b is None or a == b:
            return
        if (a in _INTEGERS and b in _INTEGERS) or {a, b} <= {*_INTEGERS, "Double"}:
            return
        raise Refused(400, f"Operator is incompatible with operand types 'Edm.{a}' and 'Edm.{b}'.")

    def primary(self):
        if self.peek("punct", "("):
            self.at += 1
            node = self.either()
            self.take("punct", ")")
            return node
        if self.at >= len(self.tokens):
            raise Refused(400, "Syntax error in $filter: unexpected end of expression.")
        kind, text = self.tokens[self.at]
        self.at += 1
        if kind == "punct":
            raise Refused(400, f"Syntax error in $filter at '{text}'.")
        if kind != "name":
            return _literal(kind, text.casefold() if self.fold and kind == "string" else text)
        if text in ("true", "false"):
            return Node("Boolean", lambda row, v=text == "true": v, literal=text == "true")
        if text == "null":
            return Node(None, lambda row: None)
        if self.peek("punct", "("):
            return self.call(text)
        return self.member(text)

    def member(self, name):
        if name not in self.resource.types:
            raise Refused(400, f"No property '{name}' exists in type '{self.resource.type_name}'.")
        edm = self.resource.types[name]
        if self.resource.filters is not None and name not in self.resource.filters:
            raise Refused(400, f"This $filter parameter is not supported for this resource: {name}."
                          if self.resource.kind == "sync"
                          else f"Filtering on these fields is not supported: {name}")
        if name in self.resource.collections or "." in edm:
            raise Refused(400, f"Property '{name}' cannot be used in $filter.")
        self.fields.add(name)
        if self.fold and edm == "String":
            return Node(edm, lambda row: _with(comparable(edm, row[name]), str.casefold), field=name)
        return Node(edm, lambda row: comparable(edm, row[name]), field=name)

    def call(self, name):
        if name in NOT_IMPLEMENTED:
            raise Refused(501, f"The function '{name}' is not implemented.")
        if name not in FUNCTIONS:
            raise Refused(400, f"Unknown function '{name}'.")
        self.take("punct", "(")
        arguments = [self.either()]
        while self.peek("punct", ","):
            self.at += 1
            arguments.append(self.either())
        self.take("punct", ")")
        if len(arguments) != FUNCTIONS[name] or any(a.edm not in ("String", None) for a in arguments):
            raise Refused(400, f"No applicable function found for '{name}'.")
        a = [argument.value for argument in arguments]
        if name == "trim":
            return Node("String", lambda row: _with(a[0](row), str.strip))
        if name == "tolower":
            return Node("String", lambda row: _with(a[0](row), str.lower))
        if name == "indexof":
            return Node("Int32", lambda row: _with(a[0](row), lambda text: _with(a[1](row), text.find)))
        return Node("Boolean", lambda row: bool(_with(a[0](row), lambda text: _with(a[1](row), text.startswith))))


def _with(value, function):
    return None if value is None else function(value)


COMPARE = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "gt": lambda a, b: a is not None and b is not None and a > b, "ge": lambda a,
    b: a is not None and b is not None and a >= b,
    "lt": lambda a, b: a is not None and b is not None and a < b, "le": lambda a,
    b: a is not None and b is not None and a <= b,
}


class Filter:
    """A compiled $filter: `test(row)`, the fields it names, and two shortcuts for large tables."""

    def __init__(self, text, resource, fold=False):
        parser = Parser(text, resource, fold)
        self.node = parser.parse()
        self.fields = parser.fields
        self.test = self.node.value

    def floor(self, field):
        """A value that `field` exceeds in every row that passes (from `field gt x` and `ge x` joined with and), or
        None."""
        return self._floor(self.node, field)

    def _floor(self, node, field):
        if not node.parts:
            return None
        operator, left, right = node.parts
        if operator == "and":
            bounds = [b for b in (self._floor(left, field), self._floor(right, field)) if b is not None]
            return max(bounds, default=None)
        if left.field == field and right.literal is not None and operator in ("gt", "ge"):
            return right.literal if operator == "gt" else right.literal - 1
        return None

    def keys(self, field):
        """The values of `field` when the filter is nothing but `field eq a or field eq b …`, else None."""
        return self._keys(self.node, field)

    def _keys(self, node, field):
        if not node.parts:
            return None
        operator, left, right = node.parts
        if operator == "or":
            a, b = self._keys(left, field), self._keys(right, field)
            return None if a is None or b is None else a + b
        if operator == "eq" and left.field == field and right.literal is not None and right.edm != "String":
            return [right.literal]
        return None


def parse_order(text, resource):
    """(field, descending) of $orderby; one field only."""
    parts = text.split()
    if "," in text or not 1 <= len(parts) <= 2 or (len(parts) == 2 and parts[1] not in ("asc", "desc")):
        raise Refused(400, "The $orderby expression is not supported: one field, asc or desc.")
    if parts[0] not in resource.types or resource.types[parts[0]] not in (
            "Guid", "String", "DateTime", "Byte", "Int16", "Int32", "Int64", "Double", "Boolean"):
        raise Refused(400, f"No property '{parts[0]}' exists in type '{resource.type_name}'.")
    return parts[0], parts[-1] == "desc" and len(parts) == 2


def parse_select(text, resource, expand, children):
    """(fields, {collection: its fields or None for all}) of $select with $expand; `children` gives a collection's
    resource."""
    nested = dict.fromkeys(expand)
    if text is None:
        return list(resource.fields), nested
    fields = []
    for name in (part.strip() for part in text.split(",")):
        if name == "*":
            if not resource.select_star:
                raise Refused(400, "$select=* is not allowed for this resource. Please name the properties.")
            fields.extend(f for f in resource.fields if f not in fields)
            continue
        head, _, tail = name.partition("/")
        if head not in resource.types:
            raise Refused(400, f"Could not find a property named '{name}' on type '{resource.type_name}'.")
        if tail:
            if head not in nested:
                raise Refused(400, f"'{head}' is in $select with a path but not in $expand.")
            child = children.get(head)
            if child is not None and tail != "*":
                if tail not in child.types:
                    raise Refused(400, f"Could not find a property named '{tail}' on type '{child.type_name}'.")
                nested[head] = (nested[head] or []) + [tail]
        if head not in fields:
            fields.append(head)
    return fields, nested


def parse_expand(text, resource):
    """Collections named in $expand."""
    names = []
    for name in (part.strip() for part in (text or "").split(",")):
        if not name:
            continue
        if name not in resource.collections:
            raise Refused(400, f"Could not find a property named '{name}' on type '{resource.type_name}'.")
        names.append(name)
    return names


def token_text(edm, value):
    """One part of a skip token."""
    if value is None:
        return "null"
    if edm == "Guid":
        return f"guid'{value}'"
    if edm == "DateTime":
        return f"datetime'{clock.iso_of(value)}'"
    if edm == "String":
        return "'" + value.replace("'", "''") + "'"
    if edm == "Int64":
        return f"{value}L"
    if edm == "Boolean":
        return "true" if value else "false"
    return str(value)


def parse_token(text, types):
    """Comparable values of a skip token whose parts have `types`."""
    parts = [part for part in tokens(text) if part != ("punct", ",")]
    if len(parts) != len(types):
        raise Refused(400, "Invalid $skiptoken.")
    values = []
    for (kind, value), edm in zip(parts, types):
        if (kind, value) == ("name", "null"):
            values.append(None)
        elif edm == "Boolean" and kind == "name":
            values.append(value == "true")
        elif kind == "name":
            raise Refused(400, "Invalid $skiptoken.")
        else:
            node = _literal(kind, value)
            if node.edm != edm and not (edm in (*_INTEGERS, "Double") and node.edm in ("Int32", "Double")):
                raise Refused(400, "Invalid $skiptoken.")
            values.append(node.literal)
    return tuple(values)


def next_link(url, options, changes):
    """The absolute address of the next page: all options of this one with `changes` (None removes one), $skiptoken
    last."""
    merged = dict(sorted({**options, **changes}.items(), key=lambda pair: (pair[0] == "$skiptoken", pair[0])))
    pairs = ((name, quote(value, safe="$,()'")) for name, value in merged.items() if value is not None)
    return url + "?" + "&".join(f"{name}={value}" for name, value in pairs)
