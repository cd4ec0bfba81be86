"""Where a run of a feed goes on after each kind of trouble, and what it costs in calls."""
from urllib.parse import quote

import pytest
from processes import free_port
from test_ordering import calls, hits, listening, living, subscribe

ITEMS, SYNC_ITEMS = "logistics/Items", "sync/Logistics/Items"
SLOW = {"exact_databricks.sync_interval": "1h"}
LATER_PAGES = "sync/Logistics/Items.*skiptoken"


def loading(start_hub, workspace, *exact, pages=15, **settings):
    """A hub that has not read its items yet, which come in so many pages; (hub, division, items, rows of a page)"""
    hub = start_hub(workspace, "--records", 600, "--divisions", 1, *exact, settings={**SLOW, **settings})
    division = hub.exact.divisions[0]
    n = len(living(hub, division, ITEMS))
    page = n // pages
    hub.exact.post("config", sync_page_size=page)
    assert n > pages * 2
    return hub, division, n, page


def pages(hub, feed="items"):
    """Pages of the feed that were asked for."""
    return int(hub.value(f"SELECT count(*) FROM exact.api_call WHERE feed = '{feed}'"))


def known(hub, entity="items"):
    return int(hub.value(f"SELECT count(*) FROM exact.record WHERE entity = '{entity}' AND NOT deleted"))


def rows_read(hub, feed="items"):
    return int(hub.value(f"SELECT coalesce(max(run_rows), 0) FROM exact.feed_state WHERE feed = '{feed}'"))


def complete(hub, feed="items"):
    return hub.value(f"SELECT first_complete_at IS NOT NULL AND run_state = 'idle' FROM exact.feed_state "
                     f"WHERE feed = '{feed}'") == "t"


def test_rows_unsorted_within_pages(engine_free, start_hub):
    """The order of rows within a page says nothing: the runs after a first load read nothing again."""
    hub, _, n, page = loading(start_hub, engine_free, "--sync-order", "pages")
    hub.enable(entities=("items",))
    hub.wait_loaded()
    first = pages(hub)
    assert known(hub) == n and first <= n // page + 2
    for _ in range(3):
        hub.sync(60)
    assert pages(hub) - first == 3


def test_header_and_lines_share_a_row_version(engine_free, start_hub):
    """Neighbours of one row version, also over the end of a page: read once more, and then no more."""
    hub, division, _, _ = loading(start_hub, engine_free, "--set", "shared_versions=true")
    hub.exact.post("config", sync_page_size=7)
    hub.enable(entities=("purchaseorders", "purchaseorderlines"))
    hub.wait_loaded()
    first = pages(hub, "purchaseorders")
    assert first > 4
    for _ in range(4):
        hub.sync(60)
    assert pages(hub, "purchaseorders") - first <= 5
    assert rows_read(hub, "purchaseorders") == 0
    assert known(hub, "purchaseorders") + known(hub, "purchaseorderlines") == len(
        living(hub, division, "sync/PurchaseOrder/PurchaseOrders"))


def test_bad_answers_in_the_middle(engine_free, start_hub):
    """Five bad answers in a row in the middle of a load: it goes on at its link, and no page is read twice."""
    hub, _, n, page = loading(start_hub, engine_free)
    fault = hub.exact.fault(LATER_PAGES, "status", status=503, skip=9, times=5)
    hub.enable(entities=("items",))
    hub.wait_for("the load ends", lambda: complete(hub), 240)
    assert hits(hub, fault) == 5
    assert known(hub) == n and rows_read(hub) == n
    assert pages(hub) <= n // page + 1 + 5
    before = pages(hub)
    hub.sync(60)
    assert pages(hub) - before == 1


@pytest.mark.parametrize("status", [400, 410])
def test_link_that_expires(engine_free, start_hub, status):
    """A link that is refused twice is dropped: the run goes on from the highest row version that it has seen."""
    hub, division, n, page = loading(start_hub, engine_free)
    fault = hub.exact.fault(LATER_PAGES, "status", status=status, skip=9, times=2, body={})
    hub.enable(entities=("items",))
    hub.wait_for("it is refused once", lambda: hits(hub, fault) == 1, 60)
    hub.wait_for("that is recorded", lambda: "failed division" in hub.cluster.log_text(), 30)
    assert not complete(hub)
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("the link is dropped", lambda: "link dropped" in hub.cluster.log_text(), 120)
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("the load ends", lambda: complete(hub), 120)
    assert known(hub) == n
    assert pages(hub) <= n // page + 4
    assert calls(hub, "sync/Logistics/Items?$filter=Timestamp gt 1L%") == 1


def middle_of_a_load(hub):
    """Stops the cluster while the eleventh page of the items is on its way."""
    fault = hub.exact.fault(LATER_PAGES, "hang", skip=9, times=1)
    hub.enable(entities=("items",))
    hub.wait_for("it is in the middle", lambda: hits(hub, fault), 60)
    hub.cluster.stop("immediate")
    hub.exact.clear_faults()


def test_link_that_cannot_be_sent(engine_free, start_hub):
    """A stored link that may not be sent at all is dropped at once."""
    hub, division, n, _ = loading(start_hub, engine_free)
    middle_of_a_load(hub)
    fault = hub.exact.fault(LATER_PAGES, "hang", times=1)
    hub.cluster.start()
    hub.wait_for("it is on its way", lambda: hits(hub, fault), 60)
    link = f"{hub.exact.info['base_url']}/api/v1/{division}/sync/Logistics/Items?$skiptoken=1L".replace("//", "//user@")
    hub.psql(f"UPDATE exact.feed_state SET next_link = '{link}' WHERE feed = 'items'")
    hub.cluster.stop("immediate")
    hub.exact.clear_faults()
    hub.cluster.start()
    hub.wait_for("the load ends", lambda: complete(hub), 120)
    assert known(hub) == n
    assert calls(hub, "sync/Logistics/Items?$filter=Timestamp gt 1L%") == 1


def test_answers_of_html_to_a_link_of_before(engine_free, start_hub):
    """After a restart in the middle the link's answer is HTML five times, then the page: the run goes on there."""
    hub, _, n, _ = loading(start_hub, engine_free)
    middle_of_a_load(hub)
    fault = hub.exact.fault(LATER_PAGES, "html", times=5)
    hub.cluster.start()
    run = hub.value("SELECT run FROM exact.feed_state WHERE feed = 'items'")
    hub.wait_for("the load ends", lambda: complete(hub), 240)
    assert hits(hub, fault) == 5
    assert known(hub) == n and rows_read(hub) == n
    assert hub.value("SELECT run FROM exact.feed_state WHERE feed = 'items'") == run
    assert calls(hub, "sync/Logistics/Items?$filter=Timestamp gt 1L%") == 1


def test_pages_that_lead_to_each_other(engine_free, start_hub):
    """A link leads back to a page that was read: an alarm, few calls, and the load ends all the same."""
    hub, _, n, page = loading(start_hub, engine_free, pages=6)
    hub.exact.fault(LATER_PAGES, "loop_next", skip=2, times=-1)
    hub.enable(entities=("items",))
    hub.wait_for("it is told", lambda: "one that the run has read already" in hub.cluster.log_text(), 60)
    hub.wait_for("the link is dropped", lambda: "link dropped" in hub.cluster.log_text(), 60)
    hub.exact.clear_faults()
    hub.wait_for("the load ends", lambda: complete(hub), 120)
    assert known(hub) == n
    assert pages(hub) <= n // page + 1 + 6


@pytest.mark.parametrize("elsewhere", ["itself", "division"])
def test_feed_that_leads_to_itself_or_elsewhere(engine_free, start_hub, elsewhere):
    """A page of a feed whose link leads to itself, or to another division: never followed."""
    hub = start_hub(engine_free, "--records", 100, "--divisions", 2, settings=SLOW)
    division, other = hub.exact.divisions[:2]
    hub.exact.post("config", sync_page_size=3)
    path = f"/{division}/{SYNC_ITEMS}.*skiptoken"
    if elsewhere == "division":
        hub.exact.fault(path, "evil_next", division=other, times=1)
    else:       # the page is asked for twice: by then its address is known
        hub.exact.fault(path, "status", status=503, times=1)
    hub.enable(entities=("items",), divisions=[division])
    if elsewhere == "itself":
        hub.wait_for("a page failed", lambda: "failed division" in hub.cluster.log_text(), 60, 0.05)
        link = hub.value("SELECT next_link FROM exact.feed_state WHERE feed = 'items'")
        hub.exact.fault(path, "evil_next", next=link, times=1)
    hub.wait_for("it is refused", lambda: {
        "itself": "the same page again", "division": "is of division"}[elsewhere] in hub.cluster.log_text(), 60)
    assert hub.value(f"SELECT count(*) FROM exact.api_call WHERE division = {other}") == "0"
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("the load ends", lambda: complete(hub), 60)
    n = len(living(hub, division, ITEMS))
    assert known(hub) == n and pages(hub) <= n // 3 + 3


@pytest.mark.parametrize("elsewhere", ["itself", "division", "host"])
def test_keyed_read_that_leads_to_itself_or_elsewhere(engine_free, start_hub, elsewhere):
    """The same of a keyed read: its keys stay dirty and are asked for again."""
    hub = start_hub(engine_free, "--records", 100, "--divisions", 2, settings=SLOW)
    division, other = hub.exact.divisions[:2]
    hub.enable(entities=("costcenter",), divisions=[division])
    hub.wait_loaded()
    hub.exact.post("config", page_size=1)
    keys = [r["key"] for r in living(hub, division, "hrm/Costcenters")][:3]
    assert len(keys) == 3
    for key in keys:
        hub.exact.change(division, "hrm/Costcenters", "update", key, fields={"Description": "changed"})
    like = "hrm/Costcenters?$filter=%keys"
    path = f"/{division}/hrm/Costcenters.*ID"
    hub.exact.fault(path, "status", status=503, times=1)
    names = ", ".join(f"'{key.lower()}'" for key in keys)
    hub.psql(f"SELECT exact._want_keys({division}, 'costcenter', ARRAY[{names}], NULL, 'notified'); "
             "SELECT exact._wake('fetcher')")
    hub.wait_for("a read failed", lambda: "failed division" in hub.cluster.log_text(), 60, 0.05)
    call = [c for c in hub.exact.get("calls")["calls"] if "Costcenters" in c["path"]][-1]
    options = (option.partition("=") for option in call["query"].split("&"))
    address = f"{hub.exact.info['base_url']}{call['path']}?" + "&".join(
        f"{name}={quote(value, safe='')}" for name, _, value in options)
    how = {"itself": {"next": address}, "division": {"division": other}, "host": {"host": "evil.example.com"}}
    evil = hub.exact.fault(path, "evil_next", times=1, **how[elsewhere])
    hub.wait_for("the link is met", lambda: hits(hub, evil), 60)
    hub.wait_for("it is refused", lambda: "not a page of this division" in hub.cluster.log_text(), 60)
    hub.psql(f"SELECT exact.resume({division})")
    hub.wait_for("all keys are read", lambda: hub.value("SELECT count(*) FROM exact.dirty_key") == "0", 60)
    assert calls(hub, like) <= 3 + 3
    assert hub.value(f"SELECT count(*) FROM exact.api_call WHERE division = {other}") == "0"


def test_notified_before_it_shows(engine_free, start_hub):
    """A notification overtakes the copy behind the sync sets: the feed runs once more a minute later, and only once."""
    port = free_port()
    hub = start_hub(engine_free, "--records", 80, "--divisions", 1,
                    settings={**SLOW, "exact_databricks.debounce": "100ms"})
    listening(hub, port)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    subscribe(hub, division, port, "Items")
    hub.sync(60)
    hub.exact.post("config", visible_after_min={"sync": 8}, visible_after_max={"sync": 8})
    key = living(hub, division, ITEMS)[0]["key"]
    before = pages(hub)
    hub.exact.change(division, ITEMS, "update", key, fields={"Description": "not shown yet"})
    hub.wait_for("the notified run showed nothing",
                 lambda: hub.value("SELECT again_at IS NOT NULL FROM exact.feed_state WHERE feed = 'items'") == "t", 30)
    assert pages(hub) - before == 1
    hub.wait_for("it is read without another notification", lambda: "not shown yet" in hub.value(
        "SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
        f"WHERE r.entity = 'items' AND r.key = lower('{key}')"), 90)
    assert hub.value("SELECT again_at IS NULL FROM exact.feed_state WHERE feed = 'items'") == "t"
    assert pages(hub) - before == 2
