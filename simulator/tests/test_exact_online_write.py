"""POST, PUT, DELETE: what is stored, dropped without a word, or refused."""
import pytest

from simulator.exact_online.harness import Running


@pytest.fixture(scope="module")
def sim():
    with Running("--records", 600, "--divisions", 2, "--minute-limit", 0, "--day-limit", 0, "--error-limit",
                 0) as running:
        running.authorize()
        yield running


def one(sim, entity, key, select=""):
    return sim.get(f"{entity}(guid'{key}')" + (f"?$select={select}" if select else "")).json()["d"]


@pytest.mark.parametrize("entity,values", [
    ("hrm/Costcenters", {"Code": "WR1", "Description": "Nieuw"}),
    ("hrm/Costunits", {"Code": "WR1", "Description": "Nieuw"}),
    ("financial/GLAccounts", {"Code": "4990", "Description": "Diversen", "BalanceSide": "D"})])
def test_create_read_update_delete(sim, entity, values):
    made = sim.call("POST", entity, values)
    assert made.status == 201 and made.headers["Location"].startswith(sim.url)
    row = made.json()["d"]
    assert {k: row[k] for k in values} == values and row["Division"] == sim.division and row["Created"]
    changed = sim.call("PUT", f"{entity}(guid'{row['ID']}')", {"Description": "Anders"})
    assert (changed.status, changed.body) == (204, b"")
    now = one(sim, entity, row["ID"])
    assert now["Description"] == "Anders" and now["Code"] == values["Code"]
    gone = sim.call("DELETE", f"{entity}(guid'{row['ID']}')")
    assert (gone.status, gone.body) == (204, b"")
    assert sim.get(f"{entity}(guid'{row['ID']}')").status == 404
    assert sim.call("DELETE", f"{entity}(guid'{row['ID']}')").status == 404


def test_code_of_a_cost_center_can_only_be_given_at_creation(sim):
    for entity in ("hrm/Costcenters", "hrm/Costunits"):
        row = sim.call("POST", entity, {"Code": "FIX", "Description": "x"}).json()["d"]
        assert sim.call("PUT", f"{entity}(guid'{row['ID']}')", {"Code": "OTHER", "EndDate": "2025-12-31"}).status == 204
        now = one(sim, entity, row["ID"])
        assert now["Code"] == "FIX" and now["EndDate"] == "/Date(1767139200000)/"
        assert sim.call("PUT", f"{entity}(guid'{row['ID']}')", {"EndDate": None}).status == 204
        assert one(sim, entity, row["ID"])["EndDate"] is None


def test_a_put_that_changes_nothing_leaves_the_record_alone(sim):
    row = sim.call("POST", "hrm/Costcenters", {"Code": "SAME", "Description": "x"}).json()["d"]
    assert sim.call("PUT", f"hrm/Costcenters(guid'{row['ID']}')", {"Code": "ELSE"}).status == 204
    assert one(sim, "hrm/Costcenters", row["ID"])["Modified"] == row["Modified"]


def test_read_only_fields_are_dropped_silently(sim):
    made = sim.call("POST", "financial/GLAccounts",
                    {"Code": "4991", "Description": "x", "TypeDescription": "mine", "Division": 5,
                     "ID": "11111111-2222-4333-8444-555555555555"})
    row = made.json()["d"]
    assert made.status == 201 and row["Division"] == sim.division and row[
        "ID"] != "11111111-2222-4333-8444-555555555555"
    assert sim.call("PUT", f"financial/GLAccounts(guid'{row['ID']}')",
                    {"Created": "2001-01-01", "Description": "y"}).status == 204
    now = one(sim, "financial/GLAccounts", row["ID"])
    assert now["Description"] == "y" and now["Created"] == row["Created"]


@pytest.mark.parametrize("entity", ["hrm/Costcenters", "financial/GLAccounts", "logistics/Items", "crm/Accounts"])
def test_duplicates_are_500_in_dutch(sim, entity):
    existing = next(row for row, gone in sim.truth(entity).values() if not gone)
    body = {"Code": existing["Code"].strip(), "Description": "x", "Name": "x"}
    body.pop("Name" if entity != "crm/Accounts" else "Description")
    again = sim.call("POST", entity, body)
    assert (again.status, again.error) == (500, "Gegeven bestaat reeds.")
    if entity != "hrm/Costcenters":
        unchanged = sim.call("PUT", f"{entity}(guid'{existing['ID']}')", {"Code": existing["Code"]})
        assert (unchanged.status, unchanged.error) == (500, "Gegeven bestaat reeds.")


@pytest.mark.parametrize("entity,body,status", [
    ("hrm/Costcenters", {"Code": "A"}, 500), ("hrm/Costcenters", {"Code": "123456789", "Description": "x"}, 500),
    ("hrm/Costcenters", {"Code": "L60", "Description": "x" * 61}, 500),
    ("hrm/Costcenters", {"Code": "A", "Description": "x", "Nothing": 1}, 400),
    ("hrm/Costcenters", {"Code": 5, "Description": "x"}, 400), ("hrm/Costcenters", "{not json", 400),
    ("hrm/Costcenters", "[]", 400),
    ("purchaseorder/PurchaseOrders", {"Supplier": "00000000-0000-4000-8000-000000000000", "PurchaseOrderLines": [{}]},
     500),
    ("purchaseorder/PurchaseOrders", {"PurchaseOrderLines": []}, 500),
    ("financial/GLAccounts", {"Code": "4992", "Description": "x", "Costcenter": "??"}, 500)])
def test_bad_bodies(sim, entity, body, status):
    reply = sim.call("POST", entity, body)
    assert reply.status == status and reply.error


def test_prefer_return_representation(sim):
    bare = sim.call("POST", "logistics/Items", {"Code": "BARE", "Description": "x"}).json()["d"]
    assert bare["ID"] and bare["Code"] is None
    assert one(sim, "logistics/Items", bare["ID"])["Code"] == "BARE"
    full = sim.call("POST", "logistics/Items", {"Code": "FULL", "Description": "x"},
                    headers={"Prefer": "return=representation"}).json()["d"]
    assert full["Code"] == "FULL"
    account = sim.call("POST", "crm/Accounts", {"Name": "Nieuwe klant", "Country": "NL"},
                       headers={"Prefer": "return=representation"}).json()["d"]
    assert len(account["Code"]) == 18 and account["Country"] == "NL "


def test_purchase_order_with_lines(sim):
    supplier = next(k for k, (r, _) in sim.truth("crm/Accounts").items() if r["IsSupplier"])
    items = [k for k, _ in zip(sim.truth("logistics/Items"), range(2))]
    center = next(r["Code"] for r, gone in sim.truth("hrm/Costcenters").values() if not gone)
    lines = [{"Item": items[0], "QuantityInPurchaseUnits": 3, "UnitPrice": 0.1, "CostCenter": center},
             {"Item": items[1], "QuantityInPurchaseUnits": 2, "UnitPrice": 10}]
    made = sim.call("POST", "purchaseorder/PurchaseOrders",
                    {"Supplier": supplier, "Currency": "EUR", "PurchaseOrderLines": lines})
    assert made.status == 201
    order = made.json()["d"]["PurchaseOrderID"]
    found = one(sim, "purchaseorder/PurchaseOrders", order)
    assert found["AmountDC"] == pytest.approx(20.3) and found["PurchaseOrderLineCount"] == 2
    line = sim.call("POST", "purchaseorder/PurchaseOrderLines",
                    {"PurchaseOrderID": order, "Item": items[0], "QuantityInPurchaseUnits": 1, "UnitPrice": 5})
    assert line.status == 201 and line.json()["d"]["LineNumber"] == 3
    assert one(sim, "purchaseorder/PurchaseOrders", order)["AmountDC"] == pytest.approx(25.3)
    key = line.json()["d"]["ID"]
    assert sim.call("PUT", f"purchaseorder/PurchaseOrderLines(guid'{key}')",
                    {"QuantityInPurchaseUnits": 4}).status == 204
    assert one(sim, "purchaseorder/PurchaseOrders", order)["AmountDC"] == pytest.approx(40.3)
    assert sim.call("DELETE", f"purchaseorder/PurchaseOrderLines(guid'{key}')").status == 204
    assert one(sim, "purchaseorder/PurchaseOrders", order)["AmountDC"] == pytest.approx(20.3)
    used = sim.truth("hrm/Costcenters")
    center_key = next(k for k, (r, _) in used.items() if r["Code"] == center)
    assert sim.call("DELETE", f"hrm/Costcenters(guid'{center_key}')").status == 500
    assert sim.call("DELETE", f"crm/Accounts(guid'{supplier}')").status == 500
    assert sim.call("DELETE", f"purchaseorder/PurchaseOrders(guid'{order}')").status == 204
    assert sim.get(f"purchaseorder/PurchaseOrders(guid'{order}')").status == 404


def test_methods_and_media_types(sim):
    assert sim.call("POST", "hrm/Costcenters", "{}", headers={"Content-Type": "text/plain"}).status == 415
    assert sim.call("PUT", "hrm/Costcenters", {}).status == 405 and sim.call("DELETE", "hrm/Costcenters").status == 405
    assert sim.call("DELETE", f"system/Divisions({sim.division})").status == 405
    assert sim.call("POST", "bulk/CRM/Accounts", {"Name": "x"}).status == 405
    big = sim.call("POST", "hrm/Costcenters", '{"Code":"BIG","Description":"' + "x" * (10 * 1024 * 1024) + '"}')
    assert big.status == 413


def test_written_records_reach_sync(sim):
    mark = max(int(r["Timestamp"]) for r in sim.all("sync/CRM/Accounts?$filter=Timestamp gt 1L&$select=Timestamp"))
    key = sim.call("POST", "crm/Accounts", {"Name": "Sync mij"}).json()["d"]["ID"]
    (row,) = sim.all(f"sync/CRM/Accounts?$filter=Timestamp gt {mark}L&$select=ID,Name,Timestamp")
    assert row["ID"] == key and row["Name"] == "Sync mij"


@pytest.mark.parametrize("description,kept", [
    ("x" * 60, "x" * 60), ("\U0001f600" * 30, "\U0001f600" * 30), ("blanks at the end  ", "blanks at the end"),
    ("x" * 61, None), ("\U0001f600" * 30 + "x", None)])
def test_length_and_blanks(sim, description, kept):
    """A text is as long as .NET counts it, and blanks at its end are not kept."""
    row = sim.call("POST", "hrm/Costcenters", {"Code": f"L{len(description)}{ord(description[0]) % 97}",
                                               "Description": "x"}).json()["d"]
    changed = sim.call("PUT", f"hrm/Costcenters(guid'{row['ID']}')", {"Description": description})
    assert changed.status == (204 if kept else 500)
    assert one(sim, "hrm/Costcenters", row["ID"])["Description"] == (kept or "x")


@pytest.mark.parametrize("day,status", [("1753-01-01", 204), ("1752-12-31", 400), ("9999-12-31", 204),
                                        ("10000-01-01", 400), ("2026-12-31T00:00:00", 204)])
def test_days_that_can_be(sim, day, status):
    row = sim.call("POST", "hrm/Costunits", {"Code": "D" + day.replace("-", "")[-7:], "Description": "x"}).json()["d"]
    assert sim.call("PUT", f"hrm/Costunits(guid'{row['ID']}')", {"EndDate": day}).status == status
