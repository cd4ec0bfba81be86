"""Notified changes while a backfill of many pages reads the same feed, within a minute limit of calls."""
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from cluster import literal  # noqa: E402
from hub import Hub, simulators  # noqa: E402

ITEMS = "logistics/Items"
LIMIT, A_DAY = 60, 5000                 # the calls a minute and a day of the service
RESERVE, MARGIN = 30, 3                 # percent of them for live changes, calls a minute that the hub never uses
EVERY = 4                               # seconds between two changes


def percentile(values, percent):
    return sorted(values)[max(0, -(-percent * len(values) // 100) - 1)]


def start(directory, pages):
    exact, databricks = simulators(directory, ("--records", 4000, "--divisions", 1, "--fast", "--day-limit", 10000000,
                                               "--minute-limit", 100000), ("--engine", "none"))
    hub = Hub(pathlib.Path(directory) / "hub", exact, databricks, settings={
        "exact_databricks.sync_interval": "1h", "exact_databricks.live_reserve": RESERVE})
    hub.create(processes.free_port())
    hub.configure(files={"app.erp.webhook_secret": exact.info["webhook_secret"]})
    hub.authorize()
    hub.enable(entities=("items",))
    hub.wait_loaded()
    division = exact.divisions[0]
    hub.wait_for("notifications are subscribed to",
                 lambda: hub.value("SELECT state FROM exact.subscription WHERE topic = 'Items'") == "present", 60)
    keys = [r["key"] for r in exact.truth(division, ITEMS) if not r["deleted"]]
    exact.post("config", sync_page_size=max(len(keys) // pages, 1), minute_limit=LIMIT, day_limit=A_DAY)
    hub.sync(60)
    return hub, exact, division, keys


def notified_at(key):
    return f"(SELECT max(i.at) FROM exact.inbox i WHERE i.key = lower({literal(key)}))"


def main(directory, results, pages):
    hub, exact, division, keys = start(directory, pages)
    made_by = sections.made_by(f"bench/backfill {pages}", hub.value("SHOW server_version"))
    time.sleep(61)      # the calls of the first load are forgotten
    begun = hub.value("SELECT clock_timestamp()")
    hub.psql(f"SELECT exact.backfill({division}, 'items')")
    took, number, seen = [], 0, []
    while True:
        seconds, calls, going = hub.psql(f"SELECT extract(epoch FROM clock_timestamp() - {literal(begun)}), calls, "
                                         "finished_at IS NULL FROM exact.backfill").strip().split("|")
        seen.append((float(seconds) / 60, int(calls)))
        if going == "f":
            break
        key, text = keys[-1 - number % len(keys)], f"beside the backfill {number}"
        exact.change(division, ITEMS, "update", key, fields={"Description": text})
        seconds = hub.wait_for("the change is staged", lambda: hub.value(
            f"SELECT extract(epoch FROM s.at - {notified_at(key)}) FROM exact.record r "
            "JOIN exact.stage s USING (slot, batch, ord) "
            f"WHERE r.entity = 'items' AND r.key = lower({literal(key)}) AND s.payload LIKE '%{text}\"%'"), 60, 0.1)
        took.append(float(seconds))
        number += 1
        time.sleep(EVERY)
    # whole minutes: the first call of the next minute is not of this one
    whole, total = int(seen[-1][0]), seen[-1][1]
    backfilled = max(calls for minutes, calls in seen if minutes <= whole)
    live = int(hub.value(f"SELECT count(*) FROM exact.api_call WHERE at BETWEEN {literal(begun)} AND "
                         f"{literal(begun)}::timestamptz + interval '{whole} minutes'")) - backfilled
    left = whole * (LIMIT - MARGIN - LIMIT * RESERVE // 100) - live
    share = backfilled / left * 100
    refused = exact.get("stats")["statuses"].get("429", 0)
    p50, p95 = (percentile(took, p) for p in (50, 95))
    text = f"""| what | figure | target |
|---|---|---|
| from a notification to its version in the stage, beside a backfill of {total} pages: p50 of {len(took)} \
| {p50:.1f} s | |
| the same, p95 | {p95:.1f} s | 5 s |
| the same, longest | {max(took):.1f} s | |
| calls of the backfill, of those that the reserve and {live} calls for live changes leave, in {whole} minutes of \
{LIMIT} calls: {backfilled} of {left} | {share:.0f} % | 95 % |
| calls that were refused | {refused} | 0 |

One item is changed {EVERY} s after the one before was staged; each change is notified. {len(keys)} items,
`live_reserve` {RESERVE} %, `debounce` 2 s, engine-free workspace.

{made_by}"""
    sections.write(results, "A backfill beside live changes", text)
    print(text)
    processes.stop_all()
    return 0 if p95 <= 5 and share >= 95 and not refused else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
