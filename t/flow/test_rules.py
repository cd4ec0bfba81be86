"""Generated documents of every kind: correct ones pass, each that breaks a rule is found, and nothing else waits."""
import os

DOCUMENTS = int(os.environ.get("EXACT_TEST_DOCUMENTS", "400"))
WAIT = max(600, DOCUMENTS // 10)
KINDS = ("purchaseentries", "salesentries", "generaljournalentries", "bankentries", "cashentries", "purchaseinvoices",
         "salesinvoices", "purchaseorders", "transactionlines")
EXISTS = ("line_gl_account_exists", "line_cost_center_exists", "line_cost_unit_exists")
SUMS = ("entry_balances", "lines_match_header")
OFF = {("lines_match_header", kind) for kind in ("bankentries", "cashentries", "salesinvoices")}
NEVER_HELD = ("purchaseorders", "transactionlines")


def found(hub):
    return {(row["entity"], row["key"]): row["state"] for row in hub.query(
        "SELECT entity, key, state FROM exact.judgement WHERE state <> 'unread'")}


def expected(exact, division):
    """What breaks a rule now: held or flagged."""
    wanted, after = {}, None
    while True:
        page = exact.get("documents", division=division, broken=1, rows=0, **({"after": after} if after else {}))
        for document in page["documents"]:
            rules = {b["rule"] for b in document["breaks"] if (b["rule"], document["kind"]) not in OFF}
            if rules and document["evaluated"]:
                holds = rules & set(EXISTS) and document["kind"] not in NEVER_HELD
                wanted[document["kind"], document["key"].lower()] = "held" if holds else "flagged"
        if not page.get("more"):
            return wanted
        after = page["more"]


def settle(hub, what, wanted, seconds=WAIT):
    def same():
        return found(hub) == wanted() and hub.value("SELECT count(*) FROM exact.unjudged") in (0, "0")
    try:
        hub.wait_for(what, same, seconds, 1)
    except Exception:
        have, want = found(hub), wanted()
        raise AssertionError(f"missed {sorted(set(want.items()) - set(have.items()))[:9]}, "
                             f"too much {sorted(set(have.items()) - set(want.items()))[:9]}") from None


def test_each_rule(engine_free, start_hub):
    # each run reads again what changed within its overlap: here that is all
    hub = start_hub(engine_free, "--preset", "finance", "--records", 60, "--divisions", 1, settings={
        "exact_databricks.sync_interval": "1h"})
    division = hub.exact.divisions[0]
    hub.enable(entities=("finance",))
    hub.wait_loaded(300)
    for seed, done in enumerate(range(0, DOCUMENTS, 2000)):
        hub.exact.post("generate", division=division, count=min(2000, DOCUMENTS - done), seed=seed)
    hub.sync(WAIT)
    settle(hub, "correct documents pass", lambda: expected(hub.exact, division))
    before = found(hub)
    broken = []
    for rule in EXISTS + SUMS:
        for kind in KINDS:
            try:
                broken.append(hub.exact.post("break", division=division, rule=rule, kind=kind,
                                             count=max(1, DOCUMENTS // 400)))
            except RuntimeError as refused:       # a rule that is not for this kind
                assert "400" in str(refused)
    assert len(broken) > 25
    hub.sync(WAIT)
    settle(hub, "each that breaks a rule", lambda: expected(hub.exact, division))
    held = [key for (kind, key), state in found(hub).items() if state == "held"]
    assert len(held) > 15
    rows = {row["_key"] for kind in KINDS[:-1] for row in hub.databricks.rows(hub.table(kind))}
    assert not rows & set(held)
    hub.exact.post("dimension", division=division, op="arrive")
    hub.sync(WAIT)
    settle(hub, "what waited goes on", lambda: expected(hub.exact, division))
    assert "held" not in found(hub).values()
    hub.wait_for("they are delivered", lambda: set(held) <= {
        row["_key"] for kind in KINDS[:-1] for row in hub.databricks.rows(hub.table(kind))}, 120, 2)
    hub.exact.post("mend", division=division)
    hub.sync(WAIT)
    settle(hub, "mended ones", lambda: before)
