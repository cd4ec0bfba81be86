"""Two cursors a feed: whatever is read again from its start is read beside the live changes, which stay as fast."""
import time

import pytest
from processes import free_port
from test_cursors import ITEMS, SLOW, complete, known
from test_ordering import PURCHASE, calls, deleted, hits, listening, living, subscribe

FAST = {**SLOW, "exact_databricks.debounce": "100ms"}
LATER_PAGES = "sync/Logistics/Items.*skiptoken"


def loaded(start_hub, workspace, *exact, pages=30, entities=("items",), topics=("Items",), settings=None):
    """A hub that has read its items, in so many pages, and is notified of them; (hub, division, keys)"""
    port = free_port()
    hub = start_hub(workspace, "--records", 600, "--divisions", 1, *exact, settings={**FAST, **(settings or {})})
    division = hub.exact.divisions[0]
    keys = [r["key"] for r in living(hub, division, ITEMS)]
    hub.exact.post("config", sync_page_size=len(keys) // pages)
    listening(hub, port)
    hub.enable(entities=entities)
    hub.wait_loaded()
    subscribe(hub, division, port, *topics)
    return hub, division, keys


def payload(hub, key, entity="items"):
    return hub.value("SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
                     f"WHERE r.entity = '{entity}' AND r.key = lower('{key}')") or ""


def seconds_to_stage(hub, division, key, text, resource=ITEMS, entity="items"):
    """From a change, which is notified, until its version is staged."""
    begun = time.monotonic()
    hub.exact.change(division, resource, "update", key, fields={"Description": text})
    hub.wait_for("the change is staged", lambda: text in payload(hub, key, entity), 60, 0.05)
    return time.monotonic() - begun


def backfill(hub, column, feed="items"):
    return hub.value(f"SELECT {column} FROM exact.backfill WHERE feed = '{feed}'")


def ended(hub, feed="items"):
    return backfill(hub, "finished_at IS NOT NULL", feed) == "t"


def wait_ended(hub, feed="items", seconds=90):
    hub.wait_for("the backfill has ended", lambda: ended(hub, feed), seconds)


def slowed(hub, seconds=0.4):
    """Each page after the first takes a while."""
    return hub.exact.fault(LATER_PAGES, "delay", seconds=seconds, times=-1)


def night(hub, feed, column="night_at"):
    """A night passes."""
    hub.psql(f"UPDATE exact.feed_state SET {column} = {column} - interval '1 day' WHERE feed = '{feed}'; "
             "SELECT exact.restart_workers()")


def test_live_changes_while_a_field_is_read_again(engine_free, start_hub):
    """A field is deselected: all is read again, and a change meanwhile is staged within seconds."""
    hub, division, keys = loaded(start_hub, engine_free)
    mark = hub.value("SELECT mark FROM exact.feed_state WHERE feed = 'items'")
    slowed(hub)
    hub.psql("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('items', 'Notes', false)")
    hub.wait_for("it is read again", lambda: int(backfill(hub, "calls") or 0) > 1, 60)
    took = [seconds_to_stage(hub, division, key, f"while it is read again {n}") for n, key in enumerate(keys[-3:])]
    assert max(took) <= 5, took
    assert not ended(hub), "the backfill was over too soon to tell"
    assert int(hub.value("SELECT mark FROM exact.feed_state WHERE feed = 'items'")) > int(mark)
    row = hub.psql("SELECT phase, done > 0, total, eta IS NOT NULL FROM exact.progress WHERE kind = 'backfill'").strip()
    assert row == f"paging|t|{len(keys)}|t"
    assert hub.value("SELECT count(*) FROM exact._state_rows('lake') s WHERE entity = 'items' "
                     "AND complete_until IS NOT NULL") == "0"
    hub.exact.clear_faults()
    wait_ended(hub)
    hub.sync(60)
    assert known(hub) == len(keys)
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
    assert calls(hub, "logistics/Items%keys") == 0
    assert hub.value("SELECT count(*) FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
                     "WHERE s.payload LIKE '%\"Notes\"%'") == "0"


def test_crash_in_a_backfill(engine_free, start_hub, equal):
    """PostgreSQL dies while a backfill reads: it goes on at its page, and the live cursor where it was."""
    hub, division, keys = loaded(start_hub, engine_free)
    slowed(hub)
    request = hub.value(f"SELECT exact.backfill({division}, 'items')")
    hub.wait_for("it reads", lambda: int(backfill(hub, "calls")) > 3, 60)
    hub.cluster.stop("immediate")
    hub.exact.clear_faults()
    hub.cluster.start()
    run, read = backfill(hub, "run"), int(backfill(hub, "rows"))
    assert read > 0
    wait_ended(hub)
    assert backfill(hub, "run") == run
    assert int(backfill(hub, "rows")) == len(keys)
    assert hub.value(f"SELECT exact.wait({request}, '10 s')") == "done"
    equal(hub, tables=("items",))


def test_absent_after_a_backfill(engine_free, start_hub, equal):
    """What a whole backfill did not see is asked for and deleted; what changed behind it, the live cursor saw."""
    hub, division, keys = loaded(start_hub, engine_free)
    hub.exact.post("hide", division=division, resource=ITEMS, keys=[keys[5]])
    slowed(hub)
    hub.psql(f"SELECT exact.backfill({division}, 'items')")
    hub.wait_for("it reads", lambda: int(backfill(hub, "calls")) > 2, 60)
    for n, key in enumerate((keys[0], keys[1], keys[-1], keys[-2])):
        seconds_to_stage(hub, division, key, f"behind and before it {n}")
    assert not ended(hub)
    hub.exact.clear_faults()
    wait_ended(hub)
    hub.wait_for("it is deleted", lambda: deleted(hub, "items", keys[5]), 60)
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "1"
    assert calls(hub, "logistics/Items%keys") == 2      # one answer alone proves nothing
    assert known(hub) == len(keys) - 1


def test_backfill_is_cancelled_paused_and_asked_for_twice(engine_free, start_hub):
    """cancel() ends it, pause() and resume() hold it, two requests wait for one backfill."""
    hub, division, keys = loaded(start_hub, engine_free)
    slowed(hub)
    one = hub.value(f"SELECT exact.backfill({division}, 'items')")
    hub.wait_for("it reads", lambda: int(backfill(hub, "calls")) > 1, 60)
    two = hub.value(f"SELECT exact.backfill({division}, 'items')")
    hub.psql(f"SELECT exact.cancel({one})")
    assert hub.value(f"SELECT exact.wait({one}, '5 s')") == "cancelled"
    assert not ended(hub)
    hub.wait_for("it reads anew", lambda: int(backfill(hub, "calls")) > 1, 60)
    hub.psql(f"SELECT exact.pause({division}, 'items')")
    hub.wait_for("no page comes any more", lambda: still(hub), 20)
    time_of_page = backfill(hub, "page_at")
    hub.psql(f"SELECT exact.resume({division}, 'items')")
    hub.wait_for("it goes on", lambda: backfill(hub, "page_at") != time_of_page, 20)
    hub.exact.clear_faults()
    assert hub.value(f"SELECT exact.wait({two}, '60 s')", seconds=70) == "done"
    assert ended(hub) and int(backfill(hub, "rows")) == len(keys)
    slowed(hub)
    three = hub.value(f"SELECT exact.backfill({division}, 'items')")
    hub.wait_for("it reads", lambda: int(backfill(hub, "calls")) > 1, 60)
    hub.psql(f"SELECT exact.cancel({three})")
    assert ended(hub)
    hub.wait_for("its page is dropped", lambda: "page dropped" in hub.cluster.log_text(), 20)


def still(hub, seconds=1.5):
    """No page of the backfill came for so long."""
    return hub.value(f"SELECT now() - page_at > interval '{seconds} s' FROM exact.backfill WHERE feed = 'items'") == "t"


def test_backfill_of_a_window(engine_free, start_hub):
    """Dates are a window where times of change tell; a feed with row versions says that it is read whole."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 200, "--divisions", 1, settings=FAST)
    division = hub.exact.divisions[0]
    hub.exact.post("config", page_size=3)
    hub.enable(entities=("purchaseentries", "purchaseentrylines", "items"))
    hub.wait_loaded()
    days = sorted(int(r["row"]["Modified"][6:-2]) for r in living(hub, division, PURCHASE))
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(days[n] / 1000)) for n in (len(days) // 3, len(days) // 2))
    request = hub.value(f"SELECT exact.backfill({division}, 'purchaseentries', '{first}', '{last}')")
    assert hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    rows = int(backfill(hub, "rows", "purchaseentries"))
    inside = [d for d in days if first <= time.strftime("%Y-%m-%d", time.gmtime(d / 1000)) <= last]
    assert len(inside) <= rows <= len(inside) + 2
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op <> 'I'") == "0"
    whole = hub.value(f"SELECT exact.backfill({division}, 'items', '{first}')")
    assert hub.value(f"SELECT exact.wait({whole}, '60 s')", seconds=70) == "done"
    assert int(backfill(hub, "rows")) == len(living(hub, division, ITEMS))


def test_feed_that_is_edited_by_hand(engine_free, start_hub, equal):
    """exact.feed is edited by users: an entity that joins a feed which has been read is read from the start."""
    hub, division, _ = loaded(start_hub, engine_free, entities=("purchaseorders",), topics=("PurchaseOrders",))
    hub.psql(f"INSERT INTO exact.feed (division, entity) VALUES ({division}, 'purchaseorderlines')")
    hub.wait_for("it is read again", lambda: backfill(hub, "reason", "purchaseorders") == "joined", 30)
    wait_ended(hub, "purchaseorders")
    hub.sync(60)
    equal(hub, tables=("purchaseorders", "purchaseorderlines"))
    before = backfill(hub, "run", "purchaseorders")
    hub.psql("UPDATE exact.feed SET enabled = false WHERE entity = 'purchaseorderlines'")
    hub.exact.random(30, seed=3, division=division, resource="purchaseorder/PurchaseOrders", deletes=0)
    hub.sync(60)
    hub.psql("UPDATE exact.feed SET enabled = true WHERE entity = 'purchaseorderlines'")
    hub.wait_for("it is read again", lambda: backfill(hub, "run", "purchaseorders") != before, 30)
    wait_ended(hub, "purchaseorders")
    hub.sync(60)
    equal(hub, tables=("purchaseorders", "purchaseorderlines"))


def test_rights_that_come_later(engine_free, start_hub, equal):
    """Rows below the mark that the user could not see: a new consent reads everything once."""
    hub = start_hub(engine_free, "--records", 300, "--divisions", 1, settings=FAST)
    division = hub.exact.divisions[0]
    keys = [r["key"] for r in living(hub, division, ITEMS)]
    hub.exact.post("hide", division=division, resource=ITEMS, keys=keys[3:13])
    hub.enable(entities=("items",))
    hub.wait_loaded()
    assert known(hub) == len(keys) - 10
    hub.exact.post("show", division=division, resource=ITEMS)
    hub.sync(60)
    assert known(hub) == len(keys) - 10
    hub.authorize()
    hub.wait_for("everything is read once", lambda: backfill(hub, "reason") == "consent", 30)
    wait_ended(hub)
    assert known(hub) == len(keys)
    hub.sync(60)
    equal(hub, tables=("items",))


def test_rows_that_are_late(engine_free, start_hub, equal):
    """A row is committed below a mark that was read already: the night finds it, from where the mark stood before."""
    hub, division, keys = loaded(start_hub, engine_free)
    hub.exact.post("hide", division=division, resource=ITEMS, keys=[keys[4]])
    hub.exact.change(division, ITEMS, "update", keys[4], fields={"Description": "committed late"})
    seconds_to_stage(hub, division, keys[8], "committed after it")
    hub.exact.post("show", division=division, resource=ITEMS, keys=[keys[4]])
    hub.sync(60)
    assert "committed late" not in payload(hub, keys[4])
    night(hub, "items")
    hub.sync(60)
    hub.wait_for("the night begins", lambda: backfill(hub, "reason") == "night", 30)
    wait_ended(hub)
    assert "committed late" in payload(hub, keys[4])
    assert int(backfill(hub, "rows")) < len(keys) and int(backfill(hub, "calls")) < 5
    equal(hub, tables=("items",))


def test_deletion_that_is_logged_late(engine_free, start_hub, equal):
    """The same of the log of deletes: the older of two rows becomes visible after the newer one was read."""
    hub, division, keys = loaded(start_hub, engine_free)
    hub.exact.change(division, ITEMS, "delete", keys[0])
    hub.sync(60)
    hub.exact.change(division, ITEMS, "delete", keys[1])
    hub.exact.post("hide", division=division, resource="sync/Deleted", keys=[keys[1]])
    hub.exact.change(division, ITEMS, "delete", keys[2])
    hub.psql("DELETE FROM exact.dirty_key")
    hub.sync(60)
    hub.exact.post("show", division=division, resource="sync/Deleted", keys=[keys[1]])
    hub.sync(60)
    assert deleted(hub, "items", keys[2])
    night(hub, "deleted")
    hub.sync(60)
    hub.wait_for("it is deleted", lambda: deleted(hub, "items", keys[1]), 60)
    equal(hub, tables=("items",))


def test_whole_reading_of_many_nights(engine_free, start_hub):
    """200 calls a night of a division: the rest of a whole reading goes on the night after, live changes as ever."""
    port = free_port()
    hub = start_hub(engine_free, "--preset", "finance", "--records", 3300, "--divisions", 1, settings=FAST)
    division = hub.exact.divisions[0]
    keys = [r["key"] for r in living(hub, division, PURCHASE)]
    assert len(keys) > 210
    listening(hub, port)
    hub.enable(entities=("purchaseentries", "purchaseentrylines"))
    hub.wait_loaded()
    subscribe(hub, division, port, "PurchaseEntries")
    hub.exact.post("config", page_size=1)
    gone = keys[-1]
    assert hub.value("SELECT count(*) FROM exact.backfill") == "0"      # a first load has read everything
    hub.exact.post("hide", division=division, resource=PURCHASE, keys=[gone])
    # the consent lies before the last whole reading
    hub.psql("UPDATE exact.token SET issued_at = issued_at - interval '2 days' WHERE origin = 'authorize'")
    night(hub, "purchaseentries", "whole_at")
    hub.psql("UPDATE exact.feed_state SET complete_at = complete_at - interval '1 day' WHERE feed = 'purchaseentries'; "
             "SELECT exact._wake('fetcher')")
    hub.wait_for("the calls of the night are used", lambda: backfill(hub, "night_calls", "purchaseentries") == "200",
                 120)
    seconds_to_stage(hub, division, keys[0], "in the same night", PURCHASE, "purchaseentries")
    assert backfill(hub, "calls", "purchaseentries") == "200" and not ended(hub, "purchaseentries")
    assert not deleted(hub, "purchaseentries", gone)
    hub.psql("UPDATE exact.backfill SET night = night - 1; SELECT exact.restart_workers()")     # a night passes
    wait_ended(hub, "purchaseentries")
    hub.wait_for("what it did not show is deleted", lambda: deleted(hub, "purchaseentries", gone), 60)
    # the entry that was changed meanwhile may be read twice: it stands elsewhere then
    rows = int(hub.value("SELECT whole_rows FROM exact.feed_state WHERE feed = 'purchaseentries'"))
    assert rows - len(keys) in (-1, 0)


@pytest.mark.parametrize("date", ["move_date", "hr_link_date"])
@pytest.mark.parametrize("after", ["set", "null"])
def test_row_versions_that_begin_anew(engine_free, start_hub, equal, date, after):
    """Either date, set or back to none, while a feed is between two pages: all is read again, and so is the log."""
    hub = start_hub(engine_free, "--records", 300, "--divisions", 1, settings={"exact_databricks.sync_interval": "1h"})
    division = hub.exact.divisions[0]
    if after == "null":
        hub.exact.post("division", code=division, **{date: "/Date(1763700000000)/"})
    hub.enable(entities=("items", "glaccount"))
    hub.wait_loaded()
    hub.sync(60)
    keys = [r["key"] for r in living(hub, division, ITEMS)]
    hub.exact.post("config", sync_page_size=5)
    for n, key in enumerate(keys[:30]):
        hub.exact.change(division, ITEMS, "update", key, fields={"Description": f"before the move {n}"})
    fault = hub.exact.fault(LATER_PAGES, "delay", seconds=1, times=-1)
    hub.psql(f"SELECT exact.sync_now({division}, 'items')")
    hub.wait_for("items are between two pages", lambda: hits(hub, fault) > 0, 30)
    hub.exact.post("division", code=division, reset_timestamps=True,
                   **{date: "/Date(1763800000000)/" if after == "set" else None})
    hub.psql("UPDATE exact.feed_state SET complete_at = NULL, requested = true WHERE feed = 'divisions'; "
             "SELECT exact._wake('fetcher')")
    hub.wait_for("the generation is raised", lambda: int(hub.value(
        "SELECT mark_generation FROM exact.division_state")) > 1, 60)
    hub.exact.clear_faults()
    hub.wait_for("all is read again", lambda: complete(hub) and hub.value(
        "SELECT complete_at IS NOT NULL FROM exact.feed_state WHERE feed = 'items'") == "t", 60)
    hub.sync(60)
    equal(hub, tables=("items", "glaccount"))
    hub.exact.change(division, ITEMS, "delete", keys[-1])
    hub.psql("DELETE FROM exact.dirty_key")
    hub.sync(60)
    assert deleted(hub, "items", keys[-1])
    assert hub.value("SELECT count(*) FROM exact.api_call WHERE path LIKE 'logistics/Items%keys'") == "0"


@pytest.mark.parametrize("days", [49, 51])
def test_log_that_was_not_read_for_long(engine_free, start_hub, days):
    """The log of deletes keeps two months: after more than 50 days without it everything is read again."""
    hub, _, _ = loaded(start_hub, engine_free)
    hub.sync(60)
    hub.psql(f"UPDATE exact.feed_state SET complete_at = now() - interval '{days} days' WHERE feed = 'deleted'; "
             "SELECT exact.restart_workers()")
    hub.wait_for("the log is read", lambda: hub.value("SELECT complete_at > now() - interval '1 day' "
                                                      "FROM exact.feed_state WHERE feed = 'deleted'") == "t", 60)
    hub.sync(60)
    read_again = hub.value("SELECT count(*) FROM exact.backfill WHERE reason = 'log' AND feed = 'items'")
    assert read_again == ("1" if days > 50 else "0")
    if days > 50:
        wait_ended(hub)
