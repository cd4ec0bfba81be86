"""Shared by the tests of the Databricks simulator: a running workspace, and the statements of the hub."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import requests

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = ROOT / "simulator" / "databricks-workspace"
sys.path.insert(0, str(ROOT))
# Errors in one form, for tests that are about something else.
PLAIN = ("--set", "error_form=field", "--set", "permission_form=class_line")


class Server:
    """A workspace in a process of its own, and a plain REST client of it."""

    def __init__(self, *options, engine="none", deadline=300):
        self.process = subprocess.Popen(
            [str(LAUNCHER), "--port", "0", "--engine", engine, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "EXACT_DATABRICKS_PYTHON": sys.executable},
        )
        self.stderr = []
        reader = threading.Thread(target=lambda: self.stderr.extend(self.process.stderr), daemon=True)
        reader.start()
        timer = threading.Timer(deadline, self.process.kill)
        timer.start()
        line = self.process.stdout.readline()
        timer.cancel()
        if not line.startswith("ready http"):
            self.process.wait()
            reader.join(10)
            raise RuntimeError(f"the workspace did not start: {''.join(self.stderr)}")
        self.url = line.split()[1]
        self.session = requests.Session()
        self.info = self.control("GET", "info")
        self.session.headers["Authorization"] = f"Bearer {self.info['pat']}"
        self.warehouse = self.info["warehouse_id"]

    def stop(self):
        """Ends the workspace with SIGTERM; returns its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()

    def control(self, method, path, /, **body):
        answer = requests.request(method, f"{self.url}/_control/{path}", json=body or None, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sql(self, statement):
        """Executes as the owner of the catalog: no privilege, fault or table order applies."""
        return self.control("POST", "sql", statement=statement)

    def refused(self, path, **body):
        """The message of the 400 that a control call is refused with."""
        answer = requests.post(f"{self.url}/_control/{path}", json=body, timeout=10)
        assert answer.status_code == 400 and answer.json()["error_code"] == "INVALID_PARAMETER_VALUE", answer.text
        return answer.json()["message"]

    def may_stop(self):
        """Grants what stopping the warehouse needs."""
        self.control("POST", "privileges", grant=[{"privilege": "CAN MANAGE", "object": self.warehouse}])

    def met(self, name):
        """How often a form was met."""
        return next(form["met"] for form in self.control("GET", "weather")["forms"] if form["name"] == name)

    def upload(self, path, body):
        answer = self.call("PUT", "/api/2.0/fs/files" + quote(path), params={"overwrite": "true"}, data=body)
        assert answer.status_code == 204, answer.text

    def fault(self, **rule):
        return self.control("POST", "faults", **rule)

    def config(self, **values):
        return self.control("POST", "config", **values)

    def call(self, method, path, **options):
        return self.session.request(method, self.url + path, timeout=options.pop("timeout", 90), **options)

    def submit(self, statement, parameters=None, **fields):
        """POST /sql/statements: the HTTP response."""
        body = {"warehouse_id": self.warehouse, "statement": statement, "wait_timeout": "50s", **fields}
        if parameters is not None:
            body["parameters"] = parameters
        return self.call("POST", "/api/2.0/sql/statements", json=body)

    def run(self, statement, parameters=None, **fields):
        """The JSON of a statement after its end."""
        answer = self.submit(statement, parameters, **fields)
        assert answer.status_code == 200, answer.text
        return self.until_done(answer.json())

    def until_done(self, answer, deadline=60):
        end = time.monotonic() + deadline
        while answer["status"]["state"] in ("PENDING", "RUNNING"):
            assert time.monotonic() < end, answer
            time.sleep(0.02)
            answer = self.call("GET", f"/api/2.0/sql/statements/{answer['statement_id']}").json()
        return answer

    def rows(self, statement, parameters=None, **fields):
        """The rows of a statement that must succeed."""
        answer = self.run(statement, parameters, **fields)
        assert answer["status"]["state"] == "SUCCEEDED", answer["status"]
        return self.all_rows(answer)

    def all_rows(self, answer):
        """The rows of all chunks."""
        rows, part = [], answer.get("result") or {}
        while part:
            rows += part.get("data_array", [])
            part = (
                self.call("GET", part["next_chunk_internal_link"]).json()
                if "next_chunk_internal_link" in part
                else None
            )
        return rows

    def error(self, statement, parameters=None, **fields):
        """(sql_state, message) of a statement that must fail."""
        answer = self.run(statement, parameters, **fields)
        assert answer["status"]["state"] == "FAILED", answer
        assert answer["status"]["error"]["error_code"] == "BAD_REQUEST", answer
        return answer["status"].get("sql_state"), answer["status"]["error"]["message"]

    def later(self, state, text, seconds):
        """Moves the clock by `seconds` once the newest statement containing `text` is in `state`; returns the
        thread."""

        def newest():
            found = [s["state"] for s in self.control("GET", "statements")["statements"] if text in s["text"]]
            return found and found[-1] == state

        def act():
            self.poll(newest)
            self.control("POST", "clock", advance=seconds)

        thread = threading.Thread(target=act)
        thread.start()
        return thread

    def poll(self, test, deadline=20):
        """Waits until test() is true; returns its value."""
        end = time.monotonic() + deadline
        while not (value := test()):
            assert time.monotonic() < end, "the condition did not come true in time"
            time.sleep(0.02)
        return value


FIELDS = {
    "code": "STRING",
    "amt": "DECIMAL(28,4)",
    "day": "DATE",
    "at": "TIMESTAMP_NTZ",
    "seen": "TIMESTAMP",
    "ok": "BOOLEAN",
    "n": "INT",
}
OWN = {"_division": "INT", "_key": "STRING", "_seq": "BIGINT", "_op": "STRING", "_deleted": "BOOLEAN"}


class Shapes:
    """The hub's statements for one table, as it sends them."""

    def __init__(self, server, table, schema="exact", catalog="main"):
        self.server, self.catalog, self.schema, self.name = server, catalog, schema, table
        self.current = f"`{catalog}`.`{schema}`.`{table}`"
        self.history = f"`{catalog}`.`{schema}`.`{table}_history`"
        self.hub = f"`{catalog}`.`{schema}`.`{table}_hub`"

    def create(self, epoch=3):
        run = self.server.rows
        own = ", ".join(f"`{n}` {t}{' NOT NULL' if n != '_deleted' else ''}" for n, t in OWN.items())
        fields = ", ".join(f"`{n}` {t} COMMENT 'field {n}'" for n, t in FIELDS.items())
        run(f"CREATE TABLE IF NOT EXISTS {self.current} ({own}, {fields}) USING DELTA CLUSTER BY (`_division`, `_key`) "
            "COMMENT 'current' TBLPROPERTIES ('delta.enableDeletionVectors'='true', 'exact.entity'='Things')")
        past = own.replace(", `_deleted` BOOLEAN", "")
        run(
            f"CREATE TABLE IF NOT EXISTS {self.history} ({past}, {fields}, `_payload` STRING) USING DELTA "
            "CLUSTER BY (`_division`, `_seq`) TBLPROPERTIES ('delta.enableDeletionVectors'='false', "
            "'delta.isolationLevel'='Serializable')"
        )
        run(f"CREATE TABLE IF NOT EXISTS {self.hub} (division INT NOT NULL, epoch BIGINT NOT NULL) USING DELTA")
        run(f"INSERT INTO {self.hub} VALUES (1, {epoch})")

    def source(self, epoch=3):
        names = ["_division", "_key", *FIELDS, "_seq", "_op", "_payload"]
        schema = ", ".join(f"`{n}`: STRING" for n in names)
        casts = ", ".join(
            f"CAST(r.`{n}` AS {({**OWN, **FIELDS})[n]}) AS `{n}`"
            if ({**OWN, **FIELDS}).get(n, "STRING") != "STRING"
            else f"r.`{n}` AS `{n}`"
            for n in names
        )
        self.exploded = f"SELECT explode(from_json(:batch, 'ARRAY<STRUCT<{schema}>>', map('mode', 'FAILFAST'))) AS r"
        return (
            f"SELECT {casts}\nFROM ({self.exploded}\n      WHERE (SELECT assert_true(max(epoch) = {epoch}, 'exact: "
            f"fenced') "
            f"FROM {self.hub} WHERE division = 1) IS NULL)"
        )

    def merge_current(self, batch, epoch=3):
        source = self.source(epoch)
        columns = ["_division", "_key", *FIELDS, "_seq", "_op"]
        listed = ", ".join(f"`{c}`" for c in columns)
        sets = ", ".join(f"`{c}` = s.`{c}`" for c in [*FIELDS, "_seq", "_op"])
        return (
            f"/* exact batch 17 */ MERGE INTO {self.current} AS t\nUSING (SELECT {listed} FROM (SELECT q.*, "
            f"row_number() OVER (PARTITION BY "
            f"`_division`, `_key` ORDER BY `_seq` DESC) AS `_rn` FROM ({source}) AS q) WHERE `_rn` = 1) AS s\n"
            "ON t.`_division` = s.`_division` AND t.`_key` = s.`_key`\n"
            "WHEN MATCHED AND s.`_seq` > t.`_seq` AND s.`_op` = 'D' THEN UPDATE SET `_deleted` = true, `_op` = "
            "s.`_op`, `_seq` = s.`_seq`\n"
            f"WHEN MATCHED AND s.`_seq` > t.`_seq` THEN UPDATE SET {sets}, `_deleted` = false\n"
            f"WHEN NOT MATCHED THEN INSERT ({listed}, `_deleted`) VALUES ({', '.join(f's.`{c}`' for c in columns)}, "
            f"s.`_op` = 'D')"
        ), batch

    def merge_history(self, batch, epoch=3):
        source = self.source(epoch)
        columns = ["_division", "_key", *FIELDS, "_seq", "_op", "_payload"]
        listed = ", ".join(f"`{c}`" for c in columns)
        seqs = [int(row["_seq"]) for row in batch]
        return (
            f"MERGE INTO {self.history} AS h USING ({source}) AS s ON h.`_division` = s.`_division` AND h.`_seq` = "
            f"s.`_seq` "
            f"AND h.`_seq` BETWEEN {min(seqs)} AND {max(seqs)}\nWHEN NOT MATCHED THEN INSERT ({listed}) "
            f"VALUES ({', '.join(f's.`{c}`' for c in columns)})"
        ), batch

    def bad_rows(self, batch):
        self.source()
        tests = " OR ".join(
            f"r.`{n}` IS NOT NULL AND try_cast(r.`{n}` AS {t}) IS NULL" for n, t in FIELDS.items() if t != "STRING"
        )
        return f"SELECT r.`_seq`, r.`_key` FROM ({self.exploded}) WHERE {tests}", batch

    def arrived(self, batch):
        self.source()
        return (
            f"SELECT count(*) FROM ({self.exploded}) AS s JOIN {self.current} AS t ON t.`_division` = "
            f"CAST(s.r.`_division` AS INT) "
            "AND t.`_key` = s.r.`_key` AND t.`_seq` >= CAST(s.r.`_seq` AS BIGINT)"
        ), batch

    def run(self, shape):
        statement, batch = shape
        return self.server.run(statement, [{"name": "batch", "type": "STRING", "value": json.dumps(batch)}])

    def counts(self, shape):
        """The counts (affected, updated, deleted, inserted) of a MERGE that must succeed."""
        answer = self.run(shape)
        assert answer["status"]["state"] == "SUCCEEDED", answer["status"]
        assert [c["name"] for c in answer["manifest"]["schema"]["columns"]] == [
            "num_affected_rows", "num_updated_rows", "num_deleted_rows", "num_inserted_rows"]
        return [int(cell) for cell in answer["result"]["data_array"][0]]


def record(key, seq, op="U", division=1, **fields):
    """A row of a batch: every value text or null."""
    row = {
        "_division": str(division),
        "_key": key,
        "code": f"code {key}",
        "amt": "1.50",
        "day": "2026-03-04",
        "at": "2026-03-04T05:06:07.125",
        "seen": "2026-03-04T05:06:07Z",
        "ok": "true",
        "n": "7",
        "_seq": str(seq),
        "_op": op,
        "_payload": json.dumps({"Key": key}),
    }
    row.update(fields)
    return row
