"""The service's HTTP behaviour, in the engine-free mode."""

import base64
import gzip
import io
import os
import socket
import subprocess
import sys
import time

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, PermissionDenied
from databricks.sdk.service.sql import QueryFilter, QueryStatus, StatementParameterListItem, StatementState, TimeRange
from test_databricks_support import LAUNCHER, PLAIN, Server

STATEMENTS = "/api/2.0/sql/statements"


@pytest.fixture(scope="module")
def shared():
    server = Server("--seed", "7", "--chunk-rows", "10000", "--set", "chunk_bytes=4194304", *PLAIN)
    server.rows("CREATE TABLE main.exact.t (a INT NOT NULL, b STRING)")
    server.rows("INSERT INTO main.exact.t VALUES (1, 'one'), (2, NULL)")
    server.sql("CREATE VOLUME main.exact.inbox")
    server.sql(f"GRANT READ VOLUME, WRITE VOLUME ON VOLUME main.exact.inbox TO `{server.info['client_id']}`")
    yield server
    assert server.stop() == 0


@pytest.fixture
def workspace(shared):
    """The shared workspace with default settings and without faults."""
    before = shared.control("GET", "info")["settings"]
    yield shared
    fixed = ("catalog", "schema", "warehouse_id", "client_secret", "pat")
    shared.config(**{k: v for k, v in before.items() if k not in fixed})
    shared.control("DELETE", "faults")
    shared.control("POST", "privileges", deny=[],
                   revoke=[{"privilege": "CAN MANAGE", "object": shared.warehouse}])


def token(server, header=True, **changes):
    info = server.info
    form = {"grant_type": "client_credentials", "scope": "all-apis", **changes}
    if not header:
        form.update({"client_id": info["client_id"], "client_secret": info["client_secret"], **changes})
    auth = (
        (changes.pop("client_id", info["client_id"]), changes.pop("client_secret", info["client_secret"]))
        if header
        else None
    )
    return requests.post(f"{server.url}/oidc/v1/token", data=form, auth=auth, timeout=10)


# Tokens

def test_discovery(workspace):
    answer = requests.get(f"{workspace.url}/oidc/.well-known/oauth-authorization-server", timeout=10)
    assert answer.json()["token_endpoint"] == f"{workspace.url}/oidc/v1/token" and "http:\\/\\/" in answer.text
    assert (
        requests.get(f"{workspace.url}/.well-known/databricks-config", timeout=10).json()["oidc_endpoint"]
        == f"{workspace.url}/oidc"
    )


def test_token(workspace):
    for header in (True, False):
        answer = token(workspace, header).json()
        assert answer["token_type"] == "Bearer" and answer["expires_in"] == 3600 and answer["scope"] == "all-apis"
        got = requests.get(
            f"{workspace.url}/api/2.0/sql/warehouses",
            headers={"Authorization": f"Bearer {answer['access_token']}"},
            timeout=10,
        )
        assert got.status_code == 200
    refused = token(workspace, client_secret="wrong")
    assert (refused.status_code, refused.json()) == (
        401,
        {"error": "invalid_client", "error_description": "Client authentication failed"},
    )
    assert token(workspace, scope="sql").status_code == 400
    assert token(workspace, grant_type="refresh_token").json()["error"] == "unsupported_grant_type"
    workspace.config(expires_in_string=True, token_lifetime=120)
    assert token(workspace).json()["expires_in"] == "120"


def test_bad_credentials(workspace):
    url = f"{workspace.url}/api/2.0/sql/warehouses"
    for headers in ({}, {"Authorization": "Basic eDp5"}, {"Authorization": "Bearer "}):
        answer = requests.get(url, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()) == (
            401, {"error_code": 401, "message": "Credential was not sent or was of an unsupported type for this API."})
    answer = requests.get(url, headers={"Authorization": "Bearer dapiwrong"}, timeout=10)
    assert (answer.status_code, answer.json()) == (403, {"error_code": 403, "message": "Invalid access token."})
    assert answer.headers["x-databricks-reason-phrase"] == "Invalid access token." and answer.headers["x-request-id"]
    workspace.config(token_lifetime=30.0)
    headers = {"Authorization": "Bearer " + token(workspace).json()["access_token"]}
    assert requests.get(url, headers=headers, timeout=10).status_code == 200
    workspace.control("POST", "clock", advance=31)
    assert requests.get(url, headers=headers, timeout=10).json()["error_code"] == 403
    assert "www-authenticate" not in answer.headers
    assert requests.get(url, timeout=10).headers["www-authenticate"].startswith("Bearer realm=")


# Statements

@pytest.mark.parametrize(
    "fields, code, text",
    [
        ({"wait_timeout": "4s"}, "INVALID_PARAMETER_VALUE", "wait_timeout"),
        ({"wait_timeout": "51s"}, "INVALID_PARAMETER_VALUE", "wait_timeout"),
        ({"wait_timeout": "10"}, "INVALID_PARAMETER_VALUE", "wait_timeout"),
        ({"statement": " "}, "INVALID_PARAMETER_VALUE", "statement"),
        ({"on_wait_timeout": "STOP"}, "INVALID_PARAMETER_VALUE", "on_wait_timeout"),
        ({"disposition": "EXTERNAL_LINKS"}, "INVALID_PARAMETER_VALUE", "INLINE"),
        ({"format": "CSV"}, "INVALID_PARAMETER_VALUE", "JSON_ARRAY"),
        ({"warehouse_id": None}, "INVALID_PARAMETER_VALUE", "warehouse_id"),
        ({"warehouse_id": "nonsense"}, "INVALID_PARAMETER_VALUE", "not a valid endpoint id"),
        (
            {"parameters": [{"name": "a", "type": "ARRAY<INT>", "value": "1"}]},
            "INVALID_PARAMETER_VALUE",
            "complex types",
        ),
        ({"parameters": [{"name": ":a", "value": "1"}]}, "INVALID_PARAMETER_VALUE", "without a colon"),
        ({"parameters": [{"name": "a", "value": 1}]}, "INVALID_PARAMETER_VALUE", "must be a string"),
        (
            {"parameters": [{"name": f"p{i}", "value": "1"} for i in range(257)]},
            "BAD_REQUEST",
            "Parameterized query has too many parameters: 257 parameters were given but the limit is 256",
        ),
        ({"row_limit": 0}, "INVALID_PARAMETER_VALUE", "row_limit"),
    ],
)
def test_refused_requests(workspace, fields, code, text):
    answer = workspace.submit(fields.pop("statement", "SELECT 1"), fields.pop("parameters", None), **fields)
    assert answer.status_code == 400 and answer.json()["error_code"] == code and text in answer.json()["message"]


def test_other_refusals(workspace):
    answer = workspace.submit("SELECT 1", warehouse_id="0000000000000000")
    assert answer.status_code == 404 and "does not exist" in answer.json()["message"]
    answer = workspace.call("POST", STATEMENTS, data="{")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "MALFORMED_REQUEST")
    assert workspace.call("GET", f"{STATEMENTS}/01f00000-0000-1000-0000-000000000000").status_code == 404
    assert workspace.call("GET", "/api/2.0/nothing").json()["error_code"] == "ENDPOINT_NOT_FOUND"
    workspace.config(statement_limit=1000)
    assert workspace.submit(f"SELECT '{'x' * 1000}'").status_code == 400
    workspace.control("POST", "privileges", deny=[{"privilege": "CAN USE", "object": workspace.warehouse}])
    answer = workspace.submit("SELECT 1")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_statement_of_sixteen_mebibytes(workspace):
    text = "SELECT 1 --" + "x" * (16 * 1024 * 1024 - 11)
    assert workspace.run(text)["status"]["state"] == "SUCCEEDED"
    assert workspace.submit(text + "x").status_code == 400


def test_parameters(workspace):
    parameters = [
        {"name": "i", "type": "INT", "value": "7"},
        {"name": "d", "type": "DECIMAL(10,2)", "value": "1.5"},
        {"name": "s", "value": "x"},
        {"name": "n", "type": "STRING"},
        {"name": "unused", "type": "DATE", "value": None},
    ]
    assert workspace.rows("SELECT :i + 1, :d, :s, :n IS NULL, ':s'", parameters) == [["8", "1.50", "x", "true", ":s"]]
    assert workspace.error("SELECT :i", [{"name": "i", "type": "INT", "value": "seven"}])[0] == "22018"
    assert workspace.error("SELECT :other", parameters)[0] == "42P02"
    assert workspace.rows("SELECT :p0", [{"name": f"p{i}", "value": str(i)} for i in range(256)]) == [["0"]]


def test_waiting(workspace):
    answer = workspace.submit("SELECT 1", wait_timeout="0s").json()
    assert answer["status"] == {"state": "PENDING"} and set(answer) == {"statement_id", "status"}
    assert workspace.until_done(answer)["result"]["data_array"] == [["1"]]
    workspace.fault(action="slow", seconds=30, statement="SELECT 2")
    moved, since = workspace.later("RUNNING", "SELECT 2", 5), time.monotonic()
    answer = workspace.submit("SELECT 2", wait_timeout="5s").json()
    moved.join()
    assert answer["status"]["state"] == "RUNNING" and time.monotonic() - since < 5
    workspace.control("POST", "clock", advance=30)
    assert workspace.until_done(answer)["status"]["state"] == "SUCCEEDED"
    workspace.fault(action="pending", seconds=60, statement="SELECT 3")
    moved = workspace.later("PENDING", "SELECT 3", 5)
    assert (
        workspace.submit("SELECT 3", wait_timeout="5s", on_wait_timeout="CANCEL").json()["status"]["state"]
        == "CANCELED"
    )
    moved.join()


def test_cancel_and_close(workspace):
    workspace.fault(action="pending", seconds=600, statement="INSERT")
    answer = workspace.submit("INSERT INTO main.exact.t VALUES (9, 'nine')", wait_timeout="0s").json()
    path = f"{STATEMENTS}/{answer['statement_id']}"
    assert workspace.call("GET", path).json()["status"]["state"] == "PENDING"
    assert workspace.call("POST", path + "/cancel").json() == {}
    assert workspace.until_done(answer)["status"] == {"state": "CANCELED"}
    workspace.control("POST", "clock", advance=601)
    assert workspace.rows("SELECT count(*) FROM main.exact.t WHERE a = 9") == [["0"]]
    assert workspace.call("POST", path + "/cancel").status_code == 200
    done = workspace.run("SELECT 1")
    assert workspace.call("DELETE", f"{STATEMENTS}/{done['statement_id']}").status_code == 200
    assert workspace.call("GET", f"{STATEMENTS}/{done['statement_id']}").json()["status"] == {"state": "CLOSED"}


def test_chunks(workspace):
    values = ", ".join(f"({i}, 'r{i}')" for i in range(10))
    workspace.rows("CREATE TABLE main.exact.many (a INT, b STRING)")
    workspace.rows(f"INSERT INTO main.exact.many VALUES {values}")
    workspace.config(chunk_rows=4)
    answer = workspace.run("SELECT * FROM main.exact.many ORDER BY a")
    assert answer["manifest"]["chunks"] == [{"chunk_index": 0, "row_offset": 0, "row_count": 4},
                                            {"chunk_index": 1, "row_offset": 4, "row_count": 4},
                                            {"chunk_index": 2, "row_offset": 8, "row_count": 2}]
    assert (answer["manifest"]["total_row_count"], answer["manifest"]["total_chunk_count"]) == (10, 3)
    rows, part = [], answer["result"]
    while True:
        rows += part["data_array"]
        if "next_chunk_internal_link" not in part:
            break
        part = workspace.call("GET", part["next_chunk_internal_link"]).json()
    assert rows == [[str(i), f"r{i}"] for i in range(10)]
    assert workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}/result/chunks/3").status_code == 400
    limited = workspace.run("SELECT * FROM main.exact.many", row_limit=3)
    assert limited["manifest"]["truncated"] is True and limited["manifest"]["total_row_count"] == 3
    assert workspace.run("SELECT * FROM main.exact.many", row_limit=10)["manifest"]["truncated"] is False
    workspace.config(inline_limit=20)
    answer = workspace.run("SELECT * FROM main.exact.many")
    assert (
        answer["status"]["state"] == "FAILED" and "Inline byte limit exceeded" in answer["status"]["error"]["message"]
    )


def test_retention(workspace):
    answer = workspace.run("SELECT 1")
    path = f"{STATEMENTS}/{answer['statement_id']}"
    workspace.control("POST", "clock", advance=3590)
    assert workspace.call("GET", path).json()["status"]["state"] == "SUCCEEDED"
    workspace.control("POST", "clock", advance=20)
    assert workspace.call("GET", path).json()["status"] == {"state": "CLOSED"}
    gone = workspace.call("GET", path + "/result/chunks/0")
    assert (gone.status_code, gone.json()["error_code"]) == (404, "NOT_FOUND") and gone.json()["message"].startswith(
        "The result of the statement"
    )
    workspace.config(result_gone="closed")
    assert workspace.call("GET", path + "/result/chunks/0").status_code == 400
    workspace.control("POST", "clock", advance=12 * 3600)
    assert workspace.call("GET", path).status_code == 404


def test_slots_and_tables(workspace):
    """Two slots; statements on one table one after the other."""
    workspace.fault(action="slow", seconds=600, statement="SELECT 40", times=2)
    slow = [workspace.submit(f"SELECT 40{i}", wait_timeout="0s").json() for i in (1, 2)]
    workspace.poll(
        lambda: all(
            workspace.call("GET", f"{STATEMENTS}/{s['statement_id']}").json()["status"]["state"] == "RUNNING"
            for s in slow
        )
    )
    moved = workspace.later("PENDING", "SELECT 403", 5)
    waiting = workspace.submit("SELECT 403", wait_timeout="5s").json()
    moved.join()
    assert waiting["status"]["state"] == "PENDING"
    workspace.control("POST", "clock", advance=601)
    assert workspace.until_done(waiting)["status"]["state"] == "SUCCEEDED"
    workspace.fault(action="slow", seconds=600, statement="VALUES \\(50")
    first = workspace.submit("INSERT INTO main.exact.t VALUES (50, 'x')", wait_timeout="0s").json()
    workspace.poll(
        lambda: workspace.call("GET", f"{STATEMENTS}/{first['statement_id']}").json()["status"]["state"] == "RUNNING"
    )
    second = workspace.submit("DELETE FROM main.exact.t WHERE a = 50", wait_timeout="0s").json()
    assert workspace.rows("SELECT count(*) FROM main.exact.t WHERE a = 50") == [["0"]]
    assert workspace.call("GET", f"{STATEMENTS}/{second['statement_id']}").json()["status"]["state"] == "PENDING"
    workspace.control("POST", "clock", advance=601)
    assert workspace.until_done(second)["result"]["data_array"] == [["1"]]


def test_status_lag(workspace):
    workspace.config(status_lag=5.0)
    answer = workspace.submit("SELECT 1", wait_timeout="0s").json()
    workspace.poll(lambda: workspace.control("GET", "statements")["statements"][-1]["state"] == "SUCCEEDED")
    assert workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}").json()["status"]["state"] == "PENDING"
    workspace.control("POST", "clock", advance=5)
    assert workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}").json()["status"]["state"] == "SUCCEEDED"


# Warehouses

def test_warehouse_starts(workspace):
    path = f"/api/2.0/sql/warehouses/{workspace.warehouse}"
    workspace.config(start_seconds=300.0)
    workspace.may_stop()
    assert workspace.call("POST", path + "/stop").status_code == 200
    assert workspace.call("GET", path).json()["state"] == "STOPPED"
    moved = workspace.later("PENDING", "SELECT 11", 5)
    answer = workspace.submit("SELECT 11", wait_timeout="5s").json()
    moved.join()
    assert answer["status"]["state"] == "PENDING"
    assert workspace.call("GET", path).json()["state"] == "STARTING"
    workspace.control("POST", "clock", advance=301)
    assert workspace.until_done(answer)["status"]["state"] == "SUCCEEDED"
    assert workspace.call("GET", path).json()["state"] == "RUNNING"
    assert workspace.call("GET", "/api/2.0/sql/warehouses/0000000000000000").status_code == 404


# Query history

def test_history(workspace):
    workspace.control("POST", "clock", advance=100)
    start = int(workspace.control("GET", "info")["now"] * 1000)
    ids = [workspace.run(f"/* batch {i} */ SELECT {i}")["statement_id"] for i in range(3)]
    failed = workspace.run("SELECT nothing")
    workspace.fault(action="pending", seconds=600, statement="SELECT 9")
    queued = workspace.submit("SELECT 9", wait_timeout="0s").json()["statement_id"]

    def listed(**query):
        return workspace.call("GET", "/api/2.0/sql/history/queries", params=query).json()

    mine = {"filter_by.query_start_time_range.start_time_ms": start, "filter_by.warehouse_ids": workspace.warehouse}
    everything = listed(**mine)
    assert [q["query_id"] for q in everything["res"]] == [queued, failed["statement_id"], *reversed(ids)]
    assert [q["status"] for q in everything["res"]] == ["QUEUED", "FAILED", "FINISHED", "FINISHED", "FINISHED"]
    assert everything["res"][2]["query_text"] == "/* batch 2 */ SELECT 2" and not everything["has_next_page"]
    assert everything["res"][1]["error_message"].startswith("[UNRESOLVED_COLUMN")
    assert everything["res"][2]["query_end_time_ms"] >= everything["res"][2]["query_start_time_ms"] >= start
    assert "query_end_time_ms" not in everything["res"][0]
    assert [q["query_id"] for q in listed(**mine, **{"filter_by.statuses": ["QUEUED", "RUNNING"]})["res"]] == [queued]
    assert [q["query_id"] for q in listed(**{"filter_by.statement_ids": ids[:2]})["res"]] == [ids[1], ids[0]]
    assert listed(filter_by=f'{{"statement_ids": ["{ids[0]}"]}}')["res"][0]["query_id"] == ids[0]
    assert listed(**{"filter_by.warehouse_ids": "0000000000000000"})["res"] == []
    page = listed(max_results=2, **mine)
    following = listed(max_results=2, page_token=page["next_page_token"], **mine)
    assert page["has_next_page"] and [q["query_id"] for q in following["res"]] == [ids[2], ids[1]]
    late = {**mine, "filter_by.query_start_time_range.start_time_ms": start - 31 * 24 * 3600 * 1000}
    assert workspace.call("GET", "/api/2.0/sql/history/queries", params=late).status_code == 400
    workspace.config(history_delay=60.0)
    hidden = workspace.run("SELECT 77")["statement_id"]
    assert hidden not in [q["query_id"] for q in listed(**mine)["res"]]
    workspace.control("POST", "clock", advance=61)
    assert hidden in [q["query_id"] for q in listed(**mine)["res"]]


# Files

def test_files(workspace):
    path, name = "/api/2.0/fs/files/Volumes/main/exact/inbox", "a%20b/x%25y.jsonl.gz"
    body = gzip.compress(b'{"a":1}\n{"a":2}\n')
    assert workspace.call("PUT", f"{path}/{name}", params={"overwrite": "false"}, data=body).status_code == 204
    again = workspace.call("PUT", f"{path}/{name}", params={"overwrite": "false"}, data=b"other")
    assert (again.status_code, again.json()["error_code"]) == (409, "ALREADY_EXISTS")
    assert workspace.call("GET", f"{path}/{name}").content == body
    assert workspace.call("GET", f"{path}/{name}", headers={"Range": "bytes=2-5"}).content == body[2:6]
    head = workspace.call("HEAD", f"{path}/{name}")
    assert head.headers["Content-Length"] == str(len(body)) and head.content == b"" and head.headers["Last-Modified"]
    missing = workspace.call("HEAD", f"{path}/none")
    assert missing.status_code == 404 and missing.content == b""
    assert workspace.rows("SELECT value FROM text.`/Volumes/main/exact/inbox/a b/x%y.jsonl.gz`") == [
        ['{"a":1}'],
        ['{"a":2}'],
    ]
    assert workspace.error("SELECT value FROM text.`/Volumes/main/exact/inbox/none`")[0] == "42K03"
    assert workspace.call("PUT", f"{path}/{name}", params={"overwrite": "true"}, data=b"new").status_code == 204
    assert workspace.call("GET", f"{path}/{name}").content == b"new"
    assert workspace.call("DELETE", f"{path}/{name}").status_code == 204
    assert workspace.call("DELETE", f"{path}/{name}").json()["error_code"] == "NOT_FOUND"
    answer = workspace.call("GET", "/api/2.0/fs/files/Volumes/main/exact/none/x")
    assert answer.status_code == 404 and answer.json()["message"] == "Volume 'main.exact.none' does not exist."
    assert [d["@type"] for d in answer.json()["details"]] == ["type.googleapis.com/google.rpc.ErrorInfo",
                                                            "type.googleapis.com/google.rpc.RequestInfo"]
    assert answer.json()["details"][0]["reason"] == "FILES_API_RESOURCE_NOT_FOUND"
    assert workspace.call("GET", f"{path}/..%2f..%2fx").status_code == 400
    workspace.control("POST", "privileges", deny=[{"privilege": "WRITE VOLUME", "object": "main.exact.inbox"}])
    assert workspace.call("PUT", f"{path}/x", data=b"x").json()["error_code"] == "PERMISSION_DENIED"


def test_directories(workspace):
    path = "/api/2.0/fs/directories/Volumes/main/exact/inbox/d"
    assert workspace.call("GET", path).status_code == 404
    for _ in range(2):
        assert workspace.call("PUT", path + "/e").status_code == 204
    for i in range(5):
        workspace.call("PUT", f"/api/2.0/fs/files/Volumes/main/exact/inbox/d/f{i}", data=b"12")
    page = workspace.call("GET", path, params={"page_size": 4}).json()
    rest = workspace.call("GET", path, params={"page_token": page["next_page_token"]}).json()
    entries = page["contents"] + rest["contents"]
    assert [e["name"] for e in entries] == ["e", "f0", "f1", "f2", "f3", "f4"] and entries[0]["is_directory"]
    assert entries[1]["file_size"] == 2 and entries[1]["path"] == "/Volumes/main/exact/inbox/d/f0"
    assert workspace.call("DELETE", path).status_code == 400
    assert workspace.call("DELETE", path + "/e").status_code == 204
    assert workspace.call("HEAD", path + "/e").status_code == 404


# Unity Catalog

def test_catalog(workspace):
    base = "/api/2.1/unity-catalog"
    assert workspace.call("GET", f"{base}/catalogs/main").json()["name"] == "main"
    assert workspace.call("GET", f"{base}/catalogs/other").json()["error_code"] == "CATALOG_DOES_NOT_EXIST"
    assert workspace.call("GET", f"{base}/schemas/main.exact").json()["full_name"] == "main.exact"
    assert workspace.call("GET", f"{base}/schemas/main.none").status_code == 404
    workspace.rows("CREATE TABLE main.exact.typed (a BIGINT NOT NULL COMMENT 'key', d DECIMAL(18,2), n TIMESTAMP_NTZ) "
                   "TBLPROPERTIES ('exact.entity'='Typed')")
    found = workspace.call("GET", f"{base}/tables/main.exact.typed").json()
    assert [(c["name"], c["type_text"], c["type_name"], c["nullable"]) for c in found["columns"]] == [
        ("a", "bigint", "LONG", False),
        ("d", "decimal(18,2)", "DECIMAL", True),
        ("n", "timestamp_ntz", "TIMESTAMP_NTZ", True),
    ]
    assert (
        found["columns"][0]["comment"] == "key"
        and found["columns"][1]["type_scale"] == 2
        and found["properties"]["exact.entity"] == "Typed"
    )
    assert workspace.call("GET", f"{base}/tables/main.exact.none").json()["error_code"] == "TABLE_DOES_NOT_EXIST"
    assert workspace.call("GET", f"{base}/tables/main.exact.typed/exists").json() == {"table_exists": True}
    assert workspace.call("GET", f"{base}/tables/main.exact.none/exists").json() == {"table_exists": False}
    tables, page = [], {}
    while True:
        page = workspace.call(
            "GET",
            f"{base}/tables",
            params={
                "catalog_name": "main",
                "schema_name": "exact",
                "max_results": 1,
                "page_token": page.get("next_page_token", ""),
            },
        ).json()
        tables += [t["name"] for t in page["tables"]]
        if "next_page_token" not in page:
            break
    assert {"t", "typed"} <= set(tables)


# Faults

def test_http_faults(workspace):
    workspace.fault(
        path="^/api/2.0/sql/statements$", action="status", status=429, headers={"Retry-After": "2"}, times=2, skip=1
    )
    assert [workspace.submit("SELECT 1").status_code for _ in range(4)] == [200, 429, 429, 200]
    workspace.fault(action="status", status=503, method="GET", path="warehouses")
    answer = workspace.call("GET", "/api/2.0/sql/warehouses")
    assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE" and "Retry-After" not in answer.headers
    workspace.fault(action="html", path="warehouses")
    answer = workspace.call("GET", "/api/2.0/sql/warehouses")
    assert answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html")
    workspace.fault(action="hang", path="warehouses")
    with pytest.raises(requests.Timeout):
        workspace.call("GET", "/api/2.0/sql/warehouses", timeout=0.5)
    workspace.fault(action="cut_body", path="warehouses")
    with pytest.raises(requests.RequestException):
        workspace.call("GET", "/api/2.0/sql/warehouses")
    rule = workspace.fault(action="delay", seconds=0.3, path="warehouses", times=-1)
    started = time.monotonic()
    workspace.call("GET", "/api/2.0/sql/warehouses")
    assert time.monotonic() - started >= 0.3
    assert workspace.control("GET", f"faults/{rule['id']}")["applied"] == 1
    workspace.control("DELETE", f"faults/{rule['id']}")
    assert requests.post(f"{workspace.url}/_control/faults", json={"action": "explode"}, timeout=10).status_code == 400
    assert (
        requests.post(f"{workspace.url}/_control/faults", json={"action": "html", "path": "("}, timeout=10).status_code
        == 400
    )


def test_lost_answers(workspace):
    workspace.rows("CREATE TABLE main.exact.lost (a INT)")

    def journal():
        return [s for s in workspace.control("GET", "statements")["statements"] if "INTO main.exact.lost" in s["text"]]

    def count():
        return workspace.rows("SELECT count(*) FROM main.exact.lost")[0][0]

    for action, text, rows in (
        ("reset_before", "VALUES (1)", "0"),
        ("reset_after", "VALUES (2)", "1"),
        ("reset_running", "VALUES (3)", "2"),
    ):
        workspace.fault(action=action, statement="INSERT INTO main.exact.lost")
        if action == "reset_running":
            workspace.fault(action="slow", seconds=0.5, statement="INSERT INTO main.exact.lost")
        with pytest.raises(requests.ConnectionError):
            workspace.submit(f"INSERT INTO main.exact.lost {text}")
        if action == "reset_running":
            assert journal()[-1]["state"] in ("PENDING", "RUNNING")
            workspace.poll(lambda: journal()[-1]["state"] == "SUCCEEDED")
        assert count() == rows
    assert [s["counts"].get("num_inserted_rows") for s in journal()] == [1, 1]
    assert any(call["cut"] for call in workspace.control("GET", "calls")["calls"])


def test_a_client_that_goes_away_in_the_middle_of_an_upload(workspace):
    """It leaves no file, and nothing on standard error: whoever started the simulator may not read that."""
    path = "/api/2.0/fs/files/Volumes/main/exact/inbox/half"
    host, port = workspace.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(f"PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {workspace.info['pat']}\r\n"
                           "Content-Length: 1000\r\n\r\nhalf".encode())
    call = workspace.poll(lambda: [c for c in workspace.control("GET", "calls")["calls"] if c["path"] == path])
    assert [(c["method"], c["cut"]) for c in call] == [("PUT", True)]
    assert workspace.call("GET", path).status_code == 404
    assert not [line for line in workspace.stderr if "Connection lost" in line or path in line]


def test_statement_faults(workspace):
    workspace.rows("CREATE TABLE main.exact.faulty (a INT)")
    insert = "INSERT INTO main.exact.faulty VALUES (1)"
    workspace.fault(
        action="fail",
        statement="INSERT",
        error_class="DELTA_CONCURRENT_APPEND",
        sql_state="2D521",
        message="Files were added.",
    )
    assert workspace.error(insert) == ("2D521", "[DELTA_CONCURRENT_APPEND] Files were added. SQLSTATE: 2D521")
    assert workspace.rows("SELECT count(*) FROM main.exact.faulty") == [["0"]]
    workspace.fault(
        action="fail_after",
        statement="INSERT",
        error_class="X",
        sql_state="XX000",
        message="late",
        error_code="INTERNAL_ERROR",
    )
    answer = workspace.run(insert)
    assert answer["status"]["error"] == {"error_code": "INTERNAL_ERROR", "message": "[X] late SQLSTATE: XX000"}
    assert workspace.rows("SELECT count(*) FROM main.exact.faulty") == [["1"]]
    workspace.fault(action="forget", statement="INSERT")
    answer = workspace.submit(insert, wait_timeout="0s").json()
    assert workspace.call("GET", f"{STATEMENTS}/{answer['statement_id']}").status_code == 404
    workspace.poll(lambda: workspace.rows("SELECT count(*) FROM main.exact.faulty") == [["2"]])


def test_token_expires_in_mid_run(workspace):
    headers = {"Authorization": "Bearer " + token(workspace).json()["access_token"]}
    workspace.fault(action="token_expired", path="warehouses")
    for _ in range(2):
        answer = requests.get(f"{workspace.url}/api/2.0/sql/warehouses", headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["message"]) == (403, "Invalid access token.")
    assert token(workspace).status_code == 200


def test_control(workspace):
    since = workspace.control("GET", "statements")["statements"][-1]["n"]
    workspace.rows("/* batch 5 */ SELECT :x", [{"name": "x", "value": "12345"}])
    [entry] = workspace.control("GET", f"statements?since={since}")["statements"]
    assert (entry["text"], entry["parameters"], entry["state"]) == ("/* batch 5 */ SELECT :x", {"x": 5}, "SUCCEEDED")
    assert workspace.control("POST", "sql", statement="SELECT 1 AS n") == {"columns": ["n"], "rows": [["1"]]}
    refused = requests.post(f"{workspace.url}/_control/sql", json={"statement": "SELEC"}, timeout=10)
    assert refused.status_code == 400 and refused.json()["error_code"] == "PARSE_SYNTAX_ERROR"
    assert requests.post(f"{workspace.url}/_control/config", json={"slots": "two"}, timeout=10).status_code == 400
    assert requests.post(f"{workspace.url}/_control/config", json={"nothing": 1}, timeout=10).status_code == 400
    assert workspace.control("GET", "info")["engine"] == "none"


# The official client

def client(server, **credentials):
    for name in list(os.environ):
        if name.startswith("DATABRICKS_"):
            del os.environ[name]
    return WorkspaceClient(host=server.url, **credentials)


@pytest.mark.parametrize("kind", ["oauth", "pat"])
def test_official_client(workspace, kind):
    info = workspace.info
    w = client(
        workspace,
        **(
            {"client_id": info["client_id"], "client_secret": info["client_secret"]}
            if kind == "oauth"
            else {"token": info["pat"]}
        ),
    )
    started = int(workspace.control("GET", "info")["now"] * 1000)
    answer = w.statement_execution.execute_statement(
        "SELECT a, b, :p FROM main.exact.t WHERE a < 3 ORDER BY a", info["warehouse_id"],
        parameters=[StatementParameterListItem(name="p", value="4", type="INT")])
    assert answer.status.state == StatementState.SUCCEEDED and answer.result.data_array == [
        ["1", "one", "4"],
        ["2", None, "4"],
    ]
    assert w.statement_execution.get_statement(answer.statement_id).manifest.total_row_count == 2
    assert w.statement_execution.get_statement_result_chunk_n(answer.statement_id, 0).row_count == 2
    workspace.fault(action="pending", seconds=600, statement="SELECT 99")
    waiting = w.statement_execution.execute_statement("SELECT 99", info["warehouse_id"], wait_timeout="0s")
    w.statement_execution.cancel_execution(waiting.statement_id)
    workspace.poll(
        lambda: w.statement_execution.get_statement(waiting.statement_id).status.state == StatementState.CANCELED
    )
    history = w.query_history.list(max_results=10, filter_by=QueryFilter(
        warehouse_ids=[info["warehouse_id"]], statuses=[QueryStatus.FINISHED, QueryStatus.CANCELED],
        query_start_time_range=TimeRange(start_time_ms=started)))
    assert [q.query_id for q in history.res] == [waiting.statement_id, answer.statement_id]
    assert history.res[1].status == QueryStatus.FINISHED and history.res[1].user_name
    assert [x.id for x in w.warehouses.list()] == [info["warehouse_id"]]
    assert w.warehouses.get(info["warehouse_id"]).state.value == "RUNNING"
    path = "/Volumes/main/exact/inbox/sdk dir/file.txt"
    w.files.upload(path, io.BytesIO(b"hello"), overwrite=True)
    assert w.files.download(path).contents.read() == b"hello"
    assert w.files.get_metadata(path).content_length == 5
    assert [e.name for e in w.files.list_directory_contents("/Volumes/main/exact/inbox/sdk dir")] == ["file.txt"]
    w.files.delete(path)
    with pytest.raises(NotFound):
        w.files.download(path)
    table = w.tables.get("main.exact.t")
    assert [(c.name, c.type_text, c.nullable) for c in table.columns] == [("a", "int", False), ("b", "string", True)]
    assert w.tables.exists("main.exact.t").table_exists and "t" in [t.name for t in w.tables.list("main", "exact")]
    with pytest.raises(NotFound):
        w.tables.get("main.exact.none")


def test_official_client_bad_secret(workspace):
    with pytest.raises(Exception, match=r"invalid_client|Client authentication failed"):
        client(workspace, client_id=workspace.info["client_id"], client_secret="wrong").warehouses.get("x")
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        client(workspace, token="dapiwrong").warehouses.get("x")


# The command

def test_command(tmp_path):
    shown = subprocess.run([str(LAUNCHER), "--help"], capture_output=True, text=True, timeout=30,
                           env={**os.environ, "EXACT_DATABRICKS_PYTHON": sys.executable})
    assert shown.returncode == 0 and all(
        option in shown.stdout for option in ("--engine", "--jars", "--history-delay", "--seed", "--pat")
    )
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(RuntimeError, match="databricks-workspace:"):
        Server("--port", str(taken.getsockname()[1]))
    with pytest.raises(RuntimeError, match="no Delta jars in"):
        Server("--jars", str(tmp_path), engine="spark")


def test_options_and_seed(tmp_path):
    server = Server(
        "--seed",
        "5",
        "--catalog",
        "Lake",
        "--client-secret",
        "s3cret",
        "--data",
        str(tmp_path),
        "--start-seconds",
        "0.2",
        "--expires-in-string",
        "--token-lifetime",
        "90",
        "--warehouse",
        "00000000000000aa",
        *PLAIN,
    )
    try:
        info = server.info
        assert (info["catalog"], info["client_secret"], info["warehouse_state"], info["warehouse_id"]) == (
            "lake", "s3cret", "STOPPED", "00000000000000aa")
        assert server.rows("SELECT 1") == [["1"]]
        assert server.rows("CREATE TABLE lake.exact.t (a INT)") == []
        assert server.error("CREATE SCHEMA main.exact")[0] == "42704"
        basic = base64.b64encode(f"{info['client_id']}:s3cret".encode()).decode()
        answer = requests.post(
            f"{server.url}/oidc/v1/token",
            data="grant_type=client_credentials&scope=all-apis",
            timeout=10,
            headers={"Authorization": f"Basic {basic}", "Content-Type": "application/x-www-form-urlencoded"},
        )
        assert answer.json()["expires_in"] == "90"
    finally:
        assert server.stop() == 0
    twin = Server("--seed", "5")
    assert twin.info["pat"] == info["pat"]
    twin.stop()


def test_only_a_manager_stops_it(workspace):
    path = f"/api/2.0/sql/warehouses/{workspace.warehouse}"
    answer = workspace.call("POST", path + "/stop")
    assert answer.status_code == 403 and answer.json()["error_code"] == "PERMISSION_DENIED"
    assert workspace.call("GET", path).json()["state"] == "RUNNING"
    workspace.may_stop()
    assert workspace.call("POST", path + "/stop").status_code == 200
    assert workspace.call("GET", path).json()["state"] == "STOPPED"


def test_auto_stop_and_meter(workspace):
    """The idle time is paid for: a wake-up costs its statement and ten minutes."""
    path = f"/api/2.0/sql/warehouses/{workspace.warehouse}"
    workspace.may_stop()
    workspace.call("POST", path + "/stop")
    workspace.control("POST", "meter")
    workspace.control("POST", "clock", advance=3600)
    assert workspace.control("GET", "info")["meter"] == {"wake_ups": 0, "seconds": 0}
    assert workspace.rows("SELECT 1") == [["1"]]
    workspace.control("POST", "clock", advance=590)
    assert workspace.call("GET", path).json()["state"] == "RUNNING"
    workspace.control("POST", "clock", advance=20)
    assert workspace.call("GET", path).json()["state"] == "STOPPED"
    workspace.control("POST", "clock", advance=3600)
    meter = workspace.control("GET", "info")["meter"]
    assert meter["wake_ups"] == 1 and 600 <= meter["seconds"] < 610


def test_statements_of_others(workspace):
    history = f"/api/2.0/sql/history/queries?filter_by.warehouse_ids={workspace.warehouse}"
    workspace.control("POST", "query", statement="SELECT 4711", user="analyst@example.com")

    def users():
        return {entry["user_name"] for entry in workspace.call("GET", history).json()["res"]}

    assert "analyst@example.com" not in users()
    workspace.may_stop()
    assert "analyst@example.com" in users()
