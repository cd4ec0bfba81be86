"""When a change is seen: later than it was made, and at another moment on each family of endpoints.

The record itself always has its newest content. As long as a family does not see a change yet it is given a snapshot
of the
record as it was before, with its old row version, or nothing when the record is new; one that was deleted is still
there.
"""
from .catalogue import SET_OF
from .forms import FAMILIES


class Snapshot:
    """A record as it was; it can stand in for the record wherever rows are made."""
    __slots__ = (
        "deleted",
        "entity",
        "entry",
        "header",
        "key",
        "lines",
        "postings",
        "raw",
        "shown",
        "ts",
        "twins",
        "values",
        "version",
    )

    def __init__(self, record):
        self.entity, self.key, self.values, self.ts, self.deleted = record.entity, record.key, dict(
            record.values), record.ts, False
        self.header, self.lines, self.version, self.shown = record.header, tuple(record.lines), -record.version, {}
        self.postings, self.entry, self.twins, self.raw = dict(record.postings), record.entry, record.twins, record.raw


class Visibility:
    """What waits to be seen in one division."""

    def __init__(self, division):
        self.division = division
        self.waiting = {}       # entity: {key: (record, [(snapshot before the change or None, {family: instant})])}
        self.seen = {}          # (entity, key): snapshot of the last state
        self.moment = None      # {family: instant} of the act under way
        self.watching = False

    def watch(self, wanted):
        """Begin or end to keep the state of each record; only then a change can be seen late."""
        if wanted and not self.watching:
            self.seen = {(entity, key): Snapshot(r) for entity, table in self.division.records.items() for key,
                         r in table.items()}
        elif not wanted:
            self.seen.clear()
        self.watching = wanted

    def instants(self):
        """{family: instant} from which on a change of now is seen; one draw for all records of an act."""
        if self.moment is None:
            s, rng, now = self.division.settings, self.division.late_rng, self.division.clock.now()
            self.moment = {f: now + rng.uniform(s.visible_after_min[f], s.visible_after_max[f]) for f in FAMILIES}
        return self.moment

    def changed(self, record, gone=False):
        """A record was written or removed."""
        if not self.watching:
            return
        place = record.entity, record.key
        before = self.seen.get(place)
        until = {f: at for f, at in self.instants().items() if f != "deleted"}
        table = self.waiting.setdefault(record.entity, {})
        known = table.get(record.key)
        if known is None:
            table[record.key] = (record, [(before, until)])
        elif known[1][-1][1] is not until and known[1][-1][1] != until:
            known[1].append((before, until))
        if gone:
            self.seen.pop(place, None)
        else:
            self.seen[place] = Snapshot(record)

    def of(self, entity):
        """{key: …} of what waits among the records of an entity and of those in the same set."""
        if not self.waiting:
            return {}
        now, found = self.division.clock.now(), {}
        for each in [e for e in self.waiting if SET_OF.get(e, e) == SET_OF.get(entity, entity)]:
            table = self.waiting[each]
            for key in [k for k, (_, changes) in table.items()
                        if all(max(until.values()) <= now for _, until in changes)]:
                del table[key]
            if table:
                found.update(table)
            else:
                del self.waiting[each]
        return found

    def view(self, record, family):
        """What a family sees of a record: itself, a snapshot, or None."""
        known = self.waiting.get(record.entity, {}).get(record.key) if self.waiting else None
        return self._view(known, family) if known else None if record.deleted else record

    def _view(self, known, family):
        record, now = known[0], self.division.clock.now()
        for snapshot, until in known[1]:
            if now < until[family]:
                return snapshot
        return None if record.deleted else record

    def views(self, waiting, family):
        """[(what is seen, whether it differs from what is)] of all that waits; None for what is not there."""
        return [(seen, seen is not (None if known[0].deleted else known[0]))
                for known in waiting.values() for seen in (self._view(known, family),)]
