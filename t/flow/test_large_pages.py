"""A page that is larger than an answer may be is read in parts."""
import pathlib

from conftest import UNLIMITED

ITEMS = "logistics/Items"


def memory_mb(hub):
    pid = hub.value("SELECT pid FROM exact.workers WHERE role = 'fetcher'")
    line = next(r for r in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if r.startswith("RssAnon"))
    return int(line.split()[1]) / 1024


def test_a_page_of_more_than_64_mb(start_hub, engine_free):
    hub = start_hub(engine_free, "--records", "2000", "--divisions", "1", *UNLIMITED,
                    settings={"exact_databricks.sync_interval": "1h"})
    division = hub.exact.divisions[0]
    alive = sorted(r["key"].lower() for r in hub.exact.truth(division, ITEMS) if not r["deleted"])
    assert len(alive) > 320

    def known():
        return hub.value("SELECT string_agg(key, ' ' ORDER BY key) FROM exact.record WHERE NOT deleted").split()

    # the first page; each whole page is too large
    fault = hub.exact.fault(r"sync/Logistics/Items\?(?!.*top)", "monster", times=-1, kind="bytes")
    hub.enable(entities=("items",))
    hub.wait_loaded()
    assert known() == alive
    log = hub.cluster.log_text()
    assert "page too large" in log and "goes_on=from the start top=100" in log and memory_mb(hub) < 300
    hub.exact._call("DELETE", f"faults/{fault}")

    # a further one: what was read before stays, and nothing is missing
    hub.exact.post("config", sync_page_size=100)
    hub.exact.fault(r"Items\?.*skiptoken(?!.*top)", "monster", times=-1, kind="bytes")
    request = hub.value(f"SELECT exact.backfill({division}, 'items')")
    assert hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    assert "goes_on=from the highest mark top=100" in hub.cluster.log_text() and known() == alive
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op <> 'I'") == "0"
