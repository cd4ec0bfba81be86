"""Links to next pages as services write them."""
from conftest import UNLIMITED

ITEMS = "sync/Logistics/Items"


def test_a_link_with_blanks_and_quotes(start_hub, engine_free):
    """It is sent as it would be typed into a browser; nothing of it is kept that can never be sent."""
    hub = start_hub(engine_free, "--records", "400", "--divisions", "1", *UNLIMITED)
    division = hub.exact.divisions[0]
    hub.exact.post("config", sync_page_size=30)
    fault = hub.exact.fault(ITEMS, "next_value", times=1, value=f"{hub.exact.url}/api/v1/{division}/{ITEMS}"
                            "?$filter=Timestamp gt 1L&x=\"a b\"")
    hub.enable(entities=("items",))
    hub.wait_loaded()
    assert next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"]) == 1
    alive = [row for row in hub.exact.truth(division, "logistics/Items") if not row["deleted"]]
    assert len(alive) > 60 and hub.value("SELECT count(*) FROM exact.record WHERE NOT deleted") == str(len(alive))
    assert "failed division" not in hub.cluster.log_text()
