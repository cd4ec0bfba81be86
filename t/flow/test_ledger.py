"""
The preset finance is read completely and in order: what is staged against what Exact Online served and holds, without
an engine.
"""
from hub import FINANCE
from staged import Staged
from truth import Comparison

START = ("--preset", "finance", "--records", 300, "--divisions", 2)


def read(hub):
    """Every enabled feed has had a complete run."""
    hub.wait_for("everything is read once",
                 lambda: hub.value(
                     """SELECT NOT EXISTS (SELECT FROM exact.feed f JOIN exact.catalogue c ON c.entity = f.entity
        LEFT JOIN exact.feed_state s ON s.division = f.division AND s.feed = c.feed WHERE f.enabled
        AND s.first_complete_at IS NULL)""") == "t", 300)


def sync(hub):
    """All feeds read once more from now on."""
    asked, fresh = hub.value("SELECT clock_timestamp()"), False
    while not fresh:
        request = hub.value("SELECT exact.sync_now()")
        assert hub.value(f"SELECT exact.wait({request}, '300 s')", seconds=320) == "done"
        fresh = hub.value(f"SELECT made_at >= '{asked}' FROM exact.request WHERE id = {request}") == "t"


def staged_equals(hub, **how):
    report = Comparison(hub.exact, Staged(hub), hub.schema, tables=FINANCE, **how).run()
    assert not report.differences, str(report)
    return report


def test_every_entity_is_complete_and_in_order_through_changes(engine_free, start_hub):
    hub = start_hub(engine_free, *START)
    hub.enable(entities=("finance",))
    read(hub)
    assert {row["entity"] for row in hub.query("SELECT DISTINCT entity FROM exact.feed")} == set(FINANCE)
    report = staged_equals(hub)
    kept = sum(hub.exact.info["records"].values())
    statuses = int(hub.value("SELECT count(*) FROM exact.record WHERE entity = 'journalstatuslist'"))  # made of others
    assert report.rows == report.versions == kept + statuses and report.deleted == 0 and statuses > 0
    for seed in range(3):
        hub.exact.random(100, seed=seed, deletes=0.1)
        sync(hub)
    report = staged_equals(hub)
    assert report.deleted > 50 and report.versions > report.rows


def test_pages_that_are_slow_and_small_while_everything_changes(engine_free, start_hub):
    """
    Changes fall between the pages of a run, deletes before a late page, documents move to the end of the order by
    Modified.
    """
    hub = start_hub(engine_free, *START)
    hub.exact.post("config", page_size=7, sync_page_size=20)
    hub.exact.fault("api/v1", "delay_after", seconds=0.05, times=-1)
    hub.enable(entities=("finance",))
    hub.wait_for("the first answers", lambda: len(hub.exact.get("calls", since=0)["calls"]) > 20, 60)
    for seed in range(8):
        hub.exact.random(40, seed=seed, deletes=0.15)
    read(hub)
    hub.exact.clear_faults()
    sync(hub)
    assert staged_equals(hub).deleted > 0
