"""Lines that their documents do not show are doubted as any other absent record: asked for, counted, held."""
import pytest
from conftest import UNLIMITED
from test_absence import deleted, held, hide, make_dirty, settled, show

LINES = "purchaseentry/PurchaseEntryLines"


@pytest.fixture
def hub(start_hub, engine_free):
    made = start_hub(engine_free, "--preset", "finance", "--records", "400", "--divisions", "1", *UNLIMITED,
                     settings={"exact_databricks.sync_interval": "1h"})
    made.enable(entities=("purchaseentries", "purchaseentrylines", "costcenter", "items"))
    made.wait_loaded()
    return made


def living_lines(hub):
    return hub.query("SELECT key, parent FROM exact.record WHERE entity = 'purchaseentrylines' AND NOT deleted "
                     "ORDER BY key")


def read_documents(hub, lines):
    listed = ", ".join(f"'{line['parent']}'" for line in lines)
    make_dirty(hub, "purchaseentries", f"r.key IN ({listed})")
    hub.wait_for("the documents and their lines were read", lambda: settled(hub), 60)


def test_documents_with_a_part_of_their_lines(hub):
    """Documents that are whole to look at, and in one answer of several lines have lost some: none is deleted."""
    fault = hub.exact.fault(r"PurchaseEntries\?", "omit", times=-1, share=0.5, where="lines")
    read_documents(hub, living_lines(hub))
    assert next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"]) > 0
    assert deleted(hub, "purchaseentrylines") == 0 and not held(hub, "purchaseentrylines")


def test_one_answer_alone_deletes_no_line(hub):
    """The answer about the lines themselves leaves out some that live, beside others."""
    lines = living_lines(hub)[:12]
    bare = hub.exact.fault(r"PurchaseEntries\?", "omit", times=1, where="lines", keys=[line["key"] for line in lines])
    fault = hub.exact.fault(r"PurchaseEntryLines\?", "omit", times=1, keys=[line["key"] for line in lines])
    read_documents(hub, lines)
    for one in (bare, fault):
        assert next(f["hits"] for f in hub.exact.get(f"faults/{one}")["faults"]) == 1
    assert deleted(hub, "purchaseentrylines") == 0 and not held(hub, "purchaseentrylines")


def test_lines_are_counted_over_an_hour_and_a_restart(hub):
    lines = living_lines(hub)
    assert 40 < len(lines) < 420
    first, more = lines[:12], lines[12:21]
    hide(hub, LINES, [line["key"] for line in first])
    read_documents(hub, first)
    assert deleted(hub, "purchaseentrylines") == 12
    hub.psql("SELECT exact.restart_workers()")
    hide(hub, LINES, [line["key"] for line in more])
    read_documents(hub, more)
    assert deleted(hub, "purchaseentrylines") == 12
    [question] = held(hub, "purchaseentrylines")
    assert question["records"] == 9 and "within an hour" in question["reason"]
    rows = hub.query("SELECT key, code, amount FROM exact.held")
    assert sorted(row["key"] for row in rows) == [line["key"] for line in more]
    assert all(row["code"].count("/") == 1 and row["amount"] is not None for row in rows), rows
    show(hub, LINES, [line["key"] for line in more[1:]])
    hub.psql(f"SELECT exact.approve({question['id']})")
    hub.wait_for("the one that is still absent is deleted", lambda: deleted(hub, "purchaseentrylines") == 13, 60)
    hub.wait_for("all were asked for", lambda: settled(hub), 60)
    assert deleted(hub, "purchaseentrylines") == 13


def test_lines_of_a_division_that_is_worked_on(hub):
    division, line = hub.exact.divisions[0], living_lines(hub)[0]
    center, item = (hub.value(f"SELECT min(key) FROM exact.record WHERE entity = '{entity}'")
                    for entity in ("costcenter", "items"))

    def blocking(status):
        hub.exact.post("division", code=division, blocking_status=status)
        hub.psql("UPDATE exact.feed_state SET complete_at = complete_at - interval '2 h' WHERE feed = 'divisions'; "
                 "SELECT exact.restart_workers()")
        hub.wait_for("it is seen", lambda: hub.value("SELECT blocking_status FROM exact.division_state") == str(status),
                     60)
    hub.exact.post("config", blocked_omit=0)
    blocking(2)
    hide(hub, LINES, [line["key"]])
    hide(hub, "hrm/Costcenters", [center])
    make_dirty(hub, "purchaseentries", f"r.key = '{line['parent']}'")
    hub.wait_for("it is held", lambda: held(hub, "purchaseentrylines"), 60)
    [row] = hub.query("SELECT key, reason, next_step FROM exact.held WHERE entity = 'purchaseentrylines'")
    assert row["key"] == line["key"] and "BlockingStatus 2" in row["reason"] and "asks for it again" in row["next_step"]
    hub.exact.change(division, "logistics/Items", "delete", item)
    hub.psql("SELECT exact.sync_now()")
    hub.wait_for("the log is read", lambda: hub.value(
        f"SELECT count(*) FROM exact.dirty_key WHERE key = '{item}' AND reason = 'logged'") == "1", 60)
    hub.wait_for("cost centers are read as a whole", lambda: hub.value(
        "SELECT whole_at > now() - interval '10 s' FROM exact.feed_state WHERE feed = 'costcenter'") == "t", 60)
    assert hub.value("SELECT count(*) FROM exact.record WHERE deleted") == "0"
    blocking(0)
    hub.psql("UPDATE exact.dirty_key SET not_before = NULL, due = now(); SELECT exact.sync_now()")
    hub.wait_for("all three are deleted", lambda: hub.value(
        "SELECT string_agg(entity, ' ' ORDER BY entity) FROM exact.record WHERE deleted") ==
        "costcenter items purchaseentrylines", 60)
    hub.wait_for("nothing is held", lambda: hub.value("SELECT count(*) FROM exact.held") == "0", 30)
