"""
The checks on small trees that are wrong in one place: each finds it and names it; on a tree without files none is
silent.
"""
import os
import re
import shutil

import floors
import install_script
import manual
import page
import pytest
import statements
import texts
import writers
from tree import Nothing

FLOORS = """1 base
2 http state
3 fetch
8 exact.c exact.h

curl/ in http
"""
GOOD = {
    "src/floors.txt": FLOORS,
    "src/exact.c": '#include "postgres.h"\n\n#include "fetch/run.h"\n\nvoid _PG_init(void);\n',
    "src/base/clock.h": "extern int exact_clock_now(void);\n",
    "src/base/clock.c": '#include "base/clock.h"\n\nint\nexact_clock_now(void)\n{\n\treturn 1;\n}\n',
    "src/http/url.c": '#include <curl/curl.h>\n\nstatic int\nparse(void)\n{\n\treturn 0;\n}\n',
    "src/state/dirty_key.h": "extern int exact_dirty_key_want(int n);\n",
    "src/state/dirty_key.c": '#include "state/dirty_key.h"\n\nint\nexact_dirty_key_want(int n)\n{\n'
                             '\treturn exact_sql("INSERT INTO exact.dirty_key (n) VALUES ($1)", n, 0);\n}\n',
    "src/fetch/run.h": "typedef struct Run\n{\n\tint\t\t\tn;\n} Run;\n\nextern int exact_run_page(Run *run);\n",
    "src/fetch/run.c": '#include "base/clock.h"\n#include "fetch/run.h"\n#include "state/dirty_key.h"\n\nint\n'
                       'exact_run_page(Run *run)\n{\n\treturn exact_dirty_key_want(exact_clock_now());\n}\n',
}


def tree(directory, **changes):
    """The good tree with files of it changed; a name's __ is a /, its _c or _h the suffix."""
    for name, text in {**GOOD, **{re.sub(r"_(c|h|sql|txt)$", r".\1", key.replace("__", "/")): value
                                  for key, value in changes.items()}}.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return directory


def only(found, *parts):
    """One sentence, which names all this."""
    assert len(found) == 1, found
    for part in parts:
        assert part in found[0], found[0]


@pytest.mark.parametrize("check", [check for _, check in floors.CHECKS])
def test_good_tree(tmp_path, check):
    assert check(tree(tmp_path)) == []


def test_circle(tmp_path):
    made = tree(tmp_path, src__fetch__keyed_h="extern int exact_keyed_want(void);\n",
                src__fetch__keyed_c='#include "fetch/keyed.h"\n\nint\nexact_keyed_want(void)\n{\n\treturn '
                'exact_run_page(0);\n}\n',
                src__fetch__run_c='#include "fetch/run.h"\n\nint\nexact_run_page(Run *run)\n{\n\treturn '
                'exact_keyed_want();\n}\n')
    only(floors.circles(made), "circle", "src/fetch/keyed.c:6", "src/fetch/run.c:6")


def test_circle_of_headers(tmp_path):
    made = tree(tmp_path, src__fetch__plan_h='#include "fetch/lane.h"\n',
                src__fetch__lane_h='#include "fetch/plan.h"\n')
    only(floors.circles(made), "circle", "src/fetch/plan.h:1", "src/fetch/lane.h:1")


@pytest.mark.parametrize("line, where", [
    ('#include "fetch/run.h"', "of floor 3, which is above"), ('#include "http/url.h"', "of floor 2, which is beside"),
    ('#include "clock.h"', 'write "base/clock.h"'), ('#include "base/absent.h"', "does not exist"),
    ('#include "exact.h"', "a door")])
def test_include_against_the_floors(tmp_path, line, where):
    made = tree(tmp_path, src__state__dirty_key_c=f"/* a */\n{line}\n", src__http__url_h="", src__exact_h="")
    only(floors.own_includes(made), "src/state/dirty_key.c:2", where)


def test_folder_without_a_floor(tmp_path):
    only(floors.own_includes(tree(tmp_path, src__attic__old_c="int x;\n")), "src/attic/old.c:1", "no floor")


def test_header_promises_of_another(tmp_path):
    found = floors.headers(tree(tmp_path, src__base__other_h="extern int exact_run_page(int run);\n"))
    only(found, "src/base/other.h:1", "exact_run_page", "src/fetch/run.c")


def test_export_without_header(tmp_path):
    only(floors.headers(tree(tmp_path, src__base__lone_c="int exact_lone = 1;\n")), "src/base/lone.c:1",
         "src/base/lone.h")


def test_export_nobody_knows(tmp_path):
    made = tree(tmp_path, src__base__clock_c=GOOD["src/base/clock.c"]
                + "\nint\nexact_clock_more(void)\n{\n\treturn 2;\n}\n")
    only(floors.headers(made), "src/base/clock.c:10", "exact_clock_more", "make it static")


def test_foreign_header(tmp_path):
    made = tree(tmp_path, src__fetch__run_c="#include <curl/curl.h>\n")
    only(floors.foreign_headers(made), "src/fetch/run.c:1", "curl/curl.h", "http alone")


def test_full_folder(tmp_path):
    made = tree(tmp_path, **{f"src__base__f{n}_h": "" for n in range(31)})
    only(floors.folder_sizes(made), "src/base holds 33")


def test_second_writer(tmp_path):
    made = tree(tmp_path, src__fetch__run_c='static const char sql[] =\n\t"WITH x AS (SELECT 1) "\n\t"DELETE '
                'FROM "\n\t"exact.dirty_key";\n')
    only(writers.in_c(made), "src/fetch/run.c:3", "exact.dirty_key", "src/state/dirty_key.c alone")


def test_second_writer_of_the_install_script(tmp_path):
    allowed = {f"install__{n}0_{name}_sql": "".join(f"UPDATE exact.{table} SET n = 1;\n" for table,
                                                    (_, names) in writers.TABLES.items()
                                                     if name in names)
               for n, name in enumerate(sorted({name for _, names in writers.TABLES.values() for name in names}))}
    assert writers.in_install(tree(tmp_path, **allowed)) == []
    made = tree(tmp_path, install__99_end_sql="-- UPDATE exact.request\nGRANT UPDATE ON exact.request TO x;\nUPDATE "
                "exact.request SET n = 1;\n")
    only(writers.in_install(made), "install/99_end.sql:3", "exact.request")


def test_audit_event_elsewhere(tmp_path):
    made = tree(tmp_path, src__fetch__run_c='\nstatic const char sql[] = "SELECT exact._audit($1)";\n')
    only(writers.audit(made), "src/fetch/run.c:2", "src/state/audit.c")


@pytest.fixture
def wide_tree(tmp_path):
    """A file of each kind, none too wide."""
    for _, patterns in page.WIDTHS:
        for pattern in patterns:
            path = tmp_path / pattern.replace("**/", "").replace("*", "a_name")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x\n")
    return tmp_path


@pytest.mark.parametrize("name, line, columns", [
    ("src/a_name.c", "x" * 140, 140), ("unit/a_name.c", "\t" * 24 + "12345", 101),
    ("install/a_name.sql", "y" * 101, 101),
    ("t/a_name.pl", "z" * 140, 140), ("scripts/lib/a.py", "é" * 121, 121)])
def test_wide_line(wide_tree, name, line, columns):
    assert page.widths(wide_tree) == []
    path = wide_tree / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("short\n" + line + "\n")
    only(page.widths(wide_tree), f"{name}:2 is {columns} columns wide")
    (wide_tree / "scripts" / "lib").mkdir(exist_ok=True)
    (wide_tree / "scripts" / "lib" / "wide.txt").write_text(f"# not yet\n{name}\nsrc/a_name.h\n")
    only(page.widths(wide_tree), "wide.txt:3", "src/a_name.h", "not too wide")


def test_banned_call(tmp_path):
    made = tree(tmp_path, unit__a_h="", unit__a_c="", fuzz__a_c="", fuzz__a_h="",
                src__fetch__run_c="/* strcpy(a, b) */\nvoid f(void) { my_strcpy(a); strlcpy(a, b, 2); strcpy(a, "
                "\"sprintf(\"); }\n")
    only(page.banned_calls(made), "src/fetch/run.c:2", "strcpy", "strlcpy")


def test_settings(tmp_path):
    made = tree(tmp_path, src__base__guc_c='define_int("exact_databricks.port", '
                '1);\ndefine_int("exact_databricks.enabled", 1);\n')
    only(page.settings_sorted(made), "src/base/guc.c:2", "enabled behind port")


@pytest.mark.parametrize("lines, number, words", [
    ('#include "base/clock.h"\n#include "utils/guc.h"\n', 2, "own headers stand last"),
    ('#include "state/dirty_key.h"\n#include "base/clock.h"\n', 2, "alphabet")])
def test_order_of_includes(tmp_path, lines, number, words):
    only(page.includes_sorted(tree(tmp_path, src__fetch__run_c=lines)), f"src/fetch/run.c:{number}", words)


def test_typedefs(tmp_path):
    made = tree(tmp_path)
    (made / "typedefs.list").write_text("Run\n")
    assert page.typedefs_list(made) == []
    (made / "typedefs.list").write_text("Gone\nRun\n")
    only(page.typedefs_list(made), "typedefs.list:1", "Gone")


def test_inside(tmp_path):
    made = tree(tmp_path)
    (made / "docs").mkdir()
    (made / "docs" / "inside.md").write_text("`fetch/run.c`\n`src/floors.txt`\n`fetch/walk.c`\n" + "\n" * 248)
    assert [problem.split()[0] for problem in page.inside(made)] == ["docs/inside.md:251", "docs/inside.md:3"]


def test_nothing_to_look_at_is_a_finding(tmp_path):
    """An empty tree: no check is content with it."""
    for name in ("scripts", "docs", "simulator"):
        (tmp_path / name).mkdir()
    silent = []
    for name, check in texts.OF_TEXTS + texts.OF_THE_BUILD:
        try:
            if not check(tmp_path) and check is not texts.python_lint:
                silent.append(name)
        except (Nothing, FileNotFoundError):
            pass
    assert silent == []


def test_error_without_a_code(tmp_path):
    made = tree(tmp_path, src__fetch__run_c='\nvoid f(void) { ereport(ERROR, (errmsg("no"))); ereport(ERROR, '
                '(errcode(1), errmsg("no"))); }\n')
    only(texts.errors_have_codes(made), "src/fetch/run.c:2")


def test_links_of_the_manual(tmp_path):
    made = tree(tmp_path)
    (made / "docs").mkdir()
    (made / "README.md").write_text("[a](docs/absent.md) [b](#here)\n\n# Here\n")
    only(manual.links(made), "docs/absent.md")


def test_rows_of_security(tmp_path):
    made = tree(tmp_path, t__a_sql="SELECT 1;\n")
    (made / "docs").mkdir()
    rows = [f"| S{n} | it holds | `t/a.sql` | |" for n in range(1, 38)]
    (made / "docs/security.md").write_text("\n".join(rows))
    assert manual.security(made) == []
    for changed, words in (("| S7 | it holds | `t/b.sql` | |", "S7 names t/b.sql"), ("| S7 | it | | |", "S7 names no"),
                           ("| S8 | it holds | `t/a.sql` | |", "rows S1 to S37")):
        (made / "docs/security.md").write_text("\n".join([*rows[:6], changed, *rows[7:]]))
        only(manual.security(made), words)


def test_address_of_a_notification(tmp_path):
    made = tree(tmp_path, install__a_sql="", src__fetch__run_c='\nconst char *f = "ExactOnlineEndpoint";\n')
    only(texts.hints_stay_hints(made), "src/fetch/run.c:2")


# ---- counting ----

OF_15 = """============== running regression test queries        ==============
test absence                      ... ok          375 ms
test audit                        ... %s           41 ms
parallel group (2 tests):  check held
     check                        ... ok           83 ms
     held                         ... ok           26 ms
"""
OF_16 = """# using postmaster on /tmp/socket, port 54417
ok 1         - absence                                   375 ms
%s 2         - audit                                      41 ms
# parallel group (2 tests):  check held
ok 3         + check                                      83 ms
ok 4         + held                                       26 ms
1..4
"""


@pytest.mark.skipif("EXACT_DATABRICKS_PG_BIN" not in os.environ, reason="needs a server")
@pytest.mark.parametrize("text, good, bad", [(OF_15, "ok", "FAILED"), (OF_16, "ok", "not ok")])
def test_count_of_regress(text, good, bad):
    import suites
    names = ["absence", "audit", "check", "held"]
    assert suites._regress_lines(text % good, 0, "x", names) == suites.Result(4)
    assert suites._regress_lines(text % bad, 2, "x", names) == suites.Result(3, ["x audit"])
    # fewer tests than files: nothing has failed, and yet it is no success
    assert suites._regress_lines(text % good, 0, "x", [*names, "wanted"]) == suites.Result(4, ["x wanted did not run"])
    assert suites._regress_lines("", 0, "x", ["absence"]).failed == ["x absence did not run"]
    assert suites._regress_lines("", 2, "x", []).failed == ["x: ended with status 2"]


# ---- statements ----

SQL_H = """typedef struct ExactArg { int type; } ExactArg;
extern ExactArg exact_arg_text(const char *value);
extern ExactArg exact_arg_int4(int value);
extern ExactArg exact_arg_null(int type);
extern int exact_sql(const char *sql, int nargs, const ExactArg *args);
#define TABLE "pg_class"
"""
SQL_C = """#include "base/sql.h"
static const char outside_sql[] = "SELECT 1 FROM " TABLE;
static int
ask(const char *sql)
{
	return exact_sql(sql, 0, NULL);
}
static void
key(ExactArg *args, int n)
{
	args[0] = exact_arg_int4(n);
}
static void
unit(int by_name)
{
	static const char by_name_sql[] =
	"SELECT oid FROM pg_class "
	"WHERE relname = $1 AND relnatts = $2";
	static const char four_sql[] = "SELECT 4 + $1";
	static const char five_sql[] = "SELECT 5 + $1";
	static const char *const list[] = {[0] = four_sql, [1] = five_sql};
	ExactArg	args[2];

	args[0] = exact_arg_text("x");
	args[1] = by_name ? exact_arg_int4(1) : exact_arg_null(23);
	exact_sql(by_name ? by_name_sql : outside_sql, 2, args);
	ask("SELECT 2");
	key(args, 1);
	exact_sql(list[by_name], 1, args);
	exact_sql("SELECT 'a\\"\\\\b'", 0, NULL);
}
"""


@pytest.fixture
def sql_tree(tmp_path):
    made = tree(tmp_path, src__base__sql_h=SQL_H, src__fetch__ask_c=SQL_C, src__state__dirty_key_c="")
    (made / "exact_databricks.control").write_text("default_version = '1'\n")
    return made


def test_statements_are_found(sql_tree):
    found, lost = statements.find(sql_tree)
    assert lost == []
    assert sorted((statement.text, statement.types) for statement in found) == [
        ("SELECT 'a\"\\b'", ()), ("SELECT 1 FROM pg_class", ("text", "int4")), ("SELECT 2", ()),
        ("SELECT 4 + $1", ("int4",)), ("SELECT 5 + $1", ("int4",)),
        ("SELECT oid FROM pg_class WHERE relname = $1 AND relnatts = $2", ("text", "int4"))]


@pytest.mark.parametrize("change, words", [
    (("ask(\"SELECT 2\")", "ask(\"SELECT 2\"); exact_sql(made_up(), 0, NULL)"), "whose text was not found"),
    (("by_name_sql : outside_sql, 2", "by_name_sql : outside_sql, 1"), "gives 1 parameters"),
    (("ask(\"SELECT 2\")", "ask(\"SELECT 2\"); SPI_execute(\"SELECT 3\", true, 0)"), "SQL goes through exact_sql()")])
def test_lost_statement(sql_tree, change, words):
    (sql_tree / "src/fetch/ask.c").write_text(SQL_C.replace(*change))
    only(statements.find(sql_tree)[1], "src/fetch/ask.c:", words)


@pytest.mark.skipif("EXACT_DATABRICKS_PG_BIN" not in os.environ or os.geteuid() == 0, reason="needs a server")
def test_statement_of_a_column_that_does_not_exist(sql_tree, tmp_path):
    from cluster import Cluster
    (sql_tree / "src/fetch/ask.c").write_text(SQL_C.replace("relnatts", "relname_of_old"))
    cluster = Cluster(tmp_path / "cluster", {"shared_preload_libraries": ""})
    try:
        cluster.make()
        cluster.start()
        number, found = statements.check(sql_tree, cluster, least=6)
        assert number == 6
        only(found, "src/fetch/ask.c:17", 'column "relname_of_old" does not exist')
        assert "found 6 statements in src/, 7 are the least" in statements.check(sql_tree, cluster, least=7)[1][0]
    finally:
        cluster.remove()
        shutil.rmtree(tmp_path / "cluster", ignore_errors=True)


@pytest.mark.parametrize("sql, words", [
    ("CREATE FUNCTION exact.f(a text) RETURNS boolean LANGUAGE sql AS $$ SELECT $1 IS NULL $$;",
     "Function without explicit search_path: exact.f"),
    ("CREATE OR REPLACE FUNCTION exact.f() RETURNS int LANGUAGE c SET search_path = pg_catalog, pg_temp AS 'x', 'y';",
     "Unsafe function creation: exact.f"),
    ("CREATE TABLE IF NOT EXISTS exact.t (n int);", "Unsafe table creation: exact.t"),
    ("SELECT format(;", "syntax error")])
def test_install_script(tmp_path, sql, words):
    found = install_script.findings(tree(tmp_path, install__10_a_sql="-- One.\n\n" + sql + "\n",
                                         install__20_b_sql="CREATE VIEW exact.v AS SELECT 1 = 1 AS one;\n"))
    if found is None:
        pytest.skip("pgspot cannot be had")
    only(found, "install/10_a.sql", words)
