"""
What the Delta tables must hold, from the manual's rules about columns, types, keys and documents. Shares nothing with
the extension.
"""
import functools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal


@dataclass(frozen=True)
class Table:
    """A Delta table: `resource` is the one its versions are read from, `plain` names the columns, `key` is the field
    that is _key.

    `kind`: "set" for all rows of its resource; "header" and "line" for the two in a combined set (LineNumber 0 or
    above); "document" for headers read with their lines; "part" for those lines, whose `document` is the header's
    resource and `parent` the field with the header's key.
    """
    resource: str
    plain: str
    key: str
    kind: str = "set"
    document: str = None
    parent: str = None

    @property
    def combined(self):
        return self.kind in ("header", "line")


def _combined(name, sync, service, header, header_key):
    line = header[:-1] + "Lines"
    return {name: Table(sync, f"{service}/{header}", header_key, "header"),
            name[:-1] + "lines": Table(sync, f"{service}/{line}", "ID", "line")}


def _expanded(service, header, line, key="EntryID", parent="EntryID"):
    resource = f"{service}/{header}"
    return {header.lower(): Table(resource, resource, key, "document"),
            line.lower(): Table(f"{service}/{line}", f"{service}/{line}", "ID", "part", resource, parent)}


BASE = {
    "glaccount": Table("sync/Financial/GLAccounts", "financial/GLAccounts", "ID"),
    "items": Table("sync/Logistics/Items", "logistics/Items", "ID"),
    "accounts": Table("sync/CRM/Accounts", "crm/Accounts", "ID"),
    **_combined("purchaseorders", "sync/PurchaseOrder/PurchaseOrders", "purchaseorder", "PurchaseOrders",
                "PurchaseOrderID"),
    "costcenter": Table("hrm/Costcenters", "hrm/Costcenters", "ID"),
    "costunit": Table("hrm/Costunits", "hrm/Costunits", "ID"),
}
RESOURCES = {
    **BASE,
    **_combined("salesinvoices", "sync/SalesInvoice/SalesInvoices", "salesinvoice", "SalesInvoices", "InvoiceID"),
    **_expanded("purchase", "PurchaseInvoices", "PurchaseInvoiceLines", "ID", "InvoiceID"),
    **_expanded("purchaseentry", "PurchaseEntries", "PurchaseEntryLines"),
    **_expanded("salesentry", "SalesEntries", "SalesEntryLines"),
    **_expanded("generaljournalentry", "GeneralJournalEntries", "GeneralJournalEntryLines"),
    **_expanded("financialtransaction", "BankEntries", "BankEntryLines"),
    **_expanded("financialtransaction", "CashEntries", "CashEntryLines"),
    "transactionlines": Table("sync/Financial/TransactionLines", "financialtransaction/TransactionLines", "ID"),
    "vatcodes": Table("vat/VATCodes", "vat/VATCodes", "ID"),
    "journals": Table("financial/Journals", "financial/Journals", "ID"),
    "financialperiods": Table("financial/FinancialPeriods", "financial/FinancialPeriods", "ID"),
    "journalstatuslist": Table("read/financial/JournalStatusList", "read/financial/JournalStatusList",
                               "Journal+Period+Year"),
}
PRESETS = {"orders": tuple(BASE), "finance": tuple(RESOURCES)}
HUB_COLUMNS = {"_division", "_key", "_seq", "_op", "_deleted", "_valid", "_problems", "_batch", "_staged_at",
               "_loaded_at", "_payload"}
DIMENSIONS = {"glaccount", "costcenter", "costunit"}
# row version, links, Edm.Binary, collections
NO_COLUMN = {"Timestamp", "__metadata", "Picture", "Logo", "BankAccounts", "PurchaseOrderLines",
             "ShopOrderMaterialPlans", "ShopOrderRoutingStepPlans"}
HEADER_SYNC_ONLY = {"DocumentNumber", "SendingMethod"}  # of purchase orders
# of order lines: Guids in the combined set, codes in the plain entity
CODE_IN_SYNC = {"CostCenter": "CostCenterCode", "CostUnit": "CostUnitCode"}
# of the record itself, not joined
OWN_TEXTS = {"ExtraDescription", "PictureName", "LogoFileName", "TradeName", "ExternalLinkDescription"}
PADDED = re.compile(
    r"^((Purchase|Sales)?V[Aa][Tt]Code|Unit|UnitCode|ItemUnit|NetWeightUnit|(IntraStat)?Country|Language|SearchCode"
    r"|(Account|Supplier|DeliveryAccount|InvoiceAccount|Reseller)Code)$")
AMOUNT, PRECISE = "DECIMAL(28,4)", "DECIMAL(28,10)"
TYPES = {  # spot checks of the typed columns; every other column is read by the type that Delta names
    **dict.fromkeys(("AmountDC", "AmountFC", "AmountDiscount", "VATAmount", "CreditLineSales", "VATAmountDC",
                     "VATBaseAmountFC", "AmountVATFC",
                     "ClosingBalanceFC", "Amount"), AMOUNT),
    **dict.fromkeys(("NetPrice", "UnitPrice", "ExchangeRate", "Rate", "Quantity", "VATPercentage", "CostPriceStandard",
                     "Stock"), PRECISE),
    **dict.fromkeys(("OrderDate", "ReceiptDate", "StartDate", "EndDate", "EntryDate", "InvoiceDate", "DueDate"),
                    "DATE"),
    **dict.fromkeys(("OrderNumber", "EntryNumber", "InvoiceNumber", "LineNumber", "FinancialYear", "ReportingPeriod",
                     "Division", "_division"), "INT"),
    **dict.fromkeys(("ID", "EntryID", "Creator", "Code", "GLAccount", "GLAccountCode", "JournalCode", "YourRef",
                     "_row"), "STRING"),
    "Created": "TIMESTAMP_NTZ", "Modified": "TIMESTAMP_NTZ", "IsSales": "BOOLEAN", "Reversal": "BOOLEAN",
         "_seq": "BIGINT", "_deleted": "BOOLEAN"}
_DATE = re.compile(r"^/Date\((-?\d+)\)/$")
_GUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


def hub_columns(entity):
    """The hub's own columns in the tables of an entity; `_hash` is in the current one only."""
    return HUB_COLUMNS | ({"_row"} if entity == "transactionlines" else {"_hash"} if entity in DIMENSIONS else set())


@functools.cache
def _keys_of_derived(names):
    found = {}
    for name in names:
        end = next((e for e in ("FullName", "Description", "Name", "Subject") if name.endswith(e) and name != e), None)
        if end and name not in OWN_TEXTS:
            stem = name[:-len(end)]
            found[name] = next((key for key in (stem, stem + "Code", stem + "ID", stem.removesuffix("Person"))
                                if key in names and key != name), "")
    return found


def keys_of_derived(fields):
    """
    {name: key field} of the joined names and descriptions among the fields; '' for one whose key field is not known.
    """
    return _keys_of_derived(tuple(fields))


def is_header(row):
    return int(row["LineNumber"]) == 0


def key_of(entity, row):
    """The _key of a served row. A header row of the ledger that came without an id of its own has its entry's."""
    fields = RESOURCES[entity].key.split("+")
    if len(fields) > 1:
        return "|".join(str(row[field]).strip() for field in fields)
    value = row.get(fields[0])
    return (row["EntryID"] if value is None and entity == "transactionlines" else value).lower()


# _row of LineNumber 0 by the shape of the books (setting ledger of the simulator): the control row, or the total again
ROW_ZERO = {"control": "control", "lines": "control", "repeat": "header"}


def _turned(value):
    return -Decimal(str(value)) if value is not None else None


def content_of(entity, row, books):
    """
    The fields of a served record under the plain entity's names, those without a column left out; with _row where there
    is one. books: settings of the simulator, which say what row 0 of the ledger is, and whether the amounts of sync
    sales invoices have the other sign than those of the plain resource, which are wanted.
    """
    orders = entity in ("purchaseorders", "purchaseorderlines")
    found = {n: v for n, v in row.items() if n not in NO_COLUMN
             and not (orders and (n in CODE_IN_SYNC or n in CODE_IN_SYNC.values()))}
    if orders:
        found.update({name: row[source] for name, source in CODE_IN_SYNC.items() if source in row})
    if entity in ("salesinvoices", "salesinvoicelines") and books["sync_invoice_sign"] == "turned":
        found.update({name: _turned(value) for name, value in found.items() if "Amount" in name})
    if entity == "transactionlines" and row.get("LineNumber") is not None:
        found["_row"] = ROW_ZERO[books["ledger"]] if is_header(row) else "line"
    return found


@functools.cache
def is_padded(entity, name):
    return bool(PADDED.search(name)) or (entity, name) in (("accounts", "Code"), ("vatcodes", "Code"))


def expected_value(entity, name, value, delta_type):
    """What a served value must be in a column of that type, in the comparison's own form (see delta_value)."""
    if value is None:
        return None
    if delta_type == "STRING":
        text = str(value)
        if _GUID.match(text):
            return text.lower()
        return text.strip(" ") if is_padded(entity, name) else text
    if delta_type in ("INT", "BIGINT"):
        return int(value)
    if delta_type == "BOOLEAN":
        return value if isinstance(value, bool) else bool(int(value))
    if delta_type.startswith("DECIMAL"):
        scale = int(delta_type.rstrip(")").split(",")[1])
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    local = datetime(1970, 1, 1) + timedelta(milliseconds=int(_DATE.match(value).group(1)))
    if delta_type == "DATE" and local.time() != datetime.min.time():
        raise ValueError(f"{name} is a DATE column and has a time of day: {value}")
    return local.date() if delta_type == "DATE" else local


def delta_value(cell, delta_type):
    """A cell as the engine's control interface gives it, in the same form."""
    if cell is None:
        return None
    if delta_type in ("INT", "BIGINT"):
        return int(cell)
    if delta_type == "BOOLEAN":
        return cell if isinstance(cell, bool) else cell == "true"
    if delta_type.startswith("DECIMAL"):
        return Decimal(str(cell))
    if delta_type == "DATE":
        return datetime.fromisoformat(str(cell)).date()
    if delta_type.startswith("TIMESTAMP"):
        return datetime.fromisoformat(str(cell).replace("Z", "+00:00"))
    return cell
