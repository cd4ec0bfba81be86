"""
Hours of work on a hub whose retention is an hour, in simulated time: records change and are delivered, then all that is
there becomes some minutes older, and what the retention ends is removed as the fetcher does it.

The long run is bench/kept, a short slice t/flow/test_kept.py.
"""
import pathlib
from dataclasses import dataclass, field

from truth import Comparison

HOUR = 60       # minutes: exact_databricks.retention and audit_retention
SETTINGS = {"exact_databricks.retention": "1h", "exact_databricks.audit_retention": "1h",
            "exact_databricks.sync_interval": "1h", "exact_databricks.merge_interval": "50ms"}
RESOURCES = {"items": "sync/Logistics/Items", "accounts": "sync/CRM/Accounts",
             "glaccount": "sync/Financial/GLAccounts"}

OLDER = (pathlib.Path(__file__).parent / "older.sql").read_text()
REMOVE = """
SET ROLE exact_worker;
SELECT exact._prune('1 h') + exact._carry_forward('1 h') + (SELECT removed FROM exact._trim_audit('1 h'))
"""
# tables with their indexes; the stage is one
SIZES = """
SELECT CASE WHEN c.relispartition THEN 'stage' ELSE c.relname END, sum(pg_total_relation_size(c.oid))
FROM pg_class AS c WHERE c.relnamespace = 'exact'::regnamespace AND c.relkind = 'r' GROUP BY 1 ORDER BY 1
"""
NOT_THERE = """
SELECT count(*) FROM exact.record AS r
LEFT JOIN exact.stage AS s ON s.slot = r.slot AND s.batch = r.batch AND s.ord = r.ord AND s.key = r.key
    AND s.seq = r.seq
LEFT JOIN exact.batch AS b ON b.id = r.batch AND b.slot = r.slot AND r.ord < b.rows
WHERE s.key IS NULL OR b.id IS NULL OR exact._content(r.slot, r.batch, r.ord) IS NULL
"""
SHOWN = 256 * 1024      # a smaller table is a page or two more or less


@dataclass
class Kept:
    minutes: int                                # of a round
    sizes: list = field(default_factory=list)   # of each round: {table: bytes}
    changes: int = 0
    removed: int = 0

    def of_hour(self, hour):
        """The largest size of each table, and of all, within this hour (1: the first)."""
        rounds = [s for n, s in enumerate(self.sizes, 1) if hour - 1 < n * self.minutes / HOUR <= hour]
        found = {name: max(s.get(name, 0) for s in rounds) for name in rounds[-1]}
        return {**found, "all": max(sum(s.values()) for s in rounds)}

    def grown(self, hours=3, allowed=1.1):
        """(table, bytes before the last hour, bytes in it) of those that grew by more than is allowed; the first hour
        does not count."""
        before, last = [self.of_hour(hour) for hour in range(2, hours)], self.of_hour(hours)
        most = {name: max(sizes.get(name, 0) for sizes in before) for name in last}
        return [(name, most[name], size) for name, size in last.items() if size > SHOWN and size > most[name] * allowed]


def work(hub, keys, count, seed):
    """So many changes of records that are there, each entity in turn; delivered."""
    for n in range(count):
        division, entity, key = keys[(seed * count + n) % len(keys)]
        hub.exact.change(division, RESOURCES[entity], "update", key)
    hub.sync(120)


def grow_older(hub, minutes):
    age = f"interval '{minutes} minutes'"
    hub.psql(OLDER.replace("@age@", age), seconds=120)
    removed = 0
    while n := int(hub.value(REMOVE, seconds=120).split()[-1]):
        removed += n
    hub.psql("VACUUM", seconds=120)
    return removed


def run(hub, hours, minutes, changes, say=lambda text: None):
    """A hub after its first load works for so many hours in rounds of so many minutes."""
    kept = Kept(minutes)
    keys = [(division, entity, record["key"]) for entity, resource in RESOURCES.items()
            for division in hub.exact.divisions for record in hub.exact.truth(division, resource)
            if not record["deleted"]]
    for n in range(1, hours * HOUR // minutes + 1):
        work(hub, keys, changes, n)
        kept.changes += changes
        kept.removed += grow_older(hub, minutes)
        if n * minutes % 30 == 0:
            # old notifications leave when a fetcher starts, and then each minute
            hub.psql("SELECT exact.restart_workers()")
            hub.wait_for_workers()
        kept.sizes.append({name: int(size) for name, size in
                           (line.split("|") for line in hub.psql(SIZES).split())})
        if n * minutes % HOUR == 0:
            say(f"hour {n * minutes // HOUR}: {sum(kept.sizes[-1].values()) / 1048576:.1f} MB, "
                f"{kept.changes:,} changes, {kept.removed:,} rows and steps removed")
    return kept


def faults(hub, kept, hours=3):
    """What does not hold; empty: each record has its newest version, Delta equals the truth, a table that was lost is
    whole again, the audit log proves itself, no table grew."""
    found = [f"{name} grew from {before:,} to {after:,} bytes" for name, before, after in kept.grown(hours)]
    if lost := int(hub.value(NOT_THERE)):
        found.append(f"{lost} records are without their newest version")
    if not hub.value("SELECT count(*) FROM exact.audit_anchor WHERE id > 0") > "0":
        found.append("no event was removed")
    said = hub.psql("SELECT chain, id, finding FROM exact.verify_audit() LIMIT 3").strip()
    if said:
        found.append(f"verify_audit(): {said}")
    for when in ("at the end", "after a replay into an emptied table"):
        report = Comparison(hub.exact, hub.databricks, hub.schema).run()
        if report.differences:
            found.append(f"{when}: {report}")
        if when == "at the end":
            hub.databricks.sql(f"DELETE FROM {hub.table('items')}")
            request = hub.value("SELECT exact.replay('items', NULL, NULL)")
            if hub.value(f"SELECT exact.wait({request}, '2 min')", seconds=150) != "done":
                found.append("the replay did not end")
    return found
