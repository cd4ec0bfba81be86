"""Control requests about notifications: subscriptions of colleagues, the journal, replays, and messages that
nobody's change made."""
import base64
import json

from . import notification
from .odata import Refused
from .subscriptions import TOPICS

SEND = {"division", "topic", "key", "action", "at", "endpoint", "client_id", "extra", "styles", "content", "secret",
        "forge", "hash", "body",
        "body_base64", "url", "times", "send", "resource", "delay"}


class WebhookControl:
    """Part of the control API; `self.sim` is the simulator."""

    # ---- subscriptions ----

    def get_subscriptions(self, given):
        """Every subscription, colleagues' too."""
        wanted = [s for s in self.sim.subscriptions.found.values() if self._meets(given, s)]
        return {"subscriptions": [s.public() for s in wanted]}

    @staticmethod
    def _meets(given, thing):
        return (("division" not in given or thing.division == int(given["division"])) and
                ("topic" not in given or thing.topic == given["topic"]) and
                ("user" not in given or thing.user == given["user"]))

    def post_subscriptions(self, given):
        """A subscription that is simply there, a colleague's unless `user` says otherwise. Messages are sent for it
        when `deliver` is true."""
        topic, user = given["topic"], given.get("user") or "colleague@example.com"
        if topic not in TOPICS:
            raise ValueError(f"topic is one of {', '.join(TOPICS)}")
        url = given.get("callback_url") or "https://hub.example.com/exact/other"
        try:
            made = self.sim.subscriptions.add(self._division(given), topic, url, user,
                                              deliver=bool(given.get("deliver", False)))
        except Refused as refusal:
            raise ValueError(refusal.text) from None
        return made.public()

    def delete_subscriptions(self, given, key=None):
        """Remove one by id, or all that division, topic and user of the query name."""
        return {"removed": self.sim.subscriptions.remove(lambda s: key in (None, s.id) and self._meets(given, s))}

    # ---- the journal ----

    def get_webhooks(self, given, what=None):
        """Messages with a number above `since`; webhooks/pending: how many are not yet done with."""
        if what == "pending":
            return self.sim.sender.pending()
        if what is not None:
            raise ValueError("webhooks or webhooks/pending")
        since, until = int(given.get("since", 0)), int(given.get("until", self.sim.sender.last))
        return {"webhooks": [m.public() for m in self.sim.sender.messages if since < m.n <= until
                             and self._wanted(given, m)]}

    @staticmethod
    def _wanted(given, message):
        return all(name not in given or str(getattr(message, name)) == str(given[name])
                   for name in ("division", "topic", "state", "kind", "key", "subscription"))

    def post_webhooks(self, given, what=None):
        if what == "replay":
            return self._replay(given)
        if what == "send":
            return self._send(given)
        raise ValueError("webhooks/replay or webhooks/send")

    def _replay(self, given):
        """Send again, byte for byte, what was sent since a number; not what was lost, and not replays."""
        sender, since = self.sim.sender, int(given.get("since", 0))
        until = int(given.get("until", sender.last))
        recorded = [m for m in sender.messages if since < m.n <= until and m.kind in ("event", "injected")
                    and m.attempts and self._wanted(given, m)]
        made = [sender.message("replay", given.get("url") or m.url, m.body, division=m.division, topic=m.topic,
                               action=m.action, key=m.key,
                               subscription=m.subscription, styles=m.styles, origin=m.n)
                for _ in range(int(given.get("times", 1))) for m in recorded]
        for message in made:
            sender.send(message)
        return {"recorded": len(recorded), "queued": len(made), "since": made[0].n - 1 if made else sender.last}

    def _send(self, given):
        """Any message, signed or forged; with `send` false it is only made. Answers its bytes."""
        unknown = set(given) - SEND
        if unknown:
            raise ValueError(f"webhooks/send takes no {', '.join(sorted(unknown))}")
        sender, styles = self.sim.sender, given.get("styles")
        if styles and not set(styles) <= set(notification.STYLES):
            raise ValueError(f"styles are {', '.join(notification.STYLES)}")
        division, topic = int(given.get("division", min(self.sim.divisions))), given.get("topic", "Items")
        subscription = self.sim.subscriptions.of_topic(division,
                                                       topic) or next(iter(self.sim.subscriptions.found.values()), None)
        url = given.get("url") or (subscription.url if subscription else None)
        if url is None and given.get("send", True):
            raise ValueError("there is no subscription: name a url")
        key, action = given.get("key") or sender.new_id(), given.get("action", "Update")
        body, styles = self._bytes(given, division, topic, key, action, styles)
        numbers = []
        for _ in range(int(given.get("times", 1)) if given.get("send", True) else 0):
            message = sender.message("injected", url, body, division=division, topic=topic, action=action, key=key,
                                     styles=styles)
            sender.send(message, float(given.get("delay", 0)))
            numbers.append(message.n)
        return {"n": numbers, "url": url, "body": body.decode("utf-8", "replace"),
                "body_base64": base64.b64encode(body).decode(),
                "key": key, "styles": styles}

    def _bytes(self, given, division, topic, key, action, styles):
        """(body, styles) of a message."""
        if "body_base64" in given:
            return base64.b64decode(given["body_base64"], validate=True), []
        if "body" in given:
            return given["body"].encode(), []
        sender, text = self.sim.sender, given.get("content")
        if given.get("forge") == "unescaped":
            styles = styles or ["escaped"]
        if text is None:
            resource = given.get("resource") or TOPICS.get(topic, (topic,))[0]
            text, styles = sender.content(topic, division, action, key, resource, self.sim.clock.wall(), styles,
                                          endpoint=given.get("endpoint"), created=given.get("at"),
                                          client_id=given.get("client_id"),
                                          extra=given.get("extra"))
        elif not isinstance(text, str):
            text = json.dumps(text, ensure_ascii=False, separators=(",", ":"))
        secret = given.get("secret") or self.sim.settings.webhook_secret
        code = given.get("hash") or notification.hash_of(text, secret)
        if given.get("forge"):
            text, code = notification.forged(text, secret, given["forge"], sender.random)
        return notification.body(text, code, styles or ()), styles or []

    def post_rotate_webhook_secret(self, given):
        """A new webhook secret (`secret`, or a random one); messages signed before keep the old one."""
        old = self.sim.sender.rotate(given.get("secret"))
        return {"webhook_secret": self.sim.settings.webhook_secret, "previous": old}
