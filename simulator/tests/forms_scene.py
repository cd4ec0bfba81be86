"""For tests of forms: one simulator, a fresh consent and the settings of calm for each test."""
import pytest

from simulator.exact_online.harness import Running

ITEM, ACCOUNT, GL, COSTCENTER = "logistics/Items", "crm/Accounts", "financial/GLAccounts", "hrm/Costcenters"
ORDER, LINE = "purchaseorder/PurchaseOrders", "purchaseorder/PurchaseOrderLines"
SYNC_ORDERS = "sync/PurchaseOrder/PurchaseOrders"


@pytest.fixture(scope="module")
def running():
    with Running("--records", 1200, "--divisions", 3, "--minute-limit", 0, "--day-limit", 0, "--error-limit", 0,
                 "--min-refresh-age", 0) as made:
        yield made, made.control("config")


@pytest.fixture
def sim(running):
    made, calm = running
    changeable = {n: v for n, v in calm.items() if n not in ("host", "port", "seed", "divisions", "records", "preset",
                                                             "clock_offset", "tls_cert",
                                                              "tls_key", "time_zone", "rows_each")}
    made.authorize()
    made.division = made.info["divisions"][0]["code"]
    yield made
    made.control("config", changeable)
    made.control("faults", method="DELETE")
    made.control("clock", {"paused": False, "skew": 0})
    for division in made.info["divisions"]:
        made.control("division", {"code": division["code"], "granted": True, "blocked": False, "blocking_status": 0})
        made.control("show", {"division": division["code"]})


def met(sim):
    """{form: how often it was met}."""
    return {f["name"]: f["met"] for f in sim.control("weather")["forms"]}


def config(sim, **wanted):
    return sim.control("config", wanted)


def fault(sim, path, action, **more):
    return sim.control("faults", {"path": path, "action": action, **more})["id"]


def key_of(sim, resource):
    return next(key for key, (_, gone) in sim.truth(resource).items() if not gone)
