"""Answers that are no text, on each kind of call."""

import json

import pytest
from raw_call import answer_to
from test_databricks_support import Server

from simulator.databricks.odd_bytes import KINDS

CALLS = {
    "execute": "POST /api/2.0/sql/statements",
    "poll": "GET /api/2.0/sql/statements/01f0-1",
    "chunk": "GET /api/2.0/sql/statements/01f0-1/result/chunks/1?row_offset=1",
    "cancel": "POST /api/2.0/sql/statements/01f0-1/cancel",
    "history": "GET /api/2.0/sql/history/queries",
    "warehouse": "GET /api/2.0/sql/warehouses/w1",
    "discovery": "GET /oidc/.well-known/oauth-authorization-server",
    "token": "POST /oidc/v1/token",
}


@pytest.fixture(scope="module")
def workspace():
    server = Server("--engine", "none")
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("call", CALLS)
def test_every_call_meets_them(workspace, call):
    workspace.fault(action="odd_bytes", kind="latin1", status=403)
    head, _, body = answer_to(workspace.url, CALLS[call]).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 403 TEMPOR\xc4R") and b"x-request-id: TEMPOR\xc4R" in head
    for part in (head, body):
        with pytest.raises(UnicodeDecodeError):
            part.decode()


def test_what_each_kind_holds(workspace):
    answers = {}
    for kind in KINDS:
        workspace.fault(action="odd_bytes", kind=kind, form="plain" if kind == "utf16" else "json")
        answers[kind] = answer_to(workspace.url, CALLS["execute"])
    assert b"\xff\xfeT\x00" in answers["utf16"]
    assert all(part in answers["controls"] for part in (b"\x1b[31m", b"\x7f", b"\xc2\x9b", b"\xe2\x80\xae", rb"\u0000"))
    assert min(len(answers["long"]), len(answers["long_header"])) > 10 << 20


@pytest.mark.parametrize("kind", ["latin1", "controls"])
def test_failed_statement_is_sound_json(workspace, kind):
    workspace.fault(action="odd_bytes", kind=kind, form="statement", status=200)
    answer = json.loads(answer_to(workspace.url, CALLS["execute"]).partition(b"\r\n\r\n")[2])
    assert answer["status"]["state"] == "FAILED" and "\x9b" in answer["status"]["error"]["message"]


def test_unknown_ones_are_refused(workspace):
    assert "latin1" in workspace.refused("faults", action="odd_bytes", kind="klingon")
    assert "plain" in workspace.refused("faults", action="odd_bytes", kind="latin1", form="klingon")
