"""A record changes while it is being read: the older state never wins, and no change is lost."""
import pytest

GL = "financial/GLAccounts"
SYNC = "sync/Financial/GLAccounts"


def hits(hub, fault):
    return next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"])


@pytest.mark.parametrize("action, how", [("slow_body", {"bytes_per_second": 4000}), ("delay_after", {"seconds": 3})])
def test_slow_page_with_an_older_state(engine_free, start_hub, equal, action, how):
    """The page that holds state A is still on its way when the record becomes B and further reads are asked for."""
    hub = start_hub(engine_free, "--records", 80, "--divisions", 2)
    hub.enable(entities=("glaccount",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    key = next(r["key"] for r in hub.exact.truth(division, GL) if not r["deleted"])
    fault = hub.exact.fault(f"/{division}/sync/Financial/GLAccounts", action, **how)
    hub.exact.change(division, GL, "update", key, fields={"Description": "state A"})
    hub.psql("SELECT exact.sync_now()")
    hub.wait_for("the slow answer is under way", lambda: hits(hub, fault), 30, 0.05)
    hub.exact.change(division, GL, "update", key, fields={"Description": "state B"})
    hub.sync(60, division, "glaccount")
    hub.sync(60)
    rows = {r["_key"]: r for r in hub.databricks.rows(hub.table("glaccount"))}
    assert rows[key]["Description"] == "state B"
    equal(hub, tables=("glaccount",))


@pytest.mark.parametrize("order", ["timestamp", "key"])
@pytest.mark.parametrize("operation", ["update", "delete"])
def test_change_while_pages_are_read(engine_free, start_hub, equal, order, operation):
    """
    A record of the first page changes or goes while the second page is asked for; also where pages do not come by row
    version.
    """
    hub = start_hub(engine_free, "--records", 200, "--divisions", 1, "--sync-page-size", 4, "--sync-order", order)
    division = hub.exact.divisions[0]
    fault = hub.exact.fault(f"{SYNC}.*skiptoken", "delay", seconds=2)
    hub.enable(entities=("glaccount",))
    hub.wait_for("the second page is asked for", lambda: hits(hub, fault), 60, 0.05)
    first = hub.exact.served(division, SYNC)[0]["key"]
    hub.exact.change(division, GL, operation, first,
                     **({"fields": {"Description": "changed while reading"}} if operation == "update" else {}))
    hub.exact.random(5, division=division, resource=GL, deletes=0)
    hub.wait_loaded()
    hub.sync(60)
    equal(hub, tables=("glaccount",))


def test_document_changes_between_its_pages(engine_free, start_hub, equal):
    """Header and lines of one purchase order on different pages, changed in between, a line removed."""
    hub = start_hub(engine_free, "--records", 200, "--divisions", 1, "--sync-page-size", 5)
    division, orders = hub.exact.divisions[0], "purchaseorder/PurchaseOrders"
    fault = hub.exact.fault("sync/PurchaseOrder/PurchaseOrders.*skiptoken", "delay", seconds=2)
    hub.enable(entities=("purchaseorders", "purchaseorderlines"))
    hub.wait_for("the second page is asked for", lambda: hits(hub, fault), 60, 0.05)
    row = next(v["row"] for v in hub.exact.served(division, "sync/PurchaseOrder/PurchaseOrders"))
    lines = [r["key"] for r in hub.exact.truth(division, "purchaseorder/PurchaseOrderLines")
             if not r["deleted"] and r["row"]["PurchaseOrderID"] == row["PurchaseOrderID"]]
    change = [{"ID": lines[0], "Quantity": 77}] + ([{"ID": lines[1], "delete": True}] if len(lines) > 1 else [])
    hub.exact.change(division, orders, "update", row["PurchaseOrderID"], fields={"YourRef": "changed"}, lines=change)
    hub.wait_loaded()
    hub.sync(60)
    hub.exact.random(10, division=division, resource=orders, deletes=0.3)
    hub.sync(60)
    equal(hub, tables=("purchaseorders", "purchaseorderlines"))
