"""Trouble: tokens, limits, maintenance, refusals, rights (entries E30 to E46), and connections that misbehave (B1 to
B4)."""
# ruff: noqa: F401 (fixtures are imported)
import http.client
import json
import re
import socket
import time
from email.utils import parsedate_to_datetime
from urllib.parse import quote, unquote

import pytest
from forms_scene import ACCOUNT, COSTCENTER, GL, ITEM, config, fault, met, running, sim

from simulator.exact_online.harness import Running

QUIET = ("--records", 120, "--divisions", 2)
SHORT = f"{ITEM}?$top=1&$select=ID"


def started(*more):
    made = Running(*QUIET, *more)
    made.first = made.authorize()
    return made


def refresh(sim, token):
    return sim.token(grant_type="refresh_token", refresh_token=token)


def test_e30_a_wrong_or_cut_token_gets_the_page_object_moved(sim):
    for token in ("wrong", sim.access[:60]):
        reply = sim.send("GET", f"/api/v1/{sim.division}/{SHORT}".replace(" ", "%20"),
                         headers={"Authorization": f"Bearer {token}"})
        assert reply.status == 401 and "Object moved" in reply.text
        assert f"ReturnUrl={quote('/api/v1/', safe='')}" in reply.text
    fault(sim, "Items", "moved_page")
    assert "ReturnUrl" in sim.get(SHORT).text and sim.get(SHORT).status == 200


def test_e31_tokens_of_any_length(sim):
    lengths = {len(sim.authorize()["access_token"]) for _ in range(20)}
    assert len(lengths) > 10 and min(lengths) >= 90 and max(lengths) <= 4000 and max(lengths) > 1000
    assert sim.get(SHORT).status == 200
    config(sim, token_length_min=650, token_length_max=650)
    assert {len(sim.authorize()["access_token"]) for _ in range(3)} == {650} and met(sim)["long_token"]
    with pytest.raises(RuntimeError, match="400"):
        config(sim, token_length_min=700, token_length_max=600)


def test_e32_the_text_of_an_expired_refresh_token(sim):
    made = sim.authorize()
    sim.control("revoke", {"what": "expire"})
    reply = refresh(sim, made["refresh_token"])
    time_text = r"\d+\\/\d+\\/\d{4} \d+:\d\d:\d\d [AP]M"
    text = f"The refresh token expired at {time_text} and it is now {time_text}"
    assert reply.status == 400 and reply.json()["error"] == "invalid_request" and re.search(text, reply.text)


def test_e33_refusals_of_a_refresh():
    with started("--set", "too_early_status=401", "--set", "old_token_status=400", "--set", "reason_header=0") as sim:
        made = sim.authorize(age=0)
        early = refresh(sim, made["refresh_token"])
        assert early.status == 401 and early.json()["error"] == "access_denied" and "Reason" not in early.headers
        sim.control("clock", {"advance": 600})
        assert refresh(sim, made["refresh_token"]).status == 200
        assert refresh(sim, made["refresh_token"]).status == 400
        config(sim, too_early_rotates=True, reason_header=1, header_case="lower")
        made = sim.authorize(age=0)
        early = refresh(sim, made["refresh_token"])
        assert early.json()["refresh_token"] and ("reason", "TooEarlyToRefreshTokens") in early.headers.items()
        sim.control("clock", {"advance": 600})
        assert refresh(sim, made["refresh_token"]).status == 400 and refresh(sim,
                                                                             early.json()[
                                                                                 "refresh_token"]).status == 200


def test_e34_forms_of_a_token_answer():
    with started("--set", "expires_in_form=number", "--set", 'token_extra=["members"]') as sim:
        got = refresh(sim, sim.first["refresh_token"]).json()
        assert got["expires_in"] == 600 and "token_kind" in got and got["refresh_token"]
        with pytest.raises(RuntimeError, match="400"):
            config(sim, token_extra=["no_refresh_token"])
        config(sim, token_mode="forgiving", token_extra=["no_refresh_token"])
        made = sim.authorize()
        for _ in range(2):      # the old one stays good
            got = refresh(sim, made["refresh_token"]).json()
            assert "refresh_token" not in got and got["access_token"]
            sim.control("clock", {"advance": 700})


@pytest.mark.parametrize("mode,again", [("strict", 401), ("forgiving", 200)])
def test_an_answer_that_leaves_the_new_refresh_token_out(mode, again):
    with started("--token-mode", mode) as sim:
        sim.control("faults", {"path": "oauth2/token", "action": "no_refresh_token"})
        got = refresh(sim, sim.first["refresh_token"])
        assert got.status == 200 and got.json()["access_token"] and "refresh_token" not in got.json()
        assert refresh(sim, sim.first["refresh_token"]).status == again


def used_up(sim, count=70):
    """The first 429 of many calls."""
    return next(reply for reply in (sim.get(SHORT) for _ in range(count)) if reply.status == 429)


@pytest.mark.parametrize("form,own,other", [("own", True, False), ("none", False, False), ("all", True, True)])
def test_e35_limit_headers_of_a_429(form, own, other):
    with started("--minute-limit", 10, "--set", f"limit_headers={form}") as sim:
        reply = used_up(sim)
        assert ("X-RateLimit-Minutely-Remaining" in reply.headers) == own and (
            "X-RateLimit-Remaining" in reply.headers) == other


def test_e35_a_minute_block_of_two_minutes():
    with started("--minute-limit", 10, "--set", "minute_block=120") as sim:
        sim.control("clock", {"to": sim.control("clock")["now"][:11] + "23:30:00Z", "backward": True})
        sim.authorize()
        used_up(sim)
        sim.control("clock", {"advance": 61})
        assert sim.get(SHORT).status == 429
        sim.control("clock", {"advance": 60})
        assert sim.get(SHORT).status == 200


def test_e36_the_minute_of_the_first_call_other_calls_and_an_early_429():
    with started("--minute-limit", 10, "--set", "minute_window=first_call") as sim:
        sim.control("clock", {"to": sim.control("clock")["now"][:11] + "12:00:40Z", "backward": True})
        sim.authorize()
        used_up(sim)
        sim.control("clock", {"advance": 25})       # the clock's minute is over, that of the first call is not
        assert sim.get(SHORT).status == 429
        sim.control("clock", {"advance": 36})
        assert sim.get(SHORT).status == 200
    with started("--minute-limit", 30, "--set", "other_calls=20") as sim:
        assert [sim.get(SHORT).status for _ in range(12)].count(200) <= 11
    with started("--minute-limit", 30, "--set", "early_429=1") as sim:
        reply = sim.get(SHORT)
        assert reply.status == 429 and int(reply.headers["X-RateLimit-Minutely-Remaining"]) > 0


@pytest.mark.parametrize("form", ["seconds", "local", "past", "far", "negative", "changing"])
def test_e37_resets_and_remainders_as_nobody_expects(form):
    with started("--set", f"reset_form={form}") as sim:
        replies = [sim.get(SHORT) for _ in range(8)]
        now = time.time()
        reset, left = float(replies[0].headers["X-RateLimit-Reset"]), int(replies[0].headers["X-RateLimit-Remaining"])
        assert {"seconds": reset < 1e11, "local": reset / 1000 > now, "past": reset / 1000 < now,
                "far": reset / 1000 > now + 10**8,
                "negative": left < 0, "changing": len({r.headers["X-RateLimit-Limit"] for r in replies}) > 3}[form]
        with pytest.raises(RuntimeError, match="400"):
            config(sim, limit_headers="none", reset_form="past")


def test_e38_which_errors_count_and_a_block_that_grows():
    with started("--set", "error_statuses=[400,401,403,404]", "--set", "error_block=growing", "--minute-limit",
                 0) as sim:
        assert [sim.get(f"{ITEM}?$filter=substringof('a',Code)").status for _ in range(20)] == [501] * 20
        assert [sim.get(f"{ITEM}?$filter=Nothing eq 1").status for _ in range(12)] == [400] * 11 + [429]
        sim.control("clock", {"advance": 3601})
        sim.authorize()
        assert sim.get(SHORT).status == 429     # a call during the block made it longer than an hour
        sim.control("clock", {"advance": 3 * 3600})
        sim.authorize()
        assert sim.get(SHORT).status == 429 and sim.control("stats")["blocked"]


@pytest.mark.parametrize("form", ["503", "502", "504", "html", "redirect", "chunked", "empty", "no_content", "gzip",
                                  "charset"])
def test_e39_maintenance_of_the_whole_host(sim, form):
    sim.control("clock", {"paused": True})
    fault(sim, "Items", "maintenance", seconds=30, form=form)
    first = sim.get(SHORT)
    for reply in (first, sim.get(f"{ACCOUNT}?$top=1"), sim.token(grant_type="refresh_token", refresh_token="x")):
        assert reply.status == {"503": 503, "502": 502, "504": 504, "redirect": 302, "no_content": 204,
                                "gzip": 503}.get(form, 200)
        assert reply.body == first.body
    assert {"chunked": first.headers.get("Transfer-Encoding") == "chunked",
            "gzip": first.headers.get("Content-Encoding") == "gzip",
            "redirect": "maintenance" in (first.headers.get("Location") or ""),
            "charset": b"\0" in first.body}.get(form, True)
    sim.control("clock", {"advance": 31})
    assert sim.get(SHORT).status == 200


def test_e40_errors_of_the_gateway_on_any_path(sim):
    fault(sim, "Items|token", "gateway", status=429, errorcode="policies.ratelimit.QuotaViolation", times=2)
    assert sim.get(SHORT).json()["fault"]["detail"]["errorcode"] == "policies.ratelimit.QuotaViolation"
    reply = sim.token(grant_type="refresh_token", refresh_token="x")
    assert reply.status == 429 and "faultstring" in reply.json()["fault"]
    fault(sim, "Items", "gateway", oauth=True, status=500)
    assert sim.get(SHORT).json() == {"error": "server_error"}


def test_e41_and_e42_filters_that_are_refused_or_demanded_for_one_resource(sim):
    config(sim, unfilterable=["crm/Accounts.Modified"], select_required=[GL],
           mandatory_filters={"crm/Accounts": ["Created"]})
    assert sim.get(f"{ACCOUNT}?$filter=Modified ge "
                   f"datetime'2020-01-01'").error == "Filtering on these fields is not supported: Modified"
    assert sim.get(GL).status == 400 and sim.get(f"{GL}?$select=ID").status == 200 and sim.get(
        f"{GL}?$top=1").status == 200
    refused = sim.get(f"{ACCOUNT}?$filter=Code eq 'x'&$select=ID")
    assert refused.status == 400 and "mandatory filtering" in refused.error and refused.error.endswith(": Created.")
    assert sim.get(f"{ACCOUNT}?$filter=Created ge datetime'1900-01-01'&$select=ID").status == 200 and sim.get(
        SHORT).status == 200
    with pytest.raises(RuntimeError, match="400"):
        config(sim, mandatory_filters={"crm/Accounts": "Created"})


def test_e43_a_package_that_is_missing_in_one_division(sim):
    sim.control("division", {"code": sim.division, "packages": {ITEM: "404", GL: "403", ACCOUNT: "empty"}})
    assert sim.get(SHORT).status == 404
    refused = sim.get(f"{GL}?$select=ID")
    assert refused.status == 403 and "Reason" not in refused.headers and sim.get(f"{ACCOUNT}?$select=ID").rows == []
    other = sim.info["divisions"][1]["code"]
    assert sim.get(f"/api/v1/{other}/{SHORT}").rows
    sim.control("division", {"code": sim.division, "packages": {ITEM: None, GL: None, ACCOUNT: None}})
    assert sim.get(SHORT).rows
    with pytest.raises(RuntimeError, match="400"):
        sim.control("division", {"code": sim.division, "packages": {ITEM: "418"}})


def test_e44_a_consent_for_some_divisions_and_one_that_is_refused(sim):
    first, second = (d["code"] for d in sim.info["divisions"][:2])
    sim.authorize(divisions=[first])
    assert sim.get(SHORT).status == 200 and sim.get(f"/api/v1/{second}/{SHORT}").headers["Reason"] == "NoDivisionAccess"
    assert {r["Code"] for r in sim.all("system/Divisions")} == {first}
    config(sim, consent="page")
    asked = (f"/api/oauth2/auth?client_id={sim.info['client_id']}&"
             f"redirect_uri={quote(sim.info['redirect_uri'], safe='')}"
             "&response_type=code&state=abc")
    page = sim.send("GET", asked)
    assert page.status == 200 and f'name="division" value="{second}"' in page.text and 'value="no"' in page.text
    gone = sim.send("GET", asked + "&consent=no")
    assert gone.status == 302 and "error=access_denied" in gone.headers["Location"] and "state=abc" in gone.headers[
        "Location"]
    given = sim.send("GET", f"{asked}&consent=yes&division={second}").headers["Location"]
    code = re.search("[?&]code=([^&]+)", given).group(1)
    pair = sim.token(grant_type="authorization_code", code=unquote(code),
                     redirect_uri=sim.info["redirect_uri"]).json()
    sim.access = pair["access_token"]
    assert sim.get(f"/api/v1/{second}/{SHORT}").status == 200 and sim.get(SHORT).status == 403
    one, other = sim.authorize(user="a@example.com")["access_token"], sim.authorize(user="b@example.com")[
        "access_token"]
    for token in (one, other):      # another user of the same customer has a chain of his own
        sim.access = token
        assert sim.get(SHORT).status == 200


def test_e45_the_header_reason_in_lower_case_and_with_any_text(sim):
    sim.control("division", {"code": sim.division, "reason": "TrialExpired"})
    assert ("Reason", "TrialExpired") in sim.get(SHORT).headers.items()
    config(sim, header_case="lower")
    assert ("reason", "TrialExpired") in sim.get(SHORT).headers.items()
    with pytest.raises(RuntimeError, match="400"):
        sim.control("division", {"code": sim.division, "reason": "two\r\nlines"})


@pytest.mark.parametrize("form", ["414", "404", "400", "reset"])
def test_e46_a_url_that_is_too_long(sim, form):
    config(sim, url_limit_form=form)
    if form == "reset":
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            sim.get(SHORT + "&n=" + "x" * 7000)
    else:
        assert sim.get(SHORT + "&n=" + "x" * 7000).status == int(form)


# ---- connections ----

def test_b1_connections_that_misbehave(sim):
    fault(sim, "Items", "accept_only")
    with pytest.raises(TimeoutError):
        sim.get(SHORT, timeout=0.3)
    fault(sim, "Items", "accept_only", seconds=0.1)
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sim.get(SHORT)
    fault(sim, "Items", "slow_headers", seconds=0.002)
    began = time.monotonic()
    assert sim.get(SHORT).status == 200 and time.monotonic() - began > 0.2
    fault(sim, "Items", "interim", count=100)
    with socket.create_connection((sim.parts.hostname, sim.parts.port), 10) as raw:
        raw.sendall(f"GET /api/v1/{sim.division}/{SHORT} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sim.access}\r\n"
                    "Accept: application/json\r\nConnection: close\r\n\r\n".replace("$", "%24").encode())
        text = b""
        while part := raw.recv(65536):
            text += part
    assert text.count(b"HTTP/1.1 100 Continue\r\n\r\n") == 100 and b"HTTP/1.1 200" in text
    config(sim, connection_close=1)
    assert sim.get(SHORT).headers["Connection"] == "close"


def test_b1_a_kept_connection_is_closed_at_the_next_request(sim):
    fault(sim, "Items", "close_idle", skip=1)
    kept = sim.connection()
    for expected in (200, None):
        kept.request("GET", f"/api/v1/{sim.division}/{SHORT}".replace("$", "%24"),
                     headers={"Authorization": f"Bearer {sim.access}"})
        if expected:
            reply = kept.getresponse()
            assert reply.status == expected and reply.read()
        else:
            with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
                kept.getresponse()
    kept.close()


def test_b1_a_reset_in_the_middle_of_a_record(sim):
    fault(sim, "Items", "cut_handshake")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        sim.get(SHORT)
    assert sim.get(SHORT).status == 200


def test_b2_a_redirect_with_the_token_and_what_a_gateway_adds(sim):
    fault(sim, "Items", "redirect", to="http://other.example.com", status=307)
    reply = sim.get(SHORT)
    assert reply.status == 307 and reply.headers["Location"].startswith("http://other.example.com/api/v1/")
    config(sim, cookies=True, http2=True)
    headers = sim.get(SHORT).headers
    assert headers["Set-Cookie"] and headers["Strict-Transport-Security"] and "h2=" in headers["Alt-Svc"]


def test_b3_the_clock_of_the_service(sim):
    def off():
        reply = sim.get(SHORT)
        return reply.status == 200 and round((http_time(reply.headers["Date"]) - time.time()) / 60)
    here = off()
    sim.control("clock", {"skew": 86400})
    assert off() - here == 1440
    sim.control("clock", {"skew": -300})
    assert off() - here == -5
    sim.control("clock", {"skew": 0})
    fault(sim, "Items", "skew", seconds=-86400)
    assert off() - here == -1440 and off() == here
    before = sim.control("clock")["offset"]
    with pytest.raises(RuntimeError, match="400"):
        sim.control("clock", {"advance": -3600})
    sim.control("clock", {"advance": -3600, "backward": True})
    assert sim.control("clock")["offset"] == pytest.approx(before - 3600) and off() - here == -60
    sim.control("clock", {"advance": 3600})


def http_time(text):
    return parsedate_to_datetime(text).timestamp()


@pytest.mark.parametrize("kind,check", [("bytes", lambda r: len(r.body) > 64 * 2**20),
                                        ("nesting", lambda r: b"[" * 10_000 in r.body),
                                        ("number", lambda r: len(r.body) > 2**20),
                                        ("members", lambda r: len(r.rows[0]) == 100_000)])
def test_b4_answers_too_large_too_deep_and_too_wide(sim, kind, check):
    fault(sim, "Items", "monster", kind=kind)
    reply = sim.get(SHORT)
    assert reply.status == 200 and check(reply)
    assert sim.get(SHORT).rows and json.loads(sim.get(f"{COSTCENTER}?$select=ID").body)
    with pytest.raises(RuntimeError, match="400"):
        fault(sim, "x", "monster", kind="small")
