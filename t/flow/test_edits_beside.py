"""What goes on beside edits of dimensions: notifications of their writes, a session that holds a row, new columns."""
import time

import pytest
from processes import free_port
from test_notifications import Holder
from test_ordering import listening, subscribe
from test_write_back import CENTERS, GL, UNITS, Scene

SETTINGS = {"exact_databricks.sync_interval": "1h", "exact_databricks.debounce": "100ms"}


@pytest.fixture
def scene(engine_free, start_hub):
    def make(*exact, before="", **settings):
        hub = start_hub(engine_free, "--records", 400, "--divisions", 1, *exact, settings={**SETTINGS, **settings})
        if before:
            hub.psql(before)
        return Scene(hub)
    return make


def delivered(s):
    s.hub.wait_for("all is delivered", lambda: s.hub.value(
        "SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0", 60)


def rows(s, entity):
    return {row["_key"]: row for row in s.hub.databricks.rows(s.hub.table(entity))}


@pytest.mark.parametrize("one_by_one", [False, True])
def test_notifications_of_our_own_writes(scene, one_by_one):
    """
    A listener hears of each write of the hub: no second call, no change that nobody made, no version beside the one of
    the write, and at most three readings for each that are apart, for all that are together.
    """
    s = scene()
    port = free_port()
    listening(s.hub, port)
    subscribe(s.hub, s.division, port, "GLAccounts")
    s.quiet()
    delivered(s)
    counts = ("SELECT (SELECT count(*) FROM exact.stage WHERE entity = 'glaccount'), (SELECT count(*) FROM "
              "exact.api_call WHERE method = 'GET' AND path ~* 'GLAccounts')")
    versions, readings = map(int, s.hub.psql(counts).split("|"))
    keys = [row["ID"] for row in s.living(GL)[:5]]
    if one_by_one:
        for n, key in enumerate(keys):
            (change,) = s.edit(GL, key, description=f"'Heard {n}'")
            s.ended(change, "done", 60)
    else:
        s.hub.psql("UPDATE exact.gl_account SET description = 'Heard ' || code WHERE id::text IN ('"
                   + "', '".join(keys) + "')")
    s.hub.wait_for("five are done", lambda: s.hub.value(
        "SELECT count(*) FROM exact.dimension_change WHERE state = 'done'") == "5", 60)
    s.hub.wait_for("the hub was told of each", lambda: s.hub.value(
        "SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NOT NULL") == "5", 60)
    delivered(s)
    request = s.hub.value("SELECT exact.read_dimensions()")
    assert s.hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    now = list(map(int, s.hub.psql(counts).split("|")))
    print(f"5 writes, {now[0] - versions} versions, {now[1] - readings} readings")
    assert len(s.sent()) == s.written() == len(s.changes()) == now[0] - versions == 5
    assert now[1] - readings <= (15 if one_by_one else 3)
    s.quiet()
    assert len(s.sent()) == len(s.changes()) == 5
    assert all(rows(s, "glaccount")[key]["Description"].startswith("Heard ") for key in keys)


def test_an_open_transaction(scene):
    """
    Whoever has edited records and not committed yet keeps nobody else's from being staged, shown and delivered, not
    even those that come with his in one page; his own follow when he ends.
    """
    s = scene(**{"exact_databricks.sync_interval": "2s"})
    mine, gone, other = s.living(CENTERS)[:3]
    unit, account = s.living(UNITS)[0], s.living(GL)[0]
    with Holder(s.hub, f"UPDATE exact.cost_center SET description = 'Not yet' WHERE id = '{mine['ID']}'",
                f"DELETE FROM exact.cost_center WHERE id = '{gone['ID']}'",
                "SELECT count(*) FROM exact.cost_unit", f"SELECT FROM exact.gl_account WHERE id = '{account['ID']}' "
                "FOR UPDATE"):
        changed = ((CENTERS, mine), (CENTERS, gone), (CENTERS, other), (UNITS, unit), (GL, account))
        for resource, row in changed:
            s.exact.change(s.division, resource, "update", row["ID"], fields={"Description": "By a colleague"})
        begun = time.monotonic()
        s.hub.wait_for("all are in Delta", lambda: all(
            rows(s, entity)[row["ID"]]["Description"] == "By a colleague" for entity, row in (
                ("costcenter", other), ("costcenter", mine), ("costcenter", gone), ("costunit", unit),
                ("glaccount", account))), 30)
        print(f"in Delta after {time.monotonic() - begun:.1f} s")
        shown = "SELECT count(*) FROM exact.{} WHERE id = '{}' AND description = 'By a colleague'"
        assert s.hub.value(shown.format("cost_center", other["ID"])) == "1"
        assert s.hub.value(shown.format("cost_unit", unit["ID"])) == "1"
    for table, row in (("cost_center", mine), ("cost_center", gone), ("gl_account", account)):
        s.hub.wait_for(f"{table} shows it", lambda t=table, r=row: s.hub.value(shown.format(t, r["ID"])) == "1", 30)
    s.quiet()
    assert s.sent() == [] and s.changes() == []


def test_an_open_decision(scene):
    """
    Whoever is about to reject an edit keeps its record alone from being judged: what was edited in Delta beside it is
    read, and its table is delivered. His own follow when he ends.
    """
    s = scene(**{"exact_databricks.sync_interval": "2s"})
    s.mode("approve")
    held, beside, other = s.living(CENTERS)[:3]
    (mine,) = s.edit(CENTERS, held["ID"], description="'In the hub'")
    table = s.hub.table("costcenter")
    with Holder(s.hub, f"SELECT exact.reject({mine['id']})"):
        s.hub.databricks.sql(f"UPDATE {table} SET Description = 'In Delta' WHERE _key IN "
                             f"('{held['ID']}', '{beside['ID']}')")
        s.exact.change(s.division, CENTERS, "update", other["ID"], fields={"Description": "By a colleague"})
        s.exact.change(s.division, CENTERS, "update", held["ID"], fields={"EndDate": "2031-01-31T00:00:00"})
        s.hub.wait_for("the other one is in Delta", lambda: rows(s, "costcenter")[other["ID"]]["Description"]
                       == "By a colleague", 30)
        s.hub.wait_for("the edit beside is found", lambda: s.hub.value(
            f"SELECT count(*) FROM exact.dimension_change WHERE key = '{beside['ID']}'") == "1", 30)
        assert rows(s, "costcenter")[held["ID"]]["Description"] == "In Delta", "the edit is not written over unread"
    request = s.hub.value("SELECT exact.read_dimensions()")
    assert s.hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    found = s.hub.query("SELECT wanted, state FROM exact.dimension_change WHERE side = 'delta' "
                        f"AND key = '{held['ID']}'")
    assert [(row["wanted"], row["state"]) for row in found] == [("In Delta", "lost")], found
    s.hub.wait_for("its table has the new end date", lambda: s.hub.value(
        f"SELECT enddate::date FROM exact.cost_center WHERE id = '{held['ID']}'") == "2031-01-31", 30)
    assert s.sent() == []


@pytest.mark.parametrize("field,column", [("Active", "active"), ("CreatorFullName", "creatorfullname")])
def test_a_field_that_is_enabled_later(scene, field, column):
    """It is in Delta within two minutes, though nothing is read for an hour: one that may be edited, one that not."""
    s = scene(before="INSERT INTO exact.entity_field (entity, name, selected) "
              f"VALUES ('costcenter', '{field}', false)")
    delivered(s)
    assert field not in next(iter(rows(s, "costcenter").values()))
    s.hub.psql("DELETE FROM exact.entity_field")
    begun = time.monotonic()

    def there():
        here = {row["id"]: row[column] for row in s.hub.query(f"SELECT id, {column}::text FROM exact.cost_center")}
        return any(here.values()) and here == {key: row.get(field) for key, row in rows(s, "costcenter").items()}
    s.hub.wait_for(f"{field} is in Delta", there, 120, 0.5)
    print(f"{field} in Delta after {time.monotonic() - begun:.1f} s")
    assert s.changes() == [] and s.sent() == []


@pytest.mark.parametrize("edits,records,waits", [(20, 100, False), (21, 100, True), (21, 420, False), (22, 420, True)])
def test_status_of_very_many(scene, edits, records, waits):
    """Twenty edits at once, and one more; 5 % of a table, and one more: exact.status says that so many wait."""
    s = scene("--minute-limit", 1000)
    for number in range(records - len(s.living(UNITS))):
        s.exact.change(s.division, UNITS, "create", fields={"Code": f"B{number}", "Description": "Many"})
    s.hub.sync(60)
    s.hub.wait_for("they are known", lambda: s.hub.value(
        "SELECT count(*) FROM exact.cost_unit WHERE NOT deleted") == str(records), 30)
    delivered(s)
    assert len(rows(s, "costunit")) == records
    s.hub.databricks.sql(f"UPDATE {s.hub.table('costunit')} SET Description = 'Careless' WHERE "
                         f"Code IN ({', '.join(repr(f'B{n}') for n in range(edits))})")
    request = s.hub.value("SELECT exact.read_dimensions()")
    assert s.hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    what = s.hub.value(f"SELECT what FROM exact.status WHERE division = {s.division}")
    assert (f"{edits} changes of dimensions wait for your yes or no" in what) == waits, what
    assert (f"{edits} at once, Description of costunit B" in what) == waits, what
    assert s.hub.value("SELECT count(*) FROM exact.dimension_change WHERE decision = 'many'") == str(
        edits if waits else 0)
