"""
kill -9 of fetcher, loader and postmaster in the middle of work. EXACT_DATABRICKS_KILLS sets how often (default 3).
"""
import os
import random
import time

from cluster import SqlError, literal
from kills import BACK_WITHIN, kill, working

KILLS = int(os.environ.get("EXACT_DATABRICKS_KILLS", "3"))
GL = "financial/GLAccounts"


def busy(hub):
    """What is under way: a run between its pages or a request for runs, a statement at the workspace."""
    row = hub.query("""SELECT (SELECT count(*) FROM exact.feed_state WHERE run_state <> 'idle')
                                + (SELECT count(*) FROM exact.request WHERE kind = 'sync'
                                AND state = 'running') AS runs,
                              (SELECT count(*) FROM exact.statement_log
                              WHERE state IN ('sending', 'running', 'unknown')) AS statements""")[0]
    return row["runs"], row["statements"]


def delivered(hub, changes):
    """True when every change that was made after the kill is in Delta as far as the hub knows, by workers that run."""
    try:
        if not working(hub, ("fetcher", "loader")):
            return False
        for change in changes:
            text = next(r["row"]["Description"] for r in hub.exact.truth(change["division"], GL) if r["key"]
                        == change["key"])
            if hub.value(f"""SELECT b.delivered_at IS NOT NULL AND s.payload::json->>'Description' = {literal(text)}
                             FROM exact.record r JOIN exact.batch b ON b.id = r.batch
                             JOIN exact.stage s ON s.slot = r.slot AND s.batch = r.batch AND s.ord = r.ord
                             WHERE r.division = {change['division']} AND r.entity = 'glaccount'
                             AND r.key = {literal(change['key'])}""") != "t":
                return False
        return True
    except SqlError:  # the server is in recovery
        return False


def test_killed_in_the_middle(engine_free, start_hub, equal):
    hub = start_hub(engine_free, "--records", 1500, "--divisions", 5, "--sync-page-size", 40, "--latency", "5-60")
    hub.databricks.fault("", "slow", statement="MERGE INTO", seconds=0.15, times=-1)
    order = random.Random(11)
    hub.enable()
    slowest = 0.0
    for number in range(KILLS):
        victim = ("fetcher", "loader", "postmaster")[number % 3]
        if number:
            hub.exact.random(25, seed=number, deletes=0.1)
            hub.psql("SELECT exact.sync_now()")
        side = {"fetcher": 0, "loader": 1, "postmaster": order.randrange(2)}[victim]
        hub.wait_for(f"the {victim} is at work", lambda: busy(hub)[side], 60, 0.01)
        killed = time.monotonic()
        kill(hub, victim)
        after = [hub.exact.change(d, GL, "update", next(r["key"] for r in hub.exact.truth(d, GL) if not r["deleted"]),
                                  fields={"Description": f"after kill {number}"}) for d in hub.exact.divisions[:2]]
        hub.wait_for(f"work goes on after kill -9 of the {victim}", lambda: delivered(hub, after), BACK_WITHIN, 0.2)
        slowest = max(slowest, time.monotonic() - killed)
    hub.databricks.clear_faults()
    hub.wait_loaded(300)
    hub.sync(120)
    hub.sync(120)
    report = equal(hub, lost_answers=True)
    print(f"{KILLS} kills, work went on within {slowest:.1f} s; {report}")
    assert report.rows >= 1500
