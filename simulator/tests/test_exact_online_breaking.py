"""Documents that break exactly one rule, and dimensions that come late, change and return while documents wait."""
import time

import pytest

from simulator.exact_online import verdicts
from simulator.exact_online.harness import Running, poll

START = ("--preset", "finance", "--records", 400, "--divisions", 1, "--minute-limit", 0, "--day-limit", 0,
         "--error-limit", 0)
GL, CENTER, UNIT = "financial/GLAccounts", "hrm/Costcenters", "hrm/Costunits"
CASES = [(rule, kind) for rule, kinds in verdicts.APPLIES.items() for kind in kinds]


def broken(sim):
    """{(kind, key): rules} of what breaks a rule now."""
    found = sim.control(f"documents?division={sim.division}&broken=1&rows=0")["documents"]
    return {(d["kind"], d["key"]): {b["rule"] for b in d["breaks"]} for d in found}


def dimension(sim, op, resource=None, **more):
    wanted = {"division": sim.division, "op": op, **({"resource": resource} if resource else {}), **more}
    return sim.control("dimension", wanted)


def spoil(sim, rule, kind, **more):
    return sim.control("break", {"division": sim.division, "rule": rule, "kind": kind, **more})


@pytest.fixture(scope="module")
def sim():
    with Running(*START) as running:
        running.authorize()
        for op, resource in (("end", CENTER), ("block", GL), ("require", GL)):
            made = dimension(running, "create", resource)["done"][0]
            assert dimension(running, op, resource, keys=[made["key"]])["done"] == [made]
        yield running


@pytest.mark.parametrize("rule,kind", CASES)
def test_one_rule_is_broken_and_mended(sim, rule, kind):
    made = spoil(sim, rule, kind, count=3, distinct=2, seed=1)
    wanted = {(of, key): {rule} for key in made["keys"] for of in (kind, *made["also"])}
    assert broken(sim) == wanted and len(set(made["keys"])) == 3
    assert len(made["missing"]) == (2 if rule.endswith("_exists") else 0)
    mended = sim.control("mend", {"division": sim.division})["mended"]
    assert {(each["kind"], each["key"]) for each in mended} == {(kind, key) for key in made["keys"]}
    assert broken(sim) == {}


@pytest.mark.parametrize("rule,resource", [("line_gl_account_exists", GL), ("line_cost_center_exists", CENTER),
                                           ("line_cost_unit_exists", UNIT)])
def test_what_is_missing_arrives_goes_and_returns(sim, rule, resource):
    made = spoil(sim, rule, "purchaseentries", count=4, distinct=2)
    names = [each["value"] for each in made["missing"]]
    done = dimension(sim, "arrive", resource, **{"keys" if resource == GL else "codes": names[:1]})["done"]
    assert len(done) == 1 and len(broken(sim)) == 4
    done += dimension(sim, "arrive", resource, **{"keys" if resource == GL else "codes": names[1:]})["done"]
    assert broken(sim) == {} and all(each["key" if resource == GL else "code"] in names for each in done)
    if resource != GL:      # a deleted account still counts for what was booked before
        dimension(sim, "delete", resource, keys=[done[0]["key"]])
        assert len(broken(sim)) == 4
        assert dimension(sim, "restore", resource, codes=[done[0]["code"]])["done"] == done[:1]
        assert broken(sim) == {}


def test_a_dimension_arrives_after_calls_or_seconds(sim):
    made = spoil(sim, "line_cost_center_exists", "bankentries", count=2)
    name = made["missing"][0]["value"]
    number = dimension(sim, "arrive", CENTER, codes=[name], after_calls=3)["scheduled"]
    for _ in range(2):
        sim.get("current/Me")
    assert broken(sim)
    sim.get("current/Me")
    assert not broken(sim) and sim.control("schedule")["done"][-1]["id"] == number
    spoil(sim, "line_cost_unit_exists", "cashentries", count=2)
    dimension(sim, "arrive", UNIT, after=0.3)
    poll("the dimension has arrived", lambda: not broken(sim), 20)
    assert sim.control("schedule")["waiting"] == []


@pytest.mark.parametrize("moves", [False, True])
def test_recode_with_and_without_what_was_booked(sim, moves):
    center = dimension(sim, "create", CENTER)["done"][0]
    made = spoil(sim, "line_cost_center_exists", "salesentries", count=2)
    late = made["missing"][0]["value"]
    arrived = dimension(sim, "arrive", CENTER, codes=[late])["done"][0]
    dimension(sim, "recode", CENTER, keys=[arrived["key"]], code=f"R{int(moves)}", moves=moves)
    assert broken(sim) == {}
    dimension(sim, "recode", CENTER, keys=[arrived["key"]], code=f"S{int(moves)}", booked=False)
    assert {key for _, key in broken(sim)} == set(made["keys"])
    dimension(sim, "recode", CENTER, keys=[arrived["key"]], code=f"R{int(moves)}", booked=False)
    assert broken(sim) == {}
    with pytest.raises(RuntimeError, match="400"):
        dimension(sim, "recode", CENTER, keys=[arrived["key"]], code=center["code"])


def test_states_count_from_when_they_began(sim):
    """What was booked before is right."""
    account = dimension(sim, "create", GL)["done"][0]
    dimension(sim, "block", GL, keys=[account["key"]])
    made = spoil(sim, "gl_account_blocked", "salesentries", of=[account["key"]], count=2)
    assert len(broken(sim)) == 2
    dimension(sim, "unblock", GL, keys=[account["key"]])
    assert broken(sim) == {}
    begun = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 <= begun + 1:       # moments are in milliseconds
        sim.get("current/Me")
    dimension(sim, "block", GL, keys=[account["key"]])
    assert broken(sim) == {} and made["keys"]
