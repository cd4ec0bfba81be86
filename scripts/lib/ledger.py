"""The sum over the ledger in Delta: every amount stands once, so debit equals credit in each division and period."""
import collections
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass
class Balance:
    lines: int = 0
    periods: int = 0            # of all divisions
    debit: Decimal = Decimal(0)
    off: list = field(default_factory=list)     # (division, year, period, sum) where debit is not credit

    def __str__(self):
        head = f"{self.lines:,} lines, {self.periods} periods, debit {self.debit:,.2f}: "
        return head + ("equal to credit" if not self.off else f"{len(self.off)} periods do not balance, first "
                       f"{self.off[0]}")


def balance(databricks, table):
    """
    Sums the living lines (never header rows) of a transactionlines table; for lack of a header no amount counts twice.
    """
    sums, found = collections.Counter(), Balance()
    for row in databricks.rows(table):
        if row["_row"] == "line" and str(row["_deleted"]).lower() == "false":
            amount = Decimal(str(row["AmountDC"] or 0))
            sums[row["_division"], row["FinancialYear"], row["FinancialPeriod"]] += amount
            found.lines += 1
            found.debit += max(amount, 0)
    found.periods = len(sums)
    found.off = [(*period, total) for period, total in sorted(sums.items()) if total]
    return found
