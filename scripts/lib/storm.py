"""
Random changes under faults and kills, then quiet, then everything compared with the truth. What scripts/storm runs.
"""
import collections
import hashlib
import pathlib
import random
import sys
import threading
import time
from dataclasses import dataclass, field

from busy_day import Day, counted, idle_calls, spend
from cluster import SqlError
from command import TERMINAL, arguments, last_lines, run, say, say_line, seconds_text, trouble_since
from each_form import each
from faults import Faults
from hub import Hub, simulators
from kills import BACK_WITHIN, WORKERS, kill, working
from ledger import balance
from living import Living, decide
from processes import Failed
from reading_faults import PAGE_SIZES, SETTINGS, ReadingFaults
from services import ExactOnline
from truth import Comparison
from weather import SERVICES, Weather, parse_form
from weather import report as weather_report

TICK = 0.25                 # seconds between two handfuls of changes
LATEST = 60                 # seconds after which the simulator shows every change, on each family of endpoints
NIGHT = 20                  # seconds without a call after which the readings of a night are over
UNLIMITED = ("--minute-limit", 100000, "--day-limit", 10000000, "--error-limit", 0, "--token-day-limit", 0,
             "--min-refresh-age", 5)
NOTIFICATIONS = {"webhook_loss": 0.05, "webhook_duplicate": 0.1, "webhook_reorder": 0.2, "webhook_delay_min": 0.1,
                 "webhook_delay_max": 2.0,
                 "webhook_retry_delay": 2.0, "webhook_retries": 10, "webhook_parallel": 16}
# seconds for each step of the quiet, and one more for ten changes; the first load has 1,500 more
PATIENCE = {"none": 300, "spark": 1800}


@dataclass
class Plan:
    changes: int = 20000
    kills: int = 0
    divisions: int = 5
    records: int = 3000
    seed: int = 1
    rate: float = 33.0          # changes a second
    engine: str = "none"
    faults: float = 2.0         # seconds between two, for each service; 0: none
    weather: Weather = field(default_factory=Weather)
    reading: bool = False       # with faults of reading
    patience: int = 0           # seconds instead of PATIENCE, for the first load too


class Stream(threading.Thread):
    """Makes the changes at the planned rate; while a kill is awaited that its share of them has outrun, only a few."""

    def __init__(self, url, plan):
        super().__init__(daemon=True)
        self.exact, self.plan = ExactOnline(url), plan
        self.made, self.kills, self.operations, self.problem = 0, 0, collections.Counter(), None

    def run(self):
        draw, number, begun = random.Random(f"stream {self.plan.seed}"), 0, time.monotonic()
        try:
            while self.made < self.plan.changes:
                ahead = self.made >= self.plan.changes * (self.kills + 1) / (self.plan.kills + 1)
                count = 1 if ahead else min(self.plan.changes - self.made,
                                            max(1, round(draw.uniform(0, 2) * self.plan.rate * TICK)))
                number += 1
                for change in self.exact.random(count, seed=self.plan.seed * 1000003 + number, deletes=0.05):
                    self.operations[change["op"]] += 1
                # while a kill is awaited there is always something to do, if need be beyond the plan
                self.made = min(self.made + count, self.plan.changes - ahead)
                time.sleep(max(0.0, TICK if ahead else min(TICK,
                                                           begun + self.made / self.plan.rate - time.monotonic())))
        except Exception as error:  # shown by whoever waits for the end
            self.problem = error


class Storm:
    def __init__(self, hub, plan):
        self.hub, self.plan = hub, plan
        self.begun, self.shown, self.slowest, self.kills = time.monotonic(), 0.0, 0.0, collections.Counter()
        self.faults, self.reading, self.living, self.late = None, None, None, 0
        self.patience = plan.patience or PATIENCE[plan.engine]

    def blow(self):
        """The stream with its faults and kills, to its end."""
        hub, plan = self.hub, self.plan
        hub.exact.post("config", **NOTIFICATIONS)
        if hub.exact.get("config")["webhook_retry_form"] == "growing":  # 30 s in all
            hub.exact.post("config", webhook_retries=4)
        self.begun = time.monotonic()
        self.stream = Stream(hub.exact.url, plan)
        if plan.faults:
            self.faults = Faults(ExactOnline(hub.exact.url), type(hub.databricks)(hub.databricks.url), hub.schema,
                                 plan.seed, plan.faults).start()
        if plan.reading:
            self.page_sizes = {name: hub.exact.get("config")[name] for name in PAGE_SIZES}
            hub.exact.post("config", **PAGE_SIZES)
            self.reading = ReadingFaults(ExactOnline(hub.exact.url), plan.seed).start()
        self.living = Living(hub)
        self.living.start()
        self.stream.start()
        draw = random.Random(f"kills {plan.seed}")
        try:
            for number in range(plan.kills):
                at = draw.uniform(number + 0.2, number + 0.9) * plan.changes / (plan.kills + 1)
                self.watch(lambda: self.stream.made >= at or not self.stream.is_alive())
                self.kill(("fetcher", "loader", "listener", "postmaster")[number % 4])
                self.stream.kills += 1
            self.watch(lambda: not self.stream.is_alive())
        finally:
            for part in filter(None, (self.faults, self.reading)):
                part.stop()
        self.progress(last=True)

    def watch(self, ended):
        while not ended():
            for part in (self.stream, self.faults, self.reading, self.living):
                if part and part.problem:
                    raise part.problem
            self.progress()
            time.sleep(0.05)

    def kill(self, victim):
        if self.faults:
            self.watch(self.faults.begin_await)
        at = kill(self.hub, victim)
        # a MERGE of Spark on a few cores takes longer than the hub: there, its sending counts
        sent, moment, word = ("exact.statement_log", "at",
                              "sent to Databricks") if self.plan.engine == "spark" else ("exact.batch", "delivered_at",
                                      "delivered")
        after = {"workers": 0.0, "staging": 0.0, "delivery": 0.0, "notifications": 0.0}    # seconds, 0: not yet

        def goes_on():
            try:
                if not working(self.hub, WORKERS):
                    return False
                after["workers"] = after["workers"] or time.time() - at
                found = self.hub.psql(f"""SELECT EXISTS (SELECT FROM exact.batch WHERE staged_at > to_timestamp({at})),
                    EXISTS (SELECT FROM {sent} WHERE {moment} > to_timestamp({at})), EXISTS (SELECT
                    FROM exact.inbox WHERE at > to_timestamp({at}))""").strip().split("|")
            except SqlError:  # the server is in recovery
                return False
            for what, there in zip(("staging", "delivery", "notifications"), found):
                after[what] = after[what] or (time.time() - at if there == "t" else 0.0)
            return all(after.values())
        try:
            self.hub.wait_for(f"work goes on after kill -9 of the {victim}", goes_on, self.patience)
        except Failed as failure:
            missing = ", ".join(what for what, seconds in after.items() if not seconds)
            raise Failed(f"{missing}: {failure}", failure.log) from None
        finally:
            if self.faults:
                self.faults.end_await()
        took = time.time() - at
        self.late += took > BACK_WITHIN
        self.slowest = max(self.slowest, took)
        self.kills[victim] += 1
        say_line(f"  {time.strftime('%H:%M:%S')}  kill -9 {victim:<11} staged, {word} and received again after "
                 f"{took:.1f} s")
        if took > BACK_WITHIN:
            say("\n".join([f"    {what} after {seconds:.1f} s" for what, seconds in after.items()]
                          + ["    " + line[:200] for line in trouble_since(self.hub.cluster.log, at)]))

    def progress(self, last=False):
        if not last and time.monotonic() - self.shown < (0.5 if TERMINAL else 15):
            return
        self.shown = time.monotonic()
        try:
            received, _, staged, delivered = map(int, self.hub.psql("""SELECT (SELECT count(*) FROM exact.inbox),
                (SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL), coalesce(sum(rows), 0),
                coalesce(sum(rows) FILTER (WHERE delivered_at IS NOT NULL), 0)
                FROM exact.batch""", arguments=("-F", " ")).split())
        except SqlError:
            return
        made, all_ = self.stream.made, self.plan.changes
        say_line(f"storm  {'█' * (20 * made // all_):░<20}  {made:,} of {all_:,} changes   {received:,} "
                 f"notifications   {staged:,} versions, "
                  f"{delivered:,} in Delta   {seconds_text(time.monotonic() - self.begun)}", over=not last)

    def calm(self):
        """Quiet: every notification has arrived, everything is read once more, and nothing waits."""
        hub, seconds = self.hub, self.patience + self.plan.changes / 10
        self.plan.weather.end(hub.exact, hub.databricks)
        hub.exact.post("config", webhook_delay_min=0.0, webhook_delay_max=0.0)
        if self.reading:
            hub.exact.post("config", **self.page_sizes)
            hub.psql("SELECT exact.resume(division) FROM exact.division WHERE enabled")    # what a 429 stopped
        hub.wait_for("every notification was sent", lambda: hub.exact.get("webhooks/pending")["pending"] == 0, seconds)
        hub.wait_for("every notification was taken",
                     lambda: hub.value("SELECT count(*) FROM exact.inbox_work WHERE taken_at IS NULL") == "0", seconds)
        if self.plan.weather.reaches("exact"):
            hub.exact.post("clock", advance=LATEST)
            self.settle(seconds)
            self.night(seconds)
        self.settle(seconds)
        hub.wait_for("everything is delivered",
                     lambda: hub.value("SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0", seconds)

    def settle(self, seconds):
        """Everything is read once more, until there is nothing left to ask for or to decide."""
        hub = self.hub
        for number in range(10):  # what the first reading makes dirty is read by the second
            hub.sync(seconds)
            hub.wait_for("no key is dirty", lambda: hub.value("SELECT count(*) FROM exact.dirty_key") == "0", seconds)
            approved = decide(hub)
            if number and not approved:
                break

    def night(self, seconds):
        """
        A night passes, in which what became visible below the marks is read: it is not promised any earlier. A division
        with many pages needs more than one.
        """
        hub = self.hub
        hub.psql("UPDATE exact.feed_state SET night_at = night_at - interval '1 day', "
                 "whole_at = whole_at - interval '1 day'; SELECT exact.restart_workers()")
        hub.sync(seconds)
        asked, calls = time.monotonic(), None

        def read():
            nonlocal asked, calls
            left, now = hub.psql("SELECT count(*) FILTER (WHERE finished_at IS NULL), sum(calls) FROM exact.backfill"
                                 ).strip().split("|")
            if now != calls:
                asked, calls = time.monotonic(), now
            elif left != "0" and time.monotonic() - asked > NIGHT:  # it goes on the night after
                hub.psql("UPDATE exact.backfill SET night = night - 1; SELECT exact.restart_workers()")
                asked = time.monotonic()
            return left == "0"
        hub.wait_for("the readings of the night have ended", read, seconds)
        say(f"night          {hub.value('SELECT count(*) FROM exact.backfill WHERE nightly')} feeds were read again "
            "below their marks")

    def lost_notifications(self, sent):
        """
        Notifications that were answered with 200 and are not in exact.inbox, under no other number either: (answered,
        missing).
        """
        answered = {}
        for message in (m for m in sent if m["state"] == "delivered"):
            text = message["body"]
            start = text.index('{"Content":') + len('{"Content":')      # a byte order mark may stand before it
            content = text[start:text.rindex(',"HashCode":"')]
            answered[message["n"]] = hashlib.sha256(content.encode()).hexdigest()
        there = set(self.hub.psql("SELECT encode(digest, 'hex') FROM exact.inbox").split())
        return len(answered), [n for n, digest in answered.items() if digest not in there]

    def compare(self):
        # in weather an answer may lack rows, so that what was served is no list of versions
        return Comparison(self.hub.exact, self.hub.databricks, self.hub.schema, lost_answers=bool(self.plan.kills),
                          now=self.plan.weather.reaches("exact")).run()

    def verdict(self):
        """The comparison, one line a finding, and whether all is well."""
        hub, good = self.hub, True
        report = self.compare()
        ledger = balance(hub.databricks, hub.table("transactionlines"),
                         hub.exact.get("config")["ledger"])
        sent = hub.exact.get("webhooks", kind="event")["webhooks"]
        answered, missing = self.lost_notifications(sent)
        audit = hub.query("SELECT * FROM exact.verify_audit()")
        found = [("comparison", not report.differences, report),
                 ("ledger", not ledger.off, ledger),
                 *([("deletes", not self.living.wrong, self.living)] if self.living else []),
                 ("notifications", not missing, f"{len(sent):,} made, {sum(m['state'] == 'lost' for m in sent):,} of "
                  f"them lost on the way, {answered:,} answered with 200: "
                  + (f"{len(missing)} are not in exact.inbox, the first is no. {missing[0]}" if missing
                     else "each is in exact.inbox or was a repeat")),
                 ("audit", not audit, f"{hub.value('SELECT count(*) FROM exact.audit_log')} events: "
                  + ("intact" if not audit else f"{len(audit)} findings, {audit[0]}"))]
        for name, right, text in found:
            say(f"{name:<14} {text}")
            good = good and right
        hits = {}
        for (service, kind), n in sorted(self.faults.hits.items() if self.faults else (), key=lambda hit: -hit[1]):
            if n:
                hits.setdefault(service, []).append(f"{kind} {n}")
        for service, kinds in hits.items():
            say(f"faults         {service}: {', '.join(kinds)}")
        if self.reading:
            hits = ", ".join(f"{kind} {n}" for kind, n in self.reading.hits.most_common())
            say("\n  ".join([f"reading        {hits}", *(self.reading.told if not good else ())]))
        if self.plan.weather.blows:
            for line in weather_report((hub.exact, hub.databricks)):
                say(line)
        if self.plan.kills:
            say(f"kills          {', '.join(f'{n} {victim}' for victim, n in self.kills.items())}; work went on within "
                f"{self.slowest:.1f} s"
                + (f", {self.late} times after more than {BACK_WITHIN:.0f} s" if self.late else ""))
        return good and not self.late


def launch(directory, plan, limited=False, settings=None):
    """Both simulators and a hub with all workers, configured and authorised; the first load begins. `limited`: with the
    limits, intervals and ages of tokens of the real service. `settings`: of the hub, besides."""
    directory = pathlib.Path(directory)
    weather = plan.weather
    exact, databricks = simulators(directory, ("--fast", "--preset", "finance", "--records", plan.records,
                                               "--divisions", plan.divisions, "--seed", plan.seed,
                                               "--token-mode", "forgiving", *(() if limited else UNLIMITED),
                                               *weather.options("exact")),
                                   ("--engine", plan.engine, "--seed", plan.seed, *weather.options("databricks")),
                                   (weather.calm("exact"), weather.calm("databricks")))
    hub = Hub(directory / "hub", exact, databricks, tries=10 if weather.blows else 1, settings={
        "exact_databricks.merge_interval": "500ms" if plan.engine == "none" else "5s",
        **({"exact_databricks.sync_interval": 0} if limited else {"exact_databricks.sync_interval": "120s",
                                                                  "exact_databricks.refresh_after": "60s"}),
        **(settings or {})})
    hub.set_up()
    hub.enable(entities=("finance",))
    return hub


def subscribed(hub):
    return hub.value("SELECT count(*) > 0 AND bool_and(state = 'present') FROM exact.subscription") == "t"


def first_load(hub, seconds=1800):
    begun = time.monotonic()
    hub.wait_loaded(seconds)
    hub.wait_for("every topic is subscribed", lambda: subscribed(hub), 60)
    return time.monotonic() - begun


def end_of_day(storm):
    """A busy end of a day with the limits of the service; whether the hub kept to them."""
    hub, day = storm.hub, Day()
    calls = idle_calls(hub, hub.exact.divisions[0])
    say(f"idle           {sum(calls.values()):.0f} calls a day and division are planned: "
        f"{', '.join(f'{feed} {n:.0f}' for feed, n in calls.items())}")
    say(f"day            {day.calls} calls are left to each division, {day.minutes} minutes to midnight, {day.rate:g} "
        "changes a second")
    made = spend(hub, day, storm.plan.seed, lambda text: say(f"  {text}"))
    storm.calm()
    refused, busiest = counted(hub.exact)
    say(f"limits         {made:,} changes; {refused} calls refused, {busiest} of 60 in the busiest minute of "
        "a division")
    return refused == 0 and busiest <= 60


def plan_of(given):
    weather = Weather(given.weather, tuple(SERVICES) if given.side == "both" else (given.side,))
    for side, name, share in given.form:
        weather.forms.setdefault(side, {})[name] = share
    weather.given = {"exact": [*(SETTINGS if given.reading_faults else ()), *given.exact],
                     "databricks": given.databricks}
    return Plan(given.changes, given.kills, given.divisions, given.records, given.seed, given.rate, given.engine,
                given.faults, weather, given.reading_faults, given.patience)


def storm(given):
    plan = plan_of(given)
    what = "the end of a busy day" if given.day else f"{plan.changes:,} changes, {plan.kills} kills"
    say(f"exact_databricks storm: {what}, {plan.divisions} divisions, preset finance, engine {plan.engine}, seed "
        f"{plan.seed}, weather {given.weather:g}")
    if given.each:
        return 1 if each(plan, given.directory, lambda alone, directory: one(alone, directory, False)) else 0
    return 0 if one(plan, given.directory, given.day) else 1


def one(plan, directory, day):
    """A storm from the first load to the verdict, which it returns; ends what it started."""
    hub = launch(directory, plan, day)
    try:
        return blow(hub, plan, day)
    except Failed as failure:
        failure.lines = last_lines(failure)     # they are gone with the hub
        raise
    finally:
        for part in (hub, hub.exact, hub.databricks):
            part.stop()


def blow(hub, plan, day):
    say(f"first load     {sum(hub.exact.info['records'].values()):,} records in "
        f"{seconds_text(first_load(hub, plan.patience or PATIENCE[plan.engine] + 1500))}")
    made, kept = Storm(hub, plan), True
    if day:
        kept = end_of_day(made)
    else:
        made.blow()
        begun = time.monotonic()
        made.calm()
        made.living.end()
        say(f"quiet          everything read once more and delivered after {seconds_text(time.monotonic() - begun)}")
    return made.verdict() and kept


def parser():
    parser = arguments("storm", "Random changes under faults of both services; at the end everything is compared with "
                       "the truth.")
    parser.add_argument("--changes", type=int, default=Plan.changes, metavar="N",
                        help="how many (default: %(default)s), 5 %% of them deletes")
    parser.add_argument("--kills", type=int, default=0, metavar="N",
                        help="kill -9 of fetcher, loader, listener and postmaster in turn, N in all")
    parser.add_argument("--divisions", type=int, default=Plan.divisions, metavar="N")
    parser.add_argument("--records", type=int, default=Plan.records, metavar="N",
                        help="of the first load (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=Plan.rate, metavar="N",
                        help="changes a second (default: %(default)s)")
    parser.add_argument("--day", action="store_true", help="instead: the end of a busy day with the service's "
                        "limits of calls")
    parser.add_argument("--faults", type=float, default=Plan.faults, metavar="SECONDS",
                        help="between two faults of each service (default: %(default)s), 0: none")
    parser.add_argument("--reading-faults", action="store_true", help="rights lost and given back, lists without "
                        "rows, rows that come late, endpoints that are blocked, expired links, unsorted pages")
    parser.add_argument("--weather", type=float, default=0.0, metavar="SHARE",
                        help="how often the simulators draw the forms of their READMEs, 0 (calm) to 1")
    parser.add_argument("--side", choices=("both", *SERVICES), default="both", help="whose weather it is")
    parser.add_argument("--each", action="store_true",
                        help="instead: one storm for each form of the weather, with that form alone")
    parser.add_argument("--form", type=parse_form, action="append", default=[], metavar="[SIDE:]FORM[=SHARE]",
                        help="draw this form besides, for instance exact:omit=0.1; may be repeated")
    parser.add_argument("--exact", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of the Exact Online simulator; may be repeated")
    parser.add_argument("--databricks", action="append", default=[], metavar="NAME=VALUE",
                        help="a setting of the Databricks simulator; may be repeated")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="of records, changes, faults, kills and weather")
    parser.add_argument("--patience", type=int, default=0, metavar="SECONDS",
                        help="for the first load and each step of the quiet (default: 300 and more)")
    return parser


def main():
    given = parser().parse_args()
    return run("storm", lambda: storm(given))


if __name__ == "__main__":
    sys.exit(main())
