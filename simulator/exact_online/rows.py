"""Rows: a record as one resource serves it, as values and as JSON text, and its __metadata."""
import functools
import json
from operator import itemgetter
from typing import ClassVar

from . import clock
from .catalogue import (
    COMBINED,
    KEY_FIELD,
    LINE,
    ORDER,
    RESOURCES,
    SALES_INVOICES,
    SYNC_INVOICES,
    SYNC_ORDERS,
    Raw,
    number,
)
from .joins import JOINS

HEADER_ON_LINES = (  # fields of the document that its line rows in the combined sync set repeat
    "PurchaseOrderID", "OrderNumber", "OrderDate", "OrderStatus", "ReceiptStatus", "InvoiceStatus", "Currency",
    "ExchangeRate", "Supplier",
    "SupplierContact", "DeliveryAccount", "DropShipment", "PaymentCondition", "PurchaseAgent", "Source",
    "ShippingMethod", "Warehouse",
    "YourRef", "Document", "SelectionCode", "ApprovalStatus", "Approved", "Approver", "IncotermCode", "IncotermAddress",
    "IncotermVersion")
HEADER_JOINS_ON_LINES = (
    "SupplierCode", "SupplierName", "DeliveryAccountCode", "DeliveryAccountName", "WarehouseCode",
    "WarehouseDescription",
    "ShippingMethodCode", "PurchaseAgentFullName", "ApproverFullName", "ApprovalStatusDescription")
HEADER_ON_INVOICE_LINES = tuple(name for name in RESOURCES[SYNC_INVOICES].types
                                if name in RESOURCES[SALES_INVOICES.header].types
                                and name not in RESOURCES[SALES_INVOICES.line].types)
AMOUNTS = tuple(name for name, edm in RESOURCES[SYNC_INVOICES].types.items() if edm == "Double" and "Amount" in name)
ZERO = "00000000-0000-0000-0000-000000000000"
NEVER_EMPTY = {"Code", "Creator", "Modifier", "EntryID", "ID"}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


_string = json.encoder.encode_basestring


def _text(value):
    """JSON text of one plain value."""
    kind = type(value)
    if kind is str:
        return _string(value)
    if kind is int or kind is float:
        return repr(value)
    if kind is Raw or kind is dict:
        return str(value) if kind is Raw else to_json(value)
    return "null" if value is None else "true" if value else "false"


def to_json(value):
    """JSON text as the service writes it: no blanks, UTF-8 unescaped."""
    return _encode(value)


def _combined(division, record):
    """Header and line rows of sync purchase orders; a line carries Guids of cost center and unit, and their codes
    beside."""
    settings = division.settings
    if record.entity == ORDER:
        row = {**RESOURCES[SYNC_ORDERS].template, **record.values, **JOINS[ORDER](division, record)}
        row["ID"] = record.key if settings.header_row_id == "order" else None
        row["LineNumber"] = 0
        return row
    header, v = record.header, record.values
    row = dict(RESOURCES[SYNC_ORDERS].template)
    row.update((name, header.values[name]) for name in HEADER_ON_LINES if name in header.values)
    joined = JOINS[ORDER](division, header)
    row.update((name, joined[name]) for name in HEADER_JOINS_ON_LINES)
    row.update(v)
    row.update(JOINS[LINE](division, record))
    for name in ("CostCenter", "CostUnit"):
        row[name], row[name + "Code"] = v.get("_" + name), v.get(name)
    return row


def _combined_invoice(division, record):
    """Header and line rows of sync sales invoices; a line repeats the header's fields that it has none of itself."""
    row = {**RESOURCES[SYNC_INVOICES].template, **record.values, **JOINS[record.entity](division, record)}
    if record.entity == SALES_INVOICES.header:
        row["ID"], row["LineNumber"] = record.key if division.settings.header_row_id == "order" else None, 0
        return row
    header = {**record.header.values, **JOINS[SALES_INVOICES.header](division, record.header)}
    row.update((name, header.get(name, RESOURCES[SYNC_INVOICES].template[name])) for name in HEADER_ON_INVOICE_LINES)
    return row


def _turned(row):
    """The sign of the sync set: a sale is negative there."""
    for name in AMOUNTS:
        if row.get(name):
            row[name] = -row[name]


def build(division, resource, record):
    """All fields of a record as `resource` serves them (more keys than the resource has may be in the result)."""
    if resource.path == SYNC_ORDERS:
        row = _combined(division, record)
    elif resource.path == SYNC_INVOICES:
        row = _combined_invoice(division, record)
        if division.settings.sync_invoice_sign == "turned":
            _turned(row)
    elif record.entity in JOINS:
        row = {**resource.template, **record.values, **JOINS[record.entity](division, record)}
    else:
        row = {**resource.template, **record.values}
    if resource.kind == "sync":
        if resource.generic and resource.identity != "Timestamp":
            row[resource.identity] = record.key
        row.update(resource.blank)
        row["Timestamp"] = str(record.ts)
    elif division.settings.empty_forms:
        for name, nothing in empty_forms(resource).items():
            if row[name] is None:
                row[name] = nothing
    if record.raw:
        row.update((name, text) for name, text in record.raw.items() if name in resource.types)
    return row


@functools.cache
def empty_forms(resource):
    """{field: "" or the zero Guid} of the fields that have these instead of null; the sync twin has null."""
    found = {}
    for i, (name, edm) in enumerate(resource.types.items()):
        if name in NEVER_EMPTY or name == resource.key:
            continue
        if edm == "String" and i % 4 == 1:
            found[name] = ""
        elif edm == "Guid" and i % 4 == 2:
            found[name] = ZERO
    return found


def row_key(resource, record_or_row):
    """The identity of a row: the document's id for header rows, else the key of the plain entity."""
    if isinstance(record_or_row, dict):
        if resource.path in COMBINED:
            return record_or_row[KEY_FIELD[resource.entity] if record_or_row["LineNumber"] == 0 else "ID"]
        if resource.path == "sync/Deleted":
            return record_or_row["EntityKey"]
        return record_or_row[resource.identity if resource.kind == "sync" else resource.key]
    return record_or_row.key


def derived_fields(resource):
    """Names of the fields that joins fill in this resource, and that can change without a new version of the record."""
    if resource.entity not in JOINS:
        return []
    entities = COMBINED[resource.path][:2] if resource.path in COMBINED else (resource.entity,)
    names = {name for entity in entities for name in _JOINED[entity]}
    return [name for name in resource.fields if name in names]


class _Nothing:
    """Stands in for a division and a record to learn which fields a join fills."""
    values: ClassVar = {}
    records: ClassVar = {entity: {} for entity in JOINS}
    codes: ClassVar = {}
    info: ClassVar = {"names": {}, "groups": {}, "warehouses": [], "shipping": [], "projects": {}}

    def by_code(self, entity, code):
        return None


_JOINED = {entity: tuple(join(_Nothing(), _Nothing())) for entity, join in JOINS.items()}


def key_literal(edm, value):
    """A key as it stands in a URL."""
    if edm == "Guid":
        return f"guid'{value}'"
    if edm == "Int64":
        return f"{value}L"
    if edm == "DateTime" and value is not None:
        return f"datetime'{clock.iso_of(clock.wall_from_text(value))}'"
    if edm == "String" and value is not None:
        return "'" + value.replace("'", "''") + "'"
    return str(value)


def address(base, division_code, resource, row):
    """The uri of a row's __metadata."""
    root, path = f"{base}/api/v1/{division_code}/", resource.path
    if path.startswith("current/"):
        root = f"{base}/api/v1/"
    elif path.startswith("beta/"):
        root, path = f"{base}/api/v1/beta/{division_code}/", path[5:]
    if len(resource.keys) > 1:
        return f"{root}{path}({','.join(f'{k}={key_literal(resource.types[k], row[k])}' for k in resource.keys)})"
    return f"{root}{path}({key_literal(resource.types[resource.key], row[resource.key])})"


class Writer:
    """Writes rows of one request: the fields asked for, collections deferred or expanded, __metadata in front."""

    def __init__(self, resource, select, base, division_code):
        self.resource, self.base, self.division_code = resource, base, division_code
        self.plain = tuple(name for name in select if name not in resource.collections)
        self.deferred = tuple(name for name in select if name in resource.collections)
        self._shape = (resource.path, self.plain)
        self._pick = itemgetter(*self.plain) if len(self.plain) > 1 else lambda row: tuple(row[name]
                                                                                           for name in self.plain)
        self._defaults = tuple(resource.template[name] for name in self.plain)
        self._names = tuple(f'"{name}":' for name in self.plain)
        self._default_texts = [name + _text(value) for name, value in zip(self._names, self._defaults)]

    def content(self, row):
        """JSON of the selected plain fields as bytes, without braces. Most are defaults, whose text is ready made."""
        texts, names, string = self._default_texts.copy(), self._names, _string
        for i, (value, default) in enumerate(zip(self._pick(row), self._defaults)):
            if value is not default:
                texts[i] = names[i] + (string(value) if value.__class__ is str else _text(value))
        return ",".join(texts).encode()

    def kept_content(self, row, division, record):
        """content(), made once for each version of a record and of the names it shows."""
        settings = division.settings
        state = (record.version, record.ts, division.names, settings.header_row_id, settings.empty_forms,
                 settings.sync_invoice_sign)
        kept = record.shown.get(self._shape)
        if kept is None or kept[0] != state:
            if len(record.shown) >= 4:
                record.shown.clear()
            kept = record.shown[self._shape] = (state, self.content(row))
        return kept[1]

    def text(self, row, expanded=None, division_code=None, content=None):
        """(JSON of the row, JSON of its fields alone), both as bytes; `expanded` maps a collection to its JSON.
        `content` is that of the row when it was made before."""
        content = self.content(row) if content is None else content
        uri = address(self.base, division_code or self.division_code, self.resource, row)
        head = f'{{"__metadata":{{"uri":{_string(uri)},"type":"{self.resource.type_name}"}}'.encode()
        parts = [head, content] if content else [head]
        for name in self.deferred:
            if expanded is not None and name in expanded:
                parts.append(b'"%s":%s' % (name.encode(), expanded[name]))
            else:
                parts.append(b'"%s":{"__deferred":{"uri":%s}}' % (name.encode(), _string(uri + "/" + name).encode()))
        return b",".join(parts) + b"}", content


def truth_row(resource, row):
    """All plain fields of a row in the resource's order, for the control API."""
    return {name: row[name].plain if isinstance(row[name], Raw) else number(row[name]) for name in resource.fields
            if name not in resource.collections}
