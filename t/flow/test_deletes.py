"""How fast deletions are followed, and by what: the log of deletes, keyed reads, lines of documents."""
import time

from processes import free_port
from test_ordering import deleted, listening, living

ENTRIES = "purchaseentry/PurchaseEntries"
LEDGER = ("purchaseentries", "purchaseentrylines", "transactionlines")


def lines_of(hub, key):
    return int(hub.value("SELECT count(*) FROM exact.record WHERE entity = 'transactionlines' AND NOT deleted "
                         f"AND parent = lower('{key}')"))


def started(start_hub, workspace):
    """A hub that polls once an hour; an entry with transaction lines, and how its deletion is notified."""
    port = free_port()
    hub = start_hub(workspace, "--preset", "finance", "--records", 100, "--divisions", 1,
                    settings={"exact_databricks.sync_interval": "1h", "exact_databricks.debounce": "200ms"})
    listening(hub, port)
    hub.enable(entities=LEDGER)
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    key = next(r["key"] for r in living(hub, division, ENTRIES) if lines_of(hub, r["key"]) > 1)

    def delete():
        """Only the entry's key is notified."""
        hub.exact.change(division, ENTRIES, "delete", key)
        hub.exact.post("webhooks/send", division=division, topic="PurchaseEntries", key=key, action="Delete",
                       url=f"http://127.0.0.1:{port}/exact/hook")
    return hub, key, delete


def test_transaction_lines_leave_with_their_entry(engine_free, start_hub, equal):
    """Nothing but the log of deletes names them, and nothing but the entry's notification tells of it."""
    hub, key, delete = started(start_hub, engine_free)
    delete()
    hub.wait_for("the entry is deleted", lambda: deleted(hub, "purchaseentries", key), 30, 0.1)
    entry = time.monotonic()
    hub.wait_for("its transaction lines are deleted", lambda: lines_of(hub, key) == 0, 30, 0.1)
    assert time.monotonic() - entry <= 5
    hub.sync(60)
    equal(hub, tables=LEDGER)


def test_complete_until_waits_for_the_log(engine_free, start_hub):
    """The log of deletes is behind: it is read once more, and until then nothing is said to be complete."""
    hub, key, delete = started(start_hub, engine_free)
    fault = hub.exact.fault("sync/Deleted", "omit", times=-1, empty=True)
    said = "SELECT complete_until FROM exact._state_rows('lake') WHERE entity = 'transactionlines'"
    assert hub.value(said)
    delete()
    again = "SELECT again_at IS NOT NULL FROM exact.feed_state WHERE feed = 'deleted'"
    hub.wait_for("the log was read in vain", lambda: hub.value(again) == "t", 30)
    assert not hub.value(said) and lines_of(hub, key) > 0
    hub.exact._call("DELETE", f"faults/{fault}")
    hub.wait_for("its transaction lines are deleted", lambda: lines_of(hub, key) == 0, 90)
    hub.wait_for("it is complete again", lambda: hub.value(said), 60)
