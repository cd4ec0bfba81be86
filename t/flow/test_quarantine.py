"""Documents are checked against the dimensions before the current table shows them."""
import pytest

ENTITIES = ("glaccount", "costcenter", "costunit", "purchaseentries", "purchaseentrylines", "purchaseorders",
            "purchaseorderlines", "transactionlines")
ENTRIES, CENTERS = "purchaseentry/PurchaseEntries", "hrm/Costcenters"


class Scene:
    def __init__(self, hub):
        self.hub, self.exact = hub, hub.exact
        self.division = hub.exact.divisions[0]
        hub.enable(entities=ENTITIES)
        hub.wait_loaded(300)
        self.account = next(row for row in self.living("financial/GLAccounts")
                            if not row["IsBlocked"] and row["UseCostcenter"] != 1)
        self.like = {name: self.living(ENTRIES)[0][name] for name in ("Supplier", "Journal", "Currency")}

    def living(self, resource):
        return [r["row"] for r in self.exact.truth(self.division, resource) if not r["deleted"]]

    def entry(self, *codes, op="create", key=None, amount=100, **fields):
        """A purchase entry with a line for each cost center; its key."""
        lines = [{"GLAccount": self.account["ID"], "AmountFC": amount, "AmountDC": amount, "VATAmountFC": 0,
                  "VATAmountDC": 0, "CostCenter": code} for code in codes]
        total = amount * len(codes)
        return self.exact.change(self.division, ENTRIES, op, key, lines=lines, fields={
            "AmountFC": total, "AmountDC": total, **(self.like if op == "create" else {}), **fields})["key"].lower()

    def center(self, code, op="create", key=None, **fields):
        return self.exact.change(self.division, CENTERS, op, key, fields={"Code": code, **fields})["key"]

    def rows(self, entity="purchaseentries", key=None, history=False):
        name = self.hub.table(entity) + ("_history" if history else "")
        return [row for row in self.hub.databricks.rows(name)
                if key is None or key in (row["_key"], (row.get("EntryID") or "").lower())]

    def open_rows(self):
        """exact_open, which is made some time after the first delivery."""
        try:
            return self.hub.databricks.rows(f"{self.hub.databricks.info['catalog']}.{self.hub.schema}.exact_open")
        except RuntimeError:
            return []

    def wait(self, what, probe, seconds=60):
        self.hub.wait_for(what, probe, seconds)

    def quarantine(self):
        return self.hub.query("SELECT * FROM exact.quarantine ORDER BY id")

    def held(self, key):
        return [row for row in self.quarantine() if row["key"] == key and row["doubted"] is False]


@pytest.fixture
def scene(request, start_hub):
    def make(*exact, engine="engine_free", **how):
        return Scene(start_hub(request.getfixturevalue(engine), "--preset", "finance", "--records", 60,
                               "--divisions", 1, *exact, **how))
    return make


def test_unknown_cost_center(scene):
    """The document waits as a whole, says why, and goes on by itself when the cost center arrives."""
    s = scene()
    good = s.entry(s.living(CENTERS)[0]["Code"])
    held = s.entry(s.living(CENTERS)[0]["Code"], "NEW1")
    s.wait("the good one", lambda: s.rows(key=good))
    s.wait("it is held", lambda: s.held(held))
    s.wait("history", lambda: s.rows("purchaseentrylines", held, history=True))
    assert not s.rows(key=held) and not s.rows("purchaseentrylines", held)
    [row] = s.held(held)
    assert "Cost center NEW1 is not in Exact Online" in row["problems"] and row["waits_for"] == "costcenter:new1"
    s.wait("history says it", lambda: all(
        str(r["_valid"]).lower() == "false" and r["_problems"].startswith("held: ") and "NEW1" in r["_problems"]
        for r in s.rows("purchaseentrylines", held, history=True) + s.rows(key=held, history=True)))
    s.center("NEW1")
    s.wait("it goes on", lambda: len(s.rows("purchaseentrylines", held)) == 2 and s.rows(key=held))
    s.wait("nothing is held", lambda: not s.quarantine())
    for history in (False, True):
        s.wait("valid", lambda h=history: all(
            str(r["_valid"]).lower() == "true" and r["_problems"] is None
            for r in s.rows("purchaseentrylines", held, h) + s.rows(key=held, history=h)))
    assert len(s.rows(key=held, history=True)) == 1


@pytest.mark.parametrize("engine", ["engine_free", pytest.param("spark", marks=pytest.mark.long)])
def test_held_update(scene, engine):
    """A delivered document keeps its old state with a mark; a newer version, a release or a delete ends that."""
    s = scene(engine=engine)
    code = s.living(CENTERS)[0]["Code"]
    key = s.entry(code)
    s.wait("it is there", lambda: s.rows(key=key) and s.rows("purchaseentrylines", key))
    [old] = s.rows(key=key)
    line = s.rows("purchaseentrylines", key)[0]["_key"]
    s.exact.change(s.division, ENTRIES, "update", key, lines=[{"ID": line, "CostCenter": "NONE"}])
    s.wait("it is held", lambda: s.held(key))
    s.wait("the mark", lambda: all(str(r["_valid"]).lower() == "false" and r["_problems"].startswith("held: ")
                                   for r in s.rows(key=key) + s.rows("purchaseentrylines", key)))
    assert s.rows("purchaseentrylines", key)[0]["CostCenter"].strip() == code.strip()
    assert s.rows(key=key)[0]["_seq"] == old["_seq"]
    [row] = s.held(key)
    s.hub.psql(f"SELECT exact.release({row['id']})")
    s.wait("released", lambda: s.rows("purchaseentrylines", key)[0]["CostCenter"].strip() == "NONE")
    s.wait("flagged", lambda: "NONE" in s.rows("purchaseentrylines", key)[0]["_problems"] and
           not s.rows("purchaseentrylines", key)[0]["_problems"].startswith("held"))
    assert not s.quarantine()
    s.exact.change(s.division, ENTRIES, "update", key, lines=[{"ID": line, "CostCenter": code}])
    s.wait("it is right again", lambda: all(str(r["_valid"]).lower() == "true"
                                            for r in s.rows(key=key) + s.rows("purchaseentrylines", key)))
    s.exact.change(s.division, ENTRIES, "update", key, lines=[{"ID": line, "CostCenter": "NONE"}])
    s.wait("it is held again", lambda: s.held(key))
    s.exact.change(s.division, ENTRIES, "delete", key)
    s.wait("it is gone", lambda: str(s.rows(key=key)[0]["_deleted"]).lower() == "true")
    s.wait("nothing is held", lambda: not s.quarantine())


def test_restart_beside_held_ones(scene):
    """A table is looked at when the loader starts: what is held was never in it, and is not missing."""
    s = scene()
    held = s.entry("NONE")
    s.wait("it is held", lambda: s.held(held))
    s.wait("history", lambda: s.rows("purchaseentrylines", held, history=True) and s.rows(key=held, history=True))
    s.hub.psql("SELECT exact.restart_workers()")
    good = s.entry(s.living(CENTERS)[0]["Code"])
    s.wait("the next one", lambda: s.rows(key=good) and s.rows("purchaseentrylines", good))
    assert not s.hub.query("SELECT entity, reason FROM exact.target_state WHERE paused_since IS NOT NULL")
    assert not s.rows(key=held)
    s.hub.databricks.sql(f"DELETE FROM {s.hub.table('purchaseentries')} WHERE `_key` = '{good}'")
    s.hub.psql("SELECT exact.restart_workers()")
    s.entry(s.living(CENTERS)[0]["Code"])
    s.wait("what is missing is told", lambda: s.hub.query(
        "SELECT 1 FROM exact.target_state WHERE entity = 'purchaseentries' AND sqlstate = 'EX014'"))


def test_rule_switched_to_flag(scene):
    s = scene()
    key = s.entry("NONE")
    s.wait("it is held", lambda: s.held(key))
    s.hub.psql("INSERT INTO exact.rule (name, action) VALUES ('line_cost_center_exists', 'flag')")
    s.wait("it is delivered", lambda: s.rows(key=key) and s.rows("purchaseentrylines", key))
    s.wait("with its mark", lambda: "NONE" in (s.rows("purchaseentrylines", key)[0]["_problems"] or ""))
    assert not s.quarantine()
    s.hub.psql("UPDATE exact.rule SET enabled = false")
    s.wait("without it", lambda: all(str(r["_valid"]).lower() == "true"
                                     for r in s.rows(key=key) + s.rows("purchaseentrylines", key)))
    assert s.hub.value("SELECT count(*) FROM exact.judgement") in (0, "0")


def test_renamed_cost_center(scene):
    """A cost center that was renamed under its documents is read by its code, the document by its key."""
    s = scene()
    center = s.living(CENTERS)[0]
    key = s.entry(center["Code"])
    s.wait("it is there", lambda: s.rows(key=key))
    s.exact.post("recode", division=s.division, resource=CENTERS, key=center["ID"], code="RENAMED")
    s.exact.change(s.division, ENTRIES, "update", key, fields={"Description": "after it was renamed"})
    s.wait("the document", lambda: any(r["Description"] == "after it was renamed" for r in s.rows(key=key)))
    s.wait("valid", lambda: all(str(r["_valid"]).lower() == "true"
                                for r in s.rows(key=key) + s.rows("purchaseentrylines", key)))
    assert not s.quarantine()


def test_states_of_dimensions(scene):
    """A blocked account and an ended cost center mark documents that are made afterwards, and none before."""
    s = scene()
    center = s.living(CENTERS)[0]
    old = s.entry(center["Code"])
    s.wait("it is there", lambda: s.rows(key=old) and s.rows("purchaseentrylines", old))
    s.exact.change(s.division, "financial/GLAccounts", "update", s.account["ID"], fields={"IsBlocked": True})
    s.exact.change(s.division, CENTERS, "update", center["ID"], fields={"EndDate": "/Date(1577836800000)/"})
    s.wait("the states are seen", lambda: s.hub.value(
        f"SELECT count(*) FROM exact.dimension_state WHERE division = {s.division} AND id IN "
        f"('{s.account['ID']}', '{center['ID']}')") in (2, "2"))
    new = s.entry(center["Code"])
    s.exact.change(s.division, ENTRIES, "update", old, fields={"Description": "touched"})
    s.wait("the new one is marked", lambda: "has been blocked since" in (
        (s.rows("purchaseentrylines", new) or [{}])[0].get("_problems") or ""))
    assert "ended on 2020-01-01" in s.rows("purchaseentrylines", new)[0]["_problems"]
    s.wait("the old one", lambda: s.rows(key=old)[0]["Description"] == "touched")
    assert all(str(r["_valid"]).lower() == "true" for r in s.rows(key=old) + s.rows("purchaseentrylines", old))
    s.exact.change(s.division, "financial/GLAccounts", "update", s.account["ID"], fields={"IsBlocked": False})
    s.exact.change(s.division, CENTERS, "update", center["ID"], fields={"EndDate": None})
    s.wait("the mark goes", lambda: all(str(r["_valid"]).lower() == "true" and r["_problems"] is None
                                        for r in s.rows(key=new) + s.rows("purchaseentrylines", new)))


def test_customers_rule(scene):
    """A customer's own rule holds or marks; one that raises stops no document and is told."""
    s = scene()
    s.hub.psql("""CREATE SCHEMA accounting;
        CREATE FUNCTION accounting.no_round_sums(division int, document jsonb, lines jsonb)
        RETURNS TABLE (line int, problem text) LANGUAGE sql AS
        $$ SELECT (l ->> 'LineNumber')::int, 'The amount is a round sum.' FROM jsonb_array_elements(lines) AS l
           WHERE (l ->> 'AmountDC')::numeric % 1000 = 0 $$;
        CREATE FUNCTION accounting.raises(division int, document jsonb, lines jsonb)
        RETURNS TABLE (line int, problem text) LANGUAGE plpgsql AS $$ BEGIN RAISE 'on purpose'; END $$;
        GRANT USAGE ON SCHEMA accounting TO exact_rule;
        INSERT INTO exact.rule (name, action, function) VALUES
        ('no_round_sums', 'quarantine', 'accounting.no_round_sums'), ('raises', 'flag', 'accounting.raises')""")
    code = s.living(CENTERS)[0]["Code"]
    good, held = s.entry(code, amount=999), s.entry(code, amount=2000)
    s.wait("the good one", lambda: s.rows(key=good))
    s.wait("it is held", lambda: s.held(held))
    assert "round sum" in s.held(held)[0]["problems"]
    assert "on purpose" in s.hub.value("SELECT finding FROM exact.check() WHERE rule = 'rule raises'")
    s.hub.psql("UPDATE exact.rule SET action = 'flag' WHERE name = 'no_round_sums'")
    s.wait("it goes on with a mark", lambda: s.rows("purchaseentrylines", held) and
           "round sum" in (s.rows("purchaseentrylines", held)[0]["_problems"] or ""))
    s.hub.psql("DELETE FROM exact.rule")
    s.wait("without it", lambda: all(str(r["_valid"]).lower() == "true" for r in s.rows(key=held)))
    assert not s.hub.query("SELECT * FROM exact.rule_failure")


def test_ledger_rows_that_an_answer_lacks(scene):
    """A row of an entry that an answer left out, and the next one too, is asked for again before anything is said."""
    s = scene()
    code = s.living(CENTERS)[0]["Code"]
    for answers in (1, 1, 1, 2):
        # nothing reads the entry between its booking and the fault
        s.hub.psql("UPDATE exact.feed SET enabled = false WHERE entity = 'transactionlines'")
        s.wait("nothing is being read", lambda: s.hub.value(
            "SELECT run_state FROM exact.feed_state WHERE feed = 'transactionlines'") == "idle")
        key = s.entry(code)
        ours = [row["ID"] for row in s.living("financialtransaction/TransactionLines") if row["EntryID"].lower() == key]
        s.exact.fault("sync/Financial/TransactionLines", "omit", times=answers, keys=ours[:1])
        s.hub.psql("UPDATE exact.feed SET enabled = true WHERE entity = 'transactionlines'")
        s.hub.sync(entity="transactionlines")
        s.wait("the others are seen", lambda o=ours: {r["_key"] for r in s.rows("transactionlines")} >= {
            k.lower() for k in o[1:]})
    entries = {}
    for row in s.living("financialtransaction/TransactionLines"):
        entries.setdefault(row["EntryID"].lower(), set()).add(row["ID"].lower())

    def whole():
        there = {}
        for row in s.rows("transactionlines"):
            there.setdefault(row["EntryID"].lower(), set()).add(row["_key"])
        return s.hub.value("SELECT count(*) FROM exact.judgement") == "0" and all(
            there.get(entry) == keys for entry, keys in entries.items())
    s.wait("no entry lacks a row", whole)
    assert [rule["hits"] for rule in s.exact.get("faults")["faults"]] == [1, 1, 1, 2]
    assert s.hub.query("SELECT at, what FROM exact.audit_log WHERE kind = 'document'") == []


def test_slow_rule(scene):
    """A rule that takes too long for five documents in a row is suspended, not for four; it comes back by an UPDATE."""
    s = scene(settings={"exact_databricks.rule_timeout": "500ms"})
    s.hub.psql("""UPDATE exact.feed SET enabled = false WHERE entity = 'transactionlines';
        CREATE SCHEMA accounting;
        CREATE FUNCTION accounting.slow(division int, document jsonb, lines jsonb)
        RETURNS TABLE (line int, problem text) LANGUAGE plpgsql AS $$ BEGIN
            IF (document ->> 'AmountDC')::numeric = 777 THEN PERFORM pg_sleep(600); END IF;
            RETURN QUERY SELECT NULL::int, 'it was called'; END $$;
        GRANT USAGE ON SCHEMA accounting TO exact_rule;
        INSERT INTO exact.rule (name, function) VALUES ('slow', 'accounting.slow')""")
    code = s.living(CENTERS)[0]["Code"]

    def failure():
        return [(row["timeouts"], row["times"], row["suspended"]) for row in s.hub.query(
            "SELECT timeouts, times, suspended_at IS NOT NULL AS suspended FROM exact.rule_failure")]

    def finding():
        return s.hub.query("SELECT result, finding, fix FROM exact.check() WHERE rule = 'rule slow'")

    def called(key):
        return any(row["_problems"] == "it was called" for row in s.rows(key=key))
    for _ in range(4):
        s.entry(code, amount=777)
    s.wait("four in a row", lambda: failure() == [(4, 4, False)])
    assert "suspended" not in finding()[0]["finding"]
    fast = s.entry(code)
    s.wait("one that is fast", lambda: called(fast))
    assert failure() == [(0, 4, False)]
    for _ in range(5):
        s.entry(code, amount=777)
    s.wait("five in a row", lambda: failure() == [(5, 9, True)])
    fast, slow = s.entry(code), s.entry(code, amount=777)
    s.wait("others go on", lambda: s.rows(key=fast) and s.rows(key=slow))
    assert failure() == [(5, 9, True)] and not called(fast)
    [told] = finding()
    assert told["finding"].startswith("suspended since") and "did not answer within 500 ms" in told["finding"]
    status = s.hub.query("SELECT light, what, next_step FROM exact.status")[0]
    assert status["light"] == "warn" and "rule slow is suspended since" in status["what"], status
    assert s.hub.value("SELECT count(*) FROM exact.audit_log WHERE kind = 'document' "
                       "AND what ->> 'what' = 'rule slow is suspended'") == "1"
    s.hub.psql("UPDATE exact.rule SET enabled = true WHERE name = 'slow'")
    assert not finding() and "suspended" not in s.hub.value("SELECT what FROM exact.status")
    fast = s.entry(code)
    s.wait("it is called again", lambda: called(fast))
    s.hub.psql("REVOKE USAGE ON SCHEMA accounting FROM exact_rule")
    assert [(told["result"], told["fix"]) for told in finding()] == [
        ("warn", "GRANT USAGE ON SCHEMA accounting TO exact_rule.")]
    s.hub.psql("GRANT USAGE ON SCHEMA accounting TO exact_rule")
    assert not finding()
    s.hub.psql("DROP FUNCTION accounting.slow(int, jsonb, jsonb)")
    assert "cannot be called" in finding()[0]["finding"] and "does not exist" in finding()[0]["finding"]
    s.hub.psql("UPDATE exact.rule SET enabled = false WHERE name = 'slow'")
    assert not finding()


def test_dimension_that_is_not_there(scene):
    """A dimension that is off switches its rules off, one that cannot be read marks and holds nothing: told."""
    s = scene()

    def told():
        return [row["finding"] for row in s.hub.query(
            "SELECT finding FROM exact.check() WHERE rule LIKE 'rules of division%' AND result = 'warn'")]
    assert not told()
    s.hub.psql("UPDATE exact.feed SET enabled = false WHERE entity = 'costcenter'")
    assert told() == ["costcenter is not enabled: its rules are not applied"]
    off = s.entry("NONE1")
    s.wait("its rules are off", lambda: s.rows(key=off) and s.rows("purchaseentrylines", off))
    s.wait("it is judged", lambda: s.hub.value("SELECT count(*) FROM exact.unjudged") == "0")
    assert not s.hub.query("SELECT * FROM exact.judgement")
    s.hub.psql("UPDATE exact.feed SET enabled = true WHERE entity = 'costcenter'")
    assert not told()
    held = s.entry("NONE2")
    s.wait("they are on", lambda: s.held(held))
    s.exact.post("division", code=s.division, packages={CENTERS: "403"})
    errors = "SELECT errors FROM exact.feed_state WHERE feed = 'costcenter'"
    for n in (1, 2, 3):
        assert not told()  # one refusal, and another, is no proof
        s.hub.psql(f"SELECT exact.sync_now({s.division}, 'costcenter')")
        s.wait(f"{n} refusals", lambda n=n: int(s.hub.value(errors)) >= n)
    s.wait("it cannot be read", lambda: told() == [
        "costcenter cannot be read: its rules mark documents and hold none"])
    marked = s.entry("NONE3")
    s.wait("it is marked", lambda: any("NONE3" in (row["_problems"] or "") for row in s.rows(key=marked)), 120)
    assert not any(row["_problems"].startswith("held: ") for row in s.rows(key=marked))
    s.exact.post("division", code=s.division, packages={CENTERS: None})
    s.hub.psql(f"SELECT exact.resume({s.division})")
    s.wait("it can be read", lambda: not told(), 120)
    held = s.entry("NONE4")
    s.wait("they hold again", lambda: s.held(held), 120)


def test_turkish_database(scene, monkeypatch):
    """Codes are compared as Exact Online does, whatever the database's locale makes of an I."""
    monkeypatch.setenv("EXACT_DATABRICKS_LOCALE", "--locale=C.UTF-8 --locale-provider=icu --icu-locale=tr-TR")
    s = scene()
    assert s.hub.value("SELECT lower('I')") == "ı"
    s.center("IT1")
    s.center("Ölçüm I")
    good = [s.entry(code) for code in ("IT1", "it1", "ÖLÇÜM I", "ölçüm i")]
    held = s.entry("LIJN I")
    s.wait("it is held", lambda: s.held(held))
    s.wait("the others are not", lambda: all(s.rows(key=key) for key in good))
    assert [row["key"] for row in s.quarantine()] == [held]
    s.center("lijn i")
    s.wait("it goes on by itself", lambda: s.rows(key=held), 120)


def test_people_see_it(scene):
    """status, explain, trace, check and exact_open say the same."""
    s = scene()
    key = s.entry("NEW1")
    s.wait("it is held", lambda: s.held(key))
    [row] = s.held(key)
    s.hub.psql("UPDATE exact.judgement SET since = now() - interval '2 d'")
    status = s.hub.query(f"SELECT light, what, next_step FROM exact.status WHERE division = {s.division}")[0]
    assert status["light"] == "warn" and "1 purchase entry waits for cost center NEW1 since" in status["what"], status
    assert f"exact.release({row['id']})" in status["next_step"]
    explained = s.hub.value(f"SELECT exact.explain({s.division}, 'purchaseentries', '{key}')")
    assert explained.startswith("Held back since") and f"exact.release({row['id']})" in explained, explained
    assert "when cost center NEW1 arrives" in explained
    steps = {r["step"]: r["what"] for r in s.hub.query(
        f"SELECT step, what FROM exact.trace({s.division}, 'purchaseentries', '{key}')")}
    assert "NEW1" in steps["validated"], steps
    assert "more than a day" in s.hub.value("SELECT finding FROM exact.check() WHERE rule LIKE 'documents of%'")
    s.wait("exact_open", lambda: [r for r in s.open_rows() if r["state"] == "quarantine"], 120)
    s.hub.psql(f"SELECT exact.release({row['id']})")
    s.wait("it is there", lambda: s.rows(key=key))
    with pytest.raises(Exception, match="nothing is held"):
        s.hub.psql(f"SELECT exact.release({row['id']})")


def test_closed_period(scene):
    """Nobody can correct a document in a closed period: it is shown with its problem, also if it waited before."""
    s = scene()
    s.hub.enable(entities=("journalstatuslist",))
    s.hub.wait_loaded(300)
    held = s.entry("NEW1")
    s.wait("it is held", lambda: s.held(held))
    year, period = map(int, s.held(held)[0]["period"].split("-"))
    place = {"division": s.division, "journal": s.like["Journal"].strip(), "year": year, "period": period}
    # closed for another journal, and another period of this one: it waits on
    s.exact.post("period", **{**place, "journal": "90"})
    s.exact.post("period", **{**place, "period": period % 12 + 1})
    s.hub.sync(entity="journalstatuslist")
    s.wait("they are delivered", lambda: len([
        r for r in s.rows("journalstatuslist") if int(r["Status"]) == 1]) == 2)
    assert s.held(held) and not s.rows(key=held)
    s.exact.post("period", **place)
    s.hub.sync(entity="journalstatuslist")

    def marked(key):
        return [r for r in s.rows(key=key)
                if str(r["_valid"]).lower() == "false" and not r["_problems"].startswith("held")]

    s.wait("it is shown with its problem", lambda: marked(held))
    assert not s.quarantine()
    also = s.entry("NEW2")
    s.wait("the next one likewise", lambda: marked(also))
    assert not s.held(also)
    s.exact.post("period", **place, closed=False)
    s.hub.sync(entity="journalstatuslist")
    last = s.entry("NEW3")
    s.wait("it is open again", lambda: s.held(last))
    assert not s.rows(key=last)
    assert {r["_key"] for r in s.rows("journalstatuslist")} == {
        f"{r['Journal'].strip()}|{r['Period']}|{r['Year']}" for r in s.living("read/financial/JournalStatusList")}
