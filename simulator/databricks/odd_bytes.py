"""Answers whose status line, headers and body hold what is no text: another encoding, control characters, no end."""

from aiohttp import web

KINDS = ("latin1", "utf16", "controls", "long", "long_header")
FORMS = ("json", "plain", "statement")
_SIZE = 10 << 20
_LATIN1 = "TEMPORÄR nicht verfügbar \x9b31m \xff".encode("latin-1")
# ESC, BEL, DEL; C1 as UTF-8 and as a byte; the separators of lines; what turns the direction of writing
_CONTROLS = b"\x1b[31mred\x07\x7f " + "\x9b31m\x85\u2028\u2029\u202e\u2066txet".encode() + b"\x9b\x90"
_TEXTS = {
    "latin1": (_LATIN1, _LATIN1),
    "utf16": ("TEMPORÄR".encode("utf-16"), b"\xff\xfeT\xc4\xfe\xff"),
    "controls": (_CONTROLS + rb"\u0000\u001b\u009b\ud800\n", _CONTROLS),
    "long": (b"\xc4" * 900 + b"y" * _SIZE, b"x" * 20000),
    "long_header": (b"short", b"x" * _SIZE),
}


def _body(message, form):
    if form == "plain":
        return message
    if form == "statement":  # a statement that failed; sound JSON, so that what it says is believed
        text = message.decode("latin-1").replace("\\", "").encode("unicode_escape").replace(rb"\x", rb"\u00")
        return (
            b'{"statement_id": "01f0-odd\\u009b", "status": {"state": "FAILED", "error": {"error_code": "BAD\\u001b", '
            b'"message": "[ODD] ' + text + b'"}}}'
        )
    return b'{"error_code": "' + message + b'", "message": "' + message + b'"}'


async def send(request, rule):
    """Writes the answer of a rule; the connection ends with it."""
    await request.read()
    message, header = _TEXTS[rule["kind"]]
    body = _body(message, rule.get("form", "json"))
    head = [
        b"HTTP/1.1 %d %s" % (rule.get("status", 503), header[:200]),
        b"content-length: %d" % len(body),
        b"content-type: application/json",
        b"connection: close",
    ]
    head.append(b"x-request-id: " + header)
    head += [name + b": " + header[:20000] for name in (b"retry-after", b"x-databricks-reason-phrase")]
    head.append(b"location: https://" + header[:20000] + b"/")
    if request.transport is not None:
        request.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
        request.transport.close()
    return web.Response(status=500)
