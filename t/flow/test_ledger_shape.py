"""What row 0 of the transaction lines is differs between divisions; the hub learns it, and the ledger view follows."""
import collections
from decimal import Decimal

import pytest
from ledger import balance, make_view

SHAPES = {"control": "control", "repeat": "repeat", "lines": "total"}     # of the books, and what the hub calls it
ENTITIES = ("glaccount", "purchaseentries", "purchaseentrylines", "transactionlines")


def check(hub):
    """Rows of exact.check() about the ledger."""
    return hub.query("SELECT result, finding FROM exact.check() WHERE rule LIKE 'ledger of division%'")


def sums(hub, view):
    """({(division, year, period): sum}, {account type: sum of absolutes}) of the ledger view."""
    kinds = {(row["_division"], row["_key"]): int(row["Type"]) for row in hub.databricks.rows(hub.table("glaccount"))}
    periods, accounts = collections.Counter(), collections.Counter()
    for row in hub.databricks.rows(view):
        assert row["AmountDC"] is not None, row
        amount = Decimal(str(row["AmountDC"]))
        periods[row["_division"], row["FinancialYear"], row["FinancialPeriod"]] += amount
        accounts[kinds.get((row["_division"], row["GLAccount"]))] += abs(amount)
    return periods, accounts


@pytest.mark.parametrize("books", SHAPES)
def test_the_view_balances(engine_free, start_hub, equal, books):
    hub = start_hub(engine_free, "--preset", "finance", "--records", 300, "--divisions", 2, "--set", f"ledger={books}")
    hub.enable(entities=ENTITIES)
    hub.wait_loaded(300)
    for seed in range(2):
        view = make_view(hub, SHAPES[books])
        periods, accounts = sums(hub, view)
        assert periods and not any(periods.values()), periods
        assert accounts[20] and accounts[22] and accounts[12]       # debtors, creditors, bank
        ledger = balance(hub.databricks, hub.table("transactionlines"), books)
        assert not ledger.off and ledger.lines == len(hub.databricks.rows(view))
        assert all(row["result"] == "ok" for row in check(hub)), check(hub)
        equal(hub, tables=ENTITIES)
        hub.exact.random(100, seed=seed, deletes=0.1)
        hub.sync(300)


def test_mixed_books_are_not_summed(engine_free, start_hub):
    """Entries that differ in what row 0 is: no amount is shown, and check() says why."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1)
    hub.enable(entities=ENTITIES)
    hub.wait_loaded(300)
    view = make_view(hub, "control")
    hub.exact.post("config", ledger="repeat")
    hub.exact.random(60, seed=1, deletes=0)
    hub.sync(300)
    assert hub.value("SELECT shape FROM exact.ledger_shape") == "mixed"
    make_view(hub, "mixed")
    assert {row["AmountDC"] for row in hub.databricks.rows(view)} == {None}
    assert {row["_ledger"] for row in hub.databricks.rows(view)} == {"mixed"}
    [row] = check(hub)
    assert row["result"] == "warn" and "no sum is right" in row["finding"]
