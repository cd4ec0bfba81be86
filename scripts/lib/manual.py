"""The manual as data: its SQL blocks, which the tests run, and what can be checked without running anything."""
import json
import re
from dataclasses import dataclass

LAKE = "-- in Databricks"  # a block that begins with this line runs there
ROLE = re.compile(r"-- in the hub, as a member of (\w+)\n")  # and one with this line as such a role


@dataclass
class Block:
    page: str
    line: int
    lake: bool
    text: str
    role: str | None = None


def pages(tree):
    return [tree / "README.md", *sorted((tree / "docs").glob("*.md"))]


def blocks(page):
    """The fenced blocks marked sql, in order, without the indentation of the list they stand in."""
    found, text = [], page.read_text()
    for match in re.finditer(r"^( *)```sql\n(.*?)^ *```$", text, re.M | re.S):
        body = re.sub(rf"^{match.group(1)}", "", match.group(2), flags=re.M)
        role = ROLE.match(body)
        found.append(Block(page.name, text.count("\n", 0, match.start()) + 1, body.startswith(LAKE), body,
                           role and role.group(1)))
    return found


def _anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _prose(text):
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)


def links(tree):
    """Every relative link of the manual leads to a file, and to a heading of it."""
    found = []
    for page in pages(tree):
        for target in re.findall(r"\]\(([^)\s]+)\)", _prose(page.read_text())):
            if re.match(r"https?:", target):
                continue
            name, _, anchor = target.partition("#")
            path = (page.parent / name).resolve() if name else page
            if not path.exists():
                found.append(f"{page.name} links to {target}, which does not exist")
            elif anchor and anchor not in {_anchor(h) for h in re.findall(r"^#+ (.+)$",
                    _prose(path.read_text()), re.M)}:
                found.append(f"{page.name} links to {target}, a heading that does not exist")
    return found


def _differences(what, page, documented, real):
    if not real or not documented:
        return [f"no {what} was found in the {'product' if not real else page}"]
    return [f"{page} does not explain {what} {x}" for x in sorted(real - documented)] + \
           [f"{page} explains {what} {x}, which does not exist" for x in sorted(documented - real)]


def error_codes(tree):
    """The table of error codes and those that the product raises are the same."""
    real = {"".join(code) for path in (tree / "src").rglob("*.h")
            for code in re.findall(r"MAKE_SQLSTATE\('(.)','(.)','(.)','(.)','(.)'\)", path.read_text())}
    for path in (tree / "install").glob("*.sql"):
        real |= set(re.findall(r"'(EX0\d\d)'", path.read_text()))
    return _differences("code", "docs/trouble.md",
                        set(re.findall(r"^\| `(EX\d{3})`", (tree / "docs/trouble.md").read_text(), re.M)), real)


def settings(tree):
    real = set(re.findall(r'"exact_databricks\.(\w+)"', (tree / "src/base/guc.c").read_text()))
    table = (tree / "docs/reference.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    return _differences("setting", "docs/reference.md", set(re.findall(r"^\| `(\w+)` \|", table, re.M)), real)


def dashboard_expressions(tree):
    """What docs/grafana.json asks Prometheus."""
    board = json.loads((tree / "docs/grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]] + [
        variable["definition"] for variable in board["templating"]["list"] if "definition" in variable]


def metrics(tree):
    """
    The manual names exactly the metrics that the listener serves; alert rules and dashboard ask for real ones.
    """
    real = {name for path in (tree / "src").rglob("*.c")
            for name in re.findall(r'(?:family|put_rows|put_labels|put_histogram)\(out, "(exact_\w+)"',
                                   path.read_text())}
    table = set(re.findall(r"^\| `(exact_\w+)", (tree / "docs/monitor.md").read_text(), re.M))
    asked = set(re.findall(r"\bexact_\w+",
                           "\n".join(re.findall(r"^ +expr:(.*(?:\n {10,}.*)*)",
                                                (tree / "docs/alerts.yml").read_text(), re.M))))
    shown = {name for text in dashboard_expressions(tree) for name in re.findall(r"\bexact_\w+", text)}
    found = _differences("metric", "docs/monitor.md", table, real)
    for page, names in (("docs/alerts.yml", asked), ("docs/grafana.json", shown)):
        family = {re.sub(r"_(bucket|sum|count)$", "", name): name for name in names - real}
        found += [f"{page} asks for {name}, which nobody serves" for short, name in sorted(family.items())
                  if short not in real]
    return found if shown else [*found, "docs/grafana.json asks for nothing"]


def objects(tree):
    """Functions, views and tables that the manual names exist."""
    made = "\n".join(path.read_text() for path in (tree / "install").glob("*.sql"))
    real = set(re.findall(r"\b(?:FUNCTION|VIEW|TABLE|SEQUENCE) (?:IF NOT EXISTS )?exact\.(\w+)", made))
    if not real:
        return ["no object was found in install/"]
    return [f"{page.name} names exact.{name}, which does not exist" for page in pages(tree)
            for name in sorted(set(re.findall(r"(?<![\w.])exact\.(?!c\b)(\w+)", page.read_text())) - real)]


def security(tree):
    """docs/security.md has a row for each of S1 to S37, and each names files that exist, or says `none` and why."""
    lines = re.findall(r"^\| (S\d+ \|.*)\|$", (tree / "docs/security.md").read_text(), re.M)
    rows = [([cell.strip() for cell in line.split("|")] + [""] * 4)[:4] for line in lines]
    found = [f"docs/security.md has {len(rows)} rows S1 to S37, or in another order"] if [row[0] for row in rows] != [
        f"S{n}" for n in range(1, 38)] else []
    for number, _, held, missing in rows:
        named = re.findall(r"`((?:t|sql|specs|unit|fuzz|scripts|bench)/[\w./-]+)`", held)
        if not named and not (held.startswith("none") and (missing or len(held.split()) > 3)):
            found.append(f"docs/security.md: {number} names no test and does not say why")
        found += [f"docs/security.md: {number} names {name}, which does not exist" for name in named
                  if not (tree / name).is_file()]
    return found
