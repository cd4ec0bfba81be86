"""What the hub sends to read the edits of a dimension in Delta, to write over none of them, and to declare its keys: a
part of the list of test_databricks_cases.py.
"""

import hashlib

SCHEMA = "main.exact"
CENTER = f"{SCHEMA}.center"


def _hash(alias):
    values = ", ".join(f"coalesce(CAST({alias}.`{name}` AS STRING), '\\u0000')" for name in ("Code", "EndDate"))
    return f"'v1:0a1b:' || sha2(concat_ws('\\u001f', {values}), 256)"


def _rows(names, rows):
    """FROM … of the rows of a batch, which must be so many."""
    fields = ", ".join(f"`{name}`: STRING" for name in names)
    return (f"FROM (SELECT explode(CASE WHEN size(a) = {rows} THEN a ELSE raise_error('exact: the batch holds ' || "
            f"coalesce(size(a), 0) || ' rows, expected {rows}') END) AS r FROM (SELECT from_json(:batch, "
            f"'ARRAY<STRUCT<{fields}>>', map('mode', 'FAILFAST')) AS a))")


NEW = "(t.`_key` IS NULL OR t.`_seq` IS NULL)"
EDITED = f"({NEW} OR NOT coalesce(t.`_hash` = {_hash('t')}, false))"
OUTDATED = "(startswith(t.`_hash`, 'v') AND NOT startswith(t.`_hash`, 'v1:0a1b:'))"
# the columns under the guard are as the MERGE left them, or as an edit that is known
GUARD = f"coalesce({_hash('t')} IN (t.`_hash`, s.`_known`), false)"
SENT = ("_division", "_key", "_seq", "Code", "EndDate", "_op", "_known")


def _center_merge(rows, guard=GUARD):
    typed = ("CAST(r.`_division` AS INT) AS `_division`, r.`_key` AS `_key`, CAST(r.`_seq` AS BIGINT) AS `_seq`, "
             "r.`Code` AS `Code`, CAST(r.`EndDate` AS DATE) AS `EndDate`, r.`_op` AS `_op`, r.`_known` AS `_known`")
    return (f"MERGE INTO {CENTER} AS t USING (SELECT * FROM (SELECT q.*, row_number() OVER (PARTITION BY "
            f"q.`_division`, q.`_key` ORDER BY q.`_seq` DESC) AS `_rn` FROM (SELECT {typed} {_rows(SENT, rows)}) AS q) "
            f"WHERE `_rn` = 1) AS s ON t.`_division` = s.`_division` AND t.`_key` = s.`_key` "
            f"WHEN MATCHED AND s.`_seq` > t.`_seq` AND s.`_op` = 'D' AND {guard} THEN UPDATE SET `_seq` = s.`_seq`, "
            f"`_op` = s.`_op`, `_deleted` = s.`_op` = 'D' "
            f"WHEN MATCHED AND s.`_seq` > t.`_seq` AND {guard} THEN UPDATE SET `_seq` = s.`_seq`, `Code` = s.`Code`, "
            f"`EndDate` = s.`EndDate`, `_op` = s.`_op`, `_deleted` = s.`_op` = 'D', `_hash` = {_hash('s')} "
            f"WHEN NOT MATCHED THEN INSERT (`_division`, `_key`, `_seq`, `Code`, `EndDate`, `_op`, `_deleted`, `_hash`)"
            f" VALUES (s.`_division`, s.`_key`, s.`_seq`, s.`Code`, s.`EndDate`, s.`_op`, s.`_op` = 'D', {_hash('s')})")


def _sent(*rows):
    return [dict(zip(SENT, map(str, row[:3])), Code=row[3], EndDate=row[4], _op=row[5], _known=row[6]) for row in rows]


CENTER_COUNT = (f"SELECT count(*) AS `n`, count(CASE WHEN {EDITED} THEN 1 END) AS `edited`, count(CASE WHEN {OUTDATED} "
                f"THEN 1 END) AS `outdated`, count(CASE WHEN (t.`_seq` IS NOT NULL AND t.`_hash` IS NULL) THEN 1 END) "
                f"AS `bare`, count(DISTINCT CASE WHEN NOT {NEW} THEN concat(CAST(t.`_division` AS STRING), ' ', "
                f"t.`_key`) END) AS `keys`, count(CASE WHEN NOT {NEW} THEN 1 END) AS `old` FROM {CENTER} AS t")
CENTER_ROWS = (
    "SELECT `_division`, `_key`, `_seq`, `_now`, `_content`, CASE WHEN `_new` THEN `_codes` > 1 ELSE `_copies` > 1 END "
    "AS `_double` FROM (SELECT q.*, count(*) OVER (PARTITION BY q.`_division`, q.`_key`, q.`_new`) AS `_copies`, "
    "row_number() OVER (PARTITION BY q.`_division`, q.`_key`, q.`_new` ORDER BY CASE WHEN q.`_edited` THEN 0 ELSE 1 "
    "END, q.`_now`) AS `_rn`, CASE WHEN q.`_code` IS NULL THEN 0 ELSE count(*) OVER (PARTITION BY q.`_division`, "
    "q.`_code`, q.`_new`) END AS `_codes` FROM (SELECT coalesce(t.`_division`, 7) AS `_division`, "
    "replace(substr(CAST(t.`_key` AS STRING), 1, 1000), '\\u0000', '?') AS `_key`, t.`_seq` AS `_seq`, "
    f"{NEW} AS `_new`, {EDITED} AS `_edited`, lower(trim(t.`Code`)) AS `_code`, {_hash('t')} AS `_now`, "
    "to_json(named_struct('Code', replace(substr(CAST(t.`Code` AS STRING), 1, 1000), '\\u0000', '?'), 'EndDate', "
    "replace(substr(CAST(t.`EndDate` AS STRING), 1, 1000), '\\u0000', '?')), map('ignoreNullFields', 'false')) AS "
    f"`_content` FROM {CENTER} AS t) AS q) WHERE (`_edited` AND (`_new` OR `_copies` = 1)) OR (NOT `_new` AND "
    "`_copies` > 1 AND `_rn` = 1) ORDER BY `_division`, `_key`, `_now` LIMIT {limit}")
CENTER_CHECK = (
    f"SELECT s.`_division`, s.`_key`, s.`_seq`, count(CASE WHEN t.`_seq` >= s.`_seq` THEN 1 END) AS `arrived`, "
    f"count(CASE WHEN t.`_seq` < s.`_seq` AND NOT {GUARD} THEN 1 END) AS `held` FROM (SELECT CAST(r.`_division` AS "
    f"INT) AS `_division`, r.`_key` AS `_key`, CAST(r.`_seq` AS BIGINT) AS `_seq`, r.`_known` AS `_known` "
    f"{_rows(SENT, 3)}) AS s LEFT JOIN {CENTER} AS t ON t.`_division` = s.`_division` AND t.`_key` = s.`_key` GROUP BY "
    f"s.`_division`, "
    f"s.`_key`, s.`_seq` ORDER BY 2, 3")
CENTER_ABSENT = (
    f"SELECT s.`_division`, s.`_key` FROM (SELECT CAST(r.`_division` AS INT) AS `_division`, r.`_key` AS `_key` "
    f"{_rows(('_division', '_key'), 3)}) AS s LEFT ANTI JOIN {CENTER} AS t ON t.`_division` = s.`_division` AND "
    f"t.`_key` = s.`_key`")
CENTER_ADOPT = (
    f"MERGE INTO {CENTER} AS t USING (SELECT p.`_division`, p.`_key`, p.`_hash` FROM (SELECT s.`_division`, s.`_key`, "
    f"s.`_hash`, row_number() OVER (PARTITION BY s.`_division`, s.`_key` ORDER BY s.`_hash`) AS `_rn` FROM (SELECT "
    f"CAST(r.`_division` AS INT) AS `_division`, r.`_key` AS `_key`, lower(trim(r.`_code`)) AS `_code`, r.`_hash` AS "
    f"`_hash` {_rows(('_division', '_key', '_code', '_hash'), 2)}) AS s JOIN {CENTER} AS n ON "
    f"coalesce(n.`_division`, 7) = s.`_division` AND lower(trim(n.`Code`)) = s.`_code` AND {_hash('n')} = s.`_hash` "
    f"LEFT ANTI JOIN {CENTER} AS o ON o.`_division` = s.`_division` AND o.`_key` = s.`_key` WHERE n.`_seq` IS NULL) AS "
    f"p WHERE p.`_rn` = 1) AS s ON coalesce(t.`_division`, 7) = s.`_division` AND {_hash('t')} = s.`_hash` WHEN "
    f"MATCHED AND t.`_seq` IS NULL THEN UPDATE SET `_division` = s.`_division`, `_key` = s.`_key`, `_seq` = 0, "
    f"`_op` = 'I', `_deleted` = false, `_hash` = {_hash('t')}")
CENTER_STAMP = (
    f"MERGE INTO {CENTER} AS t USING (SELECT 7 AS `_division`) AS s ON t.`_division` = s.`_division` WHEN MATCHED AND "
    f"({OUTDATED} OR (t.`_seq` IS NOT NULL AND t.`_hash` IS NULL)) THEN UPDATE SET `_hash` = {_hash('t')}")
CENTER_ALL = (f"SELECT `_division`, `_key`, `_seq`, `Code`, `EndDate`, `_op`, `_deleted`, `_hash` FROM {CENTER} "
              "ORDER BY Code, `_seq`, EndDate, `_key`")
_first = _sent((7, "a", 1, "A", None, "I", None), (7, "b", 2, "B", "2026-01-31", "I", None),
               (7, "c", 3, "É 'x'", None, "I", None))
_later = _sent((7, "a", 4, "A", "2027-01-01", "U", None), (7, "b", 5, "B", None, "U", None),
               (7, "c", 6, None, None, "D", None))
_NEW1 = "v1:0a1b:" + hashlib.sha256(b"New1 \x1f\0").hexdigest()
_EDIT = "v1:0a1b:" + hashlib.sha256(b"B\x1f2030-12-31").hexdigest()

# (statement, rows of its parameter batch or None)
DIMENSION = [
    (f"CREATE TABLE {CENTER} (`_division` INT NOT NULL, `_key` STRING NOT NULL, `_seq` BIGINT, `Code` STRING, "
     "`EndDate` DATE, `_op` STRING, `_deleted` BOOLEAN)", None),
    (f"ALTER TABLE {CENTER} ADD COLUMNS (`_hash` STRING COMMENT 'Digest')", None),
    *((f"ALTER TABLE {CENTER} ALTER COLUMN `{name}` DROP NOT NULL", None) for name in (
        "_division", "_key", "_seq", "_key", "nothing")),
    (_center_merge(3), _first),
    (_center_merge(3), _first),
    (CENTER_COUNT, None),
    (CENTER_ROWS.replace("{limit}", "10"), None),
    # edits: the MERGE leaves them alone, unless they are known; what it did is told by the check
    (f"UPDATE {CENTER} SET EndDate = DATE'2030-12-31' WHERE Code = 'B'", None),
    (f"INSERT INTO {CENTER} (Code) VALUES ('New1 ')", None),
    (f"INSERT INTO {CENTER} (`_division`, Code) VALUES (8, 'two'), (8, ' TWO')", None),
    (f"INSERT INTO {CENTER} SELECT * FROM {CENTER} WHERE Code = 'A'", None),
    (f"INSERT INTO {CENTER} (`_key`, EndDate) VALUES ('mine', NULL)", None),
    (CENTER_COUNT, None),
    (CENTER_ROWS.replace("{limit}", "10"), None),
    (CENTER_ROWS.replace("{limit}", "2 OFFSET 1"), None),
    (_center_merge(3), _later),
    (CENTER_CHECK, _later),
    (_center_merge(1), _sent((7, "b", 5, "B", None, "U", _EDIT))),
    (_center_merge(1), _sent((7, "b", 5, "B", None, "U", _EDIT))),
    (_center_merge(1, "t.`_hash` <=> " + _hash("t")), _sent((7, "b", 7, "B", None, "D", None))),
    (CENTER_CHECK, _later),
    (CENTER_ALL, None),
    # keys for a new row, which gets one of them once; rows that are gone; another stamp
    (CENTER_ADOPT, [{"_division": "7", "_key": "n", "_code": "NEW1", "_hash": _NEW1},
                    {"_division": "7", "_key": "n", "_code": "new1", "_hash": "another"}]),
    (CENTER_ADOPT, [{"_division": "7", "_key": "n", "_code": "NEW1", "_hash": _NEW1},
                    {"_division": "7", "_key": "o", "_code": "NEW1", "_hash": _NEW1}]),
    (CENTER_ABSENT, [{"_division": "7", "_key": key} for key in ("a", "n", "gone")]),
    (f"UPDATE {CENTER} SET `_hash` = CASE WHEN Code = 'A' THEN 'v1:beef:x' END WHERE Code IN ('A', 'B')", None),
    (CENTER_COUNT, None),
    (CENTER_STAMP, None),
    (CENTER_COUNT, None),
    (CENTER_ALL, None),
    # informational keys
    *((f"ALTER TABLE {{s}}.{table} {text}", None) for table, text in (
        ("center", "ADD CONSTRAINT center_pk PRIMARY KEY (`_division`, `_key`) NOT ENFORCED"),
        ("center", "ALTER COLUMN `_key` SET NOT NULL"))),
    (f"DELETE FROM {CENTER} WHERE `_division` IS NULL OR `_key` IS NULL", None),
    (f"CREATE TABLE {SCHEMA}.ledger (`_division` INT, `_key` STRING, `Center` STRING)", None),
    *((f"ALTER TABLE {{s}}.{table} {text}", None) for table, text in (
        ("ledger", "ADD CONSTRAINT ledger_fk FOREIGN KEY (`_division`, `Center`) REFERENCES main.exact.center "
                   "(`_division`, `_key`) NOT ENFORCED"),
        ("center", "ALTER COLUMN `_division` SET NOT NULL"),
        ("center", "ALTER COLUMN `_key` SET NOT NULL"),
        ("center", "DROP CONSTRAINT IF EXISTS center_pk CASCADE"),
        ("center", "ADD CONSTRAINT center_pk PRIMARY KEY (`_division`, `_key`) NOT ENFORCED"),
        ("center", "ADD CONSTRAINT center_pk PRIMARY KEY (`_division`, `_key`) NOT ENFORCED"),
        ("center", "ALTER COLUMN `_key` DROP NOT NULL"),
        ("ledger", "ADD CONSTRAINT ledger_fk FOREIGN KEY (`_division`, `Center`) REFERENCES main.exact.center "
                   "(`_division`, `_key`) NOT ENFORCED"),
        ("ledger", "DROP CONSTRAINT IF EXISTS ledger_fk"),
        ("ledger", "DROP CONSTRAINT IF EXISTS ledger_fk"),
        ("center", "DROP CONSTRAINT center_pk CASCADE"),
        ("center", "DROP CONSTRAINT center_pk"))),
    # no key is enforced
    (f"INSERT INTO {CENTER} (`_division`, `_key`, Code) VALUES (7, 'a', 'double')", None),
    (f"SELECT count(*) FROM {CENTER} WHERE `_key` = 'a'", None),
]
