"""Webhook subscriptions and what the sender does: bytes, signatures, delivery, faults of delivery, secrets, replays."""
import base64
import hashlib
import hmac
import json
import re
import shutil
import subprocess
import time

import pytest

from simulator.exact_online import notification
from simulator.exact_online.harness import Running
from simulator.exact_online.receiver import Receiver

ENDPOINT = "webhooks/WebhookSubscriptions"
ORDER, LINE, ACCOUNT, ITEM = "purchaseorder/PurchaseOrders", "purchaseorder/PurchaseOrderLines", "crm/Accounts", "logistics/Items"
DEFAULTS = {"webhook_styles": ["plain"], "webhook_loss": 0, "webhook_duplicate": 0, "webhook_reorder": 0, "webhook_retries": 3,
            "webhook_retry_delay": 10, "webhook_timeout": 10, "webhook_parallel": 8, "webhook_keepalive": True, "webhook_hold": False,
            "webhook_silent_fields": [], "webhook_delay_min": 0, "webhook_delay_max": 0, "webhook_batch": 0, "refused_topics": [],
            "missing_scopes": [], "validation_delay": 0, "allow_subscription_put": False, "allow_http_callback": True, "language": "NL"}


@pytest.fixture(scope="module")
def running():
    with Running("--records", 400, "--divisions", 2, "--seed", 11, "--minute-limit", 0, "--day-limit", 0, "--error-limit", 0) as made:
        yield made


@pytest.fixture
def sim(running):
    running.authorize()
    yield running
    running.control("config", DEFAULTS)
    running.control("clock", {"paused": False})
    running.control("subscriptions", method="DELETE")
    running.wait_webhooks()


@pytest.fixture
def hook():
    with Receiver() as made:
        yield made


def key_of(sim, resource, division=None):
    return next(key for key, (_, gone) in sim.truth(resource, division).items() if not gone)


def subscribed(sim, hook, *topics, **config):
    """Subscriptions to topics, the receiver empty again, and the number of the last message."""
    sim.control("config", {**DEFAULTS, **config})
    for topic in topics:
        assert sim.subscribe(topic, hook.url).status == 201
    hook.clear()
    return sim.control("webhooks/pending")["last"]


def read(body):
    """(Content, message bytes, HashCode) of a body."""
    head, tail = b'{"Content":', body.rstrip()[-79:]
    assert body.startswith(head) and re.fullmatch(rb',"HashCode":"[0-9A-F]{64}"\}', tail)
    message = body.rstrip()[len(head):-79]
    return json.loads(message), message, tail[13:77].decode()


def sign(secret, message):
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest().upper()


# ---- how receivers that others wrote check a signature ----

def by_greedy_expression(body, secret):
    """The PHP client: one greedy expression over the whole body, on one line, with nothing before or behind."""
    found = re.search(r'^\{"Content":(.*),"HashCode":"(.*)"\}$', body.decode())
    return found is not None and sign(secret, found.group(1).encode()) == found.group(2)


def by_indexes(body, secret):
    """First index of the head, last index of the tail."""
    start, end = body.index(b'{"Content":') + 11, body.rindex(b',"HashCode":')
    return sign(secret, body[start:end]) == json.loads(body)["HashCode"]


def by_both_ends(body, secret):
    """The recommended cut: head and tail of fixed form."""
    _, message, code = read(body)
    return sign(secret, message) == code


NODE = """
const crypto = require('crypto'), bodies = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(bodies.list.map(text => {
  const message = text.match(/(?<={"Content":).*(?=,"HashCode":)/)[0];
  const code = crypto.createHmac('sha256', bodies.secret).update(message, 'utf8').digest('hex').toUpperCase();
  return code === JSON.parse(text).HashCode;
})));
"""


def by_look_behind(bodies, secret):
    """The JavaScript samples, run by node."""
    given = json.dumps({"secret": secret, "list": [b.decode() for b in bodies]})
    found = subprocess.run(["node", "-e", NODE], input=given, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(found.stdout)


# ---- subscriptions ----

def test_create_list_read_and_delete(sim, hook):
    sim.control("config", DEFAULTS)
    made = sim.subscribe("Items", hook.url)
    row = made.json()["d"]
    assert made.status == 201 and made.headers["Location"] == f"{sim.url}/api/v1/{sim.division}/{ENDPOINT}(guid'{row['ID']}')"
    assert (row["Topic"], row["CallbackURL"], row["Division"], row["ClientID"]) == ("Items", hook.url, sim.division, sim.info["client_id"])
    assert row["UserID"] == sim.get("/api/v1/current/Me?$select=UserID").rows[0]["UserID"] and row["Created"].startswith("/Date(")
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


@pytest.mark.parametrize("status,text", [(401, "401 Unauthorized"), (503, "503 Service Unavailable"), (204, "204 No Content"),
                                         (302, "302 Found"), (None, "500 An error occurred while sending the request.")])
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
    connection.request("POST", f"/api/v1/{sim.division}/{ENDPOINT}", json.dumps({"CallbackURL": hook.url, "Topic": "Items"}),
                       {"Authorization": f"Bearer {sim.access}", "Content-Type": "application/json", "Accept": "application/json"})
    assert sim.get("logistics/Items?$top=1&$select=ID").status == 200 and hook.requests == []
    assert connection.getresponse().status == 201
    connection.close()


@pytest.mark.parametrize("language,text", [("NL", "Gegeven bestaat reeds."), ("EN", "Data already exists."), ("FR", "La donnée existe déjà."),
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
        connection.request("POST", f"/api/v1/{sim.division}/{ENDPOINT}", json.dumps({"CallbackURL": hook.url, "Topic": "Items"}),
                           {"Authorization": f"Bearer {sim.access}", "Content-Type": "application/json", "Accept": "application/json"})
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
    assert sim.call("PUT", f"{ENDPOINT}(guid'{key}')", change).status == 405 and sim.subscriptions()[0]["callback_url"] == hook.url
    sim.control("config", {"allow_subscription_put": True})
    hook.validation = 404
    assert sim.call("PUT", f"{ENDPOINT}(guid'{key}')", change).status == 500 and sim.subscriptions()[0]["callback_url"] == hook.url
    hook.validation = 200
    assert sim.call("PUT", f"{ENDPOINT}(guid'{key}')", change).status == 204 and sim.subscriptions()[0]["callback_url"] == hook.url + "/new"


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
    assert sim.control("revoke", {"what": "chain", "subscriptions": True})["subscriptions"] == 1 and sim.subscriptions() == []
    sim.authorize()
    sim.subscribe("Items", hook.url)
    assert sim.control("revoke", {"what": "user"}) == {"revoked": True, "subscriptions": 1}
    sim.authorize()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_https_needs_a_certificate_that_is_trusted(sim, tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                    "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    with Receiver((cert, key)) as hook:
        reply = sim.subscribe("Items", hook.url)
        assert reply.error == "Invalid: Post to callback URL endpoint returns 500 An error occurred while sending the request."
        assert "CERTIFICATE" in sim.webhooks(kind="validation")[-1]["error"].upper()
        sim.control("config", {"callback_ca": cert})
        assert sim.subscribe("Items", hook.url).status == 201
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Moer"})
        hook.wait(1)
        sim.control("config", {"callback_ca": ""})


# ---- what is announced ----

def announced(sim, since):
    """{(topic, action, key)} of the messages after a number, once nothing is on its way."""
    sim.wait_webhooks()
    return sorted((m["topic"], m["action"], m["key"]) for m in sim.webhooks(since, kind="event"))


def test_changes_of_a_subscribed_entity(sim, hook):
    last = subscribed(sim, hook, "Items")
    made = sim.change(ITEM, "create", fields={"Code": "WH-1", "Description": "Wasmachine"})
    key = made["key"]
    assert sim.call("PUT", f"{ITEM}(guid'{key}')", {"Description": "Droger"}).status == 204      # the hub's own writes come back
    assert sim.call("DELETE", f"{ITEM}(guid'{key}')").status == 204
    sim.change(ACCOUNT, "update", key_of(sim, ACCOUNT), {"City": "Delft"})                       # nobody subscribed
    sim.change(ITEM, "update", key_of(sim, ITEM, 202002), {"Description": "x"}, division=202002)  # nor here
    assert announced(sim, last) == [("Items", action, key) for action in ("Create", "Delete", "Update")]
    seen = [read(body)[0] for body in hook.bodies]
    assert sorted(c["Action"] for c in seen) == ["Create", "Delete", "Update"]
    for call, content in zip(hook.requests, seen):
        assert call["headers"]["Content-Type"] == "application/json" and not any("sign" in name.lower() for name in call["headers"])
        assert list(content) == ["Topic", "ClientId", "Division", "Action", "Key", "ExactOnlineEndpoint", "EventCreatedOn"]
        assert (content["ClientId"], content["Division"], content["Key"]) == (sim.info["client_id"], sim.division, key)
        assert content["ExactOnlineEndpoint"] == f"{sim.url}/api/v1/{sim.division}/{ITEM}(guid'{key}')"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?", content["EventCreatedOn"])


def test_header_and_lines_are_announced_apart(sim, hook):
    last = subscribed(sim, hook, "PurchaseOrders")
    item = key_of(sim, ITEM)
    made = sim.change(ORDER, "create", fields={"Supplier": key_of(sim, ACCOUNT)},
                      lines=[{"Item": item, "QuantityInPurchaseUnits": 2}, {"Item": item, "QuantityInPurchaseUnits": 3}])
    order, lines = made["key"], [line["ID"] for line in made["row"]["PurchaseOrderLines"]]
    topic = "PurchaseOrders"
    assert announced(sim, last) == sorted((topic, "Create", key) for key in (order, *lines))
    endpoints = {read(b)[0]["Key"]: read(b)[0]["ExactOnlineEndpoint"] for b in hook.bodies}
    assert f"/{ORDER}(guid" in endpoints[order] and all(f"/{LINE}(guid" in endpoints[line] for line in lines)
    last = sim.control("webhooks/pending")["last"]
    sim.change(LINE, "update", lines[0], {"QuantityInPurchaseUnits": 9})
    assert announced(sim, last) == sorted([(topic, "Update", order), (topic, "Update", lines[0])])
    last = sim.control("webhooks/pending")["last"]
    sim.change(ORDER, "update", order, {}, lines=[{"ID": lines[1], "delete": True}, {"Item": item, "QuantityInPurchaseUnits": 1}])
    found = announced(sim, last)
    assert sorted(action for _, action, _ in found) == ["Create", "Delete", "Update"] and (topic, "Delete", lines[1]) in found
    last = sim.control("webhooks/pending")["last"]
    left = next(key for _, action, key in found if action == "Create")
    sim.change(ORDER, "delete", order)
    assert announced(sim, last) == sorted((topic, "Delete", key) for key in (order, lines[0], left))


def test_derived_and_silent_fields_are_not_announced(sim, hook):
    last = subscribed(sim, hook, "Accounts", "Items", "PurchaseOrders", webhook_silent_fields=["Remarks", f"{ITEM}.Stock"])
    account, item, line = key_of(sim, ACCOUNT), key_of(sim, ITEM), key_of(sim, LINE)
    before = sim.truth(ITEM)[item][0]["Modified"]
    sim.change(ACCOUNT, "update", account, {"AccountManagerFullName": "Iemand", "ModifierFullName": "Ander"})
    sim.change(ACCOUNT, "update", account, {"Remarks": "still"})
    sim.change(ITEM, "update", item, {"Stock": 3})
    sim.change(LINE, "update", line, {"ItemDescription": "afgeleid"})
    assert announced(sim, last) == [] and sim.truth(ITEM)[item][0]["Modified"] >= before
    sim.change(ACCOUNT, "update", account, {"Remarks": "luid", "City": "Breda"})
    assert announced(sim, last) == [("Accounts", "Update", account)]


def test_random_changes_announce_every_record_they_touch(sim, hook):
    topics = ("Items", "Accounts", "GLAccounts", "PurchaseOrders")
    last = subscribed(sim, hook, *topics, webhook_styles=[])
    made = sim.control("random", {"count": 150, "division": sim.division, "deletes": 0.2, "seed": 5})["changes"]
    found = {(action, key) for _, action, key in announced(sim, last)}
    expected = {(c["op"].capitalize(), c["key"]) for c in made if not c["resource"].startswith("hrm/")}
    assert len(expected) > 80 and expected <= found
    assert len(hook.bodies) == len(sim.webhooks(last)) and not any(m["state"] != "delivered" for m in sim.webhooks(last))


# ---- bytes and signatures ----

def test_the_vectors_of_the_documentation():
    content = notification.content("Items", "6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11", 2256995, "Update", "0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b",
                                   "https://start.exactonline.nl/api/v1/2256995/logistics/Items(guid'0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b')",
                                   "2025-03-04T13:14:50.070", ["plain"])
    code = notification.hash_of(content, "test-webhook-secret")
    assert code == "407C1F56654DECE5E0B149FEEBEB7BF57086EEF53CA858FC415E464997202D83" and len(content) == 320
    body = notification.body(content, code)
    assert hashlib.sha256(body).hexdigest() == "b5fe7321ce5098ad4974227cec1c80d0aa30a96d44db8b7eccd60a7bc9badc99"
    escaped = notification.content("Accounts", "11111111-2222-3333-4444-555555555555", 123456, "Create", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
                                   "https://start.exactonline.nl/api/v1/123456/crm/Accounts(guid'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee')",
                                   "2025-03-04T13:14:50.07", ["escaped"])
    assert notification.hash_of(escaped, "s3cr3t") == "7230DDE83A008F3EF396B63B28D97F8C71B13BC3CE8E7AEF7EF1E7972643D200"
    assert notification.hash_of('{"Topic":"Documents","Division":2256995,"Key":"é,\\"HashCode\\":\\"x"}', "test-webhook-secret") == (
        "5D4E2E2FA902B23EB81498820AAAF993D01FD01B5BBDC02C24DF57AD49135AE1")
    assert notification.hash_of("{}", "s3cr3t") == "608B0C406F3DDA19702D71A048483B8C331283106D80A208E3CF43DBDE505286"


@pytest.mark.parametrize("style", [s for s in notification.STYLES])
def test_every_style_is_signed_over_its_own_bytes(sim, hook, style):
    subscribed(sim, hook, "Items", webhook_styles=[style])
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Bout"})
    [body] = hook.wait(1)
    content, _, _ = read(body)
    secret = sim.info["webhook_secret"]
    assert by_both_ends(body, secret) and by_indexes(body, secret)
    assert by_greedy_expression(body, secret) == (style != "trailing")
    assert (b"\\/" in body) == (style == "escaped") and ("EventCreatedOn" in content) == (style != "short")
    assert list(content)[2] == ("Action" if style == "action_first" else "Division")
    assert (content["Key"] == content["Key"].upper()) == (style == "upper_guids")
    assert (body.decode().isascii()) == (style != "utf8")
    if style.startswith("fraction_"):
        assert len(content["EventCreatedOn"].partition(".")[2]) == int(style[-1])


def test_random_styles_pass_every_way_of_checking(sim, hook):
    subscribed(sim, hook, "Accounts", webhook_styles=[])
    key = key_of(sim, ACCOUNT)
    for n in range(120):
        sim.change(ACCOUNT, "update", key, {"City": f"Plaats {n}"})
    bodies = hook.wait(120)
    secret = sim.info["webhook_secret"]
    for check in (by_both_ends, by_indexes, by_greedy_expression):
        assert all(check(body, secret) for body in bodies) and not any(check(body, secret + "x") for body in bodies)
    if shutil.which("node"):
        assert all(by_look_behind(bodies, secret)) and not any(by_look_behind(bodies, secret + "x"))
    seen = {style for m in sim.webhooks(kind="event") for style in m["styles"]}
    assert {"plain", "escaped", "action_first", "short", "upper_guids", "utf8"} <= seen


# ---- delivery ----

def test_what_is_not_2xx_is_sent_again(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_retries=5, webhook_retry_delay=0.05, webhook_timeout=0.5)
    hook.answers = [500, 302, 401, None, 204]
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Plug"})
    bodies = hook.wait(5)
    states = sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert states["delivered"] and len(set(bodies)) == 1 and bodies[0] == message["body"].encode()
    assert [t["status"] for t in message["tries"]] == [500, 302, 401, None, 204] and message["state"] == "delivered"
    assert [r["path"] for r in hook.requests] == ["/exact/hook"] * 5


def test_it_gives_up(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_retries=2, webhook_retry_delay=0)
    hook.answers = [503] * 9
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Pen"})
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert (message["state"], message["attempts"], message["status"]) == ("failed", 3, 503)


def test_a_slow_receiver_is_given_up_and_delays_no_other(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_retries=0, webhook_timeout=0.2)
    hook.seconds = 1
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Traag"})
    assert sim.get("logistics/Items?$top=1&$select=ID").status == 200
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert message["state"] == "failed" and "Timeout" in message["error"]


def test_lost_on_purpose(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_loss=1)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Kwijt"})
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert message["state"] == "lost" and message["attempts"] == 0 and hook.bodies == []
    sim.control("config", {"webhook_loss": 0.5})
    for n in range(60):
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": f"Half {n}"})
    sim.wait_webhooks()
    assert 5 < len(hook.bodies) < 55 and len(hook.bodies) == len(sim.webhooks(last, state="delivered"))


def test_duplicates(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_duplicate=1)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Dubbel"})
    sim.wait_webhooks()
    first, second = sim.webhooks(last)
    assert second["duplicate_of"] == first["n"] and first["duplicate_of"] is None and hook.bodies[0] == hook.bodies[1]


def test_order_is_kept_by_one_connection_and_lost_when_told(sim, hook):
    def texts():
        return [read(b)[0]["EventCreatedOn"] for b in hook.bodies]
    last = subscribed(sim, hook, "Items", webhook_parallel=1, webhook_styles=["fraction_7"])
    key = key_of(sim, ITEM)
    for n in range(25):
        sim.change(ITEM, "update", key, {"Description": f"Eerst {n}"})
    hook.wait(25)
    sim.wait_webhooks()
    assert hook.bodies == [m["body"].encode() for m in sim.webhooks(last)] and len({r["from"] for r in hook.requests}) == 1
    hook.clear()
    sim.control("config", {"webhook_reorder": 0.4})
    for n in range(25):
        sim.change(ITEM, "update", key, {"Description": f"Dan {n}"})
    sim.wait_webhooks()
    assert len(texts()) == 25 and hook.bodies != [m["body"].encode() for m in sim.webhooks(last)][25:]
    assert any(m["reordered"] for m in sim.webhooks(last))


def test_connections_are_kept_or_not(sim, hook):
    subscribed(sim, hook, "Items", webhook_parallel=1, webhook_keepalive=False)
    key = key_of(sim, ITEM)
    for n in range(3):
        sim.change(ITEM, "update", key, {"Description": f"Los {n}"})
    hook.wait(3)
    assert len({r["from"] for r in hook.requests}) == 3


def test_held_messages_go_when_let(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_hold=True)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Vast"})
    found = sim.control("webhooks/pending")
    assert (found["pending"], found["waiting"], found["held"]) == (1, 1, True) and hook.bodies == []
    sim.control("config", {"webhook_hold": False})
    hook.wait(1)
    assert sim.wait_webhooks()["delivered"] and len(sim.webhooks(last)) == 1


def test_delays_follow_the_clock(sim, hook):
    subscribed(sim, hook, "Items", webhook_delay_min=300, webhook_delay_max=300)
    key = key_of(sim, ITEM)
    sim.change(ITEM, "update", key, {"Description": "Later"})
    sim.control("clock", {"advance": 200})
    assert sim.control("webhooks/pending")["waiting"] == 1 and hook.bodies == []
    sim.control("clock", {"advance": 101})
    hook.wait(1)
    stopped = sim.control("clock", {"paused": True})
    assert stopped["paused"] is True and sim.control("clock")["now"] == stopped["now"]
    sim.change(ITEM, "update", key, {"Description": "Stil"})
    sim.control("config", {"webhook_delay_min": 0.1, "webhook_delay_max": 0.1})
    sim.change(ITEM, "update", key, {"Description": "Stiller"})
    assert sim.control("webhooks/pending")["waiting"] == 2
    sim.control("clock", {"advance": 1})
    hook.wait(2)
    assert sim.control("webhooks/pending")["waiting"] == 1
    resumed = sim.control("clock", {"paused": False, "advance": 300})
    assert resumed["paused"] is False and resumed["now"] >= stopped["now"]
    hook.wait(3)


def test_batches_leave_together(sim, hook):
    subscribed(sim, hook, "Items", webhook_batch=3600)
    sim.control("clock", {"paused": True})
    for n in range(5):
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": f"Samen {n}"})
        sim.control("clock", {"advance": 1})
    waiting = sim.control("webhooks/pending")["waiting"]
    assert waiting + len(hook.bodies) == 5
    sim.control("clock", {"advance": 3600})
    hook.wait(5)
    sim.control("clock", {"paused": False})


def test_messages_of_a_removed_subscription_are_dropped(sim, hook):
    last = subscribed(sim, hook, "Items", webhook_delay_min=60, webhook_delay_max=60)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Weg"})
    [row] = sim.get(ENDPOINT).rows
    sim.call("DELETE", f"{ENDPOINT}(guid'{row['ID']}')")
    assert [m["state"] for m in sim.webhooks(last)] == ["dropped"] and sim.control("webhooks/pending")["pending"] == 0


# ---- secrets, replays, other messages ----

def test_rotation_of_the_secret(sim, hook):
    subscribed(sim, hook, "Items", webhook_hold=True)
    key, old = key_of(sim, ITEM), sim.control("info")["webhook_secret"]
    sim.change(ITEM, "update", key, {"Description": "Oud"})
    made = sim.control("rotate_webhook_secret", {})
    assert made["previous"] == old and made["webhook_secret"] != old and sim.control("info")["webhook_secret"] == made["webhook_secret"]
    sim.change(ITEM, "update", key, {"Description": "Nieuw"})
    sim.control("config", {"webhook_hold": False, "webhook_parallel": 1})
    first, second = sorted(hook.wait(2), key=lambda b: not by_both_ends(b, old))
    assert by_both_ends(first, old) and not by_both_ends(second, old) and by_both_ends(second, made["webhook_secret"])
    sim.control("rotate_webhook_secret", {"secret": old})
    assert sim.control("info")["webhook_secret"] == old


def test_replays_are_the_same_bytes(sim, hook):
    last = subscribed(sim, hook, "Items", "Accounts", webhook_styles=[])
    for n in range(4):
        sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": f"Nog eens {n}"})
        sim.change(ACCOUNT, "update", key_of(sim, ACCOUNT), {"City": f"Stad {n}"})
    sim.wait_webhooks()
    bodies = sorted(hook.bodies)
    hook.clear()
    made = sim.replay(last, times=3)
    assert (made["recorded"], made["queued"]) == (8, 24)
    sim.wait_webhooks()
    assert sorted(hook.bodies) == sorted(bodies * 3)
    assert {m["replay_of"] for m in sim.webhooks(made["since"])} == {m["n"] for m in sim.webhooks(last, kind="event")}
    assert sim.replay(last)["recorded"] == 8 and sim.replay(last, topic="Items")["recorded"] == 4
    sim.wait_webhooks()


@pytest.mark.parametrize("how", notification.FORGERIES)
def test_forgeries_pass_nowhere(sim, hook, how):
    subscribed(sim, hook, "Items", webhook_styles=[])
    made = sim.control("webhooks/send", {"division": sim.division, "topic": "Items", "key": key_of(sim, ITEM), "forge": how})
    [body] = hook.wait(1)
    assert body == made["body"].encode() == base64.b64decode(made["body_base64"])
    code = json.loads(body)["HashCode"]
    message = body[11:body.rindex(b',"HashCode":"')]
    assert sign(sim.info["webhook_secret"], message) != code


def test_any_message_can_be_made(sim, hook):
    subscribed(sim, hook, "Items")
    secret = sim.info["webhook_secret"]
    made = sim.control("webhooks/send", {"topic": "Unicorns", "division": 999, "action": "Explode", "key": "x", "client_id": "me", "at": "soon",
                                         "endpoint": "http://evil.example.com/", "extra": {"Depth": 1}, "send": False})
    content = read(made["body"].encode())[0]
    assert content == {"Topic": "Unicorns", "ClientId": "me", "Division": 999, "Action": "Explode", "Key": "x",
                       "ExactOnlineEndpoint": "http://evil.example.com/", "EventCreatedOn": "soon", "Depth": 1}
    assert by_both_ends(made["body"].encode(), secret) and hook.bodies == [] and made["n"] == []
    sim.control("webhooks/send", {"content": "[1,2]"})
    sim.control("webhooks/send", {"content": {"Topic": "Items"}, "secret": "other", "times": 2})
    sim.control("webhooks/send", {"body": "not at all"})
    sim.control("webhooks/send", {"body_base64": base64.b64encode(b"\x00\xff").decode(), "url": hook.url + "/x"})
    bodies = hook.wait(5)
    assert notification.body("[1,2]", notification.hash_of("[1,2]", secret)) in bodies
    assert bodies.count(notification.body('{"Topic":"Items"}', notification.hash_of('{"Topic":"Items"}', "other"))) == 2
    assert b"not at all" in bodies and b"\x00\xff" in bodies and {r["path"] for r in hook.requests} == {"/exact/hook", "/exact/hook/x"}


def test_bad_control_requests_say_why(sim):
    for request, body in (("webhooks/send", {"nonsense": 1}), ("webhooks/send", {"url": "http://127.0.0.1:1/", "styles": ["baroque"]}),
                          ("webhooks/send", {}), ("webhooks/send", {"url": "http://127.0.0.1:1/", "forge": "nicely"}),
                          ("webhooks/send", {"send": False, "content": "{}", "forge": "unescaped"}), ("webhooks/other", {}),
                          ("subscriptions", {"division": sim.division, "topic": "Nothing"}), ("config", {"webhook_loss": 1.5}),
                          ("config", {"webhook_styles": ["baroque"]}), ("config", {"webhook_delay_min": -1}), ("config", {"webhook_parallel": 0})):
        reply = sim.send("POST", f"/_control/{request}", json.dumps(body))
        assert reply.status == 400 and reply.json()["error"], request


# ---- the ledger ----

ENTRY, ENTRY_LINE, POSTING = "purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines", "financialtransaction/TransactionLines"


@pytest.fixture(scope="module")
def books():
    with Running("--preset", "finance", "--records", 900, "--divisions", 1, "--seed", 3, "--minute-limit", 0, "--day-limit", 0) as made:
        made.authorize()
        yield made


def by_resource(sim, since):
    """{(topic, resource of the endpoint, action): keys} of the messages after a number."""
    sim.wait_webhooks()
    found = {}
    for message in sim.webhooks(since, kind="event"):
        endpoint = json.loads(message["body"])["Content"]["ExactOnlineEndpoint"]
        resource = re.search(r"/\d+/(.*)\(guid'", endpoint).group(1)
        found.setdefault((message["topic"], resource, message["action"]), []).append(message["key"])
    return found


def postings_of(sim, entry):
    return {key for key, (row, gone) in sim.truth(POSTING).items() if not gone and row["EntryID"] == entry}


def test_entries_lines_and_transaction_lines(books, hook):
    books.control("subscriptions", method="DELETE")
    last = subscribed(books, hook, "PurchaseEntries", "FinancialTransactions", "SalesEntries")
    supplier = next(k for k, (r, gone) in books.truth(ACCOUNT).items() if r["IsSupplier"] and not gone)
    ledger = next(k for k, (r, _) in books.truth("financial/GLAccounts").items() if r["Type"] == 121 or r["Type"] == 120)
    made = books.change(ENTRY, "create", fields={"Supplier": supplier, "Journal": "20"},
                        lines=[{"GLAccount": ledger, "AmountFC": 10.5, "VATCode": "2"}, {"GLAccount": ledger, "AmountFC": 2}])
    entry, lines = made["key"], {line["ID"] for line in made["row"]["PurchaseEntryLines"]}
    found = by_resource(books, last)
    assert {resource for _, resource, _ in found} == {ENTRY, ENTRY_LINE, POSTING} and {a for _, _, a in found} == {"Create"}
    for topic in ("PurchaseEntries", "FinancialTransactions"):
        assert found[topic, ENTRY, "Create"] == [entry] and set(found[topic, ENTRY_LINE, "Create"]) == lines
        assert set(found[topic, POSTING, "Create"]) == postings_of(books, entry)
    assert not any(topic == "SalesEntries" for topic, _, _ in found)

    last, line = books.control("webhooks/pending")["last"], min(lines)
    modified = books.truth(ENTRY)[entry][0]["Modified"]
    books.change(ENTRY_LINE, "update", line, {"Description": "anders"})
    found = by_resource(books, last)
    assert books.truth(ENTRY)[entry][0]["Modified"] == modified and not any(resource == ENTRY for _, resource, _ in found)
    assert found["PurchaseEntries", ENTRY_LINE, "Update"] == [line] and found["PurchaseEntries", POSTING, "Update"]

    books.control("config", {"webhook_transaction_lines": False})
    last, postings = books.control("webhooks/pending")["last"], postings_of(books, entry)
    books.change(ENTRY, "update", entry, {"YourRef": "R-1"})
    assert set(by_resource(books, last)) == {(topic, ENTRY, "Update") for topic in ("PurchaseEntries", "FinancialTransactions")}
    books.control("config", {"webhook_transaction_lines": True})
    last = books.control("webhooks/pending")["last"]
    books.change(ENTRY, "delete", entry)
    found = by_resource(books, last)
    assert found["PurchaseEntries", ENTRY, "Delete"] == [entry] and set(found["PurchaseEntries", ENTRY_LINE, "Delete"]) == lines
    assert set(found["PurchaseEntries", POSTING, "Delete"]) == postings and {a for _, _, a in found} == {"Delete"}


def test_random_changes_of_the_whole_preset(books, hook):
    books.control("subscriptions", method="DELETE")
    topics = ("BankEntries", "CashEntries", "GeneralJournalEntries", "PurchaseEntries", "SalesEntries", "SalesInvoices", "Items", "Accounts")
    last = subscribed(books, hook, *topics, webhook_styles=[], line_edit_moves_header=True)
    made = books.control("random", {"count": 300, "deletes": 0.1, "seed": 9})["changes"]
    books.wait_webhooks()
    found = {(m["action"], m["key"]) for m in books.webhooks(last)}
    silent = ("hrm/", "purchase/", "purchaseorder/", "financial/GLAccounts")
    expected = {(c["op"].capitalize(), c["key"]) for c in made if not c["resource"].startswith(silent)}
    assert len(expected) > 100 and expected <= found
    assert all(by_indexes(body, books.info["webhook_secret"]) for body in hook.bodies)
