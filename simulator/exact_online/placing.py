"""Puts drafts of documents into a division as they are: header, lines, rows of the ledger, charges, the entry of a
processed invoice. Their amounts stand (`_stands`) until somebody changes one of them; from then on the document is
computed like any other."""
import functools
import random

from . import bookkeeper, clock, documents, ledger
from .bookkeeper import DAY, KINDS, LEDGER
from .catalogue import CHARGE, DOCUMENTS, ORDERS, SALES_INVOICES, TRANSACTION
from .division import SYSTEM, Record, act
from .situations import SITUATIONS

KIND_WEIGHTS = {"purchaseentries": 20, "salesentries": 15, "generaljournalentries": 10, "bankentries": 10,
                "cashentries": 6, "purchaseinvoices": 12, "salesinvoices": 12, "purchaseorders": 10, LEDGER: 5}
SELDOM = {"long": 0.002}        # of the other situations of its kind


@functools.lru_cache(maxsize=5000)
def _day(wall):
    return f"/Date({wall // DAY * DAY})/", *documents.year_and_period(f"/Date({wall})/")


def key_maker(rng):
    """Keys of a generator's own, so that a seed gives the same ones."""
    def new_key():
        text = f"{rng.getrandbits(128):032x}"
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[int(text[16], 16) & 3]}{text[17:20]}-{text[20:]}"
    return new_key


def _header(division, draft, new_key, user, wall, number=None):
    document, values = KINDS[draft.kind], draft.header
    day, year, period = _day(values["_date"])
    values["_stands"] = True
    if document is ORDERS:
        values.update(OrderDate=day, ReceiptDate=f"/Date({values['_date'] + 7 * DAY})/",
                      OrderNumber=division.next_order)
        division.next_order += 1
        return division.place(document.header, new_key(), values, user, wall)
    journal = documents.JOURNAL[document]
    if document in documents.PARTY:
        values[documents.DATE[document]], values["Journal"] = day, journal
        values["DueDate"] = f"/Date({values['_date'] + 30 * DAY})/"
    else:
        values["JournalCode"] = journal
    if document is SALES_INVOICES:
        values.update(OrderDate=day, OrderNumber=documents.next_number(division, "05", year))
    elif document.header in ("purchaseentry/PurchaseEntries", "salesentry/SalesEntries"):
        values["ReportingYear"], values["ReportingPeriod"] = year, period
    else:
        values["FinancialYear"], values["FinancialPeriod"] = year, period
    if document in documents.ENTRIES:
        values["EntryNumber"] = number or documents.next_number(division, journal, year)
    elif values["Status"] == documents.PROCESSED:
        number = documents.next_number(division, journal, year)
        values["EntryNumber" if document is documents.PURCHASE_INVOICES else "InvoiceNumber"] = number
    if document in (documents.BANK_ENTRIES, documents.CASH_ENTRIES):
        _balances(division, journal, draft)
    return division.place(document.header, new_key(), values, user, wall)


def _balances(division, journal, draft):
    values = draft.header
    if "OpeningBalanceFC" not in values:
        values["OpeningBalanceFC"] = round(division.balances.get(journal, 0), 2)
    if "ClosingBalanceFC" not in values:
        moved = sum(round(line["AmountFC"] * 100) for line in draft.lines)
        values["ClosingBalanceFC"] = round(values["OpeningBalanceFC"] + moved / 100, 2)
        division.balances[journal] = values["ClosingBalanceFC"]
    else:
        values["_typed_balance"] = "typed"


def _put(division, draft, new_key, user, wall, number=None):
    if draft.kind == LEDGER:
        return _put_system(division, draft, new_key, user, wall)
    document = KINDS[draft.kind]
    header = _header(division, draft, new_key, user, wall, number)
    for values in draft.lines:
        values[document.parent] = header.key
        if "EntryNumber" in header.values and document in documents.ENTRIES:
            values["EntryNumber"] = header.values["EntryNumber"]
        line = division.place(document.line, new_key(), values, user, wall)
        line.header = header
        header.lines.append(line)
    for amount in draft.charges:
        header.twins.setdefault("charges", []).append(_charge(division, header, amount, new_key, user, wall))
    if draft.rows:
        rows = [(("line", header.lines[role].key) if isinstance(role, int) else role, row)
                for role, row in draft.rows]
        ledger.place(division, header, rows, user, wall, new_key)
    if draft.entry is not None:
        number = header.values.get("InvoiceNumber") or header.values.get("EntryNumber")
        draft.entry.header["InvoiceNumber"] = header.values.get("InvoiceNumber")
        header.entry = entry = _put(division, draft.entry, new_key, user, wall, number)
        entry.entry = header
        header.twins.update(zip((x.key for x in (*header.lines, *documents.charges_of(header))), entry.lines))
    return header


def _charge(division, invoice, amount, new_key, user, wall):
    tax = bookkeeper.share(amount, "2")
    return division.place(CHARGE, new_key(), {
        "InvoiceID": invoice.key, "LineNumber": len(invoice.twins.get("charges", ())) + 1, "AmountVATFC": tax / 100,
        "AmountFCExclVAT": amount / 100, "AmountFCInclVAT": (amount + tax) / 100, "AmountDC": amount / 100,
        "VATPercentage": bookkeeper.rate_of("2"), "VATCode": "2", "OrderChargeDescription": "Verzendkosten",
        "OrderChargeCode": "VERZ", "OrderChargesLineDescription": "Verzendkosten", "IsShippingCost": True,
        "GLAccount": invoice.lines[0].values.get("GLAccount")}, user, wall)


def _put_system(division, draft, new_key, user, wall):
    day, year, period = _day(draft.header["_date"])
    given = draft.header["_period"]
    entry = Record(SYSTEM, new_key(), {
        "Type": draft.header["Type"], "Status": draft.header["Status"], "JournalCode": "90", "FinancialYear": year,
        "FinancialPeriod": period if given is None else given, "Date": day, "Currency": "EUR",
        "EntryNumber": documents.next_number(division, "90", year), "_stands": True,
        "Created": clock.date_text(wall), "Modified": clock.date_text(wall)})
    division.system[entry.key] = entry
    ledger.place(division, entry, draft.rows, user, wall, new_key)
    return entry


def touch(division, header):
    """Row versions of a document that was placed."""
    for each in (header, header.entry if header.entity in documents.INVOICE_HEADERS else None):
        if each is None:
            continue
        if each.entity != SYSTEM:
            division.touch(each, *each.lines)
        for charge in documents.charges_of(each):
            division.touch(charge)
        if each.postings:
            division.touch(*each.postings.values())


@act
def put(division, draft, new_key, user):
    """One draft becomes a document of now: its header."""
    header = _put(division, draft, new_key, user, division.clock.wall())
    if draft.situation:
        header.values["_situation"] = draft.situation
    touch(division, header)
    return header


def draft_of(book, kind, name):
    """A draft of one situation, which it remembers."""
    made = SITUATIONS[kind][name](book, kind)
    made.situation = name
    return made


def choose(kinds=None, wanted=None):
    """[(kind, name)] and their weights; ValueError for what there is not."""
    kinds = dict.fromkeys(kinds, 1) if isinstance(kinds, list) else dict(kinds or KIND_WEIGHTS)
    unknown = [kind for kind in kinds if kind not in KINDS]
    names = {name for kind in SITUATIONS for name in SITUATIONS[kind]}
    unknown += [name for name in wanted or () if name not in names]
    if unknown:
        raise ValueError(f"there is no {', '.join(map(str, unknown))}; kinds are {', '.join(KINDS)}, situations "
                         f"{', '.join(sorted(names))}")
    chosen, weights = [], []
    for kind, weight in kinds.items():
        found = [name for name in SITUATIONS[kind] if wanted is None or name in wanted]
        chosen += [(kind, name) for name in found]
        weights += [float(weight) * (1 if wanted else SELDOM.get(name, 1)) / len(found) for name in found]
    if not chosen:
        raise ValueError(f"none of these situations is one of {', '.join(kinds)}")
    return chosen, weights


def generate(division, count, seed=None, kinds=None, wanted=None):
    """`count` correct documents of now: their headers. The same calls with the same seeds make the same ones."""
    chosen, weights = choose(kinds, wanted)
    rng = random.Random(f"documents {seed} {division.code} {division.generated}")
    book, new_key, staff = bookkeeper.Book(division, rng), key_maker(rng), list(division.info["staff"])
    made = []
    for kind, name in rng.choices(chosen, weights, k=count):
        made.append(put(division, draft_of(book, kind, name), new_key, rng.choice(staff)))
    division.generated += count
    division.settle_keys()
    return made


def kind_of(header):
    return bookkeeper.KIND_OF.get(header.entity, LEDGER)


def rows_of(header):
    """The transaction lines of a document."""
    return [record for record in header.postings.values() if record.entity == TRANSACTION and not record.deleted]


assert set(KIND_WEIGHTS) == set(KINDS) and set(DOCUMENTS) <= {d.header for d in KINDS.values() if d}
