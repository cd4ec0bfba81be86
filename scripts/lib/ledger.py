"""The sum over the ledger in Delta: debit equals credit in each division and period, control rows among them."""
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


BUDGET = 3000       # types from here on are no ledger
# what row 0 counts in a sum, by the shape of the books (setting ledger of the simulator)
ROW_ZERO = {"control": 1, "lines": -1, "repeat": 0}


def balance(databricks, table, ledger="control"):
    """Sums the living rows of a transactionlines table of books of this shape."""
    sums, found = collections.Counter(), Balance()
    for row in databricks.rows(table):
        counts = ROW_ZERO[ledger] if int(row["LineNumber"]) == 0 else 1
        if counts and str(row["_deleted"]).lower() == "false" and int(row["Type"]) < BUDGET:
            amount = counts * Decimal(str(row["AmountDC"] or 0))
            sums[row["_division"], row["FinancialYear"], row["FinancialPeriod"]] += amount
            found.lines += 1
            found.debit += max(amount, 0)
    found.periods = len(sums)
    found.off = [(*period, total) for period, total in sorted(sums.items()) if total]
    return found


def make_view(hub, shape=None, seconds=180):
    """The ledger view, once exact_state says what row 0 is (`shape`: in the words of exact.ledger_shape)."""
    def told():
        return {row["ledger"] for row in hub.databricks.rows(hub.table("exact_state"))
                if row["entity"] == "transactionlines"}

    known = {shape} if shape else {"control", "repeat", "total"}
    hub.psql("SELECT exact.restart_workers()")      # what is open is looked at when a loader starts, then each minute
    hub.wait_for("exact_state is there", lambda: hub.value(
        "SELECT exact._state_is_told('lake')") == "t", seconds)
    hub.wait_for("exact_state says what row 0 is", lambda: told() and told() <= known, seconds)
    hub.psql("SELECT exact.create_views('lake')")
    request = hub.value("SELECT max(id) FROM exact.request WHERE kind = 'views'")
    assert hub.value(f"SELECT exact.wait({request}, '{seconds} s')", seconds=seconds + 20) == "done"
    return hub.table("transactionlines_ledger")
