"""Believable books: what people enter in the ledger, once for the initial data and again for random changes."""
from . import clock, documents, ledger, tables
from .catalogue import (
    ACCOUNT,
    BANK_ENTRIES,
    CASH_ENTRIES,
    CHARGE,
    COSTCENTER,
    COSTUNIT,
    DOCUMENTS,
    ENTITIES,
    ENTRIES,
    GL,
    INVOICES,
    ITEM,
    JOURNAL_ENTRIES,
    PURCHASE_ENTRIES,
    PURCHASE_INVOICES,
    SALES_ENTRIES,
    SALES_INVOICES,
    TRANSACTION,
)
from .words import CHART, ODD_TEXTS, PAYMENT, SUBJECTS

DAY = 86_400_000
ZERO = "00000000-0000-0000-0000-000000000000"
SHARES = {PURCHASE_ENTRIES: 0.04, SALES_ENTRIES: 0.03, JOURNAL_ENTRIES: 0.015, BANK_ENTRIES: 0.02, CASH_ENTRIES: 0.01,
          PURCHASE_INVOICES: 0.04, SALES_INVOICES: 0.05}     # documents for each other record of a division
WEIGHTS = {PURCHASE_ENTRIES.header: 14, SALES_ENTRIES.header: 10, JOURNAL_ENTRIES.header: 6, BANK_ENTRIES.header: 10,
           CASH_ENTRIES.header: 5, PURCHASE_INVOICES.header: 15, SALES_INVOICES.header: 20}   # of random changes
# accounts that the ledger posts on
NEEDED = ("1000", "1100", "1300", "1500", "1520", "1600", "4400", "4500", "7000", "8000")
# around both changes of the clocks; 02:00 to 03:00 comes twice in October
AWKWARD = tuple(clock.parse_wall(text) for text in (
    "2025-10-26T02:00:00", "2025-10-26T02:30:00.003", "2025-10-26T02:59:59.997", "2025-10-26T03:00:00",
    "2025-03-30T01:59:59.997",
    "2025-03-30T03:00:00", "2024-12-31T23:59:59.997", "2024-10-27T02:15:00"))


def _day(wall, days=0):
    return f"/Date({wall // DAY * DAY + days * DAY})/"


def _money(rng, low, high):
    """An amount as people enter it: whole cents, some round, one in sixty with the noise of binary floating point."""
    draw = rng.random()
    if draw < 0.15:
        return rng.randint(low, high)
    return 0.1 + 0.2 if draw < 0.165 else round(rng.uniform(low, high), 2)


def _code(division, rng, entity, chance):
    if rng.random() >= chance or not division.keys[entity]:
        return None
    return division.records[entity][rng.choice(division.keys[entity])].values["Code"]


def _accounts(division, sales):
    """Accounts that a document can be for."""
    found = [r for r in division.records[ACCOUNT].values() if bool(r.values.get("IsSupplier")) != sales]
    return found or list(division.records[ACCOUNT].values())


def _ledger(division, *kinds):
    found = [r for r in division.records[GL].values() if r.values.get("Type") in kinds]
    return found or list(division.records[GL].values())


def _costs(division, rng):
    return {"CostCenter": _code(division, rng, COSTCENTER, 0.6), "CostUnit": _code(division, rng, COSTUNIT, 0.25),
            "Project": rng.choice(list(division.info["projects"])) if rng.random() < 0.1 else None,
            "Notes": rng.choice(ODD_TEXTS) if rng.random() < 0.04 else None}


def _has(division, rng, form, share):
    """Whether a form of the setting `books` is drawn."""
    drawn = rng.random() < share and form in division.settings.books
    if drawn:
        division.weather.met(form)
    return drawn


def _odd_header(division, rng, document, values):
    """What is rare in a header and still right: rejected entries and drafts, balances typed over, the zero Guid, no
    VAT given."""
    if document in (PURCHASE_ENTRIES, SALES_ENTRIES, JOURNAL_ENTRIES) and _has(division, rng, "rejected", 0.03):
        values["Status"] = documents.REJECTED
    if document in INVOICES and _has(division, rng, "drafts", 0.06):
        values["Status"] = documents.DRAFT
    if document in (BANK_ENTRIES, CASH_ENTRIES) and _has(division, rng, "balances", 0.3):
        values["OpeningBalanceFC"] = round(rng.uniform(1, 5000), 2)
        values["_typed_balance"] = "none" if document is CASH_ENTRIES and rng.random() < 0.5 else "typed"
    if document in (PURCHASE_ENTRIES, SALES_ENTRIES):
        if _has(division, rng, "zero_guid", 0.08):
            values["Document"] = ZERO
        elif rng.random() < 0.3:
            values["Document"] = division.new_key()
        if _has(division, rng, "null_vat", 0.05):
            values["_null_vat"] = True


def header_values(division, rng, document, wall):
    """What a bookkeeper types for a header."""
    values = {"_date": _day(wall)}
    _odd_header(division, rng, document, values)
    odd = values
    if document in documents.PARTY:
        sales = document in (SALES_ENTRIES, SALES_INVOICES)
        values = {documents.PARTY[document]: rng.choice(_accounts(division, sales)).key,
                  documents.DATE[document]: _day(wall),
                  "Description": (rng.choice(ODD_TEXTS) if rng.random() < 0.03
                                  else f"{rng.choice(SUBJECTS)} {rng.randrange(1, 13)}"),
                  "YourRef": f"F{rng.randrange(10**5, 10**6)}" if rng.random() < 0.7 else None,
                  "PaymentCondition": rng.choice(list(PAYMENT)),
                  "PaymentReference": f"RF{rng.randrange(10**8, 10**9)}" if rng.random() < 0.2 else None}
        if rng.random() < 0.06:
            values["Type"] = documents.CREDIT[document]
        if document is SALES_INVOICES:
            values["Salesperson"] = rng.choice(list(division.info["staff"]))
            values["Remarks"] = rng.choice(ODD_TEXTS) if rng.random() < 0.05 else None
        elif document is PURCHASE_INVOICES:
            values["Warehouse"] = rng.choice(division.info["warehouses"])[0]
            values["Source"] = rng.choice((1, 2))
        elif document is SALES_ENTRIES:
            values["ExternalLinkDescription"] = "Webshop" if rng.random() < 0.05 else None
        values.update((k, v) for k, v in odd.items() if k != "_date")
    return values


def _vat(division, rng, values):
    """The VAT code of a line, with what is rare: shown reverse charge, including codes, VAT typed over or too small
    to be anything."""
    values["VATCode"] = rng.choice(("2", "2", "1", "VB", "0"))
    if _has(division, rng, "reverse_charge", 0.06):
        values["VATCode"] = "VR"
    elif _has(division, rng, "including", 0.06):
        values["VATCode"] = rng.choice(("3", "MA"))
    elif "AmountFC" in values and _has(division, rng, "overtyped", 0.05):
        values.update(VATCode="2", VATAmountFC=round(values["AmountFC"] * 0.21 + rng.choice((-0.01, 0.01, 1)), 2))
    elif "AmountFC" in values and _has(division, rng, "rounding", 0.04):
        values.update(VATCode="2", AmountFC=0.01)


def line_values(division, rng, document, wall):
    """What a bookkeeper types for one line."""
    if document in INVOICES:
        item = rng.choice(list(division.records[ITEM].values()))
        values = {"Item": item.key, "Quantity": rng.choice((1, 2, 4, 10, 12, 50, 0.5, round(rng.uniform(0.1, 9), 3))),
                  "UnitPrice": round(item.values.get("CostPriceStandard", 0) or 1, 2) if rng.random() < 0.6
                  else _money(rng, 1, 900),
                  "Discount": rng.choice((0, 0, 0, 0.05, 0.1)), **_costs(division, rng)}
        values["VATCode"] = "VR" if _has(division, rng, "reverse_charge",
                                         0.04) else rng.choice(("2", "2", "1", "VB", "0"))
        if document is SALES_INVOICES:
            values["GLAccount"] = rng.choice(_ledger(division, 110)).key
            values["DeliveryDate"] = _day(wall, rng.randrange(10))
        return values
    party = rng.choice(_accounts(division, rng.random() < 0.5)).key
    values = {"AmountFC": _money(rng, 5, 4000), "Description": f"{rng.choice(SUBJECTS)}", **_costs(division, rng)}
    if document is PURCHASE_ENTRIES:
        values.update(GLAccount=rng.choice(_ledger(division, 120, 121, 125, 111)).key)
        _vat(division, rng, values)
        if rng.random() < 0.1:      # costs of a period
            values.update(From=_day(wall), To=_day(wall, 89))
    elif document is SALES_ENTRIES:
        values.update(GLAccount=rng.choice(_ledger(division, 110)).key)
        _vat(division, rng, values)
    else:
        values["Date"] = _day(wall, -rng.randrange(3))
        draw = rng.random()
        kinds = (20,) if draw < 0.4 else (22,) if draw < 0.7 else (120, 121, 160)
        values["GLAccount"] = rng.choice(_ledger(division, *kinds)).key
        values["Account"] = party if draw < 0.7 else None
        if draw >= 0.4:
            values["AmountFC"] = -values["AmountFC"]
    return values


def all_lines(division, rng, document, wall, count, header):
    """The lines of a new document; those of a journal entry balance, those of a credit note are negative."""
    lines = [line_values(division, rng, document, wall) for _ in range(count)]
    if header.get("Type") == documents.CREDIT.get(document, 0):
        for line in lines:
            for name in ("Quantity",) if document in INVOICES else ("AmountFC", "VATAmountFC"):
                if line.get(name) is not None:
                    line[name] = -line[name]
    if document is PURCHASE_ENTRIES and _has(division, rng, "zero", 0.03):
        for line in lines:
            line.update(AmountFC=0, VATCode="2", VATAmountFC=0)
        header["_null_vat"] = True
    if document is JOURNAL_ENTRIES:
        for line in lines:
            line["AmountFC"] = round(line["AmountFC"], 2)
        lines.append({**line_values(division, rng, document, wall),
                      "AmountFC": -round(sum(line["AmountFC"] for line in lines), 2)})
    return lines


def fill(division, rng, past):
    """The initial books, without row versions yet. `past(rng, after)` gives a wall time in the span of the data."""
    staff = list(division.info["staff"])
    for code, description, kind, side, balance in CHART:
        if code in NEEDED and not division.by_code(GL, code):
            division.insert(GL, {"Code": code, "Description": description, "Type": kind, "BalanceSide": side,
                                 "BalanceType": balance,
                                 "SearchCode": description.upper()[:12], "UseCostcenter": 0, "UseCostunit": 0},
                                 staff[0], wall=past(rng))
    tables.fill(division, rng, past)
    others = sum(len(division.records[entity]) for entity in ENTITIES)
    for document, share in SHARES.items():
        walls = sorted(past(rng) for _ in range(max(round(others * share), 4)))
        if document in ENTRIES:
            walls = sorted([*walls, *AWKWARD])
        elif document is PURCHASE_INVOICES:     # each division has books, and an invoice, in the month of the change
            walls = sorted([*walls, AWKWARD[1]])
        for wall in walls:
            _enter(division, rng, document, wall, staff, past)
    invoices = division.records[SALES_INVOICES.header]
    if "charges" in division.settings.books and not division.records[CHARGE] and invoices:       # one at least
        first = next((r for r in invoices.values() if r.values.get("Status") != documents.PROCESSED),
                     next(iter(invoices.values())))
        charge(division, rng, first, staff[0], past(rng))
        documents.settle(division, first, staff[0], past(rng))
        division.weather.met("charges")
    fill_system(division, rng, past)


def _enter(division, rng, document, wall, staff, past):
    count = 1 if rng.random() < 0.3 else rng.randrange(2, 6)
    values = header_values(division, rng, document, wall)
    if rng.random() < (0.65 if document in INVOICES else 0.5):
        values.setdefault("Status", documents.PROCESSED)
    user = rng.choice(staff)
    lines = all_lines(division, rng, document, wall, count, values)
    header = division.create(document.header, values, user, lines, wall=wall, touch=False)
    if document is SALES_INVOICES and _has(division, rng, "charges", 0.15):
        charge(division, rng, header, user, wall)
        documents.settle(division, header, user, wall)
    if rng.random() < 0.2 and document in INVOICES and values.get("Status") != documents.PROCESSED:
        division.stamp_user(header, rng.choice(staff), past(rng, wall))


def charge(division, rng, invoice, user, wall=None):
    """Shipping costs of an invoice."""
    values = {"AmountFCExclVAT": rng.choice((5, 7.5, 12.95)), "GLAccount": rng.choice(_ledger(division, 110)).key}
    return documents.add_charge(division, invoice, values, user, wall)


def fill_system(division, rng, past):
    """Entries that no document made: VAT return, payment and exchange differences, deferral, stock, year start,
    budget."""
    wanted = {form for form in ("system", "budget") if form in division.settings.books}
    for form in wanted:
        division.weather.met(form)
    account, staff = {code: division.by_code(GL, code).key for code in NEEDED}, list(division.info["staff"])
    kinds = (  # type, period or None for the date's, (account, amount, amount in the entry's currency)
        (50, None, (("1500", 210.5), ("1520", -84.25), ("1600", -126.25))),
        (83, None, (("1300", -0.03), ("4500", 0.03))),
        (82, None, (("4500", 12.34, 0), ("1600", -12.34, 0))), (84, None, (("8000", 400), ("4400", -400))),
        (86, None, (("4400", 75), ("4500", -75))),
        (120, None, (("7000", 31.4), ("4500", -31.4))), (328, 0, (("1100", 9000.75), ("1600", -9000.75))),
        (3000, None, (("4400", 5000),)))
    for kind, period, rows in kinds:
        wall = past(rng)
        if ("budget" if kind >= tables.BUDGET else "system") not in wanted:
            continue
        year, month = documents.year_and_period(_day(wall))
        values = {"Type": kind, "JournalCode": "90", "FinancialYear": year,
                  "FinancialPeriod": month if period is None else period,
                  "EntryNumber": documents.next_number(division, "90", year), "Date": _day(wall)}
        made = [{"GLAccount": account[code], "AmountDC": amount, "AmountFC": (*fc, amount)[0],
                 "Description": f"Systeem {kind}"}
                for code, amount, *fc in rows]
        ledger.post_system(division, made, values, rng.choice(staff), wall)


def last_change(record):
    """Wall time of the newest Modified of a record and its lines."""
    return max(clock.wall_from_text(r.values["Modified"]) for r in (record, *record.lines))


# ---- random changes ----

def create(division, rng, entity, user):
    """A new document by somebody at the keyboard: (record, values)."""
    document, wall = DOCUMENTS[entity], division.clock.wall()
    values = {k: v for k, v in header_values(division, rng, document, wall).items() if v is not None}
    if rng.random() < 0.4:
        values.setdefault("Status", documents.PROCESSED)
    lines = all_lines(division, rng, document, wall, rng.randrange(1, 5), values)
    made = division.create(entity, values, user, lines)
    if document is SALES_INVOICES and _has(division, rng, "charges", 0.15):
        charge(division, rng, made, user)
        division.update(made, {}, user)
    return made, values


def create_line(division, rng, document, user):
    """One more line of a document: (line, values)."""
    header = division.records[document.header][rng.choice(division.keys[document.header])]
    values = {**all_lines(division, rng, document, division.clock.wall(), 1, header.values)[0],
              document.parent: header.key}
    if document is JOURNAL_ENTRIES:     # stays balanced
        values["AmountFC"] = 0
    return division.create(document.line, values, user), values


def alteration(division, rng, record):
    """One believable change of a document: (header values, changes of lines)."""
    document, wall = DOCUMENTS[record.entity], division.clock.wall()
    line, draw = rng.choice(record.lines), rng.random()
    if document is JOURNAL_ENTRIES and draw < 0.55 and len(record.lines) > 1:      # stays balanced
        other = rng.choice([x for x in record.lines if x is not line])
        moved = round(rng.uniform(1, 500), 2)
        return {}, [{"ID": line.key, "AmountFC": round(line.values["AmountFC"] + moved, 2)},
                    {"ID": other.key, "AmountFC": round(other.values["AmountFC"] - moved, 2)}]
    if draw < 0.15 and document is not JOURNAL_ENTRIES:
        return {}, all_lines(division, rng, document, wall, 1, record.values)
    if draw < 0.3 and document is not JOURNAL_ENTRIES and len(record.lines) > 1:
        return {}, [{"ID": line.key, "delete": True}]
    if draw < 0.6:
        if document in INVOICES:
            return {}, [{"ID": line.key, "Quantity": rng.choice((1, 3, 7.5, 20, 0.1
                                                                 + 0.2)) * (-1 if line.values["Quantity"] < 0 else 1)}]
        if document is not JOURNAL_ENTRIES:
            return {}, [{"ID": line.key, "AmountFC": _money(rng, 5, 4000) * (-1 if line.values["AmountFC"] < 0 else 1)}]
    if draw < 0.8:
        return {}, [{"ID": line.key, "CostCenter": _code(division, rng, COSTCENTER, 0.9),
                     "Notes": rng.choice(ODD_TEXTS)}]
    if record.values.get("Status") != documents.PROCESSED:
        return {"Status": documents.PROCESSED}, []
    if document in documents.PARTY:
        return {"YourRef": f"F{rng.randrange(10**5, 10**6)}"}, []
    return {}, [{"ID": line.key, "Description": f"{rng.choice(SUBJECTS)} {rng.randrange(100)}"}]


def balances(record):
    """Whether a journal entry without this line would no longer balance."""
    return record.entity == JOURNAL_ENTRIES.line and record.values["AmountFC"] != 0


def owned(record):
    """Whether an entry is the one of a processed invoice, which is changed and deleted with it."""
    return record.entity != TRANSACTION and record.entry is not None and DOCUMENTS[record.entity] in ENTRIES
