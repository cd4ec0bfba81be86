"""What notifications cause, and what they do not: silence, foreign ones, locks of users."""
import subprocess

from processes import free_port
from test_ordering import listening, living, subscribe

ITEMS = "logistics/Items"


def taken(hub):
    return hub.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL") == "0"


def start(start_hub, workspace, *exact, **settings):
    port = free_port()
    hub = start_hub(workspace, *exact, settings={"exact_databricks.sync_interval": "1h",
                                                 "exact_databricks.debounce": "100ms", **settings})
    listening(hub, port)
    return hub, port


def test_silent_topic(engine_free, start_hub):
    """A topic without a notification for three times its usual gap raises an alarm once, and its feed runs."""
    hub, port = start(start_hub, engine_free, "--records", 80, "--divisions", 1)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    runs = "SELECT run FROM exact.feed_state WHERE feed = 'items'"
    before = hub.value(runs)
    hub.psql("UPDATE exact.subscription SET state = 'present', gaps = array_fill(240::real, ARRAY[12]), last_at = "
             "now() - interval '13 min' WHERE topic = 'Items';"
             "INSERT INTO exact.subscription (division, topic, state, gaps, last_at) SELECT division, 'Items', "
             "'present', array_fill(240::real, ARRAY[12]), now() - interval '13 min' "
             "FROM exact.division WHERE enabled ON CONFLICT DO NOTHING")
    hub.exact.change(division, ITEMS, "update", living(hub, division, ITEMS)[0]["key"],
                     fields={"Description": "nobody told"})
    hub.wait_for("the silence is seen", lambda: hub.value("SELECT silent_since IS NOT NULL FROM exact.subscription "
                                                          "WHERE topic = 'Items'") == "t", 90)
    hub.wait_for("the feed runs", lambda: hub.value(runs) != before, 30)
    assert "nobody told" in hub.value("SELECT payload FROM exact.stage ORDER BY seq DESC LIMIT 1")
    assert hub.cluster.log_text().count("topic=Items silent_s=") == 1
    assert "Items: no notification since" in hub.value("SELECT what FROM exact.status")
    subscribe(hub, division, port, "Items")
    hub.exact.change(division, ITEMS, "update", living(hub, division, ITEMS)[0]["key"],
                     fields={"Description": "told again"})
    hub.wait_for("it is heard again", lambda: hub.value("SELECT silent_since IS NULL FROM exact.subscription "
                                                        "WHERE topic = 'Items'") == "t", 30)


def test_moved_division_is_noticed(engine_free, start_hub):
    """Row versions that start again are above no mark: a notification that nothing follows has the guard look."""
    hub, port = start(start_hub, engine_free, "--records", 80, "--divisions", 1)
    division = hub.exact.divisions[0]
    hub.enable(entities=("items",))
    hub.wait_loaded()
    subscribe(hub, division, port, "Items")
    hub.psql("UPDATE exact.feed_state SET run_started_at = now() - interval '11 min', complete_at = now() - "
             "interval '11 min' WHERE feed = 'divisions'; SELECT exact._wake('fetcher')")
    hub.exact.post("division", code=division, move_date="/Date(1763800000000)/", reset_timestamps=True)
    key = living(hub, division, ITEMS)[0]["key"]
    hub.exact.change(division, ITEMS, "update", key, fields={"Description": "told after the move"})
    hub.wait_for("the change is read", lambda: "told after the move" in hub.value(
        f"SELECT payload FROM exact.stage WHERE key = '{key}' ORDER BY seq DESC LIMIT 1"), 40)
    assert hub.value("SELECT mark_generation FROM exact.division_state") == "2"


def test_signed_but_of_no_use(engine_free, start_hub):
    """
    Another division, an unknown topic, another app's client id, no key, no JSON object: answered 200, kept with the
    reason, no call.
    """
    hub, port = start(start_hub, engine_free, "--records", 80, "--divisions", 2)
    one, other = hub.exact.divisions
    hub.enable(divisions=[one], entities=("items",))
    hub.wait_loaded()
    subscribe(hub, one, port, "Items")
    url, key = f"http://127.0.0.1:{port}/exact/hook", living(hub, one, ITEMS)[0]["key"]
    calls = hub.value("SELECT count(*) FROM exact.api_call")
    event = {"division": one, "topic": "Items", "key": key, "action": "Update", "url": url,
             "at": "2026-11-22T10:00:00.001"}
    for n, more in enumerate(({"division": other}, {"division": 999999}, {"topic": "Moons"}, {"topic": "Accounts"},
                              {"client_id": "00000000-0000-0000-0000-000000000000"}, {"content": "{}"},
                              {"content": "[1]"}, {"content": '{"Topic":"Items","Division":"x"}'})):
        hub.exact.post("webhooks/send", **{**event, "at": f"2026-11-22T10:00:00.00{n}", **more})
    hub.wait_for("all are answered", lambda: hub.exact.get("webhooks/pending")["pending"] == 0, 30)
    hub.wait_for("all are taken", lambda: taken(hub), 30)
    assert all(message["status"] == 200 for message in hub.exact.get("webhooks", kind="injected")["webhooks"])
    rows = hub.query("SELECT id, reason FROM exact.inbox_work ORDER BY id")
    assert len(rows) == 8 and all(row["reason"] for row in rows), rows
    assert hub.value("SELECT count(*) FROM exact.dirty_key") == "0"
    assert hub.value("SELECT count(*) FROM exact.api_call") == calls
    assert hub.query("SELECT * FROM exact.verify_audit()") == []


def test_locks_of_users_delay_nobody_else(engine_free, start_hub):
    """
    Somebody holds the state of one feed, a dirty key, the inbox and the subscription of one topic: everything else goes
    on.
    """
    hub, port = start(start_hub, engine_free, "--preset", "finance", "--records", 100, "--divisions", 2)
    one, other = hub.exact.divisions
    hub.enable(entities=("items", "accounts", "glaccount", "purchaseentries", "purchaseentrylines"))
    hub.wait_loaded()
    for division in (one, other):
        subscribe(hub, division, port, "Items", "Accounts", "PurchaseEntries", "GLAccounts")
    key = living(hub, one, "purchaseentry/PurchaseEntries")[0]["key"]
    hub.psql("INSERT INTO exact.dirty_key (division, entity, key, reason, not_before) "
             f"VALUES ({one}, 'purchaseentries', '{key}', 'notified', now() + interval '1 h')")
    with Holder(hub, f"SELECT 1 FROM exact.feed_state WHERE division = {one} AND feed = 'items' FOR UPDATE",
                f"SELECT 1 FROM exact.dirty_key WHERE key = '{key}' FOR UPDATE",
                f"SELECT 1 FROM exact.subscription WHERE division = {one} FOR UPDATE",
                f"SELECT 1 FROM exact.division WHERE division = {one} FOR UPDATE",
                "SELECT 1 FROM exact.app FOR UPDATE", "SELECT 1 FROM exact.workspace FOR UPDATE",
                f"SELECT 1 FROM exact.record WHERE division = {one} AND entity = 'items' FOR UPDATE"):
        since = hub.value("SELECT clock_timestamp()")
        for division, resource in ((one, ITEMS), (one, "crm/Accounts"), (other, ITEMS), (other, "crm/Accounts"),
                                   (other, "purchaseentry/PurchaseEntries"), (one, "financial/GLAccounts")):
            hub.exact.change(division, resource, "update", living(hub, division, resource)[0]["key"],
                             fields={"Description" if resource != "crm/Accounts" else "Name": "while locked"})
        staged = ("SELECT count(DISTINCT (division, entity)) FROM exact.stage WHERE at > '" + since + "' "
                  "AND (division, entity) IN "
                  f"(({one}, 'accounts'), ({one}, 'glaccount'), ({other}, 'items'), ({other}, 'accounts'), ({other}, "
                  "'purchaseentries'))")
        hub.wait_for("all but the held ones are staged", lambda: hub.value(staged) == "5", 30)
        assert hub.value(f"SELECT count(*) FROM exact.stage WHERE at > '{since}' AND division = {one} "
                         "AND entity = 'items'") == "0"
    hub.wait_for("the held one follows", lambda: hub.value(
        f"SELECT count(*) FROM exact.stage WHERE at > '{since}' AND division = {one} AND entity = 'items'") == "1", 30)


class Holder:
    """A session that holds locks until the end of the block."""

    def __init__(self, hub, *statements):
        self.hub, self.statements = hub, statements

    def __enter__(self):
        cluster = self.hub.cluster
        self.process = subprocess.Popen([str(cluster.bin / "psql"), "-XAtq", "-h", str(cluster.socket), "-p",
                                         str(cluster.settings["port"]), "-U", "postgres", self.hub.database],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True)
        self.process.stdin.write("BEGIN;\n" + ";\n".join(self.statements) + ";\nSELECT 'held';\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.strip() == "held":
                return self
        raise AssertionError("the session ended")

    def __exit__(self, *_):
        self.process.stdin.write("ROLLBACK;\n")
        self.process.stdin.close()
        self.process.wait(30)
