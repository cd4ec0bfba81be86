"""Faults on demand: what POST /_control/faults asks for, matched against requests as they come."""

import asyncio
import itertools
import json
import re
import socket
import struct
from email.utils import formatdate

from aiohttp import web

from . import odd_bytes, wire
from .tokens import invalid_token, refusal
from .weather import SHAPES
from .wire import LOGIN_PAGE

HTTP_ACTIONS = (
    "status",
    "reset_before",
    "reset_after",
    "reset_running",
    "delay",
    "hang",
    "html",
    "token_expired",
    "cut_body",
    "repeat_page",
    "rate_limited",
    "wrong_org",
    "ip_blocked",
    "auth_unavailable",
    "error_shape",
    "cut_gzip",
    "gzip_bomb",
    "accept_only",
    "slow_headers",
    "interim",
    "close_idle",
    "connection_close",
    "redirect",
    "monster",
    "odd_bytes",
)
STATEMENT_ACTIONS = (
    "fail",
    "fail_after",
    "pending",
    "slow",
    "forget",
    "scheduling",
    "conflict",
    "stopped",
    "canceled",
    "short_result",
    "between",
    "state",
)
_NEEDED = {
    "delay": "seconds",
    "pending": "seconds",
    "slow": "seconds",
    "status": "status",
    "between": "sql",
    "state": "state",
    "redirect": "to",
}
_TYPES = {"seconds": (int, float), "status": int, "sql": str, "state": str, "to": str}
_CHOICES = {
    "error_shape": ("shape", SHAPES),
    "monster": ("kind", wire.MONSTERS),
    "odd_bytes": ("kind", odd_bytes.KINDS),
}
RETRY_AFTER = ("absent", "1", "date", "0", "negative", "text")
_BODIES = {
    429: ("REQUEST_LIMIT_EXCEEDED", "Too many requests. Please try again later."),
    500: ("INTERNAL_ERROR", "The service could not complete the request."),
    503: ("TEMPORARILY_UNAVAILABLE", "The service at this path is temporarily unavailable. Please try again later."),
    504: ("DEADLINE_EXCEEDED", "The operation timed out."),
}
_STATEMENT_ID = re.compile(r"^/api/2\.0/sql/statements/([0-9a-f-]+)")
_SUBMIT = re.compile(r"^/api/2\.0/sql/statements/?$")


class Faults:
    def __init__(self):
        self.rules, self._ids = {}, itertools.count(1)
        self.rate = (0, 0)  # the second, and how many calls came in it

    def add(self, rule):
        """Takes a rule. Raises ValueError when it cannot be understood."""
        rule = {"times": 1, "skip": 0, "path": "", **rule}
        action = rule.get("action")
        if action not in HTTP_ACTIONS + STATEMENT_ACTIONS:
            raise ValueError(f"unknown action {action!r}; known: {', '.join(HTTP_ACTIONS + STATEMENT_ACTIONS)}")
        need = _NEEDED.get(action)
        if need and not isinstance(rule.get(need), _TYPES[need]):
            raise ValueError(
                f"action {action} needs {'an' if need == 'sql' else 'a' if need != 'seconds' else 'a number of'} {need}"
            )
        if action in _CHOICES:
            name, choices = _CHOICES[action]
            if rule.get(name) not in choices:
                raise ValueError(f"action {action} needs a {name}, one of: {', '.join(choices)}")
        if action == "odd_bytes" and rule.get("form", "json") not in odd_bytes.FORMS:
            raise ValueError(f"odd_bytes takes a form, one of: {', '.join(odd_bytes.FORMS)}")
        if action == "rate_limited" and rule.get("retry_after", "absent") not in RETRY_AFTER:
            raise ValueError(f"retry_after takes one of: {', '.join(RETRY_AFTER)}")
        for name in ("path", "statement"):
            re.compile(rule.get(name) or "")
        rule["id"], rule["seen"], rule["applied"] = next(self._ids), 0, 0
        self.rules[rule["id"]] = rule
        return rule

    def matching(self, method, path, text):
        """The rules that apply to this request; counts it. `text` is the statement's, None when the request has
        none."""
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
            elif rule["action"] == "state":
                pass
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
    faults, statements, settings, weather = (
        workspace.faults,
        workspace.statements,
        workspace.settings,
        workspace.weather,
    )

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
        if request.path.startswith("/_control"):
            return await handler(request)
        refused = limits(request) or await too_large(request)
        if refused is not None:
            return refused
        rules = faults.matching(request.method, request.path, await text_of(request)) if faults.rules else []
        request["statement_faults"] = [r for r in rules if r["action"] in STATEMENT_ACTIONS]
        for rule in request["statement_faults"]:
            if (
                rule["action"] == "forget"
                and (match := _STATEMENT_ID.match(request.path))
                and match.group(1) in statements.all
            ):
                statements.all[match.group(1)].forgotten = True
        rule = next((r for r in rules if r["action"] in HTTP_ACTIONS), None)
        if rule is None and not rules:
            rule = weather.http_rule(request["number"], request.path, request.method)
        request["fault_rules"] = rules + [rule] if rule else rules
        return await (_act(request, handler, rule, workspace) if rule else handler(request))

    def limits(request):
        """429 above rate_limit; a login page on a unified host for a call without the workspace header."""
        if not request.path.startswith("/api/"):
            return None
        if settings.unified_host and not (
            request.headers.get("X-Databricks-Workspace-Id") or request.headers.get("X-Databricks-Org-Id")
        ):
            weather.met("unified_host")
            return web.Response(text=LOGIN_PAGE, content_type="text/html")
        if settings.rate_limit:
            second = int(workspace.clock.now())
            faults.rate = (second, faults.rate[1] + 1 if faults.rate[0] == second else 1)
            if faults.rate[1] > settings.rate_limit:
                return rate_limited(workspace, settings.retry_after)
        return None

    async def too_large(request):
        if not settings.body_limit or not request.can_read_body or not request.path.startswith("/api/"):
            return None
        if len(await request.read()) <= settings.body_limit:
            return None
        weather.met("body_limit")
        if settings.body_limit_form == "reset":
            return cut(request)
        if settings.body_limit_form == "413":
            return web.Response(
                text="<html><head><title>413 Request Entity Too Large</title></head></html>",
                status=413,
                content_type="text/html",
            )
        return web.json_response(
            {"error_code": "MALFORMED_REQUEST", "message": "The request body is too large."}, status=400
        )

    return apply


def rate_limited(workspace, how):
    """429 with a Retry-After in one of the forms of `how`."""
    workspace.weather.met("rate_limit")
    if how != "absent":
        workspace.weather.met("retry_after")
    values = {
        "absent": None,
        "1": "1",
        "date": formatdate(workspace.clock.now() + 1, usegmt=True),
        "0": "0",
        "negative": "-5",
        "text": "soon",
    }
    code, message = _BODIES[429]
    return web.json_response(
        {"error_code": code, "message": message},
        status=429,
        headers={"Retry-After": values[how]} if values[how] else {},
    )


async def _act(request, handler, rule, workspace):
    action = rule["action"]
    form = rule.get("form", action)
    if form in _FORMS:
        workspace.weather.met(form)
    if action == "repeat_page":
        return await handler(request)
    early = _refusal(action, rule, workspace)
    if early is not None:
        return early
    if action == "reset_before":
        return cut(request)
    if action == "close_idle":
        return wire.closed(request)
    if action == "odd_bytes":
        return await odd_bytes.send(request, rule)
    if action == "accept_only":
        return await wire.never(request, rule.get("seconds", 86400))
    if action == "delay":
        await workspace.clock.sleep(rule["seconds"])
        return await handler(request)
    if action == "token_expired":
        workspace.tokens.revoke(request.headers.get("Authorization", ""))
        return invalid_token()
    if action == "hang":
        await wire.never(request, rule.get("seconds", 86400))
        return cut(request)
    if action == "reset_running":
        return await _cut_when_accepted(request, handler)
    response = await handler(request)
    if action == "cut_body":
        return await _cut_body(request, response)
    if action == "cut_gzip":
        return wire.cut_gzip(response)
    if action == "slow_headers":
        return await wire.slow_headers(request, response, rule.get("seconds", 0.01))
    if action == "interim":
        return wire.interim(request, response, rule.get("count", 100))
    if action == "connection_close":
        response.force_close()
        return response
    if request.get("statement") is not None:  # reset_after
        await request["statement"].done.wait()
    return cut(request)


_FORMS = {
    "cut_gzip",
    "gzip_bomb",
    "accept_only",
    "slow_headers",
    "interim",
    "close_idle",
    "connection_close",
    "redirect",
    "monster",
    "reset_before",
    "reset_after",
    "wrong_org",
    "ip_blocked",
    "auth_unavailable",
    "error_shape",
    "start_503",
    "discovery",
}


def _refusal(action, rule, workspace):
    """The answer of the actions that never reach the service, None for the others."""
    if action == "status":
        return _status(rule)
    if action == "html":
        return web.Response(text=LOGIN_PAGE, content_type="text/html", status=rule.get("status", 200))
    if action == "rate_limited":
        return rate_limited(workspace, rule.get("retry_after", "absent"))
    if action == "wrong_org":
        return refusal(403, f"Invalid access to Org: {workspace.workspace_id}")
    if action == "ip_blocked":
        return refusal(
            403,
            f"Source IP address: 203.0.113.7 is blocked by Databricks IP ACL for workspace: {workspace.workspace_id} "
            "[ReqId: 8f3c1a52-0000-4000-8000-000000000001]",
        )
    if action == "auth_unavailable":
        return web.json_response(
            {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "Authentication is temporarily unavailable"},
            status=503,
        )
    if action == "error_shape":
        return wire.error_shape(rule["shape"])
    if action == "gzip_bomb":
        return wire.gzip_bomb(rule.get("megabytes", 100))
    if action == "redirect":
        return web.Response(status=rule.get("status", 302), headers={"Location": rule["to"]})
    if action == "monster":
        return wire.monster(rule["kind"], rule.get("size"))
    return None


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
