"""What many divisions cost: only what has to be read is read."""
from conftest import UNLIMITED
from processes import free_port
from test_ordering import listening, living, subscribe


def scans(hub, table):
    return int(hub.value("SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables "
                         f"WHERE relid = 'exact.{table}'::regclass"))


def test_notifications_read_no_plan(start_hub, engine_free):
    """A notification is taken and its feed runs; what all divisions have to do is read when it was changed."""
    hub = start_hub(engine_free, "--divisions", "1", "--records", "100", *UNLIMITED,
                    settings={"exact_databricks.sync_interval": "1h", "exact_databricks.debounce": "100ms"})
    division, port = hub.exact.divisions[0], free_port()
    hub.enable(entities=("items",))
    hub.wait_loaded()
    listening(hub, port)
    subscribe(hub, division, port, "Items")
    items = [row["key"] for row in living(hub, division, "logistics/Items")]

    def change(n):
        """A change; until it is staged and the fetcher has reported what it has read."""
        before = scans(hub, "inbox_work")
        hub.exact.change(division, "logistics/Items", "update", items[0], fields={"Description": f"change {n}"})
        hub.wait_for("it is staged", lambda: hub.value(
            "SELECT count(*) FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
            f"WHERE r.entity = 'items' AND s.payload LIKE '%change {n}\"%'") == "1", 30)
        hub.wait_for("what was read is reported", lambda: scans(hub, "inbox_work") > before, 30)
    change(0)
    before = scans(hub, "backfill")
    for n in range(1, 7):
        change(n)
    assert scans(hub, "backfill") <= before + 1     # a night may have come
    before = scans(hub, "backfill")
    hub.psql("SELECT exact._wake('fetcher')")
    hub.wait_for("it is read when somebody says so", lambda: scans(hub, "backfill") > before, 30)
