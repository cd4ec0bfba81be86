"""Reading: lists in pages, single records, counts, and the lists that are not records (divisions, Me, deletions)."""
import bisect
import dataclasses
import re

from . import atom, clock, rows
from .catalogue import DOCUMENT_OF_LINE, DOCUMENTS, KEY_FIELD, MANDATORY_FILTERS, RESOURCES, SYNC_OF_TYPE, TRANSACTION, comparable
from .odata import Filter, Refused, next_link, parse_expand, parse_order, parse_select, parse_token, token_text, whole_number

PARENT_FIELD = {**{line: d.parent for line, d in DOCUMENT_OF_LINE.items()}, TRANSACTION: "EntryID"}
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
    owner: object = None        # the order whose lines are asked for


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
        Code=division.code, Description=info["description"], Country=info["country"].ljust(3), Currency="EUR", Customer=info["customer"],
        CustomerCode="100".rjust(18), CustomerName=sim.divisions[first].info["description"], Created=clock.date_text(info["created"]),
        Modified=clock.date_text(info["created"]), Creator=next(iter(info["staff"])), StartDate=clock.date_text(info["created"] // 86_400_000 * 86_400_000),
        BlockingStatus=info["blocking_status"], VATNumber=info["vat"], Website="https://www.example.com",
        ArchiveDate=clock.date_text(info["created"]) if info["status"] == 2 else None)
    if human_resources:
        row.update(Status=1 if info["status"] == 2 else 0, HID=info["hid"], Main=division.code == first, CurrencyDescription="Euro")
    else:
        row.update(
            Status=info["status"], Hid=info["hid"], IsMainDivision=division.code == first, Current=division.code == sim.current_division,
            City=info["city"], Postcode=info["postcode"], AddressLine1=info["street"], DivisionMoveDate=info["move_date"],
            DivisionHRLinkUnlinkDate=info["hr_link_date"], Legislation={"NL": "1", "BE": "2", "DE": "3"}[info["country"]])
    return row


def me_row(sim, user):
    """The row of current/Me."""
    now = sim.clock.now()
    division = sim.divisions[sim.current_division]
    row = dict(RESOURCES["current/Me"].template)
    row.update(
        UserID=sim.oauth.user_id(user), UserName=user, Email=user, FullName="Integratie API", FirstName="Integratie", LastName="API",
        CurrentDivision=sim.current_division, AccountingDivision=min(sim.divisions), DivisionCustomer=division.info["customer"],
        DivisionCustomerCode="100".rjust(18), DivisionCustomerName=division.info["description"], Legislation="1", Language="NL   ",
        LanguageCode="nl-NL", ServerTime=clock.iso_of(clock.wall_of(now)), ServerUtcOffset=clock.utc_offset(now))
    return row


class Source:
    """Rows of a resource in the order of its key, from a position on. `records` marks rows that stand for records."""

    def __init__(self, query):
        self.q, self.resource, self.division = query, query.resource, query.division
        self.key = self.resource.key
        if self.resource.kind == "sync" and query.sim.settings.sync_order == "key" and self.resource.path != "sync/Deleted":
            self.key = "ID"
        self.key_type = self.resource.types[self.key]

    def key_of(self, row):
        """The paging key of a row; the document's id stands in where a header row has no ID of its own."""
        value = row[self.key] if row[self.key] is not None else row[KEY_FIELD[self.resource.entity]]
        return comparable(self.key_type, value)

    def rows(self, after, floor, keys, documents=None):
        """(row, record or None) in key order with key > after. `floor`, `keys` and `documents` (ids of the documents whose lines
        are asked for) are shortcuts from the filter. What the user may not see is not there."""
        path, division = self.resource.path, self.division
        if path == "current/Me":
            found = [me_row(self.q.sim, self.q.user)]
        elif path in ("system/Divisions", "system/AllDivisions", "system/GetMostRecentlyUsedDivisions", "hrm/Divisions"):
            found = [division_row(self.q.sim, d, path == "hrm/Divisions") for d in self.q.sim.divisions.values()]
        elif path == "sync/Deleted":
            found = division.deleted_rows()
        elif path == "webhooks/WebhookSubscriptions":
            found = self.q.sim.subscriptions.rows_of(self.q.user, division.code)
        else:
            for record in self._records(after, floor, keys, documents):
                if division.shows(record):
                    yield rows.build(division, self.resource, record), record
            return
        for row in sorted(found, key=self.key_of):
            if after is None or self.key_of(row) > after:
                yield row, None

    def _records(self, after, floor, keys, documents):
        entity, division = self.resource.entity, self.division
        if self.q.owner is not None:
            return sorted((r for r in self.q.owner.lines if after is None or r.key > after), key=lambda r: r.key)
        if self.resource.kind == "sync":
            feed = division.feeds[entity]
            if self.key == "Timestamp":
                return feed.after(max(after if after is not None else -1, floor if floor is not None else -1))
            found = feed.after(floor if floor is not None else -1)
            return sorted((r for r in found if after is None or r.key > after), key=lambda r: r.key)
        table = division.records[entity]
        if keys is not None:
            return [table[k] for k in sorted(set(keys)) if k in table and (after is None or k > after)]
        if documents is not None:
            found = [r for k in set(documents) for r in division.lines_of(entity, k) if after is None or r.key > after]
            return sorted(found, key=lambda r: r.key)
        ordered = division.keys[entity]
        return (table[k] for k in ordered[0 if after is None else bisect.bisect_right(ordered, after):])


def _checked_filter(q):
    resource, options = q.resource, q.options
    found = Filter(options["$filter"], resource) if "$filter" in options else None
    accepted = MANDATORY_FILTERS.get(resource.entity)
    if q.sim.settings.mandatory_filter and accepted and resource.kind in ("entity", "bulk") and q.owner is None:
        if found is None or not found.fields & accepted:
            raise Refused(400,
                          "This endpoint has mandatory filtering applied. A GET request for this endpoint must have a $filter parameter "
                               f"with one of the following fields in the url: {', '.join(sorted(accepted))}.")
    return found


def _matching(q, source, found, after=None):
    floor = found.floor("Timestamp") if found else None
    keys = found.keys(q.resource.key) if found and q.resource.kind != "sync" else None
    parent = PARENT_FIELD.get(q.resource.entity) if q.resource.kind != "sync" else None
    documents = found.keys(parent) if found and parent else None
    for row, record in source.rows(after, floor, keys, documents):
        if found is None or found.test(row):
            yield row, record


def _ordered(q, source, found, field, descending, after):
    """Rows sorted by a field and then by key, those after the position `after` = (value, key)."""
    edm = q.resource.types[field]

    def value(row):
        v = comparable(edm, row[field])
        return v is not None, v if v is not None else 0

    everything = list(_matching(q, source, found))
    everything.sort(key=lambda pair: source.key_of(pair[0]))
    everything.sort(key=lambda pair: value(pair[0]), reverse=descending)
    if after is None:
        return everything
    at = (after[0] is not None, after[0] if after[0] is not None else 0)

    def behind(pair):
        v = value(pair[0])
        return source.key_of(pair[0]) > after[-1] if v == at else (v < at) == descending
    return [pair for pair in everything if behind(pair)]


def _select(q, expand):
    """parse_select(); the fault `deferred` leaves collections unread that were to be expanded."""
    select, nested = parse_select(q.options.get("$select"), q.resource, expand, CHILDREN)
    return select, {} if q.fault is not None and q.fault.action == "deferred" else nested


def read_list(q):
    """A page of a list, or the answer of a function."""
    if q.resource.kind == "function":
        return _sync_timestamp(q)
    settings, resource, options = q.sim.settings, q.resource, q.options
    if options.get("$format", "json") != "json":
        raise Refused(400, "Unsupported $format.")
    top, skip = whole_number(options, "$top"), whole_number(options, "$skip")
    expand = parse_expand(options.get("$expand"), resource)
    select, nested = _select(q, expand)
    if resource.select_required and "$select" not in options and top != 1:
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
    types = ([resource.types[order[0]]] if order else []) + [source.key_type]
    after = parse_token(options["$skiptoken"], types) if "$skiptoken" in options else None
    if order:
        pairs = iter(_ordered(q, source, found, *order, after))
    else:
        pairs = _matching(q, source, found, after[0] if after else None)
    for _ in range(skip or 0):
        next(pairs, None)
    page = [pair for _, pair in zip(range(limit), pairs)]
    following = None
    if len(page) == size and (top is None or top > size):
        last = page[-1][0]
        position = ([comparable(types[0], last[order[0]])] if order else []) + [source.key_of(last)]
        token = ",".join(token_text(edm, value) for edm, value in zip(types, position))
        changes = {"$skip": None, "$skiptoken": token, "$top": None if top is None else str(top - size)}
        following = _following(q, next_link(q.url, options, changes))
    array = top is not None and after is None and (top < size or top == size and resource.path.split("/")[0] in ("crm", "hrm"))
    return _written(q, page, select, nested, following, array)


def _following(q, link):
    """The next link, or where an injected fault sends the reader."""
    if q.fault is None or q.fault.action != "evil_next":
        return link
    a = q.fault.arguments
    if "next" in a:
        return a["next"]
    if "division" in a and q.division is not None:
        return link.replace(f"/{q.division.code}/", f"/{a['division']}/", 1)
    return link.replace(q.base, "https://" + a.get("host", "evil.example.com"), 1)


def _written(q, page, select, nested, following, array):
    resource, code = q.resource, q.division.code if q.division else None
    writer = rows.Writer(resource, select, q.base, code)
    wrong = None
    if q.fault is not None and q.fault.action == "wrong_division" and page:
        wrong = q.fault.arguments.get("division") or next((c for c in q.sim.divisions if c != code), 999999)
    texts, now, settings = [], q.sim.clock.now(), q.sim.settings
    for i, (row, record) in enumerate(page):
        stray = wrong if wrong and i == len(page) // 2 else None
        if stray:
            row = {**row, "Division": stray}
        expanded = {name: _lines(q, record, name, fields, now) for name, fields in nested.items()} if nested else None
        kept = writer.kept_content(row, q.division, record) if record is not None and not stray and settings.keep_served else None
        text, content = writer.text(row, expanded, stray, kept)
        texts.append(text if q.json else atom.entry(resource, select, row, rows.address(q.base, code, resource, row)))
        _note(q, row, record, content, now, _whole(expanded))
    if not q.json:
        text = atom.feed(resource.path.split("/")[-1], q.url, texts, following)
        return Body(text.encode(), "application/atom+xml; charset=utf-8", len(page))
    if array:
        head, tail = b'{"d":[', b"]}"
    else:
        head, tail = b'{"d":{"results":[', b"]" + (b',"__next":' + rows.to_json(following).encode() if following else b"") + b"}}"
    return Body(head + b",".join(texts) + tail, "application/json; charset=utf-8", len(page))


def _note(q, row, record, content, now, nested=()):
    journal, code = q.sim.journal, q.division.code if q.division else None
    key = record.key if record is not None else str(rows.row_key(q.resource, row))
    whole = record is not None and record.entity in DOCUMENTS and DOCUMENTS[record.entity].collection in nested
    journal.note(q.page, code, q.resource.path, key, content, now, key if whole else None)
    if q.resource.path == "sync/Deleted":
        journal.note(q.page, code, SYNC_OF_TYPE[row["EntityType"]], key, None, now)


def _whole(expanded):
    """Names of the collections that an answer holds whole."""
    return [name for name, text in (expanded or {}).items() if text.endswith(b"]}")]


def _lines(q, record, name, fields, now):
    """JSON of an expanded collection, perhaps its first page only; collections without an endpoint here are empty."""
    if q.fault is not None and q.fault.action == "null_collections":
        return b"null"
    child = CHILDREN.get(name)
    if child is None or record is None or DOCUMENTS[record.entity].line != child.path:
        return b'{"results":[]}'
    writer = rows.Writer(child, fields or child.fields, q.base, q.division.code)
    size = q.sim.settings.expand_page_size
    lines = list(filter(q.division.shows, record.lines))
    if size:
        lines.sort(key=lambda line: line.key)
    texts, following = [], b""
    if 0 < size < len(lines):
        lines = lines[:size]
        following = b',"__next":' + rows.to_json(_rest_of_lines(q, record, name, writer, lines[-1].key)).encode()
    for line in lines:
        text, content = writer.text(rows.build(q.division, child, line))
        q.sim.journal.note(q.page, q.division.code, child.path, line.key, content, now, None if following else record.key)
        texts.append(text)
    return b'{"results":[' + b",".join(texts) + b"]" + following + b"}"


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


def _sync_timestamp(q):
    """read/sync/Sync/SyncTimestamp: the row version of a sync endpoint at a time."""
    given = {name.lower(): _PARAMETER.match(value) for name, value in q.options.items() if not name.startswith("$")}
    modified, endpoint = given.get("modified"), given.get("endpoint")
    if not modified or not endpoint:
        raise Refused(400, "The parameters modified=datetime'…' and endPoint='…' are mandatory.")
    names = {r.path.split("/")[-1].lower(): r for r in RESOURCES.values() if r.kind == "sync" and r.entity_type}
    target = names.get(endpoint.group(1).lower())
    if target is None:
        raise Refused(400, f"The endpoint '{endpoint.group(1)}' is not supported.")
    try:
        wall = clock.parse_wall(modified.group(1), zone_allowed=False)
    except ValueError:
        raise Refused(400, f"Unrecognized 'Edm.DateTime' literal {modified.group(0)}.") from None
    row = {"Modified": clock.date_text(wall), "API": target.path.split("/")[-1], "TimeStampAsBigInt": str(q.division.stamp_at(wall))}
    select, _ = parse_select(q.options.get("$select"), q.resource, [], {})
    return _written(q, [(row, None)], select, {}, None, True)
