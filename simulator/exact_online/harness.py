"""Starts a simulator as a process of its own and talks to it: for tests and rehearsals. Standard library only."""
import http.client
import json
import os
import pathlib
import selectors
import ssl
import subprocess
import sys
import time
from urllib.parse import quote, urlencode, urlsplit

LAUNCHER = pathlib.Path(__file__).resolve().parents[1] / "exact-online"
START_SECONDS = 60


def poll(what, test, timeout=10):
    """Waits until test() is true; returns its value. `what` is what an error says."""
    deadline = time.monotonic() + timeout
    while not (value := test()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {timeout} s still not: {what}")
        time.sleep(0.02)
    return value


class Reply:
    """A whole answer."""

    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def rows(self):
        """The rows of a list, whichever envelope it came in."""
        d = self.json()["d"]
        return d if isinstance(d, list) else d["results"]

    @property
    def following(self):
        d = self.json()["d"]
        return d.get("__next") if isinstance(d, dict) else None

    @property
    def error(self):
        """The text of the service's error body."""
        return self.json()["error"]["message"]["value"]


class Running:
    """A running simulator. Use as a context manager; `access` is a bearer token once authorize() was called."""

    def __init__(self, *arguments, fast=True):
        command = [str(LAUNCHER), "--port", "0", *(["--fast"] if fast else []), *map(str, arguments)]
        environment = {**os.environ, "EXACT_DATABRICKS_PYTHON": os.environ.get("EXACT_DATABRICKS_PYTHON",
                                                                               sys.executable)}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)
        self.url = self._ready()
        self.parts = urlsplit(self.url)
        self.access = None
        self.info = self.control("info")
        self.division = self.info["divisions"][0]["code"]

    def _ready(self):
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while time.monotonic() < deadline:
                if selector.select(0.2):
                    line = self.process.stdout.readline().decode()
                    if line.startswith("ready "):
                        return line.split()[1]
                    self.stop()
                    raise RuntimeError(f"the simulator did not start: {line or 'see its error output'}")
        self.stop()
        raise RuntimeError(f"the simulator was not ready within {START_SECONDS} s")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End the process and wait for it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def connection(self, timeout=30):
        if self.parts.scheme == "https":
            return http.client.HTTPSConnection(self.parts.hostname, self.parts.port, timeout=timeout,
                                               context=ssl._create_unverified_context())
        return http.client.HTTPConnection(self.parts.hostname, self.parts.port, timeout=timeout)

    def send(self, method, target, body=None, headers=None, timeout=30):
        """One request on a connection of its own."""
        connection = self.connection(timeout)
        try:
            connection.request(method, target, body=body, headers=headers or {})
            return Reply(connection.getresponse())
        finally:
            connection.close()

    def control(self, name, body=None, method=None):
        """A control request: GET without a body, POST with one. Raises on an error answer."""
        method = method or ("GET" if body is None else "POST")
        reply = self.send(method, f"/_control/{name}", None if body is None else json.dumps(body))
        if reply.status != 200:
            raise RuntimeError(f"/_control/{name}: {reply.status} {reply.text}")
        return reply.json()

    def authorize(self, **arguments):
        """A fresh chain; its access token is used from now on."""
        made = self.control("authorize", arguments)
        self.access = made["access_token"]
        return made

    def token(self, **form):
        """A token request of the registered app; None leaves a field out."""
        fields = {"client_id": self.info["client_id"], "client_secret": self.info["client_secret"], **form}
        body = urlencode({k: v for k, v in fields.items() if v is not None})
        return self.send("POST", "/api/oauth2/token", body, {"Content-Type": "application/x-www-form-urlencoded"})

    def call(self, method, target, body=None, accept="application/json", headers=None, timeout=30):
        """An API call with the current bearer; `target` may be a whole address or a path below /api/v1/{division}/."""
        if target.startswith(self.url):
            target = target[len(self.url):]
        elif not target.startswith("/"):
            target = f"/api/v1/{self.division}/{target}"
        sent = {"Authorization": f"Bearer {self.access}", **({"Accept": accept} if accept else {}), **(headers or {})}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        return self.send(method, quote(target, safe="/?&=$'(),:%+*!-._~"), body, sent, timeout)

    def get(self, target, **arguments):
        return self.call("GET", target, **arguments)

    def all(self, target):
        """Rows of all pages."""
        found = []
        while target:
            reply = self.get(target)
            if reply.status != 200:
                raise RuntimeError(f"{target}: {reply.status} {reply.text[:300]}")
            found += reply.rows
            target = reply.following
        return found

    def truth(self, resource, division=None):
        """{key: (row, deleted)} of a resource."""
        found = self.control(f"truth?division={division or self.division}&resource={resource}")
        return {r["key"]: (r["row"], r["deleted"]) for r in found["records"]}

    def change(self, resource, op, key=None, fields=None, lines=None, division=None):
        """One change by somebody at the keyboard."""
        wanted = {"division": division or self.division, "resource": resource, "op": op, "fields": fields or {}}
        if key:
            wanted["key"] = key
        if lines is not None:
            wanted["lines"] = lines
        return self.control("change", wanted)

    # ---- notifications ----

    def subscribe(self, topic, url, division=None):
        """Subscribe as the app does; the callback address must answer meanwhile. The reply."""
        return self.call("POST", f"/api/v1/{division or self.division}/webhooks/WebhookSubscriptions",
                         {"CallbackURL": url, "Topic": topic})

    def subscriptions(self, **wanted):
        """All subscriptions, colleagues' too; `division`, `topic`, `user` choose."""
        return self.control(f"subscriptions?{urlencode(wanted)}")["subscriptions"]

    def webhooks(self, since=0, **wanted):
        """The journal of messages after a number; `division`, `topic`, `state`, `kind`, `key` choose."""
        return self.control(f"webhooks?{urlencode({'since': since, **wanted})}")["webhooks"]

    def replay(self, since=0, times=1, **wanted):
        """Send what was sent since a number again, byte for byte."""
        return self.control("webhooks/replay", {"since": since, "times": times, **wanted})

    def wait_webhooks(self, timeout=30):
        """Wait until no message is waiting or on its way; how they stand by state."""
        def states():
            found = self.control("webhooks/pending")
            return not found["pending"] and found
        return poll("no notification is on its way", states, timeout)["states"]
