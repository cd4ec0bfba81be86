"""Parser of the engine-free mode: the SQL that the hub sends, as a tree of tuples.

Expressions: ("lit", value) ("typed", value, type) ("date_literal", text, type) ("param", name) ("col", parts)
("call", name, args, distinct) ("cast", e, type, try, text) ("bin", op, a, b)
("not", e) ("isnull", e) ("in", e, list) ("case", [(when, then)], else) ("query", select) ("exists", select)
("window", partition,
[(e, descending)]) ("star", parts).
A Select has items [(e, alias)], source, where, group, order [(e, descending)], limit, distinct; a source is
("table", name, alias),
("query", select, alias), ("file", path, alias) or ("join", kind, left, right, on).
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal

from .memory_types import Float32, normal_type
from .refusals import refuse
from .sql_text import literal_value, name_value, read_name

_BINARY = {"or": 1, "and": 2, "=": 4, "==": 4, "<=>": 4, "<>": 4, "!=": 4, "<": 4, ">": 4, "<=": 4, ">=": 4,
           "||": 5, "+": 6, "-": 6, "*": 7, "/": 7, "%": 7}
_COMPARED = 4  # the level of IS, IN, BETWEEN, LIKE
_ENDS = (
    "from",
    "where",
    "group",
    "order",
    "limit",
    "offset",
    "on",
    "when",
    "then",
    "join",
    "inner",
    "left",
    "cross",
    "union",
    "using",
    "having",
    "set",
    "values",
    "and",
    "or",
    "else",
    "end",
    "as",
    "is",
    "in",
    "not",
    "between",
    "like",
    "asc",
    "desc",
    "nulls",
)


@dataclass
class Select:
    items: list = field(default_factory=list)
    source: tuple | None = None
    where: tuple | None = None
    group: list = field(default_factory=list)
    order: list = field(default_factory=list)
    limit: tuple | None = None
    offset: tuple | None = None
    distinct: bool = False
    union: list = field(default_factory=list)   # further ones, whose rows come behind (UNION ALL)


_SUFFIXES = {"L": "BIGINT", "S": "SMALLINT", "Y": "TINYINT"}


def _number(text):
    """The node of a number: whole, exact, or with an exponent or a suffix."""
    upper = text.upper()
    if upper.endswith("BD"):
        return "lit", Decimal(text[:-2])
    if upper[-1] in _SUFFIXES:
        return "typed", int(text[:-1]), _SUFFIXES[upper[-1]]
    if upper[-1] in "DF" or "E" in upper:
        number = float(upper.rstrip("DF"))
        return "lit", Float32(number) if upper.endswith("F") else number
    return "lit", int(text) if text.isdigit() else Decimal(text)


class Parser:
    def __init__(self, tokens, text):
        self.tokens, self.text, self.at = tokens, text, 0

    # Reading

    def unknown(self, what=None):
        """The error for anything that this mode does not know."""
        near = self.tokens[self.at].text if self.at < len(self.tokens) else "end of input"
        return refuse(
            "PARSE_SYNTAX_ERROR",
            f"Syntax error at or near '{near}': the engine-free mode does not know {what or 'this statement'}.",
        )

    def word(self, *words):
        """Takes the next token when it is one of `words`."""
        if self.at < len(self.tokens) and self.tokens[self.at].is_word(*words):
            self.at += 1
            return self.tokens[self.at - 1].text.lower()
        return None

    def words(self, *words):
        """Takes the sequence `words` or nothing."""
        if all(self.at + i < len(self.tokens) and self.tokens[self.at + i].is_word(w) for i, w in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def op(self, text):
        if self.at < len(self.tokens) and self.tokens[self.at].kind == "op" and self.tokens[self.at].text == text:
            self.at += 1
            return True
        return False

    def need(self, *texts):
        for text in texts:
            if not (self.op(text) or self.word(text)):
                raise self.unknown(f"this (expected {text.upper()})")

    def name(self):
        found = read_name(self.tokens, self.at)
        if found is None:
            raise self.unknown("this (expected a name)")
        self.at = found.last
        return found

    def identifier(self):
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or token.kind not in ("word", "quoted"):
            raise self.unknown("this (expected an identifier)")
        self.at += 1
        return name_value(token)

    def string(self):
        if self.at >= len(self.tokens) or self.tokens[self.at].kind not in ("string", "raw"):
            raise self.unknown("this (expected a literal)")
        self.at += 1
        return literal_value(self.tokens[self.at - 1])

    def end(self):
        if self.at < len(self.tokens):
            raise self.unknown()

    def names(self):
        """A parenthesised list of identifiers."""
        self.need("(")
        out = [self.identifier()]
        while self.op(","):
            out.append(self.identifier())
        self.need(")")
        return out

    def type(self):
        """A SQL type in normal form."""
        text = self.identifier()
        if self.op("("):
            while not self.op(")"):
                text += ("(" if "(" not in text else "") + self.tokens[self.at].text
                self.at += 1
            text += ")"
        return normal_type(text)

    # Queries

    def query(self):
        """A SELECT, with or without parentheses around it."""
        if self.op("("):
            select = self.query()
            self.need(")")
            return select
        if not self.word("select"):
            raise self.unknown()
        select = Select(distinct=bool(self.word("distinct")))
        select.items.append(self._item())
        while self.op(","):
            select.items.append(self._item())
        if self.word("from"):
            select.source = self._joins()
        if self.word("where"):
            select.where = self.expression()
        if self.words("group", "by"):
            select.group = self._expressions()
        while self.words("union", "all"):
            further = self.query()
            if further.order or further.limit or further.offset:
                raise self.unknown("an order of a UNION")
            select.union.append(further)
            select.union.extend(further.union)
            further.union = []
        if self.words("order", "by"):
            select.order = self._order()
        if self.word("limit"):
            select.limit = self.expression()
        if self.word("offset"):
            select.offset = self.expression()
        return select

    def _item(self):
        if self.op("*"):
            return ("star", []), None
        start = read_name(self.tokens, self.at)
        if (
            start
            and start.last + 1 < len(self.tokens)
            and self.tokens[start.last].text == "."
            and self.tokens[start.last + 1].text == "*"
        ):
            self.at = start.last + 2
            return ("star", start.parts), None
        begin = self.at
        expression = self.expression()
        end = self.at
        alias = self._alias()
        if alias is None:
            written = self.text[self.tokens[begin].start:self.tokens[end - 1].end]
            alias = expression[1][-1] if expression[0] == "col" else re.sub(r"(?i)^count\(\*\)$", "count(1)", written)
        return expression, alias

    def _alias(self):
        if self.word("as"):
            return self.identifier()
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is not None and (token.kind == "quoted" or (token.kind == "word" and not token.is_word(*_ENDS))):
            return self.identifier()
        return None

    def _joins(self):
        left = self.source()
        while True:
            kind = "inner"
            if self.word("cross"):
                kind = "cross"
            elif self.word("inner"):
                pass
            elif self.word("left"):
                kind = self.word("anti", "semi") or "left"
                self.word("outer")
            elif not (self.at < len(self.tokens) and self.tokens[self.at].is_word("join")):
                return left
            self.need("join")
            right = self.source()
            on = self.expression() if kind != "cross" and self.word("on") else None
            left = ("join", kind, left, right, on)

    def source(self):
        """A table, a file or a query with its alias."""
        if self.op("("):
            select = self.query()
            self.need(")")
            return "query", select, self._alias()
        name = self.name()
        if len(name.parts) == 2 and name.lower()[0] == "text" and "/" in name.parts[1]:
            return "file", name.parts[1], self._alias()
        return "table", name, self._alias()

    def _order(self):
        out = []
        while True:
            expression = self.expression()
            out.append((expression, self.word("asc", "desc") == "desc"))
            if self.word("nulls"):
                self.need("first") if not self.word("last") else None
            if not self.op(","):
                return out

    def _expressions(self):
        out = [self.expression()]
        while self.op(","):
            out.append(self.expression())
        return out

    # Expressions

    def expression(self, level=0):
        left = ("not", self.expression(3)) if self.word("not") else self._unary()
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            op = token.text.lower() if token.kind in ("op", "word") else ""
            strength = _BINARY.get(op, 0)
            if strength and strength > level:
                self.at += 1
                left = ("bin", op, left, self.expression(strength))
            elif level < _COMPARED and token.is_word("is", "in", "between", "like", "not"):
                left = self._predicate(left)
            else:
                break
        return left

    def _predicate(self, left):
        if self.word("is"):
            negated = self.word("not")
            self.need("null")
            out = ("isnull", left)
        else:
            negated = self.word("not")
            if self.word("in"):
                self.need("(")
                out = ("in", left, self._expressions())
                self.need(")")
            elif self.word("between"):
                low = self.expression(_COMPARED)
                self.need("and")
                out = ("bin", "and", ("bin", ">=", left, low), ("bin", "<=", left, self.expression(_COMPARED)))
            else:
                raise self.unknown("this predicate")
        return ("not", out) if negated else out

    def _unary(self):
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None:
            raise self.unknown("this (expression missing)")
        if self.op("-"):
            inner = self.expression(8)
            return (
                ("lit", -inner[1])
                if inner[0] == "lit" and type(inner[1]) in (int, float, Decimal)
                else ("bin", "-", ("lit", 0), inner)
            )
        if self.op("("):
            out = ("query", self.query()) if self.tokens[self.at].is_word("select") else self.expression()
            self.need(")")
            return self._fields(out)
        if token.kind in ("string", "raw"):
            text = self.string()
            while self.at < len(self.tokens) and self.tokens[self.at].kind == "string":
                text += self.string()
            return "lit", text
        self.at += 1
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "parameter":
            return "param", token.text[1:]
        if token.kind == "word":
            simple = {"null": None, "true": True, "false": False}
            low = token.text.lower()
            if low in simple:
                return "lit", simple[low]
            if low in ("cast", "try_cast") and self.op("("):
                return self._cast(low, self.at - 2)
            if low == "case":
                return self._case()
            if low == "exists" and self.at < len(self.tokens) and self.tokens[self.at].text == "(":
                return "exists", self.query()
            if (
                low in ("date", "timestamp", "timestamp_ntz")
                and self.at < len(self.tokens)
                and self.tokens[self.at].kind == "string"
            ):
                return "date_literal", self.string(), low.upper()
            if self.op("("):
                return self._call(low)
        if token.kind in ("word", "quoted"):
            self.at -= 1
            return "col", self.name().parts
        self.at -= 1
        raise self.unknown("this expression")

    def _fields(self, expression):
        while (
            self.at + 1 < len(self.tokens)
            and self.tokens[self.at].text == "."
            and self.tokens[self.at + 1].kind in ("word", "quoted")
        ):
            self.at += 1
            expression = ("field", expression, self.identifier())
        return expression

    def _cast(self, word, first):
        inner = self.expression()
        self.need("as")
        kind = self.type()
        self.need(")")
        return "cast", inner, kind, word == "try_cast", (self.tokens[first].start, self.tokens[self.at - 1].end)

    def _case(self):
        subject = None if self.tokens[self.at].is_word("when") else self.expression()
        branches, otherwise = [], ("lit", None)
        while self.word("when"):
            when = self.expression()
            self.need("then")
            branches.append((when if subject is None else ("bin", "=", subject, when), self.expression()))
        if self.word("else"):
            otherwise = self.expression()
        self.need("end")
        return "case", branches, otherwise

    def _call(self, name):
        if name == "count" and self.op("*"):
            self.need(")")
            return self._window("count", []) if self.word("over") else ("call", "count", [("lit", 1)], False)
        distinct, args = bool(self.word("distinct")), []
        if not self.op(")"):
            args = self._expressions()
            self.need(")")
        if self.word("over"):
            return self._window(name, args)
        return self._fields(("call", name, args, distinct))

    def _window(self, name, args):
        """row_number(), count(*), lead(e), last_value(e, true): the last one that is not null, up to the current
        row."""
        if (
            (name not in ("row_number", "count")
            and not (name == "lead" and len(args) == 1)
            and not (name == "last_value" and len(args) == 2 and args[1] == ("lit", True)))
            or (name == "count"
            and args)
        ):
            raise self.unknown(f"the window function {name}")
        self.need("(")
        partition = self._expressions() if self.words("partition", "by") else []
        order = self._order() if self.words("order", "by") else []
        self.need(")")
        return "window", partition, order, name, args[0] if args else None
