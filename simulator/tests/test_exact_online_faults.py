"""Injected faults, latency, and what counts as served."""
import contextlib
import http.client
import json
import threading
import time

import pytest

from simulator.exact_online.harness import Running, poll

ITEMS = "sync/Logistics/Items?$filter=Timestamp gt 1L&$select=ID,Code,Description,Division,Timestamp"


@pytest.fixture(scope="module")
def started():
    with Running("--records", 600, "--divisions", 2, "--minute-limit", 0, "--day-limit", 0, "--error-limit",
                 0) as running:
        yield running


@pytest.fixture
def sim(started):
    started.control("faults", method="DELETE")
    started.authorize()
    yield started
    started.control("faults", method="DELETE")


def fault(sim, action, path="Logistics/Items", **more):
    return sim.control("faults", {"path": path, "action": action, **more})["id"]


def served(sim, resource="sync/Logistics/Items"):
    return sim.control(f"served?division={sim.division}&resource={resource}")["versions"]


def last_status(sim):
    return sim.control("calls")["calls"][-1]["status"]


def test_status_with_body_headers_times_and_skip(sim):
    number = fault(sim, "status", status=503, body="overload", headers={"Reason": "Test"}, times=2, skip=1)
    replies = [sim.get(ITEMS) for _ in range(4)]
    assert [r.status for r in replies] == [200, 503, 503, 200]
    assert replies[1].text == "overload" and replies[1].headers["Reason"] == "Test"
    (found,) = sim.control(f"faults/{number}")["faults"]
    assert (found["hits"], found["times"], found["skip"]) == (2, 0, 0)


def test_header_with_a_time_that_is_counted_from_the_answer(sim):
    fault(sim, "status", status=429, headers={"X-RateLimit-Reset": "{now+2500}", "Reason": "now+1"})
    before, reply = time.time(), sim.get(ITEMS)
    assert before * 1000 + 2499 <= int(reply.headers["X-RateLimit-Reset"]) <= time.time() * 1000 + 2501
    assert reply.headers["Reason"] == "now+1"


def test_times_without_end_method_and_removal(sim):
    number = fault(sim, "status", status=500, method="POST", times=-1)
    assert sim.get(ITEMS).status == 200
    replies = [sim.call("POST", "logistics/Items", {}) for _ in range(3)]
    assert [(r.status, r.body) for r in replies] == [(500, b"")] * 3
    assert sim.control(f"faults/{number}", method="DELETE") == {"removed": 1}
    assert sim.call("POST", "logistics/Items", {}).error.startswith("Verplicht")


def test_html_instead_of_json(sim):
    fault(sim, "html")
    page = sim.get(ITEMS)
    assert page.status == 200 and page.headers["Content-Type"].startswith("text/html") and "<html" in page.text
    fault(sim, "status", status=401, html=True)
    assert "Object moved" in sim.get(ITEMS).text


def test_reset_before_and_after(sim):
    body = {"Code": "RST", "Description": "x"}
    fault(sim, "reset_before", "hrm/Costcenters")
    with pytest.raises(OSError):
        sim.call("POST", "hrm/Costcenters", body)
    assert sim.get("hrm/Costcenters?$select=ID&$filter=Code eq 'RST'").rows == []
    fault(sim, "reset_after", "hrm/Costcenters", method="POST")
    with pytest.raises(OSError):
        sim.call("POST", "hrm/Costcenters", body)
    assert len(sim.get("hrm/Costcenters?$select=ID&$filter=Code eq 'RST'").rows) == 1


def test_delay_reads_late_and_delay_after_reads_early(sim):
    for action, expected in (("delay", "later"), ("delay_after", "before")):
        key = sim.call("POST", "logistics/Items", {"Code": f"D-{action}", "Description": "before"}).json()["d"]["ID"]
        fault(sim, action, f"items.*{key}", seconds=1.0)
        replies = []
        started = time.monotonic()
        reader = threading.Thread(target=lambda: replies.append(sim.get(
            f"logistics/Items?$select=Description&$filter=ID eq guid'{key}'")))
        reader.start()
        poll("it is asked", lambda: sim.control("faults")["faults"][-1]["hits"])
        sim.change("logistics/Items", "update", key, {"Description": "later"})
        reader.join(20)
        assert replies[0].rows[0]["Description"] == expected and time.monotonic() - started >= 1.0


def test_hang_until_removed(sim):
    number = fault(sim, "hang")
    errors = []

    def read():
        try:
            sim.get(ITEMS)
        except OSError as error:
            errors.append(error)
    reader = threading.Thread(target=read)
    reader.start()
    reader.join(0.5)
    assert reader.is_alive()
    sim.control(f"faults/{number}", method="DELETE")
    reader.join(10)
    assert not reader.is_alive() and len(errors) == 1


def test_slow_body(sim):
    whole = sim.get(ITEMS).body
    fault(sim, "slow_body", bytes_per_second=len(whole) * 2)
    started = time.monotonic()
    assert sim.get(ITEMS).body == whole
    assert 0.3 < time.monotonic() - started < 5


def test_slow_page_keeps_the_state_of_its_reading(sim):
    key = sim.get(ITEMS).rows[0]["ID"]
    before = sim.truth("logistics/Items")[key][0]["Description"]
    size = len(sim.get(ITEMS).body)
    fault(sim, "slow_body", bytes_per_second=size)
    replies = []
    reader = threading.Thread(target=lambda: replies.append(sim.get(ITEMS)))
    reader.start()
    poll("it is asked", lambda: sim.control("faults")["faults"][-1]["hits"])
    sim.change("logistics/Items", "update", key, {"Description": "changed while the page was on its way"})
    fresh = sim.get(ITEMS)
    reader.join(20)
    assert next(r for r in replies[0].rows if r["ID"] == key)["Description"] == before
    assert next(r for r in fresh.rows if r["ID"] == key)["Description"] == "changed while the page was on its way"
    texts = [v["row"]["Description"] for v in served(sim) if v["key"] == key]
    # in the order of reading, not of arrival
    assert texts[-2:] == [before, "changed while the page was on its way"]


def test_truncated_and_malformed_answers(sim):
    fault(sim, "truncate")
    with pytest.raises(http.client.IncompleteRead):
        sim.get(ITEMS)
    fault(sim, "malformed")
    reply = sim.get(ITEMS)
    assert reply.status == 200
    with pytest.raises(ValueError):
        json.loads(reply.body)


def test_wrong_division(sim):
    fault(sim, "wrong_division")
    rows = sim.get(ITEMS).rows
    strays = [r for r in rows if r["Division"] != sim.division]
    assert len(strays) == 1 and f"/{strays[0]['Division']}/" in strays[0]["__metadata"]["uri"]
    fault(sim, "wrong_division", division=777)
    assert 777 in {r["Division"] for r in sim.get(ITEMS).rows}


def test_evil_next(sim):
    sim.control("config", {"sync_page_size": 10})
    try:
        for arguments, start in (({}, "https://evil.example.com/"),
                                 ({"host": "h.example.org"}, "https://h.example.org/"),
                                 ({"division": 202002}, f"{sim.url}/api/v1/202002/"),
                                 ({"next": "ftp://x/"}, "ftp://x/")):
            fault(sim, "evil_next", **arguments)
            assert sim.get(ITEMS).following.startswith(start)
    finally:
        sim.control("config", {"sync_page_size": 1000})


def test_faults_on_the_token_endpoint(sim):
    fault(sim, "html", "oauth2/token")
    assert "<html" in sim.token(grant_type="refresh_token", refresh_token="x").text
    fault(sim, "status", "oauth2/token", status=500, body={"fault": {"faultstring": "x", "detail": {"errorcode": "y"}}})
    assert sim.token(grant_type="refresh_token", refresh_token="x").json()["fault"]["faultstring"] == "x"


@pytest.mark.parametrize("wanted",
                         [{"action": "explode"}, {"action": "status"}, {"action": "delay", "seconds": 1, "bytes": 2},
                          {"action": "html", "path": "("}])
def test_senseless_faults_are_refused(sim, wanted):
    with pytest.raises(RuntimeError, match="400"):
        sim.control("faults", wanted)


@pytest.mark.parametrize("action,more,counts", [
    ("reset_after", {}, False), ("truncate", {}, False), ("malformed", {}, False), ("wrong_division", {}, False),
    ("status", {"status": 500}, False),
    ("html", {}, False), ("delay_after", {"seconds": 0.05}, True), ("slow_body", {"bytes_per_second": 10**7}, True)])
def test_only_whole_answers_count_as_served(sim, action, more, counts):
    before = len(served(sim))
    fault(sim, action, **more)
    with contextlib.suppress(OSError, http.client.HTTPException):
        sim.get(ITEMS)
    assert (len(served(sim)) > before) == counts


def test_an_answer_that_nobody_waits_for_is_not_served(sim):
    before = len(served(sim))
    fault(sim, "delay_after", seconds=0.5)
    with pytest.raises(OSError):
        sim.get(ITEMS, timeout=0.1)
    calls = len(sim.control("calls")["calls"])
    poll("the call is over", lambda: len(sim.control("calls")["calls"]) > calls)
    assert len(sim.control("calls")["calls"]) == calls + 1 and len(served(sim)) == before


def test_latency(sim):
    sim.control("config", {"latency_min": 300, "latency_max": 320})
    try:
        started = time.monotonic()
        sim.get(ITEMS)
        assert time.monotonic() - started >= 0.3
    finally:
        sim.control("config", {"latency_min": 0, "latency_max": 0})
