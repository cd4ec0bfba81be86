"""The resources the simulator serves, their fields, types and rules, read from fields.json and fields_finance.json.

Both hold, per resource, the documented methods, key, scope, filter rules and fields; a field is
[name, type, flags] with the flags p (may be sent in POST), u (in PUT), m (must be sent in POST).
"""
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
    """A header with lines: their entities, the collection that holds the lines, and the line's field that names the document."""
    header: str
    line: str
    collection: str
    parent: str
    noun: str


ORDERS = Document(ORDER, LINE, "PurchaseOrderLines", "PurchaseOrderID", "purchase order")
PURCHASE_INVOICES = Document("purchase/PurchaseInvoices", "purchase/PurchaseInvoiceLines", "PurchaseInvoiceLines", "InvoiceID", "purchase invoice")
SALES_INVOICES = Document("salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceLines", "SalesInvoiceLines", "InvoiceID", "sales invoice")
PURCHASE_ENTRIES = Document("purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines", "PurchaseEntryLines", "EntryID", "purchase entry")
SALES_ENTRIES = Document("salesentry/SalesEntries", "salesentry/SalesEntryLines", "SalesEntryLines", "EntryID", "sales entry")
JOURNAL_ENTRIES = Document("generaljournalentry/GeneralJournalEntries", "generaljournalentry/GeneralJournalEntryLines",
                           "GeneralJournalEntryLines", "EntryID", "journal entry")
BANK_ENTRIES = Document("financialtransaction/BankEntries", "financialtransaction/BankEntryLines", "BankEntryLines", "EntryID", "bank entry")
CASH_ENTRIES = Document("financialtransaction/CashEntries", "financialtransaction/CashEntryLines", "CashEntryLines", "EntryID", "cash entry")
TRANSACTION = "financialtransaction/TransactionLines"
INVOICES = (PURCHASE_INVOICES, SALES_INVOICES)
ENTRIES = (PURCHASE_ENTRIES, SALES_ENTRIES, JOURNAL_ENTRIES, BANK_ENTRIES, CASH_ENTRIES)      # what posts transaction lines
DOCUMENTS = {d.header: d for d in (ORDERS, *INVOICES, *ENTRIES)}
DOCUMENT_OF_LINE = {d.line: d for d in DOCUMENTS.values()}
FINANCE = (*(entity for d in (*INVOICES, *ENTRIES) for entity in (d.header, d.line)), TRANSACTION)
PRESETS = {"orders": ENTITIES, "finance": (*ENTITIES, *FINANCE)}
COMBINED = {SYNC_ORDERS: ORDERS, SYNC_INVOICES: SALES_INVOICES}     # sync sets of header rows (LineNumber 0) and line rows
FEEDS = (GL, ITEM, ACCOUNT, *(d.header for d in COMBINED.values()), TRANSACTION)    # entities with row versions
SET_OF = {d.line: d.header for d in COMBINED.values()}              # lines whose row versions are in their header's set
NOUN = {GL: "GL account", ITEM: "item", ACCOUNT: "account", COSTCENTER: "cost center", COSTUNIT: "cost unit",
        ORDER: "purchase order", LINE: "purchase order line", TRANSACTION: "transaction line",
        **{d.header: d.noun for d in DOCUMENTS.values()}, **{d.line: f"{d.noun} line" for d in DOCUMENTS.values()}}
WIDTHS = {  # codes that come with blanks behind
    "Country": 3, "Language": 5, "SearchCode": 20, "Unit": 8, "VATCode": 3, "SalesVatCode": 3, "SalesVATCode": 3, "PurchaseVATCode": 3,
    "UnitCode": 8, "ItemUnit": 8}
NOT_DESCRIPTIVE_IN_SYNC = {  # joined texts that sync rows leave empty although the plain endpoint fills them
    "sync/Financial/GLAccounts": ("TypeDescription", "VATDescription"),
    "sync/Logistics/Items": ("SalesVatCodeDescription", "UnitDescription"),
    "sync/CRM/Accounts": ("AccountManagerFullName", "LanguageDescription", "PurchaseCurrencyDescription"),
    SYNC_ORDERS: ("PaymentConditionDescription", "ShippingMethodDescription", "VATDescription"),
    SYNC_INVOICES: ("PaymentConditionDescription", "JournalDescription", "VATCodeDescription"),
    "sync/Financial/TransactionLines": ("JournalDescription", "VATCodeDescription"),
}
MANDATORY_FILTERS = {  # what counts as a filter where an app is under mandatory filtering
    ACCOUNT: set("""Accountant AccountManager AddressLine1 AddressLine2 AddressLine3 Blocked BRIN BSN ChamberOfCommerce City
        Classification Classification1 Classification2 Classification3 Classification4 Classification5 Classification6
        Classification7 Classification8 Code CodeAtSupplier Country Created Email EndDate Fax ID InvoiceAccount IsAccountant
        IsReseller IsSales IsSupplier MainContact Name Parent Phone Postcode PriceList Reseller RSIN SearchCode StartDate
        Status Type VATNumber""".split()),
    ITEM: {"ID", "Code", "Created", "Description", "ItemGroup", "SearchCode", "StartDate", "EndDate"},
    GL: {"ID", "Code", "Created", "Description", "SearchCode", "Type"},
    ORDER: {"PurchaseOrderID", "OrderNumber", "Created", "Supplier", "OrderDate", "OrderStatus"},
    LINE: {"ID", "PurchaseOrderID", "Created", "Item"},
    TRANSACTION: {"ID", "EntryID", "EntryNumber", "Created", "Date", "FinancialYear", "FinancialPeriod", "JournalCode", "GLAccount", "Account"},
    SALES_INVOICES.header: {"InvoiceID", "InvoiceNumber", "InvoiceDate", "Created", "OrderedBy", "InvoiceTo", "Status"},
    SALES_INVOICES.line: {"ID", "InvoiceID", "Item"},
}


class Resource:
    """One endpoint: where it stands, what it serves and what it allows."""

    def __init__(self, path, raw):
        self.path = path
        self.kind = raw["kind"]
        self.methods = set(raw["methods"])
        self.key = raw["key"]
        self.scope = raw["scope"]
        self.entity = raw.get("plain", path)
        self.select_required = raw.get("select_required", False)
        self.select_star = raw.get("select_star", True)
        self.filters = set(raw["filters"]) if "filters" in raw else None
        self.entity_type = raw.get("entity_type")
        self.types = {name: edm for name, edm, _ in raw["fields"]}
        self.flags = {name: flags for name, _, flags in raw["fields"]}
        self.fields = tuple(self.types)
        self.template = dict.fromkeys(self.types)
        self.collections = {name: edm[11:-1] for name, edm in self.types.items() if edm.startswith("Collection(")}
        for name, edm in self.types.items():
            if edm == "Boolean":
                self.template[name] = False
            elif edm == "Byte":
                self.template[name] = 0
        self.blank = {name: None for name in NOT_DESCRIPTIVE_IN_SYNC.get(path, ())}
        self.type_name = "Exact.Web.Api.Models." + "".join(part[:1].upper() + part[1:] + "." for part in path.split("/"))[:-1]

    @property
    def wide(self):
        """Served in pages of 1000 instead of 60."""
        return self.kind in ("sync", "bulk")


def load():
    """{path: Resource} of everything in the two files."""
    texts = (pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("fields.json", "fields_finance.json"))
    return {path: Resource(path, raw) for text in texts for path, raw in json.loads(text).items()}


RESOURCES = load()
BY_LOWER_PATH = {path.lower(): resource for path, resource in RESOURCES.items()}
KEY_FIELD = {entity: RESOURCES[entity].key for entity in PRESETS["finance"]}
ENTITY_TYPE = {r.entity: r.entity_type for r in RESOURCES.values() if r.entity_type}
SYNC_OF_TYPE = {r.entity_type: r.path for r in RESOURCES.values() if r.entity_type}


def number(value):
    """A double as the service prints it: without a fraction when it is whole."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def pad(entity, values):
    """Give codes the blanks that the service gives them (18 wide and right-aligned for accounts)."""
    for name, width in WIDTHS.items():
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


def comparable(edm, value):
    """A row's value as something that compares in the order of its type; None stays None."""
    if value is None or edm in ("Boolean", "Byte", "Int16", "Int32", "Double"):
        return value
    if edm == "DateTime":
        return clock.wall_from_text(value)
    if edm == "Int64":
        return int(value)
    if edm == "String":
        return value.rstrip(" ")
    return value
