"""The workspace on real Spark and real Delta tables. Needs EXACT_DATABRICKS_JARS and Java 17."""

import gzip
import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import StatementParameterListItem, StatementState
from test_databricks_shapes import ShapeChecks
from test_databricks_support import LAUNCHER, PLAIN, Server

pytestmark = pytest.mark.skipif(not os.environ.get("EXACT_DATABRICKS_JARS"), reason="EXACT_DATABRICKS_JARS is not set")


def java_children(pid):
    """Java processes below process `pid`."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        child, rest = int(text.split()[0]), text.rpartition(")")[2].split()
        found.setdefault(int(rest[1]), []).append((child, text.partition("(")[2].partition(")")[0]))
    below, out = [pid], []
    while below:
        for child, name in found.get(below.pop(), []):
            below.append(child)
            if name == "java":
                out.append(child)
    return out


def leave_table(directory):
    """An empty Delta table with one column `a`, as an earlier run leaves it."""
    (directory / "_delta_log").mkdir(parents=True)
    schema = {"type": "struct", "fields": [{"name": "a", "type": "integer", "nullable": True, "metadata": {}}]}
    actions = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {
            "metaData": {
                "id": "3e0c8f5e-0a57-4a2c-8a53-6f0d0c4f5a11",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": json.dumps(schema),
                "partitionColumns": [],
                "configuration": {},
                "createdTime": 1767225600000,
            }
        },
    ]
    (directory / "_delta_log" / f"{0:020d}.json").write_text("".join(json.dumps(action) + "\n" for action in actions))


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """The one Spark workspace of the test run; when it ends, its Java process has to be gone."""
    data = tmp_path_factory.mktemp("lake")
    leave_table(data / "tables" / "earlier.db" / "kept")
    server = Server("--data", str(data), "--chunk-rows", "10000", *PLAIN, engine="spark")
    server.data = data
    server.sql("CREATE VOLUME IF NOT EXISTS main.exact.inbox")
    server.sql(f"GRANT READ VOLUME, WRITE VOLUME ON VOLUME main.exact.inbox TO `{server.info['client_id']}`")
    server.control(
        "POST",
        "privileges",
        grant=[
            {"privilege": "ALL PRIVILEGES", "object": "main.earlier"},
            {"privilege": "MANAGE", "object": "main.earlier"},
        ],
    )
    yield server
    java = java_children(server.process.pid)
    assert java, "no Java process found"
    assert server.stop() == 0
    server.poll(lambda: not any(Path(f"/proc/{pid}").exists() for pid in java))


class TestShapes(ShapeChecks):
    @pytest.fixture
    def workspace(self, spark):
        yield spark
        spark.control("POST", "privileges", deny=[])
        spark.control("DELETE", "faults")


def test_values(spark):
    """Every type as text, as the service writes it."""
    answer = spark.run(
        "SELECT TIMESTAMP'2026-01-02 03:04:05.6' AS ts, TIMESTAMP_NTZ'2026-01-02 03:04:05.123456' AS n, "
        "DATE'2026-01-02' AS d, X'CAFE' AS b, "
        "1.5D AS f, 1e20D AS g, CAST(0 AS DECIMAL(28,10)) AS z, ARRAY(1, 2) AS a, map('k', 1) AS m, struct(1 AS x, "
        "'y' AS y) AS s, true AS t, "
        "NULL AS v, CAST('x' AS VARCHAR(3)) AS c, 5Y AS y, parse_json('{\"a\":1}') AS j"
    )
    assert answer["status"]["state"] == "SUCCEEDED", answer
    assert answer["result"]["data_array"] == [
        [
            "2026-01-02T03:04:05.600Z",
            "2026-01-02T03:04:05.123456",
            "2026-01-02",
            "cafe",
            "1.5",
            "1.0E20",
            "0.0000000000",
            "[1,2]",
            '{"k":1}',
            '{"x":1,"y":"y"}',
            "true",
            None,
            "x",
            "5",
            '{"a":1}',
        ]
    ]
    assert [(c["type_name"], c["type_text"]) for c in answer["manifest"]["schema"]["columns"]] == [
        ("TIMESTAMP", "TIMESTAMP"),
        ("TIMESTAMP_NTZ", "TIMESTAMP_NTZ"),
        ("DATE", "DATE"),
        ("BINARY", "BINARY"),
        ("DOUBLE", "DOUBLE"),
        ("DOUBLE", "DOUBLE"),
        ("DECIMAL", "DECIMAL(28,10)"),
        ("ARRAY", "ARRAY<INT>"),
        ("MAP", "MAP<STRING, INT>"),
        ("STRUCT", "STRUCT<x: INT, y: STRING>"),
        ("BOOLEAN", "BOOLEAN"),
        ("NULL", "VOID"),
        ("STRING", "STRING"),
        ("BYTE", "TINYINT"),
        ("VARIANT", "VARIANT"),
    ]
    assert spark.rows(
        "SELECT :i + 1, :d, typeof(:d), :n IS NULL FROM range(5) LIMIT :i",
        [
            {"name": "i", "type": "INT", "value": "1"},
            {"name": "d", "type": "DECIMAL(10,2)", "value": "1.5"},
            {"name": "n"},
        ],
    ) == [["2", "1.50", "decimal(10,2)", "true"]]


def test_errors(spark):
    spark.rows("CREATE TABLE main.exact.e (a INT NOT NULL, v VARCHAR(3), d DECIMAL(4,2)) USING DELTA")
    spark.rows("ALTER TABLE main.exact.e ADD CONSTRAINT positive CHECK (d > 0)")
    for text, state, start in (
        ("INSERT INTO main.exact.e VALUES (NULL, 'x', 1)", "23502", "[DELTA_NOT_NULL_CONSTRAINT_VIOLATED]"),
        ("INSERT INTO main.exact.e VALUES (1, 'x', -1)", "23001", "[DELTA_VIOLATE_CONSTRAINT_WITH_VALUES]"),
        ("INSERT INTO main.exact.e VALUES (1, 'long', 1)", "22001", "[DELTA_EXCEED_CHAR_VARCHAR_LIMIT]"),
        (
            "INSERT INTO main.exact.e SELECT 1, 'x', CAST(concat('1', id) AS DECIMAL(3,2)) FROM range(300, 301)",
            "22003",
            "[NUMERIC_VALUE_OUT_OF_RANGE",
        ),
        (
            "MERGE INTO main.exact.e AS t USING (SELECT 1 AS a) AS s ON t.a = s.a WHEN MATCHED THEN UPDATE SET "
            "nothing = 1",
            "42601",
            "[DELTA_MERGE_UNRESOLVED_EXPRESSION]",
        ),
        ("SELECT nothing FROM main.exact.e", "42703", "[UNRESOLVED_COLUMN.WITH_SUGGESTION]"),
        ("ALTER TABLE main.exact.e SET TBLPROPERTIES ('delta.unheard'='1')", "F0000", "[DELTA_UNKNOWN_CONFIGURATION]"),
        (
            "SELECT * FROM text.`/Volumes/main/exact/inbox/none`",
            "42K03",
            "[PATH_NOT_FOUND] Path does not exist: dbfs:/Volumes/main/exact/",
        ),
        (
            "ALTER TABLE main.exact.e ADD CONSTRAINT positive CHECK (d > 0)",
            "42710",
            "[DELTA_CONSTRAINT_ALREADY_EXISTS]",
        ),
    ):
        found, message = spark.error(text)
        assert (found, message[:len(start)]) == (state, start), message
        assert f"SQLSTATE: {state}" in message and "spark_catalog" not in message and str(spark.data) not in message, (
            message
        )
    assert spark.rows("SELECT count(*) FROM main.exact.e") == [["0"]]


def test_counts(spark):
    run = spark.rows
    run("CREATE TABLE main.exact.n (a INT) USING DELTA")
    assert run("INSERT INTO main.exact.n SELECT id FROM range(7)") == [["7", "7"]]
    assert run("INSERT INTO main.exact.n SELECT a FROM main.exact.n WHERE a > 100") == [["0", "0"]]
    assert run("UPDATE main.exact.n SET a = a + 1 WHERE a < 2") == [["2"]]
    assert run("DELETE FROM main.exact.n WHERE a = 6") == [["1"]]
    assert run("INSERT OVERWRITE main.exact.n VALUES (1), (2)") == [["2", "2"]]
    assert run("BEGIN INSERT INTO main.exact.n VALUES (:x); SELECT count(*) AS n FROM main.exact.n; END",
               [{"name": "x", "type": "INT", "value": "3"}]) == [["3"]]
    history = run("DESCRIBE HISTORY main.exact.n")
    assert [row[4] for row in history][-2:] == ["WRITE", "CREATE TABLE"]


def test_bulk_file(spark):
    lines = "".join(json.dumps({"k": f"k{i}", "v": str(i)}) + "\n" for i in range(1000))
    path = "/Volumes/main/exact/inbox/things/1-1000.jsonl.gz"
    assert (
        spark.call(
            "PUT", "/api/2.0/fs/files" + path, params={"overwrite": "true"}, data=gzip.compress(lines.encode())
        ).status_code
        == 204
    )
    spark.rows("CREATE TABLE main.exact.bulk (k STRING NOT NULL, v INT) USING DELTA")
    merge = (
        "MERGE INTO main.exact.bulk AS t USING (SELECT r.k, CAST(r.v AS INT) AS v FROM (SELECT from_json(value, "
        "'STRUCT<k: STRING, v: "
        f"STRING>', map('mode', 'FAILFAST')) AS r FROM text.`{path}` WHERE (SELECT assert_true(count(*) = {{}}, "
        f"'exact: file rows') FROM "
        f"text.`{path}`) IS NULL)) AS s ON t.k = s.k WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)"
    )
    assert spark.error(merge.format(999)) == ("P0001", "[USER_RAISED_EXCEPTION] exact: file rows SQLSTATE: P0001")
    assert spark.rows(merge.format(1000)) == [["1000", "0", "0", "1000"]]
    assert spark.rows(f"SELECT path, length FROM binaryFile.`{path}`")[0][0] == f"dbfs:{path}"


def test_limits_and_chunks(spark):
    spark.config(chunk_rows=300)
    answer = spark.run("SELECT id FROM range(1000) ORDER BY id")
    spark.config(chunk_rows=10000)
    rows, part = [], answer["result"]
    while part:
        rows += part["data_array"]
        part = "next_chunk_internal_link" in part and spark.call("GET", part["next_chunk_internal_link"]).json()
    assert rows == [[str(i)] for i in range(1000)] and answer["manifest"]["total_chunk_count"] == 4
    limited = spark.run("SELECT id FROM range(100000000)", row_limit=5)
    assert limited["manifest"]["truncated"] and limited["manifest"]["total_row_count"] == 5
    answer = spark.run("SELECT repeat('x', 1024) FROM range(26000)")
    assert answer["status"]["state"] == "FAILED"
    assert "result size of at most 26214400 bytes" in answer["status"]["error"]["message"]


def test_cancel_running(spark):
    text = "SELECT count(*) FROM range(100000) a CROSS JOIN range(1000000) b WHERE a.id * b.id % 7 = 3"
    answer = spark.submit(text, wait_timeout="0s").json()
    path = f"/api/2.0/sql/statements/{answer['statement_id']}"
    spark.poll(lambda: spark.call("GET", path).json()["status"]["state"] == "RUNNING")
    assert spark.call("POST", path + "/cancel").status_code == 200
    assert spark.until_done(answer)["status"] == {"state": "CANCELED"}
    assert spark.rows("SELECT 1") == [["1"]]


def test_nothing_survives_a_statement(spark):
    assert spark.rows("SET TIMEZONE = 'Europe/Amsterdam'") == []
    assert spark.rows("SELECT current_timezone()") == [["UTC"]]
    spark.rows("CREATE TEMPORARY VIEW gone AS SELECT 1 AS a")
    # the view needed no grant; a table of that name in the default schema does
    assert spark.error("SELECT * FROM gone")[0] == "42501"
    assert spark.rows("USE main.exact") == []
    assert spark.error("SELECT * FROM n_absent")[0] == "42501"
    assert spark.error("SELECT * FROM n_absent", schema="exact")[0] == "42P01"
    assert spark.rows("SELECT current_schema()", schema="exact") == [["exact"]]


def test_writers_of_one_table_and_of_two(spark):
    for name in ("w1", "w2"):
        spark.rows(f"CREATE TABLE main.exact.{name} (k INT, n INT) USING DELTA")
    merge = (
        "MERGE INTO main.exact.{} AS t USING (SELECT {} AS k) AS s ON t.k = s.k "
        "WHEN NOT MATCHED THEN INSERT (k, n) VALUES (s.k, 1)"
    )
    answers = []
    threads = [
        threading.Thread(target=lambda i=i: answers.append(spark.run(merge.format(("w1", "w2")[i % 2], i))))
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a["status"]["state"] for a in answers] == ["SUCCEEDED"] * 4, answers
    assert [a["result"]["data_array"] for a in answers] == [[["1", "0", "0", "1"]]] * 4


def test_official_client(spark):
    info = spark.info
    for name in list(os.environ):
        if name.startswith("DATABRICKS_"):
            del os.environ[name]
    w = WorkspaceClient(host=spark.url, client_id=info["client_id"], client_secret=info["client_secret"])
    w.statement_execution.execute_statement(
        "CREATE TABLE IF NOT EXISTS sdk (a BIGINT NOT NULL COMMENT 'key', d DECIMAL(18,2)) "
        "TBLPROPERTIES ('exact.entity'='Sdk')",
        info["warehouse_id"],
        catalog="main",
        schema="exact",
    )
    answer = w.statement_execution.execute_statement(
        "INSERT INTO main.exact.sdk VALUES (:a, 2.5)", info["warehouse_id"],
        parameters=[StatementParameterListItem(name="a", value="1", type="BIGINT")], wait_timeout="50s")
    assert answer.status.state == StatementState.SUCCEEDED and answer.result.data_array == [["1", "1"]]
    assert w.query_history.list(max_results=1).res[0].query_id == answer.statement_id
    w.files.upload("/Volumes/main/exact/inbox/sdk.txt", io.BytesIO(b"one\ntwo\n"), overwrite=True)
    rows = w.statement_execution.execute_statement(
        "SELECT value FROM text.`/Volumes/main/exact/inbox/sdk.txt`", info["warehouse_id"]
    )
    assert sorted(rows.result.data_array) == [["one"], ["two"]]
    table = w.tables.get("main.exact.sdk")
    assert [(c.name, c.type_text, c.nullable, c.comment) for c in table.columns] == [
        ("a", "bigint", False, "key"),
        ("d", "decimal(18,2)", True, None),
    ]
    assert table.properties["exact.entity"] == "Sdk" and w.tables.exists("main.exact.sdk").table_exists
    assert "sdk" in [t.name for t in w.tables.list("main", "exact")]


def test_ends_while_starting():
    """SIGTERM before the engine runs leaves no Java process behind."""
    process = subprocess.Popen(
        [str(LAUNCHER)],
        env={**os.environ, "EXACT_DATABRICKS_PYTHON": sys.executable},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while not (java := java_children(process.pid)):
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.02)
        process.terminate()
        assert process.wait(40) == 0
        while any(Path(f"/proc/{pid}").exists() for pid in java):
            assert time.monotonic() < end
            time.sleep(0.02)
    finally:
        process.kill()


def test_tables_of_an_earlier_run(spark):
    """A table found under --data at start is there, and is dropped with its files."""
    assert spark.rows("INSERT INTO main.earlier.kept VALUES (1)") == [["1", "1"]]
    assert spark.rows("SELECT * FROM main.earlier.kept") == [["1"]]
    spark.rows("DROP TABLE main.earlier.kept")
    spark.rows("CREATE TABLE main.earlier.kept (b STRING)")
    assert spark.rows("SELECT count(*) FROM main.earlier.kept") == [["0"]]
    assert [row[0] for row in spark.rows("DESCRIBE TABLE main.earlier.kept")] == ["b"]


MERGE = (
    "MERGE INTO main.exact.{} AS t USING (SELECT 7 AS k, {} AS n) AS s ON t.k = s.k WHEN MATCHED THEN UPDATE SET n = "
    "s.n "
    "WHEN NOT MATCHED THEN INSERT (k, n) VALUES (s.k, s.n)"
)


def overtaken(spark, mode, slow, quick):
    """The answer to a statement that began before another one wrote, and the rows that the other one answered."""
    spark.config(table_concurrency=mode)
    try:
        spark.fault(action="slow", seconds=600, statement=re.escape(slow))
        begun = spark.submit(slow, wait_timeout="0s").json()
        path = f"/api/2.0/sql/statements/{begun['statement_id']}"
        spark.poll(lambda: spark.call("GET", path).json()["status"]["state"] == "RUNNING")
        rows = spark.rows(quick)
        spark.control("POST", "clock", advance=601)
        return spark.until_done(begun), rows
    finally:
        spark.config(table_concurrency="serial")
        spark.control("POST", "clock", advance=-601)


@pytest.mark.parametrize("mode", ["conflict", "row_level"])
def test_two_writers_of_one_key(spark, mode):
    """D7 on real Delta tables: a MERGE that began before another one wrote."""
    spark.rows(f"CREATE TABLE main.exact.raced_{mode} (k INT, n INT) USING DELTA")
    answer, quick = overtaken(spark, mode, MERGE.format(f"raced_{mode}", 77), MERGE.format(f"raced_{mode}", 1))
    assert quick == [["1", "0", "0", "1"]]
    rows = spark.rows(f"SELECT n FROM main.exact.raced_{mode} ORDER BY n")
    if mode == "conflict":
        assert answer["status"]["sql_state"] == "2D521" and rows == [["1"]]
    else:
        assert answer["result"]["data_array"] == [["1", "0", "0", "1"]] and rows == [["1"], ["77"]]
        assert spark.rows("SHOW TABLES IN main.exact") and not any(
            "_beside" in row[1] for row in spark.rows("SHOW TABLES IN main.exact")
        )


@pytest.mark.parametrize("mode", ["conflict", "row_level"])
def test_two_first_inserts(spark, mode):
    """D7 on real Delta tables: an INSERT that reads its own table and began before another one wrote."""
    table = f"main.exact.first_{mode}"
    spark.rows(f"CREATE TABLE {table} (a STRING) USING DELTA")
    first = "INSERT INTO {0} (a) SELECT {1} FROM (SELECT 1) AS s WHERE (SELECT count(*) FROM {0}) = 0"
    answer, quick = overtaken(spark, mode, first.format(table, "'slow'"), first.format(table, "'quick'"))
    assert quick == [["1", "1"]]
    rows = spark.rows(f"SELECT a FROM {table} ORDER BY a")
    if mode == "conflict":
        assert answer["status"]["sql_state"] == "2D521" and rows == [["quick"]]
    else:
        assert answer["result"]["data_array"] == [["1", "1"]] and rows == [["quick"], ["slow"]]
    assert spark.rows(first.format(table, "'again'")) == [["0", "0"]]


def test_zone_and_ansi_mode(spark):
    """D5, D6; the whole list is in test_databricks_cases.py"""
    spark.config(ansi_mode=False, time_zone="America/Los_Angeles")
    try:
        assert spark.rows("SELECT CAST('x' AS INT), TIMESTAMP'2021-01-01 10:00:00'") == [
            [None, "2021-01-01T10:00:00.000-08:00"]
        ]
    finally:
        spark.config(ansi_mode=True, time_zone="UTC")
