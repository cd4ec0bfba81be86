"""Which documents break which rule of the books now: worked out from the records as they stand, for a comparison with
what a hub said. Sums are wrong only where breaking.py made them so (`_off`); states of dimensions count from when they
began (`since`): what was made before may have been right."""
from . import bookkeeper, clock, documents
from .catalogue import COSTCENTER, COSTUNIT, DOCUMENTS, ENTRIES, GL, ORDERS, RESOURCES, SALES_INVOICES, TRANSACTION
from .rows import build, truth_row

DAY, ZERO = bookkeeper.DAY, bookkeeper.ZERO
CREDITS = (21, 31, 8021, 8024, 8031, 8034)
ACCOUNT_EXISTS, CENTER_EXISTS, UNIT_EXISTS = ("line_gl_account_exists", "line_cost_center_exists",
                                              "line_cost_unit_exists")
REQUIRED, ENDED, BLOCKED = "cost_center_required", "cost_center_ended", "gl_account_blocked"
BALANCES, MATCH = "entry_balances", "lines_match_header"
ENTRY_KINDS = ("purchaseentries", "salesentries", "generaljournalentries", "bankentries", "cashentries")
INVOICE_KINDS = ("purchaseinvoices", "salesinvoices")
APPLIES = {  # rule: the kinds of documents to which it applies
    ACCOUNT_EXISTS: (*ENTRY_KINDS, "salesinvoices", bookkeeper.LEDGER),
    CENTER_EXISTS: tuple(bookkeeper.KINDS), UNIT_EXISTS: tuple(bookkeeper.KINDS),
    REQUIRED: (*ENTRY_KINDS, "salesinvoices"), ENDED: (*ENTRY_KINDS, *INVOICE_KINDS),
    BLOCKED: (*ENTRY_KINDS, "salesinvoices"), BALANCES: ("generaljournalentries", bookkeeper.LEDGER),
    MATCH: ("purchaseentries", "salesentries", "bankentries", "cashentries", *INVOICE_KINDS, "purchaseorders")}


def all_documents(division, kind):
    """The headers of a kind; of the ledger whatever has transaction lines."""
    if kind != bookkeeper.LEDGER:
        return list(division.records[bookkeeper.KINDS[kind].header].values())
    found = [header for d in ENTRIES for header in division.records[d.header].values() if header.postings]
    return found + [entry for entry in division.system.values() if entry.postings]


def lines_of(kind, header):
    return list(header.postings.values()) if kind == bookkeeper.LEDGER else header.lines


def evaluated(kind, header):
    """Whether rules are for this document at all."""
    v = header.values
    if kind == bookkeeper.LEDGER:
        return (v.get("Type") or 0) < 3000
    return v.get("Status") not in (documents.REJECTED, documents.DRAFT)


def _time(kind, header, name):
    """Created or Modified; an entry that no document made has them in its rows only."""
    return header.values.get(name) or max((line.values[name] for line in lines_of(kind, header)),
                                          key=clock.wall_from_text)


def _date(kind, header, line):
    v = header.values
    text = line.values.get("Date") or v.get("EntryDate") or v.get("InvoiceDate") or v.get("OrderDate")
    return clock.wall_from_text(text) if text else None


def _account(division, kind, header, line, created):
    """[(rule, value, since)] of a line's GL account."""
    key = line.values.get("GLAccount")
    if not key or key == ZERO or kind not in APPLIES[ACCOUNT_EXISTS]:
        return []
    record = division.records[GL].get(key)
    if record is None:
        gone = division.tombstones[GL].get(key)
        deleted = gone[0].values.get("_deleted_at") if gone else None
        if deleted is not None and deleted >= clock.wall_from_text(_time(kind, header, "Modified")):
            return []
        return [(ACCOUNT_EXISTS, key, None)]
    v, found = record.values, []
    if kind == bookkeeper.LEDGER:
        return []
    if "_blocked_since" in v and created >= v["_blocked_since"]:
        found.append((BLOCKED, v["Code"], v["_blocked_since"]))
    if ("_wanted_since" in v and created >= v["_wanted_since"] and not (line.values.get("CostCenter") or "").strip()
            and division.records[COSTCENTER] and (
                kind != "salesinvoices" or header.values.get("Status") == documents.PROCESSED)):
        found.append((REQUIRED, v["Code"], v["_wanted_since"]))
    return found


def _codes(division, kind, header, line, created):
    found = []
    code, unit = ((line.values.get(name) or "").strip() for name in ("CostCenter", "CostUnit"))
    record = division.by_code(COSTCENTER, code) if code else None
    if code and record is None:
        found.append((CENTER_EXISTS, code, None))
    elif record is not None and "_end_since" in record.values and kind in APPLIES[ENDED]:
        v, date = record.values, _date(kind, header, line)
        credit = header.values.get("Type") in CREDITS or header.values.get("Reversal")
        if (date is not None and not credit and created >= v["_end_since"]
                and date // DAY > clock.wall_from_text(v["EndDate"]) // DAY):
            found.append((ENDED, code, v["_end_since"]))
    if unit and division.by_code(COSTUNIT, unit) is None:
        found.append((UNIT_EXISTS, unit, None))
    return found


def breaks_of(division, kind, header):
    """[{rule, line (key, or null for the document), number, value, since}] of one document."""
    if not evaluated(kind, header):
        return []
    created = clock.wall_from_text(_time(kind, header, "Created"))
    found = []
    for line in lines_of(kind, header):
        for rule, value, since in (*_account(division, kind, header, line, created),
                                   *_codes(division, kind, header, line, created)):
            found.append({"rule": rule, "line": line.key, "number": line.values.get("LineNumber"), "value": value,
                          "since": None if since is None else clock.date_text(since)})
    off = header.values.get("_off")
    if off and kind in off[1]:
        found.append({"rule": off[0], "line": None, "number": None, "value": None, "since": None})
    return found


def told(division, kind, header, breaks, with_rows):
    """A document for the control API."""
    v = header.values
    document = bookkeeper.KINDS[kind]
    made = {"kind": kind, "key": header.key, "resource": TRANSACTION if document is None else document.header,
            "status": v.get("OrderStatus") if document is ORDERS else v.get("Status"), "type": v.get("Type"),
            "situation": v.get("_situation"), "created": _time(kind, header, "Created"),
            "modified": _time(kind, header, "Modified"),
            "evaluated": evaluated(kind, header), "breaks": breaks}
    if with_rows:
        lines = lines_of(kind, header)
        if document is None:
            resource, made["header"] = RESOURCES[TRANSACTION], None
        else:
            resource, of = RESOURCES[document.line], RESOURCES[document.header]
            made["header"] = truth_row(of, build(division, of, header))
        made["lines"] = [truth_row(resource, build(division, resource, line)) for line in lines]
        if document is SALES_INVOICES:
            made["charges"] = [c.values["AmountFCExclVAT"] for c in documents.charges_of(header)]
    return made


assert all(document.header in DOCUMENTS for document in bookkeeper.KINDS.values() if document)
