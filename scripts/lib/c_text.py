"""C as checks read it: tokens, includes, what a file defines and what a header declares."""
import re
from dataclasses import dataclass

TOKEN = re.compile(r"""
    (?P<space>[ \t\f\v\r]+|\\\n) | (?P<newline>\n) | (?P<comment>/\*.*?\*/|//[^\n]*) |
    (?P<text>L?"(?:\\.|[^"\\\n])*") | (?P<char>'(?:\\.|[^'\\\n])+') |
    (?P<directive>\#(?:\\\n|[^\n])*) | (?P<word>[A-Za-z_]\w*) | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*) | (?P<mark>->|.)
""", re.X | re.S)
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)
ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]+)|([0-7]{1,3})|(.))", re.S)
PLAIN = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}


@dataclass
class Token:
    kind: str  # text char word number mark directive
    value: str
    line: int
    file: str = ""


def tokens(text, name=""):
    """All but blanks and comments; the markers of `gcc -E` set file and line of what follows."""
    line, found = 1, []
    for match in TOKEN.finditer(text):
        kind, value = match.lastgroup, match.group()
        if kind == "directive":
            marker = re.match(r'#\s+(\d+)\s+"([^"]*)"', value)
            if marker:
                line, name = int(marker.group(1)) - 1, marker.group(2)
                continue
            found.append(Token(kind, value, line, name))
        elif kind not in ("space", "newline", "comment"):
            found.append(Token(kind, value, line, name))
        line += value.count("\n")
    return found


def literal(value):
    """What a C string literal stands for."""
    def one(match):
        number, octal, letter = match.groups()
        return chr(int(number, 16)) if number else chr(int(octal, 8)) if octal else PLAIN.get(letter, letter)
    return ESCAPE.sub(one, value[value.index('"') + 1:-1])


def closing(found, at):
    """The place of the mark that closes the one at `at`."""
    depth = 0
    for place in range(at, len(found)):
        if found[place].kind == "mark":
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(found[place].value, 0)
            if depth == 0:
                return place
    return len(found) - 1


def parts(found):
    """Tokens cut at the commas that stand in no bracket."""
    cut, depth = [[]], 0
    for token in found:
        if token.kind == "mark":
            depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(token.value, 0)
        if token.kind == "mark" and token.value == "," and depth == 0:
            cut.append([])
        else:
            cut[-1].append(token)
    return [part for part in cut if part]


def statements(found):
    """(head, body) of everything at the top of a file: a body is what stands in the braces of a function, else None."""
    head, at = [], 0
    while at < len(found):
        token = found[at]
        if token.kind == "directive":
            pass
        elif token.kind == "mark" and token.value == "{":
            end = closing(found, at)
            if head and head[-1].value == ")":
                yield head, found[at + 1:end]
                head = []
            else:  # a struct, an enum, the values of a table
                head = [*head, *found[at:end + 1]]
            at = end
        elif token.kind == "mark" and token.value == ";":
            if head:
                yield head, None
            head = []
        else:
            head.append(token)
        at += 1


def name_of(head):
    """(name, is a function, its parameters) of what stands at the top of a file; None for a type or a macro."""
    if head[0].value in ("typedef", "PG_MODULE_MAGIC", "PG_FUNCTION_INFO_V1", "StaticAssertDecl"):
        return None
    flat, depth = [], 0
    for place, token in enumerate(head):
        if token.kind == "mark" and token.value in "([{":
            if depth == 0:
                flat.append((token.value, place))
            depth += 1
        elif token.kind == "mark" and token.value in ")]}":
            depth -= 1
        elif depth == 0:
            flat.append((token.value, place))
    for place, (value, at) in enumerate(flat):
        if value == "(":
            before = flat[place - 1][0] if place else ""
            if before.startswith("pg_attribute") or before == "__attribute__":
                continue
            return (before, True, head[at:closing(head, at) + 1]) if place >= 2 else None
        if value == "=":
            break
    ends = next((place for place, (value, _) in enumerate(flat) if value in ("=", "[")), len(flat))
    names = [value for value, _ in flat[:ends]]
    if names[0] in ("struct", "enum", "union") and len(names) < 4:
        return None
    return (names[-1], False, []) if len(names) > 1 and re.match(r"[A-Za-z_]\w*$", names[-1]) else None


def defined(text):
    """{name: line} of the functions and variables that a .c makes for other C files."""
    names = {}
    for head, body in statements(tokens(text)):
        words = {token.value for token in head}
        found = name_of(head)
        if found is None or words & {"static", "extern", "PGDLLEXPORT"} or (found[1] and body is None):
            continue
        if found[1] and any(token.value == "PG_FUNCTION_ARGS" for token in found[2]):
            continue  # called by SQL
        names[found[0]] = next(token.line for token in head if token.value == found[0])
    exported = re.findall(r"^(?:pg_noreturn )?PGDLLEXPORT[^;]*?\b(\w+)\s*\(", text, re.M)
    return {name: line for name, line in names.items() if name not in exported}


def declared(text):
    """{name: line} of the functions and variables that a header promises."""
    names = {}
    for head, body in statements(tokens(text)):
        found = name_of(head)
        if found is None or body is not None or any(token.value == "static" for token in head):
            continue
        if found[1] or any(token.value == "extern" for token in head):
            names[found[0]] = next(token.line for token in head if token.value == found[0])
    return names


def includes(text):
    """(line, own or foreign mark, name) of each include."""
    return [(text.count("\n", 0, match.start()) + 1, match.group(1),
             match.group(2)) for match in INCLUDE.finditer(text)]
