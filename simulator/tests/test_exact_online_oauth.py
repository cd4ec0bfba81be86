"""Consent, tokens, rotation and the errors of the token endpoint."""
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from simulator.exact_online.harness import Running


@pytest.fixture(scope="module")
def started():
    with Running("--records", 100, "--divisions", 2, "--error-limit", 0) as running:
        yield running, running.control("config")


@pytest.fixture
def sim(started):
    """The same simulator with its settings as at the start; every test consents anew."""
    running, settings = started
    fixed = ("host", "port", "seed", "divisions", "records", "tls_cert", "tls_key")
    running.control("config", {name: value for name, value in settings.items() if name not in fixed})
    return running


def consent(sim, **extra):
    query = {"client_id": sim.info["client_id"], "redirect_uri": sim.info["redirect_uri"], "response_type": "code",
             "state": "a/b c",
             **extra}
    return sim.send("GET", "/api/oauth2/auth?" + urlencode(query))


def code_of(reply):
    assert reply.status == 302
    return parse_qs(urlsplit(reply.headers["Location"]).query)


def test_consent_redirects_with_code_and_state(sim):
    answer = code_of(consent(sim))
    assert answer["state"] == ["a/b c"] and answer["code"][0]
    assert consent(sim, redirect_uri="https://evil.example.com/").status == 400
    assert consent(sim, client_id="00000000-0000-4000-8000-000000000000").status == 400
    assert consent(sim, response_type="token").status == 400


def test_consent_page_asks_first(sim):
    sim.control("config", {"consent": "page"})
    page = consent(sim)
    assert page.status == 200 and "<form" in page.text and "Location" not in page.headers
    assert code_of(consent(sim, consent="yes"))["code"]


def test_code_gives_tokens_once_and_not_when_stale(sim):
    code = code_of(consent(sim))["code"][0]
    wanted = {"grant_type": "authorization_code", "code": code, "redirect_uri": sim.info["redirect_uri"]}
    answer = sim.token(**wanted)
    assert answer.status == 200
    body = answer.json()
    assert body["expires_in"] == "600" and body["token_type"] == "bearer" and set(body) == {
        "access_token", "token_type", "expires_in", "refresh_token"}
    again = sim.token(**wanted)
    assert (again.status, again.json()["error"]) == (400, "invalid_grant")
    stale = code_of(consent(sim))["code"][0]
    sim.control("clock", {"advance": 181})
    assert sim.token(**{**wanted, "code": stale}).json()["error"] == "invalid_grant"
    sim.access = body["access_token"]
    assert sim.get("/api/v1/current/Me?$select=CurrentDivision").status == 200


def test_wrong_client_or_grant(sim):
    assert (lambda r: (r.status, r.json()["error"]))(sim.token(client_secret="no", grant_type="refresh_token",
                                                               refresh_token="x")) == (401,
        "invalid_client")
    assert sim.token(client_id="no", grant_type="refresh_token", refresh_token="x").json()["error"] == "invalid_client"
    assert sim.token(grant_type="password").json()["error"] == "unsupported_grant_type"
    assert sim.token().json()["error"] == "invalid_request"
    assert sim.send("GET", "/api/oauth2/token").status == 405
    unknown = sim.token(grant_type="refresh_token", refresh_token="nonsense")
    assert (unknown.status, unknown.json()["error"]) == (400,
                                                         "invalid_grant") and "chainId" in unknown.json()[
                                                             "error_description"]


def refresh(sim, token):
    return sim.token(grant_type="refresh_token", refresh_token=token)


def test_refresh_is_refused_before_570_seconds(sim):
    made = sim.authorize(age=0)
    early = refresh(sim, made["refresh_token"])
    assert early.status == 400 and early.headers["Reason"] == "TooEarlyToRefreshTokens"
    assert early.json() == {"error": "access_denied",
                            "error_description": "Rate limit exceeded: access_token not expired"}
    sim.control("clock", {"advance": 560})
    assert refresh(sim, made["refresh_token"]).status == 400
    sim.control("clock", {"advance": 11})
    answer = refresh(sim, made["refresh_token"])
    assert answer.status == 200 and answer.json()["refresh_token"] != made["refresh_token"]
    assert refresh(sim, answer.json()["refresh_token"]).json()["error"] == "access_denied"


def test_refresh_token_works_once_in_strict_mode(sim):
    made = sim.authorize()
    assert refresh(sim, made["refresh_token"]).status == 200
    old = refresh(sim, made["refresh_token"])
    assert old.status == 401
    assert old.json() == {"error": "unauthorized_client", "error_description": "Old refresh token used."}


def test_forgiving_mode_takes_the_old_token_until_the_new_pair_is_used(sim):
    sim.control("config", {"token_mode": "forgiving"})
    made = sim.authorize()
    lost = refresh(sim, made["refresh_token"]).json()
    second = refresh(sim, made["refresh_token"])
    assert second.status == 200
    sim.access = lost["access_token"]
    assert sim.get("/api/v1/current/Me").status == 401
    sim.access = second.json()["access_token"]
    assert sim.get("/api/v1/current/Me").status == 200
    assert refresh(sim, made["refresh_token"]).status == 401


def test_access_token_dies_after_600_seconds(sim):
    sim.authorize()
    assert sim.get("/api/v1/current/Me").status == 200
    sim.control("clock", {"advance": 595})
    assert sim.get("/api/v1/current/Me").status == 200
    sim.control("clock", {"advance": 6})
    assert sim.get("/api/v1/current/Me").status == 401


def test_refresh_token_dies_after_30_days(sim):
    made = sim.authorize()
    sim.control("clock", {"advance": 30 * 86400 + 1})
    answer = refresh(sim, made["refresh_token"])
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert "expired at" in answer.json()["error_description"] and "and it is now" in answer.json()["error_description"]


def test_new_consent_of_a_user_kills_the_old_chain_only(sim):
    first, other = sim.authorize(user="a@example.com"), sim.authorize(user="b@example.com")
    sim.authorize(user="a@example.com")
    dead = refresh(sim, first["refresh_token"])
    assert (dead.status, dead.json()["error"]) == (400, "invalid_grant")
    assert dead.json()["error_description"] == "Token is not allowed, because of invalid or empty chainId"
    sim.access = first["access_token"]
    assert sim.get("/api/v1/current/Me").status == 401
    assert refresh(sim, other["refresh_token"]).status == 200


def test_code_of_control_authorize_can_be_exchanged(sim):
    made = sim.authorize()
    answer = sim.token(grant_type="authorization_code", code=made["code"], redirect_uri=sim.info["redirect_uri"])
    assert answer.status == 200
    assert refresh(sim, made["refresh_token"]).json()["error"] == "invalid_grant"


def test_200_token_calls_a_day(sim):
    sim.control("config", {"token_day_limit": 3})
    token = sim.authorize(age=0, user="busy@example.com")["refresh_token"]
    assert [refresh(sim, token).status for _ in range(4)] == [400, 400, 400, 429]
    sim.control("clock", {"advance": 86400})
    assert refresh(sim, token).status == 200


@pytest.mark.parametrize("what,status,error", [("refresh", 401, "unauthorized_client"),
                                               ("chain", 400, "invalid_grant")])
def test_revoke(sim, what, status, error):
    made = sim.authorize()
    sim.control("revoke", {"what": what})
    answer = refresh(sim, made["refresh_token"])
    assert (answer.status, answer.json()["error"]) == (status, error)


def test_revoked_access_token_can_be_replaced(sim):
    made = sim.authorize()
    sim.control("revoke", {"what": "access"})
    assert sim.get("/api/v1/current/Me").status == 401
    assert refresh(sim, made["refresh_token"]).status == 200


def test_configured_times(sim):
    sim.control("config", {"token_lifetime": 20, "min_refresh_age": 5})
    made = sim.authorize(age=0)
    assert refresh(sim, made["refresh_token"]).status == 400
    sim.control("clock", {"advance": 6})
    answer = refresh(sim, made["refresh_token"])
    assert answer.json()["expires_in"] == "20"
    sim.access = answer.json()["access_token"]
    sim.control("clock", {"advance": 21})
    assert sim.get("/api/v1/current/Me").status == 401


def test_lost_token_answer_rotates_all_the_same(sim):
    made = sim.authorize()
    sim.control("faults", {"path": "oauth2/token", "action": "reset_after"})
    with pytest.raises(OSError):
        refresh(sim, made["refresh_token"])
    assert refresh(sim, made["refresh_token"]).json()["error"] == "unauthorized_client"
