"""How fast deletions are followed, and by what: the log of deletes, keyed reads, lines of documents."""
import time

from processes import free_port
from test_ordering import deleted, hits, listening, living

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
    hub.wait_for("the entry is deleted", lambda: deleted(hub, "purchaseentries", key), 30)
    entry = time.monotonic()
    hub.wait_for("its transaction lines are deleted", lambda: lines_of(hub, key) == 0, 30)
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


def test_an_empty_run_reads_no_records(engine_free, start_hub, equal):
    """Lines of a combined set that vanished are looked for under the documents of the pages, and not by a scan."""
    hub = start_hub(engine_free, "--records", 400, "--divisions", 1, "--sync-page-size", 20,
                    settings={"exact_databricks.sync_interval": "1h"})
    hub.enable(entities=("purchaseorders", "purchaseorderlines"))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    orders, lines = "purchaseorder/PurchaseOrders", "purchaseorder/PurchaseOrderLines"
    hub.psql("ANALYZE exact.record")
    hub.psql("SELECT pg_stat_reset_single_table_counters('exact.record'::regclass)")
    for _ in range(3):
        hub.sync(60)
    assert hub.value("SELECT seq_scan FROM pg_stat_user_tables WHERE relid = 'exact.record'::regclass") == "0"

    # documents on several pages of one run, one line of each is gone and in no log
    first = {}
    for record in living(hub, division, lines):
        first.setdefault(record["row"]["PurchaseOrderID"], []).append(record["row"]["ID"])
    changed = [(order, ids) for order, ids in first.items() if len(ids) > 1][:15]
    hub.exact.fault("sync/Deleted", "omit", times=-1, empty=True)
    for order, ids in changed:
        hub.exact.change(division, orders, "update", order, lines=[{"ID": ids[0], "delete": True}])
    hub.sync(60)
    gone = {ids[0].lower() for _, ids in changed}
    hub.wait_for("one line of each is deleted", lambda: set((hub.value(
        "SELECT string_agg(key, ' ') FROM exact.record WHERE entity = 'purchaseorderlines' AND deleted") or "").split())
        == gone, 30)
    assert hub.value("SELECT count(*) FROM exact.seen_document") == "0"


def test_a_key_that_is_notified_while_it_is_read(engine_free, start_hub, equal):
    """The answer on its way shows the state before: the key is read again."""
    hub, key, _ = started(start_hub, engine_free)
    division = hub.exact.divisions[0]
    port = hub.value("SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS c(setting) "
                     "WHERE setting LIKE 'exact_databricks.port=%'").split("=")[1]

    def change(text):
        hub.exact.change(division, ENTRIES, "update", key, fields={"Description": text})
        hub.exact.post("webhooks/send", division=division, topic="PurchaseEntries", key=key, action="Update",
                       url=f"http://127.0.0.1:{port}/exact/hook")
    fault = hub.exact.fault(r"PurchaseEntries\?.*filter", "delay_after", times=1, seconds=3)
    change("the first state")
    hub.wait_for("it is being read", lambda: hits(hub, fault), 30, 0.05)
    change("the second state")
    hub.wait_for("the second state is here", lambda: "the second state" in hub.value(
        "SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
        f"WHERE r.entity = 'purchaseentries' AND r.key = lower('{key}')"), 20)


def test_a_line_that_comes_between_two_pages(engine_free, start_hub):
    """Lines that are read alone: a line that another answer brought while they were read is not gone."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 200, "--divisions", 1,
                    settings={"exact_databricks.sync_interval": "1h"})
    hub.enable(entities=("purchaseentries", "purchaseentrylines"))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    hub.exact.post("config", page_size=20)
    fault = hub.exact.fault(r"PurchaseEntryLines\?.*skiptoken", "delay_after", times=1, seconds=4)
    hub.psql("SELECT exact._want_keys(division, 'purchaseentrylines', array_agg(DISTINCT parent), NULL, 'its lines "
             "did not come with it') FROM exact.record WHERE entity = 'purchaseentrylines' GROUP BY division; "
             "SELECT exact._wake('fetcher')")
    hub.wait_for("the second page is asked for", lambda: hits(hub, fault), 30, 0.05)
    # as a run would that took its turn: the worker's own version, later than the read began
    first = hub.value("SELECT parent FROM exact.record WHERE entity = 'purchaseentrylines' ORDER BY parent LIMIT 1")
    hub.psql("INSERT INTO exact.record (division, entity, key, parent, hash, seq, slot, batch, ord) "
             f"SELECT {division}, 'purchaseentrylines', 'brought-between', '{first}', hash, "
             "(SELECT max(seq) + 1000 FROM exact.record), slot, batch, ord FROM exact.record "
             f"WHERE entity = 'purchaseentrylines' AND parent = '{first}' LIMIT 1")
    hub.wait_for("the lines were read", lambda: hub.value("SELECT count(*) FROM exact.dirty_key") == "0", 60)
    assert not deleted(hub, "purchaseentrylines", "brought-between")
