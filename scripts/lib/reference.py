"""docs/functions.md and docs/views.md, made of what the installed extension says of itself.

The regress test `manual` asks it and runs the examples: expected/manual_1.out has signatures, roles, comments and
answers. These pages are made of that file, so they say what the extension says as long as the test passes.
"""
import re

SOURCE = "expected/manual_1.out"
HEAD = """# {title}

{intro} Made by `scripts/manual` from the comments of the extension; `SELECT exact.help('{example}');` shows the same in
psql. Names that begin with `_` are the hub's own: they change without notice.
"""


def _rows(text):
    """The lines that the test prints for this page, by their first word."""
    rows = {"object": [], "column": []}
    for line in text.splitlines():
        word, *cells = line.split("\t")
        if word in rows and len(cells) > 3:
            rows[word].append(cells)
    return rows


def _answers(text):
    """name: the example as it was run, with its answer as psql shows it."""
    found = {}
    part = text.partition("-- ---- the examples ----")[2].partition("\nROLLBACK;")[0]
    for name, body in re.findall(r"^/\* (\w+) \*/ (.*?)(?=^/\* \w+ \*/ |\Z)", part, re.M | re.S):
        found[name] = body.partition("\n")[2].strip("\n")
    return found


def _cell(text):
    return text.replace("|", "\\|").replace("<", "&lt;")


def _example(name, how, example, answers):
    lines = ["```postgresql", example, "```", ""]
    if how == "runs" and name in answers:
        lines += ["```", *[line.rstrip() for line in answers[name].splitlines()], "```", ""]
    return lines


def _linked(names):
    return " · ".join(f"[{name}](#{name})" for name in names)


def _comment(text):
    return text.replace("<", "&lt;")


def functions(text):
    """The text of docs/functions.md."""
    rows, answers = [r for r in _rows(text)["object"] if r[0] == "function"], _answers(text)
    names = list(dict.fromkeys(row[1] for row in rows))
    lines = [HEAD.format(title="Functions", example="sync_now",
                         intro="Everything that can be called, in schema `exact`."), _linked(names), ""]
    for name in names:
        mine = [row for row in rows if row[1] == name]
        lines += [f"## {name}", ""]
        for _, _, title, may, _, _, comment in mine:
            lines += [f"`{title}`", "", f"{_comment(comment)}", "", f"For members of `{may}`.", ""]
        lines += _example(name, mine[0][4], mine[0][5], answers)
    return "\n".join(lines).rstrip("\n") + "\n"


def views(text):
    """The text of docs/views.md."""
    found, answers = _rows(text), _answers(text)
    rows = [row for row in found["object"] if row[0] != "function"]
    shown, tables = [r for r in rows if r[0] == "view"], [r for r in rows if r[0] == "table"]
    lines = [HEAD.format(title="Views and tables", example="status",
                         intro="What can be read in schema `exact`; [its functions](functions.md)."),
             _linked([row[1] for row in shown]) + " · [Tables](#tables)", ""]
    for _, name, title, may, how, example, comment in shown:
        lines += [f"## {name}", "", f"`{title}`", "", _comment(comment), "", f"For members of `{may}`.", ""]
        lines += ["| column | type | |", "|---|---|---|"]
        lines += [f"| `{column}` | {kind} | {_cell(about)} |" for owner, column, kind, about in found["column"]
                  if owner == name]
        lines += ["", *_example(name, how, example, answers)]
    lines += ["## Tables", "", "Their columns: `SELECT exact.help('request');` or `\\d+ exact.request`.", "",
              "| table | for members of | |", "|---|---|---|"]
    lines += [f"| `{name}` | `{may}` | {_cell(comment)} |" for _, name, _, may, _, _, comment in tables]
    return "\n".join(lines) + "\n"


PAGES = {"docs/functions.md": functions, "docs/views.md": views}


def generated(tree):
    """The pages are those that scripts/manual makes."""
    source = tree / SOURCE
    if not source.exists():
        return [f"{SOURCE} is missing"]
    text = source.read_text()
    return [f"{name} is not what the extension says: scripts/manual makes it anew" for name, make in PAGES.items()
            if not (tree / name).exists() or (tree / name).read_text() != make(text)]


def write(tree):
    text = (tree / SOURCE).read_text()
    for name, make in PAGES.items():
        (tree / name).write_text(make(text))
