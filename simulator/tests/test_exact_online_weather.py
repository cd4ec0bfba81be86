"""The weather: all forms at low rates from one seed, repeatable, counted; settings that make no sense are refused."""
import dataclasses
import json
import time

import pytest
from forms_scene import met

from simulator.exact_online import forms, settings
from simulator.exact_online.harness import Running

START = ("--preset", "finance", "--records", 400, "--divisions", 2, "--minute-limit", 0, "--day-limit", 0,
         "--error-limit", 0, "--min-refresh-age", 0)
ASKED = ("logistics/Items?$select=ID,Description,CostPriceStandard", "crm/Accounts",
         "sync/CRM/Accounts?$filter=Timestamp gt 1L&$select=ID,Name,Timestamp",
         "purchaseorder/PurchaseOrders?$expand=PurchaseOrderLines",
         "sync/PurchaseOrder/PurchaseOrders?$filter=Timestamp gt 1L&$select=ID,LineNumber,Timestamp",
         "financialtransaction/TransactionLines?$select=ID,AmountDC", "system/Divisions",
         "sync/Deleted?$filter=Timestamp gt 1L", "hrm/Costcenters",
         "vat/VATCodes?$expand=VATPercentages", "bulk/Logistics/Items?$select=ID,Modified")


def answers(sim, rounds, asked=ASKED):
    """What a client gets: status and bytes, or the name of a broken connection's error."""
    found = []
    for _ in range(rounds):
        for target in asked:
            try:
                reply = sim.get(target, timeout=2)
                found.append((reply.status, reply.body,
                              {n: v for n, v in reply.headers.items() if n not in ("Date", "Server")}))
            except Exception as error:      # whatever http.client makes of a broken answer
                found.append(type(error).__name__)
    return found


def twin(*more):
    made = Running(*START, "--base-url", "http://exact.example.com", *more)
    made.control("clock", {"paused": True})
    made.control("clock", {"to": f"{time.gmtime().tm_year + 1}-03-01T10:00:00Z"})  # in its future, always
    made.authorize()
    return made


def test_two_simulators_with_one_seed_give_the_same_answers():
    with twin("--weather", 0.3, "--seed", 5) as one, twin("--weather", 0.3, "--seed",
                                                          5) as other, twin("--weather", 0.3, "--seed", 6) as third:
        first = answers(one, 6)
        assert first == answers(other, 6) and first != answers(third, 6)
        assert one.access == other.access and met(one) == met(other)
        changes = [sim.control("random", {"count": 30, "seed": 1})["changes"] for sim in (one, other)]
        assert changes[0] == changes[1] and answers(one, 2) == answers(other, 2)


def test_calm_is_the_default_and_draws_nothing():
    with twin() as one, twin("--weather", 0) as other:
        assert one.control("weather")["weather"] == 0 and answers(one, 2) == answers(other, 2)
        kinds = met(one)
        assert not any(kinds[name] for name in forms.DRAWN_FAULTS
                       if name in kinds) and not kinds["short_page"] and not one.control("weather")["chosen"]


def test_the_list_of_forms_says_what_was_met_and_what_never():
    with twin("--weather", 0.5) as sim:
        answers(sim, 10)
        told = sim.control("weather")
        assert told["weather"] == 0.5 and told["seed"] == 42
        assert {f["name"] for f in told["forms"]} == set(forms.FORMS) and all(f["entry"] and f["what"]
                                                                              for f in told["forms"])
        assert set(told["never"]) == {f["name"] for f in told["forms"] if not f["met"]} and told["met"] > 30
        assert {f["entry"] for f in told["forms"]} >= {*(f"E{n}" for n in (*range(1, 20), *range(30, 47),
                                                                           *range(60, 66), *range(70, 77))),
                                                        "B1", "B2", "B3", "B4", "books"}


def test_a_weather_of_1_is_survived_and_ends():
    with twin("--weather", 1) as sim:
        sim.control("random", {"count": 40})
        found = answers(sim, 6)
        assert {f[0] for f in found if isinstance(f, tuple)} >= {200}
        assert sim.control("weather")["chosen"]
        sim.control("config", {"weather": 0})
        assert sim.control("weather")["chosen"] == {}
        sim.control("clock", {"advance": 600})
        sim.authorize()
        calm = sim.control("config")
        assert not calm["shared_versions"] and not calm["post_nulls"] and calm["ledger"] == "control"
        assert all(isinstance(f, tuple) and f[0] in (200, 400) for f in answers(sim, 2))


def test_what_was_set_is_not_chosen_by_the_weather():
    with twin("--weather", 1, "--set", "ledger=lines", "--set", "post_nulls=false") as sim:
        assert sim.control("config")["ledger"] == "lines" and not sim.control("config")["post_nulls"]
        sim.control("config", {"shared_versions": False, "weather": 0.9})
        assert not sim.control("config")["shared_versions"]


def test_forms_that_are_asked_for_come_without_the_rest_of_the_weather():
    with twin("--set", 'weather_forms={"empty": 1, "post_nulls": 1}') as sim:
        assert sim.control("weather")["chosen"] == {"post_nulls": True}
        answers(sim, 3)
        kinds = {f["name"] for f in sim.control("weather")["forms"] if f["met"]}
        assert "empty" in kinds and not kinds & {"omit", "short_page", "bom", "late"}
        sim.control("config", {"weather_forms": {}})
        assert sim.control("weather")["chosen"] == {}


def test_it_is_printed_at_start(capfd):
    with Running("--records", 80, "--divisions", 1, "--weather", 0.25, "--seed", 77):
        pass
    assert "weather 0.25 seed 77" in capfd.readouterr().err


@pytest.fixture(scope="module")
def calm():
    with twin() as made:
        yield made


@pytest.mark.parametrize("wanted", [
    {"nothing_like_it": 1}, {"weather_forms": {"nothing_like_it": 0.1}}, {"weather_forms": {"omit": 1.1}},
    {"weather_forms": {"recode": 0.5}}, {"weather_forms": ["omit"]},
    {"weather": 1.5}, {"weather": -0.1}, {"weather": "much"}, {"short_pages": 2},
    {"deleted_loss": 1.01}, {"bom": True},
    {"json_style": ["upside_down"]}, {"json_style": "ascii"}, {"ledger": "other"}, {"books": ["everything"]},
    {"visible_after_max": -1},
    {"visible_after_max": {"plan": 1}}, {"visible_after_min": 5}, {"token_length_min": 5000}, {"latency_min": 9},
    {"journal_row_zero": True, "ledger": "lines"},
    {"limit_headers": "none", "reset_form": "past"}, {"minute_block": 0}, {"error_statuses": ["500"]}, {"seed": 7},
    {"time_zone": "Europe/London"},
    {"mandatory_filters": ["ID"]}, {"post_status": 404}, {"unfilterable": [1]}])
def test_settings_that_make_no_sense_are_a_clear_400(calm, wanted):
    before = calm.control("config")
    reply = calm.send("POST", "/_control/config", json.dumps({"bom": 0.5, **wanted}))
    assert (reply.status == 400 and next(iter(wanted)) in reply.json()["error"]) or any(name in reply.json()["error"]
                                                                                      for name in wanted) or (
        "contradict" in reply.json()["error"])
    assert calm.control("config") == before


def test_fifty_settings_at_once(calm):
    before = calm.control("config")
    wanted = {n: v for n, v in before.items() if n not in settings.FIXED | settings.AT_START}
    assert len(wanted) > 50
    wanted.update(short_pages=0.1, bom=0.1, extra_members=0.1, shared_versions=True, post_nulls=True, empty_forms=True,
                  honour_keys=True,
                  json_style=["ascii"], cookies=True, http2=True, reset_form="far", ledger="repeat",
                  header_case="lower")
    assert calm.control("config", wanted) == {**before, **wanted}
    assert calm.get("system/Divisions").status == 200
    calm.control("config", {n: before[n] for n in wanted})


def test_every_setting_can_be_given_at_start():
    with Running("--records", 80, "--divisions", 1, "--set", "short_pages=0.5", "--set", "ledger=repeat", "--set",
                 'visible_after_max={"sync":2}') as sim:
        found = sim.control("config")
        assert (found["short_pages"], found["ledger"], found["visible_after_max"]["sync"],
                found["visible_after_max"]["key"]) == (0.5, "repeat", 2, 0)
    for bad in ("nothing=1", "ledger", "short_pages=2"):
        with pytest.raises(RuntimeError, match="did not start"):
            Running("--records", 80, "--divisions", 1, "--set", bad)


def test_every_form_names_a_setting_that_exists():
    names = {f.name for f in dataclasses.fields(settings.Settings)}
    assert set(forms.ALTERNATIVES) <= names and {form for _, form in forms.ALTERNATIVES.values()} <= set(forms.FORMS)
