"""Answers whose status line, headers and body hold what is no text: another encoding, control characters, no end."""
import zlib

KINDS = ("latin1", "utf16", "controls", "long", "long_header", "bomb")
BOMB_MEGABYTES = 256
MEGABYTES_10 = 10 * 1024 * 1024
_LATIN1 = "Fehlermeldung für \xe9l\xe8ve \x9b31m \xff".encode("latin-1")
# ESC, BEL, DEL; C1 as UTF-8 and as a byte; the separators of lines; what turns the direction of writing
_CONTROLS = b"\x1b[31mred\x07\x7f " + "\x9b31m\x85\u2028\u2029\u202e\u2066txet".encode() + b"\x9b\x90"


def _words(kind):
    """The bytes of a message, and those of a header."""
    if kind == "latin1":
        return _LATIN1, _LATIN1
    if kind == "utf16":
        return "Fehlermeldung für élève".encode("utf-16"), b"\xff\xfeF\xfc\xfe\xff"
    if kind == "controls":
        return _CONTROLS + rb"\u0000\u001b\u009b\ud800\n", _CONTROLS
    if kind == "long":
        return b"\xfc" * 900 + b"y" * MEGABYTES_10, b"x" * 20000
    return b"short", b"x" * MEGABYTES_10


def _bomb(status):
    """A small answer that unpacks to 256 MB of blanks before its JSON."""
    packer = zlib.compressobj(9, wbits=31)
    body = b"".join(packer.compress(b" " * (1 << 20)) for _ in range(BOMB_MEGABYTES))
    body += packer.compress(b"{}") + packer.flush()
    return (b"HTTP/1.1 %d OK\r\nContent-Encoding: gzip\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n" % (status, len(body))) + body


def answer(arguments, token):
    """The whole answer as bytes; `token`: of the token endpoint."""
    kind, status = arguments["kind"], int(arguments.get("status", 503))
    if kind == "bomb":
        return _bomb(status)
    message, header = _words(kind)
    if kind == "utf16":
        text = '{"error": {"message": {"value": "Fehlermeldung für élève"}}, "error_description": "é"}'
        body = text.encode("utf-16")
    elif token:
        body = b'{"error": "' + message + b'", "error_description": "' + message + b'"}'
    else:
        body = b'{"error": {"code": "", "message": {"lang": "", "value": "' + message + b'"}}}'
    head = [b"HTTP/1.1 %d %s" % (status, header[:200]), b"Content-Length: %d" % len(body),
            b"Content-Type: application/json", b"Connection: close", b"Reason: " + header]
    header = header[:20000]
    head += [name + b": " + header for name in (b"Retry-After", b"X-Exact-Hub", b"x-request-id",
                                                b"X-RateLimit-Remaining")]
    head.append(b"Location: https://" + header + b"/WebhookSubscriptions(guid'" + header.ljust(36, b"\xff") + b"')")
    return b"\r\n".join(head) + b"\r\n\r\n" + body
