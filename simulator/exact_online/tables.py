"""What stands beside the documents of the ledger: journals, VAT codes, periods, their status, and the balances per
account."""
import collections
import random
import uuid

from . import clock
from .catalogue import (
    BALANCES,
    CHARGE,
    COSTCENTER,
    COSTUNIT,
    GL,
    JOURNALS,
    PERIODS,
    RESOURCES,
    TRANSACTION,
    VAT_CODES,
    VAT_PERCENTAGES,
    number,
    singular,
)
from .words import JOURNALS as BOOKS
from .words import VAT, VAT_MORE, VAT_RULES

JOURNAL_TYPES = {"01": 20, "20": 22, "70": 12, "75": 10, "90": 90}
YEARS = range(2022, 2028)
FIXED = (JOURNALS, VAT_CODES, VAT_PERCENTAGES, PERIODS, CHARGE)     # random changes leave them alone
UNCOUNTED = (VAT_PERCENTAGES, CHARGE)       # parts of other records
BUDGET = 3000       # types from here on are no ledger


def fill(division, rng, past):
    """Journals, VAT codes with their percentages, and financial periods of a division."""
    user = next(iter(division.info["staff"]))
    for code, (description, account) in BOOKS.items():
        found = division.by_code(GL, account) if account else None
        division.insert(JOURNALS, {"Code": code, "Description": description, "Type": JOURNAL_TYPES[code],
                                   "Currency": "EUR", "AllowVAT": True,
                                   "GLAccount": found.key if found else None,
                                   "GLAccountType": found.values.get("Type") if found else None},
                        user, wall=past(rng))
    for code, (description, percentage) in VAT.items():
        _vat_code(division, code, description, percentage, user, past(rng))
    _more_codes(division, user)
    for year in YEARS:
        for period in range(1, 13):
            start = clock.parse_wall(f"{year}-{period:02d}-01")
            end = clock.parse_wall(f"{year + period // 12}-{period % 12 + 1:02d}-01") - 86_400_000
            division.insert(PERIODS, {"FinYear": year, "FinPeriod": period, "StartDate": f"/Date({start})/",
                                      "EndDate": f"/Date({end})/"},
                            user, wall=past(rng))


def _vat_code(division, code, description, percentage, user, wall, keys=(None, None)):
    claim, pay = division.by_code(GL, "1520"), division.by_code(GL, "1500")
    kind, charged, margin = VAT_RULES[code]
    made = division.insert(VAT_CODES, {
        "Code": code, "Description": description, "Percentage": percentage, "Type": kind, "Charged": charged,
        "VatMargin": int(margin),
        "VATTransactionType": "P" if charged else "B", "GLToClaim": claim.key if claim else None,
        "GLToPay": pay.key if pay else None,
        "GLToClaimCode": claim.values["Code"] if claim else None,
        "GLToPayCode": pay.values["Code"] if pay else None,
        "CalculationBasis": 0, "Country": division.info["country"], "VatDocType": "P", "TaxReturnType": 0}, user,
        keys[0], wall)
    division.insert(VAT_PERCENTAGES, {"VATCodeID": made.key, "Percentage": percentage, "LineNumber": 1, "Type": 0,
                                      "StartDate": "/Date(1349049600000)/"}, user, keys[1], wall)


def _more_codes(division, user):
    """VAT codes of generated documents; they take nothing from the division's own draws."""
    rng = random.Random(f"vat {division.settings.seed} {division.code}")
    for code, (description, percentage) in VAT_MORE.items():
        keys = [str(uuid.UUID(int=rng.getrandbits(128), version=4)) for _ in range(2)]
        _vat_code(division, code, description, percentage, user, clock.parse_wall("2024-01-01"), keys)


def computed(division, path):
    """Rows of the two lists that are made when they are read."""
    return _balances(division) if path == BALANCES else _status(division)


def _status(division):
    """Per journal, year and period: 0 open, 1 closed."""
    return [{**RESOURCES["read/financial/JournalStatusList"].template, "Journal": code, "Period": period, "Year": year,
             "JournalDescription": description, "JournalType": JOURNAL_TYPES[code],
             "Status": int((code, year, period) in division.closed),
             "StatusDescription": "Afgesloten" if (code, year, period) in division.closed else "Open"}
            for code, (description, _) in BOOKS.items() for year in YEARS for period in range(1, 13)]


def _balances(division):
    """Sums of the transaction lines per account, cost center, cost unit, year, period, status and type; opening is
    period 0."""
    sums = collections.defaultdict(list)
    for record in division.records[TRANSACTION].values():
        v = record.values
        if (v.get("Type") or 0) < BUDGET and v.get("GLAccount"):
            sums[v["GLAccount"], (v.get("CostCenter") or "").strip(), (v.get("CostUnit") or "").strip(),
                 v.get("FinancialYear") or 0,
                 v.get("FinancialPeriod") or 0, v.get("Status") or 20,
                 v.get("Type") or 0].append(v.get("AmountDC") or 0)
    found = []
    for i, (place, amounts) in enumerate(sorted(sums.items())):
        account, center, unit, year, period, status, kind = place
        gl = division.records[GL].get(account)
        values = gl.values if gl else {}
        named = {n: r.values.get("Description") for n, r in (("C", division.by_code(COSTCENTER, center)),
                                                             ("U", division.by_code(COSTUNIT, unit))) if r}
        found.append({**RESOURCES[BALANCES].template, "ID": str(1_000_000 + i), "GLAccount": account,
                      "GLAccountCode": values.get("Code"),
                      "GLAccountDescription": values.get("Description"), "BalanceType": values.get("BalanceType"),
                      "Amount": number(float(sum(amounts))),
                      "AmountDebit": number(float(sum(a for a in amounts if a > 0))),
                      "AmountCredit": number(float(-sum(a for a in amounts if a < 0))), "Count": len(amounts),
                      "CostCenterCode": center or None,
                      "CostUnitCode": unit or None, "CostCenterDescription": named.get("C"),
                      "CostUnitDescription": named.get("U"),
                      "Division": division.code, "ReportingYear": year, "ReportingPeriod": period, "Status": status,
                      "Type": kind})
    return found


def link_to(parent, child):
    """The field of a child resource that names its parent by key, or None."""
    name = singular(parent.rpartition("/")[2])
    return next((field for field in (f"{name}ID", name, f"{name}Id") if child.types.get(field) == "Guid"), None)


def recode(division, record, code, moves, user, booked=True):
    """The job that gives a cost center or unit another code, in the master and, unless `booked` is false, in all that
    was booked on it; whether `Modified` and row versions of what was booked move is not known: `moves`. How many
    records it reached."""
    old, names = record.values["Code"], ("CostCenter", "Costcenter") if record.entity == COSTCENTER else ("CostUnit",
                                                                                                          "Costunit")
    division.assign(record, {"Code": code})
    division.stamp_user(record, user)
    division.touch(record)
    reached = []
    for table in division.records.values() if booked else ():
        for other in table.values():
            found = [name for name in names if isinstance(other.values.get(name), str)
                     and other.values[name].strip().casefold() == old.strip().casefold()]
            if found:
                other.values.update(dict.fromkeys(found, code))
                reached.append(other)
    for other in reached:
        if moves:
            division.stamp_user(other, user)
            division.touch(other)
        else:
            other.version += 1
    return len(reached)
