"""The bytes of an answer as they come, whatever they are."""

import socket


def answer_to(url, call, *headers):
    """Of a call ("GET /path") with an empty JSON object, until the connection closes."""
    host, port = url.removeprefix("http://").split(":")
    lines = [f"{call} HTTP/1.1", f"Host: {host}", "Content-Length: 2", *headers, "", "{}"]
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall("\r\n".join(lines).encode())
        out = b""
        while part := connection.recv(1 << 20):
            out += part
        return out
