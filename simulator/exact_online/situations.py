"""Correct documents of every kind and VAT situation: what is typed, what the document shows, what the ledger gets.

A draft is data only; placing.py puts it into a division. Amounts are whole hundredths until the draft is finished, so
that what has to be equal is equal. The ledger's rows are without row 0, whose shape belongs to the division.
"""
from . import clock, documents
from .catalogue import (
    ACCOUNT,
    BANK_ENTRIES,
    CASH_ENTRIES,
    COSTCENTER,
    COSTUNIT,
    GL,
    ITEM,
    JOURNAL_ENTRIES,
    ORDERS,
    PURCHASE_ENTRIES,
    PURCHASE_INVOICES,
    SALES_ENTRIES,
    SALES_INVOICES,
)
from .ledger import FROM_LINE
from .words import ALL_VAT, CURRENCIES, PAYMENT, SUBJECTS, VAT_RULES

DAY = 86_400_000
ZERO = "00000000-0000-0000-0000-000000000000"
LEDGER = "transactionlines"
KINDS = {"purchaseentries": PURCHASE_ENTRIES, "salesentries": SALES_ENTRIES, "generaljournalentries": JOURNAL_ENTRIES,
         "bankentries": BANK_ENTRIES, "cashentries": CASH_ENTRIES, "purchaseinvoices": PURCHASE_INVOICES,
         "salesinvoices": SALES_INVOICES, "purchaseorders": ORDERS, LEDGER: None}
KIND_OF = {document.header: kind for kind, document in KINDS.items() if document}
LONG = 5000         # lines of the longest bank entries
TOLERATED = 5       # so many lines may each be a unit off their header, not more
COSTS, REVENUE, NEUTRAL = (120, 121, 125, 111), (110,), (20, 22, 26, 27, 90, 120, 121)
SITUATIONS = {}     # {kind: {name: function}}


def situation(*kinds):
    """Register a function that drafts documents of these kinds, under its own name."""
    def register(function):
        for kind in kinds:
            SITUATIONS.setdefault(kind, {})[function.__name__] = function
        return function
    return register


class Draft:
    """One document: `rows` are its [(role, values)] in the ledger, None when it is not there; `entry` is the draft of
    the entry that a processed invoice has."""
    __slots__ = ("charges", "entry", "header", "kind", "lines", "rows", "situation")

    def __init__(self, kind, header, lines, rows=None, charges=(), entry=None):
        self.kind, self.header, self.lines, self.rows = kind, header, lines, rows
        self.charges, self.entry, self.situation = charges, entry, None


class Term:
    """A line as it is thought of: amount and VAT in hundredths, VAT code, further fields; `account` (the key of a GL
    account) where not any will do."""
    __slots__ = ("account", "amount", "code", "more", "vat")

    def __init__(self, amount, code="2", vat=None, account=None, **more):
        self.amount, self.code, self.account, self.more = amount, code, account, more
        self.vat = share(amount, code) if vat is None else vat


def rate_of(code):
    return ALL_VAT[code][1] if code else 0.0


def share(amount, code):
    """VAT of an amount without it."""
    return round(amount * rate_of(code))


def is_charged(code):
    return bool(code) and VAT_RULES[code][1]


class Book:
    """What a bookkeeper of a division may write on: accounts that are not blocked, centers and units that are open."""

    def __init__(self, division, rng):
        self.division, self.rng = division, rng
        self.today = division.clock.wall() // DAY * DAY
        self.centers, self.ended, self.units = [], [], []
        for record in division.records[COSTCENTER].values():
            end = record.values.get("EndDate")
            if end is None:
                self.centers.append(record.values["Code"])
            elif clock.wall_from_text(end) < self.today:
                self.ended.append((record.values["Code"], clock.wall_from_text(end) // DAY * DAY))
        for record in division.records[COSTUNIT].values():
            if record.values.get("EndDate") is None:
                self.units.append(record.values["Code"])
        self.costs, self.revenue, self.neutral = (self._accounts(kinds) for kinds in (COSTS, REVENUE, NEUTRAL))
        self.items = [(r.key, r.values.get("Description")) for r in division.records[ITEM].values()]
        accounts = division.records[ACCOUNT].values()
        self.suppliers = [r.key for r in accounts if r.values.get("IsSupplier")] or [r.key for r in accounts]
        self.customers = [r.key for r in accounts if not r.values.get("IsSupplier")] or self.suppliers

    def _accounts(self, kinds):
        """[(key, whether a center is wanted, one is possible, the same of units)]"""
        found = []
        for record in self.division.records[GL].values():
            v = record.values
            center, unit = v.get("UseCostcenter") or 0, v.get("UseCostunit") or 0
            if v.get("Type") in kinds and not v.get("IsBlocked") and (center != 1 or self.centers) and (
                    unit != 1 or self.units):
                found.append((record.key, center == 1, center != 2 and bool(self.centers), unit == 1,
                              unit != 2 and bool(self.units)))
        return found

    def usable(self, code):
        """The key of an account of the chart, or of another one, that a line may name without a center or a unit."""
        free = [a[0] for a in (*self.neutral, *self.costs) if not a[1] and not a[3]]
        found = self.division.by_code(GL, code)
        return found.key if found is not None and found.key in free else free[0]

    def account(self, code):
        """The key of the account with a code of the chart that the ledger posts on, or of another one."""
        found = self.division.by_code(GL, code) or self.division.by_code(GL, "4500")
        return found.key if found else next(iter(self.division.records[GL]))

    def money(self, low=500, high=400_000):
        draw = self.rng.random()
        return self.rng.randrange(low, high) if draw > 0.15 else self.rng.randrange(low // 100 or 1, high // 100) * 100

    def written(self, code):
        """A code as it is found in documents: as it is, with blanks around it, in the other case."""
        draw = self.rng.random()
        return f" {code} " if draw < 0.03 else code.swapcase() if draw < 0.06 else code

    def places(self, accounts, more=None):
        """Account, cost center and cost unit of a line."""
        rng, (key, wants, may, wants_unit, may_unit) = self.rng, self.rng.choice(accounts)
        if more and more.get("CostCenter") and not may:
            key, wants, may, wants_unit, may_unit = next((a for a in accounts if a[2]), accounts[0])
        found = {"GLAccount": key}
        if wants or (may and rng.random() < 0.55):
            found["CostCenter"] = self.written(rng.choice(self.centers))
        elif rng.random() < 0.1:
            found["CostCenter"] = rng.choice(("", "   "))
        if wants_unit or (may_unit and rng.random() < 0.2):
            found["CostUnit"] = self.written(rng.choice(self.units))
        if rng.random() < 0.02:
            found["Project"] = ZERO
        elif rng.random() < 0.05:
            found["Project"] = rng.choice(list(self.division.info["projects"]))
        if more:
            found.update(more)
        return found

    def day(self, back=200):
        return self.today - self.rng.randrange(back) * DAY

    def text(self):
        return f"{self.rng.choice(SUBJECTS)} {self.rng.randrange(1, 13)}"

    def foreign(self, *currencies):
        """(currency, rate) around the rate of the day."""
        currency = self.rng.choice(currencies)
        return currency, round(CURRENCIES[currency][1] * self.rng.uniform(0.95, 1.05), 6)

    def value(self, hundredths):
        """An amount as the service shows it; one in fifty with the noise of binary floating point."""
        if hundredths > 1000 and self.rng.random() < 0.02:
            return (hundredths - 10) / 100 + 0.1
        return hundredths / 100

    # ---- entries ----

    def entry(self, kind, terms, *, currency="EUR", rate=1, date=None, withheld=0, duty=0, rounding=False,
              total_vat=None, vat_account=None, places=None, lines_account=None, **header):
        """A purchase or sales entry. `total_vat`: VAT that was computed of the sum; `rounding`: the total is converted
        as a whole, a row of the ledger takes what the lines leave."""
        purchase = kind == "purchaseentries"
        sign, yen = (1 if purchase else -1), currency == "JPY"
        date = self.day() if date is None else date
        kind_of_entry = header.get("Type", 30 if purchase else 20)
        lines, rows, taxes, sums = [], [], {}, [0, 0]

        def dc(amount):
            return round(amount * rate)

        for number, term in enumerate(terms, 1):
            if yen:
                term.amount, term.vat = round(term.amount / 100) * 100, round(term.vat / 100) * 100
            rule, charged, margin = VAT_RULES[term.code] if term.code else ("N", False, False)
            inside = rule == "I" and not term.more.pop("_excluding", False)
            amount, tax = (term.amount, term.vat), (dc(term.amount), dc(term.vat))
            place = ({"GLAccount": term.account} if term.account else
                     self.places(lines_account or (self.costs if purchase else self.revenue), places))
            base = term.more.pop("_base", amount[0] - amount[1] if inside else amount[0])
            line = {"LineNumber": number, "AmountFC": self.value(amount[0]), "AmountDC": tax[0] / 100,
                    "VATCode": term.code, "VATPercentage": rate_of(term.code), "VATAmountFC": amount[1] / 100,
                    "VATAmountDC": tax[1] / 100, "VATBaseAmountFC": base / 100, "VATBaseAmountDC": dc(base) / 100,
                    "Type": kind_of_entry, "Description": self.text(), "_typed": True, **place, **term.more}
            lines.append(line)
            sums[0] += amount[0] + (0 if inside or charged else amount[1])
            sums[1] += tax[0] + (0 if inside or charged else tax[1])
            booked = {name: line[name] for name in FROM_LINE if name in line}
            net = [tax[0] - (tax[1] if inside and not margin else 0),
                   amount[0] - (amount[1] if inside and not margin else 0)]
            lost = line.get("VATNonDeductiblePercentage", 0)
            kept = [round(tax[1] * (1 - lost)), round(amount[1] * (1 - lost))]
            own = [round(part * line.get("PrivateUsePercentage", 0)) for part in net]
            rows.append((number - 1, {
                **booked, "GLAccount": line["GLAccount"], "LineNumber": number, "LineType": 1,
                "AmountDC": sign * (net[0] - own[0] + tax[1] * bool(lost) - kept[0] * bool(lost)),
                "AmountFC": sign * (net[1] - own[1] + (amount[1] - kept[1]) * bool(lost)), "VATCode": term.code,
                "VATPercentage": rate_of(term.code)}))
            if any(own):
                rows.append((("private", number), {"GLAccount": self.account("1700"), "LineType": 1,
                                                   "AmountDC": sign * own[0], "AmountFC": sign * own[1]}))
            if term.vat and not margin:
                known = taxes.setdefault(term.code, [0, 0])
                known[0] += kept[0] if lost else tax[1]
                known[1] += kept[1] if lost else amount[1]
        if total_vat is not None:       # of one code
            code, known = next(iter(taxes.items()))
            sums = [sums[0] + total_vat - known[1], sums[1] + dc(total_vat) - known[0]]
            known[0], known[1] = dc(total_vat), total_vat
        for code, known in taxes.items():
            row = {"GLAccount": vat_account or self.account("1520" if purchase else "1500"), "LineType": 5,
                   "VATCode": code, "AmountDC": sign * known[0], "AmountFC": sign * known[1],
                   "VATPercentage": rate_of(code)}
            rows.append((("vat", code), row))
            if is_charged(code):
                rows.append((("owed", code), {**row, "GLAccount": self.account("1500"), "AmountDC": -row["AmountDC"],
                                              "AmountFC": -row["AmountFC"]}))
        for name, amount in (("withheld", -withheld), ("duty", duty)):
            if amount:
                sums = [sums[0] + amount, sums[1] + dc(amount)]
                rows.append(((name, 0), {"GLAccount": self.account("1700"), "LineType": 1, "AmountFC": sign * amount,
                                         "AmountDC": sign * dc(amount)}))
        if rounding:
            left = dc(sums[0]) - sums[1]
            if left and abs(left) <= min(len(terms), TOLERATED):
                sums[1] += left
                rows.append((("rounding", 0), {"GLAccount": self.account("4500"), "LineType": 1, "AmountFC": 0,
                                               "AmountDC": sign * left}))
        typed = sum(term.vat for term in terms) if total_vat is None else total_vat
        h = {"Status": self.rng.choice((20, 20, 50)), "Type": kind_of_entry, "Currency": currency, "Rate": rate,
             "_date": date, "AmountFC": self.value(sums[0]), "AmountDC": sums[1] / 100, "VATAmountFC": typed / 100,
             "VATAmountDC": dc(typed) / 100, "Description": self.text(),
             "Supplier" if purchase else "Customer": self.rng.choice(self.suppliers if purchase else self.customers),
             "PaymentCondition": self.rng.choice(list(PAYMENT)), "YourRef": f"F{self.rng.randrange(10**5, 10**6)}",
             **header}
        return Draft(kind, {k: v for k, v in h.items() if v is not None}, lines,
                     None if h["Status"] == documents.REJECTED else rows)

    # ---- invoices and orders ----

    def invoice(self, kind, terms, *, currency="EUR", rate=1, discount=0, charges=(), withheld=0, duty=0, shown=True,
                **header):
        """A purchase or sales invoice; `discount` of the whole document and `charges` are in hundredths of its
        currency. `shown`: VAT that is not owed stands in the header."""
        purchase, yen = kind == "purchaseinvoices", currency == "JPY"
        amount_name, tax_name = ("Amount", "VATAmount") if purchase else ("AmountFC", "VATAmountFC")
        date, lines, sums, vat = self.day(), [], [0, 0], 0

        def dc(amount):
            return round(amount * rate)

        for number, term in enumerate(terms, 1):
            if yen:
                term.amount, term.vat = round(term.amount / 100) * 100, round(term.vat / 100) * 100
            item, name = self.rng.choice(self.items)
            quantity = self.rng.choice((1, 1, 2, 5))
            place = self.places(self.costs if purchase else self.revenue)
            line = {"LineNumber": number, "Item": item, "Description": name, "Quantity": quantity, "Discount": 0,
                    "UnitPrice": term.amount / quantity / 100, "NetPrice": term.amount / quantity / 100,
                    amount_name: self.value(term.amount), "AmountDC": dc(term.amount) / 100, "VATCode": term.code,
                    tax_name: term.vat / 100, "VATPercentage": rate_of(term.code), **place, **term.more}
            if purchase:
                term.account = line.pop("GLAccount")
                line.update(InvoiceType=header.get("Type", 8030), Currency=currency, QuantityInDefaultUnits=quantity)
            else:
                term.account = line["GLAccount"]
                line["VATAmountDC"] = dc(term.vat) / 100
            lines.append(line)
            sums[0] += term.amount
            vat += 0 if is_charged(term.code) or VAT_RULES[term.code or "KO"][2] else term.vat
        code = terms[0].code
        total = sum(term.amount for term in terms)
        owed = vat - share(discount, code) * bool(vat) + sum(share(c, "2") for c in charges)
        excluding = total - discount + sum(charges)
        unowed = sum(term.vat for term in terms if is_charged(term.code)) if shown else 0
        amount = excluding + owed - withheld + duty
        status = header.pop("Status", None) or self.rng.choice((20, 50, 50))
        h = {"Status": status, "Type": 8030 if purchase else 8020, "Currency": currency, "ExchangeRate": rate,
             "_date": date, amount_name: self.value(amount), "AmountDC": dc(amount) / 100,
             "AmountFCExclVat": excluding / 100, tax_name: (owed + unowed) / 100,
             "AmountDiscountExclVat": dc(discount) / 100, "AmountDiscount": dc(discount + share(discount, code)) / 100,
             "Description": self.text(), "YourRef": f"F{self.rng.randrange(10**5, 10**6)}",
             "PaymentCondition": self.rng.choice(list(PAYMENT)),
             "Supplier" if purchase else "OrderedBy": self.rng.choice(self.suppliers if purchase else self.customers),
             **header}
        if not purchase:
            h.update(VATAmountDC=dc(owed + unowed) / 100, InvoiceTo=h["OrderedBy"], DeliverTo=h["OrderedBy"],
                     Salesperson=self.rng.choice(list(self.division.info["staff"])))
        draft = Draft(kind, {k: v for k, v in h.items() if v is not None}, lines, charges=charges)
        if status == documents.PROCESSED:
            draft.entry = self._entry_of(draft, terms, currency, rate, discount, charges, withheld, duty, code, vat)
        return draft

    def _entry_of(self, draft, terms, currency, rate, discount, charges, withheld, duty, code, vat):
        """The entry of a processed invoice: its lines, its charges, and its discount as a line."""
        kind = "purchaseentries" if draft.kind == "purchaseinvoices" else "salesentries"
        booked = []
        for term, line in zip(terms, draft.lines):
            more = {name: line[name] for name in ("CostCenter", "CostUnit", "Project", "Quantity", "Description")
                    if name in line}
            booked.append(Term(term.amount, term.code, term.vat, term.account, CostCenter=more.pop("CostCenter", None),
                               CostUnit=more.pop("CostUnit", None), **more))
        place = {name: booked[0].more[name] for name in ("CostCenter", "CostUnit")}
        booked += [Term(amount, "2", None, terms[0].account, Description="Verzendkosten", **place)
                   for amount in charges]
        if discount:
            booked.append(Term(-discount, code, -share(discount, code) * bool(vat), terms[0].account,
                               Description="Korting", **place))
        credit = draft.header["Type"] in (8021, 8024, 8031, 8034)
        party = "Supplier" if kind == "purchaseentries" else "Customer"
        return self.entry(kind, booked, currency=currency, rate=rate, date=draft.header["_date"], withheld=withheld,
                          duty=duty, rounding=False, Type={"purchaseentries": 30, "salesentries": 20}[kind] + credit,
                          Status=self.rng.choice((20, 50)), Description=draft.header["Description"],
                          YourRef=draft.header["YourRef"], **{party: draft.header.get("Supplier",
                                                                                      draft.header.get("OrderedBy"))})

    def order(self, terms, *, currency="EUR", rate=1, discount=0, **header):
        """A purchase order, which is in no ledger."""
        lines, date = [], self.day()
        for number, term in enumerate(terms, 1):
            if currency == "JPY":
                term.amount = round(term.amount / 100) * 100
            item, name = self.rng.choice(self.items)
            quantity = self.rng.choice((1, 2, 10))
            place = self.places(self.costs, term.more.pop("places", None))
            del place["GLAccount"]
            price = term.amount / quantity / 100
            lines.append({"LineNumber": number, "Item": item, "Description": name, "Quantity": quantity,
                          "QuantityInPurchaseUnits": quantity, "ReceivedQuantity": 0, "InvoicedQuantity": 0,
                          "UnitPrice": price, "NetPrice": price, "Discount": 0, "AmountFC": self.value(term.amount),
                          "AmountDC": round(term.amount * rate) / 100, "VATCode": term.code,
                          "VATPercentage": rate_of(term.code), "VATAmount": share(term.amount, term.code) / 100,
                          "ReceiptDate": f"/Date({date + 7 * DAY})/", "Rebill": False, **place, **term.more})
        total = sum(term.amount for term in terms)
        h = {"OrderStatus": 10, "ReceiptStatus": 10, "InvoiceStatus": 10, "ApprovalStatus": 0, "Source": 10,
             "Currency": currency, "ExchangeRate": rate, "_date": date, "AmountFC": self.value(total - discount),
             "AmountDC": round((total - discount) * rate) / 100, "AmountFCExclVat": (total - discount) / 100,
             "VATAmount": round(sum(share(t.amount, t.code) for t in terms)) / 100,
             "AmountDiscountExclVat": round(discount * rate) / 100, "AmountDiscount": round(discount * rate) / 100,
             "Discount": discount / total if total else 0, "Supplier": self.rng.choice(self.suppliers),
             "Description": self.text(), "PaymentCondition": "30", "DropShipment": False,
             "PurchaseOrderLineCount": len(lines), "Warehouse": self.division.info["warehouses"][0][0], **header}
        return Draft("purchaseorders", h, lines)

    # ---- journal, bank and cash ----

    def moves(self, kind, terms, *, currency="EUR", rate=1, date=None, difference=0, **header):
        """A general journal, bank or cash entry of terms with their VAT, which stands in rows of its own. In the
        journal they add up to zero with it. `difference`: what the first line was worth when it was booked."""
        flow = kind != "generaljournalentries"
        date, sign, lines, rows, left = (self.day() if date is None else date), (-1 if flow else 1), [], [], [0, 0]
        for number, term in enumerate(terms, 1):
            inside = bool(term.code) and VAT_RULES[term.code][0] == "I"
            last = not flow and number == len(terms)
            amount, tax = term.amount, term.vat
            in_dc = -left[0] if last else round(amount * rate)
            more = term.more.pop("places", None)
            place = {"GLAccount": term.account, **(more or {})} if term.account else self.places(self.neutral, more)
            line = {"LineNumber": number, "AmountFC": self.value(amount), "AmountDC": in_dc / 100,
                    "Date": f"/Date({date - self.rng.randrange(3) * DAY * flow})/", "Description": self.text(),
                    **place, **term.more}
            if term.code:
                line.update(VATCode=term.code, VATPercentage=rate_of(term.code), AmountVATFC=tax / 100)
            if flow:
                line["ExchangeRate"] = rate
            elif term.code:
                line.update(AmountVATDC=round(tax * rate) / 100, VATBaseAmountFC=(amount - tax * inside) / 100,
                            VATBaseAmountDC=round((amount - tax * inside) * rate) / 100)
            lines.append(line)
            outside = 0 if inside else tax
            left = [left[0] + in_dc + round(outside * rate), left[1] + amount + outside]
            booked = {name: line[name] for name in FROM_LINE if name in line}
            gain = difference if number == 1 else 0
            rows.append((number - 1, {
                **booked, "GLAccount": line["GLAccount"], "LineNumber": number, "LineType": 1, "Date": line["Date"],
                "AmountDC": sign * (in_dc - (round(tax * rate) if inside else 0) - gain),
                "AmountFC": sign * (amount - (tax if inside else 0)), "VATCode": term.code}))
            if tax:
                rows.append((("vat", number), {"GLAccount": self.account("1520"), "LineType": 5, "VATCode": term.code,
                                               "AmountDC": sign * round(tax * rate), "AmountFC": sign * tax,
                                               "Date": line["Date"]}))
            if gain:
                rows.append((("difference", 0), {"GLAccount": self.account("4500"), "LineType": 1, "AmountFC": 0,
                                                 "AmountDC": sign * gain, "Date": line["Date"]}))
        h = {"Status": self.rng.choice((20, 20, 50)), "Currency": currency, "_date": date, **header}
        if not flow:
            h.update(Type=h.get("Type", 90), ExchangeRate=rate)
        return Draft(kind, h, lines, None if h["Status"] == documents.REJECTED else rows)

    def ledger(self, kind, rows, period=None):
        """An entry that no document made: [(account code or key, amount, amount in the entry's currency)]"""
        date = self.day()
        made = []
        for number, (account, amount, *fc) in enumerate(rows, 1):
            key = account if len(account) == 36 else self.account(account)
            made.append((("line", number), {"GLAccount": key, "AmountDC": amount, "AmountFC": (*fc, amount)[0],
                                            "LineNumber": number, "LineType": 1, "Description": f"Systeem {kind}"}))
        return Draft(LEDGER, {"Type": kind, "Status": 50, "_date": date, "_period": period}, [], made)

    def terms(self, code="2", low=1, high=4):
        return [Term(self.money(), code) for _ in range(self.rng.randint(low, high))]


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
