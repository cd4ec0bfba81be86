"""Forms of statements, results and refusals, each as a setting, a fault or a default of the Databricks simulator (D1
to D29, D38, D39, D46)."""

import base64
import json
import re

import pytest
import requests
from test_databricks_support import ROOT, Server

from simulator.databricks.forms import ERROR_FORMS
from simulator.databricks.grants import DOCUMENTED
from simulator.databricks.weather import PASSING_CODES

STATEMENTS = "/api/2.0/sql/statements"
HISTORY = "/api/2.0/sql/history/queries"


@pytest.fixture(scope="module")
def shared():
    server = Server(
        "--seed", "3", "--chunk-rows", "10000", "--set", "error_form=field", "--set", "permission_form=class_line"
    )
    server.rows("CREATE TABLE main.exact.t (a INT, b STRING)")
    server.rows("INSERT INTO main.exact.t VALUES (1, 'one'), (2, NULL), (3, 'three')")
    yield server
    assert server.stop() == 0


@pytest.fixture
def workspace(shared):
    before = shared.control("GET", "info")["settings"]
    yield shared
    shared.config(**{k: v for k, v in before.items() if k not in ("catalog", "schema", "warehouse_id")})
    shared.control("DELETE", "faults")
    shared.control("POST", "privileges", deny=[],
                   revoke=[{"privilege": "CAN MANAGE", "object": shared.warehouse}])
    shared.control("POST", "clock", skew=0)


def many(workspace, rows=10):
    """A SELECT of `rows` rows."""
    name = f"main.exact.many{rows}"
    workspace.rows(f"CREATE TABLE IF NOT EXISTS {name} (a INT)")
    if workspace.rows(f"SELECT count(*) FROM {name}") == [["0"]]:
        workspace.rows(f"INSERT INTO {name} VALUES " + ", ".join(f"({i})" for i in range(rows)))
    return f"SELECT a FROM {name} ORDER BY a"


# Results

def test_closed_with_rows(workspace):
    """D1"""
    workspace.config(close_on_answer=1.0)
    answer = workspace.submit("SELECT a FROM main.exact.t ORDER BY a").json()
    assert (
        answer["status"] == {"state": "CLOSED"}
        and answer["result"]["data_array"] == [["1"], ["2"], ["3"]]
        and "manifest" in answer
    )
    assert workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}").status_code == 404
    polled = workspace.until_done(workspace.submit("SELECT 1", wait_timeout="0s").json())
    assert polled["status"]["state"] == "CLOSED" and polled["result"]["data_array"] == [["1"]]
    workspace.config(chunk_rows=2)
    assert workspace.run("SELECT a FROM main.exact.t")["status"]["state"] == "SUCCEEDED"
    assert workspace.met("close_on_answer") == 2


@pytest.mark.parametrize("form, status", [("404", 404), ("closed", 400)])
def test_result_gone(workspace, form, status):
    """D2"""
    workspace.config(chunk_rows=2, result_gone=form)
    answer = workspace.run("SELECT a FROM main.exact.t")
    workspace.control("POST", "clock", advance=3601)
    gone = workspace.call("GET", answer["result"]["next_chunk_internal_link"])
    assert gone.status_code == status
    if form == "404":
        assert gone.json()["error_code"] == "NOT_FOUND" and re.match(
            "The result of the statement .* was not found", gone.json()["message"]
        )
    assert workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}").json()["status"] == {"state": "CLOSED"}


def test_chunks_are_drawn(workspace):
    """D3"""
    text = many(workspace, 200)
    workspace.config(chunk_rows=0, chunk_bytes=0)
    counts = set()
    for _ in range(25):
        answer = workspace.run(text)
        counts.add(answer["manifest"]["total_chunk_count"])
        assert workspace.all_rows(answer) == [[str(i)] for i in range(200)]
    assert len(counts) > 4 and max(counts) <= 50 and workspace.met("chunks") > 4


def test_row_offset(workspace):
    """D4"""
    workspace.config(chunk_rows=2, require_row_offset=True)
    answer = workspace.run("SELECT a FROM main.exact.t")
    link = answer["result"]["next_chunk_internal_link"]
    assert workspace.call("GET", link).json()["row_count"] == 1
    refused = workspace.call("GET", link.split("?")[0])
    assert refused.status_code == 400 and "row_offset is required" in refused.json()["message"]


def test_ansi_mode_off(workspace):
    """D5; more values in test_databricks_cases.py"""
    workspace.config(ansi_mode=False)
    assert workspace.rows(
        "SELECT CAST('x' AS INT) AS a, CAST('1e30' AS DECIMAL(10,2)) AS b, CAST('no' AS DATE) AS c"
    ) == [[None, None, None]]
    workspace.config(ansi_mode=True)
    assert workspace.error("SELECT CAST('x' AS INT) AS a")[0] == "22018"


def test_time_zone(workspace):
    """D6; more values in test_databricks_cases.py"""
    workspace.config(time_zone="America/Los_Angeles")
    assert workspace.rows(
        "SELECT TIMESTAMP'2021-01-01 10:00:00' AS a, CAST(CAST('2021-01-01T03:00:00Z' AS TIMESTAMP) AS DATE) AS b"
    ) == [["2021-01-01T10:00:00.000-08:00", "2020-12-31"]]


MERGE = (
    "MERGE INTO main.exact.{} AS t USING (SELECT 7 AS a, '{}' AS b) AS s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b "
    "= s.b "
    "WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, s.b)"
)


def race(workspace, table):
    """Two MERGEs of one new key, the second begins before the first ends; their final answers."""
    workspace.rows(f"CREATE TABLE IF NOT EXISTS main.exact.{table} (a INT, b STRING)")
    workspace.rows(f"DELETE FROM main.exact.{table}")
    workspace.fault(action="slow", seconds=600, statement="'slow'")
    slow = workspace.submit(MERGE.format(table, "slow"), wait_timeout="0s").json()
    path = f"{STATEMENTS}/{slow['statement_id']}"
    workspace.poll(lambda: workspace.call("GET", path).json()["status"]["state"] == "RUNNING")
    quick = workspace.submit(MERGE.format(table, "quick"), wait_timeout="0s").json()
    if workspace.control("GET", "info")["settings"]["table_concurrency"] != "serial":
        workspace.until_done(quick)
    workspace.control("POST", "clock", advance=601)
    return workspace.until_done(slow), workspace.until_done(quick)


@pytest.mark.parametrize("mode", ["serial", "conflict", "row_level"])
def test_two_writers(workspace, mode):
    """D7"""
    workspace.config(table_concurrency=mode)
    slow, quick = race(workspace, f"raced_{mode}")
    assert quick["status"]["state"] == "SUCCEEDED"
    rows = workspace.rows(f"SELECT b FROM main.exact.raced_{mode} ORDER BY b")
    if mode == "conflict":
        assert (
            slow["status"]["sql_state"] == "2D521"
            and "DELTA_CONCURRENT_APPEND" in slow["status"]["error"]["message"]
            and rows == [["quick"]]
        )
    elif mode == "row_level":
        assert slow["result"]["data_array"] == [["1", "0", "0", "1"]] and rows == [["quick"], ["slow"]]
        workspace.rows("DELETE FROM main.exact.raced_row_level WHERE b = 'slow'")
        workspace.fault(
            action="slow", seconds=600, statement="'later'"
        )  # both change one row: that is a conflict here too
        later = workspace.submit(MERGE.format("raced_row_level", "later"), wait_timeout="0s").json()
        workspace.poll(
            lambda: (
                workspace.call("GET", f"{STATEMENTS}/{later['statement_id']}").json()["status"]["state"] == "RUNNING"
            )
        )
        workspace.rows(MERGE.format("raced_row_level", "first"))
        workspace.control("POST", "clock", advance=601)
        assert workspace.until_done(later)["status"]["sql_state"] == "2D521"
    else:
        assert len(rows) == 1 and slow["status"]["state"] == "SUCCEEDED"


@pytest.mark.parametrize("mode", ["serial", "conflict", "row_level"])
def test_two_first_inserts(workspace, mode):
    """D7: an INSERT that reads its own table meets another writer as a MERGE does; one that does not never does."""
    table = f"main.exact.first_{mode}"
    workspace.config(table_concurrency=mode)
    workspace.rows(f"CREATE TABLE {table} (a STRING) USING DELTA")
    first = "INSERT INTO {0} (a) SELECT {1} FROM (SELECT 1) AS s WHERE (SELECT count(*) FROM {0}) = 0"
    workspace.fault(action="slow", seconds=600, statement="'slow'")
    slow = workspace.submit(first.format(table, "'slow'"), wait_timeout="0s").json()
    workspace.poll(lambda: workspace.call("GET", f"{STATEMENTS}/{slow['statement_id']}").json()["status"]["state"]
                   == "RUNNING")
    quick = workspace.submit(f"INSERT INTO {table} VALUES ('quick')", wait_timeout="0s").json()
    if mode != "serial":
        workspace.until_done(quick)
    workspace.control("POST", "clock", advance=601)
    slow = workspace.until_done(slow)
    assert workspace.until_done(quick)["status"]["state"] == "SUCCEEDED"
    rows = workspace.rows(f"SELECT a FROM {table} ORDER BY a")
    if mode == "conflict":
        assert slow["status"]["sql_state"] == "2D521" and rows == [["quick"]]
    else:  # one after the other, or both at once
        assert slow["result"]["data_array"] == [["1", "1"]] and rows == [["quick"], ["slow"]]
    again = workspace.rows(first.format(table, "'again'"))
    assert again == [["0", "0"]] and workspace.rows(f"SELECT count(*) FROM {table} WHERE a = 'again'") == [["0"]]


# History

def listed(workspace, **query):
    return workspace.call("GET", HISTORY, params=query).json()


def test_history_states(workspace):
    """D8"""
    workspace.config(history_states=True)
    workspace.fault(action="slow", seconds=600, statement="SELECT 808")
    answer = workspace.submit("SELECT 808", wait_timeout="0s").json()
    workspace.poll(lambda: workspace.control("GET", "statements")["statements"][-1]["state"] == "RUNNING")
    seen = [listed(workspace, max_results=1)["res"][0]["status"] for _ in range(5)]
    assert seen == ["STARTED", "COMPILING", "COMPILED", "RUNNING", "RUNNING"]
    workspace.control("POST", "clock", advance=601)
    workspace.until_done(answer)
    assert listed(workspace, max_results=1)["res"][0]["status"] == "FINISHED"


def test_history_of_its_own(workspace):
    """D8"""
    info = workspace.info
    token = requests.post(f"{workspace.url}/oidc/v1/token", auth=(info["client_id"], info["client_secret"]), timeout=10,
                          data={"grant_type": "client_credentials", "scope": "all-apis"}).json()["access_token"]
    workspace.run("SELECT 'of the user'")
    workspace.may_stop()  # who manages the warehouse sees the statements of others
    other = requests.get(workspace.url + HISTORY, headers={"Authorization": f"Bearer {token}"}, timeout=10).json()
    assert len(other["res"]) > 0
    workspace.config(history_scope="own")
    assert (
        requests.get(workspace.url + HISTORY, headers={"Authorization": f"Bearer {token}"}, timeout=10).json()["res"]
        == []
    )
    assert "of the user" in listed(workspace, max_results=1)["res"][0]["query_text"]


def test_history_without_texts(workspace):
    """D8"""
    workspace.run("SELECT 'a secret'")
    assert "a secret" in listed(workspace, max_results=1)["res"][0]["query_text"]
    workspace.config(history_text="redacted")
    entry = listed(workspace, max_results=1)["res"][0]
    assert entry["query_text"] == "<Redacted>" and entry["status"] == "FINISHED" and entry["user_name"]


def test_predictive_optimization(workspace):
    """D48"""
    def described():
        rows = workspace.run("DESCRIBE SCHEMA EXTENDED main.exact")["result"]["data_array"]
        return dict(rows).get("Predictive Optimization")
    workspace.run("CREATE SCHEMA IF NOT EXISTS main.exact")
    assert described().startswith("ENABLE (inherited from ")
    workspace.config(predictive_optimization="disable")
    assert described().startswith("DISABLE (inherited from ")
    workspace.config(predictive_optimization="absent")
    assert described() is None


def test_history_repeats_a_page(workspace):
    """D9"""
    for i in range(5):
        workspace.run(f"SELECT {i}")
    first = listed(workspace, max_results=2)
    workspace.fault(action="repeat_page", path="history", times=-1)
    again = listed(workspace, max_results=2, page_token=first["next_page_token"])
    assert [q["query_id"] for q in again["res"]] == [q["query_id"] for q in first["res"]]
    assert again["has_next_page"] and again["next_page_token"] == first["next_page_token"]


# What the engine-free mode took and the engine refuses

def test_hidden_files(workspace):
    """D10"""
    workspace.sql("CREATE VOLUME IF NOT EXISTS main.exact.files")
    for name, count in (("a", "1"), ("_a", "0"), (".a", "0")):
        workspace.upload(f"/Volumes/main/exact/files/{name}", b"x\n")
        assert workspace.rows(f"SELECT count(*) FROM text.`/Volumes/main/exact/files/{name}`") == [[count]]
    assert workspace.met("hidden_file") >= 2


def test_added_timestamp_ntz(workspace):
    """D11"""
    workspace.rows("CREATE TABLE main.exact.plain (a INT)")
    assert workspace.error("ALTER TABLE main.exact.plain ADD COLUMNS (x TIMESTAMP_NTZ)")[0] == "42000"
    workspace.rows("ALTER TABLE main.exact.plain SET TBLPROPERTIES ('delta.feature.timestampNtz'='supported')")
    workspace.rows("ALTER TABLE main.exact.plain ADD COLUMNS (x TIMESTAMP_NTZ)")


def test_lone_surrogate(workspace):
    """D12"""
    body = json.dumps({"warehouse_id": workspace.warehouse, "statement": "SELECT :p AS a", "wait_timeout": "50s",
                       "parameters": [{"name": "p", "value": "x\ud83dy"}]})
    answer = workspace.call("POST", STATEMENTS, data=body, headers={"Content-Type": "application/json"}).json()
    assert answer["result"]["data_array"] == [["x?y"]]
    batch = r'[{"a":"x\ud83dy"},{"a":"\ud83d\ude00"}]'
    assert workspace.rows(
        "SELECT r.a FROM (SELECT explode(from_json(:p, 'ARRAY<STRUCT<a: STRING>>')) AS r)",
        [{"name": "p", "value": batch}],
    ) == [["x?y"], ["\U0001f600"]]


def test_between(workspace):
    """D13: somebody changes the table in the moment before a statement."""
    workspace.rows("CREATE TABLE main.exact.stolen (a INT)")
    workspace.rows("INSERT INTO main.exact.stolen VALUES (1)")
    workspace.fault(action="between", statement="count.*stolen", skip=1, sql="DELETE FROM main.exact.stolen")
    workspace.fault(action="between", statement="INTO main.exact.stolen", sql="DROP TABLE main.exact.stolen")
    assert [workspace.rows("SELECT count(*) FROM main.exact.stolen") for _ in range(2)] == [[["1"]], [["0"]]]
    assert workspace.error("INSERT INTO main.exact.stolen VALUES (2)")[0] == "42P01"
    assert "needs an sql" in workspace.refused("faults", action="between")


def test_short_result(workspace):
    """D14"""
    text = many(workspace)
    workspace.fault(action="short_result", statement="many10", rows=3)
    answer = workspace.run(text)
    assert (
        len(answer["result"]["data_array"]) == 3
        and answer["manifest"]["total_row_count"] == 10
        and not answer["manifest"]["truncated"]
    )
    workspace.fault(action="short_result", statement="many10", rows=3, truncated=True)
    answer = workspace.run(text)
    assert answer["manifest"]["truncated"] and answer["manifest"]["total_row_count"] == 3
    workspace.fault(action="short_result", statement="many10", rows=0)
    answer = workspace.run(text)
    assert answer["result"] == {} and answer["manifest"]["total_row_count"] == 10


def test_variables(workspace):
    """D15"""
    assert workspace.rows(
        "SELECT '${unheard}' AS a, '${spark.sql.session.timeZone}' AS b, :p AS c",
        [{"name": "p", "value": "${unheard}"}],
    ) == [["", "UTC", "${unheard}"]]


def test_external_links(workspace):
    """D16"""
    fields = {"disposition": "INLINE_OR_EXTERNAL_LINKS"}
    text = many(workspace)
    assert len(workspace.run(text, **fields)["result"]["data_array"]) == 10
    workspace.config(external_links="refused")
    assert workspace.submit(text, **fields).status_code == 400
    workspace.config(external_links="links", chunk_rows=4)
    part, rows = workspace.run(text, **fields)["result"], []
    while True:
        [link] = part["external_links"]
        assert workspace.call("GET", link["external_link"][len(workspace.url):]).status_code == 400  # with a token
        rows += requests.get(link["external_link"], timeout=10).json()
        if "next_chunk_internal_link" not in link:
            break
        part = workspace.call("GET", link["next_chunk_internal_link"]).json()
    assert rows == [[str(i)] for i in range(10)]
    workspace.config(external_links="attachment", chunk_rows=10000)
    assert len(json.loads(base64.b64decode(workspace.run(text, **fields)["result"]["attachment"]))) == 10


# Refusals

def test_permission_forms(workspace):
    """D20, D25"""
    text, reason = "CREATE SCHEMA IF NOT EXISTS main.exact", "User does not have CREATE SCHEMA on Catalog 'main'."
    workspace.config(permission_form="unity")
    status = workspace.run(text)["status"]
    assert status == {
        "state": "FAILED",
        "error": {"error_code": "BAD_REQUEST", "message": f"PERMISSION_DENIED: {reason}"},
    }
    workspace.config(permission_form="class")
    status = workspace.run(text)["status"]
    assert (
        status["error"]["message"] == f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\n{reason} SQLSTATE: 42501"
        and status["sql_state"] == "42501"
    )
    workspace.config(permission_form="drawn", error_form="drawn")
    seen = {workspace.run(text)["status"]["error"]["message"].strip()[:60] for _ in range(30)}
    assert any(m.startswith("PERMISSION_DENIED") for m in seen) and any("privileges:\n" in m for m in seen)


def test_documented_grants(workspace):
    """D21: exactly what docs/setup.md grants."""
    text = (ROOT / "docs" / "setup.md").read_text()
    found = [(tuple(p.strip() for p in privileges.split(",")), kind, name)
             for privileges, kind, name in re.findall(r"^\s*GRANT (.+?) ON (\w+) (\S+) TO ", text, re.M)]
    assert found == [
        (privileges, kind, "main" + suffix.format(schema="exact")) for privileges, kind, suffix in DOCUMENTED
    ]
    assert "**Can use**" in text
    has = {(g["privilege"], g["object"]) for g in workspace.control("GET", "privileges")["grant"]}
    expected = {(p, name) for privileges, _, name in found for p in privileges} | {("CAN USE", workspace.warehouse)}
    assert has == expected or has - expected == set()


def test_grants(workspace):
    """D21: what is not granted is refused; what the principal makes it owns."""
    workspace.sql("CREATE TABLE main.exact.theirs (a INT)")
    for text in (
        "CREATE SCHEMA main.mine",
        "CREATE SCHEMA IF NOT EXISTS main.exact",
        "CREATE VOLUME main.exact.v",
        "DROP TABLE main.exact.theirs",
        "DROP SCHEMA main.exact CASCADE",
        "GRANT SELECT ON TABLE main.exact.theirs TO `x`",
        "CREATE OR REPLACE TABLE main.exact.theirs (b INT)",
    ):
        assert workspace.error(text)[0] == "42501", text
    for text in (
        "SELECT * FROM main.exact.theirs",
        "INSERT INTO main.exact.theirs VALUES (1)",
        "CREATE TABLE main.exact.mine (a INT)",
        "CREATE OR REPLACE TABLE main.exact.mine (b INT)",
        "GRANT SELECT ON TABLE main.exact.mine TO `x`",
        "DROP TABLE main.exact.mine",
    ):
        workspace.rows(text)
    workspace.sql("CREATE SCHEMA main.closed")
    workspace.sql("CREATE TABLE main.closed.t (a INT)")
    assert workspace.error("SELECT * FROM main.closed.t")[0] == "42501"
    workspace.sql(f"GRANT USE SCHEMA, SELECT ON SCHEMA main.closed TO `{workspace.info['client_id']}`")
    assert workspace.rows("SELECT * FROM main.closed.t") == []
    workspace.sql(f"REVOKE SELECT ON SCHEMA main.closed FROM `{workspace.info['client_id']}`")
    assert workspace.error("SELECT * FROM main.closed.t")[0] == "42501"
    before = workspace.control("GET", "privileges")["grant"]
    workspace.control("POST", "privileges", grant=[{"privilege": "USE CATALOG", "object": "main"}], only=True)
    assert workspace.submit("SELECT 1").status_code == 403
    workspace.control("POST", "privileges", grant=before, only=True)
    assert "expected" in workspace.refused("privileges", only=True)


def test_error_forms(workspace):
    """D22, D23"""
    text = "SELECT nothing\nFROM main.exact.t"

    def shown(form):
        workspace.config(error_form=form)
        return workspace.run(text)["status"]

    assert shown("field")["sql_state"] == "42703"
    status = shown("text_only")
    assert (
        "sql_state" not in status
        and status["error"]["message"].startswith("[UNRESOLVED_COLUMN")
        and "SQLSTATE: 42703" in status["error"]["message"]
    )
    message = shown("leading_newline")["error"]["message"]
    assert (
        message.startswith("\n[UNRESOLVED_COLUMN")
        and "SQLSTATE: 42703 (line 1, pos 0)\n\n== SQL ==\nSELECT nothing\nFROM" in message
        and "^^^" in message
    )
    status = shown("none")
    assert "SQLSTATE" not in status["error"]["message"] and "sql_state" not in status
    workspace.config(error_form="exception_name")
    workspace.fault(action="conflict", statement="SELECT 23")
    status = workspace.run("SELECT 23")["status"]
    assert (
        status["error"]["message"].startswith(
            "[DELTA_CONCURRENT_APPEND] com.databricks.sql.transaction.tahoe.ConcurrentAppendException: "
            "[DELTA_CONCURRENT_APPEND] Files were added"
        )
        and "sql_state" not in status
    )
    assert '"userName"' in status["error"]["message"] and "SQLSTATE" not in status["error"]["message"]
    workspace.config(error_form="drawn")
    before = {form: workspace.met(f"error_form {form}") for form in ERROR_FORMS[1:]}
    for _ in range(40):
        workspace.run(text)
    assert all(
        workspace.met(f"error_form {form}") > count for form, count in before.items() if form != "exception_name"
    )


def test_scheduling(workspace):
    """D24"""
    workspace.fault(action="scheduling", statement="SELECT 24")
    message = workspace.run("SELECT 24")["status"]["error"]["message"]
    assert message.startswith(
        "[INTERNAL_ERROR] Query could not be scheduled: HTTP Response code: 503"
    ) and message.endswith("SQLSTATE: XX000")
    workspace.config(scheduling=0.2)
    states = [workspace.run("SELECT 1")["status"]["state"] for _ in range(60)]
    assert 2 < states.count("FAILED") < 30


def test_error_codes(workspace):
    """D46: all fourteen codes; those that a class may have are drawn with the forms."""
    for code in PASSING_CODES:
        workspace.fault(
            action="fail", statement="SELECT 46", error_class="", sql_state="", message="no", error_code=code
        )
        assert workspace.run("SELECT 46")["status"]["error"] == {"error_code": code, "message": "no"}
    assert len(set(PASSING_CODES)) == 14
    workspace.config(error_form="text_only")
    assert {workspace.run("SELECT * FROM main.exact.absent")["status"]["error"]["error_code"] for _ in range(20)} == {
        "BAD_REQUEST",
        "NOT_FOUND",
    }


# Ends from outside

@pytest.mark.parametrize(
    "how, state, code",
    [("failed", "FAILED", "BAD_REQUEST"), ("unknown", "FAILED", "UNKNOWN"), ("canceled", "CANCELED", None)],
)
def test_stop_ends_statements(workspace, how, state, code):
    """D26"""
    workspace.config(stop_ends=how)
    workspace.fault(action="slow", seconds=600, statement="SELECT 26")
    answer = workspace.submit("SELECT 26", wait_timeout="0s").json()
    path = f"{STATEMENTS}/{answer['statement_id']}"
    workspace.poll(lambda: workspace.call("GET", path).json()["status"]["state"] == "RUNNING")
    workspace.may_stop()
    workspace.call("POST", f"/api/2.0/sql/warehouses/{workspace.warehouse}/stop")
    status = workspace.until_done(answer)["status"]
    assert status["state"] == state
    if code:
        assert status["error"]["error_code"] == code and "was stopped" in status["error"]["message"]
    assert workspace.rows("SELECT 1") == [["1"]]


def test_warehouse_lag(workspace):
    """D26"""
    path = f"/api/2.0/sql/warehouses/{workspace.warehouse}"
    workspace.may_stop()
    workspace.call("POST", path + "/stop")
    workspace.control("POST", "clock", advance=10)
    workspace.config(warehouse_lag=5.0)
    workspace.call("POST", path + "/start")
    assert workspace.call("GET", path).json()["state"] == "STOPPED"
    workspace.control("POST", "clock", advance=6)
    assert workspace.call("GET", path).json()["state"] == "RUNNING"


def test_nobody_polls(workspace):
    """D27"""
    workspace.fault(action="pending", seconds=3000, statement="SELECT 27", times=2)
    first, second = (workspace.submit("SELECT 27", wait_timeout="0s").json() for _ in range(2))
    for _ in range(2):
        workspace.control("POST", "clock", advance=600)
        assert workspace.call("GET", f"{STATEMENTS}/{first['statement_id']}").json()["status"]["state"] == "PENDING"
    workspace.poll(
        lambda: (
            next(s for s in workspace.control("GET", "statements")["statements"] if s["id"] == second["statement_id"])[
                "state"
            ]
            == "CANCELED"
        )
    )
    assert workspace.call("GET", f"{STATEMENTS}/{second['statement_id']}").json()["status"] == {"state": "CANCELED"}
    workspace.control("POST", "clock", advance=850)
    workspace.call("GET", f"{STATEMENTS}/{first['statement_id']}")
    workspace.control("POST", "clock", advance=850)
    workspace.call("GET", f"{STATEMENTS}/{first['statement_id']}")
    workspace.control("POST", "clock", advance=850)
    assert workspace.until_done(first)["status"]["state"] == "SUCCEEDED"


def test_statement_timeout(workspace):
    """D28"""
    workspace.config(statement_timeout=30.0)
    workspace.fault(action="slow", seconds=600, statement="SELECT 28")
    answer = workspace.submit("SELECT 28", wait_timeout="0s").json()
    workspace.poll(
        lambda: workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}").json()["status"]["state"] == "RUNNING"
    )
    workspace.control("POST", "clock", advance=31)
    status = workspace.until_done(answer)["status"]
    assert status["error"]["error_code"] == "DEADLINE_EXCEEDED" and "STATEMENT_TIMEOUT" in status["error"]["message"]


def test_queue_limit(workspace):
    """D28"""
    workspace.config(queue_limit=3)
    workspace.fault(action="pending", seconds=60, statement="SELECT 280", times=3)
    waiting = [workspace.submit("SELECT 280", wait_timeout="0s").json() for _ in range(3)]
    refused = workspace.submit("SELECT 281")
    assert (refused.status_code, refused.json()["error_code"]) == (429, "RESOURCE_EXHAUSTED")
    workspace.control("POST", "clock", advance=61)
    for answer in waiting:
        workspace.until_done(answer)
    assert workspace.rows("SELECT 281") == [["281"]]


@pytest.mark.parametrize("after, count", [(False, "0"), (True, "1")])
def test_canceled_by_an_administrator(workspace, after, count):
    """D29"""
    table = f"main.exact.canceled{count}"
    workspace.rows(f"CREATE TABLE {table} (a INT)")
    workspace.fault(action="canceled", statement="INSERT INTO main.exact.canceled", after=after)
    assert workspace.run(f"INSERT INTO {table} VALUES (1)")["status"] == {"state": "CANCELED"}
    assert workspace.rows(f"SELECT count(*) FROM {table}") == [[count]]


def test_refused_ddl(workspace):
    """D38, D39; the whole list is in test_databricks_cases.py"""
    for text, state in (
        ("CREATE TABLE main.exact.r (a INT) TBLPROPERTIES ('delta.unheard'='1')", "F0000"),
        ("CREATE TABLE main.exact.`r-s` (a INT)", "42602"),
        ("CREATE TABLE main.exact.r (a INT, b INT, c INT, d INT, e INT) CLUSTER BY (a, b, c, d, e)", "54000"),
        ("CREATE TABLE main.exact.r (`a;b` INT)", "42K05"),
        ("SELECT CAST('９' AS BIGINT) AS a", "22018"),
    ):
        assert workspace.error(text)[0] == state, text
    workspace.rows("CREATE TABLE main.exact.ao (a INT) TBLPROPERTIES ('delta.appendOnly'='true')")
    assert workspace.error("DELETE FROM main.exact.ao")[0] == "42809"
    assert workspace.rows("SELECT CAST('2026-3-4 05:06:07' AS TIMESTAMP) AS a, CAST('12026-03-04' AS DATE) AS b") == [
        ["2026-03-04T05:06:07.000Z", "+12026-03-04"]]
