"""Faults on demand: what POST /_control/faults asks for, matched against requests as they come."""

import asyncio
import itertools
import json
import re
import socket
import struct

from aiohttp import web

from .tokens import invalid_token

HTTP_ACTIONS = ("status", "reset_before", "reset_after", "reset_running", "delay", "hang", "html", "token_expired", "cut_body")
STATEMENT_ACTIONS = ("fail", "fail_after", "pending", "slow", "forget")
_BODIES = {
    429: ("REQUEST_LIMIT_EXCEEDED", "Too many requests. Please try again later."),
    500: ("INTERNAL_ERROR", "The service could not complete the request."),
    503: ("TEMPORARILY_UNAVAILABLE", "The service at this path is temporarily unavailable. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The operation timed out."),
}
_LOGIN_PAGE = "<!doctype html><html><head><title>Databricks - Sign In</title></head><body><div id='login-page'></div></body></html>"
_STATEMENT_ID = re.compile(r"^/api/2\.0/sql/statements/([0-9a-f-]+)")
_SUBMIT = re.compile(r"^/api/2\.0/sql/statements/?$")


class Faults:
    def __init__(self):
        self.rules, self._ids = {}, itertools.count(1)

    def add(self, rule):
        """Takes a rule. Raises ValueError when it cannot be understood."""
        rule = {"times": 1, "skip": 0, "path": "", **rule}
        action = rule.get("action")
        if action not in HTTP_ACTIONS + STATEMENT_ACTIONS:
            raise ValueError(f"unknown action {action!r}; known: {', '.join(HTTP_ACTIONS + STATEMENT_ACTIONS)}")
        if action in ("delay", "pending", "slow") and not isinstance(rule.get("seconds"), (int, float)):
            raise ValueError(f"action {action} needs seconds")
        if action == "status" and not isinstance(rule.get("status"), int):
            raise ValueError("action status needs a status")
        for name in ("path", "statement"):
            re.compile(rule.get(name) or "")
        rule["id"], rule["seen"], rule["applied"] = next(self._ids), 0, 0
        self.rules[rule["id"]] = rule
        return rule

    def matching(self, method, path, text):
        """The rules that apply to this request; counts it. `text` is the statement's, None when the request has none."""
        found = []
        for rule in self.rules.values():
            if rule.get("method") and rule["method"].upper() != method:
                continue
            if not re.search(rule["path"], path):
                continue
            if rule.get("statement"):
                if text is None or not re.search(rule["statement"], text, re.S | re.I):
                    continue
                if not rule["path"] and not rule.get("method") and not _SUBMIT.match(path):
                    continue
            elif rule["action"] in STATEMENT_ACTIONS and not rule["path"] and not _SUBMIT.match(path):
                continue
            rule["seen"] += 1
            if rule["seen"] <= rule["skip"] or 0 <= rule["times"] <= rule["applied"]:
                continue
            rule["applied"] += 1
            found.append(rule)
        return found


def cut(request):
    """Cuts the connection of `request` with a reset."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=500)


def middleware(workspace):
    faults, statements = workspace.faults, workspace.statements

    async def text_of(request):
        """The SQL text that a request is about."""
        if _SUBMIT.match(request.path) and request.method == "POST":
            try:
                text = json.loads(await request.read()).get("statement")
                return text if isinstance(text, str) else ""
            except (ValueError, AttributeError):
                return ""
        match = _STATEMENT_ID.match(request.path)
        statement = statements.all.get(match.group(1)) if match else None
        return statement.text if statement else None

    @web.middleware
    async def apply(request, handler):
        if not faults.rules or request.path.startswith("/_control"):
            return await handler(request)
        rules = faults.matching(request.method, request.path, await text_of(request))
        request["statement_faults"] = [r for r in rules if r["action"] in STATEMENT_ACTIONS]
        for rule in request["statement_faults"]:
            if rule["action"] == "forget" and (match := _STATEMENT_ID.match(request.path)) and match.group(1) in statements.all:
                statements.all[match.group(1)].forgotten = True
        rule = next((r for r in rules if r["action"] in HTTP_ACTIONS), None)
        return await (_act(request, handler, rule, workspace) if rule else handler(request))

    return apply


async def _act(request, handler, rule, workspace):
    action = rule["action"]
    if action == "reset_before":
        return cut(request)
    if action == "delay":
        await workspace.clock.sleep(rule["seconds"])
        return await handler(request)
    if action == "status":
        return _status(rule)
    if action == "html":
        return web.Response(text=_LOGIN_PAGE, content_type="text/html", status=rule.get("status", 200))
    if action == "token_expired":
        workspace.tokens.revoke(request.headers.get("Authorization", ""))
        return invalid_token()
    if action == "hang":
        loop, until = asyncio.get_running_loop(), rule.get("seconds", 86400)
        end = loop.time() + until
        while request.transport is not None and not request.transport.is_closing() and loop.time() < end:
            await asyncio.sleep(0.05)
        return cut(request)
    if action == "reset_running":
        return await _cut_when_accepted(request, handler)
    response = await handler(request)
    if action == "cut_body":
        return await _cut_body(request, response)
    if request.get("statement") is not None:  # reset_after
        await request["statement"].done.wait()
    return cut(request)


def _status(rule):
    code, message = _BODIES.get(rule["status"], ("UNKNOWN", "The request failed."))
    body = rule.get("body", {"error_code": code, "message": message})
    if isinstance(body, str):
        return web.Response(text=body, status=rule["status"], headers=rule.get("headers"))
    return web.json_response(body, status=rule["status"], headers=rule.get("headers"))


async def _cut_when_accepted(request, handler):
    request["accepted"] = asyncio.Event()
    task = asyncio.create_task(handler(request))
    accepted = asyncio.create_task(request["accepted"].wait())
    await asyncio.wait((task, accepted), return_when=asyncio.FIRST_COMPLETED)
    accepted.cancel()
    task.add_done_callback(lambda t: t.cancelled() or t.exception())
    return cut(request)


async def _cut_body(request, response):
    body = response.body if isinstance(response.body, bytes) else b""
    partial = web.StreamResponse(status=response.status, headers={"Content-Type": response.content_type})
    partial.content_length = len(body)
    await partial.prepare(request)
    await partial.write(body[:len(body) // 2])
    return cut(request)
