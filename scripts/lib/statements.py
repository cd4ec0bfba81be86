"""
Every SQL statement that C hands to exact_sql(), found in what `gcc -E` makes of src/: its text, its place, its
parameters.

A text is a static constant (base/sql.h), so it can be found without running anything: a literal in the call, an array
that the call names, a choice between two, or an argument of a function that hands it on.
"""
import concurrent.futures
import itertools
import os
import pathlib
import re
import shlex
import subprocess
from dataclasses import dataclass

import c_text
from tree import Nothing, files

FLOOR = 150  # fewer statements than these mean that this file no longer understands the sources
ARGUMENT_TYPES = {
    "exact_arg_text": "text", "exact_arg_text_n": "text", "exact_arg_int4": "int4", "exact_arg_int8": "int8",
    "exact_arg_bool": "bool", "exact_arg_float8": "float8", "exact_arg_bytea": "bytea", "exact_arg_time": "timestamptz",
    "exact_arg_text_array": "text[]", "exact_arg_bytea_array": "bytea[]", "exact_arg_int8_array": "int8[]",
    "exact_arg_int4_array": "int4[]",
}
SPI = re.compile(r"SPI_(prepare|exec|execute|cursor_open|cursor_parse)\w*$")
# pg_type.h's numbers, which exact_arg_null(TEXTOID) becomes
OIDS = {"16": "bool", "17": "bytea", "20": "int8", "21": "int2", "23": "int4", "25": "text", "701": "float8",
        "1082": "date",
        "1114": "timestamp", "1184": "timestamptz", "2950": "uuid", "3802": "jsonb", "1009": "text[]",
        "1001": "bytea[]",
        "1016": "int8[]", "1007": "int4[]", "1185": "timestamptz[]"}
# Texts that are put together while the program runs, by file and function, with the reason. They are not PREPAREd.
COMPOSED = {"src/document/user_rule.c call_function": "calls a customer's function, whose name is quoted"}


@dataclass
class Statement:
    place: str  # file:line of its text
    text: str
    types: tuple  # a type name for each parameter, or unknown where PostgreSQL is to infer it
    given: int  # how many parameters the call says it gives; -1 when it is not a number


@dataclass
class Function:
    name: str
    file: str
    parameters: list  # names
    body: list  # tokens
    texts: dict  # the constants of its file


def preprocessed(tree, path, flags):
    """The tokens of the tree's own files in the translation unit."""
    done = subprocess.run(["gcc", "-E", *flags, path.relative_to(tree)], cwd=tree, capture_output=True, text=True)
    if done.returncode:
        raise Nothing(f"{path.relative_to(tree)}:1 cannot be preprocessed: {done.stderr.strip()[:300]}")
    lines, own = [], False
    for line in done.stdout.splitlines():  # only what is ours is worth cutting into tokens
        marker = re.match(r'# \d+ "([^"]*)"', line)
        own = marker.group(1).startswith("src/") if marker else own
        if own:
            lines.append(line)
    return c_text.tokens("\n".join(lines))


def compiler_flags(tree):
    """What the Makefile gives the preprocessor."""
    config = os.environ.get("EXACT_DATABRICKS_PG_BIN", "/usr/lib/postgresql/15/bin") + "/pg_config"
    server = subprocess.run([config, "--includedir-server"], capture_output=True, text=True, check=True).stdout.strip()
    packages = subprocess.run(["pkg-config", "--cflags", "libcurl", "libcrypto", "libmicrohttpd"], capture_output=True,
                              text=True, check=True).stdout
    version = re.search(r"default_version *= *'([^']*)'", (tree / "exact_databricks.control").read_text()).group(1)
    return ["-D_GNU_SOURCE", "-Isrc", f'-DEXACT_VERSION="{version}"', *shlex.split(packages), "-isystem", server]


def _texts(found):
    """{name: [(place, text)]} of the constants: `char x[] = "…"`, `char *x = "…"`, `char *const x[] = {"…"}`."""
    named = {}
    for at, token in enumerate(found):
        if token.value == "=" and token.kind == "mark" and at >= 2:
            back = at - 1
            while back > 0 and found[back].value == "]":
                while found[back].value != "[":
                    back -= 1
                back -= 1
            if found[back].kind != "word" or not any(t.value == "char" for t in found[max(0, back - 6):back]):
                continue
            end = at + 1
            while end < len(found) and found[end].value not in (";", ","):
                end = c_text.closing(found, end) + 1 if found[end].value in ("(", "{") else end + 1
            texts = _literals(found[at + 1:end])
            if texts:
                named[found[back].value] = texts
    return named


def _literals(found):
    """Each run of string literals as one text."""
    texts, last = [], None
    for token in found:
        if token.kind == "text":
            if last is None:
                texts.append((f"{token.file}:{token.line}", ""))
            texts[-1] = (texts[-1][0], texts[-1][1] + c_text.literal(token.value))
        last = token if token.kind == "text" else None
    return texts


def _functions(found):
    """The functions of one translation unit, with the constants that stand outside of them."""
    heads = list(c_text.statements(found))
    outside = {}
    for head, body in heads:
        if body is None:
            outside.update(_texts([*head, c_text.Token("mark", ";", head[-1].line)]))
    for head, body in heads:
        name = c_text.name_of(head) if body is not None else None
        if name and name[1]:
            parameters = [[t.value for t in part if t.kind == "word"][-1:] for part in c_text.parts(name[2][1:-1])]
            yield Function(name[0], head[0].file, [p[0] if p else "" for p in parameters], body, outside)


def _calls(function, name):
    """(place in the body, arguments as tokens) of each call of a function."""
    for at, token in enumerate(function.body[:-1]):
        if token.kind == "word" and token.value == name and function.body[at + 1].value == "(":
            yield at, c_text.parts(function.body[at + 2:c_text.closing(function.body, at + 1)])


def _of_choice(found):
    """The branches of `a ? b : c`, or the whole."""
    depth, marks = 0, []
    for place, token in enumerate(found):
        if token.kind == "mark":
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.value, 0)
            if depth == 0 and token.value in "?:":
                marks.append(place)
    if not marks:
        if found and found[0].value == "(" and c_text.closing(found, 0) == len(found) - 1:
            return _of_choice(found[1:-1])
        return [found]
    cuts = [*marks, len(found)]
    return [found[start + 1:end] for start, end in itertools.pairwise(cuts)]


def _argument_type(found, file, everything, depth=0):
    """The type of one ExactArg, also of one that a function of the file makes; unknown when it cannot be read."""
    types = set()
    for at, token in enumerate(found):
        if token.value in ARGUMENT_TYPES:
            types.add(ARGUMENT_TYPES[token.value])
        elif token.value == "exact_arg_null" and at + 2 < len(found):
            types.add(OIDS.get(found[at + 2].value, "unknown"))
    if not types and depth == 0 and len(found) > 1 and found[1].value == "(":
        types = {_argument_type(each.body, file, everything, 1) for each in everything
                 if each.name == found[0].value and each.file == file}
    return types.pop() if len(types) == 1 else "unknown"


def _types(function, until, expression, n, everything, depth=0):
    """
    The types of the n parameters in an array of ExactArg, as far as they can be read: it is made or filled before the
    call, by the caller, or by a function that returns it.
    """
    types, words = ["unknown"] * n, [token.value for token in expression if token.kind == "word"]
    if not words or depth > 2:
        return types
    name, before = words[0], function.body[:until]
    if len(expression) > 1 and expression[1].value == "(":
        for each in everything:
            if each.name == name and each.file == function.file:
                end = max(at for at, token in enumerate(each.body) if token.value == "return")
                types = _types(each, end, each.body[end + 1:_end(each.body, end)], n, everything, depth + 1)
        return types
    if name in function.parameters:
        place = function.parameters.index(name)
        for caller in everything:
            if caller.file == function.file:
                for at, arguments in _calls(caller, function.name):
                    types = _types(caller, at, arguments[place], n, everything, depth + 1)
    for at, token in enumerate(before):
        if token.kind == "word" and before[at + 1:] and before[at + 1].value == "(" and depth < 2:
            types = _filled(function, before, at, name, types, everything, depth)
        if token.value != name or token.kind != "word":
            continue
        after = before[at + 1:]
        values = [t.value for t in after[:5]]
        if values[:1] == ["="] and n:
            types[0] = _argument_type(after[1:_end(after, 1)], function.file, everything)
        elif values[:1] == ["["] and "=" in values[:4] and values[values.index("=") - 1] == "]":
            start = values.index("=") + 1
            if after[start].value == "{":
                made = c_text.parts(after[start + 1:c_text.closing(after, start)])[:n]
                types[:len(made)] = [_argument_type(part, function.file, everything) for part in made]
            elif values[1].isdigit() and int(values[1]) < n:
                value = after[start:_end(after, start)]
                copied = [t.value for t in value]
                if copied[:2] == [name, "["] and copied[2].isdigit() and int(copied[2]) < n:
                    types[int(values[1])] = types[int(copied[2])]
                else:
                    types[int(values[1])] = _argument_type(value, function.file, everything)
    return types


def _filled(function, body, at, name, types, everything, depth):
    """The types after a call of a function of the file that is handed the array and fills it."""
    arguments = c_text.parts(body[at + 2:c_text.closing(body, at + 1)])
    place = next((n for n, part in enumerate(arguments) if [t.value for t in part] == [name]), None)
    for each in everything if place is not None else []:
        if each.name == body[at].value and each.file == function.file and place < len(each.parameters):
            inside = [c_text.Token("word", each.parameters[place], 0)]
            new = _types(each, len(each.body), inside, len(types), everything, depth + 1)
            return [a if a != "unknown" else b for a, b in zip(new, types)]
    return types


def _end(found, at):
    """The place of the semicolon or comma behind an expression."""
    while at < len(found) and found[at].value not in (";", ","):
        at = c_text.closing(found, at) + 1 if found[at].value in ("(", "{", "[") else at + 1
    return at


def _resolve(function, until, expression, everything, seen=()):
    """[(place, text)] of an expression that names a statement; None where a part of it cannot be found."""
    found = []
    for branch in _of_choice(expression):
        words = [token.value for token in branch if token.kind == "word" and token.value not in ("const", "char")]
        texts = None
        if branch and all(token.kind == "text" for token in branch):
            texts = _literals(branch)
        elif words:
            texts = _texts(function.body[:until]).get(words[0]) or function.texts.get(words[0])
            if texts is None:
                texts = _listed(function, until, words[0], everything, seen)
            if texts is None and words[0] in function.parameters and function.name not in seen:
                texts = _handed_on(function, function.parameters.index(words[0]), everything, seen)
            elif texts is None and len(branch) > 1 and branch[1].value == "(":
                texts = _returned(words[0], everything)
        if texts is None:
            return None
        found += texts
    return found


def _listed(function, until, name, everything, seen):
    """The texts of `const char *const name[] = {[ONE] = one_sql, …}`."""
    body = function.body
    for at in range(until - 1):
        if body[at].value == name and body[at + 1].value == "[":
            end = c_text.closing(body, at + 1)
            if [token.value for token in body[end + 1:end + 3]] == ["=", "{"]:
                found = []
                for part in c_text.parts(body[end + 3:c_text.closing(body, end + 2)]):
                    value = part[c_text.closing(part, 0) + 2:] if part[0].value == "[" else part
                    found.append(_resolve(function, at, value, everything, seen))
                return None if None in found else [text for texts in found for text in texts]
    return None


def _handed_on(function, place, everything, seen):
    """The texts with which a function that takes a statement is called."""
    found = []
    for caller in everything:
        if caller.file != function.file and not function.name.startswith("exact_"):
            continue
        for at, arguments in _calls(caller, function.name):
            texts = _resolve(caller, at, arguments[place], everything, (*seen, function.name))
            if texts is None:
                return None
            found += texts
    return found or None


def _returned(name, everything):
    """The texts that a function returns."""
    found = []
    for function in everything:
        if function.name == name:
            for at, token in enumerate(function.body):
                if token.value == "return":
                    texts = _resolve(function, at, function.body[at + 1:_end(function.body, at + 1)],
                                     everything, (name,))
                    if texts is None:
                        return None
                    found += texts
    return found or None


def find(tree):
    """(statements, sentences about calls whose text was not found)."""
    flags, statements, lost, composed = compiler_flags(tree), {}, [], set()
    units = [path for path in files(tree, "src/**/*.c") if "sql" in path.read_text().lower()]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        everything = [function for found in pool.map(lambda path: preprocessed(tree, path, flags), units)
                      for function in _functions(found)]
    for function in everything:
        direct = [f"{token.file}:{token.line} calls {token.value}: SQL goes through exact_sql()"
                  for token in function.body
                  if token.kind == "word" and SPI.match(token.value) and function.file != "src/base/sql.c"]
        if direct and f"{function.file} {function.name}" in COMPOSED:
            composed.add(f"{function.file} {function.name}")
        else:
            lost += direct
        for at, arguments in _calls(function, "exact_sql"):
            place = f"{function.file}:{function.body[at].line}"
            if f"{function.file} {function.name}" in COMPOSED:
                composed.add(f"{function.file} {function.name}")
                continue
            texts = _resolve(function, at, arguments[0], everything)
            if texts is None:
                lost.append(f"{place} hands a statement to exact_sql() whose text was not found")
                continue
            count = "".join(token.value for token in arguments[1])
            for where, text in texts:
                highest = max([0, *map(int, re.findall(r"\$(\d+)", text))])
                given = int(count) if count.isdigit() else -1
                types = _types(function, at, arguments[2] if len(arguments) > 2 else [],
                               max(highest, given), everything)
                known = statements.get((where, text))
                if known:  # another call of the same text: what it knows of the types is added
                    types = [a if a != "unknown" else b for a, b in zip(types, known.types)]
                statements[where, text] = Statement(where, text, tuple(types), given)
                if given >= 0 and given < highest:
                    lost.append(f"{place} gives {given} parameters to a statement that has {highest} ({where})")
    lost += [f"scripts/lib/statements.py:1 lists {name} as composed, which it is not" for name in COMPOSED
             if name not in composed and (tree / name.partition(" ")[0]).exists()]
    return list(statements.values()), lost


def prepare(cluster, database, statements):
    """A sentence for each statement that the server cannot prepare: its place and the server's words."""
    script = ["SET search_path = pg_catalog, pg_temp;"]
    for number, statement in enumerate(statements):
        types = f"({', '.join(statement.types)})" if statement.types else ""
        script.append(f"\\echo @{number}\n\\warn @{number}\nPREPARE s{number} {types} AS {statement.text};")
    done = subprocess.run([cluster.bin / "psql", "-XqAt", "-h", cluster.socket, "-p",
                           str(cluster.settings["port"]), "-U",
                           "postgres", "-d", database, "-f", "-"], input="\n".join(script),
                          capture_output=True, text=True)
    found, last = [], None
    for line in done.stderr.splitlines():
        if re.match(r"@\d+$", line):
            last = statements[int(line[1:])]
        elif "ERROR:" in line or "FATAL:" in line:
            found.append(f"{last.place if last else 'psql:1'} is a statement that the server refuses: "
                         f"{line.partition('ERROR:')[2].strip() or line}")
        elif "HINT:" in line and found:
            found[-1] += f" ({line.partition('HINT:')[2].strip()})"
    if len(re.findall(r"^@\d+$", done.stdout, re.M)) < len(statements):
        found.append(f"scripts/lib/statements.py:1 prepared only a part of {len(statements)} statements")
    return found


def check(tree, cluster, database="postgres", least=FLOOR):
    """(number of statements, sentences) of a tree against a database that has its extension."""
    tree = pathlib.Path(tree)
    statements, lost = find(tree)
    if len(statements) < least:
        lost.append(f"scripts/lib/statements.py:1 found {len(statements)} statements in src/, {least} are the least")
    return len(statements), lost + prepare(cluster, database, statements)
