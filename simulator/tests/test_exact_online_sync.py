"""Row versions, sync runs, combined purchase orders, deletions, moved divisions, SyncTimestamp."""
import calendar

import pytest

from simulator.exact_online.harness import Running

ORDERS = "sync/PurchaseOrder/PurchaseOrders"
SELECT = ("ID,LineNumber,PurchaseOrderID,OrderNumber,AmountDC,CostCenter,CostCenterCode,Description,Modified,Timestamp,"
          "Division")


@pytest.fixture(scope="module")
def started():
    with Running("--records", 7500, "--divisions", 24, "--minute-limit", 0, "--day-limit", 0, "--error-limit",
                 0) as running:
        yield running, iter(running.info["divisions"])


@pytest.fixture
def sim(started):
    """The running simulator, a division that no other test touched, and default settings."""
    running, divisions = started
    running.division = next(divisions)["code"]
    running.control("config", {"sync_page_size": 1000, "sync_order": "timestamp", "deleted_keys": "both",
                               "header_row_id": "order",
                               "missing_scopes": []})
    running.authorize()
    return running


def run(sim, resource, mark=1, select="ID,Timestamp"):
    return sim.all(f"{resource}?$filter=Timestamp gt {mark}L&$select={select}")


def newest(rows):
    return max(int(r["Timestamp"]) for r in rows)


@pytest.mark.parametrize("resource", ["sync/Financial/GLAccounts", "sync/Logistics/Items", "sync/CRM/Accounts", ORDERS])
def test_first_run_brings_everything_in_timestamp_order(sim, resource):
    sim.control("config", {"sync_page_size": 20})
    truth = sim.truth(resource)
    fields = list(next(iter(truth.values()))[0])
    rows = run(sim, resource, select=",".join(fields))
    assert len(rows) == len(truth)
    stamps = [int(r["Timestamp"]) for r in rows]
    assert stamps == sorted(set(stamps)) and stamps[0] > 2**31 and isinstance(rows[0]["Timestamp"], str)
    for row in rows:
        meta = row.pop("__metadata")
        assert meta["uri"] == f"{sim.url}/api/v1/{sim.division}/{resource}({row['Timestamp']}L)"
        key = row["PurchaseOrderID"] if resource == ORDERS and row["LineNumber"] == 0 else row["ID"]
        assert row == truth[key][0]
    assert run(sim, resource, stamps[-1]) == []


def test_a_changed_row_comes_in_the_next_run_and_again_when_changed_during_a_run(sim):
    mark = newest(run(sim, "sync/CRM/Accounts"))
    key = run(sim, "sync/CRM/Accounts")[0]["ID"]
    sim.change("crm/Accounts", "update", key, {"Name": "Renamed"})
    (row,) = run(sim, "sync/CRM/Accounts", mark, "ID,Name,Timestamp")
    assert row["ID"] == key and row["Name"] == "Renamed" and int(row["Timestamp"]) > mark
    sim.control("config", {"sync_page_size": 10})
    first = sim.get("sync/CRM/Accounts?$filter=Timestamp gt 1L&$select=ID,Name,Timestamp")
    changed = first.rows[3]
    sim.change("crm/Accounts", "update", changed["ID"], {"Name": "Changed while pages were read"})
    rest = sim.all(first.following)
    assert rest[-1]["ID"] == changed["ID"] and rest[-1]["Name"] == "Changed while pages were read"


def test_key_order(sim):
    sim.control("config", {"sync_order": "key", "sync_page_size": 10})
    for resource in ("sync/Logistics/Items", ORDERS):
        rows = run(sim, resource)
        keys = [r["ID"] for r in rows]
        assert keys == sorted(set(keys)) and len(keys) == len(sim.truth(resource))
        stamps = [int(r["Timestamp"]) for r in rows]
        assert stamps != sorted(stamps)


def test_combined_rows(sim):
    lines, orders = sim.truth("purchaseorder/PurchaseOrderLines"), sim.truth("purchaseorder/PurchaseOrders")
    centers = {row["Code"]: key for key, (row, _) in sim.truth("hrm/Costcenters").items()}
    rows = run(sim, ORDERS, select=SELECT)
    headers = {r["PurchaseOrderID"]: r for r in rows if r["LineNumber"] == 0}
    assert set(headers) == set(orders) and {r["ID"] for r in rows if r["LineNumber"]} == set(lines)
    coded = 0
    for row in rows:
        if row["LineNumber"]:
            line = lines[row["ID"]][0]
            assert row["AmountDC"] == line["AmountDC"] and row["PurchaseOrderID"] == line["PurchaseOrderID"]
            assert row["OrderNumber"] == orders[row["PurchaseOrderID"]][0]["OrderNumber"]
            assert row["CostCenterCode"] == line["CostCenter"] and row["CostCenter"] == centers.get(line["CostCenter"])
            coded += line["CostCenter"] is not None
        else:
            assert row["CostCenter"] is None and row["AmountDC"] == orders[row["PurchaseOrderID"]][0]["AmountDC"]
    assert coded > 10
    sim.control("config", {"header_row_id": "null"})
    assert {r["ID"] for r in run(sim, ORDERS, select="ID,LineNumber") if r["LineNumber"] == 0} == {None}


def test_any_change_moves_every_row_of_the_order_and_only_the_changed_ones_are_modified(sim):
    order = next(k for k, (row, _) in sim.truth("purchaseorder/PurchaseOrders").items()
                 if row["PurchaseOrderLineCount"] >= 3)
    before = {r["ID"]: r for r in run(sim, ORDERS, select=SELECT) if r["PurchaseOrderID"] == order}
    mark = newest(run(sim, ORDERS))
    line = next(r for r in before.values() if r["LineNumber"] == 2)
    sim.change("purchaseorder/PurchaseOrderLines", "update", line["ID"], {"QuantityInPurchaseUnits": 777})
    after = {r["ID"]: r for r in run(sim, ORDERS, mark, SELECT)}
    assert set(after) == set(before)
    for key, row in after.items():
        touched = row["LineNumber"] in (0, 2)
        assert (row["Modified"] != before[key]["Modified"]) == touched
    header = after[order]
    assert abs(header["AmountDC"] - sum(r["AmountDC"] for r in after.values() if r["LineNumber"])) < 1e-6
    mark = newest(after.values())
    sim.change("purchaseorder/PurchaseOrders", "update", order, {"Remarks": "header only"})
    assert {r["ID"] for r in run(sim, ORDERS, mark)} == set(before)


def deleted(sim, mark=1, extra=""):
    fields = "EntityKey,EntityType,Timestamp,DeletedDate,DeletedBy,Division,ID"
    return sim.all(f"sync/Deleted?$filter=Timestamp gt {mark}L{extra}&$select={fields}")


@pytest.mark.parametrize("mode", ["both", "lines", "header"])
def test_deletions_of_purchase_orders(sim, mode):
    sim.control("config", {"deleted_keys": mode})
    order, other = list(sim.truth("purchaseorder/PurchaseOrders"))[:2]
    lines = {k for k, (r, _) in sim.truth("purchaseorder/PurchaseOrderLines").items() if r["PurchaseOrderID"] == order}
    mark = newest(run(sim, ORDERS))
    sim.change("purchaseorder/PurchaseOrders", "delete", order)
    rows = deleted(sim)
    assert {r["EntityKey"] for r in rows} == (lines if mode != "header" else set()) | ({order} if mode != "lines"
                                                                                       else set())
    assert {r["EntityType"] for r in rows} == {22} and {r["Division"] for r in rows} == {sim.division}
    assert newest(rows) < 2**31 < mark
    assert run(sim, ORDERS, mark) == [] and order not in {r["PurchaseOrderID"]
                                                          for r in run(sim, ORDERS, select="PurchaseOrderID")}
    truth = sim.truth(ORDERS)
    assert truth[order][1] and truth[order][0]["LineNumber"] == 0 and all(truth[k][1] for k in lines)
    line = next(k for k, (r, gone) in sim.truth("purchaseorder/PurchaseOrderLines").items()
                if r["PurchaseOrderID"] == other)
    sim.change("purchaseorder/PurchaseOrders", "update", other, {}, [{"ID": line, "delete": True}])
    assert [r["EntityKey"] for r in deleted(sim, newest(rows))] == [line]
    assert line not in {r["ID"] for r in run(sim, ORDERS, mark)}


def test_deleted_stream_of_all_entities_and_its_two_months(sim):
    keys = {}
    for entity, code in (("financial/GLAccounts", 7), ("logistics/Items", 9), ("crm/Accounts", 2)):
        keys[code] = next(iter(sim.truth(entity)))
        sim.change(entity, "delete", keys[code])
    cost = next(iter(sim.truth("hrm/Costcenters")))
    sim.change("hrm/Costcenters", "delete", cost)
    rows = deleted(sim)
    assert {r["EntityType"]: r["EntityKey"] for r in rows} == keys
    assert [r["EntityKey"] for r in deleted(sim, 1, " and EntityType eq 9")] == [keys[9]]
    assert sim.get("sync/Deleted?$filter=DeletedDate gt datetime'2020-01-01'").status == 400
    assert cost not in {r["ID"]
                        for r in sim.all("hrm/Costcenters?$select=ID")} and sim.truth("hrm/Costcenters")[cost][1]
    sim.control("clock", {"advance": 62 * 86400})
    sim.authorize()
    assert deleted(sim) == []


def test_filters_and_options_that_sync_refuses(sim):
    key = next(iter(sim.truth("crm/Accounts")))
    for option in (f"$filter=ID eq guid'{key}'", "$filter=Modified gt datetime'2025-01-01'", "$filter=Timestamp gt 1",
                   "$orderby=Timestamp",
                   "$skip=5"):
        assert sim.get(f"sync/CRM/Accounts?$select=ID&{option}").status == 400, option
    assert sim.get(f"{ORDERS}?$filter=Timestamp gt 1L and LineNumber eq 0&$select=ID").status == 400
    assert sim.call("POST", "sync/CRM/Accounts", {"Name": "x"}).status == 405


def test_descriptive_fields_are_empty_in_sync_rows(sim):
    for sync, plain, field in (("sync/Financial/GLAccounts", "financial/GLAccounts", "TypeDescription"),
                               ("sync/CRM/Accounts", "crm/Accounts", "LanguageDescription"),
                               ("sync/Logistics/Items", "logistics/Items", "UnitDescription")):
        assert {r[field] for r in run(sim, sync, select=field)} == {None}
        assert any(r[field] for r in sim.get(f"{plain}?$select={field}").rows)


def test_joined_names_change_without_a_new_row_version(sim):
    rows = run(sim, ORDERS, select="ID,Supplier,SupplierName,LineNumber,Timestamp")
    supplier, mark = rows[0]["Supplier"], newest(rows)
    sim.change("crm/Accounts", "update", supplier, {"Name": "Another name"})
    assert run(sim, ORDERS, mark) == []
    again = run(sim, ORDERS, select="Supplier,SupplierName")
    assert {r["SupplierName"] for r in again if r["Supplier"] == supplier} == {"Another name"}
    assert "SupplierName" in sim.control(f"truth?division={sim.division}&resource={ORDERS}")["derived"]


def test_moved_division_starts_again_lower(sim):
    mark = newest(run(sim, "sync/Logistics/Items"))
    sim.control("division", {"code": sim.division, "move_date": "2026-11-01T03:00:00"})
    row = sim.get(f"system/Divisions?$filter=Code eq {sim.division}").rows[0]
    assert row["DivisionMoveDate"].startswith("/Date(") and run(sim, "sync/Logistics/Items", mark) == []
    rows = run(sim, "sync/Logistics/Items")
    assert len(rows) == len(sim.truth("logistics/Items")) and newest(rows) < mark
    sim.control("division", {"code": sim.division, "hr_link_date": "2026-11-02"})
    assert sim.get(f"system/Divisions?$filter=Code eq {sim.division}").rows[0][
        "DivisionHRLinkUnlinkDate"] == "/Date(1793577600000)/"
    assert {r["ID"]: r["Timestamp"] for r in run(sim, "sync/Logistics/Items")} != {r["ID"]: r["Timestamp"]
                                                                                   for r in rows}


def test_sync_timestamp(sim):
    rows = run(sim, "sync/CRM/Accounts", select="ID,Modified,Timestamp")
    reply = sim.get("read/sync/Sync/SyncTimestamp?modified=datetime'2025-06-01'&endPoint='Accounts'")
    assert isinstance(reply.json()["d"], list)
    stamp = int(reply.rows[0]["TimeStampAsBigInt"])
    edge = calendar.timegm((2025, 6, 1, 0, 0, 0)) * 1000
    late = {r["ID"] for r in rows if int(r["Modified"][6:-2]) >= edge}
    assert late and late == {r["ID"] for r in run(sim, "sync/CRM/Accounts", stamp)}
    assert sim.get("read/sync/Sync/SyncTimestamp?modified=datetime'2025-06-01'&endPoint='Nothing'").status == 400
    assert sim.get("read/sync/Sync/SyncTimestamp").status == 400
    sim.control("config", {"missing_scopes": ["organization.administration"]})
    assert sim.get("read/sync/Sync/SyncTimestamp?modified=datetime'2025-06-01'&endPoint='Accounts'").status == 403
