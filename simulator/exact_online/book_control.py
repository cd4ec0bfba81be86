"""Control requests about the books: correct documents in numbers, documents that break one rule each, what happens to
dimensions, and which document breaks what now."""
import asyncio
import collections
import time

from . import bookkeeper, breaking, dimensions, placing, verdicts
from .catalogue import ORDERS

MOST = 20_000       # documents of one request: nobody else is served meanwhile


class BookControl:
    """Part of the control API; `self.sim` is the simulator."""

    def _books(self, given):
        if self.sim.settings.preset == "orders":
            raise ValueError("the preset orders has no books: start with --preset finance")
        return self._division(given)

    @staticmethod
    def _count(given):
        count = int(given.get("count", 1))
        if not 1 <= count <= MOST:
            raise ValueError(f"count is 1 to {MOST}")
        return count

    def post_generate(self, given):
        """Correct documents of every kind and VAT situation, made now."""
        division, count, begun = self._books(given), self._count(given), time.monotonic()
        made = placing.generate(division, count, given.get("seed"), given.get("kinds"), given.get("situations"))
        beside = sum(h.entry is not None for h in made)
        found = {"division": division.code, "count": len(made), "entries_of_invoices": beside,
                 "kinds": dict(collections.Counter(map(placing.kind_of, made))),
                 "situations": dict(collections.Counter(h.values["_situation"] for h in made)),
                 "seconds": round(time.monotonic() - begun, 3)}
        if given.get("keys"):
            found["keys"] = [h.key for h in made]
        return found

    def post_break(self, given):
        """Documents that break one rule each."""
        division, count = self._books(given), self._count(given)
        rule, kind = str(given["rule"]), str(given["kind"])
        names = given.get("missing") or given.get("of")
        made = breaking.make(division, rule, kind, count, given.get("seed"), int(given.get("distinct", 1)), names)
        entity = breaking.DIMENSION_OF.get(rule, (None,))[0]
        return {"division": division.code, "rule": rule, "kind": kind, "keys": [header.key for header, _ in made],
                "documents": [{"key": header.key, "value": value} for header, value in made],
                "also": sorted({"transactionlines" for header, _ in made
                                if any(b["rule"] == rule for b in verdicts.breaks_of(
                                    division, bookkeeper.LEDGER, header)) and kind != bookkeeper.LEDGER}),
                "missing": [] if entity is None else [
                    {"resource": entity, "value": value} for value in dict.fromkeys(value for _, value in made)]}

    def post_mend(self, given):
        """Somebody corrects documents: those with `keys`, or all that break a rule."""
        division = self._books(given)
        mended = breaking.mend(division, given.get("keys"), given.get("seed"))
        return {"division": division.code, "mended": [{"kind": kind, "key": key} for kind, key in mended]}

    def post_dimension(self, given):
        """An operation on GL accounts, cost centers or cost units; now, or later."""
        division, op, entity = self._books(given), str(given.get("op")), None
        if op not in dimensions.OPERATIONS:
            raise ValueError(f"op is one of {', '.join(dimensions.OPERATIONS)}")
        entity = self._resource(given).entity if given.get("resource") else None
        allowed = dimensions.OPERATIONS[op]
        if entity is None and op == "arrive":
            entities = allowed
        elif entity in allowed:
            entities = (entity,)
        else:
            raise ValueError(f"resource of {op} is one of {', '.join(allowed)}")
        after, calls = given.get("after"), given.get("after_calls")

        def act():
            return [done for each in entities for done in dimensions.carry_out(division, op, each, given)]

        if after is None and calls is None:
            return {"division": division.code, "op": op, "done": act()}
        if op != "arrive" and op not in ("create", "restore"):
            dimensions.find(division, op, entities[0], given)       # a refusal comes at once
        what = {name: value for name, value in given.items() if name not in ("after", "after_calls")}
        number = self.schedule.add(act, after, calls, what)
        if after is not None:
            asyncio.get_running_loop().call_later(float(after) + 0.01, self._look)
        return {"division": division.code, "op": op, "scheduled": number}

    def _look(self):
        self.schedule.look()
        self.sim.sender.wake.set()

    def get_schedule(self, given):
        """What is to be done, and what was done."""
        return self.schedule.public()

    def get_documents(self, given):
        """The documents of a division as they stand, and which rule each breaks now."""
        division = self._books(given)
        kinds = [kind for kind in str(given.get("kind") or "").split(",") if kind] or list(bookkeeper.KINDS)
        unknown = [kind for kind in kinds if kind not in bookkeeper.KINDS]
        if unknown:
            raise ValueError(f"kind is one of {', '.join(bookkeeper.KINDS)}")
        broken, rows = _flag(given.get("broken")), _flag(given.get("rows", True))
        after, limit = int(given.get("after", 0)), int(given.get("limit", 10**9))
        keys = {key for key in str(given.get("keys") or "").split(",") if key}
        found, counts, number = [], {}, 0
        for kind in kinds:
            for header in verdicts.all_documents(division, kind):
                if keys and header.key not in keys:
                    continue
                breaks = verdicts.breaks_of(division, kind, header)
                tally = counts.setdefault(kind, {"documents": 0, "broken": 0})
                tally["documents"] += 1
                tally["broken"] += bool(breaks)
                if broken and not breaks:
                    continue
                number += 1
                if after < number <= after + limit:
                    found.append(verdicts.told(division, kind, header, breaks, rows))
        return {"division": division.code, "counts": counts, "documents": found, "more": number > after + limit,
                "missing": [{"resource": entity, "value": value} for entity, value in division.missing]}


def _flag(value):
    return value not in (None, False, "", "0", "false", "no")


assert ORDERS.header
