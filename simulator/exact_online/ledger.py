"""The ledger: every entry posts transaction lines that balance, and each later change of the entry reaches them.

As recorded (setting ledger = control): row 0 is the control row on the account of the journal (debtors, creditors,
bank, cash),
one row stands for each line of the entry under its number, one for each VAT code from number 9999 downward, and all
rows add up
to zero; general journals have no row 0. Two other shapes may exist: `repeat`, where row 0 repeats the total beside a
control row
and the rows from 1 on add up to zero, and `lines`, where row 0 is the total of the lines with their sign. Debit is
positive,
credit negative. The rows are kept by role, so that a change of the entry changes, adds or removes single rows.
"""
from .catalogue import (
    BANK_ENTRIES,
    CASH_ENTRIES,
    GL,
    JOURNAL_ENTRIES,
    PURCHASE_ENTRIES,
    SALES_ENTRIES,
    TRANSACTION,
    number,
    pad,
)
from .words import JOURNALS, VAT_RULES

VAT_ACCOUNT = {PURCHASE_ENTRIES.header: "1520", SALES_ENTRIES.header: "1500"}
VAT_ROWS = 9999
REJECTED = 5        # such an entry is not in the ledger
CASH_FLOW = (BANK_ENTRIES.header, CASH_ENTRIES.header)
FROM_LINE = ("Description", "CostCenter", "CostUnit", "Project", "Quantity", "Notes", "Asset")


def journal_of(entry):
    """The code of an entry's journal; the field has two names."""
    return entry.values.get("Journal") or entry.values.get("JournalCode")


def next_number(entry):
    """A LineNumber that no line and no transaction line of the entry has; VAT rows are numbered from 9999 downward."""
    used = [line.values["LineNumber"] for line in (*entry.lines, *entry.postings.values())]
    return max((n for n in used if n <= VAT_ROWS - 50), default=0) + 1


def _vat_number(entry):
    used = {line.values["LineNumber"] for line in (*entry.lines, *entry.postings.values())}
    return next(n for n in range(VAT_ROWS, 0, -1) if n not in used)


def _account(division, code):
    found = division.by_code(GL, code)
    return found.key if found else None


def _common(division, entry):
    """What every transaction line repeats of its entry."""
    v = entry.values
    return {"EntryID": entry.key, "EntryNumber": v.get("EntryNumber"), "JournalCode": journal_of(entry),
            "Status": v.get("Status"),
            "Type": 40 if entry.entity in CASH_FLOW else v.get("Type"),
            "FinancialYear": v.get("FinancialYear", v.get("ReportingYear")),
            "FinancialPeriod": v.get("FinancialPeriod", v.get("ReportingPeriod")), "Currency": v.get("Currency"),
            "ExchangeRate": v.get("ExchangeRate", v.get("Rate", 1)), "YourRef": v.get("YourRef"),
            "PaymentReference": v.get("PaymentReference"),
            "InvoiceNumber": v.get("InvoiceNumber"), "OrderNumber": v.get("OrderNumber"), "DueDate": v.get("DueDate"),
            "Account": v.get("Supplier", v.get("Customer")),
            "ExternalLinkDescription": v.get("ExternalLinkDescription")}


def _total(lines, name):
    return sum((line.values.get(name) or 0 for line in lines), 0.0)


def _inside(v):
    """VAT that is part of a line's amount."""
    including = VAT_RULES.get((v.get("VATCode") or "").strip(), ("E",))[0] == "I"
    return (v.get("VATAmountDC") or v.get("AmountVATDC") or 0,
            v.get("VATAmountFC") or v.get("AmountVATFC") or 0) if including else (0, 0)


def rows_of(division, entry):
    """{role: values} of the transaction lines that an entry should have, row 0 first."""
    if entry.values.get("Status") == REJECTED:
        return {}
    if entry.values.get("_stands"):
        return _standing(entry)
    common, lines = _common(division, entry), entry.lines
    date = entry.values.get("EntryDate") or next((line.values.get("Date") for line in lines if line.values.get("Date")),
                                                 None)
    common["Date"] = date
    sign = -1 if entry.entity in CASH_FLOW or entry.entity == SALES_ENTRIES.header else 1
    found, taxes = {"header": None}, {}
    for line in lines:
        v = line.values
        row = {**common, **{name: v.get(name) for name in FROM_LINE}, "GLAccount": v.get("GLAccount"),
               "LineNumber": v["LineNumber"],
               "LineType": 1, "AmountDC": sign * _cents(v["AmountDC"] - _inside(v)[0]),
               "AmountFC": sign * _cents(v["AmountFC"] - _inside(v)[1]), "VATCode": v.get("VATCode"),
               "VATPercentage": v.get("VATPercentage"), "VATType": v.get("VATType"), "OffsetID": v.get("OffsetID"),
               "Date": v.get("Date") or date, "Account": v.get("Account") or common["Account"]}
        if v.get("VATCode"):
            row["AmountVATBaseFC"], row["AmountVATFC"] = row["AmountFC"], sign * (v.get("VATAmountFC") or 0)
        found["line", line.key] = row
        if v.get("AmountVATFC"):        # of journal, bank and cash
            found["vat", line.key] = {**common, "GLAccount": _account(division, "1520"), "LineType": 5,
                                      "AmountDC": sign * _cents(v.get("AmountVATDC", v["AmountVATFC"])),
                                      "AmountFC": sign * v["AmountVATFC"], "VATCode": v.get("VATCode"),
                                      "Date": v.get("Date") or date, "Account": row["Account"]}
        if v.get("VATAmountFC"):
            taxes.setdefault(v["VATCode"], []).append(line)
    for code, taxed in taxes.items():
        row = {**common, "GLAccount": _account(division, VAT_ACCOUNT[entry.entity]), "LineType": 5, "VATCode": code,
                              "AmountDC": sign * _total(taxed, "VATAmountDC"),
                              "AmountFC": sign * _total(taxed, "VATAmountFC"),
                              "AmountVATBaseFC": sign * _total(taxed, "VATBaseAmountFC"),
                              "VATPercentage": taxed[0].values.get("VATPercentage")}
        found["vat", code] = row
        # reverse charge: claimed and owed at once, no matter of the other party
        if VAT_RULES.get(code.strip(), ("E", False))[1]:
            found["owed", code] = {**row, "GLAccount": _account(division, "1500"), "AmountDC": -row["AmountDC"],
                                   "AmountFC": -row["AmountFC"]}
    return _with_row_zero(division, entry, common, found)


def _with_row_zero(division, entry, common, found):
    """The rows of an entry with row 0 in the shape of the setting `ledger`."""
    counter = _account(division, JOURNALS.get(journal_of(entry), ("", None))[1])
    total = {name: -_total_of(found.values(), name) for name in ("AmountDC", "AmountFC")}
    shape, journal = division.settings.ledger, entry.entity == JOURNAL_ENTRIES.header
    if shape == "control":
        if journal and not division.settings.journal_row_zero:
            del found["header"]
            return found
        amounts = dict.fromkeys(total, 0) if journal else total
        found["header"] = {**common, **amounts, "GLAccount": counter, "LineType": 0, "LineNumber": 0,
                           "Description": entry.values.get("Description")}
        return found
    if shape == "lines":
        amounts = {name: -total[name] for name in total}
        found["header"] = {**common, **amounts, "GLAccount": counter, "LineType": 0, "LineNumber": 0,
                           "Description": entry.values.get("Description")}
        return found
    if journal:      # balances by itself; the header shows the debit side
        total = {name: _total_of((r for r in found.values() if r and r[name] > 0), name) for name in total}
    else:
        found["balance"] = {**common, **total, "GLAccount": counter, "LineType": 2}
    found["header"] = {**common, **total, "GLAccount": counter, "LineType": 0, "LineNumber": 0,
                       "Description": entry.values.get("Description")}
    return found


def _total_of(rows, name):
    return sum((row[name] for row in rows if row), 0.0)


def _cents(value):
    return number(round(float(value), 2))


def _standing(entry):
    """The rows of an entry whose amounts stand as they were made: what a change of its lines brings to them."""
    v, lines, found = entry.values, {line.key: line for line in entry.lines}, {}
    for role in entry.postings:
        found[role] = {name: v.get(name) for name in ("Status", "YourRef", "PaymentReference")}
        line = lines.get(role[1]) if role[0] == "line" else None
        if line is not None:
            found[role].update((name, line.values.get(name)) for name in ("GLAccount", *FROM_LINE))
    return found


def place(division, entry, rows, user, wall, new_key):
    """The transaction lines of an entry that is made with them: [(role, values)] without row 0, amounts in hundredths.
    They get no row version yet."""
    common, journal = _common(division, entry), entry.entity in (JOURNAL_ENTRIES.header, "(ledger)")
    shape, own = division.settings.ledger, division.settings.transaction_header != "entry"
    common["Date"] = entry.values.get("EntryDate") or entry.values.get("Date") or rows[0][1].get("Date")
    total = {name: -sum(row[name] for _, row in rows) for name in ("AmountDC", "AmountFC")}
    control = {"GLAccount": _account(division, JOURNALS.get(journal_of(entry), ("", None))[1]), "LineNumber": 0,
               "LineType": 0, "Description": entry.values.get("Description")}
    wanted = list(rows)
    if shape == "repeat":
        if not journal:
            numbers = {row.get("LineNumber") for _, row in rows}
            wanted.append(("balance", {**control, **total, "LineType": 2,
                                       "LineNumber": max(n for n in numbers if n and n < VAT_ROWS - 50) + 1}))
        else:
            total = {name: sum(row[name] for _, row in rows if row[name] > 0) for name in total}
    elif shape == "lines":
        total = {name: -amount for name, amount in total.items()}
    elif journal:
        total = dict.fromkeys(total, 0)
    if entry.entity != "(ledger)" and (not journal or shape != "control" or division.settings.journal_row_zero):
        wanted.insert(0, ("header", {**control, **total}))
    number_of_vat = VAT_ROWS
    for role, row in wanted:
        values = {**common, **row, "AmountDC": row["AmountDC"] / 100, "AmountFC": row["AmountFC"] / 100}
        if "LineNumber" not in values:
            values["LineNumber"], number_of_vat = number_of_vat, number_of_vat - 1
        key = entry.key if role == "header" and not own else new_key()
        record = entry.postings[role] = division.place(TRANSACTION, key, values, user, wall)
        record.entry = entry


def post(division, entry, user, wall=None, touch=True):
    """Bring an entry's transaction lines up to date. Row 0 gets a new row version with every change of the entry."""
    wanted, moved = rows_of(division, entry), []
    for role in [role for role in entry.postings if role not in wanted]:
        division.remove(entry.postings.pop(role), user)
    for role, values in wanted.items():
        pad(TRANSACTION, values)
        record = entry.postings.get(role)
        if record is None:
            vat = role[0] in ("vat", "owed") and division.settings.ledger != "repeat"
            values.setdefault("LineNumber", _vat_number(entry) if vat else next_number(entry) if entry.postings else 1)
            key = entry.key if role == "header" and division.settings.transaction_header == "entry" else None
            record = entry.postings[role] = division.insert(TRANSACTION, values, user, key, wall)
            record.entry = entry
            moved.append(record)
            continue
        changed = {name: value for name, value in values.items() if number(value) != record.values.get(name)}
        if changed or role == "header":
            division.assign(record, changed)
            division.stamp_user(record, user, wall)
            moved.append(record)
    if touch and moved:
        division.touch(*moved)


def post_system(division, rows, values, user, wall):
    """An entry of the ledger that no document made: assets, revaluation, deferral, VAT return, year end, budget. Its
    rows."""
    from .division import SYSTEM, Record
    entry = Record(SYSTEM, division.new_key(), dict(values))
    division.system[entry.key] = entry
    for i, row in enumerate(rows, 1):
        made = {**values, "EntryID": entry.key, "LineNumber": i, "LineType": 1, "Currency": "EUR", "ExchangeRate": 1,
                "Status": 50, **row}
        pad(TRANSACTION, made)
        entry.postings["line", i] = record = division.insert(TRANSACTION, made, user, wall=wall)
        record.entry = entry
    return entry


def withdraw(division, entry, user):
    """Remove the transaction lines of an entry that is being deleted; the log of deletions names each."""
    while entry.postings:
        division.remove(entry.postings.popitem()[1], user)
