"""Lists, envelopes, paging, $select, $filter, single records, formats, divisions and Me."""
import re
from datetime import UTC, datetime, timedelta

import pytest

from simulator.exact_online.harness import Running

ACCOUNTS = "crm/Accounts?$select=ID,Code,Name"


@pytest.fixture(scope="module")
def sim():
    with Running("--records", 2000, "--divisions", 2, "--minute-limit", 0, "--day-limit", 0, "--error-limit",
                 0) as running:
        running.authorize()
        yield running


def test_me_is_a_list_of_one_with_local_time(sim):
    reply = sim.get("/api/v1/current/Me")
    (me,) = reply.json()["d"]["results"]
    assert me["CurrentDivision"] in [d["code"] for d in sim.info["divisions"]] and me["Legislation"] == "1"
    there = datetime.fromisoformat(me["ServerTime"])
    utc = datetime.strptime(reply.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT")
    assert me["ServerUtcOffset"] in (3600, 7200)
    assert abs(there - utc - timedelta(seconds=me["ServerUtcOffset"])) < timedelta(seconds=3)


def test_divisions_and_their_two_enums(sim):
    rows = sim.get("/api/v1/1/system/Divisions").rows
    assert all(int(row["StartDate"][6:-2]) % 86_400_000 == 0 for row in rows), "a date has no time of day"
    assert [r["Code"] for r in rows] == [101001, 202002] and {r["Status"] for r in rows} == {1}
    assert {"DivisionMoveDate", "DivisionHRLinkUnlinkDate", "BlockingStatus", "IsMainDivision"} <= set(rows[0])
    assert isinstance(rows[0]["Hid"], str)
    assert [r["Status"] for r in sim.get("hrm/Divisions").rows] == [0, 0]
    assert sim.get("system/Divisions(202002)").json()["d"]["Code"] == 202002
    assert sim.get("/api/v1/999999/hrm/Divisions").headers["Reason"] == "NoDivisionAccess"


@pytest.mark.parametrize("resource,fields", [
    ("financial/GLAccounts", 43), ("logistics/Items", 117), ("crm/Accounts", 163), ("hrm/Costcenters", 13),
    ("hrm/Costunits", 12),
    ("purchaseorder/PurchaseOrders", 65), ("purchaseorder/PurchaseOrderLines", 61)])
def test_plain_lists_serve_every_record_with_every_field(sim, resource, fields):
    rows = sim.all(resource)
    truth = sim.truth(resource)
    assert len(rows) == len(truth) == sim.info["divisions"][0]["records"][resource] > 0
    key = "PurchaseOrderID" if resource.endswith("Orders") else "ID"
    for row in rows:
        meta = row.pop("__metadata")
        assert meta["uri"] == f"{sim.url}/api/v1/{sim.division}/{resource}(guid'{row[key]}')" and meta["type"]
        row = {k: v for k, v in row.items() if not isinstance(v, dict)}
        assert row == truth[row[key]][0] and row["Division"] == sim.division and len(row) == fields


def test_envelopes(sim):
    assert isinstance(sim.get(ACCOUNTS).json()["d"], dict)
    assert isinstance(sim.get(ACCOUNTS + "&$top=50").json()["d"], list)
    both = {type(sim.get(f"purchaseorder/PurchaseOrders?$select=OrderNumber&$top=60&n={n}").json()["d"])
            for n in range(40)}
    assert both == {list, dict}        # both were recorded
    for form, kind in (("array", list), ("object", dict), ("drawn", (list, dict))):
        sim.control("config", {"full_page_form": form})
        assert isinstance(sim.get(ACCOUNTS + "&$top=60").json()["d"], kind)
    first = sim.get(ACCOUNTS + "&$top=100")
    assert len(first.rows) == 60 and "$top=40" in first.following
    second = sim.get(first.following)
    assert isinstance(second.json()["d"], dict) and len(second.rows) == 40 and second.following is None
    assert sim.get(ACCOUNTS + "&$top=0").json() == {"d": []}


def test_pages_of_60_by_key_and_an_empty_last_page(sim):
    rows = sim.all(ACCOUNTS)
    keys = [r["ID"] for r in rows]
    assert len(keys) > 120 and keys == sorted(set(keys))
    first = sim.get(ACCOUNTS)
    assert len(first.rows) == 60 and re.search(r"\$skiptoken=guid'[0-9a-f-]{36}'",
                                               first.following) and first.following.startswith(sim.url)
    sim.control("config", {"page_size": 7})
    try:
        wanted = " or ".join(f"ID eq guid'{key}'" for key in list(sim.truth("hrm/Costcenters"))[:14])
        target, sizes = f"hrm/Costcenters?$select=ID&$filter={wanted}", []
        while target:
            reply = sim.get(target)
            sizes.append(len(reply.rows))
            target = reply.following
        assert sizes == [7, 7, 0]
    finally:
        sim.control("config", {"page_size": 60})


def test_orderby_one_field_with_a_token_of_two_parts(sim):
    first = sim.get("crm/Accounts?$select=ID,Modified&$orderby=Modified desc")
    assert re.search(r"\$skiptoken=datetime'\d{4}-\d\d-\d\dT\d\d%3A\d\d%3A\d\d(\.\d+)?',guid'", first.following)
    for order in ("Modified", "Modified asc", "Modified desc", "AddressLine2", "Name desc"):
        rows = sim.all(f"crm/Accounts?$select=ID,Modified,AddressLine2,Name&$orderby={order}")
        assert len({r["ID"] for r in rows}) == len(rows) == len(sim.truth("crm/Accounts"))
        if order.startswith("Modified"):
            stamps = [int(r["Modified"][6:-2]) for r in rows]
            assert stamps == sorted(stamps, reverse=order.endswith("desc"))
    assert sim.get("crm/Accounts?$select=ID&$orderby=Modified,ID").status == 400
    assert sim.get("crm/Accounts?$select=ID&$orderby=Nothing").status == 400


def test_rows_changed_during_a_scan_by_modified_come_again(sim):
    sim.control("config", {"page_size": 20})
    try:
        first = sim.get("logistics/Items?$select=ID,Modified&$orderby=Modified")
        key = first.rows[0]["ID"]
        sim.change("logistics/Items", "update", key, {"Description": "changed while it was read"})
        rest = sim.all(first.following)
        assert rest[-1]["ID"] == key and key not in [r["ID"] for r in rest[:-1]]
    finally:
        sim.control("config", {"page_size": 60})


def test_skip(sim):
    everything = [r["ID"] for r in sim.all(ACCOUNTS)]
    assert [r["ID"] for r in sim.all(ACCOUNTS + "&$skip=10")] == everything[10:]


@pytest.mark.parametrize("text", [
    "indexof(Name,'O''Neill') ge 0", "IsSupplier eq true",
    "IsSupplier eq false and (Country eq 'NL' or Country eq 'BE')",
    "not (Country eq 'NL')",
    "Modified ge datetime'2025-01-01' and Modified lt datetime'2025-06-01T12:00:00.500'", "EndDate eq null",
    "EndDate ne null",
    "startswith(Name,'De')", "indexof(Name,'port') ge 0", "indexof(tolower(Name),'trans') ge 0", "trim(Code) eq '11'",
    "Code eq '                11'",
    "DiscountPurchase gt 0.01", "DiscountPurchase gt 0", "PurchaseLeadDays le 5",
    "ID ne guid'00000000-0000-0000-0000-000000000000'"])
def test_filters_agree_with_the_data(sim, text):
    expected = {
        "indexof(Name,'O''Neill') ge 0": lambda r: "O'Neill" in r["Name"],
        "IsSupplier eq true": lambda r: r["IsSupplier"],
        "IsSupplier eq false and (Country eq 'NL' or Country eq 'BE')": lambda r: not r["IsSupplier"]
        and r["Country"].strip() in ("NL",
            "BE"),
        "not (Country eq 'NL')": lambda r: r["Country"].strip() != "NL",
        "Modified ge datetime'2025-01-01' and Modified lt datetime'2025-06-01T12:00:00.500'":
            lambda r: ms(2025, 1, 1) <= int(r["Modified"][6:-2]) < ms(2025, 6, 1, 12) + 500,
        "EndDate eq null": lambda r: r["EndDate"] is None, "EndDate ne null": lambda r: r["EndDate"] is not None,
        "startswith(Name,'De')": lambda r: r["Name"].startswith("De"),
        "indexof(Name,'port') ge 0": lambda r: "port" in r["Name"],
        "indexof(tolower(Name),'trans') ge 0": lambda r: "trans" in r["Name"].lower(),
        "trim(Code) eq '11'": lambda r: r["Code"].strip() == "11",
        "Code eq '                11'": lambda r: r["Code"].strip() == "11",
        "DiscountPurchase gt 0.01": lambda r: r["DiscountPurchase"] > 0.01,
        "DiscountPurchase gt 0": lambda r: r["DiscountPurchase"] > 0,
        "PurchaseLeadDays le 5": lambda r: r["PurchaseLeadDays"] <= 5,
        "ID ne guid'00000000-0000-0000-0000-000000000000'": lambda r: True}[text]
    truth = {k for k, (row, _) in sim.truth("crm/Accounts").items() if expected(row)}
    assert truth or text == "EndDate ne null"
    assert {r["ID"] for r in sim.all(f"crm/Accounts?$select=ID&$filter={text}")} == truth
    assert int(sim.get(f"crm/Accounts/$count?$filter={text}", accept=None).text) == len(truth)


def ms(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize("text,status", [
    ("substringof('a',Name)", 501), ("endswith(Name,'a')", 501), ("Nothing eq 1", 400), ("Name eq", 400),
    ("Name eq 'a' and", 400),
    ("", 400),
    ("Name eq 5", 400), ("ID eq 'x'", 400), ("ID eq guid'x'", 400), ("Modified gt datetime'2025-03-04T13:14:50Z'", 400),
    ("Code in ('a')", 400),
    ("PurchaseLeadDays eq 5L", 400), ("Name", 400), ("(Name eq 'a'", 400), ("BankAccounts eq null", 400),
    ("name eq 'a'", 400)])
def test_filters_that_are_refused(sim, text, status):
    reply = sim.get(f"crm/Accounts?$select=ID&$filter={text}")
    assert reply.status == status and reply.json()["error"]["code"] == "" and reply.error


def test_select_rules(sim):
    assert sim.get("crm/Accounts?$select=ID,Nothing").status == 400
    assert len(sim.get("crm/Accounts?$select=*&$top=1").rows[0]) == 165
    bulk = sim.get("bulk/CRM/Accounts")
    assert bulk.status == 400 and bulk.error == "Please add a $select or a $top=1 statement to the query string."
    assert sim.get("bulk/CRM/Accounts?$top=1").status == 200
    assert len(sim.get("bulk/CRM/Accounts?$select=ID").rows) == len(sim.truth("crm/Accounts"))
    assert sim.get("bulk/Financial/GLAccounts?$select=ID&$filter=BalanceSide eq 'D'").status == 400
    assert sim.get("bulk/Financial/GLAccounts?$select=ID&$filter=Code eq '1300'").status == 200
    assert sim.get("sync/Logistics/Items?$filter=Timestamp gt 1L&$select=*").status == 400
    assert sim.get("crm/Accounts?$foo=1").status == 400


def test_expand_and_deferred(sim):
    order = sim.get("purchaseorder/PurchaseOrders?$top=1").rows[0]
    assert order["PurchaseOrderLines"]["__deferred"]["uri"].endswith("/PurchaseOrderLines")
    lines = sim.all(order["PurchaseOrderLines"]["__deferred"]["uri"])
    full = sim.get(f"purchaseorder/PurchaseOrders(guid'{order['PurchaseOrderID']}')?$expand=PurchaseOrderLines").json()[
        "d"]
    assert len(full["PurchaseOrderLines"]["results"]) == len(lines) == order["PurchaseOrderLineCount"]
    assert abs(sum(line["AmountDC"] for line in lines) - order["AmountDC"]) < 1e-6
    some = sim.get("purchaseorder/PurchaseOrders?$top=2&$select=OrderNumber,PurchaseOrderLines/ID&"
                   "$expand=PurchaseOrderLines").rows[0]
    assert set(some) == {"__metadata", "OrderNumber", "PurchaseOrderLines"}
    assert set(some["PurchaseOrderLines"]["results"][0]) == {"__metadata", "ID"}
    assert sim.get("purchaseorder/PurchaseOrders?$select=PurchaseOrderLines/ID").status == 400
    assert sim.get("purchaseorder/PurchaseOrders?$expand=Nothing").status == 400


def test_single_records(sim):
    key = next(iter(sim.truth("crm/Accounts")))
    one = sim.get(f"crm/Accounts(guid'{key}')?$select=ID,Name").json()["d"]
    assert one["ID"] == key and set(one) == {"__metadata", "ID", "Name"}
    missing = sim.get("crm/Accounts(guid'00000000-0000-4000-8000-000000000000')")
    assert missing.status == 404 and missing.error
    assert sim.get("crm/Accounts(5)").status == 400
    assert sim.get("crm/Nothing").status == 404 and sim.get("/api/v1/").status == 404


def test_paths_do_not_care_about_case(sim):
    assert sim.get("CRM/accounts?$top=1&$select=ID").status == 200
    assert sim.get("Sync/crm/ACCOUNTS?$filter=Timestamp gt 1L&$top=1&$select=ID").status == 200


def test_atom_without_json_accept_and_count(sim):
    for accept in (None, "*/*", "application/atom+xml"):
        reply = sim.get(ACCOUNTS, accept=accept)
        assert reply.status == 200 and reply.headers["Content-Type"].startswith("application/atom+xml")
        assert reply.text.startswith("<feed") and 'rel="next"' in reply.text and reply.text.count("<entry>") == 60
    from xml.etree import ElementTree
    for resource in ("crm/Accounts", "logistics/Items?$select=Notes,FreeTextField_01,Description,Modified"):
        ElementTree.fromstring(sim.get(resource, accept=None).body)
    assert sim.get("crm/Accounts?$filter=x", accept=None).text.startswith("<error")
    assert sim.get("crm/Accounts/$count", accept=None).text == str(len(sim.truth("crm/Accounts")))
    assert sim.get("crm/Accounts/$count").status == 406


def test_values_are_written_as_the_service_writes_them(sim):
    accounts = sim.all("crm/Accounts?$select=Code,Country,Language,Modified,SearchCode")
    assert all(len(a["Code"]) == 18 and a["Code"].strip() and not a["Code"].endswith(" ") for a in accounts)
    assert all(len(a["Country"]) == 3 and re.fullmatch(r"/Date\(\d+\)/", a["Modified"]) for a in accounts)
    assert all(int(a["Modified"][6:-2]) % 10 in (0, 3, 7) for a in accounts)
    items = sim.get("bulk/Logistics/Items?$select=Unit,CostPriceStandard,Description,Notes,FreeTextField_01")
    assert all(len(i["Unit"]) == 8 for i in items.rows)
    assert b"0.30000000000000004" in items.body or b"1e-05" in items.body
    texts = "".join(i["Description"] + (i["Notes"] or "") + (i["FreeTextField_01"] or "") for i in items.rows)
    assert all(piece in texts for piece in ("🚚", "\\", '"', "\r\n", "'", "Łódź"))


def test_divisions_do_not_mix(sim):
    a, b = (set(sim.truth("crm/Accounts", d)) for d in (101001, 202002))
    assert not a & b
    assert {r["Division"] for r in sim.all("/api/v1/202002/crm/Accounts?$select=Division")} == {202002}


def test_url_limit_and_mandatory_filter(sim):
    assert sim.get("crm/Accounts?$select=ID&$filter=" + " or ".join(["Name eq 'x'"] * 500)).status == 414
    sim.control("config", {"mandatory_filter": True})
    try:
        for target in ("crm/Accounts?$select=ID", "crm/Accounts?$select=ID&$filter=Modified ge datetime'2025-01-01'",
                       "bulk/Logistics/Items?$select=ID"):
            reply = sim.get(target)
            assert reply.status == 400 and "mandatory filtering" in reply.error
        assert sim.get("crm/Accounts?$select=ID&$filter=Created ge datetime'1900-01-01'").status == 200
        assert sim.get("hrm/Costcenters?$select=ID").status == 200
        assert sim.get("sync/CRM/Accounts?$select=ID&$filter=Timestamp gt 1L").status == 200
    finally:
        sim.control("config", {"mandatory_filter": False})


def test_rights(sim):
    sim.control("config", {"missing_scopes": ["crm.accounts"]})
    refused = sim.get("crm/Accounts?$top=1")
    sim.control("config", {"missing_scopes": []})
    assert refused.status == 403
    assert refused.error == "Forbidden - Application Scope Violated. Cannot read 'crm.accounts' scope."
    for reason in ("BlockedUser", "InactiveUser", "BlockedCustomer", "LicenseExpired", "DivisionBlocked",
                   "NoDivisionAccess"):
        sim.control("division", {"code": 202002, "reason": reason})
        reply = sim.get("/api/v1/202002/crm/Accounts?$top=1")
        assert (reply.status, reply.headers["Reason"]) == (403, reason)
    sim.control("division", {"code": 202002, "blocked": False})
    assert sim.get("/api/v1/202002/crm/Accounts?$top=1").status == 200


def test_without_a_good_token(sim):
    assert sim.send("GET", "/api/v1/current/Me", headers={"Accept": "application/json"}).status == 401
    moved = sim.send("GET", "/api/v1/current/Me")
    assert moved.status == 401 and "Object moved" in moved.text
    bad = sim.send("GET", "/api/v1/current/Me", headers={"Authorization": "Bearer nonsense",
                                                         "Accept": "application/json"})
    assert bad.status == 401 and "Object moved" in bad.text and "ReturnUrl=" in bad.text
