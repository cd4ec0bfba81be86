"""
From a released version to the current one: the catalog is that of a new installation, a hub with records goes on. While
nothing was released this is shown with a version that is made up: another column, function and table.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest
import update
from catalog import catalog
from cluster import Cluster
from conftest import UNLIMITED
from hub import Hub, simulators
from truth import Comparison

TREE = pathlib.Path(__file__).resolve().parents[2]
NEXT = "1.1"
COLUMN = "ALTER TABLE exact.app ADD COLUMN label text;\n"
COMMENT = "COMMENT ON COLUMN exact.app.label IS 'Made up';\n"
FUNCTION = """CREATE FUNCTION exact.made_up() RETURNS text LANGUAGE sql STABLE
	SET search_path = pg_catalog, pg_temp AS $$ SELECT 'made up' $$;
COMMENT ON FUNCTION exact.made_up() IS 'Made up';
"""
RIGHTS = """REVOKE ALL ON FUNCTION exact.made_up() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION exact.made_up() TO exact_reader;
"""
TABLE = """CREATE TABLE exact.made_up_entry (id int PRIMARY KEY, note text NOT NULL DEFAULT 'none');
COMMENT ON TABLE exact.made_up_entry IS 'Made up';
"""
DUMPED = "SELECT pg_catalog.pg_extension_config_dump('exact.made_up_entry', '');\n"
HEAD = f"{update.FIRST_LINE}\nSELECT exact._quiesce();\n"
OF_VIEWS = "GRANT SELECT ON exact.made_up_entry TO exact_view;\n"  # as install/90_view_owner.sql does
GOOD = HEAD + COLUMN + COMMENT + FUNCTION + RIGHTS + TABLE + DUMPED + OF_VIEWS


def directory(kind, programs):
    return pathlib.Path(subprocess.run([programs / "pg_config", f"--{kind}"], capture_output=True, text=True,
                                       check=True).stdout.strip())


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A copy of the server, so that another version can be installed there; its programs."""
    programs = pathlib.Path(os.environ["EXACT_DATABRICKS_PG_BIN"])
    root = pathlib.Path(os.path.commonpath([directory(kind, programs) for kind in ("bindir", "sharedir", "pkglibdir")]))
    assert len(root.parts) > 2, f"{root} is not a copy of a server"
    into = tmp_path_factory.mktemp("server") / "pg"
    shutil.copytree(root, into, symlinks=True)
    before, os.environ["EXACT_DATABRICKS_PG_BIN"] = str(programs), str(into / programs.relative_to(root))
    yield into / programs.relative_to(root)
    os.environ["EXACT_DATABRICKS_PG_BIN"] = before


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The next version: the current one is released, a column, a function and a table come."""
    into, now = tmp_path_factory.mktemp("next") / "tree", update.current(TREE)
    shutil.copytree(TREE, into, symlinks=True, ignore=shutil.ignore_patterns("t", "tmp_check", ".build", "results"))
    kept = into / "install" / "released" / f"exact_databricks--{now}.sql"
    shutil.copy(TREE / f"exact_databricks--{now}.sql", kept)
    with open(into / "install" / "released" / "SHA256SUMS", "a") as sums:
        sums.write(f"{hashlib.sha256(kept.read_bytes()).hexdigest()}  {kept.name}\n")
    for name, before, after in (
            ("exact_databricks.control", f"default_version = '{now}'", f"default_version = '{NEXT}'"),
            ("CHANGELOG.md", f"## {now} (unreleased)", f"## {NEXT} (unreleased)\n\n## {now} (2026-12-01)"),
            ("install/10_configuration.sql", "CREATE TABLE exact.app (", "CREATE TABLE exact.app (\n\tlabel text,")):
        text = (into / name).read_text()
        assert before in text
        (into / name).write_text(text.replace(before, after))
    (into / "install" / "89_made_up.sql").write_text(COMMENT + FUNCTION + RIGHTS + TABLE + DUMPED)
    write(into, GOOD)
    (into / f"exact_databricks--{now}.sql").unlink()
    for compiled in (into / "src").rglob("*.o"):
        compiled.touch()
        if "EXACT_VERSION" in compiled.with_suffix(".c").read_text():
            compiled.unlink()
    return into


def write(tree, script):
    path = tree / "install" / "update" / f"exact_databricks--{update.current(TREE)}--{NEXT}.sql"
    path.write_text(script)
    return path


def install(tree, server):
    """What knows the version is compiled; the other objects are those of the tree."""
    for target in ("all", "install"):
        subprocess.run(["make", "-s", "-j2", f"PG_CONFIG={server}/pg_config", target], cwd=tree, check=True,
                       stdout=subprocess.DEVNULL)
    update.add_released(tree, server / "pg_config")


def test_versions_of_this_tree(tmp_path):
    assert update.problems(TREE) == []
    update.add_released(TREE, pathlib.Path(os.environ["EXACT_DATABRICKS_PG_BIN"]) / "pg_config")
    for version in update.released(TREE):
        if version != update.current(TREE):
            assert update.differences(tmp_path / version, version) == [], version


def test_hub_with_records(server, tree, tmp_path):
    exact, databricks = simulators(tmp_path, ("--records", 300, "--divisions", 1, "--fast", *UNLIMITED),
                                   ("--engine", "none"))
    hub = Hub(tmp_path / "hub", exact, databricks, settings={
        "exact_databricks.sync_interval": "2s", "exact_databricks.merge_interval": "200ms"})
    fresh = Cluster(tmp_path / "fresh", {"shared_preload_libraries": ""})
    try:
        hub.set_up()
        hub.enable()
        hub.wait_loaded(120)
        hub.psql("CREATE ROLE analyst; GRANT SELECT ON exact.status TO analyst")
        exact.random(10, deletes=0.2)
        install(tree, server)
        hub.cluster.stop()
        hub.cluster.start()
        hub.wait_for("the workers wait for the update", lambda: "ALTER EXTENSION exact_databricks UPDATE" in str(
            hub.query("SELECT fix FROM exact.check() WHERE rule = 'preloaded' AND result = 'fail'")), 30)
        hub.psql("ALTER EXTENSION exact_databricks UPDATE")
        hub.wait_for_workers()
        assert hub.psql("SELECT exact.made_up(), label IS NULL FROM exact.app") == "made up|t\n"
        exact.random(10, deletes=0.2)
        hub.sync()
        report = Comparison(exact, databricks, hub.schema).run()
        assert not report.differences and report.rows, report
        assert hub.value("SELECT has_table_privilege('analyst', 'exact.status', 'SELECT')") == "t"
        hub.psql("REVOKE ALL ON exact.status FROM analyst")
        fresh.make()
        fresh.start()
        fresh.psql("CREATE EXTENSION exact_databricks")
        found = update.differing(catalog(hub.cluster, hub.database), catalog(fresh))
        assert [line for line in found if not line[1:].startswith("rows of ")] == []
    finally:
        fresh.remove()
        hub.stop()
        exact.stop()
        databricks.stop()


def test_installation_without_records(server, tree, tmp_path):
    write(tree, GOOD)
    assert update.problems(tree) == []
    install(tree, server)
    assert update.differences(tmp_path, update.current(TREE)) == []


def test_script_that_forgets(server, tree, tmp_path):
    """A comment, rights, that a table is dumped; and a view that is made again loses what others granted on it."""
    write(tree, GOOD.replace(COMMENT, "").replace(RIGHTS, "").replace(DUMPED, "") + """
CREATE TEMPORARY TABLE lag_before AS SELECT pg_get_viewdef('exact.lag'::regclass) AS definition;
DROP VIEW exact.lag;
DO $$
BEGIN
	EXECUTE 'CREATE VIEW exact.lag AS ' || (SELECT definition FROM lag_before);
END
$$;
DROP TABLE lag_before;
""")
    assert update.problems(tree) == []
    install(tree, server)
    found = update.differences(tmp_path, update.current(TREE))
    for words in ("column exact.app.label: comment: Made up", "-function exact.made_up(): rights",
                  "-extension: dumps exact.made_up_entry", "relation exact.lag: owner",
                  "gone: what somebody granted on table exact.lag"):
        assert any(words in line for line in found), (words, found)


@pytest.mark.parametrize("name, before, after, words", [
    ("install/released/SHA256SUMS", "exact", "other", "is not what was released, by"),
    ("install/released/exact_databricks--{now}.sql", "CREATE", "CREATE ", "not what was released"),
    ("install/update/exact_databricks--{now}--{next}.sql", "SELECT exact._quiesce();", "", "lacks its first line"),
    ("exact_databricks.control", NEXT, "7.7", "no update leads from"),
    ("CHANGELOG.md", f"## {NEXT} (unreleased)", "## 7 (unreleased)", "needs a heading")])
def test_versions_that_are_wrong(tree, tmp_path, name, before, after, words):
    into = tmp_path / "tree"
    shutil.copytree(tree / "install", into / "install")
    for part in ("exact_databricks.control", "CHANGELOG.md"):
        shutil.copy(tree / part, into)
    path = into / name.format(now=update.current(TREE), next=NEXT)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    assert any(words in problem for problem in update.problems(into)), update.problems(into)
