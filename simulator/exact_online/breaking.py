"""Documents that break exactly one rule of the books, and their correction. The service checks references and sums when
a document is saved, so these are put in beside that."""
import random

from . import bookkeeper, clock, documents, placing, verdicts
from .bookkeeper import DAY, LEDGER
from .catalogue import COSTCENTER, COSTUNIT, GL, TRANSACTION
from .orders import unsettle
from .placing import kind_of
from .verdicts import ACCOUNT_EXISTS, APPLIES, BALANCES, BLOCKED, CENTER_EXISTS, ENDED, MATCH, REQUIRED, UNIT_EXISTS

PLAIN = {"purchaseentries": "domestic", "salesentries": "domestic", "generaljournalentries": "journal",
         "bankentries": "receipts_and_payments", "cashentries": "receipts_and_payments", "purchaseinvoices": "invoice",
         "salesinvoices": "invoice", "purchaseorders": "order", LEDGER: "system_entry"}
DIMENSION_OF = {ACCOUNT_EXISTS: (GL, "GLAccount"), CENTER_EXISTS: (COSTCENTER, "CostCenter"),
                UNIT_EXISTS: (COSTUNIT, "CostUnit")}
TRIES = 200


def _states(division, rule):
    """What a document can break a state rule with: keys of accounts, or (code, end) of cost centers."""
    if rule == ENDED:
        today = division.clock.wall() // DAY * DAY
        ends = [(r.values["Code"], clock.wall_from_text(r.values["EndDate"]) // DAY * DAY)
                for r in division.records[COSTCENTER].values() if r.values.get("EndDate")]
        return [(code, end) for code, end in ends if end < today - DAY]
    since, other = (("_blocked_since", "_wanted_since") if rule == BLOCKED else ("_wanted_since", "_blocked_since"))
    return [r.key for r in division.records[GL].values() if since in r.values and other not in r.values]


def _free_codes(division, entity, how_many, rng, new_key):
    """Keys (GL accounts) or codes that nothing has."""
    if entity == GL:
        return [new_key() for _ in range(how_many)]
    found = {}
    while len(found) < how_many:
        code = f"{'Z' if entity == COSTCENTER else 'Y'}{rng.randrange(10**6):06d}"
        if division.by_code(entity, code) is None and (entity, code) not in division.missing:
            found[code] = None
    return list(found)


def _draft(book, kind, rule):
    """A correct draft that can be spoiled: not processed when it is an invoice, unless the rule wants it."""
    for _ in range(TRIES):
        draft = placing.draft_of(book, kind, PLAIN[kind])
        wanted = documents.PROCESSED if rule == REQUIRED else documents.OPEN
        if kind in verdicts.INVOICE_KINDS and draft.header["Status"] != wanted:
            continue
        if rule != MATCH or len(draft.lines) > 1 or kind in verdicts.ENTRY_KINDS[3:] or kind == "salesinvoices":
            return draft
    raise ValueError(f"no draft of {kind} is fit for {rule}")


def _set(draft, place, name, value):
    """A field of a line and of its row in the ledger."""
    if draft.lines:
        draft.lines[place][name] = value
    for role, row in draft.rows or ():
        if role == place or (not draft.lines and role == ("line", place + 1)):
            row[name] = value


def _spoil(book, draft, rule, choice):
    """Break one rule with the dimension `choice`; what to note of the sums that are off: (rule, kinds)."""
    rng, kind = book.rng, draft.kind
    place = rng.randrange(len(draft.lines) or len(draft.rows))
    if rule in DIMENSION_OF:
        _set(draft, place, DIMENSION_OF[rule][1], choice)
    elif rule in (REQUIRED, BLOCKED):
        _set(draft, place, "GLAccount", choice)
        _set(draft, place, "CostCenter", None)
        if rule == BLOCKED and book.centers:        # which may want one
            _set(draft, place, "CostCenter", rng.choice(book.centers))
        if draft.entry is not None:     # the entry of the invoice stays right
            for each in (draft.entry.lines[place], draft.entry.rows[place][1]):
                each["GLAccount"] = book.usable("4500")
    elif rule == ENDED:
        code, end = choice
        date = max(end + DAY, book.today - rng.randrange(30) * DAY)
        draft.header["_date"] = date
        for number, line in enumerate(draft.lines):
            if "Date" in line:
                _set(draft, number, "Date", f"/Date({date})/")
        for _, row in draft.rows or ():
            if "Date" in row:
                row["Date"] = f"/Date({date})/"
        _set(draft, place, "CostCenter", code)
    elif rule == BALANCES:
        off = rng.choice((1, -1, 100, 2100, -9900))
        if draft.lines:
            draft.lines[place]["AmountFC"] = round(draft.lines[place]["AmountFC"] + off / 100, 2)
            draft.lines[place]["AmountDC"] = round(draft.lines[place]["AmountDC"] + off / 100, 2)
        row = next(row for role, row in draft.rows if role in (place, ("line", place + 1)))
        row["AmountDC"], row["AmountFC"] = row["AmountDC"] + off, row["AmountFC"] + off
        return rule, (kind, LEDGER)
    elif kind in ("bankentries", "cashentries"):
        draft.header.update(OpeningBalanceFC=100.0, ClosingBalanceFC=round(
            100.77 + sum(line["AmountFC"] for line in draft.lines), 2))
        return rule, (kind,)
    elif kind == "salesinvoices":       # charges cannot make it smaller than its lines
        draft.header["AmountFCExclVat"] = round(draft.header["AmountFCExclVat"] / 2, 2)
        return rule, (kind,)
    else:       # a line is lost; the ledger has it
        del draft.lines[place]
        if draft.rows:
            draft.rows = [(("lost", place) if role == place else role - 1 if isinstance(role, int) and role > place
                           else role, row) for role, row in draft.rows]
        return rule, (kind,)
    return None


def make(division, rule, kind, count, seed=None, distinct=1, given=None):
    """`count` documents of a kind that break a rule: [(header, what is missing or in that state)]. References to what
    is missing are shared out over `distinct` keys or codes, or over those `given`."""
    if kind not in APPLIES.get(rule, ()):
        raise ValueError(f"{rule} is for {', '.join(APPLIES[rule])}" if rule in APPLIES
                         else f"rule is one of {', '.join(APPLIES)}")
    rng = random.Random(f"broken {seed} {division.code} {division.generated}")
    book, new_key, staff = bookkeeper.Book(division, rng), placing.key_maker(rng), list(division.info["staff"])
    choices = [None]
    if rule in DIMENSION_OF:
        entity = DIMENSION_OF[rule][0]
        choices = list(given or _free_codes(division, entity, max(1, min(distinct, count)), rng, new_key))
        for choice in choices:
            found = division.records[GL].get(choice) if entity == GL else division.by_code(entity, choice)
            if found is not None:
                raise ValueError(f"{choice} is there: a document that names it breaks nothing")
            division.missing[entity, choice] = None
    elif rule in (REQUIRED, BLOCKED, ENDED):
        choices = [choice for choice in _states(division, rule)
                   if not given or (choice[0] if rule == ENDED else choice) in given]
        if not choices:
            raise ValueError(f"nothing in division {division.code} is in that state: POST dimension with op "
                             f"{'end' if rule == ENDED else 'block' if rule == BLOCKED else 'require'} first")
    made = []
    for number in range(count):
        choice = choices[number % len(choices)]
        draft = _draft(book, kind, rule)
        off = _spoil(book, draft, rule, choice)
        header = placing.put(division, draft, new_key, rng.choice(staff))
        if off is not None:
            header.values["_off"] = off
        made.append((header, choice[0] if rule == ENDED else choice))
    division.generated += count
    division.settle_keys()
    return made


# ---- what a bookkeeper corrects ----

def _right_values(division, book, breaks):
    """{line key: values} that make lines right."""
    found = {}
    for each in breaks:
        values = found.setdefault(each["line"], {})
        if each["rule"] in (ACCOUNT_EXISTS, BLOCKED):
            values["GLAccount"] = book.usable("4500")
        elif each["rule"] == UNIT_EXISTS:
            values["CostUnit"] = None
        elif each["rule"] == REQUIRED or book.centers:
            values["CostCenter"] = book.rng.choice(book.centers)
        else:
            values["CostCenter"] = None
    return found


def _mend_ledger(division, header, lines, off, user):
    """An entry of the ledger without a document."""
    rows = {row.key: row for row in header.postings.values()}
    moved = []
    for key, values in lines.items():
        division.assign(rows[key], values)
        moved.append(rows[key])
    if off:
        row = next(iter(header.postings.values()))
        left = round(sum(r.values["AmountDC"] for r in header.postings.values()), 2)
        division.assign(row, {name: round(row.values[name] - left, 2) for name in ("AmountDC", "AmountFC")})
        moved.append(row)
        del header.values["_off"]
    for row in moved:
        division.stamp_user(row, user)
    division.touch(*moved)


def mend(division, keys=None, seed=None):
    """Make documents right that break a rule, all of them without `keys`: [(kind, key)]."""
    rng = random.Random(f"mend {seed} {division.code}")
    book, user = bookkeeper.Book(division, rng), next(iter(division.info["staff"]))
    wanted, mended = None if keys is None else set(keys), []
    for kind in bookkeeper.KINDS:
        for header in verdicts.all_documents(division, kind):
            if wanted is not None and header.key not in wanted:
                continue
            if kind == LEDGER and kind_of(header) != LEDGER:
                continue        # it follows its document
            breaks = verdicts.breaks_of(division, kind, header)
            if not breaks:
                continue
            lines = _right_values(division, book, [b for b in breaks if b["line"]])
            off = header.values.get("_off")
            if kind == LEDGER:
                _mend_ledger(division, header, lines, off, user)
            else:
                changes = [{"ID": key, **values} for key, values in lines.items()]
                if off and off[0] == BALANCES:
                    last, amounts = header.lines[-1], [round(x.values["AmountFC"] * 100) for x in header.lines]
                    unsettle(header)
                    changes.append({"ID": last.key, "AmountFC": (amounts[-1] - sum(amounts)) / 100})
                elif off:
                    unsettle(header)
                    header.values.pop("_typed_balance", None)
                division.update(header, {}, user, changes)
            mended.append((kind, header.key))
    return mended


def also_broken(header):
    """The rows of the ledger name what the document names."""
    return [TRANSACTION] if header.postings and kind_of(header) != LEDGER else []
