"""Documents that come without all their lines, clocks that are wrong, first loads that come late."""
import time

from kills import WORKERS
from processes import free_port
from test_ordering import CENTERS, PURCHASE, calls, deleted, hits, listening, living, subscribe
from truth_rules import RESOURCES

ITEMS, PURCHASE_LINES = "logistics/Items", "purchaseentry/PurchaseEntryLines"
DOCUMENTS = ("purchaseentries", "purchaseentrylines")
SLOW = {"exact_databricks.sync_interval": "1h"}


def same_lines(hub, division, entity="purchaseentrylines", resource=PURCHASE_LINES):
    """The hub's living lines are those of Exact Online, with their content."""
    rows = dict(line.split("|", 1) for line in hub.psql(
        "SELECT r.key, s.payload::json ->> 'Description' FROM exact.record r JOIN exact.stage s "
        f"USING (slot, batch, ord) WHERE r.entity = '{entity}' AND NOT r.deleted").splitlines())
    return rows == {r["key"].lower(): r["row"]["Description"] or "" for r in living(hub, division, resource)}


def nothing_dirty(hub):
    return hub.value("SELECT count(*) FROM exact.dirty_key") == "0"


def document_with_lines(hub, division, least=3):
    """(key of a document, its lines)"""
    lines = {}
    for r in living(hub, division, PURCHASE_LINES):
        lines.setdefault(r["row"]["EntryID"], []).append(r["row"])
    return next((key, found) for key, found in lines.items() if len(found) >= least)


def test_lines_cut_into_pages(engine_free, start_hub):
    """
    A document comes with the first of its lines only: the others are read by its key, none is lost and none taken for
    deleted.
    """
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1, settings=SLOW)
    hub.exact.post("config", expand_page_size=1, page_size=7)
    division = hub.exact.divisions[0]
    hub.enable(entities=DOCUMENTS)
    hub.wait_loaded()
    hub.wait_for("all lines are read", lambda: nothing_dirty(hub) and same_lines(hub, division), 60)
    assert calls(hub, "purchaseentry/PurchaseEntryLines%") > 0
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
    key, lines = document_with_lines(hub, division)
    hub.exact.change(division, PURCHASE, "update", key, fields={"Description": "with another set of lines"},
                     lines=[{"ID": lines[-1]["ID"], "delete": True}, {"ID": lines[0]["ID"], "Description": "edited"}])
    hub.sync(60)
    hub.wait_for("the lines follow", lambda: nothing_dirty(hub) and same_lines(hub, division), 60)
    assert deleted(hub, "purchaseentrylines", lines[-1]["ID"])
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "1"
    assert hub.value("SELECT count(*) FROM exact.api_call WHERE status >= 400") == "0"


def test_all_kinds_of_documents_cut(engine_free, start_hub):
    """Likewise for every kind of document, each with the field by which its lines name it."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1, settings=SLOW)
    hub.exact.post("config", expand_page_size=1, page_size=11)
    division = hub.exact.divisions[0]
    parts = {name: table for name, table in RESOURCES.items() if table.kind in ("document", "part")}
    hub.enable(entities=tuple(parts))
    hub.wait_loaded()
    hub.wait_for("all lines are read", lambda: nothing_dirty(hub), 60)
    for name, table in parts.items():
        known = set(hub.psql(f"SELECT key FROM exact.record WHERE entity = '{name}' AND NOT deleted").split())
        assert known == {r["key"].lower() for r in living(hub, division, table.resource)}, name
    assert hub.value("SELECT count(*) FROM exact.record WHERE entity LIKE '%lines' AND parent IS NULL") == "0"


def test_lines_that_are_null(engine_free, start_hub):
    """A document whose collection is null, or only a link, says nothing about its lines: they are asked for."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1, settings=SLOW)
    division = hub.exact.divisions[0]
    hub.exact.fault("purchaseentry/PurchaseEntries", "null_collections", times=-1)
    hub.enable(entities=DOCUMENTS)
    hub.wait_loaded()
    hub.wait_for("all lines are read", lambda: nothing_dirty(hub) and same_lines(hub, division), 60)
    key, lines = document_with_lines(hub, division)
    hub.exact.clear_faults()
    hub.exact.fault("purchaseentry/PurchaseEntries", "deferred", times=-1)
    hub.exact.change(division, PURCHASE, "update", key, fields={"Description": "a line less"},
                     lines=[{"ID": lines[0]["ID"], "delete": True}])
    hub.sync(60)
    hub.wait_for("its lines are read", lambda: nothing_dirty(hub) and same_lines(hub, division), 60)
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "1"
    assert hub.value("SELECT count(*) FROM exact.held_delete") == "0"


def test_lines_that_cannot_be_read(engine_free, start_hub):
    """The lines of a document are refused: that is told, its feed goes on, and nothing of it is taken for deleted."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1, settings=SLOW)
    division = hub.exact.divisions[0]
    hub.enable(entities=DOCUMENTS)
    hub.wait_loaded()
    fault = hub.exact.fault("PurchaseEntryLines.*EntryID eq", "status", status=400, times=-1)
    hub.exact.post("config", expand_page_size=1)
    key, lines = document_with_lines(hub, division)
    other = next(r["key"] for r in living(hub, division, PURCHASE) if r["key"] != key)
    for one in (key, other):
        hub.exact.change(division, PURCHASE, "update", one, fields={"Description": "changed"})
    hub.psql(f"SELECT exact.sync_now({division}, 'purchaseentries')")
    hub.wait_for("they are refused", lambda: hits(hub, fault) > 0
                 and "purchaseentrylines cannot be read" in (hub.value("SELECT last_error FROM exact.feed_state "
                                                                       "WHERE feed = 'purchaseentries'") or ""), 60)
    assert "its lines did not come with it" in hub.value(f"SELECT exact.explain({division}, "
                                                         f"'purchaseentries', '{key}')")
    assert "its lines did not come with it" in hub.value(f"SELECT exact.explain({division}, 'purchaseentrylines', "
                                                         f"'{lines[0]['ID']}')")
    assert hub.value("SELECT count(*) FROM exact.stage WHERE entity = 'purchaseentries' AND op = 'U'") == "2"
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
    hub.exact.clear_faults()
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("all lines are read", lambda: nothing_dirty(hub) and same_lines(hub, division), 60)


def description(hub, entity, key):
    return hub.value("SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
                     f"WHERE r.entity = '{entity}' AND r.key = lower('{key}')")


def test_key_that_is_notified_again_and_again(engine_free, start_hub):
    """A document is notified again before each pause ends: it is read all the same, a few pauses after the first."""
    port = free_port()
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1,
                    settings={**SLOW, "exact_databricks.debounce": "1s"})
    listening(hub, port)
    hub.enable(entities=DOCUMENTS)
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    key = living(hub, division, PURCHASE)[0]["key"]
    before = calls(hub, "purchaseentry/PurchaseEntries?$filter=1 keys")
    hub.exact.change(division, PURCHASE, "update", key, fields={"Description": "notified all the time"})
    sent = 0

    def read():
        nonlocal sent
        sent += 1
        hub.exact.post("webhooks/send", division=division, topic="PurchaseEntries", key=key, action="Update",
                       url=f"http://127.0.0.1:{port}/exact/hook")
        return "notified all the time" in description(hub, "purchaseentries", key)
    hub.wait_for("it is read while notifications go on", read, 60, 0.3)
    taken = int(hub.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NOT NULL"))
    assert taken >= 5, "the notifications did not come fast enough to keep a key waiting"
    hub.wait_for("it is settled", lambda: nothing_dirty(hub), 30)
    assert calls(hub, "purchaseentry/PurchaseEntries?$filter=1 keys") - before < sent / 2


def test_changed_in_the_future(engine_free, start_hub):
    """
    A record whose Modified lies days ahead does not hide what changes after it; a mark that is ahead already comes
    back.
    """
    hub = start_hub(engine_free, "--records", 80, "--divisions", 1, settings=SLOW)
    hub.enable(entities=("costcenter",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    mark = "SELECT mark FROM exact.feed_state WHERE feed = 'costcenter'"
    one, two, three = [r["key"] for r in living(hub, division, CENTERS)][:3]
    days = int((time.time() + 5 * 86400) * 1000)
    hub.exact.change(division, CENTERS, "update", one, fields={"Description": "of next week"},
                     modified=f"/Date({days})/")
    read_since_mark(hub, "costcenter")
    assert "of next week" in description(hub, "costcenter", one)
    hub.exact.change(division, CENTERS, "update", two, fields={"Description": "of today"})
    read_since_mark(hub, "costcenter")
    assert "of today" in description(hub, "costcenter", two)
    assert int(hub.value(mark)) < days - 4 * 86400000
    hub.psql(f"UPDATE exact.feed_state SET mark = {days} WHERE feed = 'costcenter'; SELECT exact.restart_workers()")
    read_since_mark(hub, "costcenter")
    hub.exact.change(division, CENTERS, "update", three, fields={"Description": "after the mark was ahead"})
    read_since_mark(hub, "costcenter")
    assert "after the mark was ahead" in description(hub, "costcenter", three)


def read_since_mark(hub, feed):
    """A run that is due by itself, from its mark; when an operator asks, small feeds are read whole."""
    run = hub.value(f"SELECT run FROM exact.feed_state WHERE feed = '{feed}'")
    hub.psql("UPDATE exact.feed_state SET complete_at = complete_at - interval '1 day', whole_at = now() + interval "
             f"'1 day' WHERE feed = '{feed}'; SELECT exact._wake('fetcher')")
    hub.wait_for("it was read", lambda: hub.value(f"SELECT run <> {run} AND run_state = 'idle' FROM exact.feed_state "
                                                  f"WHERE feed = '{feed}'") == "t", 60)


def test_late_first_loads_leave_the_reserve(engine_free, start_hub):
    """
    Transaction lines come after their documents, an entity comes back: what that reads again uses no call that live
    changes are kept.
    """
    port = free_port()
    # plain books: each entry has transaction lines
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1, "--set", "books=[]",
                    settings={**SLOW, "exact_databricks.debounce": "100ms", "exact_databricks.live_reserve": 80})
    listening(hub, port)
    hub.enable(entities=("glaccount", *DOCUMENTS))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    subscribe(hub, division, port, "PurchaseEntries")
    keys = [r["key"] for r in living(hub, division, PURCHASE)]

    def left(n):
        """So many calls are left of this day, few of many."""
        used = 10000000 - int(hub.value("SELECT day_left FROM exact.division_state WHERE day_limit = 10000000"))
        hub.exact.post("config", day_limit=used + n)

    def live(n):
        hub.exact.change(division, PURCHASE, "update", keys[n], fields={"Description": f"live {n}"})
        hub.wait_for("what is notified is read", lambda: f"live {n}" in description(hub, "purchaseentries", keys[n]),
                     30)

    fault = hub.exact.fault("sync/Financial/TransactionLines", "delay", seconds=2)
    hub.psql(f"SELECT exact.enable_entities({division}, 'transactionlines')")
    hub.wait_for("the transaction lines are asked for", lambda: hits(hub, fault), 30, 0.05)
    left(20)
    hub.wait_for("their documents are to be read",
                 lambda: hub.value("SELECT count(*) FROM exact.dirty_key WHERE reason = 'first load'")
                 == str(len(keys)), 30)
    live(0)
    assert hub.value("SELECT count(*) FROM exact.dirty_key WHERE reason = 'first load'") == str(len(keys) - 1)
    before = calls(hub, "sync/Financial/GLAccounts%")
    hub.psql(f"SELECT exact.disable_entities({division}, 'glaccount'); SELECT exact.enable_entities({division}, "
             "'glaccount')")
    live(1)
    assert calls(hub, "sync/Financial/GLAccounts%") == before
    hub.exact.post("config", day_limit=10000000)
    live(2)     # its answer says that there are calls again
    hub.wait_for("the documents are read", lambda: nothing_dirty(hub), 60)
    hub.wait_loaded()
    assert calls(hub, "sync/Financial/GLAccounts%") > before


def test_no_token_is_no_error_of_a_feed(engine_free, start_hub):
    """
    The token service fails while notifications come and an operator asks: nothing counts as an error of a feed, all
    follows by itself.
    """
    port = free_port()
    hub = start_hub(engine_free, "--records", 60, "--divisions", 1,
                    settings={**SLOW, "exact_databricks.debounce": "100ms"})
    listening(hub, port)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    subscribe(hub, division, port, "Items")
    keys = [r["key"] for r in living(hub, division, ITEMS)][:12]
    fault = hub.exact.fault("oauth2/token", "status", status=503, times=-1)
    end_token(hub)
    request = hub.psql("SELECT exact.sync_now()").strip()
    hub.wait_for("a new token is asked for", lambda: hits(hub, fault) > 0, 60)
    before = hits(hub, fault)
    for n, key in enumerate(keys):
        hub.exact.change(division, ITEMS, "update", key, fields={"Description": f"without a token {n}"})
        hub.wait_for("it is taken", lambda: hub.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NOT "
                                                      "NULL") == str(n + 1), 30, 0.5)
    assert hits(hub, fault) - before < len(keys), "each notification made it try again"
    assert hub.value("SELECT count(*) FROM exact.feed_state WHERE errors > 0 OR confirm_errors > 0") == "0"
    assert hub.value(f"SELECT state FROM exact.request WHERE id = {request}") == "running"
    hub.exact.clear_faults()
    hub.wait_for("all is read", lambda: all(f"without a token {n}" in description(hub, "items", key) for n,
                                            key in enumerate(keys)), 180)
    hub.wait_for("the request is done", lambda: hub.value(f"SELECT state FROM exact.request WHERE id = {request}")
                 == "done", 60)
    assert hub.value("SELECT count(*) FROM exact.feed_state WHERE errors > 0") == "0"
    # the consent is gone for good: a request says so instead of waiting for ever
    hub.exact.post("revoke", what="chain")
    end_token(hub)
    request = hub.psql("SELECT exact.sync_now()").strip()
    hub.wait_for("the request has ended", lambda: hub.value(f"SELECT state FROM exact.request WHERE id = {request}")
                 == "failed", 120)
    assert "must be authorised" in hub.value(f"SELECT result FROM exact.request WHERE id = {request}")
    assert hub.value("SELECT count(*) FROM exact.feed_state WHERE errors > 0") == "0"
    hub.authorize()
    hub.sync(60)


def end_token(hub):
    """Ten minutes have passed on both sides."""
    hub.exact.post("clock", advance=700)
    hub.psql("UPDATE exact.token SET issued_at = issued_at - interval '700 s', expires_at = expires_at - interval '700 "
             "s'; SELECT exact.restart_workers()")
    hub.wait_for_workers(WORKERS)
