"""Sends notifications: makes one of each change that somebody subscribed to, waits, loses, repeats, retries, and
keeps a journal.

Times of waiting are those of the simulator's clock: advancing it brings messages forward, a paused clock holds them.
"""
import asyncio
import collections
import contextlib
import heapq
import itertools
import math
import random
import secrets
import ssl
import time
import uuid
from urllib.parse import urlsplit

import aiohttp

from . import clock, notification, rows
from .catalogue import RESOURCES
from .subscriptions import TRANSACTION, topics_of

MOST_MESSAGES = 200_000
NEVER_FLAGGED = {"Created", "Creator", "CreatorFullName", "Division", "HID", "Modified", "Modifier", "ModifierFullName",
                 "Timestamp"}
FLAGGED = {"documents/Documents": {     # where the vendor's page is known: the properties with a webhook
    "Account", "AmountFC", "Body", "Category", "Contact", "Currency", "DocumentDate", "DocumentFolder", "ExpiryDate",
    "FinancialTransactionEntryID",
    "Subject", "Type"}}
IDLE_SECONDS = 4        # a connection unused for longer is not used again: receivers end idle ones
HEADERS = {"Content-Type": "application/json"}
SKIPPED = ("Accept", "Accept-Encoding", "User-Agent")


class Message:
    """One message of the journal: its bytes, where it goes, and what became of it."""
    __slots__ = (
        "action",
        "at",
        "attempts",
        "body",
        "division",
        "due",
        "error",
        "key",
        "kind",
        "n",
        "origin",
        "reordered",
        "state",
        "status",
        "styles",
        "subscription",
        "topic",
        "url",
    )

    def __init__(self, n, kind, at, url, body, **known):
        self.n, self.kind, self.at, self.url, self.body = n, kind, at, url, body
        self.division = self.topic = self.action = self.key = self.subscription = None
        self.status = self.error = self.origin = None
        self.styles, self.attempts, self.state, self.reordered, self.due = [], [], "waiting", False, 0.0
        for name, value in known.items():
            setattr(self, name, value)

    def public(self):
        found = {name: getattr(self, name) for name in ("n", "kind", "division", "topic", "action", "key",
                                                        "subscription", "url", "styles",
                                                        "state", "status", "error", "reordered")}
        found.update(at=clock.utc_iso(self.at), attempts=len(self.attempts), tries=self.attempts,
                     body=self.body.decode("utf-8", "replace"))
        found["replay_of" if self.kind == "replay" else "duplicate_of"] = self.origin
        return found


class Sender:
    """The queue of messages in order of due time, and the connections that empty it."""

    def __init__(self, sim):
        self.sim, self.settings = sim, sim.settings
        self.random = random.Random(f"webhooks {sim.settings.seed}")
        self.numbers, self.messages, self.queue = itertools.count(1), collections.deque(maxlen=MOST_MESSAGES), []
        self.last, self.sums, self.flying = 0, collections.Counter(), 0
        self.wake, self.task, self.running = asyncio.Event(), None, set()
        self.sessions, self.trusts = {}, {}

    def new_id(self):
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def rotate(self, secret=None):
        """A new webhook secret; messages that were signed before keep their signature. Answers the old one."""
        old, self.settings.webhook_secret = self.settings.webhook_secret, secret or secrets.token_urlsafe(24)
        return old

    # ---- from changes to messages ----

    def told(self, division, changes):
        """What one act did to records of a division, as [(record, action, names of fields set)]."""
        if not self.settings.webhook_transaction_lines:
            changes = [change for change in changes if change[0].entity != TRANSACTION]
        named = [change for change in changes if change[1] != "Update" or change[2]]
        if named and all(self._silent(*change) for change in named):
            return
        for record, action, names in changes:
            if names and self._silent(record, action, names):
                continue
            for topic in topics_of(record):
                subscription = self.sim.subscriptions.of_topic(division.code, topic)
                if subscription is not None:
                    self._event(subscription, record, action)

    def _silent(self, record, action, names):
        """Whether a change touched only properties that announce nothing: derived ones, and those of a setting."""
        if action != "Update" or not names:
            return False
        quiet = NEVER_FLAGGED.union(rows.derived_fields(RESOURCES[record.entity]), self.settings.webhook_silent_fields,
                                    self._unflagged(record.entity))
        return all(name.startswith("_") or name in quiet or f"{record.entity}.{name}" in quiet for name in names)

    def _unflagged(self, entity):
        """Fields whose changes announce nothing: none, or where the setting says so those that the vendor's pages do
        not flag."""
        if self.settings.webhook_flags == "all":
            return ()
        flagged, names, seed = FLAGGED.get(entity), RESOURCES[entity].types, self.settings.seed
        if flagged:
            return [n for n in names if n not in flagged]
        return [n for n in names if random.Random(f"{seed} {entity}.{n}").random() < 1 / 3]

    def _event(self, subscription, record, action):
        if self.sim.weather.draw(self.random, "subscription_loss", self.settings.subscription_loss):
            self.sim.subscriptions.remove(lambda s: s is subscription)
            return
        s, wall = self.settings, self.sim.clock.wall()
        text, styles = self.content(subscription.topic, subscription.division, action, record.key, record.entity, wall)
        body = notification.body(text, notification.hash_of(text, s.webhook_secret), styles)
        known = {"division": subscription.division, "topic": subscription.topic, "action": action, "key": record.key,
                 "subscription": subscription.id, "styles": styles}
        message = self.message("event", subscription.url, body, **known)
        if not subscription.deliver:
            self._mark(message, "elsewhere")
        elif self.random.random() < s.webhook_loss:
            self._mark(message, "lost")
        else:
            self._queue(message, subscription.instant)
            if self.random.random() < s.webhook_duplicate:
                self._queue(self.message("event", subscription.url, body, origin=message.n, **known),
                            subscription.instant)

    def content(self, topic, division, action, key, resource, wall, styles=None, **given):
        """(text of a Content, its styles); `given` replaces client_id, endpoint, created, or adds members by
        `extra`."""
        styles = list(styles or self.settings.webhook_styles or notification.draw(self.random, self.sim.weather))
        for style in styles:
            if style in notification.WEATHER:
                self.sim.weather.met(notification.WEATHER[style])
        endpoint = given.get("endpoint") or f"{self.sim.base_url}/api/v1/{division}/{resource}(guid'{key}')"
        created = given.get("created") or notification.event_time(wall, styles, self.random)
        return notification.content(topic, given.get("client_id") or self.settings.client_id, division, action, key,
                                    endpoint, created,
                                    styles, given.get("extra")), styles

    def message(self, kind, url, body, **known):
        """A new message of the journal; nothing sends it yet."""
        self.last = next(self.numbers)
        made = Message(self.last, kind, self.sim.clock.now(), url, body, **known)
        self.messages.append(made)
        self.sums[made.state] += 1
        return made

    def _mark(self, message, state):
        self.sums[message.state] -= 1
        self.sums[state] += 1
        message.state = state

    def _queue(self, message, instant=False):
        s = self.settings
        delay = 0 if instant else self.random.uniform(s.webhook_delay_min,
                                                      max(s.webhook_delay_min, s.webhook_delay_max))
        if self.random.random() < s.webhook_reorder:
            message.reordered = True
            delay += self.random.uniform(0.2, 1) * max(1, s.webhook_delay_max - s.webhook_delay_min)
        self.send(message, delay)

    def send(self, message, delay=0):
        """Put a message into the queue."""
        message.due, step = self.sim.clock.now() + delay, self.settings.webhook_batch
        if step and message.kind == "event":
            message.due = math.ceil(message.due / step) * step
        self._mark(message, "waiting")
        heapq.heappush(self.queue, (message.due, message.n, message))
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run())
        self.wake.set()

    def drop(self, subscription):
        """Forget what waits for a subscription that is gone."""
        for _, _, message in self.queue:
            if message.subscription == subscription and message.kind == "event":
                self._mark(message, "dropped")

    def pending(self):
        """How many messages are not yet delivered, lost, dropped or given up."""
        waiting, flying = self.sums["waiting"], self.sums["sending"]
        return {"pending": waiting + flying, "waiting": waiting, "in_flight": flying,
                "held": self.settings.webhook_hold, "last": self.last,
                "states": {state: n for state, n in self.sums.items() if n}}

    # ---- the way out ----

    async def _run(self):
        """Start deliveries when they are due."""
        while True:
            self.wake.clear()
            wait = self._start()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), wait)

    def _start(self):
        """Start what is due and has a free connection; seconds until more is due, None when something else must
        happen first."""
        while self.queue and self.flying < self.settings.webhook_parallel and not self.settings.webhook_hold:
            due, _, message = self.queue[0]
            if message.state != "waiting":
                heapq.heappop(self.queue)
                continue
            ahead = due - self.sim.clock.now()
            if ahead > 0:
                return None if self.sim.clock.paused else ahead
            heapq.heappop(self.queue)
            self.flying += 1
            self._mark(message, "sending")
            task = asyncio.get_running_loop().create_task(self._deliver(message))
            self.running.add(task)
            task.add_done_callback(self.running.discard)
        return None

    async def _deliver(self, message):
        """One attempt, and what follows from it."""
        started, at = time.monotonic(), self.sim.clock.now()
        try:
            wire = [style for style in message.styles if style in notification.ON_THE_WIRE]
            sent = self._by_hand(message.url, message.body, wire) if wire else self._post(message.url, message.body)
            message.status, message.error = (await sent)[0], None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            message.status, message.error = None, f"{type(error).__name__}: {error}".rstrip(": ")
        finally:
            self.flying -= 1
            self.wake.set()
        message.attempts.append({"at": clock.utc_iso(at), "status": message.status, "error": message.error,
                                 "ms": round((time.monotonic() - started) * 1000, 1)})
        gone = message.kind == "event" and message.subscription not in self.sim.subscriptions.found
        if message.status is not None and 200 <= message.status < 300:
            self._mark(message, "delivered")
        elif gone:
            self._mark(message, "dropped")
        elif len(message.attempts) <= (0 if self.settings.webhook_retry_form == "once"
                                       else self.settings.webhook_retries):
            growth = 2 ** (len(message.attempts) - 1) if self.settings.webhook_retry_form == "growing" else 1
            self.send(message, self.settings.webhook_retry_delay * growth)
        else:
            self._mark(message, "failed")

    async def _post(self, url, body):
        """(status, reason) of a POST; redirects are not followed."""
        headers = HEADERS if body else {}
        async with self._session().post(url, data=body, headers=headers, allow_redirects=False, ssl=self._trust(),
                                        skip_auto_headers=(*SKIPPED, *(() if body else ("Content-Type",))),
                                        timeout=aiohttp.ClientTimeout(self.settings.webhook_timeout)) as answer:
            await answer.content.read(65536)
            return answer.status, answer.reason or ""

    async def _by_hand(self, url, body, styles):
        """(status, reason) of a POST on a connection of its own, written in one of the rarer ways."""
        parts = urlsplit(url)
        tls = None
        if parts.scheme == "https":
            tls = self._trust()
            tls = ssl.create_default_context() if tls is True else tls
        port = parts.port or (443 if tls else 80)
        async with asyncio.timeout(self.settings.webhook_timeout):
            reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
            try:
                names = [("Host", parts.netloc), ("Content-Type", "application/json")]
                chunked, expect = "chunked" in styles, "expect" in styles
                names.append(("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body))))
                if expect:
                    names.append(("Expect", "100-continue"))
                version = "1.0" if "http10" in styles else "1.1"
                query = "?" + parts.query if parts.query else ""
                head = f"POST {parts.path or '/'}{query} HTTP/{version}\r\n" + "".join(
                    f"{name.lower() if 'lower_headers' in styles else name}: {value}\r\n" for name,
                    value in names) + "\r\n"
                writer.write(head.encode())
                status = None
                if expect:      # wait a moment for leave, and go on without it as well
                    with contextlib.suppress(TimeoutError):
                        status = await asyncio.wait_for(self._status(reader), 1)
                if status is None or status[0] == 100:
                    half = len(body) // 2
                    pieces = [b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:])
                              if part] + [b"0\r\n\r\n"]
                    writer.write(b"".join(pieces) if chunked else body)
                    await writer.drain()
                    status = await self._status(reader)
                    while status[0] == 100:
                        status = await self._status(reader)
                return status
            finally:
                writer.close()

    @staticmethod
    async def _status(reader):
        """(status, reason) of an answer whose head is read."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[0].split(" ", 2)
        return int(head[1]), head[2] if len(head) > 2 else ""

    async def validate(self, url, topic, division):
        """(status, reason) of the empty call that a callback address must answer with 200."""
        message = self.message("validation", url, b"", topic=topic, division=division)
        self._mark(message, "sending")
        at = self.sim.clock.now()
        try:
            message.status, reason = await self._post(url, b"")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            message.error, reason = f"{type(error).__name__}: {error}".rstrip(
                ": "), "An error occurred while sending the request."
        message.attempts.append({"at": clock.utc_iso(at), "status": message.status, "error": message.error})
        self._mark(message, "delivered" if message.status == 200 else "failed")
        return message.status or 500, reason

    def _session(self):
        """The connections: kept for the next message, or one for each."""
        keep = self.settings.webhook_keepalive
        if keep not in self.sessions:
            options = {"keepalive_timeout": IDLE_SECONDS} if keep else {"force_close": True}
            connector = aiohttp.TCPConnector(limit=0, **options)
            self.sessions[keep] = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        return self.sessions[keep]

    def _trust(self):
        """Certificates that callbacks may have: those of the system, and those of a file."""
        file = self.settings.callback_ca
        if not file:
            return True
        if file not in self.trusts:
            context = ssl.create_default_context()
            context.load_verify_locations(file)
            self.trusts[file] = context
        return self.trusts[file]

    async def close(self):
        """End all deliveries."""
        tasks = [*self.running, *([self.task] if self.task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for session in self.sessions.values():
            await session.close()
