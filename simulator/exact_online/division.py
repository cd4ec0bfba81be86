"""One division: its records, their row versions, the feed of changes and the log of deletions.

Values of a record are kept in the form its rows carry them (dates as `/Date(ms)/`), only those that differ from the
default.
"""
import bisect
import functools
import random
import uuid

from . import clock, documents, orders
from .catalogue import (
    ACCOUNT,
    COMBINED,
    COSTCENTER,
    COSTUNIT,
    DOCUMENT_OF_LINE,
    DOCUMENTS,
    ENTITY_TYPE,
    ENTRIES,
    FEEDS,
    GL,
    ITEM,
    KEY_FIELD,
    LINE,
    ORDER,
    PRESETS,
    RESOURCES,
    SET_OF,
    TRANSACTION,
    number,
    pad,
)
from .visibility import Visibility

DELETED = "sync/Deleted"
STOCK = "sync/Inventory/StockPositions"     # a set on which everything moves
MOVES_STOCK = {ORDER, LINE, ITEM}
SYSTEM = "(ledger)"                         # entries of the ledger that no document made; no resource serves them
_COMBINED_ENTITIES = {d.header for d in COMBINED.values()}
STATES = {  # field, where it is kept since when it holds, and whether it does
    GL: (("IsBlocked", "_blocked_since", bool), ("UseCostcenter", "_wanted_since", lambda value: value == 1)),
    COSTCENTER: (("EndDate", "_end_since", lambda value: value is not None),)}
CODED = (GL, ITEM, ACCOUNT, COSTCENTER, COSTUNIT)


class Record:
    """A record: key, values, row version `ts`, the links between header and lines, and those of the ledger:
    `postings` of an
    entry ({role: transaction line}), `entry` of a posted invoice or of a transaction line, `twins` of a posted invoice
    ({key of its line: line of its entry})."""
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

    def __init__(self, entity, key, values):
        self.entity, self.key, self.values = entity, key, values
        self.ts, self.deleted, self.header, self.lines, self.version = 0, False, None, [], 0
        self.postings, self.entry, self.twins, self.raw = {}, None, {}, {}
        self.shown = {}     # JSON made of it before, kept by rows.Writer


class Feed:
    """Row versions of one sync resource, oldest first. Entries of rows that changed again are skipped and swept out."""

    def __init__(self):
        self.stamps, self.records, self.alive = [], [], 0

    def add(self, record):
        self.stamps.append(record.ts)
        self.records.append(record)

    def after(self, stamp):
        """Living records with a row version above `stamp`, in order of row version."""
        start = bisect.bisect_right(self.stamps, stamp)
        for i in range(start, len(self.stamps)):
            record = self.records[i]
            if record.ts == self.stamps[i] and not record.deleted:
                yield record

    def sweep(self, living):
        if len(self.stamps) > 2 * living + 1000:
            kept = list(self.after(-1))
            self.records, self.stamps = kept, [r.ts for r in kept]


def act(method):
    """A change by a user: what it did to records, lines too, is told once, when it is done."""
    @functools.wraps(method)
    def whole(self, *arguments, **named):
        if self.told is None or self.noted is not None:
            return method(self, *arguments, **named)
        self.noted, self.late.moment = {}, None
        try:
            result = method(self, *arguments, **named)
            noted = self.noted
        finally:
            self.noted = None
        self.told(self, list(noted.values()))
        return result
    return whole


class Division:
    """Records of one administration. Every method that changes something takes the time from the clock."""

    def __init__(self, code, info, rng, the_clock, settings):
        self.code, self.info, self.rng, self.clock, self.settings = code, info, rng, the_clock, settings
        self.entities = PRESETS[settings.preset]
        self.records = {entity: {} for entity in self.entities}
        self.keys = {entity: [] for entity in self.entities}
        self.codes = {entity: {} for entity in CODED}
        self.feeds = {entity: Feed() for entity in FEEDS if entity in self.entities}
        self.system = {}            # entries of the ledger without a document, by key
        self.late = Visibility(self)
        self.late_rng = random.Random(f"late {settings.seed} {code}")
        self.tombstones = {entity: {} for entity in self.entities}
        self.deleted = []           # rows of sync/Deleted, oldest first
        self.stamp = 8_400_000_000 + rng.randrange(10**6)
        self.deleted_stamp = 310_000 + rng.randrange(1000)
        self.stamp_times = []       # (wall time, stamp) for SyncTimestamp
        self.hidden = {}            # entity: keys that the user may not see, or None for all of them
        self.numbers = {}           # (journal, year): last entry number
        self.balances = {}          # journal: closing balance of its last entry
        self.next_order = 25_000_001 + rng.randrange(500)
        self.next_account = 1
        self.loose_keys = {}        # entity: keys of records that were placed and are not in `keys` yet
        self.missing = {}           # (entity, key or code) of dimensions that documents name and nobody has made yet
        self.generated = 0          # documents of the generator, so that each of its calls makes others
        self.edition, self.orders = 0, {}       # moves with each record; lists in the order of a field, of an edition
        self.names = 0              # moves when a record changes that others show the name of
        self.reason = None          # the Reason of a 403, when this division is refused
        self.granted = True         # whether the consent holds for it
        self.packages = {}          # resource: "403", "404" or "empty" where its package is missing
        self.closed = set()         # (journal, year, period) that take no more entries
        self.blocked_until = 0.0    # instant at which the weather's BlockingStatus ends
        self.freeze_rows = None     # set by the server: renders the last rows of a deleted record
        self.told = None            # set by the server: hears of each act as [(record, action, names of fields set)]
        self.noted = None           # the same of the act under way, by record
        self.weather = None         # set by the server: counts the forms that were met

    def new_key(self):
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def _key_for(self, entity, values):
        """A key that the service gives: a Guid, or in the catalogue's other types the next number or the code that
        was sent."""
        resource = RESOURCES[entity]
        edm = resource.types[KEY_FIELD[entity]]
        if edm == "Guid" or not resource.generic:
            return self.new_key()
        if edm == "String":
            key = values.get(KEY_FIELD[entity]) or f"K{len(self.keys[entity]) + 1:03d}"
            while key in self.records[entity]:
                key += "x"
        else:
            key = max(self.keys[entity], default=0) + 1
        values[KEY_FIELD[entity]] = str(key) if edm == "Int64" else f"/Date({key})/" if edm == "DateTime" else key
        return key

    def next_stamp(self):
        self.stamp += 1 + self.rng.randrange(4)
        return self.stamp

    def feed_of(self, entity):
        return self.feeds.get(SET_OF.get(entity, entity))

    def touch(self, *records):
        """Give records a new row version, in the order given."""
        feed = self.feed_of(records[0].entity)
        if records[0].entity in CODED:
            self.names += 1
        shared = self.settings.shared_versions and feed is not None and SET_OF.get(records[0].entity,
                                                                                   records[
                                                                                       0].entity) in _COMBINED_ENTITIES
        stamp = self.next_stamp() if shared else None
        for record in records:
            record.version += 1
            if feed is not None:
                record.ts = stamp or self.next_stamp()
                feed.add(record)
            self.late.changed(record)
        if records[0].entity in MOVES_STOCK and self.told is not None and self.keys.get(STOCK):
            self._move_stock()
        if feed is not None:
            self.stamp_times.append((self.clock.wall(), self.stamp))
            served = SET_OF.get(records[0].entity, records[0].entity)
            feed.sweep(sum(len(self.records[entity]) for entity in self.entities
                           if SET_OF.get(entity, entity) == served))

    def _move_stock(self):
        """Orders and items move stock positions, without anything else of these changing."""
        record = self.records[STOCK][self.keys[STOCK][self.stamp % len(self.keys[STOCK])]]
        record.values["PlanningIn"] = number(float(record.values.get("PlanningIn") or 0) + 1)
        self.touch(record)

    def note(self, record, action, names=()):
        """Remember for who is told what the act under way did to a record."""
        if self.noted is not None:
            _, before, known = self.noted.get((record.entity, record.key), (record, action, set()))
            after = before if action == "Update" else action
            self.noted[record.entity, record.key] = (record, after, known | set(names))

    def insert(self, entity, values, user, key=None, wall=None):
        """Store a record with its created and modified fields; no row version yet."""
        key = self._key_for(entity, values) if key is None else key
        wall = self.clock.wall() if wall is None else wall
        values = {k: number(v) for k, v in values.items() if v is not None}
        values.setdefault(KEY_FIELD[entity], key)
        values["Division"] = self.code
        pad(entity, values)
        self.link_costs(entity, values)
        record = Record(entity, key, values)
        self.note_states(record, values)
        self.stamp_user(record, user, wall, created=True)
        self.records[entity][key] = record
        self.edition += 1
        bisect.insort(self.keys[entity], key)
        if entity in self.codes and "Code" in values:
            self.codes[entity][values["Code"].strip().casefold()] = record
        self.note(record, "Create")
        return record

    def place(self, entity, key, values, user, wall):
        """Store a record of a document that is made as a whole; settle_keys() follows, and its row version."""
        values = {name: number(value) for name, value in values.items() if value is not None}
        values[KEY_FIELD[entity]], values["Division"] = key, self.code
        pad(entity, values)
        self.link_costs(entity, values)
        record = Record(entity, key, values)
        values["Created"] = values["Modified"] = clock.date_text(wall)
        values["Creator"] = values["Modifier"] = user
        self.records[entity][key] = record
        self.edition += 1
        self.loose_keys.setdefault(entity, []).append(key)
        self.note(record, "Create")
        return record

    def in_order(self, entity, field, place):
        """(places, records) of all records of an entity in the order of place(record), which is of a field."""
        edition, places, records = self.orders.get((entity, field), (None, None, None))
        if edition != self.edition:
            found = sorted(((place(r), r) for r in self.records[entity].values()), key=lambda each: each[0])
            places, records = [each[0] for each in found], [each[1] for each in found]
            self.orders[entity, field] = self.edition, places, records
        return places, records

    def settle_keys(self):
        """Put the keys of what was placed in their order."""
        for entity, keys in self.loose_keys.items():
            self.keys[entity].extend(keys)
            self.keys[entity].sort()
        self.loose_keys.clear()

    def stamp_user(self, record, user, wall=None, created=False):
        wall = self.clock.wall() if wall is None else wall
        record.values["Modified"], record.values["Modifier"] = clock.date_text(wall), user
        self.edition += 1
        if created:
            record.values["Created"], record.values["Creator"] = clock.date_text(wall), user
        else:
            self.note(record, "Update")

    def assign(self, record, values):
        """Set values of a record and keep the index of codes."""
        if values:
            self.note(record, "Update", values)
        pad(record.entity, values)
        self.link_costs(record.entity, values)
        self.note_states(record, values)
        index = self.codes.get(record.entity)
        if index is not None and "Code" in values and record.values.get("Code") != values["Code"]:
            old = (record.values.get("Code") or "").strip().casefold()
            if index.get(old) is record:
                del index[old]
            if values["Code"] is not None:
                index[values["Code"].strip().casefold()] = record
        for name, value in values.items():
            if value is None:
                record.values.pop(name, None)
            else:
                record.values[name] = number(value)

    def note_states(self, record, values):
        """Since when an account is blocked or wants a cost center, or a cost center has its end: since the start for
        the initial data."""
        for name, since, holds in STATES.get(record.entity, ()):
            if name in values and (not holds(values[name]) or values[name] != record.values.get(name)
                                   or since not in record.values):
                if holds(values[name]):
                    record.values[since] = self.clock.wall()
                else:
                    record.values.pop(since, None)

    def link_costs(self, entity, values):
        """Keep the ids behind the codes of an order line's cost center and unit; the combined sync set serves them."""
        if entity == LINE:
            for target, name in ((COSTCENTER, "CostCenter"), (COSTUNIT, "CostUnit")):
                if name in values:
                    found = self.by_code(target, values[name])
                    values["_" + name] = found.key if found else None

    def lines_of(self, entity, key):
        """The living lines of a document: of `entity`, which may be its transaction lines."""
        if entity == TRANSACTION:
            found = (*(self.records[d.header].get(key) for d in ENTRIES), self.system.get(key))
            return next((list(entry.postings.values()) for entry in found if entry is not None), [])
        header = self.records[DOCUMENT_OF_LINE[entity].header].get(key)
        return header.lines if header is not None else []

    def shows(self, record):
        """Whether the user may see a record: neither its resource is hidden from him, nor the record, nor its
        document."""
        if not self.hidden:
            return True
        of = record.entry if record.entity == TRANSACTION else record.header
        return not any(r is not None and r.entity in self.hidden
                       and (self.hidden[r.entity] is None or r.key in self.hidden[r.entity])
                       for r in (record, of))

    def by_code(self, entity, code):
        return self.codes[entity].get((code or "").strip().casefold())

    @act
    def create(self, entity, values, user, lines=None, key=None, wall=None, touch=True):
        """A new record as the service makes it; for a document with its lines. ValueError when it cannot be. `wall`
        and `touch`
        are for the initial data of the ledger: when it was made, and whether it gets its row version now."""
        if entity == ORDER:
            return orders.create(self, values, lines or [], user, key)
        if entity == LINE:
            return orders.add_line(self, values, user, key)
        if entity in DOCUMENTS:
            return documents.create(self, DOCUMENTS[entity], values, lines or [], user, key, wall, touch)
        if entity in DOCUMENT_OF_LINE:
            return documents.add_line(self, DOCUMENT_OF_LINE[entity], values, user, key)
        if entity == ACCOUNT and not (values.get("Code") or "").strip():
            while str(self.next_account) in self.codes[ACCOUNT]:
                self.next_account += 1
            values = {**values, "Code": str(self.next_account)}
        record = self.insert(entity, values, user, key)
        self.touch(record)
        return record

    @act
    def update(self, record, values, user, lines=None):
        """Merge values into a record; its Modified and row version move, and those of the whole order for an order."""
        if record.entity in (ORDER, LINE):
            orders.update(self, record, values, lines or [], user)
        elif record.entity in DOCUMENTS or record.entity in DOCUMENT_OF_LINE:
            documents.update(self, record, values, lines or [], user)
        else:
            self.assign(record, values)
            self.stamp_user(record, user)
            self.touch(record)
        return record

    @act
    def delete(self, record, user):
        """Remove a record (a document with its lines), leave its last content as tombstone and log the deletion."""
        if record.entity == ORDER:
            for line in list(record.lines):
                self.remove(line, user, logged=self.settings.deleted_keys != "header")
            self.remove(record, user, logged=self.settings.deleted_keys != "lines")
        elif record.entity == LINE:
            orders.delete_line(self, record, user)
        elif record.entity in DOCUMENTS or record.entity in DOCUMENT_OF_LINE:
            documents.delete(self, record, user)
        else:
            self.remove(record, user)

    def remove(self, record, user, logged=True):
        """Take one record out of the store."""
        entity = record.entity
        self.note(record, "Delete")
        self.names += 1
        self.tombstones[entity][record.key] = (record, self.freeze_rows(self, record) if self.freeze_rows else {})
        record.deleted = True
        if entity in CODED:
            record.values["_deleted_at"] = self.clock.wall()
        del self.records[entity][record.key]
        self.edition += 1
        keys = self.keys[entity]
        del keys[bisect.bisect_left(keys, record.key)]
        if record.header is not None:
            record.header.lines.remove(record)
        index = self.codes.get(entity)
        code = (record.values.get("Code") or "").strip().casefold()
        if index is not None and index.get(code) is record:
            del index[code]
        self.late.changed(record, gone=True)
        entity_type = ENTITY_TYPE.get(SET_OF.get(entity, entity))
        lost = entity_type and logged and self.settings.deleted_loss and self.late_rng.random(
            ) < self.settings.deleted_loss
        if lost:
            self.weather.met("lost_deletion")
        elif entity_type and logged:
            self.deleted_stamp += 1 + self.rng.randrange(3)
            s = self.settings
            after = self.late_rng.uniform(s.visible_after_min["deleted"],
                                          s.visible_after_max["deleted"]) if self.late.watching else 0
            self.deleted.append({
                "_seen": self.clock.now() + after,
                "Timestamp": str(self.deleted_stamp), "DeletedBy": user,
                "DeletedDate": clock.date_text(self.clock.wall()),
                "Division": self.code, "EntityKey": record.key, "EntityType": entity_type, "ID": self.new_key()})

    def deleted_rows(self, all_of_them=False):
        """The deletion log of the last two months: what the user may see and what has become visible, unless all is
        asked for."""
        oldest, now, hidden = self.clock.wall() - 61 * 86_400_000, self.clock.now(), self.hidden.get(DELETED, ())
        found = [row for row in self.deleted if clock.wall_from_text(row["DeletedDate"]) >= oldest]
        if all_of_them:
            return found
        seen = [row for row in found if row["_seen"] <= now and hidden is not None and row["EntityKey"] not in hidden]
        if any(row["_seen"] > now for row in found):
            self.weather.met("late_deletion")
        return seen

    def stamp_at(self, wall):
        """Highest row version given out before a wall time (what SyncTimestamp answers)."""
        i = bisect.bisect_left(self.stamp_times, (wall, 0))
        return self.stamp_times[i - 1][1] if i else 1

    def move(self):
        """Start all row versions again below their old values, as when the vendor moves a division to another
        database."""
        self.late.waiting.clear()
        self.stamp = 1_000 + self.rng.randrange(100)
        self.deleted_stamp = 100
        self.deleted.clear()
        self.stamp_times.clear()
        for entity, feed in self.feeds.items():
            living = sorted(feed.after(-1), key=lambda r: r.key)
            self.feeds[entity] = Feed()
            for record in living:
                record.ts = self.next_stamp()
                self.feeds[entity].add(record)
        self.stamp_times.append((self.clock.wall(), self.stamp))
