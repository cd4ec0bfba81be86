"""
Restores of every kind, each while Exact Online changes and the hub delivers: what exact.status says at each step, one
writer at the end, and every Delta table compared with the truth. What scripts/restores runs.
"""
import contextlib
import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

from cluster import PORT, Cluster, SqlError, literal
from command import arguments, run, say, seconds_text
from hub import ENTITIES, Hub
from kills import working
from living import decide
from processes import descendants, wait_until
from services import Databricks, ExactOnline
from truth import Comparison

UNLIMITED = ("--minute-limit", 100000, "--day-limit", 10000000, "--error-limit", 0, "--token-day-limit", 0,
             "--min-refresh-age", 1)
TICK = 0.2                      # seconds between two handfuls of changes
BOTH = ("fetcher", "loader")


@dataclass
class Plan:
    records: int = 2000
    divisions: int = 3
    preset: str = "finance"
    rate: float = 20.0          # changes a second
    delivered: int = 300        # versions between two steps
    seed: int = 1
    patience: int = 300         # seconds for each step


class Load(threading.Thread):
    """Changes records in Exact Online until it is ended."""

    def __init__(self, url, plan):
        super().__init__(daemon=True)
        self.exact, self.plan, self.made, self.problem = ExactOnline(url), plan, 0, None
        self._ended = threading.Event()

    def run(self):
        draw, number = random.Random(f"load {self.plan.seed}"), 0
        try:
            while not self._ended.wait(TICK):
                number += 1
                count = max(1, round(draw.uniform(0, 2) * self.plan.rate * TICK))
                self.made += len(self.exact.random(count, seed=self.plan.seed * 1000003 + number, deletes=0.1))
        except Exception as error:  # shown by end()
            self.problem = error

    def end(self):
        self._ended.set()
        self.join()
        if self.problem:
            raise self.problem


# ---- copies of a data directory ----

def _copy_of(cluster, directory, **settings):
    kept = {name: value for name, value in cluster.settings.items() if name != "unix_socket_directories"}
    return Cluster(directory, {**kept, **settings})


def base_backup(cluster, directory, **settings):
    """A cluster, not started, from pg_basebackup of one that runs."""
    copy = _copy_of(cluster, directory, **settings)
    copy.directory.mkdir(parents=True)
    subprocess.run([cluster.bin / "pg_basebackup", "-D", copy.data, "-h", cluster.socket, "-p", str(PORT), "-U",
                    "postgres", "-c", "fast", "-X", "stream"], check=True, capture_output=True)
    copy.write_settings()
    return copy


@contextlib.contextmanager
def frozen(cluster):
    """Every process of a cluster stands still, so that its files are of one moment."""
    still = [cluster.process.pid]
    os.kill(cluster.process.pid, signal.SIGSTOP)
    try:
        for pid in descendants(cluster.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                still.append(pid)
        yield
    finally:
        for pid in reversed(still):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def snapshot(cluster, directory):
    """A copy of the volume, of a cluster that runs or is stopped."""
    running = cluster.process.poll() is None
    with frozen(cluster) if running else contextlib.nullcontext():
        shutil.copytree(cluster.data, directory)
    (pathlib.Path(directory) / "postmaster.pid").unlink(missing_ok=True)
    return pathlib.Path(directory)


def roll_back(cluster, directory):
    """The volume as it was in the snapshot; the cluster is stopped."""
    shutil.rmtree(cluster.data)
    shutil.copytree(directory, cluster.data)


# ---- one run ----

class Restore:
    """A hub under load, and those that come from it; `said`: what status said, step by step."""

    def __init__(self, directory, databricks, plan, schema, settings=None):
        self.directory, self.plan, self.said, self.hubs = pathlib.Path(directory), plan, [], []
        self.load = None
        self.exact = ExactOnline.start(self.directory, "--fast", "--preset", plan.preset, "--records", plan.records,
                                       "--divisions", plan.divisions, "--seed", plan.seed, *UNLIMITED)
        try:
            self.hub = Hub(self.directory / "hub", self.exact, databricks, schema=schema, settings={
                "exact_databricks.merge_interval": "200ms", "exact_databricks.sync_interval": "3s",
                "exact_databricks.refresh_after": "60s", **(settings or {})})
            self.hubs.append(self.hub)
            self.hub.set_up()
            self.hub.enable(entities=ENTITIES if plan.preset == "orders" else (plan.preset,))
            self.hub.wait_loaded(plan.patience)
        except BaseException:
            self.end()
            raise
        self.load = Load(self.exact.url, plan)
        self.load.start()

    def end(self):
        if self.load:
            self.load._ended.set()
        for hub in self.hubs:
            hub.cluster.remove()
        self.exact.stop()

    def hub_in(self, cluster):
        """The hub that a copy holds."""
        hub = Hub(cluster.directory / "hub", self.exact, self.hub.databricks, schema=self.hub.schema, cluster=cluster)
        self.hubs.append(hub)
        return hub

    def started(self, cluster):
        """The hub of a copy, which runs from here on."""
        cluster.start()
        return self.hub_in(cluster)

    def at(self, number):
        return self.directory / f"copy{number}"

    def step(self, name, hub):
        """Notes what status says to whoever asks this hub now."""
        rows = hub.query("SELECT DISTINCT light, regexp_replace(what, '\\d+ s behind.*', 'some seconds behind') "
                         "AS what, next_step FROM exact.status ORDER BY 1, 2")
        text = "; ".join(f"{row['light']}: {row['what']}" + (f" ({row['next_step']})" if row["next_step"] else "")
                         for row in rows)
        self.said.append((name, text))
        return text

    def delivered(self, hub):
        """Some more versions are in Delta since the call."""
        done = "SELECT coalesce(sum(delivered_rows), 0) FROM exact.batch"
        since = int(hub.value(done))
        hub.wait_for(f"{self.plan.delivered} versions are delivered", lambda: int(hub.value(done))
                     >= since + self.plan.delivered, self.plan.patience)

    def stays_off(self, hub, name):
        """Neither fetcher nor loader works, and status says why and what to do."""
        hub.wait_for("both workers wait", lambda: hub.value(
            "SELECT count(*) FROM exact.workers WHERE role IN ('fetcher', 'loader') AND state = 'idle'") == "2",
            self.plan.patience)
        text = self.step(name, hub)
        if not (text.startswith("fail: ") and "exact.adopt(" in text + str(hub.query("SELECT * FROM exact.check()"))):
            raise AssertionError(f"{name}: status does not say that this is a copy and what to do: {text}")

    def works(self, hub, name):
        """It is this hub that works from here on."""
        self.consent(hub)
        self.delivered(hub)
        self.step(name, hub)

    def comes_back(self, name):
        """The original is started again, beside the hub that has taken its place."""
        self.hub.cluster.start()
        self.stays_off(self.hub, name)

    def one_of(self, hubs):
        """The one that is left of hubs that run beside each other."""
        def left():
            for hub in hubs:
                hub.psql("SELECT exact._wake('loader')")
            at_work = [hub for hub in hubs if working(hub, ("loader",))]
            return at_work if len(at_work) == 1 and all(
                hub.value("SELECT overtaken_by IS NOT NULL FROM exact.installation_binding") == "t"
                for hub in hubs if hub not in at_work) else None
        return wait_until("one hub is left", left, self.plan.patience)[0]

    def consent(self, hub):
        """Given again where the copy's tokens were used by another."""
        try:
            hub.value("SELECT exact.me('erp')")
        except SqlError:
            hub.authorize()

    def is_settled(self, hub, decided):
        """decided: gets how many questions were answered now."""
        decided.append(decide(hub))
        return hub.value("SELECT NOT EXISTS (SELECT FROM exact.dirty_key) AND NOT EXISTS (SELECT FROM exact.record "
                         "WHERE hash IS NULL AND NOT deleted) AND NOT EXISTS (SELECT FROM exact.batch "
                         "WHERE delivered_at IS NULL)") == "t"

    def settle(self, hub):
        """The load ends, everything is read and delivered; what is held is decided."""
        self.load.end()
        seconds = self.plan.patience
        hub.wait_for_workers(BOTH, seconds)
        self.consent(hub)
        for number in range(12):  # what one reading makes dirty or has held is read by the next
            hub.sync(seconds)
            decided = []
            hub.wait_for("nothing is unknown or on its way", functools.partial(self.is_settled, hub, decided), seconds)
            if not any(decided) and number:
                break

    def lost(self, hub):
        """Versions that this hub has delivered and that no history holds."""
        lost, known = [], {}
        for row in hub.query("SELECT s.entity, s.key, s.seq FROM exact.stage AS s "
                             "JOIN exact.batch AS b ON b.id = s.batch WHERE b.delivered_at IS NOT NULL"):
            entity = row["entity"]
            if entity not in known:
                known[entity] = {(v["_key"], int(v["_seq"])) for v in
                                 hub.databricks.rows(hub.table(f"{entity}_history"))}
            if (row["key"], row["seq"]) not in known[entity]:
                lost.append(f"{entity} {row['key']}: version {row['seq']} is in no history")
        return lost

    def verdict(self, hub):
        """What is wrong, as sentences: differences from the truth, lost versions, writers beside this one."""
        claims = {(int(row["epoch"]), row["claim"]) for row in hub.databricks.rows(hub.table("exact_hub"))}
        wrong = []
        if len(claims) != 1:
            wrong.append(f"{len(claims)} hubs have claimed divisions")
        elif hub.value(f"SELECT count(*) FROM exact.claim WHERE claim = {literal(claims.pop()[1])}") != "1":
            wrong.append("another hub has claimed the divisions")
        wrong += [f"{other.directory}: works, too" for other in self.hubs if other is not hub
                  and other.cluster.process.poll() is None and working(other, BOTH)]
        wrong += self.lost(hub)
        wrong += [str(finding) for finding in hub.query("SELECT * FROM exact.verify_audit()")]
        report = Comparison(hub.exact, hub.databricks, hub.schema, now=True).run()
        return report, wrong + report.differences


# ---- the kinds ----

def beside(r):
    """pg_basebackup, started beside the original, three times in a row; the last started takes its place."""
    hub = r.hub
    for number in (1, 2, 3):
        copy = base_backup(hub.cluster, r.at(number))
        r.delivered(hub)
        other = r.started(copy)
        left = r.one_of([hub, other])
        out = hub if left is other else other
        r.stays_off(out, f"{number}: the one that has lost")
        out.cluster.stop()
        r.works(left, f"{number}: the one that is left")
        hub = left
    return hub


def plain_copy(r):
    """pg_basebackup, started once the original is dead: the plain restore, same timeline."""
    copy = base_backup(r.hub.cluster, r.at(1))
    r.delivered(r.hub)
    r.hub.cluster.stop("immediate")
    hub = r.started(copy)
    r.step("just started", hub)
    r.works(hub, "at work")
    r.comes_back("the original, back")
    return hub


def volume(r):
    """A snapshot of the stopped server's volume, rolled back after the server had been started again."""
    hub = r.hub
    hub.cluster.stop()
    taken = snapshot(hub.cluster, r.at(1))
    hub.cluster.start()
    r.delivered(hub)
    hub.cluster.stop("immediate")
    roll_back(hub.cluster, taken)
    hub.cluster.start()
    r.stays_off(hub, "rolled back")
    hub.psql("SELECT exact.fence()")
    hub.wait_for_workers(BOTH)
    r.works(hub, "after fence()")
    return hub


def lost_wal(r):
    """The server dies and finds its files as they were a while ago: what came since had not reached the disk."""
    hub = r.hub
    before = snapshot(hub.cluster, r.at(1))
    r.delivered(hub)
    hub.cluster.stop("immediate")
    roll_back(hub.cluster, before)
    hub.cluster.start()
    r.step("just started", hub)
    hub.wait_for_workers(BOTH)
    r.works(hub, "at work")
    return hub


def point_in_time(r):
    """pg_basebackup and archived WAL, up to a restore point."""
    copy = base_backup(r.hub.cluster, r.at(1), recovery_target_name="here", recovery_target_action="promote",
                       restore_command=f"cp {r.directory / 'archive'}/%f %p", archive_mode="off")
    (copy.data / "recovery.signal").touch()
    r.delivered(r.hub)
    r.hub.psql("SELECT pg_create_restore_point('here')")
    wal = r.hub.value("SELECT pg_walfile_name(pg_switch_wal())")
    r.hub.wait_for("the WAL is archived", lambda: (r.directory / "archive" / wal).exists(), 60)
    r.delivered(r.hub)
    r.hub.cluster.stop("immediate")
    hub = r.started(copy)
    hub.wait_for("the recovery ends", lambda: hub.value("SELECT NOT pg_is_in_recovery()") == "t", 60)
    r.step("just started", hub)
    hub.wait_for_workers(BOTH)
    r.works(hub, "at work")
    r.comes_back("the original, back")
    return hub


def promotion(r):
    """A standby that lags is promoted when the primary dies, which comes back later."""
    copy = base_backup(r.hub.cluster, r.at(1),
                       primary_conninfo=f"host={r.hub.cluster.socket} port={PORT} user=postgres dbname=replication")
    (copy.data / "standby.signal").touch()
    hub = r.started(copy)
    r.step("a standby", hub)
    r.delivered(r.hub)
    with frozen(copy):
        r.delivered(r.hub)
        r.hub.cluster.stop("immediate")
    hub.psql("SELECT pg_promote()")
    hub.wait_for_workers(BOTH)
    r.works(hub, "promoted")
    r.comes_back("the old primary, back")
    return hub


def dump(r):
    """pg_dump, restored into another cluster beside the original, which dies then."""
    old, file = r.hub.cluster, r.directory / "erp.dump"
    database = r.hub.database
    subprocess.run([old.bin / "pg_dump", "-Fc", "-h", old.socket, "-p", str(PORT), "-U", "postgres", "-f", file,
                    database], check=True, capture_output=True)
    r.delivered(r.hub)
    copy = _copy_of(old, r.at(1))
    copy.make()
    copy.start()
    copy.psql(f"CREATE DATABASE {database}")
    subprocess.run([old.bin / "pg_restore", "-h", copy.socket, "-p", str(PORT), "-U", "postgres", "-d", database, "-j",
                    "4", file], check=True, capture_output=True)
    hub = r.hub_in(copy)
    r.stays_off(hub, "restored, beside the original")
    r.delivered(r.hub)
    r.hub.cluster.stop("immediate")
    hub.psql(f"SELECT exact.adopt({literal(hub.value('SELECT id FROM exact.installation'))})")
    hub.wait_for_workers(BOTH)
    r.works(hub, "adopted")
    r.comes_back("the original, back")
    return hub


def two_copies(r):
    """Two copies of one backup, started at the same time once the original is dead."""
    copies = [base_backup(r.hub.cluster, r.at(number)) for number in (1, 2)]
    r.delivered(r.hub)
    r.hub.cluster.stop("immediate")
    hubs = [r.started(copy) for copy in copies]
    left = r.one_of(hubs)
    r.stays_off(next(hub for hub in hubs if hub is not left), "the one that has lost")
    r.works(left, "the one that is left")
    return left


KINDS = {"plain copy": plain_copy, "beside the original": beside, "snapshot": volume, "lost WAL": lost_wal,
         "point in time": point_in_time, "promotion": promotion, "dump": dump, "two copies": two_copies}


def one(kind, directory, databricks, plan, schema):
    """One kind from the first load to the verdict: (the run, the comparison, what is wrong)."""
    directory = pathlib.Path(directory)
    archive = directory / "archive"
    archive.mkdir(parents=True)
    settings = {"archive_mode": "on", "archive_command": f"cp %p {archive}/%f"} if kind == "point in time" else None
    restore = Restore(directory, databricks, plan, schema, settings)
    try:
        hub = KINDS[kind](restore)
        restore.settle(hub)
        restore.step("the end", hub)
        return restore, *restore.verdict(hub)
    except BaseException:
        for hub in restore.hubs:
            say(f"{hub.directory}:\n{hub.where()}\n" + "\n".join(
                line[:200] for line in hub.cluster.log_text().splitlines()[-30:]))
        raise
    finally:
        restore.end()


def restores(given):
    plan = Plan(given.records, given.divisions, rate=given.rate, seed=given.seed)
    databricks = Databricks.start(given.directory, "--engine", given.engine)
    kinds, good = given.kind or list(KINDS), True
    say(f"exact_databricks restores: {plan.records:,} records of {plan.preset} in {plan.divisions} divisions, "
        f"{plan.rate:g} changes a second, engine {given.engine}, seed {plan.seed}")
    for number, kind in enumerate(kinds):
        begun = time.monotonic()
        restore, report, wrong = one(kind, pathlib.Path(given.directory) / f"kind{number}", databricks, plan,
                                     f"restored{number}")
        good = good and not wrong
        say(f"\n{kind}: {KINDS[kind].__doc__}")
        for step, text in restore.said:
            say(f"  {step:<30} {text}")
        say(f"  {len(wrong)} differences, {restore.load.made:,} changes, {report.rows:,} rows and "
            f"{report.versions:,} versions compared, {seconds_text(time.monotonic() - begun)}")
        for line in wrong[:20]:
            say(f"    {line}")
    return 0 if good else 1


def main():
    parser = arguments("restores", "Restores of every kind, each under load; at the end everything is compared with "
                       "the truth.")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="this one alone; may be repeated")
    parser.add_argument("--records", type=int, default=Plan.records, metavar="N")
    parser.add_argument("--divisions", type=int, default=Plan.divisions, metavar="N")
    parser.add_argument("--rate", type=float, default=Plan.rate, metavar="N", help="changes a second")
    parser.add_argument("--seed", type=int, default=Plan.seed)
    given = parser.parse_args()
    return run("restore", lambda: restores(given))


if __name__ == "__main__":
    sys.exit(main())
