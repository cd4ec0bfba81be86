"""Clients that others wrote, against a calm workspace and in weather. databricks-sdk is in test_databricks_api.py
too."""

import os

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import StatementParameterListItem
from test_databricks_support import Server


def clear_environment():
    for name in list(os.environ):
        if name.startswith("DATABRICKS_"):
            del os.environ[name]


@pytest.fixture(scope="module")
def workspace():
    server = Server("--seed", "6")
    yield server
    assert server.stop() == 0


@pytest.fixture
def connector(workspace):
    """databricks-sql-connector on the Statement Execution API."""
    sql = pytest.importorskip("databricks.sql")
    clear_environment()
    host, _, _port = workspace.url.rpartition(":")

    def connect(server=workspace, **more):
        return sql.connect(
            server_hostname=host,
            _port=int(server.url.rpartition(":")[2]),
            http_path=f"/sql/1.0/warehouses/{server.warehouse}",
            access_token=server.info["pat"],
            use_sea=True,
            use_cloud_fetch=False,
            enable_telemetry=False,
            **more,
        )
    return connect


def test_sdk_reads_chunks(workspace):
    """databricks-sdk with everything drawn: it follows the chunks when its user does."""
    clear_environment()
    info = workspace.info
    w = WorkspaceClient(host=workspace.url, client_id=info["client_id"], client_secret=info["client_secret"])
    workspace.rows("CREATE TABLE main.exact.chunked (a INT)")
    workspace.rows("INSERT INTO main.exact.chunked VALUES " + ", ".join(f"({i})" for i in range(300)))
    for _ in range(5):
        answer = w.statement_execution.execute_statement(
            "SELECT a FROM main.exact.chunked WHERE a >= :n ORDER BY a",
            info["warehouse_id"],
            parameters=[StatementParameterListItem(name="n", value="0", type="INT")],
        )
        rows, part = list(answer.result.data_array), answer.result
        while part.next_chunk_index is not None:
            part = w.statement_execution.get_statement_result_chunk_n(answer.statement_id, part.next_chunk_index)
            rows += part.data_array
        assert rows == [[str(i)] for i in range(300)]


def test_connector(workspace, connector):
    with connector(catalog="main", schema="exact") as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS conn (a INT, d DECIMAL(10,2), b STRING)")
        cursor.execute("INSERT INTO main.exact.conn VALUES (1, 1.5, 'x'), (2, NULL, NULL)")
        cursor.execute("SELECT a, d, b FROM conn WHERE a < :n ORDER BY a", {"n": 9})
        assert [tuple(map(str, row)) for row in cursor.fetchall()] == [("1", "1.50", "x"), ("2", "None", "None")]
        with pytest.raises(Exception, match=r"absent|TABLE_OR_VIEW_NOT_FOUND"):
            cursor.execute("SELECT * FROM main.exact.absent")
