"""Random changes as people make them, and the sentence that tells each one."""
import random

from . import books, generate, wide
from .catalogue import (
    ACCOUNT,
    COSTCENTER,
    COSTUNIT,
    DOCUMENT_OF_LINE,
    DOCUMENTS,
    GENERIC,
    GL,
    ITEM,
    KEY_FIELD,
    LINE,
    NOUN,
    ORDER,
    RESOURCES,
    singular,
)
from .words import CITIES, ODD_TEXTS, SUBJECTS
from .write import in_use

CATALOGUE = set(GENERIC)
WEIGHTS = {ORDER: 50, GL: 10, ITEM: 15, ACCOUNT: 13, COSTCENTER: 7, COSTUNIT: 5}


def _label(record):
    v = record.values
    if record.entity in DOCUMENT_OF_LINE:
        return f"{_label(record.header)}, line {v.get('LineNumber')}"
    if record.entity in DOCUMENTS:
        number = next((v[name] for name in ("InvoiceNumber", "EntryNumber", "OrderNumber", "YourRef") if v.get(name)),
                      record.key)
        return f"{NOUN[record.entity]} {number}"
    noun = NOUN.get(record.entity) or singular(record.entity.rpartition("/")[2])
    return f"{noun} {str(v.get('Code') or record.key).strip()}"


def told(record, lines):
    """What changes of a document's lines are told of, before they are made: `, line 3` when it is one that is there."""
    if len(lines) != 1 or record.entity == ORDER:
        return None
    return next((f", line {x.values['LineNumber']}" for x in record.lines if x.key == lines[0].get("ID")), None)


def sentence(record, op, values, line=None):
    """One change in words, for instance `GL account 4300 renamed`; `line` is what told() said."""
    label = _label(record)
    if op == "delete":
        return f"{label} deleted"
    if line:
        return f"{label} changed{line}"
    if record.entity in DOCUMENTS:
        n = len(record.lines)
        return f"{label} {'created' if op == 'create' else 'changed'}, {n} line{'' if n == 1 else 's'}"
    if op == "create":
        return f"{label} created"
    if values and set(values) <= {"Description", "Name"}:
        return f"{label} renamed"
    if "City" in values:
        return f"{label} moved to {values['City']}"
    if "CostPriceStandard" in values:
        return f"{label} price changed to {values['CostPriceStandard']}"
    return f"{label} changed: {', '.join(values)}" if values else f"{label} touched"


def make(sim, count, seed, deletes, division, entity):
    """`count` changes; the same seed on the same data makes the same ones. `deletes` is the share of deletions."""
    rng = sim.random if seed is None else random.Random(f"changes {seed}")
    made = []
    for _ in range(count):
        where = division or rng.choice(list(sim.divisions.values()))
        weights = {**WEIGHTS, **{e: w for e, w in books.WEIGHTS.items() if e in where.entities},
                   **{e: 0.2 for e in where.entities if e in CATALOGUE and RESOURCES[e].kind != "function"}}
        what = entity or rng.choices(list(weights), list(weights.values()))[0]
        made.append(_one(where, rng, what, deletes))
    return made


def _one(division, rng, entity, deletes):
    user = rng.choice(list(division.info["staff"]))
    draw = rng.random()
    record, op, values, line = None, "update", {}, None
    if draw < deletes:
        record = _removable(division, rng, entity)
        op = "delete" if record else "update"
    elif draw < deletes + 0.3:
        op = "create"
    if op == "delete":
        text = sentence(record, op, {})
        division.delete(record, user)
    elif op == "create":
        record, values = _create(division, rng, entity, user)
        text = sentence(record, op, values)
    else:
        living = division.records[entity]
        record = _changeable(division, rng, entity) if living else None
        if record is None:
            op = "create"
            record, values = _create(division, rng, entity, user)
        else:
            values, line = _update(division, rng, record, user)
        text = sentence(record, op, values, line)
    return {"division": division.code, "resource": record.entity, "key": record.key, "op": op, "what": text}


def _removable(division, rng, entity):
    """A record that nothing refers to, and not the last one; a line only when its order keeps another."""
    keys = division.keys[entity]
    for key in rng.sample(keys, min(20, len(keys))):
        record = division.records[entity][key]
        last_line = record.header is not None and len(record.header.lines) == 1
        kept = last_line or books.balances(record) or books.owned(record.header or record)
        if len(keys) > 1 and not kept and not in_use(division, record):
            return record
    return None


def _changeable(division, rng, entity):
    """Any record, but not the entry of an invoice, which follows its invoice."""
    record = division.records[entity][rng.choice(division.keys[entity])]
    return record.entry if record.entity in DOCUMENTS and books.owned(record) else record


def _buying(division):
    suppliers = [r for r in division.records[ACCOUNT].values() if r.values.get("IsSupplier")]
    return suppliers or list(division.records[ACCOUNT].values()), list(division.records[ITEM].values())


def _free_code(division, entity, first):
    while division.by_code(entity, str(first)):
        first += 1
    return str(first)


def _create(division, rng, entity, user):
    suppliers, items = _buying(division)
    lines = None
    if entity in books.WEIGHTS:
        return books.create(division, rng, entity, user)
    if entity in CATALOGUE:
        number = len(division.records[entity]) + len(division.tombstones[entity]) + 1
        key = wide.key_of(division, entity, rng, number)
        values = {**wide.values(division, rng, entity, number),
                  KEY_FIELD[entity]: wide.as_json(RESOURCES[entity].types[KEY_FIELD[entity]], key)}
        return division.create(entity, values, user, None, key), values
    if entity in DOCUMENT_OF_LINE and entity != LINE:
        return books.create_line(division, rng, DOCUMENT_OF_LINE[entity], user)
    if entity == ORDER:
        values = {k: v for k, v in generate.order_values(division, rng, suppliers).items() if v is not None}
        lines = [generate.line_values(division, rng, items) for _ in range(rng.randrange(1, 6))]
    elif entity == LINE:
        order = division.records[ORDER][rng.choice(division.keys[ORDER])]
        values = {**generate.line_values(division, rng, items), "PurchaseOrderID": order.key}
    elif entity == ITEM:
        values = generate.item_values(division, rng, len(division.records[ITEM]) + rng.randrange(10**6))
    elif entity == ACCOUNT:
        values = generate.account_values(division, rng, len(division.records[ACCOUNT]))
        values["Code"] = _free_code(division, ACCOUNT, 70000)
    elif entity == GL:
        code = _free_code(division, GL, 45000 + rng.randrange(4000))
        values = generate.gl_values(division, rng, code, f"Overige kosten {rng.choice(SUBJECTS)}", 120, "D", "W")
    else:
        prefix = 4900 if entity == COSTCENTER else 9000
        values = {"Code": _free_code(division, entity, prefix), "Description": f"Nieuw: {rng.choice(SUBJECTS)}"}
        if entity == COSTCENTER:
            values["Active"] = True
    return division.create(entity, values, user, lines), values


def _update(division, rng, record, user):
    """Change a record in one of the ways of its kind: the values that were set, and what is told of a line."""
    entity, v = record.entity, record.values
    _, items = _buying(division)
    lines, note = None, None
    if entity in CATALOGUE:
        values = wide.alteration(division, rng, record)
    elif entity in books.WEIGHTS:
        values, lines = books.alteration(division, rng, record)
        note = told(record, lines)
    elif entity in DOCUMENT_OF_LINE and entity != LINE:
        values = {"Notes": rng.choice(ODD_TEXTS)}
    elif entity == ORDER:
        draw = rng.random()
        line = rng.choice(record.lines) if record.lines else None
        values = {}
        if line is None or draw < 0.2:
            lines = [generate.line_values(division, rng, items)]
        elif draw < 0.35 and len(record.lines) > 1:
            lines = [{"ID": line.key, "delete": True}]
        elif draw < 0.7:
            lines = [{"ID": line.key, "QuantityInPurchaseUnits": rng.choice((1, 3, 7.5, 20, 0.1 + 0.2))}]
        elif draw < 0.85:
            values = {"OrderStatus": rng.choice((10, 20, 30)), "ReceiptStatus": rng.choice((10, 20, 30))}
        else:
            values = {"Remarks": rng.choice(ODD_TEXTS)}
    elif entity == LINE:
        values = {"QuantityInPurchaseUnits": rng.randrange(1, 500)}
    elif entity == ITEM:
        values = rng.choice(({"CostPriceStandard": round(rng.uniform(0.1, 400), 2)}, {"Stock": generate.number_of(rng)},
                             {"Description": f"{v.get('Description', '')[:60]} ({rng.randrange(100)})"}))
    elif entity == ACCOUNT:
        city, postcode = rng.choice(CITIES[division.info["country"]])
        values = rng.choice(({"City": city, "Postcode": postcode}, {"Remarks": rng.choice(ODD_TEXTS)},
                             {"Name": f"{v.get('Name', '')[:50]} {rng.choice(('Holding', 'Group', 'International'))}"}))
    elif entity == GL:
        values = rng.choice(({"Description": f"{v.get('Description', '')[:40]} {rng.choice(SUBJECTS)}"},
                             {"IsBlocked": not v.get("IsBlocked", False)}))
    else:
        values = {"Description": f"{v.get('Description', '')[:40]} {rng.randrange(1000)}"[:60]}
    division.update(record, values, user, lines)
    return values, note
