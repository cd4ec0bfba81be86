"""A second database with the extension beside the first, its end, and the end of a hub whose transfers hang."""
import time

from hub import Hub


def test_second_database(engine_free, start_hub, equal):
    first = start_hub(engine_free, "--records", 200, "--divisions", 5)
    second = Hub(first.directory, first.exact, first.databricks, database="second", schema=first.schema + "_second",
                 cluster=first.cluster)
    first.enable(first.exact.divisions[:3])
    second.create()
    second.configure(app="other", workspace="lake2")
    # one chain per app and user: the second hub is another user of Exact Online
    first.exact.post("config", user="second@example.com")
    second.authorize("other")
    second.enable(first.exact.divisions[3:], workspace="lake2", app="other")
    first.wait_loaded()
    second.wait_loaded()
    first.exact.random(20, seed=3, deletes=0.1)
    first.sync()
    second.sync()
    equal(first, divisions=first.exact.divisions[:3])
    equal(second, divisions=first.exact.divisions[3:])

    begun = time.monotonic()
    first.cluster.psql("DROP DATABASE second")
    assert time.monotonic() - begun < 2.0
    first.exact.random(5, seed=4, division=first.exact.divisions[0], deletes=0)
    first.sync()
    equal(first, divisions=first.exact.divisions[:3])


def hanging(hub, fault):
    return next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"])


def drop_while_hanging(hub, statement):
    """20 reads of Exact Online, one in each division, that never answer; then the database goes."""
    hub.discover()
    fault = hub.exact.fault(r"/api/v1/\d+/", "hang", times=-1)
    hub.enable()
    hub.wait_for("20 transfers hang", lambda: hanging(hub, fault) >= 20, 60)
    begun = time.monotonic()
    hub.cluster.psql(statement)
    took = time.monotonic() - begun
    assert hub.cluster.value("SELECT count(*) FROM pg_stat_activity WHERE datname = 'erp'") == "0"
    return took


def test_drop_database_while_transfers_hang(engine_free, start_hub):
    assert drop_while_hanging(start_hub(engine_free, "--records", 800, "--divisions", 20), "DROP DATABASE erp") < 2.0


def test_drop_database_force_while_transfers_hang(engine_free, start_hub):
    assert drop_while_hanging(start_hub(engine_free, "--records", 800, "--divisions", 20),
                              "DROP DATABASE erp WITH (FORCE)") < 2.0


def test_drop_database_while_a_token_answer_is_outstanding(engine_free, start_hub):
    """The pair under way may not be lost for nothing: up to ten seconds for it, then the database goes all the same."""
    hub = start_hub(engine_free, "--records", 200, "--divisions", 1, "--token-lifetime", 60, "--min-refresh-age", 2,
                    settings={"exact_databricks.refresh_after": "3s"})
    hub.enable()
    fault = hub.exact.fault("oauth2/token", "hang", times=-1)
    hub.wait_for("a token call hangs", lambda: hanging(hub, fault), 60)
    begun = time.monotonic()
    hub.cluster.psql("DROP DATABASE erp")
    assert time.monotonic() - begun < 12.0


def test_drop_extension_while_everything_runs(engine_free, start_hub, equal):
    hub = start_hub(engine_free, "--records", 400, "--divisions", 5, "--latency", "5-60")
    hub.databricks.fault("", "slow", statement=f"`{hub.schema}`", seconds=0.2, times=-1)
    hub.enable()
    hub.wait_for("pages are staged", lambda: hub.value("SELECT count(*) > 3 FROM exact.batch") == "t", 60)
    begun = time.monotonic()
    hub.psql("DROP EXTENSION exact_databricks CASCADE")
    assert time.monotonic() - begun < 12.0
    assert hub.value("SELECT count(*) FROM pg_namespace WHERE nspname = 'exact'") == "0"
    hub.databricks.clear_faults()
    # from nothing again, into a new schema: the old Delta tables are another installation's
    hub.schema += "_again"
    hub.psql("CREATE EXTENSION exact_databricks")
    hub.wait_for_workers()
    hub.configure()
    hub.authorize()
    hub.enable(entities=("glaccount", "costcenter"))
    hub.wait_loaded()
    rows = hub.databricks.rows(hub.table("glaccount"))
    assert len(rows) == hub.exact.info["records"]["financial/GLAccounts"]
