"""What happens to GL accounts, cost centers and cost units while documents wait: they arrive, are blocked, ended,
wanted, recoded, deleted, and return; now, after a time, or after a number of calls."""
import itertools

from . import clock, tables
from .catalogue import COSTCENTER, COSTUNIT, GL

DAY = 86_400_000
ENTITIES = (GL, COSTCENTER, COSTUNIT)
OPERATIONS = {  # operation: the entities that it is for
    "arrive": ENTITIES, "create": ENTITIES, "rename": ENTITIES, "delete": ENTITIES, "restore": ENTITIES,
    "recode": (COSTCENTER, COSTUNIT), "end": (COSTCENTER, COSTUNIT), "reopen": (COSTCENTER, COSTUNIT),
    "block": (GL,), "unblock": (GL,), "require": (GL,), "optional": (GL,)}
NEW_ACCOUNT = {"Type": 120, "BalanceType": "W", "BalanceSide": "D", "UseCostcenter": 0, "UseCostunit": 0}


def _user(division):
    return next(iter(division.info["staff"]))


def _new_code(division, entity):
    first = {GL: 46000, COSTCENTER: 5000, COSTUNIT: 9500}[entity]
    return next(str(n) for n in itertools.count(first) if division.by_code(entity, str(n)) is None)


def make(division, entity, code=None, key=None, fields=None):
    """A new dimension: its record."""
    code = code or _new_code(division, entity)
    values = {"Code": code, "Description": f"Nieuw: {code}", **(NEW_ACCOUNT if entity == GL else {"Active": True}
                                                               if entity == COSTCENTER else {}), **(fields or {})}
    division.missing.pop((entity, key or code), None)
    return division.create(entity, values, _user(division), key=key)


def arrive(division, entity, wanted=None):
    """What documents name and nobody made: GL accounts under the keys, centers and units under the codes that
    documents have."""
    names = [name for of, name in division.missing if of == entity and (wanted is None or name in wanted)]
    return [make(division, entity, None if entity == GL else name, name if entity == GL else None) for name in names]


def restore(division, entity, key):
    """A deleted dimension returns with its key and its content."""
    record, _ = division.tombstones[entity].pop(key)
    values = {name: value for name, value in record.values.items() if not name.startswith("_")}
    return division.create(entity, values, _user(division), key=key)


def change(division, op, entity, record, given):
    """One operation on a living dimension."""
    user = _user(division)
    if op == "delete":
        division.delete(record, user)
    elif op == "recode":
        tables.recode(division, record, str(given["code"]), bool(given.get("moves")), user,
                      bool(given.get("booked", True)))
    elif op == "end":
        text = given.get("date")
        wall = clock.parse_wall(text) if text else division.clock.wall() // DAY * DAY - 30 * DAY
        division.update(record, {"EndDate": f"/Date({wall})/"}, user)
    elif op == "rename":
        division.update(record, {"Description": given.get("text") or f"{record.values.get('Description')} (nieuw)"},
                        user)
    else:
        division.update(record, {"reopen": {"EndDate": None}, "block": {"IsBlocked": True},
                                 "unblock": {"IsBlocked": False}, "require": {"UseCostcenter": 1},
                                 "optional": {"UseCostcenter": 0}}[op], user)


def find(division, op, entity, given):
    """The records that are meant by `keys` and `codes`; ValueError when one is not there."""
    keys, codes = given.get("keys") or (), given.get("codes") or ()
    if op == "restore":
        gone = division.tombstones[entity]
        by_code = {(record.values.get("Code") or "").strip().casefold(): key for key, (record, _) in gone.items()}
        found = [str(key).lower() for key in keys] + [by_code.get(str(code).strip().casefold()) for code in codes]
        if not found or any(key not in gone for key in found):
            raise ValueError(f"restore takes keys or codes of deleted records of {entity}")
        return found
    found = [division.records[entity].get(str(key).lower()) for key in keys]
    found += [division.by_code(entity, str(code)) for code in codes]
    if not found or None in found:
        raise ValueError(f"{op} takes keys or codes of living records of {entity}")
    return found


def carry_out(division, op, entity, given):
    """Do an operation: what it was done to, [{key, code, resource}]."""
    if op == "arrive":
        names = [*(given.get("keys") or ()), *(given.get("codes") or ())]
        done = arrive(division, entity, names or None)
    elif op == "create":
        codes = given.get("codes") or [None]
        done = [make(division, entity, code, fields=given.get("fields")) for code in codes]
    elif op == "restore":
        done = [restore(division, entity, key) for key in find(division, op, entity, given)]
    else:
        done = find(division, op, entity, given)
        if op == "recode" and (len(done) != 1 or not given.get("code")
                               or division.by_code(entity, str(given["code"])) not in (None, done[0])):
            raise ValueError("recode takes one record and a code that is free")
        for record in done:
            change(division, op, entity, record, given)
    return [{"resource": entity, "key": record.key, "code": (record.values.get("Code") or "").strip()}
            for record in done]


class Schedule:
    """Operations that are to be done later: at an instant of the simulator's clock, or after a number of API calls."""

    def __init__(self, the_clock):
        self.clock, self.calls, self.waiting, self.numbers = the_clock, 0, [], itertools.count(1)
        self.done = []

    def add(self, act, after=None, after_calls=None, what=None):
        """`act` is called without arguments; its number."""
        entry = {"id": next(self.numbers), "at": None if after is None else self.clock.now() + float(after),
                 "call": None if after_calls is None else self.calls + int(after_calls), "act": act, "what": what}
        self.waiting.append(entry)
        return entry["id"]

    def called(self):
        """An API call has come."""
        self.calls += 1
        self.look()

    def look(self):
        """Do what is due."""
        if not self.waiting:
            return
        now = self.clock.now()
        due = [e for e in self.waiting if (e["at"] is not None and e["at"] <= now)
               or (e["call"] is not None and e["call"] <= self.calls)]
        for entry in due:
            self.waiting.remove(entry)
            try:
                result = entry["act"]()
            except (ValueError, KeyError) as error:
                result = {"error": str(error)}
            self.done.append({"id": entry["id"], "what": entry["what"], "result": result,
                              "at": clock.utc_iso(self.clock.now())})

    def public(self):
        return {"waiting": [{"id": e["id"], "what": e["what"], "at": e["at"] and clock.utc_iso(e["at"]),
                             "calls": e["call"] and e["call"] - self.calls} for e in self.waiting],
                "done": self.done}
