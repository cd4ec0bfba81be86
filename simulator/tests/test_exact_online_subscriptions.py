"""Webhook subscriptions: made, listed, refused, removed; the empty call to the callback; scopes."""
# ruff: noqa: F401 (fixtures are imported)
import json
import shutil
import subprocess
import time

import pytest
from webhook_scene import DEFAULTS, ENDPOINT, ITEM, hook, key_of, running, sim

from simulator.exact_online.receiver import Receiver


def test_create_list_read_and_delete(sim, hook):
    sim.control("config", DEFAULTS)
    made = sim.subscribe("Items", hook.url)
    row = made.json()["d"]
    assert made.status == 201 and made.headers[
        "Location"] == f"{sim.url}/api/v1/{sim.division}/{ENDPOINT}(guid'{row['ID']}')"
    assert (row["Topic"], row["CallbackURL"], row["Division"], row["ClientID"]) == ("Items", hook.url, sim.division,
                                                                                    sim.info["client_id"])
    assert row["UserID"] == sim.get("/api/v1/current/Me?$select=UserID").rows[0]["UserID"] and row[
        "Created"].startswith("/Date(")
    [call] = hook.requests
    assert call["body"] == b"" and call["headers"]["Content-Length"] == "0" and call["path"] == "/exact/hook"
    assert "Content-Type" not in call["headers"] and "Transfer-Encoding" not in call["headers"]
    assert sim.subscribe("Accounts", hook.url).status == 201
    rows = sim.get(f"{ENDPOINT}?$select=ID,Topic,CallbackURL").rows
    assert {r["Topic"] for r in rows} == {"Items", "Accounts"}
    assert [r["ID"] for r in sim.get(f"{ENDPOINT}?$filter=Topic eq 'Items'&$select=ID").rows] == [row["ID"]]
    assert sim.get(f"{ENDPOINT}(guid'{row['ID']}')").json()["d"]["Topic"] == "Items"
    assert sim.get(f"/api/v1/{sim.info['divisions'][1]['code']}/{ENDPOINT}").rows == []
    assert sim.call("DELETE", f"{ENDPOINT}(guid'{row['ID']}')").status == 204
    assert sim.call("DELETE", f"{ENDPOINT}(guid'{row['ID']}')").status == 404
    assert [r["Topic"] for r in sim.get(ENDPOINT).rows] == ["Accounts"]


def test_long_lists_have_pages(sim):
    sim.control("config", {"page_size": 2})
    for topic in ("Items", "Accounts", "Contacts", "Documents", "GLAccounts"):
        sim.control("subscriptions", {"division": sim.division, "topic": topic, "user": sim.info["user"]})
    first = sim.get(f"{ENDPOINT}?$select=Topic")
    assert len(first.rows) == 2 and "$skiptoken" in first.following
    assert len(sim.all(f"{ENDPOINT}?$select=Topic")) == 5
    sim.control("config", {"page_size": 60})


@pytest.mark.parametrize("body,text", [
    ({"Topic": "Items"}, "Verplicht: CallbackURL"), ({"CallbackURL": "https://127.0.0.1/x"}, "Verplicht: Topic"),
    ({"Topic": "CostCenters", "CallbackURL": "https://127.0.0.1/x"}, "Ongeldig: Topic"),
    ({"Topic": "items", "CallbackURL": "https://127.0.0.1/x"}, "Ongeldig: Topic"),
    ({"Topic": "PowerAutomateAccounts", "CallbackURL": "https://127.0.0.1/x"}, "Ongeldig: Topic"),
    ({"Topic": "Items", "CallbackURL": "http://hub.example.com/x"}, "Ongeldig: CallbackURL"),
    ({"Topic": "Items", "CallbackURL": "ftp://127.0.0.1/x"}, "Ongeldig: CallbackURL"),
    ({"Topic": "Items", "CallbackURL": "/exact/hook"}, "Ongeldig: CallbackURL"),
    ({"Topic": "Items", "CallbackURL": "https://[x/"}, "Ongeldig: CallbackURL")])
def test_what_is_refused(sim, body, text):
    reply = sim.call("POST", ENDPOINT, body)
    assert (reply.status, reply.error) == (500, text) and reply.json()["error"]["code"] == ""
    assert sim.subscriptions() == []


def test_plain_http_can_be_refused_on_loopback_too(sim, hook):
    sim.control("config", {**DEFAULTS, "allow_http_callback": False})
    assert sim.subscribe("Items", hook.url).error == "Ongeldig: CallbackURL" and hook.requests == []


@pytest.mark.parametrize("status,text", [(401, "401 Unauthorized"), (503, "503 Service Unavailable"),
                                         (204, "204 No Content"),
                                         (302, "302 Found"),
                                         (None, "500 An error occurred while sending the request.")])
def test_a_callback_must_answer_the_empty_call_with_200(sim, hook, status, text):
    hook.validation = status
    reply = sim.subscribe("Items", hook.url)
    assert (reply.status, reply.error) == (500, f"Invalid: Post to callback URL endpoint returns {text}")
    assert len(hook.requests) == 1 and sim.subscriptions() == []


def test_the_empty_call_comes_during_the_request_and_after_a_while(sim, hook):
    sim.control("config", {**DEFAULTS, "validation_delay": 0.5})
    started = time.monotonic()
    assert sim.subscribe("Items", hook.url).status == 201
    assert time.monotonic() - started >= 0.5 and len(hook.requests) == 1


def test_the_simulator_answers_others_meanwhile(sim, hook):
    sim.control("config", {**DEFAULTS, "validation_delay": 3})
    connection = sim.connection()
    connection.request("POST", f"/api/v1/{sim.division}/{ENDPOINT}",
                       json.dumps({"CallbackURL": hook.url, "Topic": "Items"}),
                       {"Authorization": f"Bearer {sim.access}", "Content-Type": "application/json",
                        "Accept": "application/json"})
    assert sim.get("logistics/Items?$top=1&$select=ID").status == 200 and hook.requests == []
    assert connection.getresponse().status == 201
    connection.close()


@pytest.mark.parametrize("language,text", [("NL", "Gegeven bestaat reeds."), ("EN", "Data already exists."),
                                           ("FR", "La donnée existe déjà."),
                                           ("DE", "Die Daten sind bereits vorhanden.")])
def test_one_subscription_a_topic_and_division(sim, hook, language, text):
    sim.control("config", {**DEFAULTS, "language": language})
    assert sim.subscribe("Items", hook.url).status == 201
    again = sim.subscribe("Items", hook.url + "2")
    assert (again.status, again.error) == (500, text) and len(hook.requests) == 1
    assert sim.subscribe("Items", hook.url, sim.info["divisions"][1]["code"]).status == 201


def test_two_at_once_make_one(sim, hook):
    sim.control("config", {**DEFAULTS, "validation_delay": 0.3})
    connections = [sim.connection() for _ in range(3)]
    for connection in connections:
        connection.request("POST", f"/api/v1/{sim.division}/{ENDPOINT}",
                           json.dumps({"CallbackURL": hook.url, "Topic": "Items"}),
                           {"Authorization": f"Bearer {sim.access}", "Content-Type": "application/json",
                            "Accept": "application/json"})
    assert sorted(c.getresponse().status for c in connections) == [201, 500, 500] and len(sim.subscriptions()) == 1
    for connection in connections:
        connection.close()


def test_a_colleague_is_hidden_and_in_the_way(sim, hook):
    made = sim.control("subscriptions", {"division": sim.division, "topic": "Items", "user": "colleague@example.com"})
    assert sim.get(ENDPOINT).rows == [] and sim.get(f"{ENDPOINT}(guid'{made['id']}')").status == 404
    assert sim.call("DELETE", f"{ENDPOINT}(guid'{made['id']}')").status == 404
    assert sim.subscribe("Items", hook.url).error == "Gegeven bestaat reeds."
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Schroef"})
    assert [m["state"] for m in sim.webhooks(subscription=made["id"])] == ["elsewhere"] and hook.requests == []
    assert sim.control(f"subscriptions/{made['id']}", method="DELETE") == {"removed": 1}
    assert sim.subscribe("Items", hook.url).status == 201


def test_put_is_refused_and_can_be_allowed(sim, hook):
    key = sim.subscribe("Items", hook.url).json()["d"]["ID"]
    change = {"CallbackURL": hook.url + "/new"}
    assert sim.call("PUT", f"{ENDPOINT}(guid'{key}')",
                    change).status == 405 and sim.subscriptions()[0]["callback_url"] == hook.url
    sim.control("config", {"allow_subscription_put": True})
    hook.validation = 404
    assert sim.call("PUT", f"{ENDPOINT}(guid'{key}')",
                    change).status == 500 and sim.subscriptions()[0]["callback_url"] == hook.url
    hook.validation = 200
    assert sim.call("PUT", f"{ENDPOINT}(guid'{key}')",
                    change).status == 204 and sim.subscriptions()[0]["callback_url"] == hook.url + "/new"


def test_scopes(sim, hook):
    sim.control("config", {"missing_scopes": ["organization.administration"]})
    for method, body in (("GET", None), ("POST", {"CallbackURL": hook.url, "Topic": "Items"})):
        reply = sim.call(method, ENDPOINT, body)
        assert reply.status == 403 and reply.error.startswith("Forbidden - Application Scope Violated.")
        assert "organization.administration" in reply.error
    sim.control("config", {"missing_scopes": ["organization.administration:manage"]})
    assert sim.get(ENDPOINT).status == 200 and sim.subscribe("Items", hook.url).status == 403 and hook.requests == []


def test_topics_can_be_refused(sim, hook):
    sim.control("config", {"refused_topics": ["FinancialTransactions"]})
    assert sim.subscribe("FinancialTransactions", hook.url).error == "Ongeldig: Topic"
    sim.control("config", {"refused_topics": []})
    assert sim.subscribe("FinancialTransactions", hook.url).status == 201


def test_a_lost_answer_leaves_the_subscription(sim, hook):
    sim.control("faults", {"path": ENDPOINT, "method": "POST", "action": "reset_after"})
    with pytest.raises(ConnectionError):
        sim.subscribe("Items", hook.url)
    assert [s["topic"] for s in sim.subscriptions()] == ["Items"]


def test_subscriptions_end_with_the_user_when_told(sim, hook):
    sim.subscribe("Items", hook.url)
    sim.control("revoke", {"what": "chain"})
    assert len(sim.subscriptions()) == 1
    sim.authorize()
    assert sim.control("revoke",
                       {"what": "chain", "subscriptions": True})["subscriptions"] == 1 and sim.subscriptions() == []
    sim.authorize()
    sim.subscribe("Items", hook.url)
    assert sim.control("revoke", {"what": "user"}) == {"revoked": True, "subscriptions": 1}
    sim.authorize()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_https_needs_a_certificate_that_is_trusted(sim, tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
                    check=True, capture_output=True)
    with Receiver((cert, key)) as hook:
        reply = sim.subscribe("Items", hook.url)
        said = "Invalid: Post to callback URL endpoint returns 500 An error occurred while sending the request."
        assert reply.error == said
        assert "CERTIFICATE" in sim.webhooks(kind="validation")[-1]["error"].upper()
        sim.control("config", {"callback_ca": cert})
        assert sim.subscribe("Items", hook.url).status == 201
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Moer"})
        hook.wait(1)
        sim.control("config", {"callback_ca": ""})
