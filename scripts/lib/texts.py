"""Checks of the texts themselves: what the library exports, how errors are raised, what may not stand in the repository."""
import ast
import pathlib
import re
import subprocess

import manual

MOST_LINES = 800
SKIPPED = {".git", "tmp_check", "__pycache__"}
# written with a class each, so that this file does not match itself
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:wor[k]|roo[t]|hom[e])/(?!\$)|/tmp/bri[e]fs")
REGISTRIES = re.compile(r"mave[n]\.org|maven\.apach[e]\.org|pyp[i]\.org|pythonhoste[d]|npmj[s]")
UNFINISHED = re.compile(r"\b(?:TOD[O]|FIXM[E]|XX[X])\b|\bplaceholde[r] \b")


def _files(tree, *suffixes):
    for path in sorted(tree.rglob("*")):
        if path.is_file() and not SKIPPED & set(path.relative_to(tree).parts) and (not suffixes or path.suffix in suffixes):
            yield path


def _read(path):
    try:
        return path.read_text()
    except UnicodeDecodeError:
        return ""


def _matching(tree, pattern, *suffixes):
    found = []
    for path in _files(tree, *suffixes):
        if path.suffix in (".o", ".so", ".bc", ".jar", ".tsv"):
            continue
        for number, line in enumerate(_read(path).splitlines(), 1):
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
    return [f"exported: {n}" for n in found if not re.match(r"(Pg_magic_func|_PG_init|pg_finfo_exact_\w+|exact_\w+)$", n)]


def own_symbols(tree):
    """Every symbol that is global inside the library is named exact_<module>_<verb>, or is of the frame of PostgreSQL."""
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
    found = _matching(tree / "src", re.compile("PG_VERSION_NUM"), ".c", ".h")
    others = [line for line in found if not line.startswith("base/compat.h:")]
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
    for path in _files(tree / "src", ".c"):
        text = _read(path)
        for match in re.finditer(r"\bereport\s*(?=\()", text):
            call, seen = _call(text, match.end()), seen + 1
            if re.match(r"\(\s*(ERROR|FATAL|PANIC)\b", call) and "errcode" not in call and "errcode_for" not in call:
                found.append(f"{path.name}:{text.count(chr(10), 0, match.start()) + 1}: {' '.join(call.split())[:100]}")
    return found if seen else ["no ereport was found in src/"]


def sizes(tree):
    return [f"{p.relative_to(tree)}: {len(_read(p).splitlines())} lines" for p in _files(tree, ".c", ".h", ".py", ".sh")
            if len(_read(p).splitlines()) > MOST_LINES]


def scripts_parse(tree):
    found = []
    for path in [*(tree / "scripts").iterdir(), *(tree / "scripts" / "lib").glob("*.sh"), tree / ".ci" / "run"]:
        if path.is_file() and path.suffix in ("", ".sh"):
            done = subprocess.run(["bash", "-n", path], capture_output=True, text=True)
            found += done.stderr.splitlines()
    for path in _files(tree, ".py"):
        try:
            ast.parse(_read(path), str(path))
        except SyntaxError as error:
            found.append(f"{path}: {error}")
    return found


def simulators_stand_alone(tree):
    """The simulators import nothing of the product, and the comparison neither."""
    allowed = {"simulator", "exact_online", "databricks"}
    found = []
    for path in _files(tree / "simulator", ".py"):
        for node in ast.walk(ast.parse(_read(path))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found += [f"{path.relative_to(tree)} imports {n}" for n in names if n.split(".")[0] in ("scripts", "truth", "hub", "install", "t") and n.split(".")[0] not in allowed]
    return found


def manual_names_files(tree):
    """Every path that the manual names in backticks exists."""
    return [f"{page.name} names {name}, which does not exist" for page in manual.pages(tree)
            for name in re.findall(r"`((?:scripts|simulator|docs|bench|t|src|install)/[\w./-]*)`", _read(page)) if not (tree / name).exists()]


def text_checks(tree):
    """(name, problems) of every check."""
    tree = pathlib.Path(tree)
    return [
        ("the library exports only its own names", exports(tree)),
        ("global symbols carry the prefix", own_symbols(tree)),
        ("versions of PostgreSQL are told apart in compat.h alone", versions_in_compat(tree)),
        ("every error has a code", errors_have_codes(tree)),
        ("no file is longer than it may be", sizes(tree)),
        ("no path of a machine", _matching(tree, MACHINE_PATHS)),
        ("no host of a package registry", _matching(tree, REGISTRIES)),
        ("nothing is marked as unfinished", _matching(tree, UNFINISHED)),
        ("scripts and programs parse", scripts_parse(tree)),
        ("the simulators stand alone", simulators_stand_alone(tree)),
        ("the manual names what exists", manual_names_files(tree)),
        ("links of the manual lead somewhere", manual.links(tree)),
        ("functions, views and tables of the manual exist", manual.objects(tree)),
        ("every error code is explained", manual.error_codes(tree)),
        ("every setting is explained", manual.settings(tree)),
        ("every metric is explained, and alerts ask for real ones", manual.metrics(tree)),
    ]
