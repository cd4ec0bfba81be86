"""Random edits of dimensions in Exact Online, in the hub and in Delta: a short run of scripts/edits."""
import pytest
from edits import Edits, Plan, launch


@pytest.mark.parametrize("rule,lost", [("exact wins", 0.1), ("delta wins", 0), ("ask", 0.1)])
def test_three_sides(tmp_path, rule, lost):
    plan = Plan(rounds=5, edits=20, divisions=1, records=200, seed=7, rule=rule, lost=lost, between=0.5)
    hub = launch(tmp_path, plan)
    try:
        hub.wait_loaded(120)
        made = Edits(hub, plan)
        made.blow()
        made.verdict()
        assert not made.problems
        assert made.placed, "no edit came between reading and MERGE"
        assert rule != "ask" or set(made.answers) == {"approve", "reject", "wait"}
    finally:
        for part in (hub, hub.exact, hub.databricks):
            part.stop()
