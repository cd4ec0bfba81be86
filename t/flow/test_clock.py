"""The clock of the hub's host is set, back or ahead: work goes on at once, costs no loop of calls and loses nothing."""
import pathlib
import subprocess
import time

import pytest
from kills import WORKERS
from processes import free_port
from test_ordering import PURCHASE, listening, living, subscribe

ENTITIES = ("glaccount", "costcenter", "purchaseentries", "purchaseentrylines", "transactionlines")


@pytest.fixture
def clock(tmp_path, monkeypatch):
    """Moves PostgreSQL's clock; the simulators started before keep theirs."""
    library, file = tmp_path / "clock.so", tmp_path / "clock"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, pathlib.Path(__file__).with_name("clock.c")],
                   check=True)
    file.write_text("0")

    def move(hub, seconds):
        if hub is None:
            monkeypatch.setenv("LD_PRELOAD", str(library))
            monkeypatch.setenv("TEST_CLOCK", str(file))
        file.with_suffix(".new").write_text(str(seconds))
        file.with_suffix(".new").rename(file)
    return move


@pytest.mark.parametrize("before, after", [(3600, 0), (86400, 0), (0, 86400)],
                         ids=["back an hour", "back a day", "ahead a day"])
def test_clock_is_set(engine_free, start_hub, clock, before, after):
    """A clock is set while there is work on the way: notifications, polls, requests and deliveries go on."""
    port = free_port()
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1,
                    settings={"exact_databricks.sync_interval": "20s", "exact_databricks.debounce": "300ms"})
    hub.cluster.stop()
    clock(None, before)
    hub.cluster.start()
    assert float(hub.value("SELECT extract(epoch FROM clock_timestamp())")) > time.time() + before - 60
    hub.wait_for_workers()
    listening(hub, port)
    hub.enable(entities=ENTITIES)
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    subscribe(hub, division, port, "PurchaseEntries", "GLAccounts")
    hub.exact.random(20, division=division, deletes=0.1)
    hub.psql("SELECT exact.sync_now()")
    used = int(hub.value("SELECT count(*) FROM exact.api_call"))
    clock(hub, after)
    hub.wait_for_workers(WORKERS)
    key = living(hub, division, PURCHASE)[0]["key"]
    hub.exact.change(division, PURCHASE, "update", key, fields={"Description": "after the clock was set"})
    hub.wait_for("it is read", lambda: "after the clock was set" in hub.value(
        "SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
        f"WHERE r.entity = 'purchaseentries' AND r.key = '{key}'"), 60)
    account = living(hub, division, "financial/GLAccounts")[0]["key"]
    hub.exact.change(division, "financial/GLAccounts", "update", account, fields={"Description": "and an account"})
    hub.wait_for("it is read", lambda: "and an account" in hub.value(
        "SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
        f"WHERE r.entity = 'glaccount' AND r.key = '{account}'"), 60)
    hub.wait_for("nothing waits", lambda: hub.value("SELECT (SELECT count(*) FROM exact.dirty_key) + (SELECT count(*) "
                                                    "FROM exact.batch WHERE delivered_at IS NULL) "
                                                    "+ (SELECT count(*) FROM exact.feed_state WHERE notified_last IS "
                                                    "NOT NULL)") == "0", 60)
    hub.wait_for("the request is done", lambda: hub.value("SELECT count(*) FROM exact.request "
                                                          "WHERE state IN ('queued', 'running')") == "0", 60)
    hub.sync(60)
    used = int(hub.value("SELECT count(*) FROM exact.api_call")) - used
    assert used < 100, hub.query("SELECT at, path FROM exact.api_call ORDER BY id DESC LIMIT 40")
