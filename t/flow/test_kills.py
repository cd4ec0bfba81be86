"""kill -9 of fetcher, loader and postmaster in the middle of work. EXACT_DATABRICKS_KILLS sets how often (default 3)."""
import os
import random
import signal
import time

from cluster import SqlError
from processes import wait_until

KILLS = int(os.environ.get("EXACT_DATABRICKS_KILLS", "3"))
BACK_WITHIN = 30.0  # seconds until work goes on


def busy(hub):
    """What is under way: a page being fetched, a statement at the workspace."""
    row = hub.query("""SELECT (SELECT count(*) FROM exact.feed_state WHERE run_state <> 'idle') AS runs,
                              (SELECT count(*) FROM exact.statement_log WHERE state IN ('sending', 'running', 'unknown')) AS statements""")[0]
    return row["runs"], row["statements"]


def progress(hub):
    """A number that rises with each staged and each delivered batch."""
    try:
        return int(hub.value("SELECT coalesce(max(id), 0) + (SELECT count(*) FROM exact.batch WHERE delivered_at IS NOT NULL) FROM exact.batch"))
    except SqlError:  # the server is in recovery
        return None


def kill(hub, victim):
    if victim == "postmaster":
        hub.cluster.kill()
        # as an init system would: started again, as soon as the orphans have let go of the shared memory
        wait_until("PostgreSQL starts again", lambda: started(hub), BACK_WITHIN)
    else:
        pid = int(hub.value(f"SELECT pid FROM exact.workers WHERE role = '{victim}'"))
        os.kill(pid, signal.SIGKILL)


def started(hub):
    from processes import Failed
    try:
        hub.cluster.start(20)
        return True
    except Failed:
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
        before, killed = progress(hub), time.monotonic()
        kill(hub, victim)
        hub.exact.random(3, seed=1000 + number, deletes=0)
        hub.wait_for(f"work goes on after kill -9 of the {victim}", lambda: (progress(hub) or 0) > before, BACK_WITHIN, 0.1)
        slowest = max(slowest, time.monotonic() - killed)
    hub.databricks.clear_faults()
    hub.wait_loaded(300)
    hub.sync(120)
    hub.sync(120)
    report = equal(hub, lost_answers=True)
    print(f"{KILLS} kills, work went on within {slowest:.1f} s; {report}")
    assert report.rows >= 1500
