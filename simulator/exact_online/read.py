"""Reading: lists in pages, single records, counts, and the lists that are not records (divisions, Me, deletions)."""
import bisect
import dataclasses
import heapq
import itertools
import re

from . import atom, clock, rows, tables
from .catalogue import (
    CHARGE,
    COMBINED,
    COMPUTED,
    DOCUMENT_OF_LINE,
    DOCUMENTS,
    KEY_FIELD,
    MANDATORY_FILTERS,
    RESOURCES,
    SET_OF,
    SYNC_OF_TYPE,
    TRANSACTION,
    Raw,
    comparable,
)
from .odata import (
    Filter,
    Refused,
    next_link,
    parse_expand,
    parse_order,
    parse_select,
    parse_token,
    token_text,
    whole_number,
)

PARENT_FIELD = {**{line: d.parent for line, d in DOCUMENT_OF_LINE.items()}, TRANSACTION: "EntryID", CHARGE: "InvoiceID"}
DIVISION_LISTS = ("system/Divisions", "system/AllDivisions", "system/GetMostRecentlyUsedDivisions", "hrm/Divisions")
LEGISLATION = {"NL": ("NL ", "1"), "BE": ("BE ", "2"), "DE": ("DE ", "3")}       # of system/Divisions, and of Me
NEVER_ABSENT = {"Timestamp", "Modified", "LineNumber", "Division", "EntityKey", "EntityType", "Code", "ID", "EntryID",
                "InvoiceID",
                "PurchaseOrderID", "Created"}
EXTRA = b',"NewInThisRelease":"\xe2\x82\xac","FutureSettings":{"Values":[1,2.5,null]}'
CHILDREN = {d.collection: RESOURCES[d.line] for d in DOCUMENTS.values()}
_PARAMETER = re.compile(r"^(?:datetime)?'(.*)'$")


@dataclasses.dataclass
class Query:
    """A request for rows: where it goes, what it asks, and what an injected fault does to it."""
    sim: object
    resource: object
    division: object            # None for current/Me
    user: str
    base: str                   # scheme and host for addresses
    url: str                    # address without query
    options: dict
    json: bool
    fault: object = None
    page: list = dataclasses.field(default_factory=list)    # rows read, for the journal
    chain: object = None        # the consent behind the token
    owner: object = None        # the order whose lines are asked for
    rng: object = None          # the request's own generator

    @property
    def action(self):
        """What an injected fault does, and its arguments."""
        return (self.fault.action, self.fault.arguments) if self.fault is not None else (None, {})


@dataclasses.dataclass
class Body:
    """What reading gives: the body, its content type, and the number of rows."""
    content: bytes
    kind: str
    rows: int


def division_row(sim, division, human_resources):
    """A row of system/Divisions, or of hrm/Divisions with its own enum of Status."""
    info = division.info
    first = min(sim.divisions)
    row = dict(RESOURCES["hrm/Divisions" if human_resources else "system/Divisions"].template)
    row.update(
        Code=division.code, Description=info["description"], Country=info["country"].ljust(3), Currency="EUR",
        Customer=info["customer"],
        CustomerCode="100".rjust(18), CustomerName=sim.divisions[first].info["description"],
        Created=clock.date_text(info["created"]),
        Modified=clock.date_text(info["created"]), Creator=next(iter(info["staff"])),
        StartDate=clock.date_text(info["created"] // 86_400_000 * 86_400_000),
        BlockingStatus=info["blocking_status"], VATNumber=info["vat"], Website="https://www.example.com",
        ArchiveDate=clock.date_text(info["created"]) if info["status"] == 2 else None)
    if human_resources:
        row.update(Status=1 if info["status"] == 2 else 0, HID=info["hid"], Main=division.code == first,
                   CurrencyDescription="Euro")
    else:
        row.update(
            Status=info["status"], Hid=info["hid"], IsMainDivision=division.code == first,
            Current=division.code == sim.current_division,
            City=info["city"], Postcode=info["postcode"], AddressLine1=info["street"],
            DivisionMoveDate=info["move_date"],
            DivisionHRLinkUnlinkDate=info["hr_link_date"], Legislation=LEGISLATION[info["country"]][0])
    return row


def me_row(sim, user):
    """The row of current/Me."""
    now = sim.clock.now()
    division = sim.divisions[sim.current_division]
    row = dict(RESOURCES["current/Me"].template)
    row.update(
        UserID=sim.oauth.user_id(user), UserName=user, Email=user, FullName="Integratie API", FirstName="Integratie",
        LastName="API",
        CurrentDivision=sim.current_division, AccountingDivision=min(sim.divisions),
        DivisionCustomer=division.info["customer"],
        DivisionCustomerCode="100".rjust(18), DivisionCustomerName=division.info["description"],
        Legislation=LEGISLATION[division.info["country"]][1],
        Language="NL", LanguageCode="nl-NL", EmployeeID=rows.ZERO, ServerTime=clock.iso_of(clock.wall_of(now)),
        ServerUtcOffset=clock.utc_offset(now))
    return row


class Source:
    """Rows of a resource in the order of its key, from a position on. `records` marks rows that stand for records."""

    def __init__(self, query):
        self.q, self.resource, self.division = query, query.resource, query.division
        self.key = self.resource.key
        self.late = query.division.late if query.division is not None else None
        by_key = query.sim.settings.sync_order == "key"
        if self.resource.kind == "sync" and by_key and self.resource.path != "sync/Deleted":
            self.key = self.resource.identity
        self.key_type = self.resource.types[self.key]
        self.keys = self.resource.keys if len(self.resource.keys) > 1 else (self.key,)
        self.key_types = [self.resource.types[key] for key in self.keys]

    def place_of(self, row):
        """Where a row stands in the order of the key, of all its fields."""
        if len(self.keys) == 1:
            return [self.key_of(row)]
        return [comparable(edm, row[key]) for edm, key in zip(self.key_types, self.keys)]

    def key_of(self, row):
        """The paging key of a row; the document's id stands in where a header row has no ID of its own."""
        value = row[self.key] if row[self.key] is not None else row[KEY_FIELD[self.resource.entity]]
        return comparable(self.key_type, value)

    def _divisions(self):
        """The divisions of one of the four lists: what may be opened and was granted, the licence's, or the last
        used."""
        sim, path = self.q.sim, self.resource.path
        found = list(sim.divisions.values())
        licence = self.division.info["licence"]
        if path == "system/AllDivisions":
            return [d for d in found if d.info["licence"] == licence]
        found = [d for d in found if sim.may_open(self.q.chain, d)]
        if path == "hrm/Divisions":
            return [d for d in found if d.info["licence"] == licence]
        if path == "system/Divisions":
            if len(found) > 1 and sim.weather.draw(self.q.rng, "partial_divisions"):
                found.remove(self.q.rng.choice(found))
            return found
        return [d for d in sorted(found, key=lambda d: -sim.used.get(d.code, 0)) if d.code in sim.used][:5]

    def rows(self, after, floor, keys, documents=None):
        """(row, record or None) in key order with key > after. `floor`, `keys` and `documents` (ids of the documents
        whose lines
        are asked for) are shortcuts from the filter. What the user may not see is not there."""
        path, division = self.resource.path, self.division
        if division is not None and "empty" in (division.packages.get(path),
                                                division.packages.get(self.resource.entity)):
            self.q.sim.weather.met("package")
            return
        if path == "current/Me":
            found = [me_row(self.q.sim, self.q.user)]
        elif path in DIVISION_LISTS:
            found = [division_row(self.q.sim, d, path == "hrm/Divisions") for d in self._divisions()]
            self.q.sim.weather.met("padded_legislation")
        elif path in COMPUTED:
            found = tables.computed(division, path)
        elif path == "sync/Deleted":
            found = division.deleted_rows()
        elif path == "webhooks/WebhookSubscriptions":
            found = self.q.sim.subscriptions.rows_of(self.q.user, division.code)
        else:
            for record in self.shown(after, floor, keys, documents):
                yield rows.build(division, self.resource, record), record
            return
        for row in sorted(found, key=self.key_of):
            if after is None or self.key_of(row) > after:
                yield row, None

    def shown(self, after, floor, keys, documents):
        """The records behind rows(), of a resource whose rows stand for records."""
        return (r for r in self._records(after, floor, keys, documents) if self.division.shows(r))

    def has_moment(self, field):
        """Whether each row stands for a record, known by its id, that has this moment itself."""
        resource, division = self.resource, self.division
        return (resource.types[field] == "DateTime" and self.key_type == "Guid" and len(self.keys) == 1
                and resource.kind != "sync" and resource.entity in KEY_FIELD and division is not None
                and resource.path not in (*DIVISION_LISTS, *COMPUTED, "webhooks/WebhookSubscriptions")
                and "empty" not in (division.packages.get(resource.path), division.packages.get(resource.entity))
                and field not in rows.derived_fields(resource))

    def is_whole(self, _floor, keys, documents):
        """Whether the rows are all records of one entity, as they are."""
        return (keys is None and documents is None and self.q.owner is None and len(self.resource.entities) == 1
                and not self.late.of(self.resource.entity))

    def _family(self, keys):
        return self.resource.kind if self.resource.wide else "key" if keys is not None else "plain"

    def _records(self, after, floor, keys, documents):
        """Records in the order of the key, as this family of endpoints sees them now."""
        family = self._family(keys)
        if self.q.owner is not None:
            lines = (self.late.view(r, family) for r in self.q.owner.lines)
            return sorted((r for r in lines if r is not None and (after is None or r.key > after)), key=lambda r: r.key)
        waiting = {}
        for entity in self.resource.entities:
            waiting.update(self.late.of(entity))
        found = self._living(after, floor, keys, documents)
        if not waiting:
            return found
        mine = set(self.resource.entities) if self.resource.kind != "sync" else {
            e for e in waiting and self.late.waiting if SET_OF.get(e, e) in self.resource.entities
            or e in self.resource.entities}
        seen = [r for r, other in self.late.views({k: w for k, w in waiting.items() if w[0].entity in mine}, family)
                if r is not None and self._meets(r, after, floor, keys, documents)]
        if any(other for _, other in self.late.views(waiting, family)):
            self.q.sim.weather.met("late")
        return heapq.merge((r for r in found if r.key not in waiting), sorted(seen, key=self._place), key=self._place)

    def _place(self, record):
        return record.ts if self.resource.kind == "sync" and self.key == "Timestamp" else record.key

    def _meets(self, record, after, floor, keys, documents):
        """Whether a record that is seen as it was stands in this part of the list."""
        if after is not None and self._place(record) <= after:
            return False
        if self.resource.kind == "sync":
            return floor is None or record.ts > floor
        parent = PARENT_FIELD.get(self.resource.entity)
        return (keys is None or record.key in keys) and (documents is None or record.values.get(parent) in documents)

    def _living(self, after, floor, keys, documents):
        """Records as they are."""
        entity, division = self.resource.entity, self.division
        if self.resource.kind == "sync":
            feed = division.feeds[SET_OF.get(entity, entity)]
            if self.key == "Timestamp":
                return feed.after(max(after if after is not None else -1, floor if floor is not None else -1))
            found = feed.after(floor if floor is not None else -1)
            return sorted((r for r in found if after is None or r.key > after), key=lambda r: r.key)
        found = [self._table(e, after, keys, documents) for e in self.resource.entities]
        return found[0] if len(found) == 1 else heapq.merge(*found, key=lambda r: r.key)

    def _table(self, entity, after, keys, documents):
        division = self.division
        table = division.records[entity]
        if keys is not None:
            return [table[k] for k in sorted(set(keys)) if k in table and (after is None or k > after)]
        if documents is not None:
            found = [r for k in set(documents) for r in division.lines_of(entity, k) if after is None or r.key > after]
            return sorted(found, key=lambda r: r.key)
        ordered = division.keys[entity]
        return (table[k] for k in ordered[0 if after is None else bisect.bisect_right(ordered, after):])


def _checked_filter(q):
    """The request's filter, unless it is refused."""
    resource, options = q.resource, q.options
    settings, weather = q.sim.settings, q.sim.weather
    found = Filter(options["$filter"], resource, q.sim.fold) if "$filter" in options else None
    if found is not None and "String" in (resource.types[name] for name in found.fields) and q.sim.fold:
        weather.met("filter_case")
    refused = sorted(name for name in (found.fields if found else ())
                     if f"{resource.path}.{name}" in settings.unfilterable)
    if refused and weather.met("unfilterable"):
        raise Refused(400, f"Filtering on these fields is not supported: {', '.join(refused)}")
    wanted = next((set(v) for k, v in settings.mandatory_filters.items() if k.lower() == resource.path.lower()), None)
    accepted = wanted or MANDATORY_FILTERS.get(resource.entity)
    if wanted:
        weather.met("mandatory_filters")
    demanded = (settings.mandatory_filter or wanted) and accepted
    filtered = found is not None and found.fields & (accepted or set())
    if demanded and not filtered and resource.kind in ("entity", "bulk") and q.owner is None:
        raise Refused(400,
                      "This endpoint has mandatory filtering applied. A GET request for this endpoint must have "
                      "a $filter parameter with one of the following fields in the url: "
                      f"{', '.join(sorted(accepted))}.")
    return found


def _shortcuts(q, found):
    """What the filter says of row versions, keys and documents."""
    floor = found.floor("Timestamp") if found else None
    keys = found.keys(q.resource.key) if found and q.resource.kind != "sync" and len(q.resource.keys) == 1 else None
    indexed = q.resource.kind != "sync" and not q.resource.generic
    parent = PARENT_FIELD.get(q.resource.entity) if indexed else None
    documents = found.keys(parent) if found and parent else None
    return floor, keys, documents


def _matching(q, source, found, after=None):
    for row, record in source.rows(after, *_shortcuts(q, found)):
        if found is None or found.test(row):
            yield row, record


def _by_moment(q, source, found, field, after):
    """Rows in the order of a moment of their records and then by key; only those that are asked for are made."""
    def position(record):
        row = rows.build(q.division, q.resource, record) if record.raw else record.values
        moment = comparable("DateTime", row.get(field))
        return moment is not None, moment or 0, source.key_of(row) if record.raw else record.key

    start = (after[0] is not None, *(after if after[0] is not None else (0, after[1]))) if after else None
    shortcuts = _shortcuts(q, found)
    if source.is_whole(*shortcuts):
        places, records = q.division.in_order(q.resource.entity, field, position)
        first = 0 if start is None else bisect.bisect_right(places, start)
        records = (r for r in itertools.islice(records, first, None) if q.division.shows(r))
    else:
        places = ((position(r), i, r) for i, r in enumerate(source.shown(None, *shortcuts)))
        records = (r for _, _, r in sorted(each for each in places if start is None or each[0] > start))
    for record in records:
        row = rows.build(q.division, q.resource, record)
        if found is None or found.test(row):
            yield row, record


def _ordered(q, source, found, field, descending, after):
    """Rows sorted by a field and then by key, those after the position `after` = (value, key)."""
    if not descending and source.has_moment(field):
        return _by_moment(q, source, found, field, after)
    edm = q.resource.types[field]

    def value(row):
        v = comparable(edm, row[field])
        return v is not None, v if v is not None else 0

    everything = list(_matching(q, source, found))
    everything.sort(key=lambda pair: source.place_of(pair[0]))
    everything.sort(key=lambda pair: value(pair[0]), reverse=descending)
    if after is None:
        return everything
    at = (after[0] is not None, after[0] if after[0] is not None else 0)

    def behind(pair):
        v = value(pair[0])
        return source.place_of(pair[0]) > list(after[1:]) if v == at else (v < at) == descending
    return [pair for pair in everything if behind(pair)]


def _select(q, expand):
    """parse_select(); the fault `deferred` leaves collections unread that were to be expanded."""
    select, nested = parse_select(q.options.get("$select"), q.resource, expand, CHILDREN)
    return select, {} if q.fault is not None and q.fault.action == "deferred" else nested


def read_list(q):
    """A page of a list, or the answer of a function."""
    if q.resource.kind == "function":
        return _sync_timestamp(q) if q.resource.path.endswith("SyncTimestamp") else _function(q)
    settings, resource, options = q.sim.settings, q.resource, q.options
    if options.get("$format", "json") != "json":
        raise Refused(400, "Unsupported $format.")
    top, skip = whole_number(options, "$top"), whole_number(options, "$skip")
    expand = parse_expand(options.get("$expand"), resource)
    select, nested = _select(q, expand)
    demanded = resource.path.lower() in map(str.lower, settings.select_required)
    if (resource.select_required or demanded) and "$select" not in options and top != 1:
        if demanded:
            q.sim.weather.met("select_required")
        raise Refused(400, "Please add a $select or a $top=1 statement to the query string.")
    if resource.kind == "sync" and ("$orderby" in options or skip):
        raise Refused(400, "$orderby and $skip are not supported for this resource.")
    found = _checked_filter(q)
    source = Source(q)
    size = settings.sync_page_size if resource.wide else settings.page_size
    limit = size if top is None else min(size, top)
    order = parse_order(options["$orderby"], resource) if "$orderby" in options else None
    if order and order[0] == source.key and not order[1]:
        order = None
    tied = settings.shared_versions and resource.path in COMBINED and source.key == "Timestamp"
    types = ([resource.types[order[0]]] if order else []) + source.key_types + (["Guid"] if tied else [])
    token = options.get("$skiptoken")       # an empty one is the beginning
    if tied and token and "," not in token:     # a client's own token: behind all rows of that version
        token += ",'~'"
        after = parse_token(token, [*types[:-1], "String"])
    else:
        after = parse_token(token, types) if token else None
    if tied:
        pairs = iter(_tied(q, source, found, after))
    elif order:
        pairs = iter(_ordered(q, source, found, *order, after))
    elif len(source.keys) > 1:
        pairs = iter(_by_keys(q, source, found, after))
    else:
        pairs = _matching(q, source, found, after[0] if after else None)
    for _ in range(skip or 0):
        next(pairs, None)
    page, cut = _page(q, source, pairs, limit, order, after) if not tied else ([pair for _, pair in zip(range(limit),
                                                                                                        pairs)], None)
    following = None
    if cut is not None or (len(page) == size and (top is None or top > size)):
        position = cut or _position(source, page[-1][0], order,
                                    types) + ([rows.row_key(resource, page[-1][0])] if tied else [])
        token = ",".join(token_text(edm, value) for edm, value in zip(types, position))
        changes = {"$skip": None, "$skiptoken": token, "$top": None if top is None else str(top - len(page))}
        following = next_link(q.url, options, changes)
        q.sim.weather.met("next_order")
    whole = top is not None and after is None and cut is None
    array = whole and (top < size or (top == size and _full_page_is_array(q)))
    if settings.sync_order == "pages" and resource.kind == "sync" and len(page) > 1:
        q.rng.shuffle(page)
        q.sim.weather.met("unsorted_pages")
    return _written(q, _left(q, page), select, nested, _following(q, following), array)


def _tied(q, source, found, after):
    """Rows of a combined set whose header and lines share a row version: by version and, within it, by id."""
    floor = (after[0] - 1,) if after else None
    pairs = [(row, record) for row, record in _matching(q, source, found, floor[0] if floor else None)]
    pairs.sort(key=lambda pair: (source.key_of(pair[0]), rows.row_key(q.resource, pair[0])))
    return [pair for pair in pairs if after is None or (source.key_of(pair[0]),
                                                        rows.row_key(q.resource, pair[0])) > tuple(after)]


def _by_keys(q, source, found, after):
    """Rows of a resource whose key has several fields."""
    pairs = sorted(_matching(q, source, found), key=lambda pair: source.place_of(pair[0]))
    return [pair for pair in pairs if after is None or source.place_of(pair[0]) > list(after)]


def _position(source, row, order, types):
    """The place behind a row: the values of a skip token."""
    return ([comparable(types[0], row[order[0]])] if order else []) + source.place_of(row)


def _page(q, source, pairs, limit, order, after):
    """(rows of a page, place behind it when it was cut short of the page size though more follows, else None)."""
    page = [pair for _, pair in zip(range(limit), pairs)]
    weather, types = q.sim.weather, ([q.resource.types[order[0]]] if order else []) + source.key_types
    if not page or len(page) < 2 or q.rng is None or q.owner is not None:
        return page, None
    if weather.draw(q.rng, "short_page", q.sim.settings.short_pages):
        keep = 0 if q.rng.random() < 0.3 else q.rng.randrange(1, len(page))
        if keep:
            return page[:keep], _position(source, page[keep - 1][0], order, types)
        before = _before(source, page[0][0], order, types, after)
        if before is not None:
            weather.met("empty_page")
            return [], before
    return page, None


def _before(source, row, order, types, after):
    """The place just before a row, or None when there is none or it is where the page began."""
    position = _position(source, row, order, types)
    key = position[-1]
    if source.key_type == "Guid":
        number = int(key.replace("-", ""), 16) - 1
        text = f"{number:032x}"
        position[-1] = "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    elif isinstance(key, int):
        position[-1] = key - 1
    else:
        return None
    return position if after is None or tuple(position) != tuple(after) else None


def _full_page_is_array(q):
    """At $top = page size: an array or an object; both were recorded, and no rule is known."""
    form = q.sim.settings.full_page_form
    q.sim.weather.met("full_page")
    return q.rng.random() < 0.5 if form == "drawn" else form == "array"


def _left(q, page):
    """The rows of a page that an answer keeps: a fault may leave some out, and a division that is being copied gives
    a part."""
    action, a = q.action
    weather = q.sim.weather
    if action == "omit" and a.get("where", "rows") != "lines":
        left = [pair for pair in page if not _omits(q, a, pair[0], pair[1])]
        if len(left) < len(page):
            weather.met("omit" if left else "empty")
        page = left
    if q.division is not None and q.division.info[
        "blocking_status"] and q.sim.settings.blocked_omit and q.resource.entity in q.division.entities:
        page = [pair for pair in page if q.rng.random() >= q.sim.settings.blocked_omit]
        weather.met("blocking")
    return page


def _omits(q, a, row, record):
    if a.get("empty"):
        return True
    if "keys" in a:
        key = record.key if record is not None else rows.row_key(q.resource, row)
        return str(key).lower() in {str(k).lower() for k in a["keys"]}
    return q.rng.random() < a.get("share", 0.5)


def _following(q, link):
    """The next link, or where an injected fault sends the reader. Raw JSON text when it is no address."""
    action, a = q.action
    if action == "next_value" and a.get("when", "always") == "always":
        q.sim.weather.met("next_value")
        return Raw(rows.to_json(a.get("value")))
    if link is None:
        return None
    if action == "loop_next":
        q.sim.weather.met("loop_next")
        first = {k: v for k, v in q.options.items() if k != "$skiptoken"}
        return next_link(q.url, first if "$skiptoken" in q.options else q.options, {})
    if action == "omit" and a.get("empty"):
        return None
    if action != "evil_next":
        return link
    if "next" in a:
        return a["next"]
    if "division" in a and q.division is not None:
        return link.replace(f"/{q.division.code}/", f"/{a['division']}/", 1)
    return link.replace(q.base, "https://" + a.get("host", "evil.example.com"), 1)


def _written(q, page, select, nested, following, array):
    resource, code = q.resource, q.division.code if q.division else None
    weather, action, a = q.sim.weather, *q.action
    if weather.draw(q.rng, "absent_members", q.sim.settings.absent_members):
        spare = [name for name in select if name not in NEVER_ABSENT and name != resource.key]
        absent = q.rng.choice(spare) if spare else None
        select = [name for name in select if name != absent]
    extra = EXTRA if q.json and weather.draw(q.rng, "extra_members", q.sim.settings.extra_members) else b""
    writer = rows.Writer(resource, select, q.base, code)
    if resource.type_name.rpartition(".")[2] != resource.entity.rpartition("/")[2]:
        weather.met("singular_type")
    wrong = None
    if q.fault is not None and q.fault.action == "wrong_division" and page:
        wrong = q.fault.arguments.get("division") or next((c for c in q.sim.divisions if c != code), 999999)
    texts, now, settings = [], q.sim.clock.now(), q.sim.settings
    for i, (row, record) in enumerate(page):
        stray = wrong if wrong and i == len(page) // 2 else None
        if stray:
            row = {**row, "Division": stray}
        expanded = {name: _lines(q, record, name, fields, now) for name, fields in nested.items()} if nested else None
        kept = writer.kept_content(row, q.division,
                                   record) if record is not None and not stray and settings.keep_served else None
        text, content = writer.text(row, expanded, stray, kept)
        if action == "spoil_row" and i == len(page) // 2:
            text = _spoiled(q, writer, row, expanded, a)
        if extra:
            text = text[:-1] + extra + b"}"
        texts.append(text if q.json else atom.entry(resource, select, row, rows.address(q.base, code, resource, row)))
        _note(q, row, record, content, now, _whole(expanded))
    if not q.json:
        text = atom.feed(resource.path.split("/")[-1], q.url, texts, None if isinstance(following, Raw) else following)
        return Body(text.encode(), "application/atom+xml; charset=utf-8", len(page))
    if array:
        head, tail = b'{"d":[', b"]}"
    else:
        head, tail = b'{"d":{"results":[', b"]" + _next_member(following) + b"}}"
    return Body(head + b",".join(texts) + tail, "application/json; charset=utf-8", len(page))


def _next_member(following):
    if following is None:
        return b""
    return b',"__next":' + (following if isinstance(following, Raw) else rows.to_json(following)).encode()


def _spoiled(q, writer, row, expanded, a):
    """JSON of a row with one field null or otherwise wrong, or with a member twice."""
    types, plain = q.resource.types, writer.plain
    raw = a.get("raw")
    wanted = "String" if raw and raw.startswith('"') else "Double" if raw else None
    fitting = [n for n in plain if n not in NEVER_ABSENT and n != q.resource.key
               and (wanted is None or types[n] == wanted)]
    field = a.get("field") or (q.rng.choice(fitting) if fitting and (raw or a.get("twice")) else q.resource.key)
    if field not in plain:
        return writer.text(row, expanded)[0]
    q.sim.weather.met("raw_value" if raw else "spoil_row")
    if a.get("twice"):
        text = writer.text(row, expanded)[0]
        return text[:-1] + b',"%s":%s}' % (field.encode(), rows.to_json(a.get("value")).encode())
    content = writer.content({**row, field: Raw(raw if raw else rows.to_json(a.get("value")))})
    return writer.text(row, expanded, None, content)[0]


def _note(q, row, record, content, now, nested=()):
    journal, code = q.sim.journal, q.division.code if q.division else None
    key = str(record.key if record is not None else rows.row_key(q.resource, row))
    whole = record is not None and record.entity in DOCUMENTS and DOCUMENTS[record.entity].collection in nested
    journal.note(q.page, code, q.resource.path, key, content, now, key if whole else None)
    if q.resource.path == "sync/Deleted":
        for path in SYNC_OF_TYPE[row["EntityType"]]:
            journal.note(q.page, code, path, key, None, now)
        if len(SYNC_OF_TYPE[row["EntityType"]]) > 1:
            q.sim.weather.met("shared_code")


def _whole(expanded):
    """Names of the collections that an answer holds whole."""
    return [name for name, text in (expanded or {}).items() if text.endswith(b"]}")]


def _lines(q, record, name, fields, now):
    """JSON of an expanded collection, perhaps its first page only; collections without an endpoint here are empty."""
    if q.fault is not None and q.fault.action == "null_collections":
        return b"null"
    child = CHILDREN.get(name)
    if child is None or record is None or record.entity not in DOCUMENTS or DOCUMENTS[record.entity].line != child.path:
        return _other_lines(q, record, name, fields)
    writer = rows.Writer(child, fields or child.fields, q.base, q.division.code)
    size = q.sim.settings.expand_page_size
    family = q.resource.kind if q.resource.wide else "plain"
    lines = [seen for seen in (q.division.late.view(line, family) for line in record.lines) if seen is not None
             and q.division.shows(seen)]
    action, a = q.action
    if action == "omit" and a.get("where", "rows") != "rows":
        left = [line for line in lines if not _omits(q, a, line.values, line)]
        if len(left) < len(lines):
            q.sim.weather.met("omit" if left else "empty")
        lines = left
    if size:
        lines.sort(key=lambda line: line.key)
    texts, following = [], b""
    if 0 < size < len(lines):
        lines = lines[:size]
        following = b',"__next":' + rows.to_json(_rest_of_lines(q, record, name, writer, lines[-1].key)).encode()
    for line in lines:
        text, content = writer.text(rows.build(q.division, child, line))
        q.sim.journal.note(q.page, q.division.code, child.path, line.key, content, now,
                           None if following else record.key)
        texts.append(text)
    return b'{"results":[' + b",".join(texts) + b"]" + following + b"}"


def _other_lines(q, record, name, fields):
    """A collection whose rows are no document's lines: order charges of an invoice, and those of the catalogue."""
    child = RESOURCES.get(q.resource.children.get(name) or (CHARGE if name == "SalesInvoiceOrderChargeLines" else ""))
    table = q.division.records.get(child.entity) if child is not None and q.division is not None else None
    if record is None or table is None:
        return b'{"results":[]}'
    key = q.resource.key
    parent = "InvoiceID" if child.path == CHARGE else key if key != "ID" and key in child.types else None
    parent = parent or tables.link_to(record.entity, child)
    writer = rows.Writer(child, fields or child.fields, q.base, q.division.code)
    found = [r for r in table.values() if parent and r.values.get(parent) == record.key and q.division.shows(r)]
    return b'{"results":[' + b",".join(writer.text(rows.build(q.division, child, r))[0] for r in found) + b"]}"


def _rest_of_lines(q, record, name, writer, after):
    """The address of the lines of a document behind one of them."""
    uri = f"{q.base}/api/v1/{q.division.code}/{q.resource.path}(guid'{record.key}')/{name}"
    return next_link(uri, {"$select": ",".join(writer.plain), "$skiptoken": f"guid'{after}'"}, {})


def read_one(q, record_row):
    """A single entity; `record_row` is (row, record)."""
    row, record = record_row
    expand = parse_expand(q.options.get("$expand"), q.resource)
    select, nested = _select(q, expand)
    code = q.division.code if q.division else None
    now = q.sim.clock.now()
    expanded = {name: _lines(q, record, name, fields, now) for name, fields in nested.items()}
    if q.fault is not None and q.fault.action == "wrong_division":
        stray = q.fault.arguments.get("division") or next((c for c in q.sim.divisions if c != code), 999999)
        row = {**row, "Division": stray}
        code = stray
    text, content = rows.Writer(q.resource, select, q.base, code).text(row, expanded)
    _note(q, row, record, content, now, _whole(expanded))
    if not q.json:
        uri = rows.address(q.base, code, q.resource, row)
        return Body(atom.entry(q.resource, select, row, uri, True).encode(), "application/atom+xml; charset=utf-8", 1)
    return Body(b'{"d":' + text + b"}", "application/json; charset=utf-8", 1)


def find_one(q, key):
    """(row, record) of a key that stands in the URL; 404 when there is none."""
    if len(q.resource.keys) > 1:
        for row, record in Source(q).rows(None, None, None):
            if rows.address("", 0, q.resource, row).partition("(")[2][:-1].replace(" ", "") == key.replace(" ", ""):
                return row, record
        raise Refused(404, "Resource not found for the key given.")
    for row, record in Source(q).rows(None, None, [key]):
        if comparable(q.resource.types[q.resource.key], row[q.resource.key]) == key:
            return row, record
    raise Refused(404, "Resource not found for the key given.")


def count(q):
    """The number of rows that pass the filter, as plain text; only without a JSON Accept header."""
    if q.json:
        raise Refused(406, "Unsupported media type requested: $count answers text/plain.")
    found = _checked_filter(q)
    return Body(str(sum(1 for _ in _matching(q, Source(q), found))).encode(), "text/plain; charset=utf-8", 0)


def _function(q):
    """A function of the catalogue: an array without pages. Its parameters are plain options; their effect is not
    known."""
    select, nested = _select(q, [])
    q.sim.weather.met("any_endpoint")
    return _written(q, list(itertools.islice(Source(q).rows(None, None, None), 3)), select, nested, None, True)


def _sync_timestamp(q):
    """read/sync/Sync/SyncTimestamp: the row version of a sync endpoint at a time."""
    given = {name.lower(): _PARAMETER.match(value) for name, value in q.options.items() if not name.startswith("$")}
    modified, endpoint = given.get("modified"), given.get("endpoint")
    if not modified or not endpoint:
        raise Refused(400, "The parameters modified=datetime'…' and endPoint='…' are mandatory.")
    names = {r.path.split("/")[-1].lower(): r for r in RESOURCES.values() if r.kind == "sync" and r.entity_type
             and q.sim.serves(r)}
    target = names.get(endpoint.group(1).lower())
    if target is None:
        raise Refused(400, f"The endpoint '{endpoint.group(1)}' is not supported.")
    try:
        wall = clock.parse_wall(modified.group(1), zone_allowed=False)
    except ValueError:
        raise Refused(400, f"Unrecognized 'Edm.DateTime' literal {modified.group(0)}.") from None
    row = {"Modified": clock.date_text(wall), "API": target.path.split("/")[-1],
           "TimeStampAsBigInt": str(q.division.stamp_at(wall))}
    select, _ = parse_select(q.options.get("$select"), q.resource, [], {})
    return _written(q, [(row, None)], select, {}, None, True)
