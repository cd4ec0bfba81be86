"""The equations that hold on a correct document, in exact decimal arithmetic: the judge of generated documents. It
shares nothing with what makes them and knows VAT codes from the service's own list."""
import itertools
from decimal import Decimal

UNITS = {"JPY": Decimal(1)}
CENT = Decimal("0.01")


def dec(value):
    """A double as a person reads it: four decimals, without binary noise."""
    return Decimal(0) if value is None else round(Decimal(repr(value)), 4)


def unit_of(currency):
    return UNITS.get((currency or "EUR").strip(), CENT)


def sets_of(lines, name):
    """Every sum of VAT over some set of the document's codes."""
    codes = {}
    for line in lines:
        code = (line.get("VATCode") or "").strip()
        codes[code] = codes.get(code, Decimal(0)) + dec(line.get(name))
    return {sum(chosen, Decimal(0)) for n in range(len(codes) + 1)
            for chosen in itertools.combinations(codes.values(), n)}


def fits(value, lines, amount, vat, tolerance, shifts=(Decimal(0),)):
    total = sum((dec(line[amount]) for line in lines), Decimal(0))
    return any(abs(value + shift - total - taxes) <= tolerance for taxes in sets_of(lines, vat) for shift in shifts)


def exactly_owed(header, lines, codes, amount, vat, tolerance):
    """Stricter than any subset: VAT counts just where the code says that it is owed."""
    total = Decimal(0)
    for line in lines:
        rule = codes.get((line.get("VATCode") or "").strip())
        total += dec(line[amount])
        if rule is not None and rule["Type"] == "E" and not rule["Charged"]:
            total += dec(line[vat])
    return abs(header - total) <= tolerance


def wrong_entry(document, codes):
    h, lines = document["header"], document["lines"]
    withheld = dec(h.get("WithholdingTaxAmountDC")) or sum(
        (dec(x.get("WithholdingAmountDC")) for x in lines), Decimal(0))
    duty = sum((dec(x.get("ExtraDutyAmountFC")) for x in lines), Decimal(0))
    found = []
    for amount, vat, currency in (("AmountFC", "VATAmountFC", h["Currency"]), ("AmountDC", "VATAmountDC", "EUR")):
        unit = unit_of(currency)
        tolerance = min(len(lines), 5) * unit
        given = dec(h[amount]) + withheld - duty
        if not fits(given, lines, amount, vat, tolerance):
            found.append(f"{amount} {h[amount]} fits no sum of its lines")
        including = any(codes.get((x.get("VATCode") or "").strip(), {}).get("Type") == "I" for x in lines)
        if not including and not exactly_owed(given, lines, codes, amount, vat, tolerance):
            found.append(f"{amount} {h[amount]} is not what is owed")
        if any(dec(row[amount]) % unit for row in (h, *lines)):
            found.append(f"{amount} has parts of a unit")
    return found


def wrong_invoice(document, codes):
    h, lines = document["header"], document["lines"]
    amount, vat = ("Amount", "VATAmount") if document["kind"] == "purchaseinvoices" else ("AmountFC", "VATAmountFC")
    unit = unit_of(h["Currency"])
    tolerance = min(len(lines), 5) * unit
    charges = sum(map(dec, document.get("charges", ())), Decimal(0))
    total = sum((dec(line[amount]) for line in lines), Decimal(0)) + charges
    discount = dec(h["AmountDiscountExclVat"])
    if dec(h["AmountDC"]):      # it is in the division's currency
        discount = discount * dec(h[amount]) / dec(h["AmountDC"])
    excluding, whole = dec(h["AmountFCExclVat"]), dec(h[amount])
    found = []
    if abs(excluding - total) > tolerance and abs(excluding - total + discount) > tolerance:
        found.append(f"AmountFCExclVat {excluding}, lines {total}, discount {discount}")
    moved = dec(h.get("WithholdingTaxAmountFC")) - dec(h.get("ExtraDutyAmountFC"))
    if min(abs(whole + moved - excluding - dec(h[vat])), abs(whole + moved - excluding)) > tolerance:
        found.append(f"{amount} {whole} is neither {excluding} nor that with {h[vat]}")
    return found


def wrong_order(document, codes):
    h, lines = document["header"], document["lines"]
    tolerance = min(len(lines), 5) * unit_of(h["Currency"])
    total = sum((dec(line["AmountFC"]) for line in lines), Decimal(0))
    discount = dec(h["AmountDiscountExclVat"])
    if dec(h["AmountDC"]):
        discount = discount * dec(h["AmountFC"]) / dec(h["AmountDC"])
    given = dec(h["AmountFCExclVat"])
    return [] if min(abs(given - total), abs(given - total + discount)) <= tolerance else [
        f"AmountFCExclVat {given}, lines {total}, discount {discount}"]


def wrong_journal(document, codes):
    if fits(Decimal(0), document["lines"], "AmountDC", "AmountVATDC", Decimal("0.005")):
        return []
    return ["the lines do not add up to zero"]


def wrong_ledger(document, codes):
    """All rows together are zero in the division's currency; row 0 is the control row."""
    rows = document["lines"]
    if document["type"] is not None and document["type"] >= 3000:
        return []
    found = []
    if sum((dec(row["AmountDC"]) for row in rows), Decimal(0)) != 0:
        found.append(f"AmountDC adds up to {sum(dec(row['AmountDC']) for row in rows)}")
    if not any(dec(row["AmountDC"]) and not dec(row["AmountFC"]) for row in rows) and len(
            {row["ExchangeRate"] for row in rows}) == 1 and sum((dec(row["AmountFC"]) for row in rows),
                                                                Decimal(0)) != 0:
        found.append("AmountFC does not add up to 0")
    numbers = [row["LineNumber"] for row in rows]
    if len(set(numbers)) != len(numbers):
        found.append(f"line numbers twice: {sorted(numbers)}")
    if any(not row["GLAccount"] for row in rows):
        found.append("a row without account")
    return found


WRONG = {"purchaseentries": wrong_entry, "salesentries": wrong_entry, "purchaseinvoices": wrong_invoice,
         "salesinvoices": wrong_invoice, "purchaseorders": wrong_order, "generaljournalentries": wrong_journal,
         "transactionlines": wrong_ledger, "bankentries": lambda document, codes: [],
         "cashentries": lambda document, codes: []}


def wrong_control(document, rows):
    """The control row is the header's total: + of a sale, − of a purchase, what moved on bank and cash."""
    row = next((row for row in rows if row["LineNumber"] == 0), None)
    if document["kind"] == "generaljournalentries":
        return [] if row is None else ["a general journal has no row 0"]
    if row is None:
        return ["no row 0"]
    if document["kind"] in ("bankentries", "cashentries"):
        given = sum((dec(line["AmountDC"]) for line in document["lines"]), Decimal(0))
    else:
        given = dec(document["header"]["AmountDC"]) * (-1 if document["kind"] == "purchaseentries" else 1)
    return [] if dec(row["AmountDC"]) == given else [f"row 0 is {row['AmountDC']}, the document {given}"]
