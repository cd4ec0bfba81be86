"""Forms of answers that the real service may give: absence, lateness, pages, JSON (entries E1 to E19 and E70 to
E76)."""
# ruff: noqa: F401 (fixtures are imported)
import json
import re

import pytest
from forms_scene import (
    ACCOUNT,
    COSTCENTER,
    GL,
    ITEM,
    LINE,
    ORDER,
    SYNC_ORDERS,
    config,
    fault,
    key_of,
    met,
    running,
    sim,
)

from simulator.exact_online.harness import Running

ZERO = "00000000-0000-0000-0000-000000000000"
LATE = {"plain": 5, "key": 10, "bulk": 15, "sync": 20, "deleted": 30}


def keys(sim, target):
    return {r["ID"] for r in sim.all(target)}


def test_e1_a_change_is_seen_at_another_moment_on_each_family(sim):
    config(sim, visible_after_max=LATE, visible_after_min=LATE)
    sim.control("clock", {"paused": True})
    item = key_of(sim, ITEM)
    before = sim.truth(ITEM)[item][0]["Description"]
    mark = max(int(r["Timestamp"]) for r in sim.all("sync/Logistics/Items?$filter=Timestamp gt 1L&$select=Timestamp"))
    sim.change(ITEM, "update", item, {"Description": "late"})
    made = sim.change(ITEM, "create", fields={"Code": "LATE", "Description": "new"})["key"]

    def seen():
        plain = {r["ID"]: r["Description"] for r in sim.all(f"{ITEM}?$select=ID,Description")}
        bulk = {r["ID"]: r["Description"] for r in sim.all("bulk/Logistics/Items?$select=ID,Description")}
        sync = {r["ID"] for r in sim.all(f"sync/Logistics/Items?$filter=Timestamp gt {mark}L&$select=ID,Timestamp")}
        by_key = sim.get(f"{ITEM}(guid'{item}')?$select=Description").json()["d"]["Description"]
        chain = sim.get(f"{ITEM}?$filter=ID eq guid'{made}' or ID eq guid'{item}'&$select=ID").rows
        return plain[item], made in plain, by_key, len(chain), bulk[item], made in bulk, sync == {item,
                                                                                                  made}, bool(sync)
    assert seen() == (before, False, before, 1, before, False, False, False)
    sim.control("clock", {"advance": 6})
    assert seen() == ("late", True, before, 1, before, False, False, False)
    sim.control("clock", {"advance": 5})
    assert seen() == ("late", True, "late", 2, before, False, False, False)
    sim.control("clock", {"advance": 5})
    assert seen() == ("late", True, "late", 2, "late", True, False, False)
    sim.control("clock", {"advance": 5})
    assert seen() == ("late", True, "late", 2, "late", True, True, True) and met(sim)["late"]
    sim.change(ITEM, "delete", made)
    assert made in keys(sim, f"{ITEM}?$select=ID") and sim.get(f"{ITEM}(guid'{made}')").status == 200
    sim.control("clock", {"advance": 21})
    assert made not in keys(sim, f"{ITEM}?$select=ID") and sim.get(f"{ITEM}(guid'{made}')").status == 404


def test_e1_a_row_comes_below_a_mark_that_was_read(sim):
    """What was changed first is seen last: the feed passed its version, and no later mark finds it."""
    config(sim, visible_after_min=8, visible_after_max=8)
    sim.control("clock", {"paused": True})
    first, second = list(sim.truth(GL))[:2]
    late = int(sim.change(GL, "update", first, {"Description": "first"})["timestamp"])
    config(sim, visible_after_min=0, visible_after_max=0.001)
    passed = int(sim.change(GL, "update", second, {"Description": "second"})["timestamp"])
    sim.control("clock", {"advance": 1})

    def above(mark):
        wanted = f"sync/Financial/GLAccounts?$filter=Timestamp gt {mark}L&$select=ID,Timestamp"
        return {r["ID"] for r in sim.all(wanted)}
    assert above(late - 1) == {second} and late < passed      # a reader's mark is now at `passed`
    sim.control("clock", {"advance": 60})
    assert above(passed) == set() and above(late - 1) == {first, second}


def test_e1_lines_and_documents_are_late_together(sim):
    config(sim, visible_after_min=LATE, visible_after_max=LATE)
    sim.control("clock", {"paused": True})
    order = key_of(sim, ORDER)
    wanted = f"{ORDER}(guid'{order}')?$expand=PurchaseOrderLines&$select=PurchaseOrderLines/ID,AmountFC"
    before = sim.get(wanted).json()["d"]
    line = before["PurchaseOrderLines"]["results"][0]["ID"]
    sim.change(ORDER, "update", order, lines=[{"Item": key_of(sim, ITEM), "QuantityInPurchaseUnits": 7}])
    assert sim.get(wanted).json()["d"] == before
    sim.control("clock", {"advance": 60})
    after = sim.get(wanted).json()["d"]["PurchaseOrderLines"]["results"]
    assert len(after) == len(before["PurchaseOrderLines"]["results"]) + 1 and line in {r["ID"] for r in after}


def test_e1_is_on_by_default_with_small_values():
    with Running("--records", 80, "--divisions", 1, fast=False) as made:
        assert made.control("config")["visible_after_max"] == {"plain": 0.3, "key": 0.3, "bulk": 0.3, "sync": 0.3,
                                                               "deleted": 0.3}
    with Running("--records", 80, "--divisions", 1) as made:
        assert set(made.control("config")["visible_after_max"].values()) == {0}


def test_e2_rows_of_the_log_come_late_or_never_and_can_be_hidden(sim):
    log = "sync/Deleted?$filter=Timestamp gt 1L&$select=EntityKey,Timestamp"
    known = {r["EntityKey"] for r in sim.all(log)}
    config(sim, visible_after_min={"deleted": 9}, visible_after_max={"plain": 0, "key": 0, "bulk": 0, "sync": 0,
                                                                     "deleted": 9})
    sim.control("clock", {"paused": True})
    one, two, three = (sim.change(ITEM, "create", fields={"Code": f"D{n}", "Description": "x"})["key"]
                       for n in range(3))
    sim.change(ITEM, "delete", one)
    config(sim, visible_after_min=0, visible_after_max={"deleted": 0.001})
    sim.change(ITEM, "delete", two)
    sim.control("clock", {"advance": 1})
    # the younger one first
    assert {r["EntityKey"] for r in sim.all(log)} - known == {two} and met(sim)["late_deletion"]
    sim.control("clock", {"advance": 9})
    assert {r["EntityKey"] for r in sim.all(log)} - known == {one, two}
    config(sim, visible_after_max=0, deleted_loss=1)
    sim.change(ITEM, "delete", three)
    assert three not in {r["EntityKey"]
                         for r in sim.all(log)} and sim.truth(ITEM)[three][1] and met(sim)["lost_deletion"]
    sim.control("hide", {"division": sim.division, "resource": "sync/Deleted", "keys": [one]})
    assert {r["EntityKey"] for r in sim.all(log)} - known == {two}
    sim.control("show", {"division": sim.division})
    assert {r["EntityKey"] for r in sim.all(log)} - known == {one, two}


def test_e3_rows_are_left_out_of_lists_key_lists_and_collections(sim):
    items = list(sim.truth(ITEM))
    chain = f"{ITEM}?$filter=" + " or ".join(f"ID eq guid'{k}'" for k in items[:5]) + "&$select=ID"
    fault(sim, "Items", "omit", keys=items[:2])
    assert {r["ID"] for r in sim.get(chain).rows} == set(items[2:5]) and len(sim.get(chain).rows) == 5
    fault(sim, "Items", "omit", share=0.5)
    assert 0 < len(sim.get(f"{ITEM}?$select=ID").rows) < 60
    fault(sim, "Items", "omit", empty=True)
    reply = sim.get(f"{ITEM}?$select=ID")
    assert reply.rows == [] and reply.following is None
    wanted = f"{ORDER}?$expand=PurchaseOrderLines&$select=PurchaseOrderID,PurchaseOrderLines/ID"
    whole = {r["PurchaseOrderID"]: len(r["PurchaseOrderLines"]["results"]) for r in sim.get(wanted).rows}
    fault(sim, "PurchaseOrders", "omit", empty=True, where="lines")
    assert {r["PurchaseOrderID"]: len(r["PurchaseOrderLines"]["results"])
            for r in sim.get(wanted).rows} == dict.fromkeys(whole, 0)
    fault(sim, "PurchaseOrders", "omit", share=0.5, where="lines")
    part = {r["PurchaseOrderID"]: len(r["PurchaseOrderLines"]["results"]) for r in sim.get(wanted).rows}
    assert set(part) == set(whole) and 0 < sum(part.values()) < sum(whole.values())
    for bad in ({"share": 2}, {"share": 0.5, "empty": True}, {"where": "here"}):
        with pytest.raises(RuntimeError, match="400"):
            fault(sim, "x", "omit", **bad)


def test_e4_header_and_lines_share_a_version_and_pages_are_unsorted(sim):
    config(sim, shared_versions=True)
    order = key_of(sim, ORDER)
    sim.change(ORDER, "update", order, {"Remarks": "shared"})
    rows = [r for r in sim.all(f"{SYNC_ORDERS}?$filter=Timestamp gt 1L&$select=ID,Timestamp,PurchaseOrderID")
            if r["PurchaseOrderID"] == order]
    assert len(rows) > 1 and len({r["Timestamp"] for r in rows}) == 1
    config(sim, sync_order="pages", sync_page_size=20)
    target, stamps = f"{SYNC_ORDERS}?$filter=Timestamp gt 1L&$select=Timestamp,ID", []
    while target:
        reply = sim.get(target)
        page = [int(r["Timestamp"]) for r in reply.rows]
        assert len(page) < 20 or page != sorted(page)
        assert not stamps or not page or min(page) >= max(stamps)
        stamps += page
        target = reply.following
    assert len(stamps) == len(sim.truth(SYNC_ORDERS))


def test_e5_short_and_empty_pages_have_a_next_one(sim):
    config(sim, short_pages=0.6, page_size=5, sync_page_size=5)
    for target, field in ((f"{ITEM}?$select=ID", "ID"),
                          ("sync/Logistics/Items?$filter=Timestamp gt 1L&$select=ID,Timestamp", "ID"),
                          (f"{ITEM}?$select=ID,Modified&$orderby=Modified", "ID")):
        found, sizes, whole = [], set(), len(sim.truth(ITEM))
        at = target
        while at:
            reply = sim.get(at)
            found += [r[field] for r in reply.rows]
            sizes.add(len(reply.rows))
            at = reply.following
        assert len(found) == len(set(found)) == sum(not gone for _, gone in sim.truth(ITEM).values()) <= whole
        assert 0 in sizes and len(sizes) > 3
    assert met(sim)["short_page"] and met(sim)["empty_page"]


def test_e5_links_that_lead_back_and_next_values_that_are_no_link(sim):
    config(sim, page_size=20)
    fault(sim, r"Accounts.*skiptoken", "loop_next", times=-1)
    first = sim.get(f"{ACCOUNT}?$select=ID")
    second = sim.get(first.following)
    assert sim.get(second.following).rows == first.rows
    sim.control("faults", method="DELETE")
    for value in (None, "", 7):
        fault(sim, "Accounts", "next_value", value=value)
        d = sim.get(f"{ACCOUNT}?$select=ID").json()["d"]
        assert "__next" in d and d["__next"] == value


def test_e6_the_answer_to_a_post_lacks_what_a_get_has(sim):
    config(sim, post_nulls=True)
    prefer = {"Prefer": "return=representation"}
    made = sim.call("POST", ACCOUNT, {"Name": "Two contents"}, headers=prefer).json()["d"]
    read = sim.get(f"{ACCOUNT}(guid'{made['ID']}')").json()["d"]
    assert made["Name"] is None and made["Modified"] is None and read["Name"] == "Two contents" and read["Modified"]
    supplier = next(k for k, (r, _) in sim.truth(ACCOUNT).items() if r["IsSupplier"])
    body = {"Supplier": supplier, "PurchaseOrderLines": [{"Item": key_of(sim, ITEM), "QuantityInPurchaseUnits": 2}]}
    made = sim.call("POST", ORDER, body, headers=prefer).json()["d"]
    read = sim.get(f"{ORDER}(guid'{made['PurchaseOrderID']}')").json()["d"]
    assert made["Modified"] == read["Modified"] and made["AmountDC"] is None and read["AmountDC"] is not None


def test_e7_empty_texts_and_zero_guids_where_the_sync_twin_has_null(sim):
    assert sim.get("/api/v1/current/Me").rows[0]["EmployeeID"] == ZERO
    config(sim, empty_forms=True)
    plain = {r["ID"]: r for r in sim.all(ACCOUNT)}
    sync = {r["ID"]: r for r in sim.all("sync/CRM/Accounts?$filter=Timestamp gt 1L&$select=*")} if sim.get(
        "sync/CRM/Accounts?$filter=Timestamp gt 1L&$select=*&$top=1").status == 200 else {}
    empty = {name for row in plain.values() for name, value in row.items() if value == ""}
    zero = {name for row in plain.values() for name, value in row.items() if value == ZERO}
    assert len(empty) > 5 and len(zero) > 3
    for key, row in sync.items():
        assert all(row[name] is None for name in empty | zero if plain[key][name] in ("", ZERO) and name in row)
    assert {n for r, _ in sim.truth(ACCOUNT).values() for n, v in r.items() if v == ""} == empty


@pytest.mark.parametrize("style,pattern", [("escaped_slash", r"\\/Date\("), ("ascii", r"\\u[0-9a-f]{4}"),
                                           ("fraction", r":-?\d+\.0[,}]"),
                                           ("upper_exponent", r"1E-05"), ("shuffled", r'"d":')])
def test_e8_the_same_json_by_another_serialiser(sim, style, pattern):
    values = {"CostPriceStandard": 1e-05, "Description": "Ø 漢字", "AverageCost": 0}
    sim.change(ITEM, "update", key_of(sim, ITEM), values)
    target = f"{ITEM}?$select=ID,Description,CostPriceStandard,AverageCost,Modified"
    plain = sim.get(target)
    config(sim, json_style=[style])
    other = sim.get(target)
    assert other.body != plain.body and re.search(pattern, other.text) and other.json() == plain.json()
    assert (style == "fraction") == (':-0,' in other.text or ':-0}' in other.text)
    for reply in (sim.get(f"{ORDER}?$expand=PurchaseOrderLines&$top=3"), sim.get("/api/v1/current/Me")):
        assert reply.json()["d"]
    config(sim, json_style=[], json_style_share=0.5)
    assert len({sim.get(f"{target}&n={n}").body for n in range(30)}) > 4


def test_e9_members_too_many_too_few_and_spoiled(sim):
    config(sim, extra_members=1)
    assert all("NewInThisRelease" in r and isinstance(r["FutureSettings"], dict)
               for r in sim.get(f"{ACCOUNT}?$select=ID").rows)
    config(sim, extra_members=0, absent_members=1)
    fields = ["ID", "Code", "Name", "City", "Country", "Modified"]
    seen = {tuple(sorted(set(fields) - set(sim.get(f"{ACCOUNT}?$select={','.join(fields)}&n={n}").rows[0])))
            for n in range(30)}
    assert seen == {("Name",), ("City",), ("Country",)}
    config(sim, absent_members=0)
    for target, field in (("sync/CRM/Accounts?$filter=Timestamp gt 1L&$select=ID,Timestamp", "Timestamp"),
                          (f"{ACCOUNT}?$select=ID,Name", "ID"),
                          (f"{SYNC_ORDERS}?$filter=Timestamp gt 1L&$select=ID,LineNumber,Timestamp", "LineNumber"),
                          (f"{ACCOUNT}?$select=ID,Division", "Division")):
        fault(sim, target.split("?")[0], "spoil_row", field=field)
        assert [r[field] for r in sim.get(target).rows].count(None) == 1
    fault(sim, "Accounts", "spoil_row", field="Name", twice=True, value="twice")
    assert len(re.findall('"Name":"twice"', sim.get(f"{ACCOUNT}?$select=ID,Name").text)) == 1
    sim.change(ITEM, "delete", sim.change(ITEM, "create", fields={"Code": "GONE", "Description": "x"})["key"])
    for field in ("EntityKey", "EntityType"):
        fault(sim, "Deleted", "spoil_row", field=field)
        assert None in [r[field]
                        for r in sim.get("sync/Deleted?$filter=Timestamp gt 1L&$select=EntityKey,EntityType").rows]


def test_e10_raw_values_of_a_field_and_a_byte_order_mark(sim):
    item = key_of(sim, ITEM)
    for raw in ('"a\\u0000b"', '"\\ud83d"', '"tab\there"', "20.0", "1E400", '"not closed', "99999999999999999999"):
        sim.control("change", {"division": sim.division, "resource": ITEM, "op": "update", "key": item,
                               "raw": {"Description": raw}})
        assert f'"Description":{raw}' in sim.get(f"{ITEM}(guid'{item}')?$select=Description").text
        assert sim.control(f"truth?division={sim.division}&resource={ITEM}")["records"]
    sim.control("change", {"division": sim.division, "resource": ITEM, "op": "update", "key": item,
                           "raw": {"Description": '"well"'}})
    with pytest.raises(RuntimeError, match="400"):
        sim.control("change", {"division": sim.division, "resource": ITEM, "op": "update", "key": item,
                               "raw": {"Nothing": "1"}})
    config(sim, bom=1)
    assert sim.get(f"{ITEM}?$top=1").body.startswith(b"\xef\xbb\xbf{")


def test_e13_the_zone_of_the_site():
    with Running("--records", 80, "--divisions", 1, "--set", "time_zone=Europe/London", "--clock-offset", 0) as made:
        made.authorize()
        now = made.control("clock")["now"]
        row = made.get("/api/v1/current/Me").rows[0]
        summer = made.control("clock", {"to": f"{int(now[:4]) + 1}-07-01T10:00:00Z"})["now"]
        made.authorize()
        later = made.get("/api/v1/current/Me").rows[0]
        assert row["ServerUtcOffset"] in (0, 3600) and later["ServerUtcOffset"] == 3600
        assert later["ServerTime"].startswith(f"{summer[:4]}-07-01T11:00") and met(made)["time_zone"]
        with pytest.raises(RuntimeError, match="400"):
            made.control("config", {"time_zone": "Europe/Amsterdam"})


def test_e14_account_codes_with_leading_zeros_and_the_vat_code_of_nothing(sim):
    codes = [r["Code"] for r, _ in sim.truth(ACCOUNT).values()]
    assert any(re.fullmatch(r" {11}00\d{5}", code) for code in codes) and all(len(code) == 18 for code in codes)
    assert "0  " in {r["VATCode"] for r, _ in sim.truth(LINE).values()}


def test_e15_a_key_of_the_client_and_a_write_that_is_done_and_answered_with_an_error(sim):
    key = "0f0e0d0c-0b0a-4a0b-8c0d-0e0f0a0b0c0d"
    assert sim.call("POST", COSTCENTER, {"ID": key, "Code": "OWN0", "Description": "x"}).json()["d"]["ID"] != key
    config(sim, honour_keys=True)
    assert sim.call("POST", COSTCENTER, {"ID": key, "Code": "OWN1", "Description": "x"}).json()["d"]["ID"] == key
    again = sim.call("POST", COSTCENTER, {"ID": key, "Code": "OWN2", "Description": "x"})
    assert again.status == 500 and again.error == "Gegeven bestaat reeds."
    for status in (500, 503):
        fault(sim, "Costcenters", "status_after", status=status)
        assert sim.call("POST", COSTCENTER, {"Code": f"S{status}", "Description": "x"}).status == status
        assert sim.get(f"{COSTCENTER}?$filter=Code eq 'S{status}'&$select=ID").rows


def test_e17_statuses_of_deletes_and_posts(sim):
    for status in (410, 204, 200):
        config(sim, deleted_status=status, post_status=200)
        made = sim.call("POST", COSTCENTER, {"Code": f"T{status}", "Description": "x"})
        key = made.json()["d"]["ID"]
        assert made.status == 200 and sim.call("DELETE", f"{COSTCENTER}(guid'{key}')").status == 204
        assert sim.call("DELETE", f"{COSTCENTER}(guid'{key}')").status == status
        assert sim.call("DELETE", f"{COSTCENTER}(guid'{ZERO}')").status == 404


def test_e18_lists_of_divisions_differ(sim):
    codes = [d["code"] for d in sim.info["divisions"]]

    def listed(path):
        return {r.get("Code", r.get("Division")) for r in sim.all(path)}
    assert listed("system/Divisions") == listed("system/AllDivisions") == set(codes)
    sim.control("division", {"code": codes[1], "granted": False})
    sim.control("division", {"code": codes[2], "reason": "NoDivisionAccess"})
    assert listed("system/Divisions") == {codes[0]} == listed("hrm/Divisions") and listed("system/AllDivisions") == set(
        codes)
    assert sim.get(f"/api/v1/{codes[1]}/{ITEM}?$select=ID").headers["Reason"] == "NoDivisionAccess"
    sim.control("division", {"code": codes[1], "granted": True})
    assert listed("system/Divisions") == set(codes[:2])
    sim.get(f"/api/v1/{codes[1]}/{ITEM}?$top=1")
    assert next(r["Code"] for r in sim.all("system/GetMostRecentlyUsedDivisions")) in codes


def test_e19_a_division_that_is_being_copied(sim):
    whole = len(sim.all(f"{ITEM}?$select=ID"))
    sim.control("division", {"code": sim.division, "blocking_status": 3})
    assert 0 < len(sim.all(f"{ITEM}?$select=ID")) < whole
    assert sim.call("POST", COSTCENTER, {"Code": "NO", "Description": "x"}).status == 500
    sim.control("division", {"code": sim.division, "blocking_status": 0})
    assert len(sim.all(f"{ITEM}?$select=ID")) == whole


def test_e70_to_e75_small_forms(sim):
    assert {r["Legislation"] for r in sim.all("system/Divisions")} == {"NL ", "BE ", "DE "}
    me = sim.get("/api/v1/current/Me").rows[0]
    assert me["Legislation"] == "1" and me["Language"] == "NL"
    types = {p: sim.get(f"{p}?$top=1").rows[0]["__metadata"]["type"] for p in (GL, ORDER, LINE, "system/Divisions")}
    assert types == {GL: "Exact.Web.Api.Models.GLAccount", ORDER: "Exact.Web.Api.Models.PurchaseOrder",
                     LINE: "Exact.Web.Api.Models.PurchaseOrderLine",
                     "system/Divisions": "Exact.Web.Api.Models.System.Division"}
    items, lines = sim.all(f"{ITEM}?$select=Unit,PictureUrl"), sim.all(f"{LINE}?$select=Unit")
    assert {len(r["Unit"]) for r in items} == {8} and all(r["Unit"] == r["Unit"].strip() for r in lines)
    assert "//docs/" in items[0]["PictureUrl"].partition("://")[2]
    link = sim.get(f"{ACCOUNT}?$top=100&$select=ID,Name&$orderby=Name&$skip=1&$filter=Blocked eq false").following
    assert re.findall(r"[?&](\$\w+)=", link) == ["$filter", "$orderby", "$select", "$top", "$skiptoken"]


def test_e76_texts_with_and_without_case(sim):
    name = next(r["Name"] for r, _ in sim.truth(ACCOUNT).values() if r["Name"].upper() != r["Name"]
                and "'" not in r["Name"] and r["Name"].isascii())
    wanted = f"{ACCOUNT}?$filter=Name eq '{name.upper()}'&$select=Name"
    config(sim, filter_case="insensitive")
    assert name in [r["Name"] for r in sim.get(wanted).rows] and met(sim)["filter_case"]
    config(sim, filter_case="sensitive")
    assert sim.get(wanted).rows == []


def test_json_text_stays_as_it_is_in_every_style(sim):
    """What a style changes is how it is written, never what is said; the journal of served rows has the plain form."""
    for styles in (["escaped_slash", "ascii"], ["fraction", "shuffled", "upper_exponent"]):
        config(sim, json_style=[])
        plain = json.loads(sim.get(f"{ITEM}?$select=*").body)
        config(sim, json_style=styles)
        assert json.loads(sim.get(f"{ITEM}?$select=*").body) == plain
