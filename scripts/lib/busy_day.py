"""The end of a busy day with the service's limits: the hub paces itself, stops before the last call, and is complete
after midnight.

The simulator's clock is a few minutes before midnight UTC when changes begin, and few of the day's calls are left. The
hub's own clock cannot be sped up, so the day before is left out: its calls are taken off the limit.
"""
import time
from dataclasses import dataclass


@dataclass
class Day:
    calls: int = 150            # left to each division
    minutes: int = 4            # until midnight
    rate: float = 2.0           # changes a second


def idle_calls(hub, division):
    """
    Calls that an idle division makes in a day, from the times between two runs that the hub has planned: {feed: calls}.
    """
    return {row["feed"]: row["calls"]
            for row in hub.query(f"""SELECT feed, 86400 / extract(epoch FROM next_run_at - complete_at) AS calls
        FROM exact.feed_state WHERE division = {division} AND next_run_at > complete_at ORDER BY calls DESC""")}


def spend(hub, day, seed, tell):
    """Changes until midnight has passed; then nothing but the hub's own catching up. What the service counted."""
    exact = hub.exact
    used = max(count for count in map(int, hub.psql("SELECT count(*) FROM exact.api_call WHERE division IS NOT NULL "
                                                    "GROUP BY division").split()))
    exact.post("config", day_limit=used + day.calls)
    now = exact.get("clock")["now"]
    exact.post("clock", to=f"{now[:10]}T23:{60 - day.minutes:02}:00Z")
    ends, made, shown = time.monotonic() + day.minutes * 60 + 30, 0, 0.0
    while time.monotonic() < ends:
        made += len(exact.random(max(1, round(day.rate)), seed=seed * 100003 + made, deletes=0.05))
        if time.monotonic() - shown > 30:
            shown = time.monotonic()
            left = hub.psql("SELECT string_agg(day_left::text, ', ' ORDER BY division) "
                            "FROM exact.division_state").strip()
            tell(f"{exact.get('clock')['now'][11:16]} UTC  {made:,} changes, calls left: {left}")
        time.sleep(1.0)
    return made


def counted(exact):
    """(refusals, calls of the busiest minute of a division) as the service counted them."""
    stats = exact.get("stats")
    return sum(stats["refused"].values()), max(stats["most_in_a_minute"].values(), default=0)
