"""One change after the other through a hub between the Exact Online simulator and the engine-free workspace."""
import pathlib
import statistics
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from cluster import literal  # noqa: E402
from hub import Hub, simulators  # noqa: E402
from share import hub_share  # noqa: E402
from truth import Comparison  # noqa: E402

GL = "financial/GLAccounts"
ITEMS = "sync/Logistics/Items"
INTERVAL = 0.2  # seconds, merge_interval of the run
MERGE = 1.5     # seconds that a MERGE takes in the second part


def percentile(values, percent):
    return sorted(values)[max(0, -(-percent * len(values) // 100) - 1)]


def on_its_way(hub, count, tables):
    """Median of the seconds from staged to delivered of so many changed items, one after the other."""
    hub.psql(f"ALTER SYSTEM SET exact_databricks.merge_tables = {tables}")
    hub.psql("SELECT pg_reload_conf()")
    division, seconds = hub.exact.divisions[0], []
    keys = [r["key"] for r in hub.exact.truth(division, ITEMS) if not r["deleted"]][:count]
    for key in keys:
        place = f"r.division = {division} AND r.entity = 'items' AND r.key = {literal(key)}"
        before = hub.value(f"SELECT seq FROM exact.record r WHERE {place}")
        hub.exact.change(division, ITEMS, "update", key, fields={"Description": f"on its way beside {tables}"})
        hub.psql(f"SELECT exact.sync_now({division}, 'items')")
        taken = hub.wait_for("the change is delivered", lambda: hub.value(
            "SELECT extract(epoch FROM b.delivered_at - b.staged_at) FROM exact.record r JOIN exact.batch b "
            f"ON b.id = r.batch WHERE {place} AND r.seq > {before} AND b.delivered_at IS NOT NULL"), 60, 0.02)
        seconds.append(float(taken))
    return statistics.median(seconds)


def main(directory, results, count):
    exact, databricks = simulators(directory, ("--records", 2000, "--divisions", 2, "--fast", "--minute-limit", 100000,
                                               "--day-limit", 10000000),
                                   ("--engine", "none"))
    hub = Hub(pathlib.Path(directory) / "hub", exact, databricks, settings={
        "exact_databricks.sync_interval": "1h", "exact_databricks.merge_interval": f"{int(INTERVAL * 1000)}ms",
        "fsync": "on"})
    hub.create()
    hub.configure()
    hub.authorize()
    hub.enable()
    hub.wait_loaded()
    made_by = sections.made_by(f"bench/latency {count}", hub.value("SHOW server_version"))
    shares, totals = [], []
    keys = {d: [r["key"] for r in exact.truth(d, GL) if not r["deleted"]] for d in exact.divisions}
    for number in range(count):
        division = exact.divisions[number % 2]
        key = keys[division][number // 2 % len(keys[division])]
        place = f"r.division = {division} AND r.entity = 'glaccount' AND r.key = {literal(key)}"
        before = hub.value(f"SELECT seq FROM exact.record r WHERE {place}")
        exact.change(division, GL, "update", key, fields={"Description": f"change {number}"})
        begun = time.monotonic()
        hub.psql(f"SELECT exact.sync_now({division}, 'glaccount')")
        hub.wait_for("the change is delivered", lambda: hub.value(
            f"SELECT b.delivered_at IS NOT NULL FROM exact.record r JOIN exact.batch b ON b.id = r.batch WHERE {place} "
            f"AND r.seq > {before}") == "t", 30, 0.02)
        totals.append(time.monotonic() - begun)
        shares.append(hub_share(hub, division, "glaccount", key))
    databricks.fault("", "slow", statement="MERGE INTO", seconds=MERGE, times=-1)
    beside, after = on_its_way(hub, 10, 8), on_its_way(hub, 10, 1)
    databricks.clear_faults()
    p50, p95, p99 = (percentile(shares, p) * 1000 for p in (50, 95, 99))
    text = f"""| what | figure | target |
|---|---|---|
| the hub's own share of one change, p50 | {p50:.0f} ms | 100 ms |
| the same, p95 | {p95:.0f} ms | |
| the same, p99 | {p99:.0f} ms | |
| from `sync_now()` to delivered, p50 (all of it, with both simulators and merge_interval {INTERVAL} s) \
| {statistics.median(totals) * 1000:.0f} ms | |
| from staged to delivered, if a MERGE takes {MERGE} s and both run side by side, p50 | {beside:.2f} s | |
| the same one after the other (`merge_tables = 1`) | {after:.2f} s | |

The share is the time from the end of Exact Online's answer until the batch is delivered, less what Databricks took for
its statements and less the wait for `merge_interval`; debounce and `sync_interval` lie before the answer.
{len(shares)} changes of GL accounts, one after the other, 2,000 records loaded before, engine-free workspace,
`fsync = on`.

{made_by}"""
    equal = Comparison(exact, databricks, hub.schema).run()
    if equal.differences:
        raise processes.Failed(f"the measured changes did not arrive as they are: {equal}")
    sections.write(results, "One change", text)
    print(text)
    processes.stop_all()
    return 0 if p50 <= 100 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
