"""The whole catalogue: every endpoint of the table, the 59 sync sets with their codes and identities, and what is
odd about some."""
import collections

import pytest

from simulator.exact_online.catalogue import RESOURCES, SYNC_OF_TYPE
from simulator.exact_online.harness import Running

SETS = [path for path, r in RESOURCES.items() if r.kind == "sync" and r.entity_type]
LISTS = [path for path, r in RESOURCES.items() if r.kind in ("entity", "bulk")
         and r.path != "webhooks/WebhookSubscriptions"]
NO_CHANGE = {"sync/Financial/TransactionLines"}     # made by entries only


@pytest.fixture(scope="module")
def everything():
    with Running("--preset", "all", "--records", 300, "--divisions", 2, "--minute-limit", 0, "--day-limit", 0,
                 "--error-limit", 0) as made:
        made.authorize(age=0)
        yield made


@pytest.fixture
def sim(everything):
    everything.authorize()
    return everything


def target(sim, path):
    if path.startswith("beta/"):
        return f"/api/v1/beta/{sim.division}/{path[5:]}"
    return f"/api/v1/{path}" if path.startswith("current/") else path


def living(sim, path):
    return {key: row for key, (row, gone) in sim.truth(path).items() if not gone}


def test_every_list_of_the_catalogue_is_served_with_its_fields_and_types(sim):
    seen = collections.Counter()
    for path in LISTS:
        resource = RESOURCES[path]
        fields = ",".join(resource.fields)
        reply = sim.get(f"{target(sim, path)}?$select={fields}")
        assert reply.status == 200, (path, reply.text[:200])
        for row in reply.rows:
            assert set(row) == {"__metadata", *resource.fields}, path
            for name, value in row.items():
                edm = resource.types.get(name)
                if value is None or name == "__metadata":
                    continue
                if edm in ("Guid", "String", "DateTime", "Int64", "Binary"):
                    assert isinstance(value, str), (path, name, value)
                elif edm in ("Byte", "Int16", "Int32"):
                    assert isinstance(value, int), (path, name, value)
                seen[edm] += 1
        if not path.endswith("GetMostRecentlyUsedDivisions"):
            assert reply.rows, path
    assert {"Guid", "String", "DateTime", "Byte", "Int16", "Int32", "Int64", "Double", "Boolean", "Binary"} <= set(seen)
    assert len(LISTS) > 290


def test_functions_and_actions(sim):
    functions = [path for path, r in RESOURCES.items() if r.kind == "function"
                 and r.path != "read/sync/Sync/SyncTimestamp"]
    for path in functions:
        reply = sim.get(f"{path}?itemId=guid'{sim.division:08d}-0000-4000-8000-000000000000'")
        assert reply.status == 200 and isinstance(reply.json()["d"], list), path
    actions = [path for path, r in RESOURCES.items() if r.kind == "action"]
    assert len(functions) == 57 and len(actions) == 19
    for path in actions:
        assert sim.get(path).status == 405 and sim.call("POST", path, {}).status == 201


def test_single_records_by_keys_of_every_type(sim):
    kinds = set()
    for path in LISTS:
        resource = RESOURCES[path]
        if path.endswith("GetMostRecentlyUsedDivisions") or resource.kind == "bulk":
            continue
        row = sim.get(f"{target(sim, path)}?$top=1").rows[0]
        reply = sim.get(row["__metadata"]["uri"])
        assert reply.status == 200 and reply.json()["d"][resource.key] == row[resource.key], (path,
                                                                                              row["__metadata"]["uri"],
                                                                                              reply.text[:200])
        kinds.add("+".join(resource.types[k] for k in resource.keys))
    assert {"Guid", "Int32", "Int64", "Int16", "String+Int32+Int32", "Int32+Guid+Int32", "String"} <= kinds


def test_every_sync_set_has_rows_a_code_and_an_identity(sim):
    assert len(SETS) == 59 and set(SYNC_OF_TYPE) == set(range(1, 60)) - {52}
    for path in SETS:
        resource = RESOURCES[path]
        rows = sim.all(f"{path}?$filter=Timestamp gt 1L&"
                       f"$select={','.join(dict.fromkeys(('Timestamp', resource.identity)))}")
        assert rows and [int(r["Timestamp"]) for r in rows] == sorted(int(r["Timestamp"]) for r in rows), path
        assert sim.get(f"{path}?$filter=Timestamp gt 1L&$orderby=Timestamp&$select=Timestamp").status == 400
    assert RESOURCES["sync/SalesOrder/GoodsDeliveries"].identity == RESOURCES[
        "sync/Subscription/Subscriptions"].identity == "EntryID"
    assert "ID" not in RESOURCES["sync/Manufacturing/MaterialIssues"].types
    assert SYNC_OF_TYPE[8] == ["sync/Logistics/PurchaseItemPrices", "sync/Logistics/SalesItemPrices"]


@pytest.mark.parametrize("path", [p for p in SETS if p not in NO_CHANGE])
def test_a_deletion_in_every_set_is_logged_with_its_code(sim, path):
    resource = RESOURCES[path]
    for entity in resource.entities:
        if entity in ("purchaseorder/PurchaseOrders", "salesinvoice/SalesInvoices"):
            continue        # combined sets: tests of their own
        known = max((int(r["Timestamp"]) for r in sim.all("sync/Deleted?$filter=Timestamp gt 1L&$select=Timestamp")),
                    default=1)
        made = sim.change(entity, "create", fields={"Name": "New"} if entity == "crm/Accounts" else {})
        found = [r
                 for r in sim.all(f"{path}?$filter=Timestamp gt {int(made['timestamp']) - 1}L&$select=Timestamp,"
                                  f"{resource.identity}")
                 if resource.identity == "Timestamp" or str(r[resource.identity]) == made["key"]]
        assert found, (path, entity)
        sim.change(entity, "delete", made["key"])
        log = sim.all(f"sync/Deleted?$filter=Timestamp gt {known}L&$select=EntityKey,EntityType")
        assert [(r["EntityKey"], r["EntityType"]) for r in log] == [(made["key"], resource.entity_type)]


def test_two_kinds_in_one_set_and_lines_of_the_catalogue(sim):
    for path, kinds in (("sync/Cashflow/PaymentTerms", ("cashflow/Payments", "cashflow/Receivables")),
                        ("sync/Project/TimeCostTransactions",
                         ("project/CostTransactions", "project/TimeTransactions"))):
        rows = sim.all(f"{path}?$filter=Timestamp gt 1L&$select=ID,Timestamp")
        assert {r["ID"] for r in rows} == {key for kind in kinds for key in living(sim, kind)}
    headers = sim.all("sync/SalesOrder/SalesOrderHeaders?$filter=Timestamp gt 1L&$select=OrderID,Timestamp,ID")
    lines = sim.all("sync/SalesOrder/SalesOrderLines?$filter=Timestamp gt 1L&$select=ID,OrderID,Timestamp")
    orders = set(living(sim, "salesorder/SalesOrders"))
    assert {r["OrderID"] for r in lines} <= orders
    assert len(headers) == len(orders)
    found = sim.all("salesorder/SalesOrders?$expand=SalesOrderLines&$select=OrderID,SalesOrderLines/ID")
    shown = {line["ID"] for r in found for line in r["SalesOrderLines"]["results"]}
    assert shown == set(living(sim, "salesorder/SalesOrderLines"))


def test_a_set_on_which_everything_moves(sim):
    path = "sync/Inventory/StockPositions"

    def mark():
        return max(int(r["Timestamp"]) for r in sim.all(f"{path}?$filter=Timestamp gt 1L&$select=Timestamp"))
    before = mark()
    order = next(iter(living(sim, "purchaseorder/PurchaseOrders")))
    sim.change("purchaseorder/PurchaseOrders", "update", order, {"Remarks": "moved"})
    assert mark() > before


def test_changes_of_rows_whose_keys_are_no_guids(sim):
    kinds = {}
    for path in LISTS:
        resource = RESOURCES[path]
        own = resource.generic and resource.kind == "entity" and resource.entity == path
        if own and path != "financial/ReportingBalance":
            kinds.setdefault(resource.types[resource.key], path)
    for kind in ("Int32", "Int64", "String", "DateTime"):
        path = kinds.get(kind)
        if path is None or len(RESOURCES[path].keys) > 1:
            continue
        made = sim.change(path, "create", fields={})
        assert made["row"] and made["key"] is not None
        sim.change(path, "delete", made["key"])
        assert sim.truth(path)[str(made["key"])][1]


def test_random_changes_reach_the_catalogue(sim):
    made = sim.control("random", {"count": 300, "seed": 4, "deletes": 0.2})["changes"]
    touched = {c["resource"] for c in made}
    assert len(touched & {p for p, r in RESOURCES.items() if r.generic}) > 30 and all(c["what"] for c in made)


def test_the_preset_wide_has_the_sets_and_not_the_rest():
    with Running("--preset", "wide", "--records", 200, "--divisions", 1, "--minute-limit", 0, "--set",
                 "rows_each=3") as sim:
        sim.authorize()
        assert sim.get("sync/CRM/Addresses?$filter=Timestamp gt 1L&$select=ID,Timestamp").status == 200
        assert len(sim.all("crm/Addresses?$select=ID")) == 3 and len(sim.all("bulk/CRM/Addresses?$select=ID")) == 3
        assert sim.get("crm/Opportunities?$select=ID").status == 404 and sim.get(
            "financial/ReportingBalance").status == 200
        for path in ("crm/Addresses", "documents/Documents"):
            assert sim.control("random", {"count": 3, "resource": path})["changes"]
    with Running("--records", 80, "--divisions", 1) as sim:
        sim.authorize()
        assert sim.get("crm/Addresses?$select=ID").status == 404 and sim.get("vat/VATCodes").status == 404
