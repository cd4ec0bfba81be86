"""Generated documents of every kind: correct ones pass, each that breaks a rule is found, and nothing else waits."""
import os

from documents import EXISTS, KINDS, SUMS, expected, found, settle

DOCUMENTS = int(os.environ.get("EXACT_TEST_DOCUMENTS", "400"))
WAIT = max(600, DOCUMENTS // 10)


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
    settle(hub, "correct documents pass", expected(hub.exact, division), WAIT)
    before = found(hub)
    broken = []
    for rule in (*EXISTS, *SUMS):
        for kind in KINDS:
            try:
                broken.append(hub.exact.post("break", division=division, rule=rule, kind=kind,
                                             count=max(1, DOCUMENTS // 400)))
            except RuntimeError as refused:       # a rule that is not for this kind
                assert "400" in str(refused)
    assert len(broken) > 25
    hub.sync(WAIT)
    settle(hub, "each that breaks a rule", expected(hub.exact, division), WAIT)
    held = [key for (kind, key), state in found(hub).items() if state == "held"]
    assert len(held) > 15
    rows = {row["_key"] for kind in KINDS[:-1] for row in hub.databricks.rows(hub.table(kind))}
    assert not rows & set(held)
    hub.exact.post("dimension", division=division, op="arrive")
    hub.sync(WAIT)
    settle(hub, "what waited goes on", expected(hub.exact, division), WAIT)
    assert "held" not in found(hub).values()
    hub.wait_for("they are delivered", lambda: set(held) <= {
        row["_key"] for kind in KINDS[:-1] for row in hub.databricks.rows(hub.table(kind))}, 120, 2)
    hub.exact.post("mend", division=division)
    hub.sync(WAIT)
    settle(hub, "mended ones", before, WAIT)
