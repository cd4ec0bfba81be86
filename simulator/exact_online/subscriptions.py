"""Webhook subscriptions: which topics there are, who subscribed to them, and the call that proves a callback
address."""
import asyncio
import dataclasses
import ipaddress
from urllib.parse import urlsplit

from . import clock, write
from .catalogue import RESOURCES
from .odata import Refused

PATH = "webhooks/WebhookSubscriptions"
TOPICS = {  # topic: the resources whose changes it announces
    "Accounts": ("crm/Accounts",), "BankAccounts": ("crm/BankAccounts",),
    "BankEntries": ("financialtransaction/BankEntries", "financialtransaction/BankEntryLines"),
    "CashEntries": ("financialtransaction/CashEntries", "financialtransaction/CashEntryLines"),
    "Contacts": ("crm/Contacts",), "CostTransactions": ("project/CostTransactions",),
    "DocumentAttachments": ("documents/DocumentAttachments",), "Documents": ("documents/Documents",),
    "GeneralJournalEntries": ("generaljournalentry/GeneralJournalEntries",
                              "generaljournalentry/GeneralJournalEntryLines"),
    "GLAccounts": ("financial/GLAccounts",), "GoodsDeliveries": ("salesorder/GoodsDeliveries",
                                                                 "salesorder/GoodsDeliveryLines"),
    "HostingOpportunities": ("crm/HostingOpportunities",), "Items": ("logistics/Items",),
    "JournalStatusList": ("read/financial/JournalStatusList",),
    "MailMessageAttachments": ("mailbox/MailMessageAttachments",),
    "MailMessagesSent": ("mailbox/MailMessagesSent",), "Opportunities": ("crm/Opportunities",),
    "ProjectPlanning": ("project/ProjectPlanning",),
    "PurchaseEntries": ("purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines"),
    "PurchaseOrders": ("purchaseorder/PurchaseOrders", "purchaseorder/PurchaseOrderLines"),
    "Quotations": ("crm/Quotations", "crm/QuotationLines"),
    "SalesEntries": ("salesentry/SalesEntries", "salesentry/SalesEntryLines"),
    "SalesInvoices": ("salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceLines"),
    "SalesOrders": ("salesorder/SalesOrders", "salesorder/SalesOrderLines"),
    "StockPositions": ("read/logistics/StockPosition",),
    "Subscriptions": ("subscription/Subscriptions", "subscription/SubscriptionLines"),
    "TimeTransactions": ("project/TimeTransactions",)}
ENTRIES = ("BankEntries", "CashEntries", "GeneralJournalEntries", "PurchaseEntries", "SalesEntries")
TRANSACTION = "financialtransaction/TransactionLines"       # announced under the topic of the entry that posted it
TOPICS["FinancialTransactions"] = tuple(path for topic in ENTRIES for path in TOPICS[topic])
TOPICS_OF = {}
for _topic, _paths in TOPICS.items():
    for _path in _paths:
        TOPICS_OF.setdefault(_path, []).append(_topic)


def topics_of(record):
    """Topics under which changes of a record are announced."""
    entry = getattr(record, "entry", None) if record.entity == TRANSACTION else record
    return TOPICS_OF.get(entry.entity, ()) if entry is not None else ()


@dataclasses.dataclass
class Subscription:
    """One app's wish to hear of one topic of one division. `deliver` is off for a colleague's whose messages go
    nowhere."""
    id: str
    division: int
    topic: str
    url: str
    user: str                   # who made it, by name
    named: str                  # UserID of the row
    created: int                # wall time
    instant: bool = False
    deliver: bool = True

    def public(self):
        return {"id": self.id, "division": self.division, "topic": self.topic, "callback_url": self.url,
                "user": self.user,
                "deliver": self.deliver, "created": clock.iso_of(self.created)}


class Subscriptions:
    """All subscriptions of the app, by id. A user sees his own; another's of the same topic and division is in the
    way."""

    def __init__(self, sim):
        self.sim, self.found = sim, {}

    def of_user(self, user, division):
        return [s for s in self.found.values() if s.division == division and s.user == user]

    def of_topic(self, division, topic):
        return next((s for s in self.found.values() if (s.division, s.topic) == (division, topic)), None)

    def row(self, subscription):
        """A subscription as the resource serves it."""
        s, names = subscription, self.sim.divisions[subscription.division].info["names"]
        creator = self.sim.oauth.user_id(s.user)
        return {**RESOURCES[PATH].template, "ID": s.id, "CallbackURL": s.url, "ClientID": self.sim.settings.client_id,
                "Created": clock.date_text(s.created), "Creator": creator,
                "CreatorFullName": names.get(creator, s.user),
                "Description": "Integratie", "Division": s.division, "Topic": s.topic, "UserID": s.named,
                "IsInstant": s.instant}

    def rows_of(self, user, division):
        return [self.row(s) for s in self.of_user(user, division)]

    def add(self, division, topic, url, user, named=None, instant=False, deliver=True):
        """A new subscription, without any check but for its twin."""
        if self.of_topic(division.code, topic):
            raise Refused(500, write.EXISTS)
        made = Subscription(self.sim.sender.new_id(), division.code, topic, url, user,
                            named or self.sim.oauth.user_id(user),
                            self.sim.clock.wall(), instant, deliver)
        self.found[made.id] = made
        return made

    def remove(self, chosen):
        """Forget subscriptions and what still waits to be sent for them; how many there were."""
        gone = [s for s in list(self.found.values()) if chosen(s)]
        for subscription in gone:
            del self.found[subscription.id]
            self.sim.sender.drop(subscription.id)
        return len(gone)

    def _checked(self, values):
        """(topic, url) of a request, or the service's refusal."""
        settings, topic, url = self.sim.settings, values.get("Topic"), values.get("CallbackURL")
        if topic not in TOPICS or topic in settings.refused_topics:
            raise Refused(500, "Ongeldig: Topic")
        try:
            parts = urlsplit(url or "")
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        plain = settings.allow_http_callback and host and parts.scheme == "http" and is_loopback(host)
        if not host or not (parts.scheme == "https" or plain) or any(c.isspace() for c in url):
            raise Refused(500, "Ongeldig: CallbackURL")
        return topic, url

    async def _prove(self, url, topic, division):
        """Call the address as the service does before it believes in it."""
        await asyncio.sleep(self.sim.settings.validation_delay)
        status, reason = await self.sim.sender.validate(url, topic, division)
        if status != 200:
            raise Refused(500, f"Invalid: Post to callback URL endpoint returns {status} {reason}")

    async def create(self, division, body, user):
        """POST: the new subscription."""
        values, _ = write.accepted(RESOURCES[PATH], body, "POST")
        write.check_mandatory(RESOURCES[PATH], values)
        topic, url = self._checked(values)
        if self.of_topic(division.code, topic):
            raise Refused(500, write.EXISTS)
        await self._prove(url, topic, division.code)
        return self.add(division, topic, url, user, values.get("UserID"),
                        bool(values.get("IsInstant")) and topic == "GoodsDeliveries")

    async def change(self, subscription, body):
        """PUT, which the service documents and refuses; a setting lets it pass."""
        if not self.sim.settings.allow_subscription_put:
            raise Refused(405, "The method PUT is not allowed for this resource.")
        values, _ = write.accepted(RESOURCES[PATH], body, "PUT")
        topic, url = self._checked({"Topic": subscription.topic, "CallbackURL": subscription.url, **values})
        twin = self.of_topic(subscription.division, topic)
        if twin not in (None, subscription):
            raise Refused(500, write.EXISTS)
        await self._prove(url, topic, subscription.division)
        subscription.topic, subscription.url = topic, url

    def one(self, division, key, user):
        """The user's subscription of a key; 404 for another's."""
        found = self.found.get(key)
        if found is None or found.division != division.code or found.user != user:
            raise Refused(404, "Resource not found for the key given.")
        return found


def is_loopback(host):
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
