"""How answers look on the wire: compression, spelling of headers, members nobody announced, and answers that break
off or never come."""

import asyncio
import gzip
import json
from email.utils import formatdate

from aiohttp import web

_CHARSETS = (
    "application/json",
    "application/json; charset=utf-8",
    "application/json;charset=utf-8",
    "application/json; charset=UTF-8",
)
LOGIN_PAGE = (
    "<!doctype html><html><head><title>Databricks - Sign In</title></head><body>"
    "<div id='login-page'></div></body></html>"
)


def middleware(workspace):
    """The outermost middleware: numbers the request and finishes its answer."""
    settings, weather = workspace.settings, workspace.weather

    @web.middleware
    async def finish(request, handler):
        request["number"] = workspace.next_request()
        response = await handler(request)
        if request.path.startswith("/_control") or response.prepared or not isinstance(response, web.Response):
            return response
        if settings.extra_members and response.content_type == "application/json" and isinstance(response.body, bytes):
            body = json.loads(response.body)
            if isinstance(body, dict) and request.path.startswith("/api/"):
                weather.met("extra_members")
                response.body = json.dumps(_with_strangers(body)).encode()
        if response.content_type == "application/json" and request.path.startswith(("/api/", "/oidc/")):
            response.headers["Content-Type"] = weather.rng("charset", request["number"]).choice(_CHARSETS)
        _compress(request, response)
        return response

    def _compress(request, response):
        asked = "gzip" in request.headers.get("Accept-Encoding", "")
        wanted = settings.compress == "gzip" or (
            settings.compress == "drawn" and weather.rng("compress", request["number"]).random() < 0.5
        )
        if (
            asked
            and wanted
            and isinstance(response.body, bytes)
            and response.body
            and "Content-Encoding" not in response.headers
        ):
            weather.met("compress")
            response.body = gzip.compress(response.body, 1)
            response.headers["Content-Encoding"] = "gzip"
            response.headers["Vary"] = "Accept-Encoding"

    return finish


def _with_strangers(body, depth=2):
    """The object with members that no client knows, in it and in the objects below."""
    out = {
        name: _with_strangers(value, depth - 1) if isinstance(value, dict) and depth else value
        for name, value in body.items()
    }
    out["x_preview"] = {"kind": "PREVIEW", "values": [1, None, {"deep": []}]}
    return out


def on_prepare(workspace):
    """The signal that spells the headers of every answer of the service."""
    async def spell(request, response):
        if request.path.startswith("/_control"):
            return
        headers = list(response.headers.items())
        headers = [(name, value) for name, value in headers if name.lower() != "date"]
        headers.append(("Date", formatdate(workspace.clock.now() + workspace.clock.skew, usegmt=True)))
        if workspace.settings.http2:
            workspace.weather.met("http2")
            headers += [
                ("Alt-Svc", 'h2=":443"; ma=86400'),
                ("Upgrade", "h2c"),
                ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
                ("Set-Cookie", "DBAUTH=none; Path=/; Secure; HttpOnly"),
            ]
        if workspace.clock.skew:
            workspace.weather.met("skew")
        lower = workspace.settings.header_case == "lower"
        workspace.weather.met("header_case")
        response.headers.clear()
        for name, value in headers:
            response.headers.add(name.lower() if lower else name.title(), value)
    return spell


# Answers as bytes

def _head(response, body):
    lines = [
        f"HTTP/1.1 {response.status} {response.reason or 'OK'}",
        f"content-length: {len(body)}",
        "connection: close",
        f"content-type: {response.headers.get('Content-Type', 'application/json')}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def closed(request, response=None):
    """Closes the connection of a request in the ordinary way, without more bytes."""
    if request.transport is not None:
        request.transport.close()
    return response or web.Response(status=500)


async def slow_headers(request, response, pause):
    """The headers byte by byte, then the body at once."""
    body = response.body if isinstance(response.body, bytes) else b""
    for byte in _head(response, body):
        if request.transport is None or request.transport.is_closing():
            break
        request.transport.write(bytes([byte]))
        await asyncio.sleep(pause)
    else:
        request.transport.write(body)
    return closed(request)


def interim(request, response, count):
    """`count` interim answers before the real one."""
    if request.transport is not None:
        request.transport.write(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n" * count)
    return response


async def never(request, seconds):
    """The connection is accepted; nothing is read or answered any more."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while request.transport is not None and not request.transport.is_closing() and loop.time() < end:
        await asyncio.sleep(0.05)
    return closed(request)


def cut_gzip(response):
    """A compressed body without its end; its length is that of what is sent."""
    body = gzip.compress(response.body if isinstance(response.body, bytes) else b"{}")
    return web.Response(body=body[:max(10, len(body) - 12)], status=response.status, headers={
        "Content-Type": response.headers.get("Content-Type", "application/json"), "Content-Encoding": "gzip"})


def gzip_bomb(megabytes):
    """A small body that unpacks to `megabytes`."""
    body = gzip.compress(b'{"message":"' + b" " * (int(megabytes) << 20) + b'"}', 9)
    return web.Response(body=body, headers={"Content-Type": "application/json", "Content-Encoding": "gzip"})


def monster(kind, size=None):
    """JSON that is sound and out of all proportion."""
    if kind == "large":
        text = '{"message":"' + "x" * ((size or 65) << 20) + '"}'
    elif kind == "nested":
        depth = size or 10000
        text = '{"status":' + "[" * depth + "]" * depth + "}"
    elif kind == "number":
        text = '{"statement_id":' + "9" * (size or 1 << 20) + "}"
    else:
        text = "{" + ",".join(f'"m{i}":{i}' for i in range(size or 100000)) + "}"
    return web.Response(text=text, content_type="application/json")


MONSTERS = ("large", "nested", "number", "members")
_ERROR_INFO = "type.googleapis.com/google.rpc."


def error_shape(shape):
    """One of the bodies in which the service and what stands before it word an error."""
    def details(status, code, message, **detail):
        kind = detail.pop("kind")
        return web.json_response(
            {"error_code": code, "message": message, "details": [{"@type": _ERROR_INFO + kind, **detail}]},
            status=status,
        )

    if shape == "quota_failure":
        return details(
            429,
            "RESOURCE_EXHAUSTED",
            "Quota exceeded.",
            kind="QuotaFailure",
            violations=[{"subject": "workspace:6051921418418893", "description": "Limit of concurrent statements"}],
        )
    if shape == "retry_info":
        return details(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests.", kind="RetryInfo", retry_delay="42.0s")
    if shape == "bad_request":
        return details(400, "INVALID_PARAMETER_VALUE", "The request is invalid.", kind="BadRequest",
                       field_violations=[{"field": "statement", "description": "must not be this"}])
    if shape == "error_only":
        return web.json_response({"error": "The request was cancelled."}, status=499)
    if shape == "scim":
        return web.json_response(
            {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
                "detail": "The request failed.",
                "status": "500",
                "scimType": "invalidValue",
            },
            status=500,
        )
    if shape == "text":
        return web.Response(
            text="TEMPORARILY_UNAVAILABLE: The service is restarting.", status=503, content_type="text/plain"
        )
    return web.Response(
        text="<html><head><title>Error 504</title></head><body><h2>HTTP ERROR 504</h2><pre>    DEADLINE_EXCEEDED: "
             "upstream did not "
        "answer</pre></body></html>",
        status=504,
        content_type="text/html",
    )
