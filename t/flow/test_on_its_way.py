"""What happens while an answer is on its way, and what an answer says twice."""
from conftest import UNLIMITED
from test_ordering import hits


def test_a_pause_stays_a_pause(start_hub, engine_free):
    """A request that was sent before it is refused for the whole division: the pause does not become a wait."""
    hub = start_hub(engine_free, "--records", "100", "--divisions", "1", *UNLIMITED,
                    settings={"exact_databricks.sync_interval": "1h"})
    division = hub.exact.divisions[0]
    hub.enable(entities=("items",))
    hub.wait_loaded()
    hub.exact.post("config", latency_min=2500, latency_max=2500)
    fault = hub.exact.fault("sync/Logistics/Items", "status", times=1, status=403,
                            headers={"Reason": "BlockedCustomer"})
    hub.psql("SELECT exact.sync_now()")
    hub.wait_for("it is asked", lambda: hits(hub, fault) == 1, 30)
    hub.psql(f"SELECT exact.pause({division})")
    refused = "SELECT count(*) FROM exact.api_call WHERE status = 403"
    hub.wait_for("it is refused", lambda: hub.value(refused) == "1", 30)
    assert hub.value("SELECT state FROM exact.division_state") == "paused"
    hub.wait_for("the fetcher has seen it", lambda: "state=parked" in hub.cluster.log_text(), 30)
    assert hub.value("SELECT state FROM exact.division_state") == "paused"


def test_a_record_twice_on_a_page(start_hub, engine_free):
    """Without row versions the later state counts."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", "100", "--divisions", "1", *UNLIMITED,
                    settings={"exact_databricks.sync_interval": "2s"})
    hub.enable(entities=("costcenter",))
    hub.wait_loaded()
    [row] = hub.query("SELECT r.key, s.payload FROM exact.record r JOIN exact.stage s USING (slot, batch, ord) "
                      "WHERE r.entity = 'costcenter' ORDER BY r.key LIMIT 1")
    name = hub.value(f"SELECT (payload::json ->> 'Description') FROM exact.stage WHERE key = '{row['key']}'")
    quoted = f'"Description":"{name}"'
    assert quoted in row["payload"]
    states = [row["payload"].replace(quoted, f'"Description":"{state}"') for state in ("an older", "a newer")]
    fault = hub.exact.fault(r"hrm/Costcenters\?", "status", times=1, status=200,
                            body=f'{{"d":{{"results":[{",".join(states)}]}}}}')
    hub.wait_for("the page is read", lambda: hits(hub, fault) == 1, 30)
    staged = ("SELECT string_agg(payload::json ->> 'Description', ' ' ORDER BY seq) FROM exact.stage "
              "WHERE payload ~ '\"(an older|a newer)\"'")
    hub.wait_for("it is staged", lambda: hub.value(staged), 30)
    assert hub.value(staged) == "a newer"
