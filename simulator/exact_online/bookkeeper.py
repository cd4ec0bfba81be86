"""How a correct document is written: what is typed, what it shows, what the ledger gets. situations.py says of what.

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
