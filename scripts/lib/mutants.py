"""Slips that a programmer makes: every place of a file of C or SQL where one may be made, and what it becomes."""
import re
from dataclasses import dataclass

import c_text

SQL_QUIET = re.compile(r"--[^\n]*|'(?:[^']|'')*'|/\*.*?\*/", re.S)
SWAPS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "=": "<>", "<>": "=",
         "&&": "||", "||": "&&", "AND": "OR", "OR": "AND", "true": "false", "false": "true",
         "least": "greatest", "greatest": "least", "IS NOT NULL": "IS NULL", "IS NULL": "IS NOT NULL"}
C_MARKS = re.compile(r"(?<![-<>])(?:<=|>=|<|>)(?![<>=])|(?<!=)[=!]=(?!=)|&&|\|\||\b(?:true|false)\b")
SQL_MARKS = re.compile(r"(?<![-<>=!:~@|&#])(?:<=|>=|<>|<|>|=)(?![<>=@])|\b(?:AND|OR)\b|\b(?:true|false)\b"
                       r"|\b(?:least|greatest)(?=\()|\bIS(?: NOT)? NULL\b")
NUMBER = re.compile(r"(?<![\w.\[$'\"])(?:[2-9]|[1-9]\d+)(?:\.\d+)?(?![\w.'\"])")
LIMIT = re.compile(r"^#define \w+\s+\(?(\d{1,9})\b", re.M)
INTERVAL = re.compile(r"\binterval '(\d+)\b|'(\d+) (?:days?|hours?|minutes?|seconds?|s)'")
STEP = re.compile(r" [-+] 1\b(?![.\w])")
NOT = re.compile(r"(?<![\w.])NOT (?!NULL\b|MATERIALIZED|DEFERRABLE|VALID|LEAKPROOF)|!(?=[\w(])")
C_CONDITION = re.compile(r"\bif \((.+)\)$", re.M)
SQL_CONDITION = re.compile(r"\b(?:ELS)?IF (.+) THEN$", re.M)
C_STATEMENT = re.compile(r"^\t+(?!return|break|continue|goto|case|pfree|free|explicit_bzero|Assert|static|const)"
                         r"(?:[a-z_]\w*(?:\(|->|\.|\[| [-+|&]?= |\+\+|--)).*;$")
SQL_STATEMENT = re.compile(r"^\s+(?!RETURN|EXIT|CONTINUE|DECLARE|BEGIN|END\b|GRANT|NULL)[A-Za-z_]\w* .*;$")
ASSIGNMENT = re.compile(r"^\s+(\S+) :?= (.*);$")
OPENS = re.compile(r"(?:[;{}]|\b(?:BEGIN|THEN|ELSE|LOOP))$")
WITHOUT_WEIGHT = re.compile(r"^\s*(?:COMMENT|GRANT|REVOKE|CREATE (?:INDEX|TRIGGER)|RAISE)\b")


@dataclass(frozen=True)
class Mutant:
    name: str  # of the file, below the tree
    line: int
    change: str
    start: int
    end: int
    text: str  # what stands from start to end instead

    def of(self, whole):
        return whole[:self.start] + self.text + whole[self.end:]


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def _bare(name, text):
    """The text without comments, literals and directives, each character in its place."""
    if name.endswith(".sql"):
        return SQL_QUIET.sub(_blank, text)
    return c_text.TOKEN.sub(lambda match: _blank(match) if match.lastgroup in ("comment", "text", "char", "directive")
                            else match.group(), text)


def _apart(one, other):
    """Two assignments of which neither reads or writes what the other writes: their order is no matter."""
    first, second = ASSIGNMENT.match(one), ASSIGNMENT.match(other)
    return bool(first and second and "(" not in first.group(2) + second.group(2)
                and first.group(1) != second.group(1)
                and first.group(1) not in second.group(2) and second.group(1) not in first.group(2))


def _orders(lines, statement):
    """(number, number of lines, what they become): a statement left out, two in the other order."""
    for number in range(1, len(lines)):
        if not (statement.match(lines[number]) and OPENS.search(lines[number - 1].rstrip())):
            continue
        yield number, 1, ""
        after = lines[number + 1] if number + 1 < len(lines) else ""
        indent = len(lines[number]) - len(lines[number].lstrip())
        if (statement.match(after) and len(after) - len(after.lstrip()) == indent
                and not _apart(lines[number], after)):
            yield number, 2, None


def mutants(name, text):
    sql, bare = name.endswith(".sql"), _bare(name, text)
    found = []

    def add(start, end, new, words=None):
        words = words or f"{text[start:end].strip()} → {new.strip() or 'nothing'}"
        found.append(Mutant(name, text.count("\n", 0, start) + 1, words, start, end, new))
    for match in (SQL_MARKS if sql else C_MARKS).finditer(bare):
        add(match.start(), match.end(), SWAPS[match.group()])
    for match in NUMBER.finditer(bare):
        if "." not in match.group():
            add(match.start(), match.end(), str(int(match.group()) + 1))
    for match in STEP.finditer(bare):
        add(match.start(), match.end(), "")
    for match in NOT.finditer(bare):
        if sql == match.group().startswith("NOT"):
            add(match.start(), match.end(), "")
    for match in (SQL_CONDITION if sql else C_CONDITION).finditer(bare):
        condition = text[match.start(1):match.end(1)]
        never = f"(false AND ({condition}))" if sql else f"0 && ({condition})"
        add(match.start(1), match.end(1), never, "the condition is never true")
    for match in (INTERVAL if sql else LIMIT).finditer(text):
        group = 1 if match.group(1) else 2
        add(match.start(group), match.end(group), str(int(match.group(group)) + 1))
    lines, bare_lines = text.split("\n"), bare.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    for number, many, new in _orders(bare_lines, SQL_STATEMENT if sql else C_STATEMENT):
        first = lines[number].strip()
        words = f"without `{first}`" if many == 1 else f"`{first}` after the next statement"
        if new is None:
            new = lines[number + 1] + "\n" + lines[number]
        found.append(Mutant(name, number + 1, words, starts[number], starts[number + many] - 1, new))
    return [mutant for mutant in found if not WITHOUT_WEIGHT.match(lines[mutant.line - 1])]
