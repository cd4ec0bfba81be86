"""Parts of pages that are too large, where times of change do not tell how to go on, or there are none."""
import json

import pytest
from conftest import UNLIMITED

COST_UNITS, UNITS = "hrm/Costunits", "logistics/Units"


def living(hub, division, resource):
    return sorted(r["key"].lower() for r in hub.exact.truth(division, resource) if not r["deleted"])


def known(hub, entity):
    return hub.value(f"SELECT string_agg(key, ' ' ORDER BY key) FROM exact.record WHERE entity = '{entity}' "
                     "AND NOT deleted").split()


@pytest.mark.parametrize("resource,entity,how,large", [
    (COST_UNITS, "costunit", {"modified": "/Date(1700000000617)/"}, 60), (UNITS, "units", {}, 12)],
    ids=["one Modified, whole pages are too large", "no Modified, 12 rows are too large"])
def test_many_rows_at_one_place(start_hub, engine_free, resource, entity, how, large):
    """More rows than the largest part share one time of change, or have none: none is missed, none is gone."""
    hub = start_hub(engine_free, "--preset", "all", "--records", "200", "--divisions", "1", *UNLIMITED,
                    settings={"exact_databricks.sync_interval": "1h"})
    division = hub.exact.divisions[0]
    for n in range(130):
        hub.exact.change(division, resource, "create", fields={"Code": f"C{n}", "Description": f"{n}"}, **how)
    name = resource.split("/")[1]
    small = "|".join(str(n) for n in range(1, large))
    hub.exact.fault(rf"{name}\?(?!.*(ID.{{1,3}}eq|top=({small})(&|$)))", "monster", times=-1, kind="bytes")
    hub.enable(entities=(entity,))
    hub.wait_loaded(60)
    assert known(hub, entity) == living(hub, division, resource)

    # a whole reading: what is gone is found, and nothing else
    gone = living(hub, division, resource)[40]
    hub.exact.change(division, resource, "delete", gone)
    request = hub.value(f"SELECT exact.backfill({division}, '{entity}')")
    assert hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    hub.wait_for("the deleted one is gone", lambda: known(hub, entity) == living(hub, division, resource), 20)
    assert hub.value("SELECT string_agg(op || key, ' ') FROM exact.stage WHERE op <> 'I'") == "D" + gone
    rows = len(living(hub, division, resource))
    assert int(hub.value(f"SELECT count(*) FROM exact.api_call WHERE feed = '{entity}'")) < rows


def test_a_service_that_passes_over_skip_tokens(start_hub, engine_free):
    """The same part again and again is no progress: the run fails and says so."""
    hub = start_hub(engine_free, "--preset", "all", "--records", "200", "--divisions", "1", *UNLIMITED,
                    settings={"exact_databricks.sync_interval": "1h"})
    division = hub.exact.divisions[0]
    parts = {top: json.dumps({"d": [{"ID": f"00000000-0000-0000-0000-{n:012}", "Division": division, "Code": "a",
                                     "Description": "b", "Active": True, "Main": 0} for n in range(top)][::-1]})
             for top in (6, 12)}
    for top, body in parts.items():
        hub.exact.fault(rf"Units\?.*top={top}(&|$)", "status", times=-1, status=200, body=body)
    hub.exact.fault(r"Units\?", "monster", times=-1, kind="bytes")
    hub.enable(entities=("units",))
    hub.wait_for("it says so", lambda: "ignores $skiptoken" in hub.cluster.log_text(), 40)
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
