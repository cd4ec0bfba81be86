"""Rows for the endpoints that only the catalogue names: a few of each, made of the types and names of their fields."""
import base64
import random
import uuid

from .catalogue import ACCOUNT, COSTCENTER, COSTUNIT, GENERIC, GL, ITEM, KEY_FIELD, RESOURCES, SCALARS
from .tables import link_to
from .words import CITIES, GOODS, ODD_TEXTS, SUBJECTS

REFERENCES = {"Account": ACCOUNT, "Supplier": ACCOUNT, "Customer": ACCOUNT, "OrderedBy": ACCOUNT, "DeliverTo": ACCOUNT,
              "InvoiceTo": ACCOUNT,
              "Item": ITEM, "ItemId": ITEM, "GLAccount": GL}
RANGES = {"Byte": (0, 1), "Int16": (0, 40), "Int32": (1, 90_000), "Int64": (1, 10**12)}


def rng_of(division, entity):
    return random.Random(f"{division.settings.seed} {division.code} {entity}")


def key_of(division, entity, rng, number):
    """A new key in the type that the entity has: a Guid, a number, a text or a date; as the table keeps it."""
    resource = RESOURCES[entity]
    edm = resource.types.get(KEY_FIELD[entity], "Guid")
    if edm in ("Byte", "Int16", "Int32", "Int64"):
        return number
    if edm == "String":
        return f"K{number:03d}"
    if edm == "DateTime":
        return 1_700_000_000_000 + number * 86_400_000
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def as_json(edm, key):
    """A key as its row carries it."""
    return str(key) if edm == "Int64" else f"/Date({key})/" if edm == "DateTime" else key


def values(division, rng, entity, number):
    """Values of one row of an entity."""
    resource, found = RESOURCES[entity], {}
    for name, edm in resource.types.items():
        if name == KEY_FIELD[entity]:
            continue
        value = _value(division, rng, name, edm, number)
        if value is not None and (name in resource.keys or rng.random() < 0.7):
            found[name] = value
    found.pop("Timestamp", None)
    return found


def _value(division, rng, name, edm, number):
    if name == "Division":
        return division.code
    if edm == "Guid":
        return _guid(division, rng, name)
    if edm == "String":
        return _text(division, rng, name, number)
    if edm == "DateTime":
        return f"/Date({1_600_000_000_000 + rng.randrange(1800) * 86_400_000})/"
    if edm == "Double":
        return rng.choice((0, rng.randrange(1, 900), round(rng.uniform(0, 900), 2), 0.1 + 0.2))
    if edm == "Boolean":
        return rng.random() < 0.5
    if edm in RANGES:
        drawn = number if name in ("LineNumber", "Period",
                                   "Year") or name.endswith(("Number", "HID")) else rng.randint(*RANGES[edm])
        return str(drawn) if edm == "Int64" else drawn
    if edm == "Binary":
        return base64.b64encode(rng.randbytes(12)).decode()
    if edm in SCALARS or edm.startswith("Collection("):
        return None
    return {"__metadata": {"type": edm}, "ID": str(uuid.UUID(int=rng.getrandbits(128), version=4)), "Code": "A",
            "Description": rng.choice(SUBJECTS)}


def _guid(division, rng, name):
    if name in ("Creator", "Modifier", "CreatedBy"):
        return rng.choice(list(division.info["staff"]))
    target = next((entity for head, entity in REFERENCES.items() if name == head), None)
    if target and division.keys.get(target):
        return rng.choice(division.keys[target])
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _text(division, rng, name, number):
    if name in ("CostCenter", "Costcenter", "CostUnit", "Costunit"):
        entity = COSTCENTER if "enter" in name else COSTUNIT
        return division.records[entity][rng.choice(division.keys[entity])].values["Code"] if division.keys.get(
            entity) else None
    if name == "Code":
        return f"{rng.choice(GOODS)[:3].upper()}{number:03d}"
    if name.endswith("Currency"):
        return "EUR"
    if name == "Country":
        return division.info["country"]
    if name == "City":
        return rng.choice(CITIES["NL"])[0]
    return rng.choice(ODD_TEXTS) if rng.random() < 0.02 else f"{rng.choice(GOODS)} {rng.choice(SUBJECTS)}"


def insert(division, rng, entity, number, user, wall=None, key=None):
    """A new row of an entity, without a row version yet."""
    edm = RESOURCES[entity].types.get(KEY_FIELD[entity], "Guid")
    key = key_of(division, entity, rng, number) if key is None else key
    given = values(division, rng, entity, number)
    given[KEY_FIELD[entity]] = as_json(edm, key)
    return division.insert(entity, given, user, key, wall)


def fill(division, past):
    """Rows of every entity that the preset adds; lines of the catalogue's documents name one of them."""
    staff, mine = list(division.info["staff"]), [entity for entity in division.entities if entity in set(GENERIC)]
    for entity in mine:
        rng = rng_of(division, entity)
        only = KEY_FIELD[entity] == "Division"      # settings of a division: one row
        for number in [division.code] if only else range(1, division.settings.rows_each + 1):
            insert(division, rng, entity, number, rng.choice(staff), past(rng))
    for entity in mine:
        for child in RESOURCES[entity].children.values():
            _link(division, entity, child)
    return mine


def _link(division, parent, child):
    """Give each row of a child one of the parent's keys."""
    resource, key = RESOURCES[child], KEY_FIELD[parent]
    field = key if key != "ID" and key in resource.types else link_to(parent, resource)
    if field and child in division.records and division.keys[parent]:
        for i, record in enumerate(division.records[child].values()):
            record.values[field] = division.keys[parent][i % len(division.keys[parent])]


def alteration(division, rng, record):
    """Values of one believable change of a row, or {} where there is nothing to change."""
    types = RESOURCES[record.entity].types
    names = [n for n, edm in types.items() if edm in ("String", "Double") and n not in RESOURCES[record.entity].keys
             and n not in ("Code", KEY_FIELD[record.entity]) and not n.endswith(("Code", "FullName"))]
    if not names:
        return {}
    name = rng.choice(names)
    return {name: _value(division, rng, name, types[name], rng.randrange(1, 10**4))}
