"""Writes that go wrong: refused or dropped fields, answers that are lost, a colleague at the same moment."""
import http.client

import pytest

from simulator.exact_online.harness import Running, poll

CENTERS, GL = "hrm/Costcenters", "financial/GLAccounts"


@pytest.fixture(scope="module")
def sim():
    with Running("--records", 200, "--divisions", 1, "--minute-limit", 0, "--day-limit", 0, "--error-limit",
                 0) as running:
        running.authorize()
        yield running


@pytest.fixture
def center(sim):
    row = next(row for row, gone in sim.truth(CENTERS).values() if not gone)
    yield f"{CENTERS}(guid'{row['ID']}')", row
    sim.control("faults", method="DELETE")


def fault(sim, action, **how):
    return sim.control("faults", {"path": CENTERS, "method": "PUT", "action": action, **how})


def now(sim, path):
    return sim.get(path).json()["d"]


def writes(sim, after):
    return sim.control(f"writes?since={after}")["writes"]


def last(sim):
    return max((call["n"] for call in sim.control("calls")["calls"]), default=0)


def test_a_field_that_is_refused(sim, center):
    path, row = center
    fault(sim, "invalid", field="Description")
    refused = sim.call("PUT", path, {"Description": "No", "EndDate": "2030-01-01"})
    assert (refused.status, refused.error) == (500, "Ongeldig: Omschrijving")
    assert now(sim, path)["Description"] == row["Description"] and now(sim, path)["EndDate"] == row["EndDate"]
    fault(sim, "invalid", field="Description", text="Kostenplaats is afgesloten")
    assert sim.call("PUT", path, {"Description": "No"}).error == "Kostenplaats is afgesloten"
    fault(sim, "invalid", field="Description")
    assert sim.call("PUT", path, {"EndDate": None}).status == 204


def test_a_field_that_is_dropped(sim, center):
    path, row = center
    fault(sim, "drop_field", field="Description")
    assert sim.call("PUT", path, {"Description": "No", "EndDate": "2030-01-01"}).status == 204
    assert now(sim, path)["Description"] == row["Description"] and now(sim, path)["EndDate"] is not None


@pytest.mark.parametrize("action,done", [("reset_before", False), ("reset_after", True)])
def test_an_answer_that_is_lost(sim, center, action, done):
    path, _ = center
    before = last(sim)
    fault(sim, action)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sim.call("PUT", path, {"Description": action})
    assert (now(sim, path)["Description"] == action) == done
    (sent,) = writes(sim, before)
    assert bool(sent["done"]) == done and sent["fault"] == action and sent["method"] == "PUT"
    assert sent["body"] == ({"Description": action} if done else None)


def test_a_write_that_is_done_after_the_client_has_gone(sim, center):
    path, _ = center
    before = last(sim)
    fault(sim, "late", seconds=0.5)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sim.call("PUT", path, {"Description": "late"})
    assert not writes(sim, before)[0]["done"] and now(sim, path)["Description"] != "late"
    poll("it is written", lambda: now(sim, path)["Description"] == "late")
    assert writes(sim, before)[0]["done"]


@pytest.mark.parametrize("when,left", [("before", "mine"), ("after", "theirs")])
def test_a_colleague_at_the_same_moment(sim, center, when, left):
    path, _ = center
    fault(sim, "colleague", when=when, fields={"Description": "theirs", "EndDate": "/Date(1893456000000)/"})
    assert sim.call("PUT", path, {"Description": "mine"}).status == 204
    found = now(sim, path)
    assert found["Description"] == left and found["EndDate"] == "/Date(1893456000000)/"


def test_a_colleague_while_the_answer_is_lost(sim, center):
    path, _ = center
    before = last(sim)
    fault(sim, "colleague", when="lost", fields={"Description": "theirs"})
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sim.call("PUT", path, {"Description": "mine"})
    (sent,) = writes(sim, before)
    assert sent["done"] and now(sim, path)["Description"] == "theirs"


def test_a_gl_account_in_use_is_blocked(sim):
    used, item = (next(key for key, (_, gone) in sim.truth(resource).items() if not gone)
                  for resource in (GL, "logistics/Items"))
    sim.change("logistics/Items", "update", item, {"GLCosts": used})
    path = f"{GL}(guid'{used}')"
    sim.control("config", {"blocked_in_use": "refused"})
    refused = sim.call("PUT", path, {"IsBlocked": True})
    assert (refused.status, refused.error) == (500, "Blokkeren niet mogelijk: gegeven is in gebruik.")
    sim.control("config", {"blocked_in_use": "allowed"})
    assert sim.call("PUT", path, {"IsBlocked": True}).status == 204
    assert sim.call("PUT", path, {"IsBlocked": False}).status == 204


def test_the_log_of_writes(sim):
    before = last(sim)
    made = sim.call("POST", CENTERS, {"Code": "LOG1", "Description": "x"}).json()["d"]["ID"]
    sim.call("POST", CENTERS, {"Code": "LOG1", "Description": "again"})
    sim.call("DELETE", f"{CENTERS}(guid'{made}')")
    found = [(w["method"], w["body"], w["status"], w["done"]) for w in writes(sim, before)]
    assert found == [("POST", {"Code": "LOG1", "Description": "x"}, 201, True),
                     ("POST", {"Code": "LOG1", "Description": "again"}, 500, False), ("DELETE", None, 204, True)]


def test_a_proxy_that_repeats(sim, center):
    after = last(sim)
    fault(sim, "repeat", method="POST")
    made = sim.call("POST", CENTERS, {"Code": "TWICE", "Description": "x"})
    assert (made.status, made.error) == (500, "Gegeven bestaat reeds.")
    assert [row["Code"] for row, gone in sim.truth(CENTERS).values() if not gone].count("TWICE") == 1
    assert [bool(w["done"]) for w in writes(sim, after)] == [True]
