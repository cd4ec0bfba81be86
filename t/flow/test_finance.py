"""The ledger in Delta tables: documents read with their lines, their history, and books that balance there."""
from ledger import make_view

LEDGER = ("purchaseentries", "purchaseentrylines", "transactionlines")


def unbalanced(hub):
    """Years and periods in Delta whose debit is not their credit: by the rule for readers, and in the view."""
    return [hub.databricks.sql(f"""SELECT _division, FinancialYear, FinancialPeriod, sum(AmountDC) AS difference
            FROM {table} GROUP BY ALL HAVING sum(AmountDC) <> 0 OR sum(AmountDC) IS NULL""")["rows"]
            for table in (f"{hub.table('transactionlines')} WHERE _row IN ('control', 'line') AND Type < 3000 "
                          "AND NOT _deleted", hub.table("transactionlines_ledger"))]


def test_first_load_and_changes_of_the_ledger(spark, start_hub, equal):
    hub = start_hub(spark, "--preset", "finance", "--records", 80, "--divisions", 1,
                    settings={"exact_databricks.merge_interval": "20s"})
    hub.enable(entities=LEDGER)
    hub.wait_loaded(600)
    report = equal(hub, tables=LEDGER)
    assert report.rows == report.versions and report.deleted == 0
    make_view(hub)
    assert unbalanced(hub) == [[], []]

    changes = hub.exact.random(150, seed=1, deletes=0.1)
    hub.sync(600)
    report = equal(hub, tables=LEDGER)
    assert {change["op"] for change in changes} == {"create", "update", "delete"} and report.deleted > 0
    assert unbalanced(hub) == [[], []]
