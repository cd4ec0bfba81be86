"""Notifications in rarer forms: how they are sent, older names, subscriptions that end, repeats, silent fields
(entries E60 to E65)."""
# ruff: noqa: F401 (fixtures are imported)
import json

import pytest
from forms_scene import met
from webhook_scene import ITEM, by_both_ends, hook, key_of, read, running, sim, subscribed

ACCOUNTS = "crm/Accounts"


@pytest.mark.parametrize("style", ["chunked", "expect", "http10", "lower_headers"])
def test_e60_the_same_bytes_sent_otherwise(sim, hook, style):
    last = subscribed(sim, hook, "Items", webhook_styles=[style])
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Draad"})
    [body] = hook.wait(1)
    request = next(r for r in hook.requests if r["body"])
    headers = request["headers"]
    assert body == sim.webhooks(last)[0]["body"].encode() and by_both_ends(body, sim.info["webhook_secret"])
    assert ("Transfer-Encoding" in headers and "Content-Length" not in headers) == (style == "chunked")
    assert ("Expect" in headers) == (style == "expect") and ("content-type" in headers) == (style == "lower_headers")
    assert request["version"] == ("HTTP/1.0" if style == "http10" else "HTTP/1.1")
    assert sim.wait_webhooks()["delivered"] and met(sim)[style]


def test_e60_a_byte_order_mark(sim, hook):
    subscribed(sim, hook, "Items", webhook_styles=["bom"])
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Merk"})
    [body] = hook.wait(1)
    assert body.startswith(b"\xef\xbb\xbf{") and by_both_ends(body.removeprefix(b"\xef\xbb\xbf"),
                                                              sim.info["webhook_secret"])


def test_e61_the_names_of_2017(sim, hook):
    subscribed(sim, hook, "Items", webhook_styles=["old_names"])
    made = sim.change(ITEM, "create", fields={"Code": "OLD", "Description": "x"})["key"]
    sim.change(ITEM, "delete", made)
    contents = sorted((read(body)[0] for body in hook.wait(2)), key=lambda c: c["Action"])
    assert [c["Action"] for c in contents] == ["CREATE", "DELETE"]
    assert list(contents[0]) == ["Topic", "Action", "Division", "Key", "Endpoint"] and contents[0]["Key"] == made


@pytest.mark.parametrize("style,check", [
    ("text_division", lambda c, sim, key: c["Division"] == str(sim.division)),
    ("braces", lambda c, sim, key: c["Key"] == f"{{{key}}}"),
    ("topic_case", lambda c, sim, key: c["Topic"] == "items"), ("no_key", lambda c, sim, key: c["Key"] == "")])
def test_e62_what_a_hint_may_look_like(sim, hook, style, check):
    subscribed(sim, hook, "Items", webhook_styles=[style])
    key = key_of(sim, ITEM)
    sim.change(ITEM, "update", key, {"Description": "Vorm"})
    [body] = hook.wait(1)
    assert check(json.loads(read(body)[1]), sim, key)


def test_e62_styles_that_contradict_each_other_are_refused(sim):
    for styles in (["http10", "chunked"], ["old_names", "short"], ["fraction_1", "fraction_2"]):
        with pytest.raises(RuntimeError, match="400"):
            sim.control("config", {"webhook_styles": styles})


def test_e63_subscriptions_end_without_a_word(sim, hook):
    subscribed(sim, hook, "Items", "Accounts", subscription_loss=1)
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Weg"})
    assert [s["topic"] for s in sim.subscriptions()] == ["Accounts"] and not hook.bodies
    sim.control("config", {"subscription_loss": 0})
    sim.control("subscriptions", method="DELETE")       # a division loses all at once
    assert sim.subscriptions() == []


@pytest.mark.parametrize("form,attempts", [("fixed", 4), ("growing", 4), ("once", 1)])
def test_e63_ways_of_repeating(sim, hook, form, attempts):
    last = subscribed(sim, hook, "Items", webhook_retry_form=form, webhook_retry_delay=0.02)
    hook.answers = [503] * 9
    sim.change(ITEM, "update", key_of(sim, ITEM), {"Description": "Nog eens"})
    sim.wait_webhooks()
    [message] = sim.webhooks(last)
    assert message["attempts"] == attempts and message["state"] == "failed"
    sim.control("config", {"webhook_retry_form": "fixed"})


def test_e64_a_plain_callback_is_refused(sim, hook):
    subscribed(sim, hook, allow_http_callback=False)
    reply = sim.subscribe("Items", hook.url)
    assert reply.status == 500 and "CallbackURL" in reply.error


def test_e65_fields_that_announce_nothing(sim, hook):
    last = subscribed(sim, hook, "Accounts", webhook_flags="drawn", webhook_styles=["plain"])
    key, told = key_of(sim, ACCOUNTS), {}
    for name, value in {"City": "Plaats", "Phone": "1", "Email": "a@b.example", "Postcode": "1234", "Website": "x",
                        "Name": "Naam",
                        "AddressLine1": "Straat 1", "Remarks": "r", "SearchCode": "S", "Fax": "2"}.items():
        before = len(sim.webhooks(last))
        sim.change(ACCOUNTS, "update", key, {name: value})
        told[name] = len(sim.webhooks(last)) > before
    assert set(told.values()) == {True, False}
    sim.control("config", {"webhook_flags": "all"})
