"""The control API: truth, served versions, changes, random changes, journal, settings; the launcher; speed."""
import os
import subprocess
import sys

import pytest

from simulator.exact_online.harness import LAUNCHER, Running

ENTITIES = ("financial/GLAccounts", "logistics/Items", "crm/Accounts", "hrm/Costcenters", "hrm/Costunits",
            "purchaseorder/PurchaseOrders",
            "purchaseorder/PurchaseOrderLines")
SYNC = ("sync/Financial/GLAccounts", "sync/Logistics/Items", "sync/CRM/Accounts", "sync/PurchaseOrder/PurchaseOrders")


@pytest.fixture(scope="module")
def sim():
    with Running("--records", 1500, "--divisions", 3, "--seed", 7, "--minute-limit", 0, "--day-limit", 0) as running:
        running.authorize()
        yield running


def test_info(sim):
    info = sim.info
    assert info["base_url"] == sim.url and sum(info["records"].values()) == 1500 and set(info["records"]) == set(
        ENTITIES)
    assert [d["code"] for d in info["divisions"]] == [101001, 202002,
                                                      303003] and all(d["description"] for d in info["divisions"])
    assert all(info[name] for name in ("client_id", "client_secret", "webhook_secret", "clock"))
    assert info["redirect_uri"].startswith("https://")


def test_the_same_seed_gives_the_same_data():
    def content(*arguments):
        with Running("--records", 100, "--divisions", 2, *arguments) as running:
            truth = [running.control(f"truth?division=202002&resource={r}") for r in (*ENTITIES, *SYNC)]
            return truth, running.info["client_secret"]
    first = content("--seed", 3)
    assert first == content("--seed", 3) and first[0] != content("--seed", 4)[0]


def fields_of(sim, resource):
    return list(next(row for row, gone in sim.truth(resource).values() if not gone))


def test_truth_and_served_agree_after_many_random_changes(sim):
    def read():
        for resource in SYNC:
            mark = max((int(v["row"]["Timestamp"]) for v in versions(resource) if v["row"]), default=1)
            sim.all(f"{resource}?$filter=Timestamp gt {mark}L&$select={','.join(fields_of(sim, resource))}")
        sim.all("sync/Deleted?$filter=Timestamp gt 1L&$select=EntityKey,EntityType,Timestamp")

    def versions(resource):
        return sim.control(f"served?division={sim.division}&resource={resource}")["versions"]
    read()
    for _ in range(6):
        made = sim.control("random", {"count": 40, "division": sim.division, "deletes": 0.2})["changes"]
        assert len(made) == 40 and all(c["division"] == sim.division and c["what"] and c["op"] in ("create", "update",
            "delete") for c in made)
        read()
    for resource in SYNC:
        last, numbers = {}, [v["n"] for v in versions(resource)]
        assert numbers == sorted(numbers)
        for version in versions(resource):
            last[version["key"]] = version["row"]
        derived = set(sim.control(f"truth?division={sim.division}&resource={resource}")["derived"])
        truth = sim.truth(resource)
        assert any(gone for _, gone in truth.values())
        for key, (row, gone) in truth.items():
            if gone:
                assert last.get(key) is None
            else:
                assert {k: v for k, v in last[key].items() if k not in derived} == {k: v for k, v in row.items()
                                                                                    if k not in derived}


def test_served_tells_what_is_the_same(sim):
    division = 202002
    order = next(iter(sim.truth("purchaseorder/PurchaseOrders", division)))
    fields = ",".join(fields_of(sim, SYNC[3]))
    read = lambda: sim.all(f"/api/v1/{division}/{SYNC[3]}?$filter=Timestamp gt 1L&$select={fields}")      # noqa: E731
    read()
    sim.change("purchaseorder/PurchaseOrders", "update", order, {"Remarks": "other"}, division=division)
    read()
    found = sim.control(f"served?division={division}&resource={SYNC[3]}")["versions"]
    versions = [v for v in found if v["row"]["PurchaseOrderID"] == order]
    half = len(versions) // 2
    assert not any(v["same"] for v in versions[:half])
    assert [v["same"]
            for v in sorted(versions[half:], key=lambda v: v["row"]["LineNumber"])] == [False] + [True] * (half - 1)
    sim.control("forget", {})
    assert sim.control(f"served?division={division}&resource={SYNC[3]}")["versions"] == []


def test_changes_by_hand(sim):
    made = sim.change("financial/GLAccounts", "create", fields={"Code": "4999", "Description": "Met de hand"})
    assert made["op"] == "create" and made["what"] == "GL account 4999 created" and made["row"]["Code"] == "4999"
    renamed = sim.change("financial/GLAccounts", "update", made["key"], {"Description": "Anders"})
    assert renamed["what"] == "GL account 4999 renamed" and renamed["row"]["Description"] == "Anders"
    assert int(renamed["timestamp"]) > int(made["timestamp"]) and renamed["row"]["Modified"] >= made["row"]["Modified"]
    gone = sim.change("financial/GLAccounts", "delete", made["key"])
    assert gone["what"] == "GL account 4999 deleted" and gone["row"]["Description"] == "Anders"
    supplier = next(k for k, (r, x) in sim.truth("crm/Accounts").items() if r["IsSupplier"] and not x)
    item = next(k for k, (_, x) in sim.truth("logistics/Items").items() if not x)
    order = sim.change("purchaseorder/PurchaseOrders", "create", fields={"Supplier": supplier, "Currency": "EUR"},
                       lines=[{"Item": item, "QuantityInPurchaseUnits": 3, "UnitPrice": 0.1,
                               "CostCenter": "NOWHERE"}] * 2)
    assert order["what"].endswith("created, 2 lines") and order["row"]["AmountDC"] == pytest.approx(0.6)
    line = order["row"]["PurchaseOrderLines"][0]
    assert line["CostCenter"] == "NOWHERE" and line["CostCenterDescription"] is None
    changed = sim.change("purchaseorder/PurchaseOrders", "update", order["key"], {"Description": "x"},
                         [{"ID": line["ID"], "delete": True},
                          {"Item": item, "QuantityInPurchaseUnits": 1, "UnitPrice": 7}])
    assert [x["LineNumber"] for x in changed["row"]["PurchaseOrderLines"]] == [2,
                                                                               3] and changed["row"][
                                                                                   "AmountDC"] == pytest.approx(7.3)


@pytest.mark.parametrize("wanted", [
    {"resource": "crm/Accounts", "op": "explode"}, {"resource": "crm/Nothing", "op": "create"},
    {"resource": "crm/Accounts", "op": "update"},
    {"resource": "crm/Accounts", "op": "update", "key": "x"},
    {"resource": "crm/Accounts", "op": "create", "fields": {"Nothing": 1}},
    {"resource": "crm/Accounts", "op": "create", "fields": {"IsSales": "yes"}},
    {"resource": "sync/Deleted", "op": "create"},
    {"resource": "purchaseorder/PurchaseOrders", "op": "create", "fields": {}}])
def test_senseless_changes_are_refused(sim, wanted):
    with pytest.raises(RuntimeError, match="400"):
        sim.control("change", {"division": sim.division, **wanted})


def test_random_is_repeatable_and_keeps_to_what_is_asked(sim):
    made = sim.control("random", {"count": 15, "division": 303003, "resource": "logistics/Items",
                                  "deletes": 0})["changes"]
    assert {(c["division"], c["resource"]) for c in made} == {(303003, "logistics/Items")}
    assert "delete" not in {c["op"] for c in made}
    with Running("--records", 120, "--divisions", 2) as a, Running("--records", 120, "--divisions", 2) as b:
        assert [x.control("random", {"count": 30, "seed": 5})["changes"] for x in (a,)] == [x.control("random",
            {"count": 30, "seed": 5})["changes"] for x in (b,)]


def test_journal_of_calls(sim):
    before = sim.control("calls")["calls"][-1]["n"]
    sim.get("hrm/Costunits?$select=ID&$top=2")
    (call,) = sim.control(f"calls?since={before}")["calls"]
    assert call["n"] == before + 1 and call["method"] == "GET" and call[
        "path"] == f"/api/v1/{sim.division}/hrm/Costunits"
    assert (call["query"], call["status"], call["division"], call["rows"], call["app"]) == (
        "$select=ID&$top=2", 200, sim.division, 2, sim.info["client_id"]) and call["ms"] >= 0
    stats = sim.control("stats")
    assert stats["resources"]["hrm/Costunits"] >= 1 and stats["statuses"]["200"] >= 1


def test_settings_are_checked(sim):
    for bad in ({"nothing": 1}, {"port": 5}, {"minute_limit": "60"}, {"token_mode": "lazy"}, {"page_size": 0},
                {"day_limit": -1}):
        with pytest.raises(RuntimeError, match="400"):
            sim.control("config", bad)
    assert sim.control("config", {"code_lifetime": 90})["code_lifetime"] == 90
    with pytest.raises(RuntimeError, match="404"):
        sim.control("nothing")


def test_launcher():
    environment = {"EXACT_DATABRICKS_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    helped = subprocess.run([LAUNCHER, "--help"], env=environment, capture_output=True, text=True, timeout=60)
    assert helped.returncode == 0 and all(option in helped.stdout
                                          for option in ("--port", "--seed", "--divisions", "--records",
        "--latency", "--fast"))
    wrong = subprocess.run([LAUNCHER, "--records", "5"], env=environment, capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2 and "--records must be at least" in wrong.stderr
    missing = subprocess.run([LAUNCHER], env={**environment, "EXACT_DATABRICKS_PYTHON": "/bin/false"},
                             capture_output=True, text=True,
                             timeout=60)
    assert missing.returncode == 1 and "no module aiohttp" in missing.stderr


def cpu_seconds(process):
    """Processor time that a process has used: unlike the clock, it does not depend on what else the machine does."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_it_is_fast():
    """Processor time for at least 200 small answers a second, and for a page of 1000 rows (read before) less than 60
    ms."""
    with Running("--records", 9000, "--divisions", 1, "--minute-limit", 0, "--day-limit", 0) as sim:
        sim.authorize()
        select = ",".join(fields_of(sim, SYNC[3]))
        page = f"{SYNC[3]}?$filter=Timestamp gt 1L&$select={select}"
        assert len(sim.get(page).rows) == 1000
        used = cpu_seconds(sim.process)
        for _ in range(400):
            assert len(sim.get("hrm/Costunits?$select=ID,Code&$top=1").rows) == 1
        small = (cpu_seconds(sim.process) - used) / 400
        used = cpu_seconds(sim.process)
        for _ in range(20):
            assert len(sim.get(page).body) > 10**6
        large = (cpu_seconds(sim.process) - used) / 20
        assert small < 1 / 200 and large < 0.060, (small, large)
