"""The HTTP side: finds the resource of a request, applies the rules that stand before it, injected faults and
latency."""
import asyncio
import contextlib
import dataclasses
import gzip
import html
import os
import random
import re
import socket
import struct
import time
import weakref
from urllib.parse import parse_qsl, quote, unquote

from aiohttp import web

from . import atom, clock, generate, metadata, oauth, odd_bytes, read, rows, style, subscriptions, words, write
from .catalogue import BY_LOWER_PATH, COMPUTED, ENTITIES, GENERIC, PRESETS, RESOURCES, SET_OF
from .clock import Clock, utc_iso
from .control import Control
from .faults import MAINTENANCE, Fault, Faults
from .forms import JSON_STYLES, Weather
from .journal import Journal
from .limits import Limits
from .odata import Refused, parse_options, parse_token
from .sender import Sender
from .settings import Settings

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"
BODY_LIMIT = 10 * 1024 * 1024
_SEGMENT = re.compile(r"^([^(]+)(?:\((.*)\))?$", re.S)
_MOVED = ('<html><head><title>Object moved</title></head><body><h2>Object moved to '
          '<a href="/docs/Login.aspx?ReturnUrl={}">here</a>.</h2></body></html>')
_BASE = set(ENTITIES)
_CATALOGUE = set(GENERIC)
_BY_ENTITY = {}
for _resource in RESOURCES.values():
    for _entity in {*_resource.entities, *(line for line, header in SET_OF.items() if header in _resource.entities
                                           and _resource.kind == "sync")}:
        _BY_ENTITY.setdefault(_entity, []).append(_resource)
_LOGIN = ("<!DOCTYPE html><html><head><title>Exact Online - Inloggen</title></head><body><form action=\"/docs/"
          "Login.aspx\">"
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
    chunked: bool = False
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
    rng: object = None          # the request's own generator
    json: bool = False
    user: str = None
    chain: object = None
    doubles: frozenset = frozenset()    # names of the Double fields of the answer
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
        clock.set_zone(settings.time_zone)
        self.weather = Weather(settings)
        self.choose()
        self.clock = Clock(settings.clock_offset)
        self.limits = Limits(settings, self.clock, self.weather)
        self.faults = Faults()
        self.journal = Journal(settings)
        self.divisions = generate.divisions(settings, self.clock, self.weather)
        self.current_division = min(self.divisions)
        self.oauth = oauth.OAuth(settings, self.clock, self.divisions[self.current_division].info["names"],
                                 self.weather)
        self.used = {}              # division: number of its last call, for the list of those used most recently
        self.maintenance = (0.0, None)      # instant until which every path answers the same form
        self.connections = weakref.WeakKeyDictionary()     # connection: requests on it
        self.random = random.Random(f"changes {settings.seed}")
        self.base_url = settings.base_url
        self.subscriptions = subscriptions.Subscriptions(self)
        self.sender = Sender(self)
        self.control = Control(self)
        for division in self.divisions.values():
            division.freeze_rows, division.told = freeze_rows, self.sender.told
        self.settle()

    def serves(self, resource):
        """Whether the preset has a resource."""
        if resource.path in COMPUTED:
            return self.settings.preset != "orders"
        if (not resource.generic and resource.entity not in PRESETS["all"]) or resource.entity in _BASE:
            return not resource.generic or self.settings.preset in ("wide", "all")
        if resource.kind == "action":
            return self.settings.preset == "all"
        return resource.entity in PRESETS[self.settings.preset]

    def choose(self):
        """Let the weather choose forms of the whole service; called when it was set."""
        for name, value in self.weather.choose(Settings().public()).items():
            if self._fits(name, value):
                self.settings.change({name: value}, at_start=True)
            else:
                self.weather.chosen.pop(name, None)

    def _fits(self, name, value):
        """Whether a value that the weather chose goes with the other settings."""
        try:
            dataclasses.replace(self.settings).change({name: value}, at_start=True)
        except ValueError:
            return False
        return True

    def settle(self):
        """What follows from the settings; called when they were changed."""
        s = self.settings
        self.fold = s.filter_case == "insensitive" or (s.filter_case == "drawn" and random.Random(
            f"case {s.seed}").random() < 0.5)
        late = any(seconds > 0 for seconds in s.visible_after_max.values())
        for division in self.divisions.values():
            division.late.watch(late)
        for form, here in (("time_zone", s.time_zone != "Europe/Amsterdam"), ("empty_forms", s.empty_forms),
                           ("shared_versions", s.shared_versions),
                           ("reason_case", s.header_case != "title"), ("retry_form", s.webhook_retry_form != "fixed"),
                           ("silent_fields", s.webhook_flags != "all"), ("cookies", s.cookies), ("http2", s.http2),
                           ("padded_code", True),
                           ("half_padded", True), ("filled_fields", True),
                           ("journal_row_zero", s.journal_row_zero and s.preset != "orders"),
                           ("control_row", s.ledger == "control" and s.preset != "orders"),
                           ("other_ledger", s.ledger != "control"),
                           ("turned_sign", s.sync_invoice_sign == "turned" and s.preset != "orders")):
            if here:
                self.weather.met(form)

    def may_open(self, chain, division):
        """Whether a consent reaches a division and its user may open it."""
        limited = chain is not None and chain.divisions is not None and division.code not in chain.divisions
        return division.granted and not limited and division.reason != "NoDivisionAccess"

    # ---- one request ----

    async def handle(self, request):
        """Every request comes here."""
        target = request.raw_path
        if target.startswith("/_control/"):
            return await self.control.handle(request)
        self.control.schedule.called()
        started = time.monotonic()
        path, _, query = map(unquote, target.partition("?"))
        entry = {"at": utc_iso(self.clock.now()), "method": request.method, "path": path, "query": query, "status": 0,
                 **dict.fromkeys(("division", "rows", "app", "fault"))}
        rng = self.weather.generator(request.method, target)
        fault = self.faults.match(request.method, target) or self._drawn(request, target, rng)
        entry["fault"] = fault.action if fault else None
        try:
            return await self._answer(request, target, fault, entry, rng)
        finally:
            entry["ms"] = round((time.monotonic() - started) * 1000, 1)
            self.journal.call(entry)

    def _drawn(self, request, target, rng):
        """The fault that the weather draws for a request, or None."""
        wanted = self.weather.fault(rng, "/oauth2/" in target)
        if wanted is None or (wanted["action"] == "status_after" and request.method == "GET"):
            return None
        return Fault(0, wanted)

    async def _wire(self, request, fault, rng):
        """Faults of the connection that stand before the request is read: the answer, or None."""
        action, a = (fault.action, fault.arguments) if fault else (None, {})
        connection = request.transport
        self.connections[connection] = earlier = self.connections.get(connection, 0) + 1
        if action in ("reset_before", "cut_handshake"):
            self.weather.met(action)
            if action == "cut_handshake":       # half a TLS record, then the reset
                os.write(connection.get_extra_info("socket").fileno(), b"\x17\x03\x03\x40\x00" + b"\x00" * 20)
            return reset(request)
        if action == "close_idle" and earlier > 1:
            self.weather.met(action)
            connection.close()
            return web.Response(status=499)
        if action == "accept_only":
            self.weather.met(action)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(fault.removed.wait(), a.get("seconds"))
            return reset(request)
        if action == "interim":
            self.weather.met(action)
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n" * int(a.get("count", 100)))
        if action == "maintenance":
            form = a.get("form") or rng.choice(MAINTENANCE)
            self.maintenance = (self.clock.now() + float(a["seconds"]), form)
        return None

    async def _answer(self, request, target, fault, entry, rng):
        action, a = (fault.action, fault.arguments) if fault else (None, {})
        if request.transport is None:
            return web.Response(status=499)
        gone = await self._wire(request, fault, rng)
        if gone is not None:
            return gone
        if action == "hang":
            await fault.removed.wait()
            return reset(request)
        if action == "delay":
            await asyncio.sleep(a["seconds"])
        if action == "odd_bytes":
            await request.read()
            entry["status"] = int(a.get("status", 503))
            request.transport.write(odd_bytes.answer(a, "/oauth2/" in target))
            request.transport.close()
            return web.Response(status=499)
        until, form = self.maintenance
        call = None
        if self.clock.now() < until:
            self.weather.met("maintenance")
            answer = maintained(form)
        elif action in ("status", "html", "gateway", "moved_page", "redirect", "monster"):
            if action not in ("status", "html"):
                self.weather.met(action)
            answer = injected(action, a, target, self.clock.now())
        else:
            try:
                body = await request.read()
            except web.HTTPRequestEntityTooLarge:
                body = None
            host = self.settings.base_url or f"{'https' if self.settings.tls_cert else 'http'}://{request.host}"
            call = Call(request.method, target, request.headers, host.rstrip("/"), body, entry, fault, rng)
            call.json = "application/json" in request.headers.get("Accept", "").lower()
            write.note(call)
            if action == "late":        # done, after whoever asked has gone
                asyncio.get_running_loop().call_later(
                    float(a["seconds"]), lambda: entry.update(done=self.process(call).status < 300))
                return reset(request)
            if action == "colleague" and a.get("when", "before") == "before":
                self._colleague(call, a["fields"])
            first = self.process(call)
            answer = self.process(call) if action == "repeat" else first     # a proxy sends it twice
            if action == "colleague" and a.get("when", "before") != "before":
                self._colleague(call, a["fields"])
            if answer.later:
                answer = await answer.later
            if answer.status == 0:
                return reset(request)
            entry["done"] = min(first.status, answer.status) < 300
            answer = self._restyled(call, answer)
        if self.settings.latency_max:
            await asyncio.sleep(self.random.uniform(self.settings.latency_min, self.settings.latency_max) / 1000)
        if action == "reset_after" or a.get("when") == "lost":
            self.weather.met(action)
            entry["status"] = answer.status
            return reset(request)
        if action == "status_after":
            self.weather.met(action)
            answer = injected("status", a, target, self.clock.now())
        if action == "delay_after":
            await asyncio.sleep(a["seconds"])
        if action == "malformed":
            answer = Answer(200, answer.body[:max(len(answer.body) * 2 // 3, 1)], JSON, answer.headers)
        entry["status"], entry["rows"] = answer.status, answer.rows
        return await self.send(request, answer, fault, rng)

    def _colleague(self, call, fields):
        """Somebody at the keyboard changes the record that a request is about, at the same moment."""
        parts = [part for part in unquote(call.path).split("/") if part][3:]
        resource, key, _ = find_resource(parts, False)
        division = self.divisions.get(int(call.path.split("/")[3]))
        if resource is not None and key is not None and division is not None:
            division.update(self._record(division, resource, key), fields, next(iter(division.info["staff"])))

    def _restyled(self, call, answer):
        """A good JSON answer as another serialiser would write it."""
        s = self.settings
        if answer.status not in (200, 201) or answer.kind != JSON or not answer.body:
            return answer
        styles = list(s.json_style)
        if not styles and s.json_style_share and call.rng.random() < s.json_style_share:
            styles = [call.rng.choice(JSON_STYLES)]
        styles += [name for name in JSON_STYLES if name not in styles and self.weather.blows
                   and call.rng.random() < self.weather.share(name)]
        for name in styles:
            self.weather.met(name)
        if styles:
            answer.body = style.restyled(answer.body, styles, call.doubles, call.rng)
        if self.weather.draw(call.rng, "bom", s.bom):
            answer.body = style.BOM + answer.body
        return answer

    def _headers(self, answer, fault, rng):
        """Headers of every answer."""
        skew = 0.0
        if fault is not None and fault.action == "skew":
            skew = float(fault.arguments["seconds"])
        if skew or self.clock.skew:
            self.weather.met("skew")
        headers = {"Date": self.clock.http_date(skew), "Cache-Control": "private", **answer.headers}
        if answer.status != 204 and "Content-Type" not in headers:
            headers["Content-Type"] = answer.kind
        if "Reason" in headers and rng.random() >= self.settings.reason_header:
            self.weather.met("no_reason")
            del headers["Reason"]
        if "Reason" in headers and self.settings.header_case == "lower":
            headers["reason"] = headers.pop("Reason")
        if self.settings.cookies:
            headers["Set-Cookie"] = "ASP.NET_SessionId=0; path=/; secure; HttpOnly; SameSite=Lax"
            headers["Strict-Transport-Security"] = "max-age=31536000; includeSubDomains"
        if self.settings.http2:
            headers["Alt-Svc"], headers["Upgrade"] = 'h2=":443"; ma=86400', "h2c"
        return headers

    async def _slow_headers(self, request, answer, headers, seconds):
        """The answer with its head byte by byte; the connection ends with it."""
        head = f"HTTP/1.1 {answer.status} OK\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        transport = request.transport
        for byte in f"{head}Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n".encode():
            if transport.is_closing():
                return web.Response(status=499)
            transport.write(bytes([byte]))
            await asyncio.sleep(seconds)
        transport.write(answer.body)
        self.journal.sent(answer.page)
        transport.close()
        return web.Response(status=499)

    async def send(self, request, answer, fault, rng):
        """Send an answer; its rows count as served when all of it has left this process."""
        action, a = (fault.action, fault.arguments) if fault else (None, {})
        headers = self._headers(answer, fault, rng)
        transport = request.transport
        if transport is None or transport.is_closing():
            return web.Response(status=499)
        transport.set_write_buffer_limits(0)
        if action == "slow_headers":
            self.weather.met(action)
            return await self._slow_headers(request, answer, headers, float(a.get("seconds", 0.05)))
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
                if answer.chunked:
                    response.enable_chunked_encoding()
                if self.weather.draw(rng, "connection_close", self.settings.connection_close):
                    response.force_close()
                await response.prepare(request)
            await response.write_eof()
        except ConnectionError:
            return response
        if action not in ("malformed", "wrong_division", "spoil_row", "monster"):
            self.journal.sent(answer.page)
        return response

    def process(self, call):
        """The answer of the service, without faults of the wire."""
        path = unquote(call.path)
        if len(call.base) + len(call.target) > self.settings.url_limit:
            form = self.settings.url_limit_form
            self.weather.met("url_limit", int(form != "414"))
            return {"414": Answer(414, b"<h1>Request URL Too Long</h1>", HTML), "reset": Answer(0),
                    "400": Answer(400, b"<h1>Bad Request</h1>", HTML),
                    "404": Answer(404, b"<h1>404 - File or directory not found.</h1>", HTML)}[form]
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
        redirect = given["redirect_uri"]
        state = f"&state={quote(given['state'], safe='')}" if "state" in given else ""
        if given.get("consent") == "no":        # the person refuses
            self.weather.met("limited_consent")
            return Answer(302, b"", HTML,
                          {"Location": f"{redirect}{'&' if '?' in redirect else '?'}error=access_denied{state}"})
        if self.settings.consent == "page" and given.get("consent") != "yes":
            boxes = "".join(f'<label><input type="checkbox" name="division" value="{d.code}" checked>'
                            f'{html.escape(d.info["description"])}</label>'
                            for d in self.divisions.values())
            fields = "".join(f'<input type="hidden" name="{html.escape(n)}" value="{html.escape(v)}">' for n,
                             v in given.items())
            page = (f'<!DOCTYPE html><title>Exact Online</title><form method="get"><p>'
                    f'{html.escape(self.settings.user)}: '
                    f'allow this app?</p>{fields}{boxes}<button name="consent" value="yes">Allow</button>'
                    '<button name="consent" value="no">Refuse</button></form>')
            return Answer(200, page.encode(), HTML)
        chosen = {int(v) for n, v in parse_qsl(call.query) if n == "division" and v.isdigit()}
        if chosen and chosen != set(self.divisions):
            self.weather.met("limited_consent")
        code = self.oauth.consent(given.get("user") or self.settings.user, chosen or None)
        return Answer(302, b"", HTML,
                      {"Location": f"{redirect}{'&' if '?' in redirect else '?'}code={quote(code, safe='')}{state}"})

    def token(self, call):
        """POST /api/oauth2/token."""
        if call.method != "POST":
            return Answer(405, b"", HTML, {"Allow": "POST"})
        call.entry["app"] = self.settings.client_id
        form = {}
        if call.headers.get("Content-Type",
                            "").partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
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
                self.limits.error(key, refusal.status)
            body = rows.to_json({"error": refusal.error, "error_description": refusal.description,
                                 **refusal.members}).replace("/", "\\/").encode()
            return Answer(refusal.status, body, JSON, {**headers, **refusal.headers})
        made = oauth.answer(pair, self.settings, self.weather)
        if call.fault and call.fault.action == "no_refresh_token":
            made.pop("refresh_token", None)
        return Answer(200, rows.to_json(made).encode(), JSON, headers)

    # ---- API ----

    def api(self, call, parts):
        """A request below /api/v1/: bearer, blocks, limits, rights, then the resource."""
        token = call.headers.get("Authorization", "")
        if not token.lower().startswith("bearer "):
            return Answer(401, moved(call.target), HTML)
        pair, reason = self.oauth.bearer(token[7:].strip())
        if pair is None:        # a wrong or a cut token
            self.weather.met("moved_page")
            return Answer(401, moved(call.target), HTML)
        call.user, call.chain, call.entry["app"] = pair.chain.user, pair.chain, self.settings.client_id
        if parts[0].lower() == "beta" and len(parts) > 2:      # /api/v1/beta/{division}/…
            parts = [parts[1], "beta", *parts[2:]]
        division = int(parts[0]) if parts[0].isdigit() else None
        call.entry["division"] = division
        described = parts[-1].lower() == "$metadata" and division is not None and call.method == "GET"
        resource, key, rest = find_resource(parts if division is None else parts[1:], division is None)
        if resource is not None and not self.serves(resource):
            resource = None
        call.entry["resource"] = endpoint = resource.path if resource else "/".join(parts[1:3]).lower()
        error_key = (call.user, division, endpoint)
        if self.limits.is_blocked(error_key):
            return Answer(429, b"", JSON)
        if reason:
            self.limits.error(error_key, 401)
            return Answer(401, b"", JSON,
                          {"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{reason}"'})
        refused, call.limit_headers = self.limits.take(division, call.rng)
        if refused:
            return Answer(429, b"", JSON, call.limit_headers)
        try:
            text = metadata.document("/".join(parts[1:-1]), self.serves) if described else None
            if text is not None:
                return Answer(200, text.encode(), "application/xml; charset=utf-8",
                              {"DataServiceVersion": "1.0;", **call.limit_headers})
            self._rights(call, resource, division)
            answer = self._resource(call, resource, self._division_of(resource, division), key, rest)
        except Refused as refusal:
            answer = self._refused(call, error_key, refusal)
        if answer.later:
            answer.later = self._finish(call, error_key, answer.later)
        answer.headers = {**call.limit_headers, **answer.headers}
        return answer

    def _division_of(self, resource, number):
        """The division of a request; the lists of divisions do not check the one in their path."""
        found = self.divisions.get(number)
        if found is None and resource is not None and resource.path.startswith("system/"):
            return self.divisions[min(self.divisions)]
        return found

    def _refused(self, call, error_key, refusal):
        self.limits.error(error_key, refusal.status)
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
            if division is None or division.reason or not self.may_open(call.chain, division):
                reason = division.reason if division and division.reason else "NoDivisionAccess"
                raise Refused(403, f"Forbidden - {reason}", {"Reason": reason})
            self.current_division = number
            self.used[number] = self.used.get("n", 0) + 1
            self.used["n"] = self.used[number]
            self._package(division, resource)
            self._blocking(call, division)
        if call.method not in resource.methods:
            raise Refused(405, f"The method {call.method} is not allowed for this resource.")

    def _package(self, division, resource):
        """A package that this division lacks: 404, or 403 without a Reason."""
        form = division.packages.get(resource.path) or division.packages.get(resource.entity)
        if form in ("403", "404"):
            self.weather.met("package")
            raise Refused(404, "Resource not found for the segment.") if form == "404" else Refused(403, "Forbidden")

    def _blocking(self, call, division):
        """While the vendor copies or converts a division nothing can be written; the weather begins and ends such
        times."""
        info, now = division.info, self.clock.now()
        if division.blocked_until and now >= division.blocked_until:
            info["blocking_status"], division.blocked_until = 0, 0.0
        elif not info["blocking_status"] and self.weather.blows and call.rng.random() < self.weather.share(
            "blocking"):
            info["blocking_status"], division.blocked_until = call.rng.randrange(1, 7), now + call.rng.uniform(3, 15)
        if info["blocking_status"] and call.method != "GET":
            self.weather.met("blocking")
            raise Refused(500, "De administratie is tijdelijk geblokkeerd.")

    def _resource(self, call, resource, division, key, rest):
        q = read.Query(self, resource, division, call.user, call.base, call.base + call.path, parse_options(call.query),
                       call.json,
                       call.fault, rng=call.rng, chain=call.chain)
        call.doubles = doubles_of(resource)
        if resource.generic:
            self.weather.met("any_endpoint")
            self.weather.met("wide_set", int(resource.kind == "sync"))
        if call.method == "GET":
            if key is not None:
                found = read.find_one(q, self._key(resource, key))
                body = read.read_one(q, found) if not rest else self._navigate(q, found, rest)
            elif rest == ["$count"] and resource.kind != "function":
                body = read.count(q)
            elif rest:
                raise Refused(404, "Resource not found for the segment.")
            else:
                body = read.read_list(q)
            return Answer(200, body.content, body.kind, {"DataServiceVersion": "1.0;"}, q.page, body.rows)
        if resource.kind == "action":
            values, _ = write.accepted(resource, self._json_body(call), "POST")
            text, _ = rows.Writer(resource, resource.fields, call.base,
                                  division.code).text({**resource.template, **values, resource.key: (
                values.get(resource.key) or division.new_key())})
            return Answer(201, b'{"d":' + text + b"}", JSON)
        if resource.path == subscriptions.PATH and not rest and (key is None) == (call.method == "POST"):
            return self._subscription(call, resource, division, key)
        if rest or resource.entity not in division.entities or (key is None) != (call.method == "POST"):
            raise Refused(405, f"The method {call.method} is not allowed here.")
        if call.method == "DELETE":
            try:
                record = self._record(division, resource, key)
            except Refused as refusal:
                return self._already_gone(division, resource, key, refusal)
            write.delete(self, division, record, call.user)
            return Answer(204)
        body = write.spoiled(self._json_body(call), call.fault)
        if call.method == "PUT":
            write.put(self, division, resource, self._record(division, resource, key), body, call.user)
            return Answer(204)
        full = "return=representation" in call.headers.get("Prefer", "")
        record, row = write.post(self, division, resource, body, call.user, full)
        text, _ = rows.Writer(resource, resource.fields, call.base, division.code).text(row)
        if self.settings.post_status != 201:
            self.weather.met("post_status")
        return Answer(self.settings.post_status, b'{"d":' + text + b"}", JSON,
                      {"Location": rows.address(call.base, division.code, resource,
                                                {**row, resource.key: record.values[resource.key]})})

    def _already_gone(self, division, resource, key, refusal):
        """DELETE of a record that was deleted before: 404 here, 410, 204 or 200 elsewhere; of one that never was,
        always 404."""
        status = self.settings.deleted_status
        if status == 404 or self._key(resource, key) not in division.tombstones[resource.entity]:
            raise refusal
        self.weather.met("deleted_status")
        if status == 410:
            raise Refused(410, refusal.text)
        return Answer(status)

    @staticmethod
    def _json_body(call):
        if "application/json" not in call.headers.get("Content-Type", "").lower():
            raise Refused(415, "Unsupported media type: application/json is needed.")
        return write.parse_body(call.body.decode("utf-8", "replace"))

    def _subscription(self, call, resource, division, key):
        """POST, PUT and DELETE of a webhook subscription; the first two call the callback address before they are
        answered."""
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
            return Answer(201, b'{"d":' + text + b"}", JSON,
                          {"Location": rows.address(call.base, division.code, resource, row)})
        return Answer(0, later=proved())

    @staticmethod
    def _key(resource, literal):
        if len(resource.keys) > 1:
            return literal
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
    return {resource.path: rows.truth_row(resource, rows.build(division, resource, record))
            for resource in _BY_ENTITY.get(record.entity, ())}


def doubles_of(resource):
    """Names of the Double fields that an answer of a resource can hold."""
    children = [RESOURCES[c] for c in resource.children.values()] + [read.CHILDREN[n] for n in resource.collections
                                                                     if n in read.CHILDREN]
    return frozenset(name for r in (resource, *children) for name, edm in r.types.items() if edm == "Double")


def moved(target):
    """The page "Object moved": a redirect to the login page, sent with another status."""
    return _MOVED.format(quote(target, safe="")).encode()


def maintained(form):
    """What every path of the host answers during maintenance."""
    page = b"<html><head><title>Exact Online</title></head><body><h1>We are improving Exact Online</h1></body></html>"
    if form in ("503", "502", "504"):
        return Answer(int(form), page, HTML)
    if form == "redirect":
        return Answer(302, b"", HTML, {"Location": "https://maintenance.example.com/exact"})
    if form == "gzip":
        return Answer(503, gzip.compress(page), HTML, {"Content-Encoding": "gzip"})
    if form == "charset":
        return Answer(200, '{"d":"tijdelijk niet beschikbaar – één moment"}'.encode("utf-16-le"),
                      "application/json; charset=iso-8859-1")
    if form in ("empty", "no_content"):
        return Answer(200 if form == "empty" else 204, b"", JSON)
    return Answer(200, page, HTML, chunked=form == "chunked")


def _headers(a, now):
    """The headers of a fault; `{now+MS}` in a value is so many milliseconds from now, as a limit's reset is."""
    return {str(k): re.sub(r"\{now([+-]\d+)\}", lambda found: str(int(now * 1000) + int(found[1])), str(v))
            for k, v in (a.get("headers") or {}).items()}


def injected(action, a, target, now):
    """The answer of faults that need no request to be carried out."""
    if action == "html":
        return Answer(200, (a.get("body") or _LOGIN).encode(), HTML)
    if action == "moved_page":
        return Answer(401, moved(target), HTML)
    if action == "redirect":
        return Answer(int(a.get("status", 302)), b"", HTML, {"Location": str(a["to"]).rstrip("/") + target})
    if action == "monster":
        return Answer(200, style.monster(a["kind"]), JSON)
    if action == "gateway":
        code = a.get("errorcode", "messaging.adaptors.http.flow.ServiceUnavailable")
        body = {"error": "server_error"} if a.get("oauth") else {"fault": {
            "faultstring": "The Service is temporarily unavailable",
                                                                             "detail": {"errorcode": code}}}
        return Answer(int(a.get("status", 503)), rows.to_json(body).encode(), JSON)
    body, kind = a.get("body", ""), HTML if a.get("html") else JSON
    if a.get("html") and not body:
        return Answer(int(a["status"]), moved(target), kind, _headers(a, now))
    if not isinstance(body, str):
        body = rows.to_json(body)
    return Answer(int(a["status"]), body.encode(), kind, _headers(a, now))


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
