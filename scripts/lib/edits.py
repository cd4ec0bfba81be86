"""
Random edits of dimensions on three sides, then quiet, then the three sides compared. What scripts/edits runs.

Nothing here knows how the hub decides: at the end a field has one of the values that somebody gave it, the same on all
sides; each edit of the hub or of Delta that is not there stands in exact.dimension_change with what became of it; and
what Exact Online has carried out is counted from its own list of writes. With the rule "ask" somebody says yes, says no
or lets it wait: after a yes Exact Online has the value, after a no it never gets it, and until then nobody is sent it.
"""
import collections
import contextlib
import json
import pathlib
import random
import re
import sys
import time
from dataclasses import dataclass

from cluster import SqlError, literal
from command import arguments, last_lines, run, say, say_line, seconds_text
from hub import Hub, simulators
from kills import WORKERS, kill, working
from processes import Failed

DIMENSIONS = {"costcenter": ("cost_center", "hrm/Costcenters"), "costunit": ("cost_unit", "hrm/Costunits"),
              "glaccount": ("gl_account", "financial/GLAccounts")}
# what is edited: field: how a value is drawn
FIELDS = {"costcenter": ("Description", "EndDate"), "costunit": ("Description", "EndDate"),
          "glaccount": ("Description", "SearchCode", "IsBlocked")}
SIDES = ("exact", "hub", "delta")
UNLIMITED = ("--minute-limit", 100000, "--day-limit", 10000000, "--error-limit", 0, "--token-day-limit", 0,
             "--min-refresh-age", 5)
CALLS_MAX, ENOUGH = 1.1, 500     # writes an accepted edit, once so many were accepted
OPEN = "('shown', 'proposed', 'conflict', 'approved')"


@dataclass
class Plan:
    rounds: int = 200
    edits: int = 25
    kills: int = 0
    divisions: int = 2
    records: int = 500
    seed: int = 1
    engine: str = "none"
    rule: str = "exact wins"
    lost: float = 0.1
    between: float = 0.2        # of the edits in Delta: placed between the hub's reading and its MERGE
    patience: int = 300


class Edit:
    """One edit of one field; `value` as text, None: nothing."""

    def __init__(self, side, entity, division, key, field, value):
        self.side, self.entity, self.division, self.key, self.field, self.value = (side, entity, division, key, field,
                                                                                   value)
        # nobody else gives this value, so that what became of it can be told
        self.alone = value is not None and field != "IsBlocked"

    def __str__(self):
        return f"{self.side}: {self.entity} {self.division} {self.key} {self.field} = {self.value!r}"


def plain(field, value):
    """A value of any side as the text that is compared."""
    if value is None or value == "":
        return None
    text = str(value)
    if field == "EndDate":
        made = re.fullmatch(r"/Date\((-?\d+)\)/", text)
        return time.strftime("%Y-%m-%d", time.gmtime(int(made.group(1)) / 1000)) if made else text[:10]
    if field == "IsBlocked":
        return {"t": "true", "f": "false", "True": "true", "False": "false"}.get(text, text.lower())
    return text.strip() if field == "SearchCode" else text


def body(sent):
    """A body as one text, however it was written."""
    return json.dumps(json.loads(sent) if isinstance(sent, str) else sent, sort_keys=True, default=float)


class Edits:
    def __init__(self, hub, plan):
        self.hub, self.plan = hub, plan
        self.draw = random.Random(f"edits {plan.seed}")
        self.counter, self.made, self.given = 0, [], collections.defaultdict(set)
        self.kills, self.missing, self.problems, self.placed = 0, 0, [], []
        # changes of the rule "ask": what was said last, all that ever got a yes, how often each was said
        self.said, self.approved, self.answers = {}, set(), collections.Counter()

    # ---- what is there ----

    def truth(self, entity, division):
        return {record["key"].lower(): record["row"] for record in self.hub.exact.truth(
            division, DIMENSIONS[entity][1]) if not record["deleted"]}

    def pick(self):
        """A living record and a field of it, of any dimension."""
        entity = self.draw.choice(list(DIMENSIONS))
        division = self.draw.choice(self.hub.exact.divisions)
        return entity, division, self.draw.choice(self.keys[entity, division]), self.draw.choice(FIELDS[entity])

    def value(self, field):
        self.counter += 1
        if field == "EndDate":
            day = f"{2030 + self.counter % 60}-{1 + self.counter // 60 % 12:02d}-15"
            return None if self.draw.random() < 0.2 else day
        if field == "IsBlocked":
            return self.draw.choice(("true", "false"))
        return f"{self.draw.choice(('Straße', 'Depot', 'O''Brien', 'Büro', 'x'))} {self.counter}"

    # ---- the three hands ----

    def edit(self, edit):
        getattr(self, "edit_" + edit.side)(edit)
        self.made.append(edit)
        self.given[edit.entity, edit.division, edit.key, edit.field].add(plain(edit.field, edit.value))

    def edit_exact(self, edit):
        value = edit.value
        if edit.field == "EndDate" and value is not None:
            value += "T00:00:00"
        if edit.field == "IsBlocked":
            value = value == "true"
        self.hub.exact.change(edit.division, DIMENSIONS[edit.entity][1], "update", edit.key, fields={edit.field: value})

    def edit_hub(self, edit):
        statement = (f"UPDATE exact.{DIMENSIONS[edit.entity][0]} SET {edit.field} = {literal(edit.value)} "
                     f"WHERE division = {edit.division} AND id = '{edit.key}'")
        for attempt in range(60):
            try:
                self.hub.psql(statement)
                return
            except SqlError:
                if attempt == 59:
                    raise
                time.sleep(1)       # the server is in recovery

    def delta_statement(self, edit):
        value = "NULL" if edit.value is None else edit.value if edit.field == "IsBlocked" else literal(edit.value)
        if edit.field == "EndDate" and edit.value is not None:
            value = f"DATE {value}"
        return (f"UPDATE {self.hub.table(edit.entity)} SET `{edit.field}` = {value} WHERE `_division` = "
                f"{edit.division} AND `_key` = '{edit.key}'")

    def edit_delta(self, edit):
        """As a person does: once more when the hub has written the table at that moment."""
        for attempt in range(10):
            try:
                self.hub.databricks.sql(self.delta_statement(edit))
                return
            except RuntimeError as error:
                if "DELTA_CONCURRENT" not in str(error) or attempt == 9:
                    raise

    # ---- a round ----

    def round(self, number):
        """A handful of edits, each record and field by one or by several hands; then the hub is asked to read."""
        done, taken = 0, set()
        while done < self.plan.edits:
            place = self.pick()
            if place in taken:
                continue
            taken.add(place)
            hands = self.draw.sample(SIDES, self.draw.choices((1, 2, 3), (8, 3, 1))[0])
            for side in hands:
                self.edit(Edit(side, *place, self.value(place[3])))
                done += 1
            if self.draw.random() < self.plan.lost * 0.6:     # of the hands, so many become a write
                self.lose()
        if number % 2:
            self.ask("SELECT exact.read_dimensions(), exact.sync_now()")

    def ask(self, statement):
        with contextlib.suppress(SqlError):     # the server is in recovery: the hub's own timers come later
            self.hub.psql(statement)

    def lose(self):
        """The next write of a resource loses its answer, before or after it is done."""
        resource = self.draw.choice(list(DIMENSIONS.values()))[1]
        action = self.draw.choice(("reset_before", "reset_after"))
        self.hub.exact.fault(resource, action, method="PUT", times=1)

    def between(self):
        """An edit in Delta right before the next MERGE into a table, after the hub has read it."""
        place = self.pick()
        edit = Edit("delta", *place, self.value(place[3]))
        fault = self.hub.databricks.post("faults", action="between", statement=f"MERGE INTO .*{edit.entity}`? AS t",
                                         sql=self.delta_statement(edit), times=1)
        self.placed.append((fault["id"], edit))
        # something makes a MERGE of that table
        other = self.draw.choice([key for key in self.keys[edit.entity, edit.division] if key != edit.key])
        field = FIELDS[edit.entity][0]
        self.edit(Edit("exact", edit.entity, edit.division, other, field, self.value(field)))

    def take_placed(self):
        """Those that a MERGE has met were made."""
        hits = {fault["id"]: fault["applied"] for fault in self.hub.databricks.get("faults")["faults"]}
        for fault, edit in self.placed:
            if hits.get(fault, 1):
                self.made.append(edit)
                self.given[edit.entity, edit.division, edit.key, edit.field].add(plain(edit.field, edit.value))
        self.hub.databricks.clear_faults()

    def kill(self):
        victim = ("fetcher", "loader", "postmaster")[self.kills % 3]
        kill(self.hub, victim)
        self.kills += 1
        self.hub.wait_for(f"the workers run after kill -9 of the {victim}", lambda: working(self.hub, WORKERS[:2]), 60)

    def blow(self):
        self.first = {(entity, division): self.truth(entity, division) for entity in DIMENSIONS
                      for division in self.hub.exact.divisions}
        self.keys = {place: sorted(records) for place, records in self.first.items()}
        begun, every = time.monotonic(), max(1, self.plan.rounds // (self.plan.kills + 1))
        for number in range(self.plan.rounds):
            self.round(number)
            if self.draw.random() < self.plan.between:
                self.between()
            if self.plan.kills and number % every == every - 1 and self.kills < self.plan.kills:
                self.kill()
            if number % 5 == 4:
                self.quiet()        # so that edits of later rounds meet settled records, too
            say_line(f"edits  {number + 1} of {self.plan.rounds} rounds   {len(self.made):,} edits   "
                     f"{seconds_text(time.monotonic() - begun)}", over=number + 1 < self.plan.rounds)
        self.hub.exact.clear_faults()
        self.take_placed()
        self.quiet()
        self.took = time.monotonic() - begun

    # ---- quiet ----

    def open(self):
        waits = ", ".join(str(n) for n, verb in self.said.items() if verb == "wait")
        return self.hub.psql(f"""SELECT (SELECT count(*) FROM exact.dimension_change WHERE state IN {OPEN}
                AND NOT (state IN ('conflict', 'proposed') AND id = ANY ('{{{waits}}}'))),
            (SELECT count(*) FROM exact.dimension_write WHERE state <> 'ended'),
            (SELECT count(*) FROM exact.dimension_again), (SELECT count(*) FROM exact.dirty_key),
            (SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL),
            (SELECT count(*) FROM exact.request WHERE state IN ('queued', 'running'))""").strip()

    def decide(self, waiting):
        """As an admin would: of two edits of a field the later one, and what came in a great number."""
        if self.plan.rule != "ask":
            self.hub.psql("SELECT exact.approve(id) FROM (SELECT max(id) AS id FROM exact.dimension_change "
                          "WHERE state IN ('conflict', 'proposed') GROUP BY division, entity, key, field) AS c")
            return
        places = set()
        for change in self.hub.query("SELECT id, division, entity, key, field FROM exact.dimension_change "
                                     "WHERE state IN ('conflict', 'proposed') ORDER BY random()"):
            place = tuple(change.values())[1:]
            if place in places or self.said.get(change["id"]) == "wait":
                continue
            verb = self.draw.choices(("approve", "reject", "wait"), (4, 3, 3 if waiting else 0))[0]
            if verb != "wait":
                self.hub.psql(f"SELECT exact.{verb}({change['id']})")
            if verb == "approve":
                places.add(place)       # what else is wanted there has got its no by that
                self.approved.add(change["id"])
            self.said[change["id"]] = verb
            self.answers[verb] += 1

    def is_quiet(self, waiting):
        try:
            self.decide(waiting)
            self.unquiet = self.open()
            return set(self.unquiet.split("|")) == {"0"}
        except SqlError as error:
            self.unquiet = str(error)
            return False

    def quiet(self, waiting=True):
        """Both sides are read until a reading finds nothing more to do."""
        before, self.said = None, {}
        for _ in range(12):
            self.hub.sync(self.plan.patience)
            request = self.hub.value("SELECT exact.read_dimensions()")
            self.hub.value(f"SELECT exact.wait({request}, '{self.plan.patience} s')", seconds=self.plan.patience + 10)
            try:
                self.hub.wait_for("no edit is open", lambda: self.is_quiet(waiting), self.plan.patience)
            except Failed as failure:
                rows = "\n".join(f"{name}: {self.hub.psql(f'SELECT * FROM exact.{name} {where} LIMIT 20').strip()}"
                                 for name, where in (
                    ("dimension_change", f"WHERE state IN {OPEN}"), ("dimension_write", "WHERE state <> 'ended'"),
                    ("dimension_again", ""), ("dirty_key", ""), ("batch", "WHERE delivered_at IS NULL"),
                    ("request", "WHERE state IN ('queued', 'running')")))
                raise Failed(f"{failure}\nopen: {self.unquiet}\nsaid: {self.said}\n{rows}", failure.log) from None
            now = self.hub.psql("SELECT (SELECT max(id) FROM exact.dimension_change), "
                                "(SELECT max(id) FROM exact.dimension_write), last_value FROM exact.version_counter")
            if now == before:
                self.obeyed()
                return
            before = now
        raise Failed("the hub finds edits again and again: an echo", self.hub.cluster.log)

    def obeyed(self):
        """What was said since it was loud last has come true: in Exact Online, and by what the hub says of it."""
        if not self.said:
            return
        edited = {(e.entity, e.division, e.key, e.field) for _, e in self.placed}
        for row in self.hub.query(f"""SELECT c.*, NOT EXISTS (SELECT FROM exact.dimension_change AS l
                    WHERE l.division = c.division AND l.entity = c.entity AND l.key = c.key AND l.field = c.field
                        AND l.state = 'done' AND l.ended_at > c.ended_at) AS newest
                FROM exact.dimension_change AS c WHERE c.id IN ({', '.join(map(str, self.said))})"""):
            verb, place = self.said[row["id"]], (row["entity"], int(row["division"]), row["key"], row["field"])
            there = plain(row["field"], self.truth(*place[:2])[row["key"]].get(row["field"]))
            wanted = plain(row["field"], row["wanted"])
            ends = {"approve": ("done", "refused"), "reject": ("rejected",),
                    "wait": ("conflict", "proposed", "rejected", "done")}[verb]
            if row["state"] not in ends or (row["state"] == "done" and verb == "wait"
                                            and row["reason"] != "Exact Online has it already"):
                self.problems.append(f"change {row['id']} of {place}: {verb}, and it is {row['state']}: "
                                     f"{row['reason']}")
            elif row["state"] == "done" and row["newest"] and there != wanted and place not in edited:
                self.problems.append(f"change {row['id']} of {place} is done, and Exact Online has {there!r} and not "
                                     f"{wanted!r}")

    # ---- the verdict ----

    def compare(self):
        """The three sides, field by field; whether each value is one that somebody gave."""
        compared, waits = 0, collections.defaultdict(set)
        for row in self.hub.query("SELECT division, entity, key, field, wanted FROM exact.dimension_change "
                                  f"WHERE side = 'delta' AND state IN {OPEN}"):
            waits[row["entity"], int(row["division"]), row["key"], row["field"]].add(
                plain(row["field"], row["wanted"]))
        for entity, (table, _) in DIMENSIONS.items():
            delta = {(int(row["_division"]), row["_key"]): row for row in self.hub.databricks.rows(
                self.hub.table(entity)) if row["_key"] is not None}
            fields = FIELDS[entity]
            here = {(int(row["division"]), row["id"]): row for row in self.hub.query(
                f"SELECT division, id, {', '.join(fields)} FROM exact.{table}")}
            for division in self.hub.exact.divisions:
                for key, record in self.truth(entity, division).items():
                    for field in fields:
                        values = [plain(field, record.get(field)), plain(field, here[division, key][field.lower()]),
                                  plain(field, delta[division, key][field])]
                        compared += 1
                        place = f"{entity} {division} {key} {field}"
                        # an edit in Delta that waits stands there until the row's next version
                        if len(set(values[:2])) > 1 or values[2] not in {values[0]} | waits[
                                entity, division, key, field]:
                            self.problems.append(f"{place}: Exact Online, hub, Delta have {values}")
                        given = self.given.get((entity, division, key, field))
                        if given and self.plan.rule == "ask":       # each edit of it may have got a no
                            given = given | {plain(field, self.first[entity, division][key].get(field))}
                        if given and values[0] not in given:
                            self.problems.append(f"{place} is {values[0]!r}, which nobody gave it: {given}")
        return compared

    def told(self):
        """Each edit of the hub or of Delta that Exact Online does not have is shown with a verdict."""
        shown = collections.defaultdict(list)
        for row in self.hub.query("SELECT division, entity, key, field, side, wanted, state "
                                  "FROM exact.dimension_change WHERE field IS NOT NULL"):
            shown[row["entity"], int(row["division"]), row["key"], row["field"], row["side"],
                  plain(row["field"], row["wanted"])].append(row["state"])
        writes = collections.Counter(state for states in shown.values() for state in states)
        current = {}
        for edit in (e for e in self.made if e.side != "exact" and e.alone):
            place = edit.entity, edit.division, edit.key, edit.field
            if shown.get((*place, edit.side, plain(edit.field, edit.value))):
                continue
            # the same value as somebody else's, or as it was: nothing to tell
            if place not in current:
                current[place] = plain(edit.field, self.truth(edit.entity, edit.division)[edit.key].get(edit.field))
            others = [e for e in self.made if e is not edit and (e.entity, e.division, e.key, e.field) == place]
            if plain(edit.field, edit.value) == current[place] or any(
                    plain(e.field, e.value) == plain(edit.field, edit.value) or e.side == edit.side for e in others):
                continue
            self.missing += 1
            self.problems.append(f"an edit is lost in silence: {edit}")
        return writes

    def carried_out(self):
        """What Exact Online did: each write of the hub at most once."""
        writes = [w for w in self.hub.exact.get("writes")["writes"] if "/webhooks/" not in w["path"]]
        done = collections.Counter((w["path"], body(w["body"])) for w in writes if w["done"])
        wanted = collections.Counter()
        for row in self.hub.query("SELECT division, entity, key, method, body FROM exact.dimension_write"):
            path = f"/api/v1/{row['division']}/{DIMENSIONS[row['entity']][1]}"
            wanted[path + (f"(guid'{row['key']}')" if row["method"] == "PUT" else ""), body(row["body"])] += 1
        for what, n in done.items():
            if n > wanted[what]:
                self.problems.append(f"written {n} times, wanted {wanted[what]}: {what}")
        paths = {re.sub(r"\(guid'.*", "", re.sub(r"^/api/v1/\d+/", "", w["path"])) for w in writes}
        if paths - {resource for _, resource in DIMENSIONS.values()}:
            self.problems.append(f"written elsewhere: {paths}")
        if self.plan.rule == "ask":
            self.asked(writes)
        return len(writes), sum(done.values())

    def asked(self, writes):
        """Nothing that two wanted goes without a yes."""
        sent = collections.defaultdict(set)
        for write in writes:
            if write["method"] == "PUT" and write["done"]:
                fields = json.loads(write["body"]) if isinstance(write["body"], str) else write["body"]
                for field, value in fields.items():
                    sent[write["path"].split("guid'")[1][:36], field].add(plain(field, value))
        for row in self.hub.query(f"""SELECT c.id, c.entity, c.key, c.field, c.wanted, c.decision, c.state, c.reason
                FROM exact.dimension_change AS c
                WHERE c.field NOT IN ('IsBlocked') AND c.wanted IS NOT NULL
                    AND (c.decision IN ('ask', 'rejected') OR c.state IN {OPEN})
                    -- sent when nobody else wanted the field yet, and its answer was lost
                    AND NOT EXISTS (SELECT FROM exact.dimension_write AS w
                        WHERE w.division = c.division AND w.entity = c.entity AND w.key = c.key
                            AND w.attempts > 0 AND w.outcome = 'conflict')"""):
            if row["id"] not in self.approved and plain(row["field"], row["wanted"]) in sent[row["key"], row["field"]]:
                self.problems.append(f"written without a yes: {dict(row)}")
        for row in self.hub.query("""SELECT n.id, n.entity, n.key, n.field, n.wanted, n.state, o.id AS other
                FROM exact.dimension_change AS n
                JOIN exact.dimension_change AS o ON o.division = n.division AND o.entity = n.entity
                    AND o.key = n.key AND o.field = n.field AND o.side <> n.side AND o.id < n.id
                    AND coalesce(o.ended_at, 'infinity') > n.found_at
                WHERE n.decision = 'auto' AND n.wanted IS DISTINCT FROM o.wanted"""):
            self.problems.append(f"goes by itself though another side wants the field: {dict(row)}")

    def verdict(self):
        compared = self.compare()
        if self.plan.rule == "ask":
            self.waited = int(self.hub.value("SELECT count(*) FROM exact.dimension_change WHERE state IN "
                                             "('conflict', 'proposed')"))
            self.quiet(waiting=False)
            compared += self.compare()
        states = self.told()
        sent, done = self.carried_out()
        accepted = states["done"] or 1
        reads, looks, batches = map(int, self.hub.psql(
            "SELECT count(*) FILTER (WHERE path LIKE '%?$filter=% keys'), "
            "count(*) FILTER (WHERE path LIKE '%?$filter=Code eq %'), "
            "(SELECT count(DISTINCT (division, entity, asked_at)) FROM exact.dimension_write) "
            "FROM exact.api_call WHERE method = 'GET'").split("|"))
        if accepted >= ENOUGH and sent > CALLS_MAX * accepted:
            self.problems.append(f"{sent / accepted:.2f} writes an accepted edit, more than {CALLS_MAX}")
        say(f"edits          {len(self.made):,} in {self.plan.rounds} rounds and {seconds_text(self.took)}: "
            + ", ".join(f"{sum(e.side == side for e in self.made):,} in {side}" for side in SIDES))
        say(f"changes        {', '.join(f'{n:,} {state}' for state, n in states.most_common())}")
        for line in self.hub.psql("SELECT format('%s of %s: %s', field, entity, reason) FROM exact.dimension_change "
                                  "WHERE state IN ('refused', 'dropped') LIMIT 5").splitlines():
            say(f"  not taken    {line}")
        say(f"writes         {sent:,} calls sent, {done:,} carried out, {sent / accepted:.2f} an accepted edit; "
            f"{batches:,} batches, {reads:,} reads by key, {looks:,} by code")
        if self.plan.rule == "ask":
            say(f"asked          {', '.join(f'{n:,} {verb}' for verb, n in sorted(self.answers.items()))}; "
                f"{self.waited:,} waited at the first comparison")
        if self.kills:
            say(f"kills          {self.kills}")
        say(f"comparison     {compared:,} fields on three sides: "
            + ("equal, no edit lost, no write repeated" if not self.problems
               else "\n  ".join([f"{len(self.problems)} problems", *self.problems[:20]])))
        return not self.problems


def launch(directory, plan):
    exact, databricks = simulators(directory, ("--fast", "--preset", "finance", "--records", plan.records,
                                               "--divisions", plan.divisions, "--seed", plan.seed, "--token-mode",
                                               "forgiving", *UNLIMITED),
                                   ("--engine", plan.engine, "--seed", plan.seed))
    hub = Hub(directory / "hub", exact, databricks, settings={
        "exact_databricks.sync_interval": "5s", "exact_databricks.merge_interval": "200ms"})
    hub.set_up()
    hub.psql(f"UPDATE exact.workspace SET write_back = 'auto', on_conflict = {literal(plan.rule)}")
    hub.enable(entities=tuple(DIMENSIONS))
    return hub


def edits(given):
    plan = Plan(given.rounds, given.edits, given.kills, given.divisions, given.records, given.seed, given.engine,
                given.rule, given.lost, given.between, given.patience)
    say(f"exact_databricks edits: {plan.rounds} rounds of {plan.edits}, {plan.kills} kills, "
        f"{plan.divisions} divisions, engine {plan.engine}, {plan.rule}, seed {plan.seed}")
    hub = launch(pathlib.Path(given.directory), plan)
    try:
        hub.wait_loaded(plan.patience + 600)
        made = Edits(hub, plan)
        made.blow()
        return 0 if made.verdict() else 1
    except Failed as failure:
        failure.lines = last_lines(failure)
        raise
    finally:
        for part in (hub, hub.exact, hub.databricks):
            part.stop()


def main():
    parser = arguments("edits", "Random edits of dimensions in Exact Online, the hub and Delta; at the end all three "
                       "are compared.")
    for name, kind in (("rounds", int), ("edits", int), ("kills", int), ("divisions", int), ("records", int),
                       ("seed", int), ("lost", float), ("between", float), ("patience", int)):
        parser.add_argument(f"--{name}", type=kind, default=getattr(Plan, name), metavar="N")
    parser.add_argument("--rule", choices=("exact wins", "delta wins", "ask"), default=Plan.rule)
    given = parser.parse_args()
    return run("edits", lambda: edits(given))


if __name__ == "__main__":
    sys.exit(main())
