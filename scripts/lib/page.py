"""How the sources look: widths, calls that may not be used, the order of settings and includes, typedefs.list."""
import itertools
import re

import c_text
import typedefs
from tree import Nothing, files, read

# The widest line of each kind, a tab counting to the next multiple of 4.
WIDTHS = [
    (100, ("src/**/*.c", "src/**/*.h", "unit/*.c", "unit/*.h", "fuzz/*.c", "fuzz/*.h", "bench/*.c", "t/flow/*.c",
           "scripts/lib/*.c", "scripts/lib/*.h")),
    (100, ("src/**/*.sql", "install/*.sql", "sql/*.sql", "specs/*.spec", "bench/*.sql")),
    (120, ("scripts/**/*.py", "simulator/**/*.py", "t/**/*.py", "bench/*.py")),
    (120, ("t/*.pl", "t/*.pm")),
    (120, ("scripts/*", "scripts/**/*.sh", "bench/*", "install/catalogue/*.sh", ".githooks/*", ".ci/*")),
]
NAMED_FILE = re.compile(r"(?<![\w/.<])(?:\.\./)?((?:[\w.]+/)*\w+\.(?:c|h|py|sql|pl|pm|txt|md|list|tsv|json))\b")
NOT_TEXT = {".tsv", ".md", ".lua"}
BANNED = {
    "sprintf": "snprintf", "vsprintf": "vsnprintf", "strcpy": "strlcpy", "strcat": "strlcat or a StringInfo",
    "gets": "fgets", "strtok": "strchr", "alloca": "palloc",
}


def _wide_list(tree):
    """{file: its line} of scripts/lib/wide.txt: the files that may still be too wide."""
    page = tree / "scripts" / "lib" / "wide.txt"
    lines = page.read_text().splitlines() if page.exists() else []
    return {line: number for number, line in enumerate(lines, 1) if line and not line.startswith("#")}


def too_wide(tree):
    """{file: [(line, columns, most)]} of all kinds; a kind without a file is a check that fell silent."""
    found, seen = {}, set()
    for most, patterns in WIDTHS:
        for path in files(tree, *patterns):
            if path in seen or path.suffix in NOT_TEXT:
                continue
            seen.add(path)
            for number, line in enumerate(read(path).splitlines(), 1):
                columns = len(line.expandtabs(4))
                if columns > most:
                    found.setdefault(str(path.relative_to(tree)), []).append((number, columns, most))
    return found


def widths(tree):
    wide, listed = too_wide(tree), _wide_list(tree)
    found = [f"{name}:{number} is {columns} columns wide, {most} are the most"
             for name, lines in wide.items() if name not in listed for number, columns, most in lines]
    return found + [f"scripts/lib/wide.txt:{number} names {name}, which is not too wide: take it from the list"
                    for name, number in listed.items() if name not in wide]


def banned_calls(tree):
    found, seen = [], 0
    for path in files(tree, "src/**/*.c", "src/**/*.h", "unit/*.c", "unit/*.h", "fuzz/*.c", "fuzz/*.h"):
        tokens = c_text.tokens(read(path))
        for token, after in itertools.pairwise(tokens):
            seen += token.kind == "word"
            if token.kind == "word" and token.value in BANNED and after.value == "(":
                found.append(f"{path.relative_to(tree)}:{token.line} calls {token.value}, which knows no bound: "
                             f"use {BANNED[token.value]}")
    if not seen:
        raise Nothing("no word of C was found")
    return found


PLAIN = re.compile(r"(\bE)?'(?:[^'\\]|''|(\\.))*'(?:\s*\n\s*'(?:[^']|'')*')*")


def no_plain_backslashes(tree):
    """A backslash in a plain literal means another thing where standard_conforming_strings is off: E'' says which."""
    found = []
    for path in files(tree, "install/*.sql"):
        if "_data" in path.name:
            continue
        text = re.sub(r"--[^\n]*", "", read(path))
        found += [f"install/{path.name}:{text.count(chr(10), 0, match.start()) + 1} has a backslash in a plain text: "
                  "write E'…'" for match in PLAIN.finditer(text) if match.group(2) and not match.group(1)]
    return found


def settings_sorted(tree):
    found, last = [], ""
    path = tree / "src" / "base" / "guc.c"
    names = list(re.finditer(r'\b[Dd]efine_?\w*\(\s*"exact_databricks\.(\w+)"',
                             path.read_text())) if path.exists() else []
    if not names:
        raise Nothing("no setting was found in src/base/guc.c")
    for match in names:
        line = path.read_text().count("\n", 0, match.start()) + 1
        if match.group(1) < last:
            found.append(f"src/base/guc.c:{line} defines {match.group(1)} behind {last}: settings stand in the order "
                         "of the alphabet")
        last = max(last, match.group(1))
    return found


def includes_sorted(tree):
    """
    First what others wrote, then own headers, in the order of the alphabet; the header of a .c itself may stand first.
    """
    found, seen = [], 0
    for path in files(tree, "src/**/*.c", "src/**/*.h"):
        name, last = path.relative_to(tree), ""
        for place, (line, mark, target) in enumerate(c_text.includes(read(path))):
            if place == 0 and target == str(path.relative_to(tree / "src").with_suffix(".h")):
                continue
            own = mark == '"' and (tree / "src" / target).exists()
            seen += own
            if own and target < last:
                found.append(f"{name}:{line} includes {target} behind {last}: own headers stand in the order of "
                             "the alphabet")
            elif not own and last:
                found.append(f"{name}:{line} includes {target} behind the own header {last}: own headers stand last")
            last = max(last, target) if own else last
    return found if seen else ["no include of an own header was found in src/"]


def typedefs_list(tree):
    """typedefs.list is what scripts/typedefs writes."""
    page = tree / "typedefs.list"
    there = page.read_text().split() if page.exists() else []
    made = typedefs.names(tree)
    return [f"typedefs.list:1 {verb} {name}: run scripts/typedefs" for verb, names in
            (("lacks", sorted(set(made) - set(there))), ("names the unknown", sorted(set(there) - set(made))))
            for name in names]


def inside(tree):
    """docs/inside.md stays short, and each file it names exists."""
    page = tree / "docs" / "inside.md"
    if not page.exists():
        raise Nothing("docs/inside.md does not exist")
    lines, found, seen = page.read_text().splitlines(), [], 0
    if len(lines) > 250:
        found.append(f"docs/inside.md:251 is the first line too many, 250 are the most of {len(lines)}")
    names = {str(path.relative_to(tree / "src")) for path in files(tree, "src/**/*.c", "src/**/*.h")} | {"coverage.txt"}
    for number, line in enumerate(lines, 1):
        for name in NAMED_FILE.findall(line):
            seen += 1
            if name not in names and not (tree / name).exists() and not (tree / "docs" / name).exists():
                found.append(f"docs/inside.md:{number} names {name}, which does not exist")
    return found if seen else ["docs/inside.md names no file"]


CHECKS = [
    ("no line is too wide", widths),
    ("no call without a bound", banned_calls),
    ("no plain literal of the install script has a backslash", no_plain_backslashes),
    ("settings are sorted", settings_sorted),
    ("includes are grouped and sorted", includes_sorted),
    ("typedefs.list is up to date", typedefs_list),
    ("docs/inside.md is short and names what exists", inside),
]
