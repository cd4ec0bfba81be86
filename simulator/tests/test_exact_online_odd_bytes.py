"""Answers that are no text, on each kind of call."""
import gzip
from urllib.parse import quote

import pytest
from raw_call import answer_to

from simulator.exact_online.harness import Running
from simulator.exact_online.odd_bytes import KINDS

NOBODY = quote(f"ID eq guid'{'0' * 8}-0000-0000-0000-{'0' * 12}'")
CALLS = {"read": "GET /api/v1/{d}/sync/Logistics/Items", "deleted": "GET /api/v1/{d}/sync/Deleted",
         "divisions": "GET /api/v1/{d}/system/AllDivisions", "me": "GET /api/v1/current/Me",
         "keyed": "GET /api/v1/{d}/logistics/Items?$filter=" + NOBODY,
         "subscriptions": "GET /api/v1/{d}/webhooks/WebhookSubscriptions",
         "subscribe": "POST /api/v1/{d}/webhooks/WebhookSubscriptions", "token": "POST /api/oauth2/token"}


@pytest.fixture(scope="module")
def sim():
    with Running("--records", 40, "--divisions", 1) as running:
        running.authorize()
        yield running


def raw(sim, call):
    return answer_to(sim.url, call.format(d=sim.division), "Accept: application/json")


@pytest.mark.parametrize("call", CALLS)
def test_every_call_meets_them(sim, call):
    sim.control("faults", {"path": "/api/", "action": "odd_bytes", "kind": "latin1", "status": 403})
    head, _, body = raw(sim, CALLS[call]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 Fehlermeldung f\xfcr") and b"Reason: Fehlermeldung f\xfcr" in head
    for part in (head, body):
        with pytest.raises(UnicodeDecodeError):
            part.decode()


def test_what_each_kind_holds(sim):
    answers = {}
    for kind in KINDS:
        sim.control("faults", {"path": "/api/", "action": "odd_bytes", "kind": kind})
        answers[kind] = raw(sim, CALLS["read"])
    assert b"\xff\xfe{\x00" in answers["utf16"]
    assert all(part in answers["controls"] for part in (b"\x1b[31m", b"\x7f", b"\xc2\x9b", b"\xe2\x80\xae", rb"\u0000"))
    assert min(len(answers["long"]), len(answers["long_header"])) > 10 << 20
    assert len(answers["bomb"]) < 1 << 20 and len(gzip.decompress(answers["bomb"].partition(b"\r\n\r\n")[2])) > 1 << 28


def test_unknown_kind_is_refused(sim):
    with pytest.raises(RuntimeError, match="latin1"):
        sim.control("faults", {"path": "", "action": "odd_bytes", "kind": "klingon"})
