"""DESCRIBE HISTORY: what both engines tell of a table's versions, in one form. The Spark half needs
EXACT_DATABRICKS_JARS."""

import json
import os

import pytest
from test_databricks_support import PLAIN, Server

ENGINES = ["none", "spark"] if os.environ.get("EXACT_DATABRICKS_JARS") else ["none"]
MERGE = (
    "MERGE INTO main.exact.t AS t USING (SELECT 1 AS k, 'b' AS v) AS s ON t.k = s.k "
    "WHEN MATCHED AND s.v > t.v THEN UPDATE SET v = s.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)"
)


@pytest.fixture(params=ENGINES)
def server(request):
    server = Server(*PLAIN, engine=request.param)
    yield server
    server.stop()


def history(server, limit=""):
    done = server.until_done(server.submit("DESCRIBE HISTORY main.exact.t" + limit).json())
    names = [column["name"] for column in done["manifest"]["schema"]["columns"]]
    return names, [dict(zip(names, row)) for row in server.all_rows(done)]


def test_history(server):
    server.rows("CREATE TABLE main.exact.t (k INT, v STRING) USING DELTA")
    server.sql("INSERT INTO main.exact.t VALUES (1, 'a'), (2, 'a')")
    merged = server.until_done(server.submit(MERGE).json())
    server.sql("UPDATE main.exact.t SET v = 'x' WHERE k = 1")
    server.sql("UPDATE main.exact.t SET v = 'x' WHERE k = 9")
    server.sql("DELETE FROM main.exact.t WHERE k = 2")
    names, rows = history(server)
    assert names[:6] == ["version", "timestamp", "userId", "userName", "operation", "operationParameters"]
    assert [(row["version"], row["operation"]) for row in rows] == [
        ("4", "DELETE"), ("3", "UPDATE"), ("2", "MERGE"), ("1", "WRITE"), ("0", "CREATE TABLE")]
    assert rows[0]["userName"] == rows[1]["userName"] == "owner@example.com" != rows[2]["userName"]
    assert rows[2]["queryHistoryStatementId"] == merged["statement_id"]
    told = json.loads(rows[2]["operationParameters"])
    assert "k" in told["predicate"] and "v" in told["matchedPredicates"]
    assert json.loads(rows[1]["operationMetrics"])["numUpdatedRows"] == "1"
    assert json.loads(rows[0]["operationMetrics"])["numDeletedRows"] == "1"
    assert [row["version"] for row in history(server, " LIMIT 2")[1]] == ["4", "3"]
    server.sql("RESTORE TABLE main.exact.t TO VERSION AS OF 2")
    restored = history(server, " LIMIT 1")[1][0]
    assert restored["operation"] == "RESTORE" and json.loads(restored["operationParameters"])["version"] == "2"
    assert server.rows("SELECT k, v FROM main.exact.t ORDER BY k") == [["1", "b"], ["2", "a"]]


def test_history_of_open_source(server):
    server.config(operation_ids=False)
    server.rows("CREATE TABLE main.exact.t (k INT, v STRING) USING DELTA")
    server.sql("INSERT INTO main.exact.t VALUES (1, 'a')")
    names, rows = history(server)
    assert "queryHistoryStatementId" not in names and {row["userName"] for row in rows} == {None}
    assert [(row["version"], row["operation"]) for row in rows] == [("1", "WRITE"), ("0", "CREATE TABLE")]
    assert json.loads(rows[0]["operationParameters"])["mode"] == "Append"
    assert json.loads(rows[0]["operationMetrics"])["numOutputRows"] == "1"


def test_reorg_and_vacuum():
    server = Server(*PLAIN, engine="none")
    try:
        server.rows("CREATE TABLE main.exact.t (k INT, v STRING) USING DELTA")
        server.rows("INSERT INTO main.exact.t VALUES (1, 'a')")
        server.rows("REORG TABLE main.exact.t APPLY (PURGE)")
        server.rows("VACUUM main.exact.t RETAIN 168 HOURS")
        server.rows("VACUUM main.exact.t")
        state, message = server.error("VACUUM main.exact.t RETAIN 167 HOURS")
        assert state == "22003" and "DELTA_VACUUM_RETENTION_PERIOD_TOO_SHORT" in message
        assert server.error("VACUUM main.exact.absent")[0] == "42P01"
        assert [row["operation"] for row in history(server, " LIMIT 5")[1]] == [
            "VACUUM END", "VACUUM START", "VACUUM END", "VACUUM START", "REORG"]
        assert server.rows("SELECT k, v FROM main.exact.t") == [["1", "a"]]
    finally:
        server.stop()
