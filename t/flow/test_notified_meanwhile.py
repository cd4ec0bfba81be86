"""A key that is notified while it is being read: the answer on its way shows the state before."""
from test_ordering import hits, living

ENTRIES = "purchaseentry/PurchaseEntries"


def test_it_is_read_again(engine_free, start_hub):
    """Nothing else tells of the second change: no feed runs, no transaction lines are followed."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 100, "--divisions", 1,
                    settings={"exact_databricks.sync_interval": "1h", "exact_databricks.debounce": "100ms"})
    hub.enable(entities=("purchaseentries", "purchaseentrylines"))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    key = living(hub, division, ENTRIES)[0]["key"].lower()

    def change(text):
        hub.exact.change(division, ENTRIES, "update", key, fields={"Description": text})
        hub.psql(f"SELECT exact._want_keys({division}, 'purchaseentries', ARRAY['{key}'], NULL, 'notified'); "
                 "SELECT exact._wake('fetcher')")
    fault = hub.exact.fault(r"PurchaseEntries\?.*filter=EntryID", "delay_after", times=1, seconds=3)
    change("the first state")
    hub.wait_for("it is being read", lambda: hits(hub, fault), 30, 0.05)
    change("the second state")
    hub.wait_for("the second state is here", lambda: "the second state" in hub.value(
        "SELECT s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
        f"WHERE r.entity = 'purchaseentries' AND r.key = '{key}'"), 20)
