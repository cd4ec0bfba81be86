"""
Documents of every kind, correct ones and such as break a rule, while the hub runs; at the end what the hub said of each
is compared with what the simulator says of it. What scripts/documents runs.

A wrong alarm is a defect like a missed one: each document that was held or marked at any look is one that broke a rule.
"""
import collections
import contextlib
import pathlib
import random
import sys
import time
from dataclasses import dataclass

from cluster import SqlError
from command import arguments, last_lines, run, say, say_line, seconds_text
from kills import WORKERS, kill, working
from processes import Failed
from storm import NOTIFICATIONS, PATIENCE, Storm, first_load, launch
from storm import Plan as StormPlan
from weather import SERVICES, Weather, parse_form

EXISTS = {"line_gl_account_exists": "glaccount", "line_cost_center_exists": "costcenter",
          "line_cost_unit_exists": "costunit"}
STATES = ("gl_account_blocked", "cost_center_required", "cost_center_ended")
SUMS = ("entry_balances", "lines_match_header")
KINDS = ("purchaseentries", "salesentries", "generaljournalentries", "bankentries", "cashentries", "purchaseinvoices",
         "salesinvoices", "purchaseorders", "transactionlines")
OFF = {("lines_match_header", kind) for kind in ("bankentries", "cashentries", "salesinvoices")}
NEVER_HELD = ("purchaseorders", "transactionlines")
LEDGER = "transactionlines"
HANDFUL = 200               # documents made at once in a division
NAMES = 20                  # codes or keys that nothing has, for each rule and division
LOOK = 10                   # seconds


def expected(exact, division):
    """{(kind, key): held or flagged} of the documents that break a rule now."""
    found = {}
    for document in exact.get("documents", division=division, broken=1, rows=0)["documents"]:
        rules = {b["rule"] for b in document["breaks"] if (b["rule"], document["kind"]) not in OFF}
        if rules and document["evaluated"]:
            holds = rules & set(EXISTS) and document["kind"] not in NEVER_HELD
            found[document["kind"], document["key"].lower()] = "held" if holds else "flagged"
    return found


def found(hub):
    """The same, as the hub has it."""
    return {(row["entity"], row["key"]): row["state"] for row in hub.query(
        "SELECT entity, key, state FROM exact.judgement WHERE state <> 'unread'")}


def settle(hub, what, wanted, seconds):
    """Waits until the hub says of each document what is wanted."""
    def same():
        return hub.value("SELECT count(*) FROM exact.unjudged") == "0" and found(hub) == wanted
    try:
        hub.wait_for(what, same, seconds, 1)
    except Failed as failure:
        have = found(hub)
        raise Failed(f"{what}: missed {sorted(set(wanted.items()) - set(have.items()))[:9]}, too much "
                     f"{sorted(set(have.items()) - set(wanted.items()))[:9]}", failure.log) from None


def breakable(exact, rule):
    """The kinds of documents that a rule is for, as the simulator says when it is asked for another."""
    try:
        exact.post("break", division=exact.divisions[0], rule=rule, kind="none")
    except RuntimeError as refused:
        return [kind for kind in KINDS if kind in str(refused)]
    raise Failed(f"{rule} is for documents of no kind")


@dataclass
class Plan(StormPlan):
    documents: int = 2000
    bad: float = 0.0            # percent of the documents, for each rule
    divisions: int = 2
    records: int = 300
    between: float = 0.25       # of the kills: after the missing dimensions have arrived


class Documents(Storm):
    """The documents, their verdicts, and what became of those that waited."""

    def __init__(self, hub, plan):
        super().__init__(hub, plan)
        self.draw = random.Random(f"documents {plan.seed}")
        self.made = 0
        self.spoiled, self.names, self.kinds, self.situations = set(), {}, {}, collections.Counter()
        self.alarms, self.wrong, self.looked = {}, [], 0.0
        self.seqs, self.problems = {}, []

    # ---- what is made ----

    def make_states(self):
        """A blocked account, one that wants a cost center, an ended cost center; when the hub has seen them."""
        hub, wanted = self.hub, 0
        for division in hub.exact.divisions if self.plan.bad else ():
            for rule, resource, op in (("gl_account_blocked", "financial/GLAccounts", "block"),
                                       ("cost_center_required", "financial/GLAccounts", "require"),
                                       ("cost_center_ended", "hrm/Costcenters", "end")):
                [made] = hub.exact.post("dimension", division=division, resource=resource, op="create")["done"]
                hub.exact.post("dimension", division=division, resource=resource, op=op, keys=[made["key"]])
                self.names[division, rule] = {"of": [made["code" if op == "end" else "key"]]}
                wanted += 1
        before = int(hub.value("SELECT count(*) FROM exact.dimension_state"))
        for _ in range(10):
            hub.sync(self.patience)
            if int(hub.value("SELECT count(*) FROM exact.dimension_state")) >= before + wanted:
                return
        raise Failed("the hub does not see the states of the dimensions", hub.cluster.log)

    def spoil(self, division, rule, count):
        """Documents that break a rule, shared out over the kinds that it is for."""
        kinds = self.kinds.get(rule) or self.kinds.setdefault(rule, breakable(self.hub.exact, rule))
        for kind, n in collections.Counter(self.draw.choice(kinds) for _ in range(count)).items():
            named = self.names.get((division, rule), {"distinct": NAMES})
            made = self.hub.exact.post("break", division=division, rule=rule, kind=kind, count=n, seed=self.made,
                                       **named)
            self.spoiled |= {key.lower() for key in made["keys"]}
            if rule in EXISTS:
                pool = named.get("missing", []) + [missing["value"] for missing in made["missing"]]
                self.names[division, rule] = {"missing": list(dict.fromkeys(pool))[:NAMES]}
            self.made += n

    def handful(self):
        """Correct documents and the share of such as break a rule, in one division."""
        division = self.draw.choice(self.hub.exact.divisions)
        bad = round(HANDFUL * self.plan.bad / 100)
        rules = (*EXISTS, *STATES, *SUMS) if bad else ()
        count = min(HANDFUL - bad * len(rules), self.plan.documents - self.made)
        made = self.hub.exact.post("generate", division=division, count=count, seed=self.plan.seed)
        self.made += count
        self.situations.update(made["situations"])
        for rule in rules:
            self.spoil(division, rule, bad)

    def blow(self):
        hub, plan = self.hub, self.plan
        self.make_states()
        hub.exact.post("config", **NOTIFICATIONS)
        if hub.exact.get("config")["webhook_retry_form"] == "growing":
            hub.exact.post("config", webhook_retries=4)
        self.begun = time.monotonic()
        self.later = round(plan.kills * plan.between) if plan.bad else 0
        at = sorted(self.draw.uniform(0.05, 1) * plan.documents for _ in range(plan.kills - self.later))
        while self.made < plan.documents:
            self.handful()
            while at and at[0] <= self.made:
                at.pop(0)
                self.kill()
            self.look()
        self.took = time.monotonic() - self.begun

    def kill(self):
        victim = ("fetcher", "loader")[sum(self.kills.values()) % 2]
        begun = time.monotonic()
        kill(self.hub, victim)
        self.hub.wait_for(f"the workers run after kill -9 of the {victim}", lambda: working(self.hub, WORKERS), 60)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        self.kills[victim] += 1

    def look(self, every=LOOK):
        """Remembers each document that is held or marked now, and says how far it is."""
        if time.monotonic() - self.looked < every:
            return
        self.looked = time.monotonic()
        with contextlib.suppress(SqlError):
            rows = self.hub.query("SELECT entity, key, state, problems::text FROM exact.judgement "
                                  "WHERE state IN ('held', 'flagged')")
            for row in rows:
                self.alarms.setdefault((row["entity"], row["key"], row["state"]), row["problems"])
            dirty, unjudged, open_ = self.hub.psql(
                "SELECT (SELECT count(*) FROM exact.dirty_key), (SELECT count(*) FROM exact.unjudged), "
                "(SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL)").strip().split("|")
            say_line(f"documents  {self.made:,} made, {int(dirty):,} keys to be read, {unjudged} batches to be judged, "
                     f"{open_} to be delivered, {len(rows):,} held or marked   "
                     f"{seconds_text(time.monotonic() - self.begun)}", over=True)

    # ---- what the hub says of them ----

    def settle(self, seconds):
        super().settle(seconds)
        self.look(0)

    def truth(self):
        return {key: state for division in self.hub.exact.divisions
                for key, state in expected(self.hub.exact, division).items()}

    def in_delta(self):
        """{kind: {document: _seq}} of the living documents that the current tables show; a _seq never falls."""
        shown = {}
        for kind in KINDS:
            rows = [row for row in self.hub.databricks.rows(self.hub.table(kind)) if not _is(row["_deleted"])]
            shown[kind] = {row["EntryID"].lower() if kind == LEDGER else row["_key"] for row in rows}
            for row in rows:
                if self.seqs.get((kind, row["_key"]), 0) > int(row["_seq"]):
                    self.problems.append(f"{kind} {row['_key']}: _seq {row['_seq']} after a higher one")
                self.seqs[kind, row["_key"]] = int(row["_seq"])
        return shown

    def made_there(self):
        """{kind: documents that Exact Online holds}"""
        found = {kind: set() for kind in KINDS}
        for division in self.hub.exact.divisions:
            for document in self.hub.exact.get("documents", division=division, rows=0)["documents"]:
                found[document["kind"]].add(document["key"].lower())
        return found

    def judged(self, what):
        """The verdicts are the simulator's, and what is not held is shown."""
        wanted = self.truth()
        settle(self.hub, what, wanted, self.patience)
        self.look(0)
        held = {key for key, state in wanted.items() if state == "held"}
        there, shown = self.made_there(), {}

        def all_shown():
            shown.update(self.in_delta())
            return all(there[kind] - shown[kind] == {key for of, key in held if of == kind} for kind in KINDS)
        try:
            self.hub.wait_for("all but the held ones is shown", all_shown, self.patience, 2)
        except Failed as failure:
            for kind in KINDS:
                lacks, of_kind = there[kind] - shown[kind], {key for of, key in held if of == kind}
                if lacks != of_kind:
                    self.problems.append(f"{kind}: waits and is not to: {sorted(lacks - of_kind)[:3]}, is shown and "
                                         f"is held: {sorted(of_kind - lacks)[:3]}")
            raise Failed("\n".join([str(failure).splitlines()[0], *self.problems]), failure.log) from None
        states = collections.Counter(wanted.values())
        say(f"{what:<14} {self.made:,} documents: {states['held']:,} held, {states['flagged']:,} marked, as the "
            "simulator says; all others are shown")
        return held

    def release(self, held):
        """The missing dimensions arrive: all that waited is delivered."""
        hub, begun, asked, took = self.hub, time.monotonic(), [0.0], {}
        kills = sorted(self.draw.random() for _ in range(self.later))
        for division in hub.exact.divisions:
            hub.exact.post("dimension", division=division, op="arrive")

        def gone(what, query):
            with contextlib.suppress(SqlError):     # the server is in recovery
                if time.monotonic() - asked[0] > 30:
                    asked[0] = time.monotonic()
                    hub.psql("SELECT exact.sync_now()")
                left = int(hub.value(query))
                if left < len(held):
                    took.setdefault("first", time.monotonic() - begun)
                if kills and left <= len(held) * (1 - kills[0]):
                    kills.pop(0)
                    self.kill()
                took[what] = time.monotonic() - begun
                return left == 0
        for what, query in (("judged", "SELECT count(*) FROM exact.judgement WHERE state IN ('held', 'doubt')"),
                            ("delivered", "SELECT count(*) FROM exact.verdict WHERE again")):
            hub.wait_for(f"all is {what}", lambda w=what, q=query: gone(w, q), self.patience)
        loaded = collections.defaultdict(set)
        for kind in KINDS:
            for row in hub.databricks.rows(hub.table(kind)):
                if (kind, row["_key"]) in held:
                    loaded[kind].add(row["_loaded_at"])
        statements = max(map(len, loaded.values()))
        say(f"released       {len(held):,} documents: the first judged {took['first']:.1f} s after the dimensions, "
            f"the last after {took['judged']:.1f} s, all delivered {took['delivered'] - took['judged']:.1f} s later, "
            f"by {statements} statements a table at most")

    def marks(self):
        """What is marked in Delta is what the simulator says, and nothing else."""
        wanted, marked = collections.defaultdict(set), collections.defaultdict(set)
        for kind, key in self.truth():
            wanted[kind].add(key)
        for kind in KINDS:
            for row in self.hub.databricks.rows(self.hub.table(kind)):
                if not _is(row["_valid"]) and not _is(row["_deleted"]):
                    marked[kind].add(row["EntryID"].lower() if kind == LEDGER else row["_key"])
            if wanted[kind] != marked[kind]:
                self.problems.append(f"{kind}: not marked {sorted(wanted[kind] - marked[kind])[:3]}, marked and right "
                                     f"{sorted(marked[kind] - wanted[kind])[:3]}")
        say(f"marks          {sum(map(len, marked.values())):,} documents are marked in Delta: "
            + ("those that break a rule" if not self.problems else "\n  ".join(self.problems)))

    def compare(self):
        report = super().compare()
        # the code of an account is joined in when a row is read: rows that were read before it came are without it
        report.differences = [line for line in report.differences if not (
            line.startswith(LEDGER) and "GLAccountCode is None" in line)]
        return report

    def mend(self):
        """Somebody corrects every document that breaks a rule."""
        for division in self.hub.exact.divisions:
            self.hub.exact.post("mend", division=division)
        self.calm()
        self.judged("mended")

    def verdict(self):
        ever = self.spoiled | {key for _, key in self.truth()}
        self.wrong = [f"{entity} {key} was {state}: {why}" for (entity, key, state), why in self.alarms.items()
                      if key not in ever]
        say(f"documents      {self.made:,} in {len(self.situations)} situations of {len(KINDS)} kinds, made in "
            f"{seconds_text(self.took)}, {len(self.spoiled):,} of them to break a rule; {len(self.alarms):,} were held "
            f"or marked at some look, {len(self.wrong)} of them without a reason"
            + "".join(f"\n  {line[:300]}" for line in self.wrong[:10]))
        self.marks()
        good = super().verdict()
        return good and not self.wrong and not self.problems


def _is(value):
    return str(value).lower() == "true"


def start(directory, plan):
    """A run by time of change reads again what changed within its overlap, here all: it is asked for at the end."""
    return launch(directory, plan, settings={"exact_databricks.sync_interval": "1h"})


def blow(made):
    """From the first document to the verdict, which it returns."""
    made.blow()
    made.calm()
    held = made.judged("judged")
    if held:
        made.release(held)
        made.calm()
        made.judged("after it")
        made.mend()
    return made.verdict()


def one(plan, directory):
    hub = start(directory, plan)
    try:
        took = first_load(hub, plan.patience or PATIENCE[plan.engine])
        say(f"first load     {sum(hub.exact.info['records'].values()):,} records in {seconds_text(took)}")
        return blow(Documents(hub, plan))
    except Failed as failure:
        failure.lines = last_lines(failure)
        raise
    finally:
        for part in (hub, hub.exact, hub.databricks):
            part.stop()


def plan_of(given):
    weather = Weather(given.weather, tuple(SERVICES) if given.side == "both" else (given.side,))
    for side, name, share in given.form:
        weather.forms.setdefault(side, {})[name] = share
    return Plan(changes=given.documents, documents=given.documents, bad=given.bad, kills=given.kills,
                divisions=given.divisions, records=given.records, seed=given.seed, engine=given.engine, weather=weather,
                patience=given.patience)


def documents(given):
    plan = plan_of(given)
    say(f"exact_databricks documents: {plan.documents:,}, {plan.bad:g} % break each rule, {plan.kills} kills, "
        f"{plan.divisions} divisions, engine {plan.engine}, seed {plan.seed}, weather {given.weather:g}")
    return 0 if one(plan, pathlib.Path(given.directory)) else 1


def main():
    parser = arguments("documents", "Documents of every kind; at the end what the hub said of each is compared with "
                       "the truth.")
    for name, kind in (("documents", int), ("bad", float), ("kills", int), ("divisions", int), ("records", int),
                       ("seed", int), ("patience", int)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Plan, name), metavar="N")
    parser.add_argument("--weather", type=float, default=0.0, metavar="SHARE")
    parser.add_argument("--side", choices=("both", *SERVICES), default="exact")
    parser.add_argument("--form", type=parse_form, action="append", default=[], metavar="[SIDE:]FORM[=SHARE]")
    given = parser.parse_args()
    return run("documents", lambda: documents(given))


if __name__ == "__main__":
    sys.exit(main())
