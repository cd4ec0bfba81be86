"""The HTTP side: finds the resource of a request, applies the rules that stand before it, injected faults and latency."""
import asyncio
import dataclasses
import html
import random
import re
import socket
import struct
import time
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import web

from . import atom, generate, oauth, read, rows, subscriptions, words, write
from .catalogue import BY_LOWER_PATH, FINANCE, PRESETS, RESOURCES, SET_OF
from .clock import Clock, utc_iso
from .control import Control
from .faults import Faults
from .journal import Journal
from .limits import Limits
from .odata import Refused, parse_options, parse_token
from .sender import Sender

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
BODY_LIMIT = 10 * 1024 * 1024
_SEGMENT = re.compile(r"^([^(]+)(?:\((.*)\))?$", re.S)
_MOVED = '<html><head><title>Object moved</title></head><body><h2>Object moved to <a href="/docs/Login.aspx">here</a>.</h2></body></html>'
_LOGIN = ("<!DOCTYPE html><html><head><title>Exact Online - Inloggen</title></head><body><form action=\"/docs/Login.aspx\">"
          "<h1>Inloggen</h1></form></body></html>")


@dataclasses.dataclass
class Answer:
    """An answer before it is sent."""
    status: int
    body: bytes = b""
    kind: str = JSON
    headers: dict = dataclasses.field(default_factory=dict)
    page: list = dataclasses.field(default_factory=list)
    rows: int = 0
    later: object = None        # a coroutine that gives the answer, when it takes a call of our own


@dataclasses.dataclass
class Call:
    """One request: what was sent and what became known of it on the way."""
    method: str
    target: str                 # path and query as sent
    headers: object
    base: str
    body: bytes
    entry: dict
    fault: object = None
    json: bool = False
    user: str = None
    limit_headers: dict = dataclasses.field(default_factory=dict)

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return self.target.partition("?")[2]


def error_body(text, as_json):
    """The service's error body in the format of the request."""
    if as_json:
        return rows.to_json({"error": {"code": "", "message": {"lang": "", "value": text}}}).encode(), JSON
    return atom.error(text).encode(), "application/xml; charset=utf-8"


class Simulator:
    """The whole state of one running simulator."""

    def __init__(self, settings):
        self.settings = settings
        self.clock = Clock(settings.clock_offset)
        self.limits = Limits(settings, self.clock)
        self.faults = Faults()
        self.journal = Journal(settings)
        self.divisions = generate.divisions(settings, self.clock)
        self.current_division = min(self.divisions)
        self.oauth = oauth.OAuth(settings, self.clock, self.divisions[self.current_division].info["names"])
        self.random = random.Random(f"changes {settings.seed}")
        self.base_url = settings.base_url
        self.subscriptions = subscriptions.Subscriptions(self)
        self.sender = Sender(self)
        self.control = Control(self)
        for division in self.divisions.values():
            division.freeze_rows, division.told = freeze_rows, self.sender.told

    def serves(self, resource):
        """Whether the preset has a resource."""
        return resource.entity not in FINANCE or resource.entity in PRESETS[self.settings.preset]

    # ---- one request ----

    async def handle(self, request):
        """Every request comes here."""
        target = request.raw_path
        if target.startswith("/_control/"):
            return await self.control.handle(request)
        started = time.monotonic()
        entry = {"at": utc_iso(self.clock.now()), "method": request.method, "path": unquote(target.partition("?")[0]),
                 "query": unquote(target.partition("?")[2]), "status": 0, "division": None, "rows": None, "app": None, "fault": None}
        fault = self.faults.match(request.method, target)
        if fault:
            entry["fault"] = fault.action
        try:
            return await self._answer(request, target, fault, entry)
        finally:
            entry["ms"] = round((time.monotonic() - started) * 1000, 1)
            self.journal.call(entry)

    async def _answer(self, request, target, fault, entry):
        action, a = (fault.action, fault.arguments) if fault else (None, {})
        if action == "reset_before":
            return reset(request)
        if action == "hang":
            await fault.removed.wait()
            return reset(request)
        if action == "delay":
            await asyncio.sleep(a["seconds"])
        if action in ("status", "html"):
            answer = injected(action, a)
        else:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                body = None
            host = self.settings.base_url or f"{'https' if self.settings.tls_cert else 'http'}://{request.host}"
            call = Call(request.method, target, request.headers, host.rstrip("/"), body, entry, fault)
            call.json = "application/json" in request.headers.get("Accept", "").lower()
            answer = self.process(call)
            if answer.later:
                answer = await answer.later
        if self.settings.latency_max:
            await asyncio.sleep(self.random.uniform(self.settings.latency_min, self.settings.latency_max) / 1000)
        if action == "reset_after":
            entry["status"] = answer.status
            return reset(request)
        if action == "delay_after":
            await asyncio.sleep(a["seconds"])
        if action == "malformed":
            answer = Answer(200, answer.body[:max(len(answer.body) * 2 // 3, 1)], JSON, answer.headers)
        entry["status"], entry["rows"] = answer.status, answer.rows
        return await self.send(request, answer, fault)

    async def send(self, request, answer, fault):
        """Send an answer; its rows count as served when all of it has left this process."""
        action, a = (fault.action, fault.arguments) if fault else (None, {})
        headers = {"Date": self.clock.http_date(), "Cache-Control": "private", **answer.headers}
        if answer.status != 204 and "Content-Type" not in headers:
            headers["Content-Type"] = answer.kind
        transport = request.transport
        if transport is None or transport.is_closing():
            return web.Response(status=499)
        transport.set_write_buffer_limits(0)
        try:
            if action in ("slow_body", "truncate"):
                response = web.StreamResponse(status=answer.status, headers=headers)
                response.content_length = len(answer.body)
                await response.prepare(request)
                if action == "truncate":
                    whole = len(answer.body)
                    await response.write(answer.body[:min(int(a.get("at", whole // 2)), max(whole - 1, 0))])
                    transport.close()
                    return response
                step = max(int(a["bytes_per_second"]) // 10, 1)
                for at in range(0, len(answer.body), step):
                    if at:
                        await asyncio.sleep(0.1)
                    await response.write(answer.body[at:at + step])
            else:
                response = web.Response(status=answer.status, headers=headers, body=answer.body)
                await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            return response
        if action not in ("malformed", "wrong_division"):
            self.journal.sent(answer.page)
        return response

    def process(self, call):
        """The answer of the service, without faults of the wire."""
        path = unquote(call.path)
        if len(call.base) + len(call.target) > self.settings.url_limit:
            return Answer(414, b"<h1>Request URL Too Long</h1>", HTML)
        if call.body is None:
            return Answer(413, b"<h1>Request Entity Too Large</h1>", HTML)
        parts = [part for part in path.split("/") if part]
        lower = [part.lower() for part in parts]
        if lower[:2] == ["api", "oauth2"] and len(lower) == 3:
            if lower[2] == "token":
                return self.token(call)
            if lower[2] == "auth":
                return self.authorize(call)
        if lower[:2] == ["api", "v1"] and len(parts) > 3:
            return self.api(call, parts[2:])
        return Answer(404, b"<h1>404 - File or directory not found.</h1>", HTML)

    # ---- OAuth ----

    def authorize(self, call):
        """GET /api/oauth2/auth: redirect with a code, or a page to click on first."""
        given = dict(parse_qsl(call.query, keep_blank_values=True))
        problem = None
        if call.method != "GET":
            return Answer(405, b"", HTML)
        if given.get("client_id", "").strip("{}").lower() != self.settings.client_id:
            problem = "Unknown client_id."
        elif given.get("redirect_uri") not in self.settings.redirect_uris:
            problem = "The redirect_uri is not registered for this app."
        elif given.get("response_type") != "code":
            problem = "response_type must be code."
        if problem:
            return Answer(400, f"<h1>Error</h1><p>{html.escape(problem)}</p>".encode(), HTML)
        if self.settings.consent == "page" and given.get("consent") != "yes":
            fields = "".join(f'<input type="hidden" name="{html.escape(n)}" value="{html.escape(v)}">' for n, v in given.items())
            page = (f'<!DOCTYPE html><title>Exact Online</title><form method="get"><p>{html.escape(self.settings.user)}: '
                    f'allow this app?</p>{fields}<button name="consent" value="yes">Allow</button></form>')
            return Answer(200, page.encode(), HTML)
        redirect = given["redirect_uri"]
        code = self.oauth.consent(given.get("user") or self.settings.user)
        state = f"&state={quote(given['state'], safe='')}" if "state" in given else ""
        return Answer(302, b"", HTML, {"Location": f"{redirect}{'&' if '?' in redirect else '?'}code={quote(code, safe='')}{state}"})

    def token(self, call):
        """POST /api/oauth2/token."""
        if call.method != "POST":
            return Answer(405, b"", HTML, {"Allow": "POST"})
        call.entry["app"] = self.settings.client_id
        form = {}
        if call.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
            form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        key = ("-", None, "oauth2/token")
        if self.limits.is_blocked(key):
            return Answer(429, b"", JSON, headers)
        try:
            if not form.get("grant_type"):
                raise oauth.Refusal(400, "invalid_request", "grant_type is missing; the body must be form-encoded.")
            pair = self.oauth.token(form)
        except oauth.Refusal as refusal:
            if refusal.status != 429:
                self.limits.error(key)
            body = rows.to_json({"error": refusal.error, "error_description": refusal.description}).encode()
            return Answer(refusal.status, body, JSON, {**headers, **refusal.headers})
        return Answer(200, rows.to_json(oauth.answer(pair, self.settings)).encode(), JSON, headers)

    # ---- API ----

    def api(self, call, parts):
        """A request below /api/v1/: bearer, blocks, limits, rights, then the resource."""
        token = call.headers.get("Authorization", "")
        if not token.lower().startswith("bearer "):
            return Answer(401, _MOVED.encode(), HTML)
        pair, reason = self.oauth.bearer(token[7:].strip())
        if pair is None:
            return Answer(401, b'{"error":"invalid_token","error_description":"The access token is invalid."}', JSON,
                          {"WWW-Authenticate": 'Bearer error="invalid_token"'})
        call.user, call.entry["app"] = pair.chain.user, self.settings.client_id
        division = int(parts[0]) if parts[0].isdigit() else None
        call.entry["division"] = division
        resource, key, rest = find_resource(parts if division is None else parts[1:], division is None)
        if resource is not None and not self.serves(resource):
            resource = None
        call.entry["resource"] = endpoint = resource.path if resource else "/".join(parts[1:3]).lower()
        error_key = (call.user, division, endpoint)
        if self.limits.is_blocked(error_key):
            return Answer(429, b"", JSON)
        if reason:
            self.limits.error(error_key)
            return Answer(401, b"", JSON, {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{reason}"'})
        refused, call.limit_headers = self.limits.take(division)
        if refused:
            return Answer(429, b"", JSON, call.limit_headers)
        try:
            self._rights(call, resource, division)
            answer = self._resource(call, resource, self.divisions.get(division), key, rest)
        except Refused as refusal:
            answer = self._refused(call, error_key, refusal)
        if answer.later:
            answer.later = self._finish(call, error_key, answer.later)
        answer.headers = {**call.limit_headers, **answer.headers}
        return answer

    def _refused(self, call, error_key, refusal):
        self.limits.error(error_key)
        body, kind = error_body(words.in_language(refusal.text, self.settings.language), call.json)
        return Answer(refusal.status, body, kind, refusal.headers)

    async def _finish(self, call, error_key, later):
        """The answer of a request that takes a call of our own."""
        try:
            answer = await later
        except Refused as refusal:
            answer = self._refused(call, error_key, refusal)
        answer.headers = {**call.limit_headers, **answer.headers}
        return answer

    def _rights(self, call, resource, number):
        if resource is None:
            raise Refused(404, "Resource not found for the segment.")
        if resource.scope and resource.scope in self.settings.missing_scopes:
            raise Refused(403, f"Forbidden - Application Scope Violated. Cannot read '{resource.scope}' scope.")
        if call.method != "GET" and f"{resource.scope}:manage" in self.settings.missing_scopes:
            raise Refused(403, f"Forbidden - Application Scope Violated. Cannot manage '{resource.scope}' scope.")
        if number is not None and not resource.path.startswith("system/"):
            division = self.divisions.get(number)
            if division is None or division.reason:
                reason = division.reason if division else "NoDivisionAccess"
                raise Refused(403, f"Forbidden - {reason}", {"Reason": reason})
            self.current_division = number
        if call.method not in resource.methods:
            raise Refused(405, f"The method {call.method} is not allowed for this resource.")

    def _resource(self, call, resource, division, key, rest):
        q = read.Query(self, resource, division, call.user, call.base, call.base + call.path, parse_options(call.query), call.json,
                       call.fault)
        if call.method == "GET":
            if key is not None:
                found = read.find_one(q, self._key(resource, key))
                if not rest:
                    body = read.read_one(q, found)
                else:
                    body = self._navigate(q, found, rest)
            elif rest == ["$count"] and resource.kind != "function":
                body = read.count(q)
            elif rest:
                raise Refused(404, "Resource not found for the segment.")
            else:
                body = read.read_list(q)
            return Answer(200, body.content, body.kind, {"DataServiceVersion": "1.0;"}, q.page, body.rows)
        if resource.path == subscriptions.PATH and not rest and (key is None) == (call.method == "POST"):
            return self._subscription(call, resource, division, key)
        if rest or resource.entity not in division.entities or (key is None) != (call.method == "POST"):
            raise Refused(405, f"The method {call.method} is not allowed here.")
        if call.method == "DELETE":
            write.delete(self, division, self._record(division, resource, key), call.user)
            return Answer(204)
        body = self._json_body(call)
        if call.method == "PUT":
            write.put(self, division, resource, self._record(division, resource, key), body, call.user)
            return Answer(204)
        full = "return=representation" in call.headers.get("Prefer", "")
        record, row = write.post(self, division, resource, body, call.user, full)
        text, _ = rows.Writer(resource, resource.fields, call.base, division.code).text(row)
        return Answer(201, b'{"d":' + text + b"}", JSON, {"Location": rows.address(call.base, division.code, resource, row)})

    @staticmethod
    def _json_body(call):
        if "application/json" not in call.headers.get("Content-Type", "").lower():
            raise Refused(415, "Unsupported media type: application/json is needed.")
        return write.parse_body(call.body.decode("utf-8", "replace"))

    def _subscription(self, call, resource, division, key):
        """POST, PUT and DELETE of a webhook subscription; the first two call the callback address before they are answered."""
        found = None if key is None else self.subscriptions.one(division, self._key(resource, key), call.user)
        if call.method == "DELETE":
            self.subscriptions.remove(lambda s: s is found)
            return Answer(204)
        body = self._json_body(call)

        async def proved():
            if call.method == "PUT":
                await self.subscriptions.change(found, body)
                return Answer(204)
            row = self.subscriptions.row(await self.subscriptions.create(division, body, call.user))
            text, _ = rows.Writer(resource, resource.fields, call.base, division.code).text(row)
            return Answer(201, b'{"d":' + text + b"}", JSON, {"Location": rows.address(call.base, division.code, resource, row)})
        return Answer(0, later=proved())

    @staticmethod
    def _key(resource, literal):
        try:
            return parse_token(literal, [resource.types[resource.key]])[0]
        except Refused:
            raise Refused(400, f"Bad Request - Error in query syntax: key ({literal}).") from None

    def _record(self, division, resource, literal):
        record = division.records[resource.entity].get(self._key(resource, literal))
        if record is None:
            raise Refused(404, "Resource not found for the key given.")
        return record

    def _navigate(self, q, found, rest):
        """A collection of one record, such as PurchaseOrders(guid'…')/PurchaseOrderLines."""
        name = next((n for n in q.resource.collections if n.lower() == rest[0].lower()), None)
        if name is None or len(rest) > 1:
            raise Refused(404, "Resource not found for the segment.")
        if name not in read.CHILDREN:
            return read.Body(b'{"d":{"results":[]}}', JSON, 0)
        line_query = dataclasses.replace(q, resource=read.CHILDREN[name], owner=found[1])
        return read.read_list(line_query)


def find_resource(parts, outside_division):
    """(resource or None, key text or None, remaining segments) of the segments after /api/v1/ or the division."""
    for length in range(min(len(parts), 4), 0, -1):
        match = _SEGMENT.match(parts[length - 1])
        if not match:
            continue
        path = "/".join([*parts[:length - 1], match.group(1)]).lower()
        resource = BY_LOWER_PATH.get(path)
        if resource is not None and outside_division == path.startswith("current/"):
            return resource, match.group(2), parts[length:]
    return None, None, []


def freeze_rows(division, record):
    """The rows of a record that is being deleted, in every resource that serves it."""
    found = {}
    for resource in RESOURCES.values():
        if resource.entity in (record.entity, SET_OF.get(record.entity) if resource.kind == "sync" else None):
            found[resource.path] = rows.truth_row(resource, rows.build(division, resource, record))
    return found


def injected(action, a):
    """The answer of the faults status and html."""
    if action == "html":
        return Answer(200, (a.get("body") or _LOGIN).encode(), HTML)
    body, kind = a.get("body", ""), HTML if a.get("html") else JSON
    if a.get("html") and not body:
        body = _MOVED
    if not isinstance(body, str):
        body = rows.to_json(body)
    return Answer(int(a["status"]), body.encode(), kind, {str(k): str(v) for k, v in (a.get("headers") or {}).items()})


def reset(request):
    """Break the connection with a TCP reset, without any answer."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response(status=499)


def application(simulator):
    """The aiohttp application of a simulator."""
    app = web.Application(client_max_size=BODY_LIMIT)
    app.router.add_route("*", "/{anything:.*}", simulator.handle)
    return app
