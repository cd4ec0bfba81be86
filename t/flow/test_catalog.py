"""The catalog as text (scripts/lib/catalog.py): the same for each installation of a version, other after any change."""
import pytest
from catalog import as_code, catalog
from cluster import Cluster

CHANGES = {
    "a column more": "ALTER TABLE exact.app ADD COLUMN added int",
    "a default": "ALTER TABLE exact.feed ALTER COLUMN priority SET DEFAULT 1",
    "a column's type": "ALTER TABLE exact.batch ALTER COLUMN took_ms TYPE float8",
    "a column's storage": "ALTER TABLE exact.inbox ALTER COLUMN content SET STORAGE EXTERNAL",
    "a constraint less": "ALTER TABLE exact.division DROP CONSTRAINT division_is_a_number_of_exact_online",
    "an index less": "DROP INDEX exact.inbox_key",
    "an index's comment": "COMMENT ON INDEX exact.inbox_key IS 'changed'",
    "storage options": "ALTER TABLE exact.stage_07 SET (fillfactor = 90)",
    "a view": "ALTER VIEW exact.divisions RENAME COLUMN app TO renamed",
    "a function's source": "CREATE OR REPLACE FUNCTION exact._setting(name text) RETURNS text LANGUAGE sql STABLE"
                           " SET search_path = pg_catalog, pg_temp AS 'SELECT $1'",
    "a function's volatility": "ALTER FUNCTION exact._setting(text) VOLATILE",
    "a function's search_path": "ALTER FUNCTION exact._setting(text) RESET search_path",
    "a right": "GRANT EXECUTE ON FUNCTION exact._setting(text) TO PUBLIC",
    "a right on a column": "GRANT UPDATE (timeline) ON exact.epoch TO exact_worker",
    "a comment": "COMMENT ON COLUMN exact.app.name IS 'changed'",
    "a trigger that is off": "ALTER TABLE exact.audit_log DISABLE TRIGGER append_only",
    "a sequence": "ALTER SEQUENCE exact.version_counter MAXVALUE 99",
    "a table that is not dumped": "UPDATE pg_extension SET extconfig = extconfig[2:], extcondition = extcondition[2:]"
                                  " WHERE extname = 'exact_databricks'",
    "a membership less": "REVOKE exact_reader FROM exact_operator",
    "a row of the seed": "DELETE FROM exact.catalogue WHERE entity = 'items'",
    "a member less": "ALTER EXTENSION exact_databricks DROP FUNCTION exact._setting(text)",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Cluster(tmp_path_factory.mktemp("catalog") / "cluster", {"shared_preload_libraries": ""})
    made.make()
    made.start()
    made.psql("CREATE DATABASE one")
    made.psql("CREATE DATABASE other")
    # other oids, and columns and tables of somebody else, in the second database
    made.psql("CREATE TABLE mine (exact int)", "other")
    made.psql("CREATE EXTENSION exact_databricks; DROP EXTENSION exact_databricks CASCADE", "other")
    for database in ("one", "other"):
        made.psql("CREATE EXTENSION exact_databricks", database)
    yield made
    made.remove()


@pytest.mark.parametrize("code", (False, True))
def test_two_installations_are_the_same(cluster, code):
    one = catalog(cluster, "one", code)
    assert one.splitlines() == catalog(cluster, "other", code).splitlines()
    kinds = {line.split()[0] for line in one.splitlines()}
    assert {"relation", "column", "constraint", "index", "trigger", "function", "schema", "role", "rows"} <= kinds


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(cluster, what):
    before = catalog(cluster, "one").splitlines()
    cluster.psql("DROP DATABASE IF EXISTS changed")
    cluster.psql("CREATE DATABASE changed TEMPLATE one")
    cluster.psql(CHANGES[what], "changed")
    try:
        assert catalog(cluster, "changed").splitlines() != before
    finally:
        cluster.psql("GRANT exact_reader TO exact_operator")


def test_sources_as_code():
    assert as_code("SELECT a\n\t-- why\n\tFROM b") == as_code("SELECT a /* so */ FROM b")
    assert as_code("RAISE 'one '\n\t'two'") == as_code("RAISE 'one two'")
    assert as_code("SELECT 'it''s', 'two'") != as_code("SELECT 'it''s two'")
    assert as_code("SELECT 'a  b'") != as_code("SELECT 'a b'")
    assert as_code("SELECT '-- no comment'") != as_code("SELECT ''")
    assert as_code('SELECT "a  b"') != as_code('SELECT "a b"')
