"""Keyed reads that fail, documents of which only lines are read, many silent topics."""
import time

from processes import free_port
from test_ordering import deleted, hits, listening, living, subscribe

PURCHASE = "purchaseentry/PurchaseEntries"
INVOICES, INVOICE_LINES = "purchase/PurchaseInvoices", "purchase/PurchaseInvoiceLines"
CALM = {"exact_databricks.sync_interval": "1h", "exact_databricks.debounce": "100ms"}


def purchases(start_hub, engine_free):
    port = free_port()
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1, settings=CALM)
    listening(hub, port)
    hub.enable(entities=("purchaseentries", "purchaseentrylines"))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    subscribe(hub, division, port, "PurchaseEntries")
    return hub, division, f"http://127.0.0.1:{port}/exact/hook"


def described(hub, key, text):
    return text in hub.value("SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
                             f"WHERE r.entity = 'purchaseentries' AND r.key = '{key}'")


def test_key_of_another_kind(engine_free, start_hub):
    """
    A notification whose key cannot be a key of its entity is kept with the reason and asks for nothing; the others are
    read.
    """
    hub, division, url = purchases(start_hub, engine_free)
    good = living(hub, division, PURCHASE)[0]["key"]
    for key in ("0815", "it's none", "x" * 36):
        hub.exact.post("webhooks/send", division=division, topic="PurchaseEntries", key=key, action="Update", url=url)
    hub.wait_for("they are answered", lambda: hub.exact.get("webhooks/pending")["pending"] == 0, 30)
    hub.exact.change(division, PURCHASE, "update", good, fields={"Description": "a good one"})
    hub.wait_for("the good one is read", lambda: described(hub, good, "a good one"), 60)
    assert hub.value("SELECT count(*) FROM exact.inbox_work WHERE reason IS NOT NULL") == "3"
    hub.wait_for("nothing is left", lambda: hub.value("SELECT count(*) FROM exact.dirty_key") == "0", 30)
    assert hub.value("SELECT count(*) FROM exact.api_call WHERE status >= 400") == "0"


def test_refused_keyed_read_waits(engine_free, start_hub):
    """
    A refused keyed read is not tried again because notifications go on: six errors an hour would stop the whole
    endpoint.
    """
    hub, division, url = purchases(start_hub, engine_free)
    keys = [r["key"] for r in living(hub, division, PURCHASE)]
    fault = hub.exact.fault("PurchaseEntries.*EntryID eq", "status", status=400, times=-1)
    for n in range(5):
        hub.exact.post("webhooks/send", division=division, topic="PurchaseEntries", key=keys[n],
                       action="Update", url=url)
        hub.wait_for("it is taken", lambda: hub.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL")
                     == "0", 30)
        hub.wait_for("it was asked for", lambda: hits(hub, fault) > 0, 30)
        end = time.time() + 2
        hub.wait_for("the plan may be read again", lambda: time.time() > end, 30)
    assert hits(hub, fault) == 1
    hub.exact.clear_faults()
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("an operator's word is enough", lambda: hub.value("SELECT count(*) FROM exact.dirty_key") == "0", 30)


def test_key_that_is_refused(engine_free, start_hub):
    """One key of many makes the service refuse a read: the others are read in smaller portions, that one waits."""
    hub, division, _ = purchases(start_hub, engine_free)
    bad, *good = sorted(r["key"] for r in living(hub, division, PURCHASE))[:9]
    hub.exact.fault(f"PurchaseEntries.*EntryID eq.*{bad}", "status", status=400, times=-1)
    hub.psql("INSERT INTO exact.dirty_key (division, entity, key, since, reason) "
             f"SELECT {division}, 'purchaseentries', k, now() - interval '1 min', 'notified' "
             f"FROM unnest('{{{','.join([bad, *good])}}}'::text[]) k; SELECT exact._wake('fetcher')")
    failures = "SELECT confirm_errors FROM exact.feed_state WHERE feed = 'purchaseentries'"
    for _ in range(1, 5):
        hub.wait_for("it is refused", lambda: hub.value(failures) == "1"
                     or hub.value("SELECT count(*) FROM exact.dirty_key WHERE not_before IS NULL") == "0", 60)
        hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("the others are read", lambda: hub.value("SELECT string_agg(key, ' ') FROM exact.dirty_key") == bad,
                 60)
    assert hub.value("SELECT not_before > now() + interval '30 min' FROM exact.dirty_key") == "t"


def test_lines_without_their_documents(engine_free, start_hub):
    """Only the lines of documents are read: those of a document that is gone go too."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 400, "--divisions", 1, settings=CALM)
    hub.enable(entities=("purchaseinvoicelines",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    line = living(hub, division, INVOICE_LINES)[0]
    hub.exact.change(division, INVOICES, "delete", line["row"]["InvoiceID"])
    hub.sync(60)
    hub.wait_for("its lines are gone", lambda: deleted(hub, "purchaseinvoicelines", line["key"]), 30)
    gone = {r["key"].lower() for r in hub.exact.truth(division, INVOICE_LINES) if r["deleted"]}
    assert set(hub.value("SELECT string_agg(key, ' ') FROM exact.record WHERE entity = 'purchaseinvoicelines' "
                         "AND deleted").split()) == gone


def test_many_silent_topics(engine_free, start_hub):
    """Silence of all topics at once, as when nothing comes through any more: each has its alarm, and each feed runs."""
    hub = start_hub(engine_free, "--records", 60, "--divisions", 1, settings=CALM)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    hub.psql("INSERT INTO exact.subscription (division, topic, state, gaps, last_at) SELECT d.division, 'Topic' || n, "
             "'present', array_fill(240::real, ARRAY[12]), now() - interval '13 min' "
             "FROM exact.division d, generate_series(1, 100) n WHERE d.enabled")
    hub.wait_for("all are seen", lambda: hub.value("SELECT count(*) FROM exact.subscription WHERE topic LIKE 'Topic%' "
                                                   "AND silent_since IS NULL") == "0", 150)
    assert hub.cluster.log_text().count(" silent_s=") == 100
