"""A day without Databricks, in simulated time: what is staged meanwhile, how fast, and how it is delivered afterwards;
once as it is, once beside a session that holds a snapshot from before the day until its end."""
import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from cluster import literal  # noqa: E402
from hub import FINANCE, Hub, simulators  # noqa: E402
from storm import first_load  # noqa: E402
from truth import Comparison  # noqa: E402

CLOCK = pathlib.Path(__file__).resolve().parents[1] / "t" / "flow" / "clock.c"
GL = "financial/GLAccounts"
HOUR = 3600
# notifications that nobody has looked at, records and feeds that are still to be read for them
UNREAD = """SELECT (SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL)
    + (SELECT count(*) FROM exact.dirty_key)
    + (SELECT count(*) FROM exact.feed_state WHERE notified_last IS NOT NULL)"""
FRESH = 5.0         # seconds: a change is as fresh as on any other day


class Clock:
    """PostgreSQL's clock, an hour later on demand; that of both services goes with it."""

    def __init__(self, directory):
        self.library, self.file, self.seconds = directory / "clock.so", directory / "clock", 0
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, CLOCK], check=True)
        self.file.write_text("0")
        os.environ.update(LD_PRELOAD=str(self.library), TEST_CLOCK=str(self.file))

    def advance(self, hub, seconds=HOUR):
        for service in (hub.exact, hub.databricks):
            service.post("clock", advance=seconds)
        self.seconds += seconds
        self.file.with_suffix(".new").write_text(str(self.seconds))
        self.file.with_suffix(".new").rename(self.file)


def hold_snapshot(hub):
    """A session in the middle of a transaction that reads what was there before the day."""
    session = subprocess.Popen([*hub.cluster.client, "-XqAt", "-d", hub.database], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    session.stdin.write("BEGIN ISOLATION LEVEL REPEATABLE READ;\nSELECT count(*) FROM exact.record;\n")
    session.stdin.flush()
    session.stdout.readline()
    return session


def freshness(hub):
    """Seconds from a change of a GL account until the hub has delivered it."""
    division = hub.exact.divisions[0]
    key = next(row["key"] for row in hub.exact.truth(division, GL) if not row["deleted"])
    place = f"r.division = {division} AND r.entity = 'glaccount' AND r.key = {literal(key)}"
    before, begun = hub.value(f"SELECT seq FROM exact.record AS r WHERE {place}"), time.monotonic()
    hub.exact.change(division, GL, "update", key, fields={"Description": f"made at {begun}"})
    hub.psql(f"SELECT exact.sync_now({division}, 'glaccount')")
    hub.wait_for("the change is delivered", lambda: hub.value(
        f"SELECT b.delivered_at IS NOT NULL FROM exact.record AS r JOIN exact.batch AS b ON b.id = r.batch "
        f"WHERE {place} AND r.seq > {before}") == "t", 600, 0.05)
    return time.monotonic() - begun


def met(databricks):
    """How many calls the faults have met."""
    return sum(rule["applied"] for rule in databricks.get("faults")["faults"])


def day(directory, hours, changes, held):
    """The figures of one day."""
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True)
    for name in ("LD_PRELOAD", "TEST_CLOCK"):
        os.environ.pop(name, None)
    exact, databricks = simulators(directory, ("--preset", "finance", "--records", 1000, "--divisions", 2, "--fast",
                                               "--day-limit", 10000000, "--minute-limit", 100000, "--error-limit", 0),
                                   ("--engine", "none"))
    exact.post("config", webhook_delay_min=0.0, webhook_delay_max=0.0)
    clock = Clock(directory)
    hub = Hub(directory / "hub", exact, databricks, settings={"exact_databricks.sync_interval": "1h",
                                                              "exact_databricks.merge_interval": "1s"})
    databricks.make_schema(hub.schema)
    hub.set_up()
    hub.psql(f"UPDATE exact.workspace SET volume = {literal(databricks.make_volume(hub.schema))}")
    hub.enable(entities=FINANCE)
    first_load(hub)
    made_by = sections.made_by(f"bench/away {hours} {changes}", hub.value("SHOW server_version"))
    session = hold_snapshot(hub) if held else None
    usual = freshness(hub)
    databricks.fault("", "reset_before", times=-1)
    staged_before = int(hub.value("SELECT coalesce(sum(rows), 0) FROM exact.batch"))
    hourly, made, asked = [], 0, 0
    for hour in range(hours):
        if hour == hours // 2:      # what is refused at first answers later, as a service that comes back in parts
            asked = met(databricks)
            databricks.clear_faults()
            databricks.fault("", "status", status=503, times=-1)
        made += len(exact.random(changes, seed=hour + 1, deletes=0.05))
        begun = time.monotonic()
        hub.wait_for("all notifications are sent", lambda: exact.get("webhooks/pending")["pending"] == 0, 120, 0.1)
        hub.wait_for("all that they name is read", lambda: hub.value(UNREAD) == "0", 300, 0.1)
        hourly.append(time.monotonic() - begun)
        clock.advance(hub)
        print(f"hour {hour + 1}: {hourly[-1]:.1f} s", flush=True)
    asked += met(databricks)
    staged = int(hub.value("SELECT sum(rows) FROM exact.batch")) - staged_before
    waiting = int(hub.value("SELECT coalesce(sum(rows), 0) FROM exact.batch WHERE delivered_at IS NULL"))
    last = int(hub.value("SELECT coalesce(max(id), 0) FROM exact.statement_log"))
    light = hub.psql("SELECT light, what FROM exact.status LIMIT 1").strip()
    databricks.clear_faults()
    begun = time.monotonic()
    hub.wait_for("the backlog is in Delta", lambda: hub.value(
        "SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0", 1200, 0.2)
    drained = time.monotonic() - begun
    merges = int(hub.value(f"SELECT count(*) FROM exact.statement_log WHERE id > {last} "
                           "AND kind IN ('history', 'current')"))
    while freshness(hub) > max(FRESH, usual * 2):
        if time.monotonic() - begun > 1200:
            raise processes.Failed("no change is fresh again", hub.cluster.log)
    fresh = time.monotonic() - begun
    hub.sync(300)
    report = Comparison(exact, databricks, hub.schema).run()
    if report.differences:
        raise processes.Failed(f"not equal: {report}", hub.cluster.log)
    if session:
        session.stdin.close()
        session.wait()
    hub.stop()
    processes.stop_all()
    return {"made": made, "staged": staged, "waiting": waiting, "rate": made / sum(hourly), "light": light,
            "first": statistics.median(hourly[:3]), "last": statistics.median(hourly[-3:]), "drained": drained,
            "merges": merges, "usual": usual, "fresh": fresh, "report": str(report), "asked": asked, "made_by": made_by}


def main(directory, results, hours, changes):
    days = {"no other session": day(pathlib.Path(directory) / "free", hours, changes, False),
            "a snapshot held all day": day(pathlib.Path(directory) / "held", hours, changes, True)}
    free, held = days.values()
    share = held["rate"] / free["rate"]
    text = "| | " + " | ".join(days) + " |\n|---|" + "---|" * len(days) + "\n"
    for what, how in (
            (f"changes in {hours} hours of simulated time, without Databricks", "{made:,}"),
            ("versions staged meanwhile, and waiting at the end", "{staged:,}, {waiting:,}"),
            ("changes a second that are notified, read and staged", "{rate:.0f}"),
            ("seconds an hour's changes take, the first and the last hours", "{first:.1f}, {last:.1f}"),
            ("calls that asked whether Databricks is back", "{asked:,}"),
            ("Databricks is back: all is delivered after", "{drained:.0f} s"),
            ("by so many MERGEs into 50 tables", "{merges}"),
            ("a change is as fresh as before after", "{fresh:.0f} s"),
            ("in the end", "{report}")):
        text += f"| {what} | " + " | ".join(how.format(**figures) for figures in days.values()) + " |\n"
    text += f"""
Staging beside a held snapshot is {share:.0%} as fast (target: 80 %). Two divisions, the 25 entities of finance,
engine-free workspace with a volume. For half of the day the workspace resets each connection, for the other half it
answers 503; PostgreSQL's clock and the services' go an hour ahead after each round. "As fresh as before": delivered
within {FRESH:.0f} s of the change.

{free["made_by"]}"""
    sections.write(results, "A day without Databricks", text)
    print(text)
    return 0 if share >= 0.8 and max(free["fresh"], held["fresh"]) < 300 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:5])))
