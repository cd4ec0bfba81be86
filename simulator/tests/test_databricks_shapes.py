"""The hub's statements, executed: the same checks for the engine-free mode here and for Spark in
test_databricks_spark.py."""

import json

import pytest
from test_databricks_support import PLAIN, Server, Shapes, record


@pytest.fixture(scope="module")
def workspace():
    server = Server("--chunk-rows", "10000", *PLAIN)
    yield server
    server.stop()


def current(shapes):
    """{key: (seq, op, deleted, amt, code)} of the current table."""
    rows = shapes.server.rows(f"SELECT `_key`, `_seq`, `_op`, `_deleted`, `amt`, `code` FROM {shapes.current}")
    return {row[0]: tuple(row[1:]) for row in rows}


class ShapeChecks:
    """Needs a fixture `workspace`. One table per test."""

    def test_life_of_a_record(self, workspace):
        shapes = Shapes(workspace, "things")
        shapes.create()
        first = [
            record("a", 1, "I"),
            record("b", 2, "I"),
            record("a", 3, amt="2.005"),
            record("c", 4, "I", amt=None, ok=None),
        ]
        assert shapes.counts(shapes.merge_history(first)) == [4, 0, 0, 4]
        assert shapes.counts(shapes.merge_current(first)) == [3, 0, 0, 3]
        assert current(shapes)["a"] == ("3", "U", "false", "2.0050", "code a")
        # the same again changes nothing
        assert shapes.counts(shapes.merge_history(first)) == [0, 0, 0, 0]
        assert shapes.counts(shapes.merge_current(first)) == [0, 0, 0, 0]
        # a delete keeps the values; repeated it does nothing; an older batch does not revive
        gone = [record("b", 7, "D", amt=None, code=None)]
        assert shapes.counts(shapes.merge_current(gone)) == [1, 1, 0, 0]
        assert current(shapes)["b"] == ("7", "D", "true", "1.5000", "code b")
        assert shapes.counts(shapes.merge_current(gone)) == [0, 0, 0, 0]
        assert shapes.counts(shapes.merge_current([record("b", 6, code="older")])) == [0, 0, 0, 0]
        # a newer version revives, whatever else is in the batch
        assert shapes.counts(shapes.merge_current([record("b", 9, code="back"), record("d", 8, "I")])) == [2, 1, 0, 1]
        assert current(shapes) == {
            "a": ("3", "U", "false", "2.0050", "code a"), "b": ("9", "U", "false", "1.5000", "back"),
            "c": ("4", "I", "false", None, "code c"), "d": ("8", "I", "false", "1.5000", "code d")}
        assert shapes.run(shapes.arrived(first))["result"]["data_array"] == [["4"]]
        assert shapes.run(shapes.arrived([record("a", 3), record("a", 4), record("z", 1)]))["result"]["data_array"] == [
            ["1"]
        ]
        self.check_truth(workspace, shapes)

    def check_truth(self, workspace, shapes):
        """The control API shows every cell as a SELECT does."""
        found = workspace.control("GET", f"rows?table=main.exact.{shapes.name}_history")
        rows = [dict(zip(found["columns"], row)) for row in found["rows"]]
        assert sorted(int(row["_seq"]) for row in rows) == [1, 2, 3, 4]
        assert next(row for row in rows if row["_seq"] == "3") == {
            "_division": "1",
            "_key": "a",
            "_seq": "3",
            "_op": "U",
            "code": "code a",
            "amt": "2.0050",
            "day": "2026-03-04",
            "at": "2026-03-04T05:06:07.125",
            "seen": "2026-03-04T05:06:07.000Z",
            "ok": "true",
            "n": "7",
            "_payload": '{"Key": "a"}',
        }

    def test_refusals(self, workspace):
        shapes = Shapes(workspace, "refused")
        shapes.create()

        def failure(shape):
            answer = shapes.run(shape)
            assert answer["status"]["state"] == "FAILED" and "manifest" not in answer, answer
            assert answer["status"]["error"]["error_code"] == "BAD_REQUEST"
            return answer["status"]["sql_state"], answer["status"]["error"]["message"]

        state, message = failure(shapes.merge_current([record("a", 1)], epoch=4))
        assert (state, message) == ("P0001", "[USER_RAISED_EXCEPTION] exact: fenced SQLSTATE: P0001")
        state, message = failure(shapes.merge_current([record("a", 1), record("b", 2, amt="12,5")]))
        assert (
            state == "22018"
            and message.startswith(
                '[CAST_INVALID_INPUT] The value \'12,5\' of the type "STRING" cannot be cast to "DECIMAL(28,4)"'
            )
            and "CAST(r.`amt` AS DECIMAL(28,4))" in message
        )
        state, message = failure(shapes.merge_history([record("a", 1, amt="1" * 30)]))
        assert state == "22003" and message.startswith("[NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION]")
        state, message = failure(shapes.merge_history([record(None, 1)]))
        assert state == "23502" and message.startswith("[DELTA_NOT_NULL_CONSTRAINT_VIOLATED]") and "_key" in message
        statement, _ = shapes.merge_current([record("a", 1)])
        state, message = workspace.error(
            statement, [{"name": "batch", "type": "STRING", "value": '[{"_division":"1",'}]
        )
        assert state == "22023" and message.startswith("[MALFORMED_RECORD_IN_PARSING")
        assert workspace.error(statement)[0] == "42P02"
        assert current(shapes) == {}
        # an empty text is no error and no row
        assert workspace.rows(statement, [{"name": "batch", "value": ""}]) == [["0", "0", "0", "0"]]

    def test_bad_rows_are_found(self, workspace):
        shapes = Shapes(workspace, "bad")
        batch = [
            record("a", 1, amt="x"),
            record("b", 2),
            record("c", 3, day="2026-02-30"),
            record("d", 4, ok=""),
            record("e", 5, n="12.0"),
            record("f", 6, at="yesterday", amt=None),
            record("g", 7, amt="1e3", day="2026-3-4", ok="t", seen="2026-03-04"),
        ]
        assert shapes.run(shapes.bad_rows(batch))["result"]["data_array"] == [
            ["1", "a"],
            ["3", "c"],
            ["4", "d"],
            ["5", "e"],
            ["6", "f"],
        ]
        assert shapes.run(shapes.bad_rows([batch[1]]))["result"] == {}

    def test_tables(self, workspace):
        run, name = workspace.rows, "main.exact.plain"
        ddl = workspace.run(f"CREATE TABLE IF NOT EXISTS {name} (a INT NOT NULL, `b c` STRING COMMENT 'it\\'s') "
                            "TBLPROPERTIES ('delta.columnMapping.mode'='name', 'exact.entity'='Plain')")
        assert ddl["manifest"] == {
            "format": "JSON_ARRAY",
            "schema": {"column_count": 0},
            "total_row_count": 0,
            "total_chunk_count": 0,
            "truncated": False,
        }
        assert ddl["result"] == {}
        assert run(f"CREATE TABLE IF NOT EXISTS {name} (other INT)") == []
        assert workspace.error(f"CREATE TABLE {name} (a INT)")[0] == "42P07"
        assert workspace.error("CREATE TABLE main.nowhere.t (a INT)")[0] == "42704"
        assert workspace.error("CREATE TABLE main.exact.twice (a INT, A STRING)")[0] == "42711"
        assert run(f"ALTER TABLE {name} ADD COLUMNS (`d` DECIMAL(10,2) COMMENT 'new', e DATE)") == []
        assert workspace.error(f"ALTER TABLE {name} ADD COLUMNS (D INT)")[0] == "42710"
        assert workspace.error("ALTER TABLE main.exact.nothing ADD COLUMNS (d INT)")[0] == "42P01"
        run(f"ALTER TABLE {name} ALTER COLUMN e COMMENT 'a day'")
        run(f"ALTER TABLE {name} SET TBLPROPERTIES ('exact.mark'='1')")
        assert [row for row in run(f"DESCRIBE TABLE {name}") if row[0][0] != "#" and row[0]] == [
            ["a", "int", None], ["b c", "string", "it's"], ["d", "decimal(10,2)", "new"], ["e", "date", "a day"]]
        properties = dict(run(f"SHOW TBLPROPERTIES {name}"))
        assert properties["exact.entity"] == "Plain" and properties["exact.mark"] == "1"
        answer = workspace.run(f"INSERT INTO {name} VALUES (1, 'x', 1.5, DATE'2026-01-02'), (2, NULL, NULL, NULL)")
        assert [c["name"] for c in answer["manifest"]["schema"]["columns"]] == [
            "num_affected_rows",
            "num_inserted_rows",
        ]
        assert answer["result"]["data_array"] == [["2", "2"]]
        assert run(f"UPDATE {name} SET d = 2.25 WHERE a = 1") == [["1"]]
        answer = workspace.run(f"SELECT * FROM {name} WHERE a = 1")
        assert answer["result"]["data_array"] == [["1", "x", "2.25", "2026-01-02"]]
        assert answer["manifest"]["schema"] == {
            "column_count": 4,
            "columns": [
                {"name": "a", "type_text": "INT", "type_name": "INT", "position": 0},
                {"name": "b c", "type_text": "STRING", "type_name": "STRING", "position": 1},
                {
                    "name": "d",
                    "type_text": "DECIMAL(10,2)",
                    "type_name": "DECIMAL",
                    "type_precision": 10,
                    "type_scale": 2,
                    "position": 2,
                },
                {"name": "e", "type_text": "DATE", "type_name": "DATE", "position": 3},
            ],
        }
        empty = workspace.run(f"SELECT * FROM {name} WHERE a = 99")
        assert (
            empty["result"] == {} and empty["manifest"]["total_chunk_count"] == 0 and "chunks" not in empty["manifest"]
        )
        assert empty["manifest"]["schema"]["column_count"] == 4
        assert run(f"DELETE FROM {name} WHERE a > 0") == [["2"]]
        assert run(f"SELECT count(*) FROM {name}") == [["0"]]
        run(f"DROP TABLE {name}")
        assert workspace.error(f"SELECT count(*) FROM {name}")[0] == "42P01"

    def test_names(self, workspace):
        run = workspace.rows
        run("CREATE TABLE MAIN.Exact.Mixed (Id INT)")
        assert run("INSERT INTO `main`.`exact`.`MIXED` VALUES (1)") == [["1", "1"]]
        assert run("SELECT ID FROM mixed", catalog="main", schema="exact") == [["1"]]
        assert run("SELECT main.exact.mixed.id FROM main.exact.mixed") == [["1"]]
        state, message = workspace.error("SELECT * FROM other.exact.mixed")
        assert state == "42704" and message.startswith("[NO_SUCH_CATALOG_EXCEPTION] Catalog 'other' was not found")
        assert workspace.error("CREATE SCHEMA other.exact")[0] == "42704"
        assert workspace.error("CREATE SCHEMA IF NOT EXISTS main.exact")[0] == "42501"
        assert workspace.error("SELECT 1", catalog="other")[0] == "42704"
        assert workspace.error("SELECT 1", schema="missing")[0] == "42704"
        state, message = workspace.error("SELECT * FROM main.exact.absent")
        assert state == "42P01" and "`main`.`exact`.`absent`" in message and "spark_catalog" not in message
        assert workspace.error("SELECT 1; SELECT 2")[0] == "42601"
        assert workspace.error("SELEC 1")[1].startswith("[PARSE_SYNTAX_ERROR]")
        assert run("/* a comment */ SELECT 1 AS n;") == [["1"]]
        run(
            "CREATE TABLE main.exact.levels (a INT) TBLPROPERTIES ('delta.isolationLevel'='WriteSerializable', "
            "'exact.x'='1')"
        )
        shown = workspace.run("SHOW TABLES IN main.exact")
        assert [c["name"] for c in shown["manifest"]["schema"]["columns"]] == ["database", "tableName", "isTemporary"]
        assert ["exact", "levels", "false"] in shown["result"]["data_array"]
        assert ["exact"] in run("SHOW SCHEMAS IN main")

    def test_keys_and_privileges(self, workspace):
        run, name = workspace.rows, "main.exact.guarded"
        run(f"CREATE TABLE {name} (a INT NOT NULL, b INT, CONSTRAINT guarded_key PRIMARY KEY (a)) CLUSTER BY AUTO")
        assert workspace.control("GET", "unity")["constraints"][name] == {
            "guarded_key": {"kind": "PRIMARY_KEY", "columns": ["a"]}
        }
        assert workspace.error(f"ALTER TABLE {name} ADD CONSTRAINT second PRIMARY KEY (a) RELY")[0] == "42710"
        run(f"ALTER TABLE {name} DROP CONSTRAINT guarded_key")
        assert "nullable" in workspace.error(f"ALTER TABLE {name} ADD CONSTRAINT second PRIMARY KEY (b)")[1]
        run(f"ALTER TABLE {name} ADD CONSTRAINT second PRIMARY KEY (a) RELY")
        run(f"ALTER TABLE {name} ALTER COLUMN b SET NOT NULL")
        assert workspace.error(f"INSERT INTO {name} (a) VALUES (1)")[0] in ("23502", "23001")
        child = "main.exact.guarded_child"
        run(f"CREATE TABLE {child} (a INT)")
        refers = f"ALTER TABLE {child} ADD CONSTRAINT child_fk FOREIGN KEY (a) REFERENCES"
        assert "primary key" in workspace.error(f"{refers} {child} (a) NOT ENFORCED")[1]
        assert "primary key" in workspace.error(f"{refers} {name} (b) NOT ENFORCED")[1]
        run(f"{refers} {name} (a) NOT ENFORCED")
        assert workspace.error(f"{refers} {name} (a) NOT ENFORCED")[0] == "42710"
        assert "child_fk" in workspace.error(f"ALTER TABLE {name} DROP CONSTRAINT second")[1]
        run(f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS second CASCADE")
        assert workspace.control("GET", "unity")["constraints"] == {}
        run(f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS second CASCADE")
        run(f"ALTER TABLE {name} SET TAGS ('owner' = 'erp')")
        run(f"GRANT SELECT ON TABLE {name} TO `someone`")
        found = workspace.control("GET", "unity")
        assert (
            found["tags"][name] == {"owner": "erp"}
            and found["grants"][-1] == f"GRANT SELECT ON TABLE {name} TO `someone`"
        )
        assert workspace.error("SET spark.sql.ansi.enabled = false")[0] == "42K0I"
        assert run("SET TIMEZONE = 'UTC'") == []

        def denied(privilege, target, statement):
            workspace.control("POST", "privileges", deny=[{"privilege": privilege, "object": target}])
            state, message = workspace.error(statement)
            workspace.control("POST", "privileges", deny=[])
            assert state == "42501" and message.startswith(
                f"[INSUFFICIENT_PERMISSIONS] Insufficient privileges: User does not have {privilege} on "
            ), message
            assert f"'{target}'" in message or target in ("main.exact", "main")

        denied("MODIFY", name, f"INSERT INTO {name} VALUES (1, 2)")
        denied("MODIFY", "main.exact", f"ALTER TABLE {name} ADD COLUMNS (z INT)")
        denied("SELECT", name, f"SELECT * FROM {name}")
        denied("CREATE TABLE", "main.exact", "CREATE TABLE main.exact.fresh (a INT)")
        workspace.control("POST", "privileges", deny=[{"privilege": "SELECT", "object": name}])
        assert workspace.control("GET", f"rows?table={name}") == {"columns": ["a", "b"], "rows": []}
        denied("USE SCHEMA", "main.exact", f"SELECT * FROM {name}")
        denied("CREATE SCHEMA", "main", "CREATE SCHEMA main.fresh")
        assert run(f"INSERT INTO {name} VALUES (1, 2)") == [["1", "1"]]

    def test_replaced_whole(self, workspace):
        """A small table whose rows of one owner are replaced by one MERGE."""
        run, name = workspace.rows, "`main`.`exact`.`whole`"
        run(f"CREATE TABLE {name} (owner STRING, k STRING, v INT, at TIMESTAMP) USING DELTA")

        def put(batch):
            answer = workspace.run(
                f"MERGE INTO {name} AS t\nUSING (SELECT r.`k` AS `k`, CAST(r.`v` AS INT) AS `v`, CAST(r.`at` AS "
                f"TIMESTAMP) AS `at` FROM (SELECT "
                "explode(from_json(:batch, 'ARRAY<STRUCT<`k`: STRING, `v`: STRING, `at`: STRING>>', map('mode', "
                "'FAILFAST'))) AS r)) AS s\n"
                "ON t.`owner` = 'me' AND t.`k` <=> s.`k` AND t.`owner` <=> t.`owner` AND t.`k` = s.`k`\n"
                "WHEN MATCHED THEN UPDATE SET `v` = s.`v`, `at` = greatest(t.`at`, s.`at`)\n"
                "WHEN NOT MATCHED THEN INSERT (`owner`, `k`, `v`, `at`) VALUES ('me', s.`k`, s.`v`, s.`at`)\n"
                "WHEN NOT MATCHED BY SOURCE AND t.`owner` = 'me' THEN DELETE",
                [{"name": "batch", "type": "STRING", "value": json.dumps(batch)}],
            )
            assert answer["status"]["state"] == "SUCCEEDED", answer["status"]
            return [int(cell) for cell in answer["result"]["data_array"][0]]

        run(f"INSERT INTO {name} VALUES ('other', 'a', 0, NULL)")
        assert put([{"k": "a", "v": "1", "at": "2026-01-02T00:00:00Z"}, {"k": "b", "v": "2"}]) == [2, 0, 0, 2]
        assert put([{"k": "a", "v": "3", "at": "2026-01-01T00:00:00Z"}, {"k": "c", "v": "4"}]) == [3, 1, 1, 1]
        assert put([{"k": "a", "v": "3"}, {"k": "c", "v": "4"}])[1] == 2
        rows = run(f"SELECT owner, k, v, at FROM {name} ORDER BY owner, k")
        assert rows == [["me", "a", "3", "2026-01-02T00:00:00.000Z"], ["me", "c", "4", None], ["other", "a", "0", None]]
        assert put([]) == [2, 0, 2, 0]
        assert run(f"SELECT owner FROM {name}") == [["other"]]

    def test_views(self, workspace):
        shapes = Shapes(workspace, "viewed")
        shapes.create()
        run, view = workspace.rows, "`main`.`exact`.`viewed_versions`"
        assert workspace.error(f"SHOW TBLPROPERTIES {view}")[0] == "42P01"
        text = (
            f"CREATE OR REPLACE VIEW {view}\nCOMMENT 'it\\'s every version'\nTBLPROPERTIES ('exact.view' = 'v', "
            f"'exact.installation' = 'i\\'1')\n"
            "AS SELECT `h`.`_key`, `h`.`_seq`, `h`.`code`, lead(`h`.`_seq`) OVER (PARTITION BY `h`.`_division`, "
            "`h`.`_key` ORDER BY `h`.`_seq`) AS `next`"
            f"\nFROM {shapes.history} AS `h`"
        )
        run(text)
        run(text)
        assert run(f"SELECT * FROM {view}") == []
        batch = [record("a", 1, "I"), record("b", 2, "I"), record("a", 3)]
        shapes.counts(shapes.merge_history(batch))
        shapes.counts(shapes.merge_current(batch))
        assert run(f"SELECT * FROM {view} ORDER BY `_seq`") == [
            ["a", "1", "code a", "3"],
            ["b", "2", "code b", None],
            ["a", "3", "code a", None],
        ]
        assert ["exact.view", "v"] in run(f"SHOW TBLPROPERTIES {view}") and ["exact.installation", "i'1"] in run(
            f"SHOW TBLPROPERTIES {view}"
        )
        run(
            f"CREATE OR REPLACE VIEW {view} AS SELECT `t`.`_key` FROM {shapes.current} AS `t` LEFT ANTI JOIN "
            f"{shapes.history} AS `d` ON `d`.`_division` = "
            "`t`.`_division` AND `d`.`_key` = `t`.`_key` AND `d`.`_seq` = 2\nWHERE NOT `t`.`_deleted` AND (`t`.`n` "
            "IS NULL OR `t`.`n` <> 20)"
        )
        assert run(f"SELECT * FROM {view}") == [["a"]]
        assert workspace.error(f"CREATE OR REPLACE VIEW {shapes.current} AS SELECT 1 AS a")[0] == "42809"
        assert workspace.error(f"CREATE VIEW {view} AS SELECT 1 AS a")[0] == "42P07"
        assert workspace.error(f"CREATE OR REPLACE VIEW {view} AS SELECT nothing FROM {shapes.current}")[0] == "42703"
        assert workspace.control("GET", "rows?table=main.exact.viewed_versions")["rows"] == [["a"]]
        run(f"DROP VIEW {view}")
        assert workspace.error(f"SELECT * FROM {view}")[0] == "42P01"


class TestEngineFree(ShapeChecks):
    def test_unknown_statements_say_so(self, workspace):
        for text in (
            "ANALYZE TABLE main.exact.things COMPUTE STATISTICS",
            "SELECT a FROM main.exact.t QUALIFY 1",
            "BEGIN SELECT 1; END",
            "SELECT soundex('a')",
        ):
            state, message = workspace.error(text)
            assert state in ("42601", "42883", "42P01") and ("engine-free" in message or state == "42P01"), message

    def test_queries(self, workspace):
        run = workspace.rows
        run("CREATE TABLE main.exact.q (k STRING, g INT, v BIGINT)")
        run("INSERT INTO main.exact.q VALUES ('a', 1, 10), ('b', 1, 20), ('c', 2, NULL), (NULL, 2, 5)")
        assert run("SELECT g, count(*), max(v), min(k) FROM main.exact.q GROUP BY g") == [
            ["1", "2", "20", "a"],
            ["2", "2", "5", "c"],
        ]
        assert run("SELECT k FROM main.exact.q WHERE v BETWEEN 10 AND 20 ORDER BY v DESC") == [["b"], ["a"]]
        assert run("SELECT count(DISTINCT g), sum(v) FROM main.exact.q") == [["2", "35"]]
        assert run("SELECT k FROM main.exact.q WHERE k IN ('a', 'z') OR k IS NULL ORDER BY k") == [[None], ["a"]]
        assert run(
            "SELECT q.k FROM main.exact.q AS q LEFT ANTI JOIN (SELECT 'a' AS k) AS s ON q.k = s.k WHERE q.k IS NOT NULL"
        ) == [["b"], ["c"]]
        assert run(
            "SELECT a.k, b.v FROM main.exact.q a LEFT JOIN main.exact.q b ON a.k = b.k AND b.v > 10 WHERE a.g = 1"
        ) == [["a", None], ["b", "20"]]
        assert run(
            "SELECT NOT (NULL AND false), NULL OR true, NULL = NULL, NULL <=> NULL, 1 + 2 * 3, coalesce(NULL, 'x') "
            "|| 'y'"
        ) == [["true", "true", None, "true", "7", "xy"]]
        assert run(
            "SELECT CASE WHEN k = 'a' THEN 'one' ELSE 'other' END AS w FROM main.exact.q WHERE g = 1 LIMIT 2"
        ) == [["one"], ["other"]]
        run("UPDATE main.exact.q SET v = 11 WHERE k = 'a'")
        assert run("SELECT k FROM main.exact.q WHERE v BETWEEN 11 AND 11") == [["a"]]
