"""Documents that come without all their lines, clocks that are wrong, first loads that come late."""
from test_ordering import PURCHASE, calls, deleted, hits, living

PURCHASE_LINES = "purchaseentry/PurchaseEntryLines"
DOCUMENTS = ("purchaseentries", "purchaseentrylines")
SLOW = {"exact_databricks.sync_interval": "1h"}


def same_lines(hub, division, entity="purchaseentrylines", resource=PURCHASE_LINES):
    """The hub's living lines are those of Exact Online, with their content."""
    rows = dict(line.split("|", 1) for line in hub.psql(
        f"SELECT r.key, s.payload::json ->> 'Description' FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) WHERE r.entity = '{entity}' AND NOT r.deleted").splitlines())
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
    """A document comes with the first of its lines only: the others are read by its key, none is lost and none taken for deleted."""
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
    hub.exact.change(division, PURCHASE, "update", key, fields={"Description": "a line less"}, lines=[{"ID": lines[0]["ID"], "delete": True}])
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
    hub.wait_for("they are refused", lambda: hits(hub, fault) > 0 and "purchaseentrylines cannot be read" in (hub.value("SELECT last_error FROM exact.feed_state WHERE feed = 'purchaseentries'") or ""), 60)
    assert "its lines did not come with it" in hub.value(f"SELECT exact.explain({division}, 'purchaseentries', '{key}')")
    assert "its lines did not come with it" in hub.value(f"SELECT exact.explain({division}, 'purchaseentrylines', '{lines[0]['ID']}')")
    assert hub.value("SELECT count(*) FROM exact.stage WHERE entity = 'purchaseentries' AND op = 'U'") == "2"
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
    hub.exact.clear_faults()
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("all lines are read", lambda: nothing_dirty(hub) and same_lines(hub, division), 60)
