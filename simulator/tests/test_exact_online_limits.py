"""Rate limits with their headers, and the block after too many errors."""
import time

import pytest

from simulator.exact_online.harness import Running

DAY = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
MINUTE = tuple(name.replace("RateLimit-", "RateLimit-Minutely-") for name in DAY)


@pytest.fixture(scope="module")
def started():
    with Running("--records", 700, "--divisions", 16) as running:
        codes = [d["code"] for d in running.info["divisions"]]
        yield running, iter(zip(codes[::2], codes[1::2]))


@pytest.fixture
def sim(started):
    """The running simulator with two divisions that no other test touched, default limits, early in a minute."""
    running, pairs = started
    running.division, running.other = next(pairs)
    running.control("config", {"minute_limit": 60, "day_limit": 5000, "error_limit": 10})
    # no boundary falls into a test
    running.control("clock", {"advance": 62 - int(running.control("clock")["now"][17:19])})
    running.authorize()
    return running


def me(sim, division=None):
    return sim.get(f"/api/v1/{division or sim.division}/hrm/Costcenters?$top=1&$select=ID")


def test_headers_count_down_in_epoch_milliseconds(sim):
    first, second = me(sim), me(sim)
    assert [first.headers[name] for name in (DAY[0], MINUTE[0])] == ["5000", "60"]
    for name in (DAY[1], MINUTE[1]):
        assert int(second.headers[name]) == int(first.headers[name]) - 1
    now = time.mktime(time.strptime(first.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    minute, day = int(first.headers[MINUTE[2]]), int(first.headers[DAY[2]])
    assert minute % 60_000 == 0 and 0 < minute - now * 1000 <= 60_000
    assert day % 86_400_000 == 0 and 0 < day - now * 1000 <= 86_400_000


def test_minute_limit_shows_only_the_minute_headers(sim):
    sim.control("config", {"minute_limit": 3})
    before = sim.control("stats")["refused"].get("minute", 0)
    assert [me(sim).status for _ in range(3)] == [200] * 3
    refused = me(sim)
    assert refused.status == 429 and refused.body == b"" and "Retry-After" not in refused.headers
    assert refused.headers[MINUTE[1]] == "0" and all(name in refused.headers for name in MINUTE)
    assert not any(name in refused.headers for name in DAY)
    assert me(sim, sim.other).status == 200
    sim.control("clock", {"advance": 60})
    assert me(sim).status == 200
    stats = sim.control("stats")
    assert stats["refused"]["minute"] == before + 1 and stats["most_in_a_minute"][str(sim.division)] == 3


def test_day_limit_shows_only_the_day_headers(sim):
    sim.control("config", {"day_limit": 2})
    assert [me(sim).status for _ in range(2)] == [200] * 2
    refused = me(sim)
    assert refused.status == 429 and refused.headers[DAY[1]] == "0"
    assert not any(name in refused.headers for name in MINUTE)
    sim.control("clock", {"advance": 86400})
    sim.authorize()
    assert me(sim).status == 200


def test_limits_can_be_off(sim):
    sim.control("config", {"minute_limit": 0, "day_limit": 0})
    replies = [me(sim) for _ in range(70)]
    assert {r.status for r in replies} == {200} and not any(name in replies[-1].headers for name in DAY + MINUTE)


def test_more_than_ten_errors_an_hour_block_the_endpoint_for_an_hour(sim):
    sim.control("config", {"minute_limit": 0})
    bad = "crm/Accounts?$select=ID&$filter=nonsense eq 1"
    good = "crm/Accounts?$select=ID&$top=1"
    assert {sim.get(bad).status for _ in range(10)} == {400}
    assert sim.get(good).status == 200
    assert sim.get(bad).status == 400
    blocked = sim.get(good)
    assert blocked.status == 429 and not any(name in blocked.headers for name in DAY + MINUTE)
    assert me(sim).status == 200 and sim.get(f"/api/v1/{sim.other}/{good}").status == 200
    sim.control("clock", {"advance": 3500})
    sim.authorize()
    assert sim.get(good).status == 429      # and this makes the block an hour from now
    sim.control("clock", {"advance": 3500})
    sim.authorize()
    assert sim.get(good).status == 429
    sim.control("clock", {"advance": 3601})
    sim.authorize()
    assert sim.get(good).status == 200


def test_errors_of_expired_tokens_and_missing_records_count(sim):
    sim.control("config", {"minute_limit": 0})
    missing = "hrm/Costunits(guid'00000000-0000-4000-8000-000000000000')"
    assert {sim.get(missing).status for _ in range(11)} == {404}
    assert sim.get(missing).status == 429
    sim.control("clock", {"advance": 601})
    assert {me(sim).status for _ in range(11)} == {401}
    assert me(sim).status == 429


def test_token_endpoint_errors_count_too(sim):
    assert {sim.token(grant_type="refresh_token", refresh_token="old").status for _ in range(11)} == {400}
    assert sim.token(grant_type="refresh_token", refresh_token="old").status == 429
