"""Writing: POST, PUT and DELETE with the service's manners: silent drops, generic duplicates, errors as 500 in Dutch."""
import json

from . import rows
from .catalogue import (ACCOUNT, COSTCENTER, COSTUNIT, ENTRIES, GL, INVOICES, ITEM, LINE, ORDER, PURCHASE_ENTRIES, PURCHASE_INVOICES,
                        RESOURCES, SALES_ENTRIES, SALES_INVOICES, TRANSACTION, coerce)
from .odata import Refused

EXISTS = "Gegeven bestaat reeds."
IN_USE = "Verwijderen niet mogelijk: gegeven is in gebruik."
DUTCH = {"Code": "Code", "Description": "Omschrijving", "Name": "Naam", "Supplier": "Leverancier",
         "PurchaseOrderLines": "Inkooporderregels",
         "Item": "Artikel", "PurchaseOrderID": "Inkooporder", "QuantityInPurchaseUnits": "Aantal"}
LENGTHS = {(COSTCENTER, "Code"): 8, (COSTUNIT, "Code"): 8, (COSTCENTER, "Description"): 60, (COSTUNIT, "Description"): 60}
FILLED_ON_POST = {GL, COSTCENTER, COSTUNIT, ORDER, LINE}     # accounts and items answer nulls without Prefer
REFERENCES = {  # entity: where its key or code is used, as (entity, field, value is the code)
    GL: [(ITEM, f, False) for f in ("GLCosts", "GLRevenue", "GLStock")], ITEM: [(LINE, "Item", False)],
    ACCOUNT: [(ORDER, "Supplier", False)],
    COSTCENTER: [(LINE, "CostCenter", True), (GL, "Costcenter", True), (ACCOUNT, "Costcenter", True)],
    COSTUNIT: [(LINE, "CostUnit", True), (GL, "Costunit", True)]}
for _document in (*ENTRIES, *INVOICES):
    REFERENCES[COSTCENTER].append((_document.line, "CostCenter", True))
    REFERENCES[COSTUNIT].append((_document.line, "CostUnit", True))
    REFERENCES[ITEM if _document in INVOICES else GL].append((_document.line, "Item" if _document in INVOICES else "GLAccount", False))
REFERENCES[GL] += [(SALES_INVOICES.line, "GLAccount", False), (TRANSACTION, "GLAccount", False)]
REFERENCES[ACCOUNT] += [(PURCHASE_ENTRIES.header, "Supplier", False), (PURCHASE_INVOICES.header, "Supplier", False),
                        (SALES_ENTRIES.header, "Customer", False), (SALES_INVOICES.header, "OrderedBy", False)]
REFERENCES[ACCOUNT] += [(document.line, "Account", False) for document in ENTRIES[2:]]


def in_use(division, record):
    """Whether another record refers to this one."""
    for entity, field, by_code in REFERENCES.get(record.entity, ()):
        wanted = record.values.get("Code") if by_code else record.key
        if wanted is not None and any(r.values.get(field) == wanted for r in division.records.get(entity, {}).values()):
            return True
    return False


def parse_body(text):
    """The JSON object of a request."""
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(400, "Error processing request stream. The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, "Error processing request stream. A JSON object was expected.")
    return body


def accepted(resource, body, method):
    """Values that count: unknown properties and wrong types are 400, read-only properties are dropped without a word."""
    flag = "p" if method == "POST" else "u"
    values, collections = {}, {}
    for name, value in body.items():
        if name == "__metadata":
            continue
        if name not in resource.types:
            raise Refused(400, f"The property '{name}' does not exist on type '{resource.type_name}'.")
        if name in resource.collections:
            collections[name] = value
            continue
        try:
            value = coerce(resource.types[name], value)
        except ValueError as error:
            raise Refused(400, f"Error processing request stream. Property '{name}': {error}.") from None
        if flag in resource.flags[name] and name != resource.key:
            values[name] = value
    return values, collections


def _business_rules(division, resource, values, record=None):
    """What the service refuses with a 500."""
    entity = resource.entity
    for name, value in values.items():
        length = LENGTHS.get((entity, name))
        if length and value is not None and len(value) > length:
            raise Refused(500, f"Ongeldig: {DUTCH[name]} (maximaal {length} tekens)")
        if record is not None and "m" in resource.flags[name] and value in (None, ""):
            raise Refused(500, f"Verplicht: {DUTCH.get(name, name)}")
    for name, target in (("Costcenter", COSTCENTER), ("CostCenter", COSTCENTER), ("Costunit", COSTUNIT), ("CostUnit", COSTUNIT)):
        if values.get(name) and division.by_code(target, values[name]) is None:
            raise Refused(500, f"Ongeldige verwijzing: {'Kostenplaats' if target == COSTCENTER else 'Kostendrager'}")
    if "Code" in values and entity in (GL, ITEM, ACCOUNT, COSTCENTER, COSTUNIT) and division.by_code(entity, values["Code"]):
        raise Refused(500, EXISTS)


def check_mandatory(resource, given):
    """500 names a field that must be sent and was not."""
    for name, flags in resource.flags.items():
        if "m" in flags and given.get(name) in (None, "", []):
            raise Refused(500, f"Verplicht: {DUTCH.get(name, name)}")


def _lines(division, values):
    child, found = RESOURCES[LINE], []
    if not isinstance(values, list):
        raise Refused(400, "Error processing request stream. PurchaseOrderLines must be an array.")
    for body in values:
        if not isinstance(body, dict):
            raise Refused(400, "Error processing request stream. A line must be an object.")
        line, _ = accepted(child, body, "POST")
        for name in ("Item", "QuantityInPurchaseUnits"):
            if line.get(name) is None:
                raise Refused(500, f"Verplicht: {DUTCH[name]}")
        _business_rules(division, child, line)
        found.append(line)
    return found


def post(sim, division, resource, body, user, representation):
    """Create a record: (record, row to answer)."""
    values, collections = accepted(resource, body, "POST")
    check_mandatory(resource, {**values, **collections})
    _business_rules(division, resource, values)
    lines = _lines(division, collections["PurchaseOrderLines"]) if resource.entity == ORDER else None
    try:
        record = division.create(resource.entity, values, sim.oauth.user_id(user), lines)
    except ValueError as error:
        raise Refused(500, str(error)) from None
    row = rows.build(division, resource, record)
    if resource.entity not in FILLED_ON_POST and not representation:
        row = {**dict.fromkeys(resource.fields), resource.key: record.key}
    return record, row


def put(sim, division, resource, record, body, user):
    """Merge a body into a record. Codes of cost centers and units, lines, and an order's supplier stay as they are, silently."""
    values, _ = accepted(resource, body, "PUT")
    dropped = {COSTCENTER: {"Code"}, COSTUNIT: {"Code"}, LINE: {"PurchaseOrderID", "Item"}, ORDER: {"OrderNumber"}}.get(resource.entity,
        set())
    if resource.entity == ORDER and any(line.values.get("ReceivedQuantity") for line in record.lines):
        dropped = dropped | {"Supplier", "Currency", "ExchangeRate"}
    values = {name: value for name, value in values.items() if name not in dropped}
    _business_rules(division, resource, values, record)
    if resource.entity == ORDER and "Supplier" in values and values["Supplier"] not in division.records[ACCOUNT]:
        raise Refused(500, "Ongeldige verwijzing: Leverancier")
    if values:
        division.update(record, values, sim.oauth.user_id(user))


def delete(sim, division, record, user):
    """Delete a record that nothing refers to."""
    if in_use(division, record):
        raise Refused(500, IN_USE)
    if record.entity == LINE and len(record.header.lines) == 1:
        raise Refused(500, "Verplicht: Inkooporderregels")
    division.delete(record, sim.oauth.user_id(user))
