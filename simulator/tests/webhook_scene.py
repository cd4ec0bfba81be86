"""For tests of webhooks: a simulator with quiet settings, a receiver, and how receivers that others wrote check a
signature."""
import hashlib
import hmac
import json
import re
import subprocess

import pytest

from simulator.exact_online.harness import Running
from simulator.exact_online.receiver import Receiver

ENDPOINT = "webhooks/WebhookSubscriptions"
ORDER, LINE = "purchaseorder/PurchaseOrders", "purchaseorder/PurchaseOrderLines"
ACCOUNT, ITEM = "crm/Accounts", "logistics/Items"
DEFAULTS = {"webhook_styles": ["plain"], "webhook_loss": 0, "webhook_duplicate": 0, "webhook_reorder": 0,
            "webhook_retries": 3,
            "webhook_retry_delay": 10, "webhook_timeout": 10, "webhook_parallel": 8, "webhook_keepalive": True,
            "webhook_hold": False,
            "webhook_silent_fields": [], "webhook_delay_min": 0, "webhook_delay_max": 0, "webhook_batch": 0,
            "refused_topics": [],
            "missing_scopes": [], "validation_delay": 0, "allow_subscription_put": False, "allow_http_callback": True,
            "language": "NL"}


@pytest.fixture(scope="module")
def running():
    with Running("--records", 400, "--divisions", 2, "--seed", 11, "--minute-limit", 0, "--day-limit", 0,
                 "--error-limit", 0) as made:
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
    """(Content, message bytes, HashCode) of a body; a byte order mark is taken off."""
    body = body.removeprefix(b"\xef\xbb\xbf")
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
