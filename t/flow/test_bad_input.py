"""Bad input on either side: a clear error with the next step, nothing lost, and work goes on when it is repaired."""
import pytest
import requests
from cluster import SqlError, literal
from conftest import end_hub, make_hub, show
from hub import write_secret

GL, SYNC_GL = "financial/GLAccounts", "sync/Financial/GLAccounts"


@pytest.fixture(scope="module")
def shared(tmp_path_factory, engine_free):
    hub = make_hub(tmp_path_factory.mktemp("bad"), engine_free, "--records", 120, "--divisions", 2)
    hub.enable()
    hub.wait_loaded()
    yield hub
    end_hub(hub)


@pytest.fixture
def hub(shared, request, equal):
    """The shared hub; after each test it must still be whole: everything arrives and equals the truth."""
    yield shared
    if request.node.report_call.failed:
        show(shared)
    try:
        shared.exact.clear_faults()
        shared.databricks.clear_faults()
        for division in shared.exact.divisions:
            shared.psql(f"SELECT exact.resume({division})")
        shared.exact.random(6, deletes=0.1)
        shared.sync(120)
        equal(shared)
    except BaseException:
        show(shared)
        raise


def refused(hub, statement):
    with pytest.raises(SqlError) as caught:
        hub.psql(statement)
    return caught.value


def change(hub):
    """One GL account of the first division changes; (division, key)."""
    division = hub.exact.divisions[0]
    made = hub.exact.random(1, division=division, resource=GL, deletes=0)[0]
    return division, made["key"]


def status_of(hub, division):
    return hub.query(f"SELECT * FROM exact.status WHERE division = {division}")[0]


def wait_status(hub, division, *words):
    """Until the status of a division shows these words; its row."""
    def shown():
        row = status_of(hub, division)
        text = " ".join(str(v) for v in row.values()).lower()
        return row if all(word.lower() in text for word in words) else None
    return hub.wait_for(f"status of {division} says {words}", shown, 60)


def test_wrong_secret_of_exact(hub):
    hub.import_secrets({"app.erp.client_secret": "not the secret"})
    hub.exact.post("clock", advance=700)  # the token has ended: the next call needs a new one
    division, _ = change(hub)
    row = wait_status(hub, division, "client_secret")
    assert row["light"] == "fail" and row["next_step"]
    hub.import_secrets({"app.erp.client_secret": hub.exact.info["client_secret"]})
    hub.authorize()


def test_wrong_secret_of_databricks(hub):
    hub.import_secrets({"workspace.lake.client_secret": "not the secret"})
    hub.psql("SELECT exact.restart_workers()")
    hub.wait_for_workers()
    division, _ = change(hub)
    row = wait_status(hub, division, "lake")
    assert row["light"] == "fail"
    ping = [r for r in hub.query("SELECT * FROM exact.ping()") if r["name"] == "lake"]
    assert ping and not ping[0]["ok"] and ping[0]["next_step"]
    assert int(hub.value("SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL")) > 0
    hub.import_secrets({"workspace.lake.client_secret": hub.databricks.info["client_secret"]})


def test_refresh_token_used_by_somebody_else(hub):
    e = hub.exact.info
    stolen = hub.exact.consent()
    taken = requests.post(e["base_url"] + "/api/oauth2/token", timeout=30, data={
        "grant_type": "refresh_token", "client_id": e["client_id"], "client_secret": e["client_secret"],
        "refresh_token": stolen["refresh_token"]})
    assert taken.status_code == 200  # before the hub has it, which may use it at once
    hub.import_secrets({"app.erp.refresh_token": stolen["refresh_token"]})
    hub.exact.post("clock", advance=700)
    division, _ = change(hub)
    hub.psql("SELECT exact.sync_now()")
    row = wait_status(hub, division, "authorize")
    assert row["light"] == "fail" and "authorize_url" in row["next_step"]
    calls = len([c for c in hub.exact.get("calls", since=0)["calls"] if "oauth2/token" in c["path"]
                 and c["status"] in (400, 401)])
    hub.psql("SELECT exact.sync_now()")
    error = refused(hub, "SELECT exact.me('erp')")
    assert error.sqlstate == "EX005" and "authorize_url" in (error.hint or "")
    again = len([c for c in hub.exact.get("calls", since=0)["calls"] if "oauth2/token" in c["path"]
                 and c["status"] in (400, 401)])
    assert again <= calls, "the dead token is not tried again and again"
    hub.authorize()


def test_missing_scope(hub):
    division = hub.exact.divisions[0]
    hub.exact.fault(f"/{division}/{SYNC_GL}", "status", status=403, times=-1,
                    body={"error": {"code": "",
                                    "message": {"lang": "", "value": "Forbidden - Application Scope Violated. Cannot "
                                                "read 'financial.generalledgers' scope."}}})
    change(hub)
    hub.psql("SELECT exact.sync_now()")
    row = wait_status(hub, division, "scope")
    assert row["light"] in ("warn", "fail") and "glaccount" in str(row)
    # the other entities of the division go on
    item = hub.exact.random(1, division=division, resource="logistics/Items", deletes=0)[0]
    hub.psql("SELECT exact.sync_now()")
    hub.wait_for("items still arrive", lambda: hub.value(
        f"SELECT seq = (SELECT max(seq) FROM exact.record WHERE division = {division} AND entity = 'items') "
        "FROM exact.record "
        f"WHERE division = {division} AND entity = 'items' AND key = {literal(item['key'].lower())}") == "t", 60)


@pytest.mark.parametrize("statement", [
    "UPDATE exact.app SET base_url = 'https://start.exactonline.example.com'",
    "UPDATE exact.app SET base_url = 'http://start.exactonline.nl'",
    "UPDATE exact.workspace SET host = 'https://databricks.example.com'",
    "UPDATE exact.workspace SET host = 'http://adb-1.2.azuredatabricks.net'",
])
def test_unlisted_or_plain_host(hub, statement):
    error = refused(hub, statement)
    assert error.sqlstate == "EX006" and error.hint


def test_table_that_exists_with_other_columns(engine_free, start_hub, equal):
    hub = start_hub(engine_free, "--records", 80, "--divisions", 2)
    engine_free.sql(f"CREATE TABLE main.{hub.schema}.glaccount (ID BIGINT, something STRING) USING DELTA")
    hub.enable()
    division = hub.exact.divisions[0]
    hub.wait_for("glaccount is paused", lambda: hub.query("SELECT * FROM exact.target_state WHERE entity = 'glaccount' "
                                                          "AND paused_since IS NOT NULL"), 120)
    state = hub.query("SELECT * FROM exact.target_state WHERE entity = 'glaccount'")[0]
    assert state["sqlstate"] == "EX014" and "ID" in state["reason"] and state["next_step"]
    hub.wait_for("the other tables go on", lambda: hub.value(
        "SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL AND entity NOT IN ('glaccount')") == "0"
                 and hub.value(
        "SELECT count(DISTINCT entity) FROM exact.batch WHERE delivered_at IS NOT NULL") == "6", 120)
    engine_free.sql(f"DROP TABLE main.{hub.schema}.glaccount")
    hub.psql(f"SELECT exact.resume({division}, 'glaccount')")
    hub.wait_loaded()
    equal(hub)


@pytest.mark.parametrize("privilege", ["MODIFY", "SELECT"])
def test_missing_grant(hub, privilege):
    table = hub.table("glaccount")
    hub.databricks.post("privileges", deny=[{"privilege": privilege, "object": table}])
    try:
        division, _ = change(hub)
        hub.psql("SELECT exact.sync_now()")
        hub.wait_for("glaccount is paused", lambda: hub.query(
            "SELECT * FROM exact.target_state WHERE entity = 'glaccount' AND paused_since IS NOT NULL"), 60)
        state = hub.query("SELECT * FROM exact.target_state WHERE entity = 'glaccount'")[0]
        assert state["sqlstate"] == "42501" and "GRANT" in state["next_step"]
        assert wait_status(hub, division, "glaccount")["light"] == "fail"
    finally:
        hub.databricks.post("privileges", deny=[])


@pytest.mark.parametrize("action, how", [("truncate", {}), ("html", {}), ("malformed", {}), ("reset_after", {}),
                                         ("reset_before", {}),
                                         ("evil_next", {"host": "https://evil.example.com"}),
                                         ("status", {"status": 503})])
def test_bad_answer_of_exact(hub, action, how):
    division = hub.exact.divisions[0]
    fault = hub.exact.fault(f"/{division}/{SYNC_GL}", action, times=2, **how)
    change(hub)
    hub.psql("SELECT exact.sync_now()")
    hub.wait_for("the fault was met", lambda: next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"]), 60,
                 0.05)
    hub.wait_for("the call is recorded with its error", lambda: hub.query(
        f"SELECT * FROM exact.api_call WHERE division = {division} AND outcome <> 'ok' AND error IS NOT NULL"), 30)


def test_record_of_another_division(hub):
    division, other = hub.exact.divisions[:2]
    staged = hub.value("SELECT max(id) FROM exact.batch")
    hub.exact.fault(f"/{division}/{SYNC_GL}", "wrong_division", division=other)
    change(hub)
    hub.psql("SELECT exact.sync_now()")
    row = wait_status(hub, division, "frozen")
    assert row["light"] == "fail" and str(other) in row["what"] and "resume" in row["next_step"]
    assert hub.value(f"SELECT count(*) FROM exact.batch WHERE division = {division} AND entity = 'glaccount' "
                     f"AND id > {staged}") == "0"
    assert status_of(hub, other)["light"] == "ok"


def test_record_of_another_division_in_an_inquiry(hub):
    division, other = hub.exact.divisions[:2]
    hub.exact.fault(f"/{division}/financial/GLAccounts", "wrong_division", division=other)
    error = refused(hub, f"SELECT * FROM exact.fetch({division}, 'financial/GLAccounts', '$select=ID,Division')")
    assert error.sqlstate == "EX010" and str(other) in error.message and error.hint


def test_key_file(engine_free, start_hub):
    """
    Missing, readable by others, inside the data directory: check() names it, and nothing is encrypted without a key.
    """
    hub = start_hub(engine_free, "--records", 80, "--divisions", 2, authorize=False)
    hub.configure()
    key = hub.key_file.read_text()
    inside = hub.cluster.data / "hub.key"

    def finding():
        rows = [r for r in hub.query("SELECT * FROM exact.check()") if r["rule"] == "key file"]
        return rows[0] if rows else {"result": "none"}

    def setting(path):
        hub.cluster.write_settings(exact_databricks__key_file=path)
        hub.cluster.reload()
        hub.wait_for("the setting is read", lambda: hub.value("SHOW exact_databricks.key_file") == str(path or ""), 10)

    assert finding()["result"] == "ok"
    for path, words in ((hub.directory / "missing.key", "missing.key"), (None, "not set"), (inside, "data directory")):
        if path == inside:
            write_secret(inside, key)
        setting(path)
        row = finding()
        assert row["result"] == "fail" and words in row["finding"] and row["fix"], row
        error = refused(hub, "SELECT exact.set_secret('app', 'erp', 'client_secret', 'x')")
        assert error.sqlstate == "EX003" and error.hint, error.text
    setting(hub.key_file)
    hub.key_file.chmod(0o644)
    row = finding()
    assert row["result"] == "fail" and row["fix"]
    assert refused(hub, "SELECT exact.set_secret('app', 'erp', 'client_secret', 'x')").sqlstate == "EX003"
    hub.key_file.chmod(0o600)
    assert finding()["result"] == "ok"
    hub.authorize()
    hub.enable(entities=("glaccount",))
    hub.wait_loaded()


def test_unknown_names(hub):
    division = hub.exact.divisions[0]
    error = refused(hub, f"SELECT exact.enable_entities({division}, 'glacount')")
    assert error.sqlstate == "EX015" and "glaccount" in (error.hint or "")
    assert refused(hub, f"SELECT exact.enable_entities({division}, "
                   "'customfield/CustomFields')").sqlstate == "EX020"
    assert refused(hub, "SELECT exact.wait(987654321)").sqlstate == "EX018"
