"""
The second half of scripts/demo: servers, first load, live changes, comparison. Every figure shown is measured here.
"""
import contextlib
import os
import pathlib
import signal
import statistics
import sys
import time
from dataclasses import dataclass

from cluster import literal
from command import TERMINAL, arguments, run, say, say_line, seconds_text
from hub import ENTITIES, Hub
from processes import Failed
from services import Databricks, ExactOnline
from share import hub_share
from truth import RESOURCES, Comparison

IN_FLIGHT = 3      # changes under way at a time
GAP = 2.5          # seconds between two changes
PATIENCE = 180     # seconds without any progress before the demo gives up
TABLE_OF = {"purchaseorder/PurchaseOrderLines": "purchaseorderlines",
            **{table.plain: entity for entity, table in RESOURCES.items()}}


def step(number, name, text):
    say(f"  [{number}/6] {name + ' ':.<22} {text}")


@dataclass
class Change:
    division: int
    entity: str
    key: str
    deleted: bool
    what: str
    made: float
    before: int
    noticed: bool = False


class Demo:
    def __init__(self, given):
        self.given = given
        self.directory = pathlib.Path(given.directory)
        self.records = 500 if given.fast else 5000
        self.changes = given.changes if given.changes is not None else 3 if given.fast else None if TERMINAL else 6
        self.seconds, self.shares = [], []

    def run(self):
        self.start()
        self.first_load()
        say(f"look around  psql -h {self.hub.cluster.socket} -p {self.hub.cluster.settings['port']} -U postgres "
            f"{self.hub.database}"
            "      SELECT exact.show();")
        try:
            self.live_changes()
        except KeyboardInterrupt:
            say()
        good = self.summary()
        if self.given.keep:
            self.keep()
        return 0 if good else 1

    def start(self):
        workspace = Databricks.launch(self.directory, "--engine", self.given.engine)
        online = ExactOnline.launch(self.directory, "--records", self.records, "--divisions", 5)
        settings = {"shared_preload_libraries": "exact_databricks,pg_cron", "cron.database_name": "erp",
                    "exact_databricks.sync_interval": "0"}
        hub = self.hub = Hub(self.directory / "hub", None, None, database="erp", settings=settings)
        loaded = hub.cluster.value("SHOW shared_preload_libraries")
        step(4, "PostgreSQL", f"{hub.cluster.value('SHOW server_version').split()[0]}, port "
             f"{hub.cluster.settings['port']} in {hub.cluster.socket}, "
             f"{'pg_cron loaded' if 'pg_cron' in loaded else 'without pg_cron'}")
        hub.exact, hub.databricks = ExactOnline.attach(online), Databricks.attach(workspace)
        step(5, "simulators", f"Exact Online {hub.exact.url}, Databricks {hub.databricks.url}")
        hub.set_up()
        hub.psql("CREATE EXTENSION pg_cron")
        self.began = time.monotonic()
        # Exact Online tells of everything but cost centers and units, which are asked for
        hub.psql("INSERT INTO exact.entity (name, sync_interval) VALUES ('costcenter', '20 s'), ('costunit', '20 s')")
        hub.enable()
        divisions = int(hub.value("SELECT count(*) FROM exact.division WHERE enabled"))
        feeds = int(hub.value("SELECT count(*) FROM exact.feed WHERE enabled"))
        step(6, "hub", f"authorised, {divisions} divisions, {feeds // divisions} entities each")
        say()

    def first_load(self):
        hub = self.hub
        total = sum(count for resource, count in hub.exact.info["records"].items() if resource in TABLE_OF)
        shown, moved, loaded = None, time.monotonic(), False
        while not loaded:
            loaded = hub.loaded()
            done, calls = map(int, hub.psql("SELECT (SELECT coalesce(sum(delivered_rows), 0) "
                                            "FROM exact.batch), (SELECT count(*) FROM exact.api_call)",
                                            arguments=("-F", " ")).split())
            if (done, loaded) != shown:
                shown, moved = (done, loaded), time.monotonic()
            if TERMINAL or loaded or moved == time.monotonic() or done != getattr(self, "printed", None):
                self.progress(done, max(total, done), calls, loaded)
            if time.monotonic() - moved > PATIENCE:
                say()
                raise Failed(f"nothing was delivered for {PATIENCE} s\n{hub.where()}", hub.cluster.log)
            time.sleep(0 if loaded else 0.25 if TERMINAL else 1)
        self.in_delta = self.count()
        if self.in_delta != total:
            raise Failed(f"Exact Online holds {total} records, Delta holds {self.in_delta}\n{hub.where()}",
                         hub.cluster.log)

    def progress(self, done, total, calls, last):
        self.printed = done
        bar = "█" * (30 * done // max(total, 1))
        line = (f"first load   {bar:░<30}  {done:,} of {total:,} records   "
                f"{len(self.hub.exact.divisions)} divisions   {calls} calls   "
                f"{seconds_text(time.monotonic() - self.began)}")
        say_line(line, over=not last)

    def count(self):
        """Living rows of the seven current tables, as Delta counts them."""
        union = " UNION ALL ".join(f"SELECT count(*) AS n FROM {self.hub.table(entity)} WHERE NOT _deleted"
                                   for entity in ENTITIES)
        return int(self.hub.databricks.sql(f"SELECT sum(n) FROM ({union})")["rows"][0][
            0]) if self.given.engine == "spark" else sum(
            str(row["_deleted"]).lower() == "false" for entity in ENTITIES
            for row in self.hub.databricks.rows(self.hub.table(entity)))

    def live_changes(self):
        missing = "SELECT count(*) FROM exact.subscriptions WHERE state <> 'present'"
        self.hub.wait_for("all subscriptions are made", lambda: self.hub.value(missing) == "0", PATIENCE)
        say(f"live changes{' (Ctrl-C ends)' if self.changes is None else ''}, told by "
            f"{self.hub.value('SELECT count(*) FROM exact.subscriptions')} webhook subscriptions")
        under_way, made, last = [], 0, 0.0
        while self.changes is None or made < self.changes or under_way:
            now = time.monotonic()
            if len(under_way) < IN_FLIGHT and now - last > GAP and (self.changes is None or made < self.changes):
                under_way.append(self.make_change())
                made, last = made + 1, now
            for change in list(under_way):
                if self.arrived(change):
                    under_way.remove(change)
                elif time.monotonic() - change.made > PATIENCE:
                    raise Failed(f"{change.what} (division {change.division}, {change.entity} {change.key}) did not "
                                 "arrive in Delta within "
                                 f"{PATIENCE} s\n{self.hub.where()}", self.hub.cluster.log)
            time.sleep(0.1)

    def make_change(self):
        """One believable change in Exact Online; `before` is the record's last version that the hub had staged."""
        staged = {(r["division"], r["entity"], r["key"]): r["seq"] for r in
                  self.hub.query("SELECT division, entity, key, seq FROM exact.record")} if not hasattr(self,
                          "staged") else self.staged
        self.staged = staged
        made = time.monotonic()
        change = self.hub.exact.random(1, deletes=0.15)[0]
        entity, key = TABLE_OF[change["resource"]], change["key"].lower()
        return Change(change["division"], entity, key, change["op"] == "delete", change["what"], made,
                      staged.get((change["division"], entity, key), 0))

    def arrived(self, change):
        """Asks PostgreSQL, which is cheap, until a new version is staged, then Delta until it is there."""
        hub = self.hub
        place = f"division = {change.division} AND entity = {literal(change.entity)} AND key = {literal(change.key)}"
        if not change.noticed:
            change.noticed = hub.value(f"SELECT true FROM exact.record WHERE {place} AND seq > {change.before} "
                                       f"AND deleted = {literal(change.deleted)}") == "t"
        if not change.noticed:
            return False
        rows = hub.databricks.sql(f"SELECT _seq, _deleted FROM {hub.table(change.entity)} "
                                  f"WHERE _division = {change.division} "
                                  f"AND _key = {literal(change.key)}")["rows"] if self.given.engine == "spark" else [
            (r["_seq"], r["_deleted"]) for r in hub.databricks.rows(hub.table(change.entity)) if r["_key"]
            == change.key]
        if not rows or int(rows[0][0]) <= change.before or str(rows[0][1]).lower() != str(change.deleted).lower():
            return False
        took = time.monotonic() - change.made
        self.staged[change.division, change.entity, change.key] = int(rows[0][0])
        share = hub_share(hub, change.division, change.entity, change.key)
        self.seconds.append(took)
        self.last = change
        if share is not None:
            self.shares.append(share)
        say(f"  {time.strftime('%H:%M:%S')}  {change.division}  {change.what:<58.58}  in Delta after {took:4.1f} s"
            + (f"  (hub {share:.2f} s)" if share is not None else ""))
        return True

    def summary(self):
        hub = self.hub
        hub.sync()
        records = self.count()
        waiting, paused, calls, allowed = hub.psql(
            """SELECT (SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL),
            (SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL), (SELECT count(*)
            FROM exact.api_call WHERE division IS NOT NULL),
            (SELECT coalesce(sum(day_limit), 0) FROM exact.division_state)""", arguments=("-F", " ")).split()
        times = ""
        if self.seconds:
            p95 = sorted(self.seconds)[max(0, -(-95 * len(self.seconds) // 100) - 1)]
            times = f", p50 {statistics.median(self.seconds):.1f} s, p95 {p95:.1f} s"
        say(f"summary      {records:,} records, {waiting} batches waiting, {paused} tables paused, {int(calls):,} "
            f"calls of {int(allowed):,} allowed today{times}")
        report = Comparison(hub.exact, hub.databricks, hub.schema).run()
        say(f"comparison   {report}")
        if hasattr(self, "last"):
            say(f"one change   SELECT * FROM exact.trace({self.last.division}, '{self.last.entity}', "
                f"'{self.last.key}');")
            say(hub.psql(f"SELECT * FROM exact.trace({self.last.division}, {literal(self.last.entity)}, "
                         f"{literal(self.last.key)})",
                         arguments=("-P", "format=aligned", "-P", "tuples_only=off", "-P", "footer=off")).rstrip())
        return not report.differences

    def keep(self):
        say(f"left running; logs in {self.directory}; Ctrl-C (or kill {os.getpid()}) ends and removes everything")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def main():
    parser = arguments("demo", "Exact Online to Delta on this machine, with simulators of both services.")
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    parser.add_argument("--fast", action="store_true", help="500 records and 3 changes")
    parser.add_argument("--changes", type=int, metavar="N", help="end after N live changes (default: until Ctrl-C on a "
                        "terminal, else 6)")
    given = parser.parse_args()
    return run("demo", lambda: Demo(given).run())


if __name__ == "__main__":
    sys.exit(main())
