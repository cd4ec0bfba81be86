"""Sync sales invoices have the other sign on some services: one plain read tells, and Delta has the plain sign."""
from decimal import Decimal

import pytest

ENTITIES = ("salesinvoices", "salesinvoicelines")
PLAIN = "salesinvoice/SalesInvoices"


def asked(hub):
    return [call for call in hub.exact.get("calls", since=0)["calls"]
            if call["path"].endswith(PLAIN) and "AmountDC" in call["query"] and call["status"] == 200]


def amounts(hub):
    return {(int(row["_division"]), row["_key"]): Decimal(str(row["AmountDC"] or 0))
            for row in hub.databricks.rows(hub.table("salesinvoices")) if str(row["_deleted"]).lower() == "false"}


def plain(hub):
    return {(division, record["key"].lower()): Decimal(str(record["row"]["AmountDC"] or 0)).quantize(Decimal("0.0001"))
            for division in hub.exact.divisions for record in hub.exact.truth(division, PLAIN)
            if not record["deleted"]}


@pytest.mark.parametrize("sign", ["turned", "plain"])
def test_delta_has_the_sign_of_the_plain_resource(engine_free, start_hub, equal, sign):
    hub = start_hub(engine_free, "--preset", "finance", "--records", 200, "--divisions", 2,
                    "--set", f"sync_invoice_sign={sign}")
    hub.enable(entities=ENTITIES)
    hub.wait_loaded(300)
    assert len(asked(hub)) == 2         # one for each division
    assert {row["turned"] for row in hub.query("SELECT turned FROM exact.invoice_sign")} == {sign == "turned"}
    assert {row["state"] for row in hub.query("SELECT result AS state FROM exact.check() "
                                              "WHERE rule LIKE 'sales invoices of%'")} == {"ok"}
    assert any(plain(hub).values()) and amounts(hub) == plain(hub)
    hub.exact.random(80, seed=1, deletes=0.1)
    hub.sync(300)
    assert amounts(hub) == plain(hub) and len(asked(hub)) == 2
    equal(hub, tables=ENTITIES)


def test_nothing_is_delivered_before_the_sign_is_known(engine_free, start_hub, equal):
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1)
    fault = hub.exact.fault(r"\d/salesinvoice/SalesInvoices", "status", status=500, times=2)
    hub.enable(entities=ENTITIES)
    hub.wait_for("the plain read failed", lambda: hub.value(
        "SELECT finding IS NOT NULL AND turned IS NULL FROM exact.invoice_sign") == "t", 60)
    assert fault and hub.value("SELECT sum(delivered_rows) FROM exact.batch WHERE entity LIKE 'salesinvoice%'") == "0"
    [row] = hub.query("SELECT result, finding FROM exact.check() WHERE rule LIKE 'sales invoices of%'")
    assert row["result"] == "warn" and "not known" in row["finding"]
    hub.wait_loaded(300)
    assert amounts(hub) == plain(hub)
    equal(hub, tables=ENTITIES)
