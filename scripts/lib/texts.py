"""
Checks of the texts themselves: what the library exports, how errors are raised, what may not stand in the repository.

Run by itself (.githooks/pre-commit) it makes the checks that need no build, and ends with status 1 when one finds
something.
"""
import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys

import floors
import install_script
import manual
import page
import reference
import supply
import writers
from tree import Nothing, files, read

MOST_LINES = 800
# written with a class each, so that this file does not match itself
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e])/(?!\$)|/tmp/bri[e]fs")
REGISTRIES = re.compile(r"mave[n]\.org|maven\.apach[e]\.org|pyp[i]\.org|pythonhoste[d]|npmj[s]")
UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b|\bplaceholde[r] \b")


def _matching(tree, pattern, *patterns):
    found = []
    for path in files(tree, *patterns):
        if path.suffix in (".jar", ".tsv"):
            continue
        for number, line in enumerate(read(path).splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(tree)}:{number}: {line.strip()[:120]}")
    return found


def exports(tree):
    """Only what SQL calls, the magic block and the entry point; the names carry the product's prefix."""
    library = tree / "exact_databricks.so"
    if not library.exists():
        return ["exact_databricks.so was not built"]
    names = subprocess.run(["nm", "-D", "--defined-only", library], capture_output=True, text=True, check=True).stdout
    found = [line.split()[-1] for line in names.splitlines() if line.split()[-2] != "A"]
    if not found:
        raise Nothing("exact_databricks.so exports nothing")
    return [f"exported: {n}" for n in found if not re.match(r"(Pg_magic_func|_PG_init|pg_finfo_exact_\w+|exact_\w+)$",
                                                            n)]


def own_symbols(tree):
    """
    Every symbol that is global inside the library is named exact_<module>_<verb>, or is of the frame of PostgreSQL.
    """
    found = []
    objects = sorted((tree / "src").rglob("*.o"))
    if not objects:
        return ["no object file was found"]
    for path in objects:
        names = subprocess.run(["nm", "-g", "--defined-only", path], capture_output=True, text=True, check=True).stdout
        found += [f"{path.name}: {line.split()[-1]}" for line in names.splitlines() if line.strip() and
                  not re.match(r"(Pg_magic_func|_PG_init|pg_finfo_exact_\w+|exact_\w+)$", line.split()[-1])]
    return found


def versions_in_compat(tree):
    found = _matching(tree, re.compile("PG_VERSION_NUM"), "src/**/*.c", "src/**/*.h")
    others = [line for line in found if not line.startswith("src/base/compat.h:")]
    return others if len(others) < len(found) else ["src/base/compat.h tells no versions apart", *others]


def _call(text, start):
    """The text of a call from its opening parenthesis to the closing one, strings and comments respected."""
    depth, at = 0, start
    while at < len(text):
        quoted = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|/\*.*?\*/", re.S).match(text, at)
        if quoted:
            at = quoted.end()
            continue
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
        if depth == 0:
            break
    return text[start:at]


def errors_have_codes(tree):
    found, seen = [], 0
    for path in files(tree, "src/**/*.c"):
        text = read(path)
        for match in re.finditer(r"\bereport\s*(?=\()", text):
            call, seen = _call(text, match.end()), seen + 1
            if re.match(r"\(\s*(ERROR|FATAL|PANIC)\b", call) and "errcode" not in call and "errcode_for" not in call:
                found.append(f"{path.relative_to(tree)}:{text.count(chr(10), 0, match.start()) + 1}: "
                             f"{' '.join(call.split())[:100]}")
    return found if seen else ["no ereport was found in src/"]


def sizes(tree):
    return [f"{path.relative_to(tree)}:{MOST_LINES + 1} is the first line too many of {len(read(path).splitlines())}"
            for path in files(tree, "**/*.c", "**/*.h", "**/*.py", "**/*.sh")
            if len(read(path).splitlines()) > MOST_LINES]


def scripts_parse(tree):
    found = []
    for path in files(tree, "scripts/*", "scripts/lib/*.sh", ".ci/*", ".githooks/*"):
        if path.suffix in ("", ".sh"):
            found += subprocess.run(["bash", "-n", path], capture_output=True, text=True).stderr.splitlines()
    for path in files(tree, "**/*.py"):
        try:
            ast.parse(read(path), str(path))
        except SyntaxError as error:
            found.append(f"{path}: {error}")
    return found


def simulators_stand_alone(tree):
    """The simulators import nothing of the product, and the comparison neither."""
    product, found = {"scripts", "truth", "hub", "install", "t"}, []
    for path in files(tree, "simulator/**/*.py"):
        for node in ast.walk(ast.parse(read(path))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [f"{path.relative_to(tree)}:{node.lineno} imports {name}" for name in names
                      if name.split(".")[0] in product]
    return found


def python_lint(tree):
    """ruff.toml's rules; None where ruff cannot be had."""
    tools = pathlib.Path(os.environ.get("EXACT_DATABRICKS_TOOLS", tree / "absent")) / "bin" / "ruff"
    ruff = tools if tools.exists() else shutil.which("ruff")
    if ruff is None:
        return None
    done = subprocess.run([ruff, "check", "--no-cache", "--quiet", "--output-format", "concise", "."], cwd=tree,
                          capture_output=True, text=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return lines or [f"ruff ended with status {done.returncode}"] if done.returncode else []


def manual_names_files(tree):
    """Every path that the manual names in backticks exists."""
    named = [(page, name) for page in manual.pages(tree)
             for name in re.findall(r"`((?:scripts|simulator|docs|bench|t|src|install)/[\w./-]*)`", read(page))]
    if not named:
        raise Nothing("the manual names no path")
    return [f"{page.name} names {name}, which does not exist" for page, name in named if not (tree / name).exists()]


def hints_stay_hints(tree):
    """The library does not know the field of a notification that holds an address, so that it cannot call it."""
    return _matching(tree, re.compile("ExactOnlineEndpoint"), "src/**/*.c", "src/**/*.h", "install/*.sql")


# (name, check): those of the texts alone, which take seconds, and those of what the build made
OF_TEXTS = [
    ("versions of PostgreSQL are told apart in compat.h alone", versions_in_compat),
    ("every error has a code", errors_have_codes),
    ("no file is longer than it may be", sizes),
    ("no path of a machine", lambda tree: _matching(tree, MACHINE_PATHS)),
    ("no host of a package registry", lambda tree: _matching(tree, REGISTRIES)),
    ("nothing is marked as unfinished", lambda tree: _matching(tree, UNFINISHED)),
    ("scripts and programs parse", scripts_parse),
    ("Python is as ruff wants it", python_lint),
    ("the simulators stand alone", simulators_stand_alone),
    ("the manual names what exists", manual_names_files),
    ("links of the manual lead somewhere", manual.links),
    ("functions, views and tables of the manual exist", manual.objects),
    ("functions and views are described as the extension does", reference.generated),
    ("every error code is explained", manual.error_codes),
    ("every setting is explained", manual.settings),
    ("every metric is explained, and alerts ask for real ones", manual.metrics),
    ("each row of docs/security.md names its test", manual.security),
    ("no address in a notification is read", hints_stay_hints),
    ("everything that is fetched is pinned by its SHA-256", supply.pinned),
    *floors.CHECKS, *writers.CHECKS, *page.CHECKS,
]
OF_THE_BUILD = [
    ("the library exports only its own names", exports),
    ("global symbols carry the prefix", own_symbols),
    ("pgspot finds nothing in the install script", install_script.findings),
]


def text_checks(tree, checks):
    """(name, problems) of each check; problems are None when it could not be made here."""
    tree = pathlib.Path(tree)
    for name, check in checks:
        try:
            yield name, check(tree)
        except Nothing as nothing:
            yield name, [str(nothing)]


def main(tree):
    bad = 0
    for name, problems in text_checks(tree, OF_TEXTS):
        for problem in problems or []:
            print(f"{name}: {problem}")
        bad += bool(problems)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(__file__).resolve().parents[2]))
