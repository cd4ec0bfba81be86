"""Edits of cost centers, cost units and GL accounts on their way to Exact Online."""
import pathlib
import re

import pytest
from cluster import SqlError
from processes import Failed

ROOT = pathlib.Path(__file__).resolve().parents[2]

CENTERS, UNITS, GL = "hrm/Costcenters", "hrm/Costunits", "financial/GLAccounts"
TABLES = {CENTERS: "cost_center", UNITS: "cost_unit", GL: "gl_account"}
ENTITIES = ("costcenter", "costunit", "glaccount")


class Scene:
    """A hub with one division whose dimensions are loaded."""

    def __init__(self, hub, mode="auto"):
        self.hub, self.exact = hub, hub.exact
        hub.enable(entities=ENTITIES)
        hub.wait_loaded()
        self.division = hub.exact.divisions[0]
        self.mode(mode)

    def mode(self, mode):
        self.hub.psql(f"UPDATE exact.workspace SET write_back = '{mode}'")

    def living(self, resource):
        return [r["row"] for r in self.exact.truth(self.division, resource) if not r["deleted"]]

    def there(self, resource, key):
        return next(r for r in self.living(resource) if r["ID"] == key)

    def coded(self, resource, code):
        return [r for r in self.living(resource) if r["Code"] == code]

    def edit(self, resource, key, **values):
        """An UPDATE in the hub; the changes that it made."""
        before = self.last()
        sets = ", ".join(f"{name} = {value}" for name, value in values.items())
        self.hub.psql(f"UPDATE exact.{TABLES[resource]} SET {sets} WHERE id = '{key}'")
        return self.changes(before)

    def add(self, resource, **values):
        before = self.last()
        names, given = ", ".join(values), ", ".join(values.values())
        self.hub.psql(f"INSERT INTO exact.{TABLES[resource]} (division, {names}) VALUES ({self.division}, {given})")
        return self.changes(before)

    def last(self):
        return int(self.hub.value("SELECT coalesce(max(id), 0) FROM exact.dimension_change"))

    def changes(self, after=0):
        return self.hub.query(f"SELECT * FROM exact.dimension_change WHERE id > {after} ORDER BY id")

    def ended(self, change, state, seconds=20):
        """The change once it has ended, which it does in this state."""
        def has_ended():
            return next(iter(self.hub.query(
                f"SELECT * FROM exact.dimension_change WHERE id = {change['id']} AND ended_at IS NOT NULL")), None)
        try:
            row = self.hub.wait_for(f"change {change['id']} ends", has_ended, seconds)
        except Failed:
            writes = self.hub.query("SELECT * FROM exact.dimension_write")
            raise AssertionError(f"change {change['id']} does not end\n{self.changes()}\n{writes}") from None
        assert row["state"] == state, row
        return row

    def refused(self, change, *words):
        row = self.ended(change, "refused")
        for word in words:
            assert word in row["reason"], row
        return row

    def sent(self):
        """What Exact Online was sent to be written."""
        return self.exact.get("writes")["writes"]

    def writes(self):
        """The same as (method, path below the division)."""
        return [(w["method"], w["path"].removeprefix(f"/api/v1/{self.division}/")) for w in self.sent()]

    def written(self):
        """How often something was carried out."""
        return sum(bool(w["done"]) for w in self.sent())

    def fault(self, resource, action, method="PUT", **how):
        return self.exact.fault(resource, action, method=method, **how)

    def quiet(self, seconds=60):
        """Nothing is on its way any more, and reading all once more brings nothing to be written."""
        self.hub.wait_for("all writes have ended", lambda: self.hub.value(
            "SELECT count(*) FROM exact.dimension_write WHERE state <> 'ended'") == "0", seconds)
        self.hub.sync(seconds)


@pytest.fixture
def scene(engine_free, start_hub):
    def make(*exact, mode="auto", settings=None):
        return Scene(start_hub(engine_free, "--records", 400, "--divisions", 1, *exact, settings=settings), mode)
    return make


def test_from_the_hub_to_exact_online(scene):
    """Each of the three is changed and made; each edit is one call; what is read back ends it, and tells its own."""
    s = scene()
    rows = {resource: s.living(resource)[0] for resource in TABLES}
    changes = [s.edit(resource, row["ID"], description="'Written back'")[0] for resource, row in rows.items()]
    changes += [s.add(resource, code="'WB1'", description="'New here'")[0] for resource in TABLES]
    for change in changes:
        s.ended(change, "done")
    for resource, row in rows.items():
        assert s.there(resource, row["ID"])["Description"] == "Written back"
        assert [r["Description"] for r in s.coded(resource, "WB1")] == ["New here"]
    s.quiet()
    assert sorted(s.writes()) == sorted([("POST", resource) for resource in TABLES] + [
        ("PUT", f"{resource}(guid'{row['ID']}')") for resource, row in rows.items()])


@pytest.mark.parametrize("records,batches", [(57, 1), (58, 2)])
def test_calls_of_a_batch(scene, records, batches):
    """At most 57 records a batch: one call each, one reading before, one after that a reading of changes may spare."""
    s = scene("--minute-limit", 1000)
    for number in range(records):
        s.exact.change(s.division, UNITS, "create", fields={"Code": f"B{number}", "Description": "Batch"})
    known = "exact.cost_unit WHERE description = 'Batch' AND code LIKE 'B%'"
    s.hub.wait_for("they are known", lambda: s.hub.value(f"SELECT count(*) FROM {known}") == str(records), 30)
    begun = int(s.hub.value("SELECT max(id) FROM exact.api_call"))
    s.hub.psql("UPDATE exact.cost_unit SET description = 'Batch ' || code WHERE description = 'Batch'")
    # so many at once wait for a yes
    s.hub.psql("SELECT exact.approve(id) FROM exact.dimension_change WHERE state = 'proposed' AND decision = 'many'")
    s.hub.wait_for("each is done", lambda: s.hub.value(
        "SELECT count(*) FROM exact.dimension_change WHERE state = 'done'") == str(records), 90, 0.2)
    s.quiet()
    assert s.written() == len(s.sent()) == records
    reads = s.hub.query("SELECT path FROM exact.api_call WHERE method = 'GET' AND id > "
                        f"{begun} AND path LIKE '%Costunits?$filter=% keys'")
    assert batches <= len(reads) <= 2 * batches, reads


def test_off_and_approve(scene):
    """Off sends nothing whatever happens; approve nothing without a yes, and a word of whoever proposes is none."""
    s = scene(mode="off")
    row, other = s.living(CENTERS)[:2]
    (change,) = s.edit(CENTERS, row["ID"], description="'Off'")
    assert change["state"] == "shown"
    s.mode("approve")
    (waits,) = s.edit(CENTERS, other["ID"], description="'Approve'")
    s.quiet()
    assert s.writes() == [] and waits["state"] == "proposed"
    s.hub.psql("CREATE ROLE clerk; GRANT exact_operator TO clerk")
    with pytest.raises(SqlError, match="permission denied"):
        s.hub.psql(f"SET ROLE clerk; SELECT exact.approve({waits['id']})")
    s.hub.psql(f"SELECT exact.approve({waits['id']})")
    s.ended(waits, "done")
    s.quiet()
    assert s.writes() == [("PUT", f"{CENTERS}(guid'{other['ID']}')")]
    assert [w["body"] for w in s.sent()] == [{"Description": "Approve"}]
    assert s.there(CENTERS, row["ID"])["Description"] == row["Description"]


def test_what_is_refused_without_a_call(scene):
    """Nine characters, an empty description, a code that exists, no division, another code of a cost center."""
    s = scene()
    row = s.living(CENTERS)[0]
    for problem, values in (("at most 8 characters", {"code": "'123456789'", "description": "'Too long'"}),
                            ("must not be empty", {"code": "'EMPTY'", "description": "''"}),
                            ("exists", {"code": f"'{row['Code']}'", "description": "'Double'"})):
        with pytest.raises(SqlError, match=problem):
            s.add(CENTERS, **values)
    with pytest.raises(SqlError, match="division"):
        s.hub.psql("INSERT INTO exact.cost_center (code, description) VALUES ('X1', 'No division')")
    for problem, value in (("must not be empty", {"description": "''"}), ("cannot change the code", {"code": "'X2'"})):
        with pytest.raises(SqlError, match=problem):
            s.edit(CENTERS, row["ID"], **value)
    assert all(change["state"] == "refused" for change in s.changes())
    s.quiet()
    assert s.writes() == []


def test_what_exact_online_refuses(scene):
    """
    A validation error is shown in full and never sent again; the next edit is. Writes stop at six errors of their
    endpoint in an hour, and readings of it go on.
    """
    s = scene("--set", "blocked_in_use=refused")
    key = s.living(GL)[0]["ID"]
    item = next(r["key"] for r in s.exact.truth(s.division, "logistics/Items") if not r["deleted"])
    s.exact.change(s.division, "logistics/Items", "update", item, fields={"GLCosts": key})
    (blocked,) = s.edit(GL, key, isblocked="true")
    text = "Ongeldig: Omschrijving. " + "De lengte is niet toegestaan in deze administratie. " * 20
    s.fault(CENTERS, "invalid", field="Description", text=text)
    center = s.living(CENTERS)[0]
    (refused,) = s.edit(CENTERS, center["ID"], description="'Refused'")
    s.exact.change(s.division, UNITS, "create", fields={"Code": "TAKEN", "Description": "Made by a colleague"})
    s.refused(blocked, "Blokkeren niet mogelijk: gegeven is in gebruik.")
    s.refused(refused, text.strip())
    (accepted,) = s.edit(CENTERS, center["ID"], description="'Accepted'")
    s.fault(GL, "invalid", field="Description", times=-1)
    changes = [s.edit(GL, row["ID"], description="'Refused'")[0] for row in s.living(GL)[1:8]]
    s.ended(accepted, "done")
    s.hub.wait_for("five more are refused", lambda: s.hub.value(
        "SELECT count(*) FROM exact.dimension_change WHERE entity = 'glaccount' AND state = 'refused'") == "6", 30)
    s.hub.sync(60)
    assert len([w for w in s.sent() if GL in w["path"]]) == 6
    assert s.hub.value("SELECT count(*) FROM exact.api_call WHERE feed = 'write-back' AND status = 500 "
                       "AND outcome <> 'refused'") == "0"
    s.exact.clear_faults()
    s.hub.psql(f"SELECT exact.resume({s.division})")
    for change in changes[5:]:
        s.ended(change, "done")
    assert len([w for w in s.sent() if CENTERS in w["path"]]) == 2


def test_lost_answers(scene):
    """
    Whether a call was done is found out by reading: what was done is never done twice, not even when it comes late.
    A success that changed nothing is told.
    """
    s = scene()
    before, after, dropped, back = s.living(CENTERS)[:4]
    # done, and changed back by somebody before the hub looks: not sent again over his head
    s.fault(f"{CENTERS}.*{back['ID']}", "colleague", when="lost", fields={"Description": back["Description"]})
    s.fault(f"{CENTERS}.*{before['ID']}", "reset_before")
    s.fault(f"{CENTERS}.*{after['ID']}", "reset_after")
    s.fault(f"{CENTERS}.*{dropped['ID']}", "drop_field", field="Description")
    s.fault(f"{CENTERS}$", "reset_before", method="POST")
    s.fault(f"{GL}$", "reset_after", method="POST")
    s.fault(f"{UNITS}$", "late", method="POST", seconds=6)
    done = [s.edit(CENTERS, row["ID"], description="'Lost answer'")[0] for row in (before, after)]
    done += [s.add(resource, code="'LOST'", description="'Lost answer'")[0] for resource in TABLES]
    (changed_back,) = s.edit(CENTERS, back["ID"], description="'Changed back'")
    lost = {c["field"]: c for c in s.edit(CENTERS, dropped["ID"], description="'Dropped'", enddate="'2031-12-31'")}
    for change in (*done, lost["EndDate"]):
        s.ended(change, "done", 90)
    assert "as it was" in s.ended(lost["Description"], "dropped", 90)["reason"]
    assert back["Description"] in s.ended(changed_back, "lost", 90)["reason"]
    s.quiet()
    assert s.there(CENTERS, back["ID"])["Description"] == back["Description"]
    assert [s.there(CENTERS, row["ID"])["Description"] for row in (before, after)] == ["Lost answer"] * 2
    assert s.there(CENTERS, dropped["ID"])["Description"] == dropped["Description"]
    assert [len(s.coded(resource, "LOST")) for resource in TABLES] == [1, 1, 1]
    assert (s.written(), len(s.sent())) == (7, 9), s.sent()
    assert s.hub.value(f"SELECT description FROM exact.cost_center WHERE id = '{dropped['ID']}'") == dropped[
        "Description"]


def test_a_user_in_exact_online(scene):
    """What somebody changed there before the call wins; in another field both stay; after the call it is newer."""
    s = scene(mode="approve", settings={"exact_databricks.sync_interval": "1h"})
    first, second, third = s.living(CENTERS)[:3]
    (lost,) = s.edit(CENTERS, first["ID"], description="'From the hub'")
    s.exact.change(s.division, CENTERS, "update", first["ID"], fields={"Description": "From a user"})
    s.hub.psql(f"SELECT exact.approve({lost['id']})")
    row = s.ended(lost, "lost")
    assert "From a user" in row["reason"]
    assert s.writes() == [] and s.there(CENTERS, first["ID"])["Description"] == "From a user"
    s.fault(f"{CENTERS}.*{second['ID']}", "colleague", fields={"EndDate": "/Date(1893456000000)/"})
    (change,) = s.edit(CENTERS, second["ID"], description="'Beside'")
    s.hub.psql(f"SELECT exact.approve({change['id']})")
    s.ended(change, "done")
    now = s.there(CENTERS, second["ID"])
    assert (now["Description"], now["EndDate"]) == ("Beside", "/Date(1893456000000)/")
    s.fault(f"{CENTERS}.*{third['ID']}", "colleague", when="after", fields={"Description": "Newer"})
    (change,) = s.edit(CENTERS, third["ID"], description="'Older'")
    s.hub.psql(f"SELECT exact.approve({change['id']})")
    s.ended(change, "done")
    s.quiet()
    assert s.there(CENTERS, third["ID"])["Description"] == "Newer" and len(s.sent()) == 2
    assert s.hub.value(f"SELECT description FROM exact.cost_center WHERE id = '{third['ID']}'") == "Newer"


def test_switched_off_in_the_middle(scene):
    """What is not sent goes nowhere; the call that is on its way is followed to its end."""
    s = scene()
    rows = s.living(CENTERS)
    held = s.fault(CENTERS, "delay_after", seconds=8)
    changes = [s.edit(CENTERS, row["ID"], description="'Half way'")[0] for row in rows]
    s.hub.wait_for("the first is on its way", lambda: s.exact.get(f"faults/{held}")["faults"][0]["hits"], 20, 0.05)
    s.mode("off")
    s.quiet()
    states = [r["state"] for r in s.changes() if r["id"] in {c["id"] for c in changes}]
    assert sorted(states) == ["done"] + ["shown"] * (len(rows) - 1) and len(s.sent()) == 1
    s.hub.psql(f"UPDATE exact.division SET enabled = false WHERE division = {s.division}")
    s.mode("auto")
    assert len(s.sent()) == 1


def test_the_token_is_refused(scene):
    """A call with a token that is not accepted was not done: it is sent once more with a new one."""
    s = scene("--min-refresh-age", 0, settings={"exact_databricks.refresh_after": "0s"})
    row = s.living(CENTERS)[0]
    s.fault(f"{CENTERS}.*{row['ID']}", "moved_page")
    (change,) = s.edit(CENTERS, row["ID"], description="'New token'")
    s.ended(change, "done")
    assert s.written() == 1 and [w["status"] for w in s.sent()] == [401, 204]


def test_the_only_three():
    """No other path is in the source, and what the hub sends by itself beside them are its subscriptions."""
    source = (ROOT / "src/exact_online/write.c").read_text()
    table = source[source.index("writable["):]
    table = table[:table.index("};")]
    assert re.findall(r'"(\w+/\w+)"', table) == [CENTERS, UNITS, GL]
    senders = {path.name for path in (ROOT / "src").glob("*/*.c") if re.search(
        r"\bexact_api_send\(", path.read_text())}
    assert senders == {"exact_api.c", "write.c", "subscription.c"}
    callers = {path.name for path in (ROOT / "src").glob("*/*.c") if re.search(
        r"\bexact_write_send\(", path.read_text())}
    assert callers == {"write.c", "write_back.c"}
