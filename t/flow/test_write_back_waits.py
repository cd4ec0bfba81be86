"""Writes of dimensions that cannot go now: none is lost, none is done twice, exact.status says what waits and why."""
import contextlib
import threading

import pytest
from cluster import SqlError
from test_write_back import CENTERS, GL, UNITS, Scene

PAGE = "<html><head><title>Login</title></head><body>Please sign in.</body></html>"
LIMIT = {"X-RateLimit-Minutely-Limit": "60", "X-RateLimit-Minutely-Remaining": "0",
         "X-RateLimit-Minutely-Reset": "{now+2000}"}
# answers that do not say that the write was done: what, how; whether it is done all the same
ODD = [("status", {"status": 403, "body": '{"error":{"code":"","message":{"lang":"","value":"Forbidden"}}}'}),
       ("status", {"status": 429, "body": ""}),
       ("status", {"status": 429, "body": "", "headers": LIMIT}),
       ("html", {"body": PAGE}),
       ("status", {"status": 500, "body": PAGE, "html": True}),
       ("status", {"status": 200, "body": ""}),
       ("status", {"status": 204, "body": ""}),
       ("redirect", {"to": "/api/v1/current/Me", "status": 302}),
       ("status", {"status": 503, "body": ""}),
       ("status_after", {"status": 502, "body": PAGE, "html": True})]


@pytest.fixture
def scene(engine_free, start_hub):
    def make(*exact, mode="auto", settings=None):
        s = Scene(start_hub(engine_free, "--records", 400, "--divisions", 1, *exact, settings={
            "exact_databricks.sync_interval": "1h", **(settings or {})}), mode)
        s.old = set()
        return s
    return make


def status(s):
    return s.hub.query(f"SELECT what, next_step, light FROM exact.status WHERE division = {s.division}")[0]


def says(s, *words, seconds=30):
    """exact.status names what waits, as it does for a write that has waited for minutes."""
    def look():
        s.hub.psql("UPDATE exact.dimension_change SET decided_at = now() - interval '5 min' WHERE state = 'approved'")
        return all(word in status(s)["what"] for word in words)
    try:
        s.hub.wait_for(f"status says {words}", look, seconds, 0.3)
    except Exception as error:
        raise AssertionError(f"{status(s)}\n{s.changes()}") from error


def goes_on(s):
    """As an operator who has seen what it was."""
    s.hub.psql(f"SELECT exact.resume({s.division})")


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_odd_answers(scene, method):
    """Each is written once, whatever the first answer was; no key and no value is taken from a page."""
    s = scene()
    resources = (CENTERS, UNITS, GL)
    rows = {r: iter(s.living(r)) for r in resources}
    changes = []
    for n, (action, how) in enumerate(ODD):
        resource = resources[n % 3]
        wanted = f"Odd {n}"
        if method == "PUT":
            row = next(rows[resource])
            fault = s.fault(f"{resource}.*{row['ID']}", action, method=method, **how)
            (change,) = s.edit(resource, row["ID"], description=f"'{wanted}'")
        else:
            fault = s.fault(f"{resource}$", action, method=method, **how)
            (change,) = s.add(resource, code=f"'ODD{n}'", description=f"'{wanted}'")
        s.hub.wait_for(f"answer {n} is met", lambda f=fault: s.exact.get(f"faults/{f}")["faults"][0]["hits"], 60, 0.05)
        goes_on(s)
        changes.append((resource, change, wanted, action, how.get("status")))
    for resource, change, wanted, action, code in changes:
        # a success without a body that changed nothing is told, and not tried again
        empty = action == "status" and code in (200, 204)
        done = s.ended(change, "done" if not empty else "dropped" if method == "PUT" else "refused", 150)
        made = [r for r in s.living(resource) if r["Description"] == wanted]
        assert len(made) == (0 if empty else 1), (done, made)
        goes_on(s)
    s.quiet()
    assert s.written() == len(ODD) - 2, s.sent()


def test_a_proxy_that_repeats(scene):
    """A POST that came twice is refused as its own double: it is looked for; what is another's is refused."""
    s = scene()
    s.fault(f"{CENTERS}$", "repeat", method="POST")
    (ours,) = s.add(CENTERS, code="'OURS'", description="'Twice'")
    s.exact.change(s.division, UNITS, "create", fields={"Code": "THEIRS", "Description": "Made by a colleague"})
    (theirs,) = s.add(UNITS, code="'theirs'", description="'Made here'")
    s.ended(ours, "done", 60)
    s.refused(theirs, "Gegeven bestaat reeds.")
    s.quiet()
    assert len(s.coded(CENTERS, "OURS")) == 1 and len(s.sent()) == 2
    assert [r["Description"] for r in s.coded(UNITS, "THEIRS")] == ["Made by a colleague"]


def test_a_division_that_is_worked_on(scene):
    """BlockingStatus: a write is refused as a bad one is. It is sent once more when that is over, and not before."""
    s = scene("--set", "blocked_omit=0")
    s.exact.post("division", code=s.division, blocking_status=3)
    row = s.living(CENTERS)[0]
    (change,) = s.edit(CENTERS, row["ID"], description="'Blocked'")
    s.hub.wait_for("it is seen", lambda: s.hub.value(
        f"SELECT blocking_status FROM exact.division_state WHERE division = {s.division}") == "3", 60)
    says(s, "1 change of dimensions waits to be written", "works on the division (BlockingStatus 3)")
    (second,) = s.edit(UNITS, s.living(UNITS)[0]["ID"], description="'Blocked, too'")
    guards = s.hub.value("SELECT count(*) FROM exact.api_call WHERE path LIKE '%system/Divisions%'")
    # the block is looked at once a minute
    s.hub.wait_for("the next look", lambda: s.hub.value(
        "SELECT count(*) FROM exact.api_call WHERE path LIKE '%system/Divisions%'") > guards, 90)
    assert [w["status"] for w in s.sent()] == [500]
    s.exact.post("division", code=s.division, blocking_status=0)
    for each in (change, second):
        s.ended(each, "done", 100)
    assert [w["status"] for w in s.sent()] == [500, 204, 204]


def test_states(scene):
    """Off, paused, an entity that is paused or not enabled, a division that Exact Online refuses, consent."""
    s = scene(mode="approve")
    rows = s.living(CENTERS)
    division = s.division

    def waits(n, *words):
        (change,) = s.edit(CENTERS, rows[n]["ID"], description=f"'Waits {n}'")
        s.hub.psql(f"SELECT exact.approve({change['id']})")
        says(s, *words)
        assert len(s.sent()) == n, s.sent()
        return change

    def goes(n, change):
        s.ended(change, "done", 60)
        assert len(s.sent()) == s.written() == n + 1
    s.hub.psql(f"UPDATE exact.division SET enabled = false WHERE division = {division}")
    change = waits(0, "not enabled", "1 change of dimensions waits to be written")
    s.hub.psql(f"UPDATE exact.division SET enabled = true WHERE division = {division}")
    goes(0, change)
    s.hub.psql(f"SELECT exact.pause({division})")
    change = waits(1, "paused", "1 change of dimensions waits to be written")
    s.hub.psql(f"SELECT exact.resume({division})")
    goes(1, change)
    s.hub.psql(f"SELECT exact.pause({division}, 'costcenter')")
    change = waits(2, "1 change of dimensions waits to be written", "costcenter is paused")
    s.hub.psql(f"SELECT exact.resume({division}, 'costcenter')")
    goes(2, change)
    s.hub.psql(f"SELECT exact.disable_entities({division}, 'costcenter')")
    change = waits(3, "1 change of dimensions waits to be written", "costcenter is not enabled")
    s.hub.psql(f"SELECT exact.enable_entities({division}, 'costcenter')")
    goes(3, change)
    s.exact.post("division", code=division, reason="NoDivisionAccess")
    s.hub.psql("SELECT exact.sync_now()")
    change = waits(4, "1 change of dimensions waits to be written")
    s.hub.wait_for("parked", lambda: s.hub.value("SELECT state FROM exact.division_state") == "parked", 60)
    s.exact.post("division", code=division, reason=None)
    goes_on(s)
    goes(4, change)
    s.exact.post("revoke", what="chain")
    s.hub.psql("SELECT exact.sync_now()")
    s.hub.wait_for("consent is needed", lambda: s.hub.value("SELECT state FROM exact.app_state") == "reauthorize", 60)
    change = waits(5, "needs consent", "1 change of dimensions waits to be written")
    s.hub.authorize()
    goes(5, change)
    s.quiet()
    assert len(s.sent()) == 6


def test_closed_to_writes(scene):
    """Six errors close an endpoint to writes: exact.budget shows it, exact.status says so, resume() opens it."""
    s = scene()
    s.fault(CENTERS, "invalid", field="Description", times=6)
    changes = [s.edit(CENTERS, row["ID"], description="'Seventh'")[0] for row in s.living(CENTERS)[:7]]
    s.hub.wait_for("closed", lambda: s.hub.value("SELECT closed_to_writes ? 'hrm/Costcenters' AND closed IS NULL "
                                                 "FROM exact.budget") == "t", 120)
    says(s, "1 change of dimensions waits to be written", "hrm/Costcenters has answered six errors")
    assert len(s.sent()) == 6 and status(s)["light"] == "warn"
    s.hub.sync(60)
    goes_on(s)
    s.ended(changes[6], "done", 60)
    s.hub.wait_for("open", lambda: s.hub.value("SELECT closed_to_writes IS NULL FROM exact.budget") == "t", 30)


def test_who_decides(scene):
    """Two yes at once, a yes and a no at once, a yes for what is done, for nothing, for what is overtaken."""
    s = scene(mode="approve")
    rows = s.living(CENTERS)
    changes = [s.edit(CENTERS, row["ID"], description="'Decided'")[0]["id"] for row in rows[:3]]
    assert s.writes() == []

    def decide(n, verb):
        with contextlib.suppress(SqlError):
            s.hub.psql(f"BEGIN; SELECT exact.{verb}({changes[n]}); SELECT pg_sleep(0.3); COMMIT")
    hands = [threading.Thread(target=decide, args=hand) for hand in (
        (0, "approve"), (0, "approve"), (1, "approve"), (1, "reject"))]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    s.hub.wait_for("what was approved has ended", lambda: s.hub.value(
        "SELECT count(*) FROM exact.dimension_change WHERE state = 'approved'") == "0", 60)
    s.quiet()
    states = {c["id"]: c["state"] for c in s.changes()}
    assert states[changes[0]] == "done" and states[changes[1]] in ("done", "rejected")
    assert len(s.sent()) == s.written() == 1 + (states[changes[1]] == "done")
    for verb in ("approve", "reject"):
        for number in (changes[0], 0, -1, 2 ** 62):
            with pytest.raises(SqlError, match=r"change|nothing"):
                s.hub.psql(f"SELECT exact.{verb}({number})")
    # overtaken: what was shown to whoever says yes is not there any more
    s.exact.change(s.division, CENTERS, "update", rows[2]["ID"], fields={"Description": "By a colleague"})
    s.hub.sync(60)
    with pytest.raises(SqlError, match="By a colleague"):
        s.hub.psql(f"SELECT exact.approve({changes[2]})")
    # a reader may neither, an edit that is rolled back is none
    s.hub.psql("CREATE ROLE looker; GRANT exact_reader TO looker")
    for verb in ("approve", "reject"):
        with pytest.raises(SqlError, match="permission denied"):
            s.hub.psql(f"SET ROLE looker; SELECT exact.{verb}({changes[2]})")
    before = s.last()
    s.hub.psql(f"BEGIN; UPDATE exact.cost_center SET description = 'Back' WHERE id = '{rows[3]['ID']}'; ROLLBACK")
    assert s.changes(before) == []


def test_other_ways_to_edit(scene):
    """COPY, MERGE, RETURNING, a cursor, ON CONFLICT, a serializable transaction; a key or a division is not changed."""
    s = scene()
    row, other, third = s.living(CENTERS)[:3]
    key, d = row["ID"], s.division
    for text in (f"UPDATE exact.cost_center SET id = gen_random_uuid() WHERE id = '{key}'",
                 f"UPDATE exact.cost_center SET division = 1 WHERE id = '{key}'",
                 f"UPDATE exact.cost_center SET seq = 1 WHERE id = '{key}'",
                 f"INSERT INTO exact.cost_center (division, id, code, description) VALUES ({d}, '{key}', 'X', 'x')",
                 f"INSERT INTO exact.cost_center (division, id, code, description) VALUES ({d}, '{key}', 'X', 'x')"
                 " ON CONFLICT (division, id) DO UPDATE SET description = 'x'"):
        with pytest.raises(SqlError):
            s.hub.psql(text)
    s.hub.psql(f"COPY exact.cost_unit (division, code, description) FROM STDIN;\n{d}\tCOPY1\tcopied\n\\.\n")
    s.hub.psql(f"""MERGE INTO exact.cost_center AS t USING (VALUES ('{key}'::uuid, 'Merged')) AS m (id, description)
        ON t.division = {d} AND t.id = m.id WHEN MATCHED THEN UPDATE SET description = m.description
        WHEN NOT MATCHED THEN INSERT (division, code, description) VALUES ({d}, 'NO', 'no')""")
    said = s.hub.psql(f"UPDATE exact.cost_center SET description = 'Returned' WHERE id = '{other['ID']}' "
                      "RETURNING description")
    assert other["Description"] in said, "RETURNING shows what Exact Online has"
    s.hub.psql(f"BEGIN ISOLATION LEVEL SERIALIZABLE; UPDATE exact.cost_center SET description = 'Serialized' "
               f"WHERE id = '{third['ID']}'; COMMIT")
    s.hub.wait_for("all are there", lambda: {r["Description"] for r in s.living(CENTERS)} >= {
        "Merged", "Returned", "Serialized"} and s.coded(UNITS, "COPY1"), 60)
    s.quiet()
    assert len(s.sent()) == s.written() == 4
