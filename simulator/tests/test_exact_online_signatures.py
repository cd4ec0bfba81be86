"""Bytes and signatures of webhook messages; rotated secrets, replays, forgeries and messages made by hand."""
# ruff: noqa: F401 (fixtures are imported)
import base64
import hashlib
import json
import shutil

import pytest
from webhook_scene import (
    ACCOUNT,
    ITEM,
    by_both_ends,
    by_greedy_expression,
    by_indexes,
    by_look_behind,
    hook,
    key_of,
    read,
    running,
    sign,
    sim,
    subscribed,
)

from simulator.exact_online import notification


def test_the_vectors_of_the_documentation():
    content = notification.content("Items", "6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11", 2256995, "Update",
                                   "0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b",
                                   "https://start.exactonline.nl/api/v1/2256995/logistics/"
                                   "Items(guid'0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b')",
                                   "2025-03-04T13:14:50.070", ["plain"])
    code = notification.hash_of(content, "test-webhook-secret")
    assert code == "407C1F56654DECE5E0B149FEEBEB7BF57086EEF53CA858FC415E464997202D83" and len(content) == 320
    body = notification.body(content, code)
    assert hashlib.sha256(body).hexdigest() == "b5fe7321ce5098ad4974227cec1c80d0aa30a96d44db8b7eccd60a7bc9badc99"
    escaped = notification.content("Accounts", "11111111-2222-3333-4444-555555555555", 123456, "Create",
                                   "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
                                   "https://start.exactonline.nl/api/v1/123456/crm/"
                                   "Accounts(guid'aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee')",
                                   "2025-03-04T13:14:50.07", ["escaped"])
    assert notification.hash_of(escaped, "s3cr3t") == "7230DDE83A008F3EF396B63B28D97F8C71B13BC3CE8E7AEF7EF1E7972643D200"
    assert notification.hash_of('{"Topic":"Documents","Division":2256995,"Key":"é,\\"HashCode\\":\\"x"}',
                                "test-webhook-secret") == (
        "5D4E2E2FA902B23EB81498820AAAF993D01FD01B5BBDC02C24DF57AD49135AE1")
    assert notification.hash_of("{}", "s3cr3t") == "608B0C406F3DDA19702D71A048483B8C331283106D80A208E3CF43DBDE505286"


@pytest.mark.parametrize("style", list(notification.STYLES))
def test_every_style_is_signed_over_its_own_bytes(sim, hook, style):
    subscribed(sim, hook, "Items", webhook_styles=[style])
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Bout"})
    [body] = hook.wait(1)
    content, _, _ = read(body)
    secret = sim.info["webhook_secret"]
    assert by_both_ends(body, secret) and (style == "bom" or by_indexes(body, secret))
    assert by_greedy_expression(body, secret) == (style not in ("trailing", "bom"))
    assert (b"\\/" in body) == (style == "escaped") and ("EventCreatedOn" in content) == (style not in ("short",
                                                                                                        "old_names"))
    assert list(content)[2] == ("Action" if style == "action_first" else "Division")
    assert (content["Key"] == content["Key"].upper()) == (style in ("upper_guids", "no_key"))
    assert (body.decode().isascii()) == (style not in ("utf8", "bom"))
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


# ---- secrets, replays, other messages ----

def test_rotation_of_the_secret(sim, hook):
    subscribed(sim, hook, "Items", webhook_hold=True)
    key, old = key_of(sim, ITEM), sim.control("info")["webhook_secret"]
    sim.change(ITEM, "update", key, {"Description": "Oud"})
    made = sim.control("rotate_webhook_secret", {})
    assert made["previous"] == old and made["webhook_secret"] != old and sim.control("info")["webhook_secret"] == made[
        "webhook_secret"]
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
    made = sim.control("webhooks/send", {"division": sim.division, "topic": "Items", "key": key_of(sim, ITEM),
                                         "forge": how})
    [body] = hook.wait(1)
    assert body == made["body"].encode() == base64.b64decode(made["body_base64"])
    code = json.loads(body)["HashCode"]
    message = body[11:body.rindex(b',"HashCode":"')]
    assert sign(sim.info["webhook_secret"], message) != code


def test_any_message_can_be_made(sim, hook):
    subscribed(sim, hook, "Items")
    secret = sim.info["webhook_secret"]
    made = sim.control("webhooks/send", {"topic": "Unicorns", "division": 999, "action": "Explode", "key": "x",
                                         "client_id": "me", "at": "soon",
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
    assert b"not at all" in bodies and b"\x00\xff" in bodies and {r["path"] for r in hook.requests} == {"/exact/hook",
                                                                                                        "/exact/hook/x"}


def test_bad_control_requests_say_why(sim):
    for request, body in (("webhooks/send", {"nonsense": 1}),
                          ("webhooks/send", {"url": "http://127.0.0.1:1/", "styles": ["baroque"]}),
                          ("webhooks/send", {}), ("webhooks/send", {"url": "http://127.0.0.1:1/", "forge": "nicely"}),
                          ("webhooks/send", {"send": False, "content": "{}", "forge": "unescaped"}),
                          ("webhooks/other", {}),
                          ("subscriptions", {"division": sim.division, "topic": "Nothing"}),
                          ("config", {"webhook_loss": 1.5}),
                          ("config", {"webhook_styles": ["baroque"]}), ("config", {"webhook_delay_min": -1}),
                          ("config", {"webhook_parallel": 0})):
        reply = sim.send("POST", f"/_control/{request}", json.dumps(body))
        assert reply.status == 400 and reply.json()["error"], request
