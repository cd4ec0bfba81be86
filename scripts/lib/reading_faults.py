"""
Answers of Exact Online that are wrong about what there is, one after the other by a seed while something runs: rights
that are lost and given back, lists without rows, endpoints that are blocked, links that have expired.

Rows that come late and pages that are not sorted are settings of the simulator (SETTINGS).
"""
import collections
import random
import time
from typing import NamedTuple

from faults import RESOURCES, Beside
from truth_rules import RESOURCES as TABLES

SETTINGS = ('visible_after_max={"plain": 3, "key": 3, "bulk": 3, "sync": 3, "deleted": 5}', "sync_order=pages")
PAGE_SIZES = {"sync_page_size": 5, "page_size": 10}     # so that many runs have a link to follow
GAP = (2.0, 6.0)            # seconds between two
LASTS = (3.0, 12.0)         # seconds that one lasts
MOST = 3                    # at a time
# seconds that a block lasts, one at a time: an answer 429 that says nothing stops its division for two minutes; when it
# comes again then, and others are answered, the endpoint alone is left alone
BLOCK_LASTS = 150.0
# error answers of an endpoint of a division, besides those of faults.py: at the ninth nobody may ask for an hour
ERRORS_AN_ENDPOINT = 3
NO_RIGHT = ("system/Divisions", "sync/Deleted")     # are no lists of records that a right could be missing for


def endpoints_of(resource):
    """Where the records of a resource are seen: itself, its plain twin, their lines."""
    return {resource, *(path for table in TABLES.values() if resource in (table.resource, table.document)
                        for path in (table.resource, table.plain))}


class Trouble(NamedTuple):
    kind: str
    division: int
    resource: str
    fault: int      # its number; 0: a right that is lost
    until: float


class ReadingFaults(Beside):
    """`hits` counts what was met, by kind. Starts with start(), ends with stop(): then every right is given back."""

    def __init__(self, exact, seed):
        super().__init__()
        self.exact = exact
        self.random = random.Random(f"reading {seed}")
        self.hits = collections.Counter()
        self.now, self.blocked_at = [], time.monotonic() - BLOCK_LASTS
        self.told = []      # one line for each that began
        self.errors = collections.Counter()     # by (division, resource)

    def stop(self):
        super().stop()
        self._end(lambda trouble: True)

    def _run(self):
        while not self._ended.wait(self.random.uniform(*GAP)):
            self._end(lambda trouble: trouble.until < time.monotonic())
            if len(self.now) < MOST:
                self._begin()

    def _begin(self):
        draw = self.random
        kinds = ["right lost", "right lost", "right refused", "no rows", "no rows", "link expired", "link expired"]
        if time.monotonic() - self.blocked_at > BLOCK_LASTS:
            kinds = ["endpoint blocked"]
        kind, division = draw.choice(kinds), draw.choice(self.exact.divisions)
        resource = draw.choice([r for r in RESOURCES if not (kind.startswith("right") and r in NO_RIGHT)
                                and not (kind == "link expired" and not r.startswith("sync/"))])
        place, errors = (division, resource), {"right refused": 2, "link expired": 2}.get(kind, 0)
        if any((t.division, t.resource) == place for t in self.now) or self.errors[place] + errors > ERRORS_AN_ENDPOINT:
            return
        self.errors[place] += errors
        fault, path = 0, rf"/{division}/{resource}\b"
        if kind.startswith("right"):
            self._right(division, resource, "empty" if kind == "right lost" else "403")
            self.hits[kind] += 1
        elif kind == "no rows":
            fault = self.exact.fault(path, "omit", times=-1, empty=True)
        elif kind == "endpoint blocked":
            self.blocked_at = time.monotonic()
            fault = self.exact.fault(path, "status", times=-1, status=429)
        else:
            fault = self.exact.fault(rf"{path}.*skiptoken=", "status", times=errors,
                                     status=draw.choice((400, 404, 410)))
        lasts = BLOCK_LASTS if kind == "endpoint blocked" else draw.uniform(*LASTS)
        self.told.append(f"{time.strftime('%H:%M:%S')}  {kind} for {lasts:.0f} s: {division} {resource}")
        self.now.append(Trouble(kind, division, resource, fault, time.monotonic() + lasts))

    def _end(self, which):
        met = {fault["id"]: fault["hits"] for fault in self.exact.get("faults")["faults"]}
        for trouble in filter(which, list(self.now)):
            self.now.remove(trouble)
            if trouble.fault:
                self.hits[trouble.kind] += met.get(trouble.fault, 0)
                self.exact._call("DELETE", f"faults/{trouble.fault}")
            else:
                self._right(trouble.division, trouble.resource, None)

    def _right(self, division, resource, form):
        """All lists of a resource are empty, or refused; None: the user may see them again."""
        self.exact.post("division", code=division, packages=dict.fromkeys(endpoints_of(resource), form))
