"""Documents of the ledger: entries and invoices with their lines; amounts, numbers, and what a change of them moves.

An entry's line can change or go without the header's Modified moving (setting line_edit_moves_header); its
transaction lines
always get new row versions. An invoice's Modified moves with each of its lines. A processed invoice (Status 50)
stands in the
ledger as an entry of its own, which follows the invoice from then on. Amounts of lines are whole cents in binary
floating
point; their sums carry its noise, as those of the real service do.
"""
from . import clock, ledger
from .catalogue import (
    ACCOUNT,
    BANK_ENTRIES,
    CASH_ENTRIES,
    CHARGE,
    DOCUMENT_OF_LINE,
    DOCUMENTS,
    ENTRIES,
    GL,
    INVOICES,
    ITEM,
    JOURNAL_ENTRIES,
    PURCHASE_ENTRIES,
    PURCHASE_INVOICES,
    SALES_ENTRIES,
    SALES_INVOICES,
    number,
)
from .orders import net_price, unsettle
from .words import ALL_VAT, CURRENCIES, VAT_RULES

REJECTED, DRAFT, OPEN, PROCESSED = 5, 10, 20, 50
DAY = 86_400_000
PARTY = {PURCHASE_ENTRIES: "Supplier", PURCHASE_INVOICES: "Supplier", SALES_ENTRIES: "Customer",
         SALES_INVOICES: "OrderedBy"}
JOURNAL = {PURCHASE_ENTRIES: "20", PURCHASE_INVOICES: "20", SALES_ENTRIES: "01", SALES_INVOICES: "01",
           JOURNAL_ENTRIES: "90",
           BANK_ENTRIES: "70", CASH_ENTRIES: "75"}
TYPE = {PURCHASE_ENTRIES: 30, PURCHASE_INVOICES: 8030, SALES_ENTRIES: 20, SALES_INVOICES: 8020, JOURNAL_ENTRIES: 90}
# Type of credit notes
CREDIT = {PURCHASE_ENTRIES: 31, PURCHASE_INVOICES: 8031, SALES_ENTRIES: 21, SALES_INVOICES: 8021}
DATE = {PURCHASE_ENTRIES: "EntryDate", SALES_ENTRIES: "EntryDate", PURCHASE_INVOICES: "InvoiceDate",
        SALES_INVOICES: "InvoiceDate"}
YEAR, PERIOD = ("ReportingYear", "FinancialYear"), ("ReportingPeriod", "FinancialPeriod")
ENTRY_HEADERS = {d.header for d in ENTRIES}
INVOICE_HEADERS = {d.header for d in INVOICES}


def cents(value):
    return number(round(float(value), 2))


def year_and_period(date):
    """Financial year and period of a date in `/Date(ms)/`: the calendar's."""
    text = clock.iso_of(clock.wall_from_text(date))
    return int(text[:4]), int(text[5:7])


def next_number(division, journal, year):
    """Entry numbers: two digits of the year, the journal, a rising number."""
    taken = division.numbers.get((journal, year), 0) + 1
    division.numbers[journal, year] = taken
    return int(f"{year % 100:02d}{journal}{taken:04d}")


def _defaults(division, document, values, wall):
    """Header values that the service fills in itself."""
    journal = values.get("Journal") or values.get("JournalCode") or JOURNAL[document]
    date = values.get(DATE.get(document)) or values.get("_date") or f"/Date({wall // DAY * DAY})/"
    year, period = year_and_period(date)
    v = {"Status": OPEN, "Type": TYPE.get(document), "Currency": "EUR"}
    if document in PARTY:
        party = division.records[ACCOUNT].get(values.get(PARTY[document]))
        if party is None:
            raise ValueError(f"Ongeldige verwijzing: {PARTY[document]}" if values.get(PARTY[document])
                             else f"Verplicht: {PARTY[document]}")
        v["Currency"] = (party.values.get("PurchaseCurrency") or "EUR") if PARTY[document] == "Supplier" else "EUR"
        v.update({DATE[document]: date, "Journal": journal, "PaymentCondition": "30",
                  "DueDate": f"/Date({clock.wall_from_text(date) + 30 * DAY})/"})
        v[("Rate" if document in ENTRIES else "ExchangeRate")] = CURRENCIES.get((values.get("Currency")
                                                                                 or v["Currency"]).strip(), ("", 1))[1]
    else:
        v["JournalCode"] = journal
    if document is JOURNAL_ENTRIES:
        v["ExchangeRate"] = 1
    if document in (PURCHASE_ENTRIES, SALES_ENTRIES):
        v["ReportingYear"], v["ReportingPeriod"] = year, period
    elif document is not SALES_INVOICES:
        v["FinancialYear"], v["FinancialPeriod"] = year, period
    if document is SALES_INVOICES:
        party = values.get("OrderedBy")
        v.update(InvoiceTo=party, DeliverTo=party, OrderDate=date, OrderNumber=next_number(division, "05", year))
    if document in (BANK_ENTRIES, CASH_ENTRIES):
        v["OpeningBalanceFC"] = number(division.balances.get(journal,
                                                             0)) if values.get("OpeningBalanceFC") is None else 0
    v.update((k, x) for k, x in values.items() if x is not None and k != "_date")
    if document in ENTRIES and not v.get("EntryNumber"):
        v["EntryNumber"] = next_number(division, journal, year)
    return v


def _new_line(division, document, header, values, user, key=None, wall=None):
    v = {k: x for k, x in values.items() if x is not None and k != "_date"}
    v[document.parent] = header.key
    v["LineNumber"] = ledger.next_number(header)
    if document in INVOICES:
        item = division.records[ITEM].get(v.get("Item"))
        if item is None:
            raise ValueError("Ongeldige verwijzing: Artikel" if v.get("Item") else "Verplicht: Artikel")
        cost = document is PURCHASE_INVOICES
        v.setdefault("UnitPrice", item.values.get("CostPriceStandard" if cost else "StandardSalesPrice") or 0)
        v.setdefault("Quantity", 1)
        v.setdefault("Discount", 0)
        v.setdefault("VATCode", "2")
        v.setdefault("Description", item.values.get("Description"))
        if cost:
            v.update(InvoiceType=header.values.get("Type"), Currency=header.values.get("Currency"),
                     Unit=item.values.get("Unit"),
                     ItemUnit=item.values.get("Unit"), Rebill=v.get("Rebill", False))
        else:
            v.setdefault("GLAccount", item.values.get("GLRevenue"))
            v["UnitCode"] = (item.values.get("Unit") or "").strip() or None
    else:
        if not division.records[GL].get(v.get("GLAccount")):
            raise ValueError("Ongeldige verwijzing: Grootboekrekening" if v.get("GLAccount")
                             else "Verplicht: Grootboekrekening")
        v.setdefault("AmountFC", 0)
        if document in (JOURNAL_ENTRIES, BANK_ENTRIES, CASH_ENTRIES):
            v.setdefault("EntryNumber", header.values.get("EntryNumber"))
            v.setdefault("Date", f"/Date({(division.clock.wall() if wall is None else wall) // DAY * DAY})/")
        if document in (BANK_ENTRIES, CASH_ENTRIES):
            v.setdefault("ExchangeRate", 1)
    if v.get("VATAmountFC") is not None:
        v["_typed"] = True
    line = division.insert(document.line, v, user, key, wall)
    line.header = header
    header.lines.append(line)
    return line


def rules(v):
    """(including, charged) of a line's VAT code: whether its amount holds the VAT, whether the VAT is not owed to
    the other party."""
    kind, charged, _ = VAT_RULES.get((v.get("VATCode") or "").strip(), ("E", False, False))
    return kind == "I", charged


def owed(v):
    """The VAT of a line that comes on top of its amount: (in the document's currency, in the division's)."""
    including, charged = rules(v)
    return (0, 0) if including or charged else (v.get("VATAmountFC") or 0, v.get("VATAmountDC") or 0)


def _vat(v):
    v["VATPercentage"] = ALL_VAT.get((v.get("VATCode") or "").strip(), ("", 0.0))[1]
    return v["VATPercentage"]


def recompute(document, header):
    """Amounts of the lines and their sums in the header."""
    h, lines = header.values, [line.values for line in header.lines]
    if h.get("_stands"):
        return
    rate = h.get("Rate") or h.get("ExchangeRate") or 1

    def total(*names):
        return number(sum((v.get(name) or 0 for v in lines for name in names), 0.0))

    if document in INVOICES:
        purchase = document is PURCHASE_INVOICES
        amount, tax = ("Amount", "VATAmount") if purchase else ("AmountFC", "VATAmountFC")
        for v in lines:
            v[amount] = cents((v.get("NetPrice") or 0) * (v.get("Quantity") or 0))
            v["AmountDC"] = cents(v[amount] * rate)
            v[tax] = cents(v[amount] * _vat(v))
            if purchase:
                v["QuantityInDefaultUnits"] = v.get("Quantity")
            else:
                v["VATAmountDC"] = cents(v[tax] * rate)
        gross = sum(((v.get("UnitPrice") or 0) * (v.get("Quantity") or 0) for v in lines), 0.0)
        if h.get("Status") == DRAFT:        # half-entered: its sums were made before the last line
            lines = lines[:-1] or lines
        charges = [] if purchase else charges_of(header)
        due = [0 if rules(v)[1] or rules(v)[0] else v[tax] for v in lines]
        shipped = sum((c.values["AmountFCExclVAT"] for c in charges), 0.0)
        extra = sum((c.values["AmountVATFC"] for c in charges), 0.0)
        h[amount], h["AmountFCExclVat"] = number(total(amount) + sum(due, 0.0) + shipped
                                                 + extra), number(total(amount) + shipped)
        h[tax] = number(total(tax) + extra)
        h["AmountDC"] = number(float(sum((v["AmountDC"] + cents(d * rate) for v, d in zip(lines, due)),
                                         0.0) + (shipped + extra) * rate))
        h["AmountDiscountExclVat"] = h["AmountDiscount"] = number(gross - total(amount))
        if not purchase:
            h["VATAmountDC"] = number(total("VATAmountDC") + extra * rate)
        return
    for v in lines:
        v["AmountDC"] = cents((v.get("AmountFC") or 0) * rate)
        if document is JOURNAL_ENTRIES and rate != 1 and v is lines[-1]:      # takes what rounding left
            v["AmountDC"] = cents(-sum(x["AmountDC"] for x in lines[:-1]))
        if document in (PURCHASE_ENTRIES, SALES_ENTRIES):
            share = _vat(v)
            if not v.get("_typed"):
                v["VATAmountFC"] = cents(v["AmountFC"] * share / (1 + share) if rules(v)[0] else v["AmountFC"] * share)
            v["VATAmountDC"] = cents(v["VATAmountFC"] * rate)
            inside = (v["VATAmountFC"], v["VATAmountDC"]) if rules(v)[0] else (0, 0)
            v["VATBaseAmountFC"], v["VATBaseAmountDC"] = cents(v["AmountFC"] - inside[0]), cents(v["AmountDC"] - inside[
                1])
    if document in (PURCHASE_ENTRIES, SALES_ENTRIES):
        h.update(AmountFC=number(float(total("AmountFC") + sum((owed(v)[0] for v in lines), 0.0))),
                 AmountDC=number(float(total("AmountDC") + sum((owed(v)[1] for v in lines), 0.0))),
                 VATAmountFC=total("VATAmountFC"), VATAmountDC=total("VATAmountDC"))
        if h.get("_null_vat"):
            del h["VATAmountFC"], h["VATAmountDC"]
    elif document is not JOURNAL_ENTRIES and not (h.get("_typed_balance") and "ClosingBalanceFC" in h):
        h["ClosingBalanceFC"] = number((h.get("OpeningBalanceFC") or 0) + sum((v["AmountFC"] for v in lines), 0.0))


def charges_of(invoice):
    """Order charges of a sales invoice: records of their own endpoint, beside its lines."""
    return [line for line in invoice.twins.get("charges", ()) if not line.deleted]


def add_charge(division, invoice, values, user, wall=None):
    """Shipping costs or another charge of a sales invoice; its sums are made anew at its next change."""
    percentage = ALL_VAT.get((values.get("VATCode") or "2").strip(), ("", 0.0))[1]
    amount = values["AmountFCExclVAT"]
    tax = cents(amount * percentage)
    charge = division.insert(CHARGE, {
        "InvoiceID": invoice.key, "LineNumber": len(charges_of(invoice)) + 1, "AmountVATFC": tax,
        "AmountFCInclVAT": cents(amount + tax),
        "AmountDC": amount, "VATPercentage": percentage, "VATCode": "2", "OrderChargeDescription": "Verzendkosten",
        "OrderChargeCode": "VERZ",
        "OrderChargesLineDescription": "Verzendkosten", "IsShippingCost": True, **values}, user, wall=wall)
    invoice.twins.setdefault("charges", []).append(charge)
    return charge


def _settle(division, header, user, modified=True, first=None, wall=None, touch=True):
    """After any change: sums, Modified of the header when it moves, row versions, transaction lines, the entry of an
    invoice."""
    document = DOCUMENTS[header.entity]
    if document in INVOICES and header.values.get("Status") == PROCESSED and header.entry is None:
        unsettle(header)
    recompute(document, header)
    if modified:
        division.stamp_user(header, user, wall)
    if touch and document is SALES_INVOICES:
        rows = [header, *header.lines]
        if first in rows:
            rows.remove(first)
            rows.insert(0, first)
        division.touch(*rows)
    elif touch:
        for record in (header, *header.lines):
            division.touch(record)
    if document in ENTRIES:
        ledger.post(division, header, user, wall, touch)
    elif header.values.get("Status") == PROCESSED:
        _book(division, document, header, user, wall, touch)


def settle(division, header, user, wall):
    """Bring a document of the initial data up to date after a charge was added."""
    _settle(division, header, user, False, None, wall, False)


def create(division, document, values, lines, user, key=None, wall=None, touch=True):
    """A document with its lines. ValueError with the service's text when something it refers to is missing."""
    now = division.clock.wall() if wall is None else wall
    if not lines:
        raise ValueError(f"Verplicht: {document.collection}")
    header = division.insert(document.header, _defaults(division, document, values, now), user, key, wall)
    try:
        for given in lines:
            line = _new_line(division, document, header, given, user, wall=wall)
            if document in INVOICES:
                net_price(line, set(given))
    except ValueError:
        _forget(division, header)
        raise
    _settle(division, header, user, False, None, wall, touch)
    if document in (BANK_ENTRIES, CASH_ENTRIES):
        if header.values.get("_typed_balance") == "none":
            header.values["ClosingBalanceFC"] = 0
        division.balances[ledger.journal_of(header)] = header.values["ClosingBalanceFC"]
    return header


def _forget(division, header):
    """Take back a document whose creation failed half-way: it never was."""
    for record in (*header.lines, header):
        del division.records[record.entity][record.key]
        division.edition += 1
        division.keys[record.entity].remove(record.key)


def add_line(division, document, values, user, key=None):
    """One more line of an existing document."""
    header = division.records[document.header].get(values.get(document.parent))
    if header is None:
        raise ValueError(f"{'Ongeldige verwijzing' if values.get(document.parent) else 'Verplicht'}: {document.parent}")
    unsettle(header)
    line = _new_line(division, document, header, values, user, key)
    if document in INVOICES:
        net_price(line, set(values))
    _settle(division, header, user, True, line)
    return line


def _line_moves(division, document):
    return document in INVOICES or division.settings.line_edit_moves_header


def update(division, record, values, lines, user):
    """Change a header or a line; `lines` of a header are changes ({"ID": …}), removals ({"ID": …, "delete": true})
    or new lines."""
    document = DOCUMENT_OF_LINE.get(record.entity)
    unsettle(record, values, lines)
    if document is not None:
        division.assign(record, {k: v for k, v in values.items() if k not in (document.parent, "LineNumber")})
        _typed(record, values)
        division.stamp_user(record, user)
        if document in INVOICES:
            net_price(record, set(values))
        _settle(division, record.header, user, _line_moves(division, document), record)
        return
    document, first = DOCUMENTS[record.entity], None
    modified = bool(values) or not lines or _line_moves(division, document)
    for change in lines:
        if change.get("ID") and not any(x.key == change["ID"] for x in record.lines):
            raise ValueError(f"no line {change['ID']} in this {document.noun}")
    if values:
        division.assign(record, values)
    for change in lines:
        change = dict(change)
        line = next((x for x in record.lines if x.key == change.get("ID")), None)
        if change.pop("delete", False):
            _remove_line(division, line, user)
            continue
        if line is None:
            first = _new_line(division, document, record, change, user)
            modified = True
        else:
            change.pop("ID")
            division.assign(line, change)
            _typed(line, change)
            division.stamp_user(line, user)
            first = line
        if document in INVOICES:
            net_price(first, set(change))
    _settle(division, record, user, modified, first)


def _typed(line, given):
    """A VAT amount that was typed over stays as it was typed, until the amount itself is changed."""
    if "VATAmountFC" in given or "AmountFC" in given:
        line.values.pop("_typed", None)
    if given.get("VATAmountFC") is not None:
        line.values["_typed"] = True


def _remove_line(division, line, user):
    division.remove(line, user, logged=division.settings.deleted_keys != "header")


def delete(division, record, user):
    """Remove a document with its lines, transaction lines and entry, or one line. Only row sets with a code leave a
    trace."""
    if record.entity in DOCUMENT_OF_LINE:
        header = record.header
        unsettle(header)
        _remove_line(division, record, user)
        _settle(division, header, user, _line_moves(division, DOCUMENT_OF_LINE[record.entity]))
        return
    if record.entity in INVOICE_HEADERS and record.entry is not None and not record.entry.deleted:
        delete(division, record.entry, user)
    for charge in charges_of(record):
        division.remove(charge, user)
    for line in list(record.lines):
        _remove_line(division, line, user)
    ledger.withdraw(division, record, user)
    division.remove(record, user, logged=division.settings.deleted_keys != "lines")


# ---- invoices in the ledger ----

def _book(division, document, invoice, user, wall, touch):
    """The entry of a processed invoice: made the first time, brought up to date afterwards."""
    v = invoice.values
    date = v["InvoiceDate"]
    purchase = document is PURCHASE_INVOICES
    target = PURCHASE_ENTRIES if purchase else SALES_ENTRIES
    if not purchase and not v.get("InvoiceNumber"):
        v["InvoiceNumber"] = next_number(division, v["Journal"], year_and_period(date)[0])
    values = {"Type": (CREDIT if v.get("Type") == CREDIT[document] else TYPE)[target], "EntryDate": date,
              "DueDate": v.get("DueDate"), "Currency": v.get("Currency"), "Rate": v.get("ExchangeRate", 1),
              "Description": v.get("Description"), "YourRef": v.get("YourRef"),
              "PaymentReference": v.get("PaymentReference"),
              "PaymentCondition": v.get("PaymentCondition"), "InvoiceNumber": None if purchase else v["InvoiceNumber"],
              "Supplier" if purchase else "Customer": v["Supplier" if purchase else "InvoiceTo"],
              "OrderNumber": v.get("OrderNumber")}
    lines = [_booked_line(division, purchase, line) for line in (*invoice.lines, *charges_of(invoice))]
    if v.get("_stands") and invoice.entry is not None:      # its amounts and accounts are as they were booked
        lines = [{name: line.get(name) for name in ("CostCenter", "CostUnit", "Project", "Notes")} for line in lines]
    if invoice.entry is None or invoice.entry.deleted:
        invoice.entry = create(division, target, {**values, "EntryNumber": values["InvoiceNumber"],
                                                           "Status": OPEN if purchase else PROCESSED}, lines, user,
                                                           wall=wall, touch=touch)
        invoice.entry.entry = invoice
        invoice.twins.update(zip((line.key for line in (*invoice.lines, *charges_of(invoice))), invoice.entry.lines))
    else:
        _follow(division, target, invoice, values, lines, user)
    if purchase:
        v["EntryNumber"] = invoice.entry.values["EntryNumber"]


def _follow(division, target, invoice, values, lines, user):
    entry = invoice.entry
    booked_of = (*invoice.lines, *charges_of(invoice))
    living = {line.key for line in booked_of}
    for key in [key for key in invoice.twins if key not in living and key != "charges"]:
        twin = invoice.twins.pop(key)
        if not twin.deleted:
            _remove_line(division, twin, user)
    if not entry.values.get("_stands"):         # what stood for a discount is in no line any more
        kept = [invoice.twins.get(line.key) for line in booked_of]
        for line in [line for line in entry.lines if line not in kept]:
            _remove_line(division, line, user)
    for line, booked in zip(booked_of, lines):
        twin = invoice.twins.get(line.key)
        if twin is None or twin.deleted:
            invoice.twins[line.key] = _new_line(division, target, entry, booked, user)
        else:
            division.assign(twin, booked)
    division.assign(entry, values)
    _settle(division, entry, user)


def _booked_line(division, purchase, line):
    """The values that an invoice line has as a line of its entry."""
    v = line.values
    if line.entity == CHARGE:
        account = v.get("GLAccount") if v.get("GLAccount") in division.records[GL] else next(iter(division.records[GL]))
        return {"GLAccount": account, "AmountFC": v["AmountFCExclVAT"], "VATCode": v.get("VATCode"),
                "Description": v["OrderChargeDescription"]}
    item = division.records[ITEM].get(v.get("Item"))
    account = (item.values.get("GLCosts") if item else None) if purchase else v.get("GLAccount")
    account = account if account in division.records[GL] else next(iter(division.records[GL]))
    return {"GLAccount": account, "AmountFC": v["Amount" if purchase else "AmountFC"], "VATCode": v.get("VATCode"),
            "Description": v.get("Description"), "CostCenter": v.get("CostCenter"), "CostUnit": v.get("CostUnit"),
            "Quantity": v.get("Quantity"), "Project": v.get("Project"), "Notes": v.get("Notes")}
