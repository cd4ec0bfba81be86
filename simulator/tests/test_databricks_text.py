"""The reading and rewriting of SQL text, without a server."""

import pytest
import test_databricks_support  # noqa: F401  puts the repository on the path

from simulator.databricks.engine import read_job
from simulator.databricks.errors import SqlError
from simulator.databricks.settings import Settings
from simulator.databricks.sql_rewrite import Rewriter
from simulator.databricks.sql_text import literal_value, tokenize
from simulator.databricks.unity import Unity


@pytest.fixture
def unity(tmp_path):
    return Unity(Settings(), tmp_path)


def rewrite(unity, text, **types):
    job = read_job(unity, "1", text, [{"name": n, "type": t, "value": "1"} for n, t in types.items()])
    rewriter = Rewriter(text, unity)
    for tokens, uses in job.statements:
        rewriter.names(tokens, uses)
        rewriter.statement(tokens, uses)
    rewriter.parameters(job.tokens, job.types)
    return rewriter.result(), [c for _, found in rewriter.constraints for c in found]


def test_tokens():
    text = "SELECT 'it\\'s -- no' , r'\\n', `a``b`, :p, 1.5e3, 10L, x<=>y /* a /* nested */ 'c' */ -- end"
    assert [(t.kind, t.text) for t in tokenize(text)] == [
        ("word", "SELECT"),
        ("string", "'it\\'s -- no'"),
        ("op", ","),
        ("raw", "r'\\n'"),
        ("op", ","),
        ("quoted", "`a``b`"),
        ("op", ","),
        ("parameter", ":p"),
        ("op", ","),
        ("number", "1.5e3"),
        ("op", ","),
        ("number", "10L"),
        ("op", ","),
        ("word", "x"),
        ("op", "<=>"),
        ("word", "y"),
    ]
    assert literal_value(tokenize("'a\\'b\\\\c\\n\\u0041\\%'")[0]) == "a'b\\c\nA\\%"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("SELECT * FROM main.exact.t", "SELECT * FROM `spark_catalog`.exact.t"),
        ("SELECT * FROM `MAIN`.`exact`.`t`", "SELECT * FROM `spark_catalog`.`exact`.`t`"),
        ("SELECT main.exact.t.a, 'main.exact.t' FROM main.exact.t -- main.exact.t", None),
        (
            "SELECT main.a FROM exact.t AS main WHERE main.b.c = 1",
            "SELECT main.a FROM exact.t AS main WHERE main.b.c = 1",
        ),
        (
            "CREATE SCHEMA IF NOT EXISTS main.exact COMMENT 'main'",
            "CREATE SCHEMA IF NOT EXISTS `spark_catalog`.exact COMMENT 'main'",
        ),
        ("SHOW TABLES IN main.exact", "SHOW TABLES IN `spark_catalog`.exact"),
        ("SHOW SCHEMAS IN main", "SHOW SCHEMAS IN `spark_catalog`"),
        ("DESCRIBE HISTORY main.exact.t LIMIT 1", "DESCRIBE HISTORY `spark_catalog`.exact.t LIMIT 1"),
        (
            "DELETE FROM main.exact.t WHERE a IN (SELECT b FROM main.exact.u)",
            "DELETE FROM `spark_catalog`.exact.t WHERE a IN (SELECT b FROM `spark_catalog`.exact.u)",
        ),
        (
            "SELECT * FROM table_changes('`main`.`exact`.`t`', 1)",
            "SELECT * FROM table_changes('spark_catalog.`exact`.`t`', 1)",
        ),
        ("CREATE TABLE main.s.t (a INT) CLUSTER BY AUTO", "CREATE TABLE `spark_catalog`.s.t (a INT) "),
        ("COMMENT ON COLUMN main.s.t.a IS 'x'", "ALTER TABLE `spark_catalog`.`s`.`t` ALTER COLUMN `a` COMMENT 'x'"),
        (
            "BEGIN DELETE FROM main.s.t; SELECT count(*) FROM main.s.t; END",
            "BEGIN DELETE FROM `spark_catalog`.s.t; SELECT count(*) FROM `spark_catalog`.s.t; END",
        ),
        (
            "CREATE TABLE main.s.t (a INT) TBLPROPERTIES ('x'='y', 'delta.tuneFileSizesForRewrites'='true')",
            "CREATE TABLE `spark_catalog`.s.t (a INT) TBLPROPERTIES ('x'='y')",
        ),
    ],
)
def test_catalog(unity, text, expected):
    if expected is None:
        expected = "SELECT `spark_catalog`.exact.t.a, 'main.exact.t' FROM `spark_catalog`.exact.t -- main.exact.t"
    assert rewrite(unity, text)[0] == expected


def test_typed_parameters(unity):
    text = "SELECT :a, ':a', :b, :ab FROM t LIMIT :a"
    assert (
        rewrite(unity, text, a="INT", b="STRING")[0]
        == "SELECT CAST(:a AS INT), ':a', :b, :ab FROM t LIMIT CAST(:a AS INT)"
    )


@pytest.mark.parametrize(
    "columns, left, keys",
    [
        (
            "a INT NOT NULL, b INT, CONSTRAINT pk PRIMARY KEY (a, b)",
            "a INT NOT NULL, b INT",
            [("pk", "PRIMARY_KEY", ["a", "b"])],
        ),
        (
            "a INT NOT NULL PRIMARY KEY RELY COMMENT 'k', b INT",
            "a INT NOT NULL  COMMENT 'k', b INT",
            [(None, "PRIMARY_KEY", ["a"])],
        ),
        ("PRIMARY KEY (`a`), a INT NOT NULL", " a INT NOT NULL", [(None, "PRIMARY_KEY", ["a"])]),
        ("a INT, d DECIMAL(10,2)", "a INT, d DECIMAL(10,2)", []),
    ],
)
def test_keys_in_create_table(unity, columns, left, keys):
    text, found = rewrite(unity, f"CREATE TABLE main.s.t ({columns}) USING DELTA")
    assert text == f"CREATE TABLE `spark_catalog`.s.t ({left}) USING DELTA"
    assert found == keys


def test_volume_paths(unity):
    text, _ = rewrite(
        unity, "SELECT value FROM text.`/Volumes/Main/Exact/inbox/A b/x.gz` WHERE value <> '/Volumes/main'"
    )
    assert f"text.`{unity.volume_root}/main/exact/inbox/A b/x.gz`" in text
    assert text.endswith("'/Volumes/main'")
    assert unity.public_text(f"file:{unity.volume_root}/main/x") == "dbfs:/Volumes/main/x"


@pytest.mark.parametrize(
    "text", ["SELECT * FROM other.exact.t", "MERGE INTO other.s.t USING x ON true WHEN MATCHED THEN DELETE"]
)
def test_unknown_catalog(unity, text):
    from simulator.databricks.engine import execute

    class NoEngine:
        def schemas(self):
            return ["default"]

        def execute(self, job):
            raise AssertionError("must not be executed")

    with pytest.raises(SqlError, match=r"NO_SUCH_CATALOG_EXCEPTION.*'other'.*42704"):
        execute(read_job(unity, "1", text), NoEngine(), unity)


def test_targets(unity):
    def targets(text):
        return [".".join(t) for t in read_job(unity, "1", text, schema="S").targets]

    assert targets("MERGE WITH SCHEMA EVOLUTION INTO T USING u ON true WHEN MATCHED THEN UPDATE SET a = 1") == [
        "main.s.t"
    ]
    assert targets("WITH q AS (SELECT 1) INSERT INTO x.t SELECT * FROM q") == ["main.x.t"]
    assert targets("BEGIN INSERT INTO a SELECT 1; UPDATE b SET x = 1; SELECT 1; END") == ["main.s.a", "main.s.b"]
    assert targets("SELECT * FROM t") == []
