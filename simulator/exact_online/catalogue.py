"""The resources the simulator serves, their fields, types and rules, read from fields.json, fields_finance.json and
endpoints.tsv.

The first two hold, per resource, the documented methods, key, scope, filter rules and fields; a field is
[name, type, flags] with the flags p (may be sent in POST), u (in PUT), m (must be sent in POST). endpoints.tsv has
the whole
documentation in one line an endpoint: what the first two do not name is made of it for the presets wide and all.
"""
import csv
import json
import math
import pathlib
import re
from typing import NamedTuple

from . import clock

_GUID = re.compile(r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$", re.I)
_RANGES = {"Byte": (0, 255), "Int16": (-2**15, 2**15 - 1), "Int32": (-2**31, 2**31 - 1), "Int64": (-2**63, 2**63 - 1)}
SCALARS = {"Guid", "String", "DateTime", "Byte", "Int16", "Int32", "Int64", "Double", "Boolean", "Binary"}

GL, ITEM, ACCOUNT = "financial/GLAccounts", "logistics/Items", "crm/Accounts"
ORDER, LINE = "purchaseorder/PurchaseOrders", "purchaseorder/PurchaseOrderLines"
COSTCENTER, COSTUNIT = "hrm/Costcenters", "hrm/Costunits"
ENTITIES = (GL, ITEM, ACCOUNT, COSTCENTER, COSTUNIT, ORDER, LINE)
SYNC_ORDERS, SYNC_INVOICES = "sync/PurchaseOrder/PurchaseOrders", "sync/SalesInvoice/SalesInvoices"


class Document(NamedTuple):
    """A header with lines: their entities, the collection that holds the lines, and the line's field that names the
    document."""
    header: str
    line: str
    collection: str
    parent: str
    noun: str


ORDERS = Document(ORDER, LINE, "PurchaseOrderLines", "PurchaseOrderID", "purchase order")
PURCHASE_INVOICES = Document("purchase/PurchaseInvoices", "purchase/PurchaseInvoiceLines", "PurchaseInvoiceLines",
                             "InvoiceID", "purchase invoice")
SALES_INVOICES = Document("salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceLines", "SalesInvoiceLines",
                          "InvoiceID", "sales invoice")
PURCHASE_ENTRIES = Document("purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines", "PurchaseEntryLines",
                            "EntryID", "purchase entry")
SALES_ENTRIES = Document("salesentry/SalesEntries", "salesentry/SalesEntryLines", "SalesEntryLines", "EntryID",
                         "sales entry")
JOURNAL_ENTRIES = Document("generaljournalentry/GeneralJournalEntries", "generaljournalentry/GeneralJournalEntryLines",
                           "GeneralJournalEntryLines", "EntryID", "journal entry")
BANK_ENTRIES = Document("financialtransaction/BankEntries", "financialtransaction/BankEntryLines", "BankEntryLines",
                        "EntryID", "bank entry")
CASH_ENTRIES = Document("financialtransaction/CashEntries", "financialtransaction/CashEntryLines", "CashEntryLines",
                        "EntryID", "cash entry")
TRANSACTION = "financialtransaction/TransactionLines"
INVOICES = (PURCHASE_INVOICES, SALES_INVOICES)
# what posts transaction lines
ENTRIES = (PURCHASE_ENTRIES, SALES_ENTRIES, JOURNAL_ENTRIES, BANK_ENTRIES, CASH_ENTRIES)
DOCUMENTS = {d.header: d for d in (ORDERS, *INVOICES, *ENTRIES)}
DOCUMENT_OF_LINE = {d.line: d for d in DOCUMENTS.values()}
CHARGE = "salesinvoice/SalesInvoiceOrderChargeLines"
JOURNALS, VAT_CODES, VAT_PERCENTAGES = "financial/Journals", "vat/VATCodes", "vat/VatPercentages"
PERIODS, BALANCES = "financial/FinancialPeriods", "financial/ReportingBalance"
PERIOD_STATUS = "read/financial/JournalStatusList"
TABLES = (JOURNALS, VAT_CODES, VAT_PERCENTAGES, PERIODS, CHARGE)     # what stands beside the documents of the ledger
FINANCE = (*(entity for d in (*INVOICES, *ENTRIES) for entity in (d.header, d.line)), TRANSACTION, *TABLES)
COMPUTED = (BALANCES, PERIOD_STATUS)        # made of the ledger when they are read
# sync sets of header rows (LineNumber 0) and line rows
COMBINED = {SYNC_ORDERS: ORDERS, SYNC_INVOICES: SALES_INVOICES}
FEEDS = [GL, ITEM, ACCOUNT, *(d.header for d in COMBINED.values()), TRANSACTION]    # entities with row versions
SET_OF = {d.line: d.header for d in COMBINED.values()}              # entities whose row versions are in another's set
NOUN = {GL: "GL account", ITEM: "item", ACCOUNT: "account", COSTCENTER: "cost center", COSTUNIT: "cost unit",
        ORDER: "purchase order", LINE: "purchase order line", TRANSACTION: "transaction line",
        **{d.header: d.noun for d in DOCUMENTS.values()}, **{d.line: f"{d.noun} line" for d in DOCUMENTS.values()}}
WIDTHS = {  # codes that come with blanks behind
    "Country": 3, "Language": 5, "SearchCode": 20, "VATCode": 3, "SalesVatCode": 3, "SalesVATCode": 3,
    "PurchaseVATCode": 3}
# others have them as they are
WIDTHS_OF = {ITEM: {"Unit": 8}, "crm/Contacts": {"Language": 10}, VAT_CODES: {"Code": 3}}
# as recorded; most types name no service
SERVICE_IN_TYPE = {"financialtransaction": "Financial.", "system": "System."}
NOT_DESCRIPTIVE_IN_SYNC = {  # joined texts that sync rows leave empty although the plain endpoint fills them
    "sync/Financial/GLAccounts": ("TypeDescription", "VATDescription"),
    "sync/Logistics/Items": ("SalesVatCodeDescription", "UnitDescription"),
    "sync/CRM/Accounts": ("AccountManagerFullName", "LanguageDescription", "PurchaseCurrencyDescription"),
    SYNC_ORDERS: ("PaymentConditionDescription", "ShippingMethodDescription", "VATDescription"),
    SYNC_INVOICES: ("PaymentConditionDescription", "JournalDescription", "VATCodeDescription"),
    "sync/Financial/TransactionLines": ("JournalDescription", "VATCodeDescription"),
}
MANDATORY_FILTERS = {  # what counts as a filter where an app is under mandatory filtering
    ACCOUNT: {"Accountant", "AccountManager", "AddressLine1", "AddressLine2", "AddressLine3", "Blocked", "BRIN", "BSN",
              "ChamberOfCommerce", "City", "Classification", "Classification1", "Classification2", "Classification3",
              "Classification4", "Classification5", "Classification6", "Classification7", "Classification8", "Code",
              "CodeAtSupplier", "Country", "Created", "Email", "EndDate", "Fax", "ID", "InvoiceAccount", "IsAccountant",
              "IsReseller", "IsSales", "IsSupplier", "MainContact", "Name", "Parent", "Phone", "Postcode", "PriceList",
              "Reseller", "RSIN", "SearchCode", "StartDate", "Status", "Type", "VATNumber"},
    ITEM: {"ID", "Code", "Created", "Description", "ItemGroup", "SearchCode", "StartDate", "EndDate"},
    GL: {"ID", "Code", "Created", "Description", "SearchCode", "Type"},
    ORDER: {"PurchaseOrderID", "OrderNumber", "Created", "Supplier", "OrderDate", "OrderStatus"},
    LINE: {"ID", "PurchaseOrderID", "Created", "Item"},
    TRANSACTION: {"ID", "EntryID", "EntryNumber", "Created", "Date", "FinancialYear", "FinancialPeriod", "JournalCode",
                  "GLAccount", "Account"},
    SALES_INVOICES.header: {"InvoiceID", "InvoiceNumber", "InvoiceDate", "Created", "OrderedBy", "InvoiceTo", "Status"},
    SALES_INVOICES.line: {"ID", "InvoiceID", "Item"},
}


class Resource:
    """One endpoint: where it stands, what it serves and what it allows."""

    def __init__(self, path, raw):
        self.path = path
        self.generic = raw.get("generic", False)
        self.kind = raw["kind"]
        self.methods = set(raw["methods"])
        self.keys = tuple(raw["key"].split("+"))
        self.key = self.keys[0]
        self.scope = raw["scope"]
        self.entity = raw.get("plain", path)
        self.entities = raw.get("plains") or (self.entity,)     # more than one: a set of two or three tables
        self.select_required = raw.get("select_required", False)
        self.select_star = raw.get("select_star", True)
        self.filters = set(raw["filters"]) if "filters" in raw else None
        self.entity_type = raw.get("entity_type")
        self.types = {name: edm for name, edm, _ in raw["fields"]}
        self.flags = {name: flags for name, _, flags in raw["fields"]}
        self.fields = tuple(self.types)
        self.template = dict.fromkeys(self.types)
        self.identity = raw.get("identity") or ("ID" if self.kind == "sync" and "ID" in self.types else self.key)
        self.children = raw.get("children", {})         # {collection: entity of its rows}
        self.has_modified = "Modified" in self.types
        self.collections = {name: edm[11:-1] for name, edm in self.types.items() if edm.startswith("Collection(")}
        for name, edm in self.types.items():
            if edm == "Boolean":
                self.template[name] = False
            elif edm == "Byte":
                self.template[name] = 0
        self.blank = dict.fromkeys(NOT_DESCRIPTIVE_IN_SYNC.get(path, ()))
        service, name = self.entity.split("/")[-2:] if "/" in self.entity else ("", self.entity)
        self.type_name = f"Exact.Web.Api.Models.{SERVICE_IN_TYPE.get(service, '')}{singular(name)}"

    @property
    def wide(self):
        """Served in pages of 1000 instead of 60."""
        return self.kind in ("sync", "bulk")


def singular(name):
    """The name of one row of an entity."""
    if name.endswith("ies"):
        return name[:-3] + "y"
    if name.endswith(("sses", "xes", "ches")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us")) else name


def _known():
    """{path: Resource} of fields.json and fields_finance.json."""
    texts = (pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")
             for name in ("fields.json", "fields_finance.json"))
    return {path: Resource(path, raw) for text in texts for path, raw in json.loads(text).items()}


def _documented():
    """{path: row} of endpoints.tsv."""
    with open(pathlib.Path(__file__).with_name("endpoints.tsv"), encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)}


def _raw(row, plains, rows):
    """What Resource() takes, of a row of endpoints.tsv; `plains` are the entities whose rows it shows."""
    kind, names = row["kind"], [field.split(":") for field in row["fields"].split()] or [["Value", "String"]]
    fields = [[name, edm, flags[0] if flags else ""] for name, edm, *flags in names]
    types = {name for name, _, _ in fields}
    key = row["key"] or (fields[0][0] if fields else "Value")
    raw = {"generic": True, "kind": "entity" if kind == "read" else kind, "methods": row["methods"].split(","),
           "key": key,
           "scope": row["scope"].split(",")[0], "fields": fields, "select_required": "s" in row["flags"],
           "select_star": "n" not in row["flags"]}
    if kind in ("bulk", "sync"):
        raw["plain"], raw["plains"] = plains[0], tuple(plains)
        if row["filters"]:
            raw["filters"] = row["filters"].split(",")
    if kind == "sync":
        raw["entity_type"] = int(row["code"])
        raw["identity"] = next(name for name in ("ID", "EntryID", "StockTransactionId", "Timestamp") if name in types)
    children = dict(part.split(":") for part in row["lines"].split("|") if part)
    raw["children"] = {name: child for name, child in children.items() if child in rows}
    return raw


def load():
    """({path: Resource} of everything, {path: plain entities} of the bulk and sync sets that endpoints.tsv adds)."""
    found, rows = _known(), _documented()
    plains = {}
    for path, row in rows.items():
        for twin in (*row["bulk"].split("|"), *row["sync"].split("|")):
            if twin and row["kind"] == "entity":
                plains.setdefault(twin, []).append(path)
    for path, row in rows.items():
        if path not in found:
            found[path] = Resource(path, _raw(row, plains.get(path) or [path], rows))
    return found, {path: found[path].entities for path in rows if found[path].generic
                   and found[path].kind in ("bulk", "sync")}


RESOURCES, _TWINS = load()
BY_LOWER_PATH = {path.lower(): resource for path, resource in RESOURCES.items()}
for _path, _entities in _TWINS.items():     # sync sets beyond those of trade and ledger
    if RESOURCES[_path].kind == "sync":
        FEEDS.append(_entities[0])
        SET_OF.update((entity, _entities[0]) for entity in _entities[1:])
NOT_FOR_ALL = {"current/Me", "system/Divisions", "system/AllDivisions", "system/GetMostRecentlyUsedDivisions",
               "hrm/Divisions",
               "webhooks/WebhookSubscriptions", "read/sync/Sync/SyncTimestamp", "sync/Deleted", *COMPUTED}
_WIDE = dict.fromkeys(entity for path, entities in _TWINS.items() if RESOURCES[path].kind == "sync"
                      for entity in entities)
_WIDE.update(dict.fromkeys(child for entity in list(_WIDE) for child in RESOURCES[entity].children.values()
                           if child in RESOURCES))
_ALL = dict.fromkeys(r.entity for r in RESOURCES.values() if r.kind in ("entity", "function", "sync")
                     and r.path not in NOT_FOR_ALL)
PRESETS = {"orders": ENTITIES, "finance": (*ENTITIES, *FINANCE)}
PRESETS["wide"] = tuple(dict.fromkeys((*PRESETS["finance"], *_WIDE)))
PRESETS["all"] = tuple(dict.fromkeys((*PRESETS["wide"], *_ALL)))
GENERIC = tuple(entity for entity in PRESETS["all"] if entity not in PRESETS["finance"])
KEY_FIELD = {entity: RESOURCES[entity].key if RESOURCES[entity].kind != "sync" else RESOURCES[entity].identity
             for entity in PRESETS["all"]}
ENTITY_TYPE = {r.entity: r.entity_type for r in RESOURCES.values() if r.entity_type}
SYNC_OF_TYPE = {}       # code: the sync sets that its deletions concern; 8 is of two tables
for _resource in RESOURCES.values():
    if _resource.entity_type:
        SYNC_OF_TYPE.setdefault(_resource.entity_type, []).append(_resource.path)


def number(value):
    """A double as the service prints it: without a fraction when it is whole."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def pad(entity, values):
    """Give codes the blanks that the service gives them (18 wide and right-aligned for accounts)."""
    for name, width in WIDTHS.items():
        if isinstance(values.get(name), str) and values[name].strip():
            values[name] = values[name].rstrip().ljust(width)
    for name, width in WIDTHS_OF.get(entity, {}).items():
        if isinstance(values.get(name), str) and values[name].strip():
            values[name] = values[name].rstrip().ljust(width)
    if entity == ACCOUNT and isinstance(values.get("Code"), str):
        values["Code"] = values["Code"].strip().rjust(18)


def coerce(edm, value):
    """A value sent by a client in the form rows keep it (ready for JSON). ValueError when it is of another type."""
    if value is None:
        return None
    if edm in ("String", "Binary"):
        if isinstance(value, str) and "\0" not in value and not any("\ud800" <= c <= "\udfff" for c in value):
            return value
    elif edm == "Guid":
        if isinstance(value, str) and _GUID.match(value.strip("{}")):
            return value.strip("{}").lower()
    elif edm == "DateTime":
        if isinstance(value, str):
            return clock.date_text(clock.parse_wall(value))
    elif edm == "Boolean":
        if isinstance(value, bool):
            return value
    elif edm == "Double":
        if isinstance(value, (int, float, str)) and not isinstance(value, bool) and math.isfinite(float(value)):
            return value if isinstance(value, int) else number(float(value))
    elif edm in _RANGES:
        if isinstance(value, str) and edm == "Int64" and re.fullmatch(r"-?\d+", value):
            value = int(value)
        low, high = _RANGES[edm]
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return str(value) if edm == "Int64" else value
    raise ValueError(f"{value!r} is not of type Edm.{edm}")


class Raw(str):
    """JSON text that stands in a row as it is, whatever the field's type: what a control request asked for."""

    @property
    def plain(self):
        """For the control API: the value, or the text where it is no JSON."""
        try:
            return json.loads(self)
        except ValueError:
            return str(self)


def comparable(edm, value):
    """A row's value as something that compares in the order of its type; None stays None."""
    if isinstance(value, Raw):
        return None
    if value is None or edm in ("Boolean", "Byte", "Int16", "Int32", "Double"):
        return value
    if edm == "DateTime":
        return clock.wall_from_text(value)
    if edm == "Int64":
        return int(value)
    if edm == "String":
        return value.rstrip(" ")
    return value
