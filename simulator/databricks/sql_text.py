"""The text of a SQL statement as tokens, and what it says about tables.

Nothing here executes SQL. Spark's lexical rules: backslash escapes in '...' and "..." literals, raw literals r'...',
backticks
doubled inside backticks, -- and nested /* */ comments, :name parameters.
"""

import re
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""(?:\s|--[^\n]*)*
      (?:(?P<raw>[rR](?:'[^']*'|"[^"]*"))
      |(?P<string>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      |(?P<quoted>`(?:[^`]|``)*`)
      |(?P<parameter>:(?=[A-Za-z_])\w+)
      |(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?:BD|[LSYDFlsydf])?(?!\w))
      |(?P<word>[A-Za-z_\u0080-\uffff0-9$][\w$]*)
      |(?P<comment>/\*)
      |(?P<op><=>|<>|!=|<=|>=|==|\|\||->|=>|::|.)
      |\Z)""",
    re.S | re.X,
)

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "b": "\b", "Z": "\x1a", "%": "\\%", "_": "\\_"}
FILE_FORMATS = {"text", "json", "csv", "parquet", "orc", "avro", "binaryfile", "delta"}
_NOT_A_NAME = {
    "select",
    "set",
    "where",
    "values",
    "from",
    "using",
    "on",
    "when",
    "as",
    "table",
    "delta",
    "lateral",
    "unnest",
    "with",
    "history",
    "detail",
    "extended",
    "formatted",
    "query",
    "if",
    "not",
    "exists",
    "into",
    "overwrite",
    "clone",
}


@dataclass(slots=True)
class Token:
    kind: str  # raw string quoted parameter number word op
    text: str
    start: int
    end: int

    def is_word(self, *words):
        return self.kind == "word" and self.text.lower() in words


def tokenize(text):
    """The significant tokens (no blanks, no comments) of `text`."""
    tokens, at, match_at = [], 0, _TOKEN.match
    while True:
        match = match_at(text, at)
        kind = match.lastgroup
        if kind is None:
            return tokens
        start, at = match.span(kind)
        if kind == "comment":
            at = _skip_block_comment(text, start)
        else:
            tokens.append(Token(kind, text[start:at], start, at))


def _skip_block_comment(text, at):
    depth, at = 1, at + 2
    while depth and at < len(text):
        if text.startswith("/*", at):
            depth, at = depth + 1, at + 2
        elif text.startswith("*/", at):
            depth, at = depth - 1, at + 2
        else:
            at += 1
    return at


def literal_value(token):
    """The value of a string literal token."""
    if token.kind == "raw":
        return token.text[2:-1]
    body = token.text[1:-1]
    if "\\" not in body:
        return body

    def unescape(match):
        found = match.group(1)
        if found[0] in "uU" and len(found) > 1:
            return chr(int(found[1:], 16))
        return _ESCAPES.get(found, found)

    return re.sub(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)", unescape, body, flags=re.S)


def name_value(token):
    """The identifier a token stands for: quoted ones without their backticks."""
    return token.text[1:-1].replace("``", "`") if token.kind == "quoted" else token.text


def quote(name):
    return "`" + name.replace("`", "``") + "`"


@dataclass
class Name:
    """A dotted name of a statement: its parts and where it stands (token indexes, last exclusive)."""

    parts: list
    first: int
    last: int

    def lower(self):
        return tuple(part.lower() for part in self.parts)


def read_name(tokens, at):
    """The dotted name that begins at token `at`, or None."""
    if at >= len(tokens) or tokens[at].kind not in ("word", "quoted"):
        return None
    parts, first = [name_value(tokens[at])], at
    at += 1
    while at + 1 < len(tokens) and tokens[at].text == "." and tokens[at + 1].kind in ("word", "quoted", "number"):
        parts.append(name_value(tokens[at + 1]))
        at += 2
    return Name(parts, first, at)


def split_statements(tokens):
    """The statements of a text: one, or those inside BEGIN ... END."""
    if not tokens:
        return []
    if not (tokens[0].is_word("begin") and len(tokens) > 1):
        return [tokens[:-1] if tokens[-1].text == ";" else tokens]
    statements, current = [], []
    for token in tokens[1:]:
        if token.text == ";":
            statements.append(current)
            current = []
        else:
            current.append(token)
    return [s for s in statements if s and not s[0].is_word("end")]


def skip_words(tokens, at, *words):
    """Past any of `words` that stand at `at`."""
    while at < len(tokens) and tokens[at].is_word(*words):
        at += 1
    return at


@dataclass
class Uses:
    """What one statement touches: names as written."""

    verb: str = ""
    kind: str = "other"  # select insert update delete merge create drop alter other
    target: Name | None = None
    replaces: bool = False  # CREATE OR REPLACE
    reads: list = field(default_factory=list)
    schemas: list = field(default_factory=list)
    files: list = field(default_factory=list)


_WRITES = {
    "insert": "insert",
    "merge": "merge",
    "update": "update",
    "delete": "delete",
    "truncate": "delete",
    "copy": "insert",
}


def find_uses(tokens):
    """The target table, the tables read, the schemas and files named by one statement."""
    uses = Uses()
    if not tokens:
        return uses
    uses.verb = tokens[0].text.lower()
    uses.kind = {"select": "select", "with": "select", "from": "select", "values": "select"}.get(uses.verb, "other")
    ddl = uses.verb in (
        "create",
        "replace",
        "alter",
        "drop",
        "comment",
        "describe",
        "desc",
        "show",
        "use",
        "optimize",
        "reorg",
        "vacuum",
        "restore",
        "refresh",
        "analyze",
        "fsck",
        "msck",
        "grant",
        "revoke",
        "explain",
    )
    if ddl:
        _find_ddl_uses(tokens, uses)
    start = 0
    if uses.verb == "with":
        start = _main_verb(tokens)
    if tokens[start].is_word(*_WRITES):
        _find_target(tokens, start, uses)
    _find_reads(tokens, uses, ddl)
    return uses


def _main_verb(tokens):
    """The index of the first word outside parentheses that begins the statement behind its WITH clause."""
    depth = 0
    for at, token in enumerate(tokens):
        depth += {"(": 1, ")": -1}.get(token.text, 0)
        if (
            depth == 0
            and at
            and token.is_word("select", "insert", "merge", "update", "delete")
            and tokens[at - 1].text == ")"
        ):
            return at
    return 0


def _find_target(tokens, at, uses):
    uses.kind = _WRITES[tokens[at].text.lower()]
    at = skip_words(tokens, at + 1, "into", "overwrite", "from", "table", "with", "schema", "evolution")
    uses.target = read_name(tokens, at)


def _find_ddl_uses(tokens, uses):
    kinds = {
        "create": "create",
        "replace": "create",
        "alter": "alter",
        "drop": "drop",
        "comment": "alter",
        "restore": "alter",
        "optimize": "alter",
        "reorg": "alter",
        "vacuum": "alter",
    }
    uses.kind = kinds.get(uses.verb, "other")
    uses.replaces = (
        uses.verb == "create" and len(tokens) > 2 and tokens[1].is_word("or") and tokens[2].is_word("replace")
    )
    at = skip_words(
        tokens,
        1,
        "or",
        "replace",
        "on",
        "external",
        "formatted",
        "extended",
        "history",
        "detail",
        "tblproperties",
        "columns",
        "in",
        "from",
        "create",
        "temporary",
        "temp",
        "global",
        "compute",
        "statistics",
    )
    what = tokens[at].text.lower() if at < len(tokens) and tokens[at].kind == "word" else ""
    if what in (
        "schema",
        "database",
        "schemas",
        "tables",
        "catalog",
        "volume",
        "catalogs",
        "volumes",
        "column",
        "namespace",
        "function",
        "functions",
    ):
        at = skip_words(tokens, at + 1, "if", "not", "exists", "in", "from", "extended")
        name = read_name(tokens, at)
        if name and what in ("schema", "database", "tables", "namespace"):
            uses.schemas.append(name)
        return
    at = skip_words(tokens, at, "table", "view", "if", "not", "exists", "extended", "formatted")
    name = read_name(tokens, at)
    if name is None or any(token.is_word("temporary", "temp") for token in tokens[1:at]):
        return
    if uses.kind == "other" and uses.verb in ("describe", "desc", "show"):
        uses.reads.append(name)
    elif uses.verb not in ("use", "grant", "revoke", "explain"):
        uses.target = name


def _find_reads(tokens, uses, ddl):
    ctes = {name_value(tokens[i]).lower() for i in range(len(tokens) - 2)
            if tokens[i].kind in ("word", "quoted") and tokens[i + 1].is_word("as") and tokens[i + 2].text == "("}
    for at, token in enumerate(tokens[:-1]):
        if not token.is_word("from", "join", "using"):
            continue
        if ddl and token.is_word("using"):
            continue
        if at and tokens[at - 1].is_word("distinct"):
            continue
        if uses.verb in ("delete", "show") and at == 1:
            continue
        following = tokens[at + 1]
        if following.kind not in ("word", "quoted") or following.is_word(*_NOT_A_NAME):
            continue
        name = read_name(tokens, at + 1)
        if name.last < len(tokens) and tokens[name.last].text == "(":
            continue
        if len(name.parts) == 2 and name.parts[0].lower() in FILE_FORMATS and "/" in name.parts[1]:
            uses.files.append(name)
        elif not (len(name.parts) == 1 and name.lower()[0] in ctes):
            uses.reads.append(name)
