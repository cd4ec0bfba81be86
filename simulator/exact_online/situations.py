"""Correct documents of every kind and VAT situation; a draft is data only, placing.py puts it into a division."""
from . import documents
from .bookkeeper import DAY, LEDGER, LONG, TOLERATED, ZERO, Term, share

SITUATIONS = {}     # {kind: {name: function}}


def situation(*kinds):
    """Register a function that drafts documents of these kinds, under its own name."""
    def register(function):
        for kind in kinds:
            SITUATIONS.setdefault(kind, {})[function.__name__] = function
        return function
    return register


# ---- the situations of entries ----

BOTH = ("purchaseentries", "salesentries")
INVOICES = ("purchaseinvoices", "salesinvoices")
FLOWS = ("bankentries", "cashentries")


@situation(*BOTH)
def domestic(book, kind):
    return book.entry(kind, book.terms())


@situation(*BOTH)
def two_rates(book, kind):
    return book.entry(kind, [*book.terms("2"), *book.terms("1"), *book.terms("0", 0, 1)])


@situation(*BOTH)
def including(book, kind):
    """The amount of a line holds the VAT."""
    return book.entry(kind, [Term(a, "3", round(a * 21 / 121)) for a in (book.money(), book.money())])


@situation(*BOTH)
def including_shown_without(book, kind):
    """The code is an including one, and the line shows the amount without VAT."""
    return book.entry(kind, [Term(book.money(), "3", None, None, _excluding=True)])


@situation("purchaseentries")
def reverse_charge(book, kind):
    return book.entry(kind, [Term(book.money(), book.rng.choice(("VR", "VB", "5")), 0) for _ in range(2)])


@situation("purchaseentries")
def reverse_charge_shown(book, kind):
    return book.entry(kind, book.terms("VR"))


@situation("purchaseentries")
def reverse_charge_mixed(book, kind):
    return book.entry(kind, [*book.terms("2"), *book.terms("VR", 1, 2)])


@situation("salesentries")
def sale_reverse_charge(book, kind):
    return book.entry(kind, [Term(book.money(), book.rng.choice(("VB", "0")), 0)])


@situation(*BOTH)
def small_business(book, kind):
    return book.entry(kind, [Term(book.money(), book.rng.choice((None, "KO")), 0) for _ in range(2)])


@situation("salesentries")
def margin(book, kind):
    """VAT is computed on the margin, inside the price, and may be shown."""
    price = book.money(5000)
    return book.entry(kind, [Term(price, "MA", book.rng.choice((0, round(price * 0.2 * 21 / 121))))])


@situation("purchaseentries")
def non_deductible(book, kind):
    part = book.rng.choice((0.5, 0.25, 1))
    return book.entry(kind, [Term(book.money(), "2", VATNonDeductiblePercentage=part), *book.terms(low=0, high=1)])


@situation("purchaseentries")
def private_use(book, kind):
    return book.entry(kind, [Term(book.money(), "2", PrivateUsePercentage=book.rng.choice((0.25, 0.1)))])


@situation(*BOTH)
def cash_discount(book, kind):
    """VAT of a base from which the discount for quick payment is taken already."""
    amount = book.money(10_000)
    base = round(amount * 0.98)
    return book.entry(kind, [Term(amount, "2", share(base, "2"), _base=base)])


@situation(*BOTH)
def withholding(book, kind):
    amount = book.money(10_000)
    kept = round(amount * 0.15)
    if kind == "purchaseentries":
        return book.entry(kind, [Term(amount, "2", WithholdingAmountDC=kept / 100, WithholdingTax="IRPF")],
                          withheld=kept)
    return book.entry(kind, [Term(amount)], withheld=kept, WithholdingTaxAmountDC=kept / 100,
                      WithholdingTaxBaseAmount=amount / 100, WithholdingTaxPercentage=0.15)


@situation("salesentries")
def extra_duty(book, kind):
    amount = book.money(10_000)
    duty = round(amount * 0.052)
    return book.entry(kind, [Term(amount, "2", ExtraDutyAmountFC=duty / 100, ExtraDutyPercentage=0.052)], duty=duty,
                      IsExtraDuty=True)


@situation("salesentries")
def extra_duty_and_withholding(book, kind):
    amount = book.money(10_000)
    duty, kept = round(amount * 0.052), round(amount * 0.19)
    return book.entry(kind, [Term(amount, "2", ExtraDutyAmountFC=duty / 100, ExtraDutyPercentage=0.052)], duty=duty,
                      withheld=kept, IsExtraDuty=True, WithholdingTaxAmountDC=kept / 100)


@situation(*BOTH)
def cash_basis(book, kind):
    """VAT stands on a transit account until it is paid."""
    return book.entry(kind, book.terms("KS"), vat_account=book.account("2000"))


@situation("salesentries")
def one_stop_shop(book, kind):
    return book.entry(kind, book.terms(book.rng.choice(("D1", "F2"))), vat_account=book.account("1700"))


@situation(*BOTH)
def typed_over(book, kind):
    amount = book.money()
    return book.entry(kind, [Term(amount, "2", share(amount, "2") + book.rng.choice((-1, 1, 100)))])


@situation(*BOTH)
def vat_of_total(book, kind):
    """VAT was computed of the sum; each line was rounded on its own."""
    terms = book.terms(low=2, high=12)
    total = share(sum(term.amount for term in terms), "2")
    if abs(total - sum(term.vat for term in terms)) > min(len(terms), TOLERATED):
        total = None
    return book.entry(kind, terms, total_vat=total)


@situation(*BOTH)
def vat_rounds_to_nothing(book, kind):
    return book.entry(kind, [Term(1, "2", 0)])


@situation(*BOTH)
def credit_note(book, kind):
    credit = 31 if kind == "purchaseentries" else 21
    return book.entry(kind, [Term(-term.amount) for term in book.terms()], Type=credit)


@situation(*BOTH)
def credit_note_with_positive_lines(book, kind):
    """Type decides, not the sign."""
    return book.entry(kind, book.terms(), Type=31 if kind == "purchaseentries" else 21)


@situation(*BOTH)
def reversal(book, kind):
    return book.entry(kind, [Term(-term.amount) for term in book.terms()], Reversal=True)


@situation(*BOTH)
def zero(book, kind):
    return book.entry(kind, [Term(0)], VATAmountFC=None, VATAmountDC=None)


@situation(*BOTH)
def no_vat_given(book, kind):
    return book.entry(kind, book.terms(), VATAmountFC=None, VATAmountDC=None)


@situation(*BOTH)
def foreign(book, kind):
    """Each line is rounded on its own."""
    currency, rate = book.foreign("USD", "GBP")
    return book.entry(kind, book.terms(high=6), currency=currency, rate=rate)


@situation(*BOTH)
def foreign_with_rounding_row(book, kind):
    """The total was converted as a whole: a row without amount in the currency takes what is left."""
    currency, rate = book.foreign("USD", "GBP")
    return book.entry(kind, book.terms(low=3, high=8), currency=currency, rate=rate, rounding=True)


@situation(*BOTH)
def yen(book, kind):
    currency, rate = book.foreign("JPY")
    return book.entry(kind, [Term(term.amount * 100) for term in book.terms()], currency=currency, rate=rate)


@situation("salesentries")
def g_account(book, kind):
    amount = book.money(10_000)
    return book.entry(kind, [Term(amount)], GAccountAmountFC=round(amount * 0.35) / 100)


@situation(*BOTH)
def deferred(book, kind):
    date = book.day()
    return book.entry(kind, [Term(book.money(), "2", From=f"/Date({date})/", To=f"/Date({date + 89 * DAY})/")],
                      date=date)


@situation(*BOTH)
def zero_guids(book, kind):
    return book.entry(kind, [Term(book.money(), "2", Asset=ZERO, Project=ZERO)], Document=ZERO)


@situation(*BOTH)
def blank_codes(book, kind):
    places = [a for a in (book.costs if kind == "purchaseentries" else book.revenue) if not a[1] and not a[3]]
    blank = {"CostCenter": book.rng.choice(("", "  ")), "CostUnit": book.rng.choice(("", " "))} if places else None
    return book.entry(kind, book.terms(), places=blank, lines_account=places or None)


@situation(*BOTH)
def padded_codes(book, kind):
    if not book.centers:
        return domestic(book, kind)
    return book.entry(kind, book.terms(), places={"CostCenter": f"  {book.rng.choice(book.centers)} "})


@situation(*BOTH)
def other_case(book, kind):
    if not book.centers:
        return domestic(book, kind)
    return book.entry(kind, book.terms(), places={"CostCenter": book.rng.choice(book.centers).swapcase()})


@situation(*BOTH)
def last_day_of_center(book, kind):
    """The end date of a cost center itself."""
    if not book.ended:
        return domestic(book, kind)
    code, end = book.rng.choice(book.ended)
    return book.entry(kind, book.terms(), date=end, places={"CostCenter": code})


@situation(*BOTH)
def credit_of_ended_center(book, kind):
    """A credit note goes back to where the cost was."""
    if not book.ended:
        return credit_note(book, kind)
    code, end = book.rng.choice(book.ended)
    return book.entry(kind, [Term(-term.amount) for term in book.terms()], date=min(end + 10 * DAY, book.today),
                      places={"CostCenter": code}, Type=31 if kind == "purchaseentries" else 21)


@situation(*BOTH)
def rejected(book, kind):
    """In no ledger."""
    return book.entry(kind, book.terms(), Status=documents.REJECTED)


# ---- of invoices and orders ----

@situation(*INVOICES)
def invoice(book, kind):
    return book.invoice(kind, book.terms())


@situation(*INVOICES)
def invoice_two_rates(book, kind):
    return book.invoice(kind, [*book.terms("2"), *book.terms("1")])


@situation(*INVOICES)
def invoice_including(book, kind):
    """Lines are without VAT in an answer, whatever the code."""
    terms = [Term(book.money(), "3") for _ in range(2)]
    return book.invoice(kind, terms, Status=20)


@situation(*INVOICES)
def invoice_reverse_charge(book, kind):
    return book.invoice(kind, [Term(book.money(), "VB", 0) for _ in range(2)])


@situation("purchaseinvoices")
def invoice_reverse_charge_shown(book, kind):
    return book.invoice(kind, book.terms("VR"))


@situation(*INVOICES)
def invoice_small_business(book, kind):
    return book.invoice(kind, [Term(book.money(), book.rng.choice((None, "KO")), 0)])


@situation(*INVOICES)
def invoice_header_discount(book, kind):
    terms = [Term(book.money(20_000)) for _ in range(2)]
    return book.invoice(kind, terms, discount=book.rng.randrange(100, 2000))


@situation(*INVOICES)
def invoice_foreign_with_discount(book, kind):
    """The discount is in the division's currency, the document is not."""
    currency, rate = book.foreign("USD", "GBP")
    return book.invoice(kind, [Term(book.money(50_000)) for _ in range(2)], currency=currency, rate=rate,
                        discount=book.rng.randrange(100, 2000), Status=20)


@situation(*INVOICES)
def invoice_credit_note(book, kind):
    credit = book.rng.choice((8031, 8034) if kind == "purchaseinvoices" else (8021, 8024))
    return book.invoice(kind, [Term(-term.amount) for term in book.terms()], Type=credit)


@situation(*INVOICES)
def invoice_direct(book, kind):
    return book.invoice(kind, book.terms(), Type=8033 if kind == "purchaseinvoices" else 8023)


@situation(*INVOICES)
def invoice_foreign(book, kind):
    currency, rate = book.foreign("USD", "GBP")
    return book.invoice(kind, book.terms(), currency=currency, rate=rate, Status=20)


@situation(*INVOICES)
def invoice_yen(book, kind):
    currency, rate = book.foreign("JPY")
    return book.invoice(kind, [Term(term.amount * 100) for term in book.terms()], currency=currency, rate=rate,
                        Status=20)


@situation(*INVOICES)
def invoice_zero(book, kind):
    return book.invoice(kind, [Term(0)])


@situation(*INVOICES)
def invoice_draft(book, kind):
    """Half-entered, and its sums are of an earlier moment."""
    draft = book.invoice(kind, book.terms(low=2), Status=documents.DRAFT)
    draft.header["AmountFCExclVat"] = round(draft.header["AmountFCExclVat"] + 100, 2)
    return draft


@situation("salesinvoices")
def invoice_with_charges(book, kind):
    return book.invoice(kind, book.terms(), charges=[book.rng.choice((500, 750, 1295))])


@situation("salesinvoices")
def invoice_with_charges_and_discount(book, kind):
    return book.invoice(kind, [Term(book.money(20_000))], charges=[500, 1295], discount=1000)


@situation("salesinvoices")
def invoice_margin(book, kind):
    return book.invoice(kind, [Term(book.money(5000), "MA", 0)], Status=20)


@situation("salesinvoices")
def invoice_one_stop_shop(book, kind):
    return book.invoice(kind, book.terms("D1"))


@situation("salesinvoices")
def invoice_withholding_and_duty(book, kind):
    amount = book.money(10_000)
    kept, duty = round(amount * 0.15), round(amount * 0.052)
    return book.invoice(kind, [Term(amount, "2", ExtraDutyAmountFC=duty / 100)], withheld=kept, duty=duty, Status=20,
                        ExtraDutyAmountFC=duty / 100, WithholdingTaxAmountFC=kept / 100, IsExtraDuty=True)


@situation("purchaseorders")
def order(book, kind):
    return book.order([*book.terms(), *book.terms("1", 0, 2)])


@situation("purchaseorders")
def order_with_discount(book, kind):
    return book.order([Term(book.money(20_000)) for _ in range(3)], discount=book.rng.randrange(100, 2000))


@situation("purchaseorders")
def order_abroad(book, kind):
    currency, rate = book.foreign("USD", "GBP", "JPY")
    return book.order([Term(book.money(50_000), "5", 0)], currency=currency, rate=rate)


@situation("purchaseorders")
def order_cancelled(book, kind):
    """Its lines keep their amounts."""
    return book.order(book.terms(), OrderStatus=40, ReceiptStatus=40, InvoiceStatus=40)


@situation("purchaseorders")
def order_partly_received(book, kind):
    made = book.order(book.terms(low=2), OrderStatus=20, ReceiptStatus=20)
    made.lines[0]["ReceivedQuantity"] = made.lines[0]["Quantity"]
    return made


# ---- of journal, bank and cash ----

@situation("generaljournalentries")
def journal(book, kind):
    terms = [Term(book.money() * book.rng.choice((1, -1)), None, 0) for _ in range(book.rng.randint(1, 5))]
    return book.moves(kind, [*terms, Term(-sum(term.amount for term in terms), None, 0)])


@situation("generaljournalentries")
def journal_excluding(book, kind):
    """The service makes the VAT row; the lines add up to zero with it only."""
    amount = book.money()
    return book.moves(kind, [Term(amount, "2"), Term(-amount - share(amount, "2"), None, 0, book.usable("1600"))])


@situation("generaljournalentries")
def journal_including(book, kind):
    amount = book.money()
    return book.moves(kind, [Term(amount, "3", round(amount * 21 / 121)), Term(-amount, None, 0, book.usable("1600"))])


@situation("generaljournalentries")
def journal_zero(book, kind):
    return book.moves(kind, [Term(0, None, 0), Term(0, None, 0)])


@situation("generaljournalentries")
def journal_allocation(book, kind):
    """From one cost center to another: nothing moves on the account."""
    place = next((a for a in book.neutral if a[2]), None)
    if place is None or len(book.centers) < 2:
        return journal(book, kind)
    one, other = book.rng.sample(book.centers, 2)
    amount = book.money()
    return book.moves(kind, [Term(amount, None, 0, place[0], places={"CostCenter": one}),
                             Term(-amount, None, 0, place[0], places={"CostCenter": other})])


@situation("generaljournalentries")
def journal_foreign(book, kind):
    """The last line takes what rounding left."""
    currency, rate = book.foreign("USD")
    terms = [Term(book.money(), None, 0) for _ in range(3)]
    return book.moves(kind, [*terms, Term(-sum(term.amount for term in terms), None, 0)], currency=currency, rate=rate)


@situation("generaljournalentries")
def journal_reversal(book, kind):
    amount = book.money()
    return book.moves(kind, [Term(-amount, None, 0), Term(amount, None, 0)], Reversal=True)


@situation("generaljournalentries")
def journal_opening(book, kind):
    amount = book.money()
    return book.moves(kind, [Term(amount, None, 0), Term(-amount, None, 0)], Type=10)


@situation("generaljournalentries")
def journal_vat_paid(book, kind):
    """VAT on a cash basis goes from the transit account to the payable one."""
    amount = book.money()
    return book.moves(kind, [Term(amount, None, 0, book.usable("2000")), Term(-amount, None, 0, book.usable("1500"))])


@situation(*FLOWS)
def receipts_and_payments(book, kind):
    return book.moves(kind, [Term(book.money() * book.rng.choice((1, -1)), None, 0)
                             for _ in range(book.rng.randint(1, 6))])


@situation(*FLOWS)
def costs_with_vat(book, kind):
    amount = book.money()
    return book.moves(kind, [Term(-amount, "3", -round(amount * 21 / 121)), Term(book.money(), None, 0)])


@situation(*FLOWS)
def balances_typed(book, kind):
    """Opening and closing are informative."""
    return book.moves(kind, two_moves(book), OpeningBalanceFC=book.money() / 100, ClosingBalanceFC=book.money() / 100)


@situation("cashentries")
def closing_not_given(book, kind):
    return book.moves(kind, two_moves(book), ClosingBalanceFC=0)


@situation("bankentries")
def foreign_account(book, kind):
    currency, rate = book.foreign("USD", "GBP")
    return book.moves(kind, two_moves(book), currency=currency, rate=rate)


@situation("bankentries")
def exchange_difference(book, kind):
    """What was booked at another rate: the difference has no amount in the currency."""
    currency, rate = book.foreign("USD")
    return book.moves(kind, two_moves(book), currency=currency, rate=rate,
                      difference=book.rng.randrange(-500, 500) or 7)


@situation(*FLOWS)
def nothing_moved(book, kind):
    return book.moves(kind, [Term(0, None, 0)])


def two_moves(book):
    """Two lines of a statement."""
    return [Term(book.money() * book.rng.choice((1, -1)), None, 0) for _ in range(2)]


@situation("bankentries")
def long(book, kind):
    """Of a payment provider."""
    return book.moves(kind, [Term(book.money(), None, 0) for _ in range(LONG)])


# ---- of the ledger alone ----

SYSTEM_TYPES = {50: ("1500", "1520", "1600"), 70: ("4500", "0150"), 80: ("1100", "4500"), 83: ("1300", "4500"),
                84: ("8000", "1700"), 86: ("4400", "1400"), 87: ("1700", "1500"), 95: ("4500", "1700"),
                120: ("7000", "3000"), 170: ("4000", "1700"), 180: ("3000", "7000"), 310: ("4500", "0550"),
                320: ("8000", "0550"), 328: ("1100", "1600")}


@situation(LEDGER)
def system_entry(book, kind):
    """VAT return, assets, revaluation, payment difference, deferral, prepayment, accrual, stock, payroll, closing and
    opening of a year."""
    number = book.rng.choice(list(SYSTEM_TYPES))
    codes = SYSTEM_TYPES[number]
    amounts = [book.money() * book.rng.choice((1, -1)) for _ in codes[1:]]
    return book.ledger(number, list(zip(codes, (-sum(amounts), *amounts))), 0 if number == 328 else None)


@situation(LEDGER)
def revaluation_without_currency(book, kind):
    """An exchange difference has no amount in the currency."""
    amount = book.money(100, 5000)
    return book.ledger(82, [("4500", amount, 0), ("1600", -amount, 0)])


@situation(LEDGER)
def budget(book, kind):
    """No ledger: one row."""
    return book.ledger(3000, [("4400", book.money())])
