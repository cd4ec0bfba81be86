"""Writing: POST, PUT and DELETE with the service's manners: silent drops, generic duplicates, errors as 500 in
Dutch."""
import json

from . import documents, rows
from .catalogue import (
    ACCOUNT,
    COSTCENTER,
    COSTUNIT,
    DOCUMENTS,
    ENTRIES,
    GL,
    INVOICES,
    ITEM,
    LINE,
    ORDER,
    PURCHASE_ENTRIES,
    PURCHASE_INVOICES,
    RESOURCES,
    SALES_ENTRIES,
    SALES_INVOICES,
    TRANSACTION,
    coerce,
)
from .odata import Refused

EXISTS = "Gegeven bestaat reeds."
IN_USE = "Verwijderen niet mogelijk: gegeven is in gebruik."
BLOCKED_IN_USE = "Blokkeren niet mogelijk: gegeven is in gebruik."
DUTCH = {"Code": "Code", "Description": "Omschrijving", "Name": "Naam", "Supplier": "Leverancier",
         "PurchaseOrderLines": "Inkooporderregels",
         "Item": "Artikel", "PurchaseOrderID": "Inkooporder", "QuantityInPurchaseUnits": "Aantal"}
LENGTHS = {(COSTCENTER, "Code"): 8, (COSTUNIT, "Code"): 8, (COSTCENTER, "Description"): 60,
           (COSTUNIT, "Description"): 60}
DIMENSIONS = {GL, COSTCENTER, COSTUNIT}     # blanks at the end of their texts are not kept
OLDEST = -6847804800000     # 1753-01-01, the first day that the service's database knows
FILLED_ON_POST = {GL, COSTCENTER, COSTUNIT, ORDER, LINE}     # accounts and items answer nulls without Prefer
REFERENCES = {  # entity: where its key or code is used, as (entity, field, value is the code)
    GL: [(ITEM, f, False) for f in ("GLCosts", "GLRevenue", "GLStock")], ITEM: [(LINE, "Item", False)],
    ACCOUNT: [(ORDER, "Supplier", False)],
    COSTCENTER: [(LINE, "CostCenter", True), (GL, "Costcenter", True), (ACCOUNT, "Costcenter", True)],
    COSTUNIT: [(LINE, "CostUnit", True), (GL, "Costunit", True)]}
for _document in (*ENTRIES, *INVOICES):
    REFERENCES[COSTCENTER].append((_document.line, "CostCenter", True))
    REFERENCES[COSTUNIT].append((_document.line, "CostUnit", True))
    REFERENCES[ITEM if _document in INVOICES else GL].append((_document.line,
                                                              "Item" if _document in INVOICES else "GLAccount", False))
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


def note(call):
    """The body of a write, for whoever asks what was sent."""
    if call.method != "GET" and call.path.startswith("/api/v1/") and call.body is not None:
        text = call.body.decode("utf-8", "replace")
        try:
            call.entry["body"] = json.loads(text) if text else None
        except ValueError:
            call.entry["body"] = text


def parse_body(text):
    """The JSON object of a request."""
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(400, "Error processing request stream. The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise Refused(400, "Error processing request stream. A JSON object was expected.")
    return body


def spoiled(body, fault):
    """A body as a fault leaves it: a field that is not writable at the moment is gone without a word, one that is
    refused is a 500."""
    action, a = (fault.action, fault.arguments) if fault else (None, {})
    field = a.get("field")
    if action == "invalid" and field in body:
        raise Refused(500, a.get("text") or f"Ongeldig: {DUTCH.get(field, field)}")
    return {name: value for name, value in body.items() if name != field} if action == "drop_field" else body


# what the answer to the POST of a document may lack
DERIVED_NULLS = {"VATAmountFC", "VATAmountDC", "AmountDC", "Document", "Status"}
WITH_LINES = {ORDER: LINE, PURCHASE_ENTRIES.header: PURCHASE_ENTRIES.line, SALES_ENTRIES.header: SALES_ENTRIES.line}


def accepted(resource, body, method, keys=False):
    """Values that count: unknown properties and wrong types are 400, read-only properties are dropped without a
    word. `keys`: a
    key that the client chose counts too."""
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
            if resource.types[name] == "String" and resource.entity in DIMENSIONS and value is not None:
                value = value.rstrip(" ")
            if resource.types[name] == "DateTime" and value is not None and int(value[6:-2]) < OLDEST:
                raise ValueError("SqlDateTime overflow: between 1/1/1753 and 12/31/9999")
        except ValueError as error:
            raise Refused(400, f"Error processing request stream. Property '{name}': {error}.") from None
        if name == resource.key:
            if keys and value is not None and method == "POST":
                values[name] = value
        elif flag in resource.flags[name]:
            values[name] = value
    return values, collections


def _business_rules(division, resource, values, record=None):
    """What the service refuses with a 500."""
    entity = resource.entity
    for name, value in values.items():
        length = LENGTHS.get((entity, name))
        # as .NET counts: a character beyond U+FFFF is two
        if length and value is not None and len(value.encode("utf-16-le")) // 2 > length:
            raise Refused(500, f"Ongeldig: {DUTCH[name]} (maximaal {length} tekens)")
        if record is not None and "m" in resource.flags[name] and value in (None, ""):
            raise Refused(500, f"Verplicht: {DUTCH.get(name, name)}")
    for name, target in (("Costcenter", COSTCENTER), ("CostCenter", COSTCENTER), ("Costunit", COSTUNIT),
                         ("CostUnit", COSTUNIT)):
        if values.get(name) and division.by_code(target, values[name]) is None:
            raise Refused(500, f"Ongeldige verwijzing: {'Kostenplaats' if target == COSTCENTER else 'Kostendrager'}")
    if "Code" in values and entity in (GL, ITEM, ACCOUNT, COSTCENTER, COSTUNIT) and division.by_code(entity,
                                                                                                     values["Code"]):
        raise Refused(500, EXISTS)


def check_mandatory(resource, given):
    """500 names a field that must be sent and was not."""
    for name, flags in resource.flags.items():
        if "m" in flags and given.get(name) in (None, "", []):
            raise Refused(500, f"Verplicht: {DUTCH.get(name, name)}")


def _lines(division, entity, values):
    child, found = RESOURCES[WITH_LINES[entity]], []
    if not isinstance(values, list):
        raise Refused(400, "Error processing request stream. The lines must be an array.")
    for body in values:
        if not isinstance(body, dict):
            raise Refused(400, "Error processing request stream. A line must be an object.")
        line, _ = accepted(child, body, "POST")
        for name in ("Item", "QuantityInPurchaseUnits") if entity == ORDER else ("GLAccount",):
            if line.get(name) is None:
                raise Refused(500, f"Verplicht: {DUTCH[name]}")
        if entity != ORDER and not line.get("AmountFC") and body.get("AmountDC"):
            division.weather.met("amount_dc_only")      # AmountDC is read-only: the line becomes one of 0
        _business_rules(division, child, line)
        found.append(line)
    return found


def _own_key(division, resource, values):
    """The key that the client chose, if it is honoured; a used one is refused."""
    key = values.pop(resource.key, None)
    if key is not None:
        division.weather.met("honoured_key")
        if key in division.records[resource.entity] or key in division.tombstones[resource.entity]:
            raise Refused(500, EXISTS)
    return key


def _closed(division, resource, values):
    """Refuse an entry in a period that is closed for its journal."""
    if resource.entity in WITH_LINES and resource.entity != ORDER:
        year, period = documents.year_and_period(values.get("EntryDate") or f"/Date({division.clock.wall()})/")
        if (str(values.get("Journal")).strip(), year, period) in division.closed:
            division.weather.met("closed_period")
            raise Refused(500, "Periode is afgesloten")


def _answered(sim, resource, record, row, representation):
    """The row that a POST answers: for some entities the key and nulls, as a setting also for others, or without
    what is derived."""
    nulls = sim.settings.post_nulls
    # right after the POST no VAT of the header is known
    if resource.entity in WITH_LINES and resource.entity != ORDER:
        sim.weather.met("post_nulls")
        return {**row, "VATAmountFC": None, "VATAmountDC": None}
    if nulls and resource.entity == ORDER:
        sim.weather.met("post_nulls")
        return {name: None if name in DERIVED_NULLS or name.startswith("VAT") else value for name, value in row.items()}
    if nulls or (resource.entity not in FILLED_ON_POST and not representation):
        if nulls and (representation or resource.entity in FILLED_ON_POST):
            sim.weather.met("post_nulls")
        return {**dict.fromkeys(resource.fields), resource.key: row[resource.key]}
    return row


def post(sim, division, resource, body, user, representation):
    """Create a record: (record, row to answer)."""
    values, collections = accepted(resource, body, "POST", sim.settings.honour_keys)
    key = _own_key(division, resource, values)
    check_mandatory(resource, {**values, **collections})
    _business_rules(division, resource, values)
    _closed(division, resource, values)
    entry, lines = resource.entity in WITH_LINES, None
    if entry:
        lines = _lines(division, resource.entity, collections[DOCUMENTS[resource.entity].collection])
    if entry and resource.entity != ORDER and not values.get("Document"):      # a document is made beside it
        values["Document"] = division.new_key()
        if "documents/Documents" in division.records:
            division.create("documents/Documents", {"Subject": "Factuur", "Type": 20, "HID": 1},
                            sim.oauth.user_id(user), None, values["Document"])
    try:
        record = division.create(resource.entity, values, sim.oauth.user_id(user), lines, key)
    except ValueError as error:
        raise Refused(500, str(error)) from None
    return record, _answered(sim, resource, record, rows.build(division, resource, record), representation)


def put(sim, division, resource, record, body, user):
    """Merge a body into a record. Codes of cost centers and units, lines, and an order's supplier stay as they are,
    silently."""
    values, _ = accepted(resource, body, "PUT")
    dropped = {COSTCENTER: {"Code"}, COSTUNIT: {"Code"}, LINE: {"PurchaseOrderID", "Item"},
               ORDER: {"OrderNumber"}}.get(resource.entity,
        set())
    if resource.entity == ORDER and any(line.values.get("ReceivedQuantity") for line in record.lines):
        dropped = dropped | {"Supplier", "Currency", "ExchangeRate"}
    values = {name: value for name, value in values.items() if name not in dropped}
    _business_rules(division, resource, values, record)
    if values.get("IsBlocked") and sim.settings.blocked_in_use == "refused" and in_use(division, record):
        raise Refused(500, BLOCKED_IN_USE)
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
