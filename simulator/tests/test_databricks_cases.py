"""The list that both engines of the Databricks simulator are asked: values, file names, DDL, statements, grants.

`ask_everything(runner)` asks everything in order; each answer is one case. Where the engines must differ, EXPLAINED
says why.
"""

import gzip
import json
import re
from datetime import UTC, datetime, timedelta

from dimension_cases import DIMENSION

SCHEMA = "main.exact"

# Texts that each type is asked to take, by try_cast and, one by one, by CAST.
TEXTS = {
    "BIGINT": [
        "1",
        " 1 ",
        "+1",
        "-1",
        "1.0",
        "12.0",
        "1.5",
        "1e3",
        "",
        " ",
        "1_000",
        "９",
        "١",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "0x10",
        "1L",
        "--1",
        "+-1",
        "\t7\n",
        "1 2",
        "NaN",
        "00012",
        "-0",
        "\u00a01",
        "1.",
    ],
    "INT": ["2147483647", "2147483648", "-2147483648", "-2147483649", "1.", ".5", "x17", "12,5", "1e1"],
    "SMALLINT": ["32767", "32768"],
    "TINYINT": ["127", "128"],
    "DECIMAL(28,4)": [
        "1.005",
        "1.00005",
        "-1.00005",
        "1e3",
        " 1.5 ",
        "1,5",
        "",
        "NaN",
        "Infinity",
        ".5",
        "5.",
        "+.5",
        "999999999999999999999999.9999",
        "999999999999999999999999.99995",
        "1" * 25,
        "1e24",
        "1e23",
        "1e-10",
        "-0",
        "0x1",
        "1.5f",
        "1.5d",
        "１.５",
        "1e400",
        "1e-400",
        "123456789012345678901234567890123456789.1",
        "1__0",
    ],
    "DECIMAL(10,2)": ["12345678.995", "99999999.99", "99999999.995", "100000000"],
    "DOUBLE": [
        "1e400",
        "-1e400",
        "1.5",
        "1e-400",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "inf",
        "+inf",
        "-inf",
        "infinity",
        "",
        "1.5d",
        "1.5f",
        "0x1p3",
        "1,5",
        " 2 ",
        "1e7",
        "1e-3",
        "123456789.125",
        "0.00001",
        "-0",
        "９",
        "1e",
        ".",
    ],
    "FLOAT": ["1.1", "16777217"],
    "BOOLEAN": [
        "true",
        "TRUE",
        "t",
        "T",
        "yes",
        "y",
        "1",
        "false",
        "f",
        "no",
        "n",
        "0",
        "on",
        "off",
        "",
        " true ",
        "2",
        "tru",
    ],
    "DATE": [
        "2026-03-04",
        "2026-3-4",
        "2026-03",
        "2026",
        "2026-03-04T05:06:07Z",
        "2026-03-04 05:06",
        "2026-03-04T",
        "2026-03-04x",
        " 2026-03-04 ",
        "2026-02-30",
        "12026-03-04",
        "0001-01-01",
        "9999-12-31",
        "1582-10-10",
        "-2026-03-04",
        "+2026-03-04",
        "20260304",
        "2026/03/04",
        "",
        "now",
        "epoch",
        "2026-03-04 foo",
        "２０２６-03-04",
        "026-03-04",
        "1-1-1",
        "0000-01-01",
        "2026-13-01",
        "2026-00-01",
        "10000-01-01",
    ],
    "TIMESTAMP": [
        "2026-03-04T05:06:07Z",
        "2026-3-4 05:06:07",
        "2026-03-04",
        "2026-03",
        "2026",
        "2026-03-04T05:06:07.1234567Z",
        "2026-03-04T05:06:07.999999999Z",
        "2026-03-04 5:6:7",
        "2026-03-04T05:06:07+02:00",
        "2026-03-04T05:06:07+2",
        "2026-03-04T05:06:07+0200",
        "2026-03-04T05:06:07 Europe/Amsterdam",
        "2026-03-04T05:06:07UTC",
        "2026-03-04T05:06:07GMT+1",
        "2026-03-04T05:06",
        "2026-03-04T05",
        "2026-03-04T24:00:00",
        "2026-02-30T00:00:00",
        " 2026-03-04T05:06:07 ",
        "",
        "12026-03-04T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999Z",
        "1969-12-31T23:59:59.5Z",
        "2026-03-04T05:06:07.Z",
        "2026-03-04t05:06:07z",
        "20260304T050607",
        "T05:06:07Z",
        "05:06:07",
        "2026-03-04T05:06:60Z",
        "2026-03-04T05:06:07.5-08:00",
        "2026-03-04T05:06:07 +01:00",
        "2026-03-04T05:06:07z",
        "2026-03-29T02:30:00",
        "yesterday",
    ],
    "TIMESTAMP_NTZ": [
        "2026-03-04T05:06:07",
        "2026-03-04T05:06:07Z",
        "2026-03-04T05:06:07+05:00",
        "2026-03-04",
        "2026-3-4 5:6:7",
        "2026-03-04T05:06:07.1234567",
        "",
        "2026",
        "x",
        "9999-12-31T23:59:59.999999",
        "05:06:07",
        "2026-03-04T05:06:07 Europe/Amsterdam",
        "yesterday",
        "epoch",
    ],
    "STRING": ["", " ", "x"],
}

# What from_json makes of a text; FAILFAST and without.
JSON = [
    '[{"a":"x"}]',
    '[{"a":1.10}]',
    '[{"a":1e2}]',
    '[{"a":12345678901234567890123456789012345678.9}]',
    '[{"a":9223372036854775807}]',
    '[{"a":{"b":1.10,"c":[1,2]}}]',
    '[{"a":[1.0,"x",null,true]}]',
    '[{"a":true}]',
    '[{"a":null}]',
    "[{}]",
    '[{"A":"x"}]',
    '[{"a":"x","a":"y"}]',
    '[{"a":"x"}',
    '[{"a":"x"}] rest',
    "",
    " ",
    '{"a":"x"}',
    "null",
    "[]",
    '[{"a":"x\ty"}]',
    '[{"a":"\\u0000"}]',
    '[{"a":"\\ud83d"}]',
    '[{"a":"\\ud83d\\ude00"}]',
    '[{"a":"${env:EXACT_TEST_VALUE}"}]',
    "[1]",
    '"x"',
    '[{"a":"\\u00e9"}]',
    '[{"a":01}]',
    "[{'a':'x'}]",
    '[{"a":NaN}]',
    '[{"a":-0}]',
    '[{"a":1.0}]',
    '[{"a":0.00001}]',
    '[{"a":12345678.5}]',
    "[null]",
    '\ufeff[{"a":"x"}]',
    '[{"a":"x"},{"a":"y"}]',
    '[{"a":"\ud83d"}]',
]

FILES = [
    "a.jsonl",
    "_a.jsonl",
    ".a.jsonl",
    "a b.jsonl",
    "_metadata_x",
    "_a=b",
    "a._COPYING_",
    "sub/a.jsonl",
    "_sub/a.jsonl",
    ".sub/a.jsonl",
    "é.jsonl",
    "a%b.jsonl",
    "a.jsonl.gz",
    "_a.jsonl.gz",
    "a'b.jsonl",
    "a{b.jsonl",
]
BODIES = {
    "crlf": b"x\r\ny\r\n",
    "no_end": b"x\ny",
    "blank": b"x\n\ny\n",
    "empty": b"",
    "u2028": "x\u2028y\n".encode(),
    "bom": b"\xef\xbb\xbfx\n",
    "bad_utf8": b"\xff\xfe\n",
    "cut.gz": gzip.compress(b'{"a":1}\n' * 2000)[:60],
    "cr": b"x\ry\n",
    "nul": b"a\x00b\n",
    "no_gzip.gz": b"x\n",
    "whole.gz": gzip.compress(b"x\ny\n"),
}

DDL = [
    # names
    "CREATE TABLE {s}.ok_1 (a INT)",
    "CREATE TABLE {s}.`no-hyphen` (a INT)",
    "CREATE TABLE {s}.`no blank` (a INT)",
    "CREATE TABLE {s}.`no.dot` (a INT)",
    "CREATE TABLE {s}.`é` (a INT)",
    "CREATE TABLE {s}.`1a` (a INT)",
    "CREATE TABLE {s}.Mixed (Id INT)",
    "CREATE TABLE {s}.mixed (a INT)",
    "CREATE TABLE IF NOT EXISTS {s}.MIXED (other STRING)",
    "DESCRIBE TABLE {s}.mixed",
    "CREATE TABLE {s}.ok_1 (a INT)",
    "CREATE TABLE IF NOT EXISTS {s}.ok_1 (b INT)",
    "CREATE TABLE main.nowhere.t (a INT)",
    "CREATE TABLE other.exact.t (a INT)",
    "SELECT * FROM {s}.`no-hyphen`",
    # columns
    "CREATE TABLE {s}.c1 (`a b` INT)",
    "CREATE TABLE {s}.c2 (`a;b` INT)",
    "CREATE TABLE {s}.c3 (`a,b` INT)",
    "CREATE TABLE {s}.c4 (`a=b` INT)",
    "CREATE TABLE {s}.c5 (`a{b` INT)",
    "CREATE TABLE {s}.c6 (`a(b` INT)",
    "CREATE TABLE {s}.c7 (`a\tb` INT)",
    "CREATE TABLE {s}.c8 (`a-b` INT)",
    "CREATE TABLE {s}.c9 (`a.b` INT)",
    "CREATE TABLE {s}.c10 (`é` INT)",
    "CREATE TABLE {s}.c11 (`a b` INT) TBLPROPERTIES ('delta.columnMapping.mode'='name')",
    "CREATE TABLE {s}.c12 (a INT, A STRING)",
    "CREATE TABLE {s}.c13 (a NOTATYPE)",
    "CREATE TABLE {s}.c14 (a DECIMAL(39,0))",
    "CREATE TABLE {s}.c15 (a DECIMAL(10,11))",
    "CREATE TABLE {s}.c16 (a DECIMAL)",
    "CREATE TABLE {s}.c17 (a VARCHAR(3))",
    "DESCRIBE TABLE {s}.c16",
    "DESCRIBE TABLE {s}.c17",
    "CREATE TABLE {s}.c18 (a INTEGER, b LONG, c SHORT, d BYTE, e REAL, f NUMERIC(4,1), g DEC(3))",
    "DESCRIBE TABLE {s}.c18",
    "CREATE TABLE {s}.c19 (a INT NOT NULL COMMENT 'it\\'s', b STRING COMMENT \"two\")",
    "DESCRIBE TABLE {s}.c19",
    "CREATE TABLE {s}.c20 (a INT COMMENT 'it''s')",
    "CREATE TABLE {s}.c21 (a VOID)",
    "CREATE TABLE {s}.c22 ()",
    "ALTER TABLE {s}.c11 ADD COLUMNS (`c;d` INT)",
    "ALTER TABLE {s}.c8 ADD COLUMNS (`c d` INT)",
    # CLUSTER BY
    "CREATE TABLE {s}.k1 (a INT, b INT, c INT, d INT, e INT) CLUSTER BY (a, b, c, d)",
    "CREATE TABLE {s}.k2 (a INT, b INT, c INT, d INT, e INT) CLUSTER BY (a, b, c, d, e)",
    "CREATE TABLE {s}.k3 (a INT) CLUSTER BY (x)",
    "CREATE TABLE {s}.k4 (a INT) CLUSTER BY (a, a)",
    "CREATE TABLE {s}.k5 (a BOOLEAN, b STRING) CLUSTER BY (a)",
    "ALTER TABLE {s}.k1 CLUSTER BY (a, b, c, d, e)",
    "ALTER TABLE {s}.k1 CLUSTER BY (x)",
    "ALTER TABLE {s}.k1 CLUSTER BY NONE",
    "ALTER TABLE {s}.k1 CLUSTER BY (b)",
    # properties
    "CREATE TABLE {s}.p1 (a INT) TBLPROPERTIES ('delta.unheard'='1')",
    "CREATE TABLE {s}.p2 (a INT) TBLPROPERTIES ('exact.entity'='P', 'other'='2')",
    "CREATE TABLE {s}.p3 (a INT) TBLPROPERTIES ('delta.enableDeletionVectors'='perhaps')",
    "CREATE TABLE {s}.p4 (a INT) TBLPROPERTIES ('delta.enableDeletionVectors'='true')",
    "CREATE TABLE {s}.p5 (a INT) TBLPROPERTIES ('delta.isolationLevel'='Serializable')",
    "CREATE TABLE {s}.p6 (a INT) TBLPROPERTIES ('delta.isolationLevel'='Sloppy')",
    "CREATE TABLE {s}.p7 (a INT) TBLPROPERTIES ('delta.ENABLEchangeDataFeed'='true')",
    "CREATE TABLE {s}.p8 (a INT) TBLPROPERTIES ('delta.feature.timestampNtz'='supported')",
    "CREATE TABLE {s}.p9 (a INT) TBLPROPERTIES ('delta.feature.unheard'='supported')",
    "ALTER TABLE {s}.ok_1 SET TBLPROPERTIES ('delta.unheard'='1')",
    "ALTER TABLE {s}.ok_1 SET TBLPROPERTIES ('delta.feature.timestampNtz'='enabled')",
    "ALTER TABLE {s}.ok_1 SET TBLPROPERTIES ('exact.mark'='1')",
    "SHOW TBLPROPERTIES {s}.ok_1 ('exact.mark')",
    "SHOW TBLPROPERTIES {s}.ok_1 ('exact.none')",
    "ALTER TABLE {s}.ok_1 UNSET TBLPROPERTIES ('exact.mark')",
    "ALTER TABLE {s}.ok_1 UNSET TBLPROPERTIES ('exact.none')",
    "ALTER TABLE {s}.ok_1 UNSET TBLPROPERTIES IF EXISTS ('exact.none')",
    "CREATE TABLE {s}.p10 (a INT) TBLPROPERTIES ('delta.autoOptimize.autoCompact'='true', "
    "'delta.logRetentionDuration'='interval 30 days')",
    "CREATE TABLE {s}.p11 (a INT) TBLPROPERTIES ('delta.logRetentionDuration'='soon')",
    "CREATE TABLE {s}.p12 (a INT) TBLPROPERTIES ('delta.appendOnly'='maybe')",
    # append only
    "CREATE TABLE {s}.ao (a INT, b STRING) TBLPROPERTIES ('delta.appendOnly'='true')",
    "INSERT INTO {s}.ao VALUES (1, 'x')",
    "UPDATE {s}.ao SET b = 'y'",
    "DELETE FROM {s}.ao WHERE a = 1",
    "MERGE INTO {s}.ao t USING (SELECT 1 AS a) s ON t.a = s.a WHEN MATCHED THEN UPDATE SET b = 'z'",
    "MERGE INTO {s}.ao t USING (SELECT 1 AS a) s ON t.a = s.a WHEN MATCHED THEN DELETE",
    "MERGE INTO {s}.ao t USING (SELECT 2 AS a) s ON t.a = s.a WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
    "SELECT a, b FROM {s}.ao ORDER BY a",
    "DELETE FROM {s}.ao WHERE a = 99",
    "UPDATE {s}.ao SET b = 'q' WHERE a = 99",
    # ADD COLUMNS
    "CREATE TABLE {s}.n1 (a INT)",
    "ALTER TABLE {s}.n1 ADD COLUMNS (x TIMESTAMP_NTZ)",
    "ALTER TABLE {s}.n1 SET TBLPROPERTIES ('delta.feature.timestampNtz'='supported')",
    "ALTER TABLE {s}.n1 ADD COLUMNS (x TIMESTAMP_NTZ)",
    "CREATE TABLE {s}.n2 (a INT, t TIMESTAMP_NTZ)",
    "ALTER TABLE {s}.n2 ADD COLUMNS (x TIMESTAMP_NTZ)",
    "CREATE TABLE {s}.n3 (a INT) TBLPROPERTIES ('delta.feature.timestampNtz'='supported')",
    "ALTER TABLE {s}.n3 ADD COLUMNS (x TIMESTAMP_NTZ)",
    "ALTER TABLE {s}.n1 ADD COLUMNS (A INT)",
    "ALTER TABLE {s}.n1 ADD COLUMNS (b INT, b INT)",
    "ALTER TABLE {s}.n1 ADD COLUMNS (c INT NOT NULL)",
    "ALTER TABLE {s}.n1 ADD COLUMNS (d NOTATYPE)",
    "ALTER TABLE {s}.none ADD COLUMNS (d INT)",
    "ALTER TABLE {s}.n1 ADD COLUMN IF NOT EXISTS (e INT)",
    "ALTER TABLE {s}.n1 ADD COLUMNS (e INT COMMENT 'x', f DECIMAL(28,6))",
    "ALTER TABLE {s}.n1 ALTER COLUMN e COMMENT 'y'",
    "ALTER TABLE {s}.n1 ALTER COLUMN none COMMENT 'y'",
    "ALTER TABLE {s}.n1 ALTER COLUMN E COMMENT 'z'",
    "DESCRIBE TABLE {s}.n1",
    "ALTER TABLE {s}.n1 DROP COLUMN e",
    "ALTER TABLE {s}.n1 RENAME COLUMN e TO g",
    "ALTER TABLE {s}.n1 ALTER COLUMN f TYPE DECIMAL(30,6)",
    "ALTER TABLE {s}.n1 ALTER COLUMN e SET NOT NULL",
    "ALTER TABLE {s}.n1 ALTER COLUMN none SET NOT NULL",
    "COMMENT ON TABLE {s}.n1 IS 'it\\'s'",
    "COMMENT ON TABLE {s}.none IS 'x'",
    # CHECK
    "CREATE TABLE {s}.ck (a INT, b STRING)",
    "ALTER TABLE {s}.ck ADD CONSTRAINT pos CHECK (a > 0)",
    "INSERT INTO {s}.ck VALUES (1, 'x')",
    "INSERT INTO {s}.ck VALUES (-1, 'x')",
    "INSERT INTO {s}.ck VALUES (NULL, 'x')",
    "ALTER TABLE {s}.ck ADD CONSTRAINT pos CHECK (a > 1)",
    "UPDATE {s}.ck SET a = -5",
    "ALTER TABLE {s}.ck ADD CONSTRAINT big CHECK (a > 100)",
    "ALTER TABLE {s}.ck DROP CONSTRAINT pos",
    "ALTER TABLE {s}.ck DROP CONSTRAINT pos",
    "ALTER TABLE {s}.ck DROP CONSTRAINT IF EXISTS pos",
    "UPDATE {s}.ck SET a = -5",
    "SELECT a FROM {s}.ck ORDER BY a",
    # schemas and drops
    "CREATE SCHEMA {s}",
    "CREATE SCHEMA IF NOT EXISTS {s}",
    "DROP SCHEMA main.nowhere",
    "DROP SCHEMA IF EXISTS main.nowhere",
    "DROP TABLE {s}.none",
    "DROP TABLE IF EXISTS {s}.none",
    "DROP VIEW IF EXISTS {s}.none",
    "DROP VIEW {s}.ok_1",
    "CREATE VIEW {s}.v1 AS SELECT a FROM {s}.ok_1",
    "DROP TABLE {s}.v1",
    "INSERT INTO {s}.v1 VALUES (1)",
    "ALTER TABLE {s}.v1 ADD COLUMNS (b INT)",
    "CREATE OR REPLACE VIEW {s}.v1 AS SELECT a AS b FROM {s}.ok_1",
    "SELECT b FROM {s}.v1",
    "CREATE OR REPLACE VIEW {s}.ok_1 AS SELECT 1 AS a",
    "CREATE OR REPLACE TABLE {s}.ok_1 (z STRING)",
    "DESCRIBE TABLE {s}.ok_1",
    "DROP VIEW {s}.v1",
]

STATEMENTS = [
    # what the read-back of dimensions asks
    "SELECT sha2(concat_ws('\\u001f', coalesce(CAST(NULL AS STRING), '\\u0000'), 'é', CAST(1.50 AS STRING)), 256)",
    "SELECT sha2('a', 0), sha2('a', 512), sha2(NULL, 256), sha2('', 224)",
    "SELECT concat_ws('-', 'a', NULL, 'b'), concat_ws(NULL, 'a'), concat_ws('-')",
    "SELECT startswith('v1:x', 'v1:'), startswith('v1', NULL), startswith('V1', 'v1')",
    "SELECT substr('abcdef', 2, 3), substr('abcdef', 0, 2), substr('abcdef', -2, 5), substr('ab', 5, 1), "
    "substr(NULL, 1, 1)",
    "SELECT to_json(named_struct('a', 'x\"y', 'B', CAST(NULL AS STRING)), map('ignoreNullFields', 'false'))",
    "SELECT to_json(named_struct('a', 'é/\\n', 'b', CAST(NULL AS STRING)))",
    "SELECT replace('abab', 'a', '?'), replace('ab', '', 'x'), replace('ab', NULL, 'x'), replace('a\\u0000', "
    "'\\u0000', '?')",
    "SELECT 1 AS n LIMIT 1 OFFSET 0",
    "SELECT 1 AS n LIMIT 1 OFFSET 1",
    "SELECT 1",
    "SELECT 1;",
    "SELECT 1; SELECT 2",
    "SELEC 1",
    "/* x */ SELECT 1 AS n -- end",
    "SELECT",
    "",
    " ",
    ";",
    "SELECT 'it''s' AS a",
    "SELECT 'it\\'s' AS a, \"d\" AS b, 'a\\\\b' AS c, r'a\\b' AS d, 'a\\nb' AS e, '\\%' AS f, '\\u0041' AS g",
    "SELECT 1 AS a, 'x' AS b, 1.5 AS c, 1.5e0 AS d, true AS e, NULL AS f, 2147483648 AS g, 1L AS h, -1 AS i",
    "SELECT 1 + 2 * 3, 7 - 2, 2 * 3.5, 1 + 1L",
    "SELECT 1 = '1', 'a' = 'A', NULL = NULL, NULL <=> NULL",
    "SELECT '${unheard}' AS a",
    "SELECT '${spark.sql.session.timeZone}' AS a",
    "SELECT '$ {x} ${' AS a",
    "SELECT '${env:EXACT_TEST_VALUE}' AS a, '${x:y}' AS b, '${}' AS c, '${a b}' AS d, '$${x}' AS e, '${spark:x}' AS f",
    "SELECT :x AS a",
    "SELECT nothing",
    "SELECT a.b.c.d",
    "SELECT soundex2('a')",
    "SELECT upper('ae'), lower('AE'), trim(' x '), length('é'), concat('a', NULL), concat('a', 'b'), coalesce(NULL, "
    "1), 'a' || 'b'",
    "SELECT CASE WHEN 1 > 2 THEN 'a' WHEN NULL THEN 'b' ELSE 'c' END AS w",
    "SELECT greatest(1, NULL, 3), least(2, 1), 3 BETWEEN 1 AND 5, 3 IN (1, NULL), 3 NOT IN (1, 2), NULL IS NULL",
    "SELECT raise_error('exact: x')",
    "SELECT assert_true(1 = 2, 'exact: fenced')",
    "SELECT assert_true(1 = 1)",
    "SELECT assert_true(NULL, 'exact: null')",
    "SELECT CAST('x' AS INT)",
    "SELECT CAST(300 AS TINYINT)",
    "SELECT CAST(NULL AS INT), try_cast('x' AS INT)",
    "SELECT CAST(1.005 AS DECIMAL(4,2)), CAST(-1.005 AS DECIMAL(4,2)), CAST(12345 AS DECIMAL(4,2))",
    "SELECT CAST(1 AS STRING), CAST(1.50 AS STRING), CAST(true AS STRING), CAST(DATE'2026-01-02' AS STRING), "
    "CAST(TIMESTAMP'2026-01-02 03:04:05' AS STRING), CAST(1e10 AS STRING), CAST(1.5D AS STRING), CAST(1e-5D AS "
    "STRING), CAST(123456789D AS STRING)",
    "SELECT TIMESTAMP'2026-01-02 03:04:05.6' AS ts, DATE'2026-01-02' AS d",
    "SELECT CAST(TIMESTAMP'2026-01-02 23:04:05' AS DATE), CAST(DATE'2026-01-02' AS TIMESTAMP)",
    "SELECT DATE'2026-02-30'",
    "SELECT TIMESTAMP'no'",
    "SELECT 2147483647 + 1",
    "SELECT 2147483647 + 1L AS a",
    "SELECT sum(a) AS x, max(a) AS m FROM (SELECT 1.5 AS a) AS q",
    "SELECT -3000000000 AS a, 1e3 AS b, 1.5F AS c, 1.5BD AS d, 5S AS e, 100Y AS f",
    "SELECT CAST('2026-01-02' AS DATE) = '2026-01-02'",
    "CREATE TABLE {s}.q (k STRING, g INT, v BIGINT, d DECIMAL(10,2))",
    "INSERT INTO {s}.q VALUES ('a', 1, 10, 1.5), ('b', 1, 20, NULL), ('c', 2, NULL, 2.25), (NULL, 2, 5, 0)",
    "SELECT g, count(*), max(v), min(k), sum(v) FROM {s}.q GROUP BY g ORDER BY g",
    "SELECT k FROM {s}.q WHERE v BETWEEN 10 AND 20 ORDER BY v DESC",
    "SELECT count(DISTINCT g), sum(v), count(v), max(d) FROM {s}.q",
    "SELECT k FROM {s}.q ORDER BY k",
    "SELECT k FROM {s}.q ORDER BY k DESC LIMIT 2",
    "SELECT a.k, b.v FROM {s}.q a LEFT JOIN {s}.q b ON a.k = b.k AND b.v > 10 WHERE a.g = 1 ORDER BY a.k",
    "SELECT q.k FROM {s}.q AS q LEFT ANTI JOIN (SELECT 'a' AS k) AS s ON q.k = s.k WHERE q.k IS NOT NULL ORDER BY q.k",
    "SELECT k, row_number() OVER (PARTITION BY g ORDER BY v DESC) AS n FROM {s}.q ORDER BY g, n",
    "SELECT (SELECT max(v) FROM {s}.q) AS m",
    "SELECT (SELECT v FROM {s}.q) AS m",
    "SELECT * FROM {s}.q WHERE v > 99",
    "SELECT q.nothing FROM {s}.q",
    "SELECT k FROM {s}.q a JOIN {s}.q b ON a.k = b.k",
    "SELECT main.exact.q.k FROM main.exact.q ORDER BY k",
    "SELECT * FROM {s}.absent",
    "SELECT * FROM other.exact.q",
    "SELECT * FROM main.nowhere.q",
    "SELECT count(*) FROM {s}.q WHERE k = 1",
    "SELECT sum(k) FROM {s}.q",
    "INSERT INTO {s}.q VALUES ('z')",
    "INSERT INTO {s}.q VALUES ('z', 1, 2, 3, 4)",
    "INSERT INTO {s}.q (k, nothing) VALUES ('z', 1)",
    "INSERT INTO {s}.q (k, k) VALUES ('z', 'z')",
    "INSERT INTO {s}.q (k) VALUES ('only')",
    "INSERT INTO {s}.q VALUES ('x', 'no', 1, 1)",
    "INSERT INTO {s}.q VALUES ('x', '7', 1, 1)",
    "INSERT INTO {s}.q VALUES ('x', 3000000000, 1, 1)",
    "INSERT INTO {s}.q VALUES ('x', 1.5, 1, 1)",
    "INSERT INTO {s}.q VALUES ('x', 1, 1, 123456789012)",
    "INSERT INTO {s}.q SELECT k, g, v, d FROM {s}.q WHERE k = 'a'",
    "UPDATE {s}.q SET v = 11 WHERE k = 'a'",
    "UPDATE {s}.q SET nothing = 1",
    "UPDATE {s}.q SET v = 'x' WHERE k = 'a'",
    "UPDATE {s}.q SET v = v + 1 WHERE k = 'none'",
    "DELETE FROM {s}.q WHERE k = 'only'",
    "DELETE FROM {s}.q WHERE nothing = 1",
    "SELECT k, v FROM {s}.q ORDER BY k, v",
    "UPDATE {s}.q SET g = 3000000000 WHERE k = 'a'",
    "UPDATE {s}.q SET d = 123456789012",
    "CREATE TABLE {s}.m (k STRING NOT NULL, v INT, n BIGINT)",
    "INSERT INTO {s}.m VALUES (NULL, 1, 1)",
    "MERGE INTO {s}.m t USING (SELECT 'a' AS k, 1 AS v) s ON t.k = s.k WHEN NOT MATCHED THEN INSERT (k, v) VALUES "
    "(s.k, s.v)",
    "MERGE INTO {s}.m t USING (SELECT 'a' AS k, 2 AS v) s ON t.k = s.k WHEN MATCHED AND s.v > t.v THEN UPDATE SET v "
    "= s.v WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)",
    "MERGE INTO {s}.m t USING (SELECT 'a' AS k, 2 AS v) s ON t.k = s.k WHEN MATCHED AND s.v > t.v THEN UPDATE SET v "
    "= s.v",
    'MERGE INTO {s}.m t USING (SELECT explode(from_json(\'[{"k":"a"},{"k":"a"}]\', \'ARRAY<STRUCT<k: STRING>>\')) AS '
    'r) s ON t.k = s.r.k WHEN MATCHED THEN UPDATE SET v = 9',
    'MERGE INTO {s}.m t USING (SELECT explode(from_json(\'[{"k":"n"},{"k":"n"}]\', \'ARRAY<STRUCT<k: STRING>>\')) AS '
    'r) s ON t.k = s.r.k WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.r.k, 5)',
    "MERGE INTO {s}.m t USING (SELECT 'a' AS k) s ON t.k = s.k WHEN MATCHED THEN UPDATE SET nothing = 1",
    "MERGE INTO {s}.m t USING (SELECT 'a' AS k) s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.nothing",
    "MERGE INTO {s}.m t USING (SELECT 'b' AS k) s ON t.k = s.k WHEN NOT MATCHED THEN INSERT (v) VALUES (1)",
    "MERGE INTO {s}.m t USING (SELECT 'b' AS k) s ON t.k = s.k WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, 'x')",
    "MERGE INTO {s}.m t USING (SELECT 'zz' AS k) s ON t.k = s.k WHEN MATCHED THEN DELETE",
    "MERGE INTO {s}.absent t USING (SELECT 'zz' AS k) s ON t.k = s.k WHEN MATCHED THEN DELETE",
    "MERGE INTO {s}.m t USING (SELECT 'a' AS k) s ON t.k = s.k WHEN NOT MATCHED BY SOURCE AND t.k = 'n' THEN DELETE",
    "SELECT k, v FROM {s}.m ORDER BY k",
    "SHOW TABLES IN main.nowhere",
    "DESCRIBE TABLE {s}.absent",
    "SHOW TBLPROPERTIES {s}.absent",
    "SET TIMEZONE = 'UTC'",
    "SET spark.sql.ansi.enabled = false",
    "USE main.exact",
    "USE main.nowhere",
    "SHOW CATALOGS",
    "TRUNCATE TABLE {s}.m",
    "SELECT count(*) FROM {s}.m",
    "CREATE VOLUME {s}.vol",
    "CREATE VOLUME {s}.vol",
    "CREATE VOLUME IF NOT EXISTS {s}.vol",
    "DROP VOLUME {s}.vol",
    "DROP VOLUME {s}.vol",
    "CREATE VOLUME main.nowhere.vol",
]

# (what the principal lacks, statement)
GRANTS = [
    ("USE CATALOG main", "SELECT * FROM {s}.granted"),
    ("USE SCHEMA main.exact", "SELECT * FROM {s}.granted"),
    ("SELECT main.exact.granted", "SELECT * FROM {s}.granted"),
    ("MODIFY main.exact.granted", "INSERT INTO {s}.granted VALUES (1)"),
    ("MODIFY main.exact.granted", "UPDATE {s}.granted SET a = 1"),
    ("MODIFY main.exact.granted", "DELETE FROM {s}.granted"),
    ("SELECT main.exact.granted", "DELETE FROM {s}.granted"),
    ("MODIFY main.exact.granted", "ALTER TABLE {s}.granted ADD COLUMNS (b INT)"),
    (
        "SELECT main.exact.granted",
        "MERGE INTO {s}.granted t USING (SELECT 1 AS a) s ON t.a = s.a WHEN NOT MATCHED THEN INSERT (a) VALUES (s.a)",
    ),
    ("CREATE TABLE main.exact", "CREATE TABLE {s}.fresh (a INT)"),
    ("CREATE TABLE main.exact", "CREATE VIEW {s}.fresh AS SELECT 1 AS a"),
    ("MANAGE main.exact.granted", "DROP TABLE {s}.granted"),
    ("", "CREATE SCHEMA IF NOT EXISTS {s}"),
    ("", "CREATE SCHEMA main.fresh"),
    ("", "CREATE SCHEMA IF NOT EXISTS main.fresh"),
    ("", "DROP SCHEMA {s}"),
    ("", "CREATE VOLUME {s}.fresh"),
    ("", "SELECT * FROM {s}.granted"),
    ("", "DROP TABLE {s}.owned"),
    ("", "ALTER TABLE {s}.owned ADD COLUMNS (b INT)"),
    ("", "DROP TABLE {s}.granted"),
    ("READ VOLUME main.exact.files", "SELECT * FROM text.`/Volumes/main/exact/files/x`"),
    ("", "GRANT SELECT ON TABLE {s}.owned TO `someone`"),
    ("", "GRANT SELECT ON TABLE {s}.granted TO `someone`"),
    ("", "CREATE CATALOG fresh"),
]

# case -> why the engines differ there
EXPLAINED = {}


class Answer(dict):
    """What of an answer is compared."""


def read(answer):
    """State, columns, rows, class and SQLSTATE of a statement's JSON. The text of an error is the engine's own."""
    status = answer["status"]
    if status["state"] != "SUCCEEDED":
        message = status.get("error", {}).get("message", "")
        found = re.match(r"\s*\[([\w.]+)\]", message)
        return Answer(state=status["state"], error=found and found[1], sql_state=status.get("sql_state"))
    # an expression without a name is called differently by each engine, and by the service
    columns = [
        (c["name"] if re.fullmatch(r"\w+", c["name"]) else "", c["type_text"])
        for c in answer["manifest"]["schema"].get("columns", [])
    ]
    return Answer(state="SUCCEEDED", columns=columns, rows=answer["rows"])


def today():
    return datetime.now(UTC).date()


def on_any_day(answer, day):
    """The answer of that day with words for its date and the date before: Spark was asked on another day."""
    words = {str(day): "(today)", str(day - timedelta(days=1)): "(yesterday)"}
    if "rows" in answer:
        answer["rows"] = [
            [re.sub("|".join(words), lambda found: words[found[0]], cell) if isinstance(cell, str) else cell
             for cell in row]
            for row in answer["rows"]
        ]
    return answer


class Runner:
    """Asks one workspace; `answers` holds (case, Answer) in order."""

    def __init__(self, server):
        self.server, self.answers = server, []

    def ask(self, case, statement, parameters=None, **fields):
        day, answer = today(), self._run(statement, parameters, **fields)
        if today() != day and statement.startswith("SELECT"):  # midnight lay between: on which side was it run?
            day, answer = today(), self._run(statement, parameters, **fields)
        self.answers.append((case, on_any_day(answer, day)))

    def _run(self, statement, parameters=None, **fields):
        answer = self.server.submit(statement, parameters, **fields)
        if answer.status_code != 200:
            return Answer(status=answer.status_code, error=answer.json().get("error_code"))
        done = self.server.until_done(answer.json())
        done["rows"] = self.server.all_rows(done)
        return read(done)


def ask_everything(runner):
    server, s = runner.server, SCHEMA
    for kind, texts in TEXTS.items():
        values = [{"name": f"p{i}", "type": "STRING", "value": text} for i, text in enumerate(texts)]
        runner.ask(
            f"values try_cast {kind}",
            "SELECT " + ", ".join(f"CAST(try_cast(:p{i} AS {kind}) AS STRING) AS c{i}" for i in range(len(texts))),
            values,
        )
        runner.ask(
            f"values cells {kind}",
            "SELECT " + ", ".join(f"try_cast(:p{i} AS {kind}) AS c{i}" for i in range(len(texts))),
            values,
        )
        bad = list(runner.answers[-1][1].get("rows", [[]])[0])
        for i, value in enumerate(bad):
            if value is None:
                runner.ask(f"values CAST {kind} {texts[i]!r}", f"SELECT CAST(:p{i} AS {kind}) AS c", [values[i]])
    for kind in TEXTS:
        runner.ask(
            f"values typed parameter {kind}", "SELECT :p AS c", [{"name": "p", "type": kind, "value": TEXTS[kind][0]}]
        )
        runner.ask(
            f"values bad typed parameter {kind}", "SELECT :p AS c", [{"name": "p", "type": kind, "value": "x y"}]
        )
        runner.ask(f"values null parameter {kind}", "SELECT :p AS c", [{"name": "p", "type": kind}])
    for text in JSON:
        for options in (", map('mode', 'FAILFAST')", ""):
            runner.ask(
                f"values from_json {text!r}{options}",
                f"SELECT r.a AS a FROM (SELECT explode(from_json(:p, 'ARRAY<STRUCT<a: STRING>>'{options})) AS r)",
                [{"name": "p", "value": text}],
            )
    for kind in ("DATE", "TIMESTAMP", "TIMESTAMP_NTZ"):  # as data, not as constants
        runner.ask(
            f"values data {kind}",
            f"SELECT r.a, try_cast(r.a AS {kind}) IS NULL AS refused FROM (SELECT explode(from_json(:p, "
            f"'ARRAY<STRUCT<a: STRING>>')) AS r)",
            [
                {
                    "name": "p",
                    "value": json.dumps(
                        [{"a": text} for text in ("now", "today", "epoch", "2026-3-4", "12026-03-04", "05:06:07")]
                    ),
                }
            ],
        )
    for name in FILES:
        body = b'{"a":1}\n{"a":2}\n'
        path = f"/Volumes/main/exact/files/{name}"
        server.upload(path, gzip.compress(body) if name.endswith(".gz") else body)
        runner.ask(f"files {name}", f"SELECT count(*) AS n FROM text.`{path}`")
    for name, body in BODIES.items():
        path = f"/Volumes/main/exact/files/bodies/{name}"
        server.upload(path, body)
        runner.ask(f"files body {name}", f"SELECT value FROM text.`{path}`")
    for path in (
        "/Volumes/main/exact/files/none",
        "/Volumes/main/exact/none/x",
        "/Volumes/main/exact/files/sub",
        "/Volumes/main/exact/files/bodies/../a.jsonl",
    ):
        runner.ask(f"files {path}", f"SELECT count(*) AS n FROM text.`{path}`")
    for n, text in enumerate(DDL):
        runner.ask(f"ddl {n} {text}", text.replace("{s}", s))
    for n, text in enumerate(STATEMENTS):
        runner.ask(f"statement {n} {text}", text.replace("{s}", s))
    for n, (text, batch) in enumerate(DIMENSION):
        given = batch and [{"name": "batch", "value": json.dumps(batch)}]
        runner.ask(f"dimension {n} {text}", text.replace("{s}", s), given)
    for ansi in (False, True):
        server.config(ansi_mode=ansi)
        for kind, value in (
            ("INT", "x"),
            ("INT", "12.7"),
            ("INT", "3000000000"),
            ("BIGINT", "1e3"),
            ("DECIMAL(10,2)", "x"),
            ("DECIMAL(10,2)", "1e20"),
            ("DATE", "no date"),
            ("TIMESTAMP", "no"),
            ("BOOLEAN", "perhaps"),
            ("DOUBLE", "x"),
            ("TIMESTAMP_NTZ", "x"),
            ("BIGINT", ""),
        ):
            runner.ask(
                f"ansi_mode {ansi} {kind} {value!r}", f"SELECT CAST(:p AS {kind}) AS c", [{"name": "p", "value": value}]
            )
        server.run(f"CREATE TABLE IF NOT EXISTS {s}.ansi (a INT, d DECIMAL(4,2))")
        runner.ask(
            f"ansi_mode {ansi} insert",
            f"INSERT INTO {s}.ansi SELECT CAST(:p AS INT), CAST(:p AS DECIMAL(4,2))",
            [{"name": "p", "value": "x"}],
        )
        runner.ask(
            f"ansi_mode {ansi} overflow",
            "SELECT CAST(300 AS TINYINT) AS a, CAST(12345 AS DECIMAL(4,2)) AS b, CAST(3000000000 AS INT) AS c",
        )
        runner.ask(f"ansi_mode {ansi} sum", "SELECT 2147483647 + 1 AS a")
        runner.ask(f"ansi_mode {ansi} typed", "SELECT :p AS c", [{"name": "p", "type": "INT", "value": "x"}])
    for zone in ("Europe/Amsterdam", "America/Los_Angeles", "Asia/Kolkata", "UTC"):
        server.config(time_zone=zone)
        for value in (
            "2021-01-01T18:00:00Z",
            "2026-07-01T00:00:00",
            "2026-03-29T02:30:00",
            "2026-07-01",
            "2026-07-01T00:00:00.123456+02:00",
        ):
            runner.ask(
                f"time_zone {zone} {value}",
                "SELECT CAST(:p AS TIMESTAMP) AS t, CAST(CAST(:p AS TIMESTAMP) AS STRING) AS s, CAST(CAST(:p AS "
                "TIMESTAMP) AS DATE) AS d, "
                "CAST(:p AS TIMESTAMP_NTZ) AS n, CAST(CAST(:p AS DATE) AS TIMESTAMP) AS m, CAST(CAST(:p AS "
                "TIMESTAMP) AS TIMESTAMP_NTZ) AS w",
                [{"name": "p", "value": value}],
            )
    server.sql(f"CREATE TABLE {s}.granted (a INT)")
    server.upload("/Volumes/main/exact/files/x", b"x")
    server.run(f"CREATE TABLE {s}.owned (a INT)")
    for n, (lacking, text) in enumerate(GRANTS):
        privilege, _, target = lacking.rpartition(" ")
        server.control("POST", "privileges", deny=[{"privilege": privilege, "object": target}] if lacking else [])
        runner.ask(f"grant {n} without {lacking or 'what is not granted'}: {text}", text.replace("{s}", s))
    server.control("POST", "privileges", deny=[])
