"""One side of bench/bulk: a plain script of databricks-sdk brings the records of a file into two tables of a warehouse.

bulk_sdk.py WAREHOUSE SCHEMA FIRST FILE MOST    FIRST: the records whose fields become columns, loaded before the clock
                                                starts; of FILE at most MOST

Two statements for 1,000 records, whose text is one parameter. Who it is and where to stands in DATABRICKS_….
"""
import itertools
import json
import resource
import sys
import time

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.sql import StatementParameterListItem, StatementState

ROWS = 1000
TYPES = {bool: "BOOLEAN", int: "BIGINT", float: "DOUBLE"}


class Loader:
    def __init__(self, warehouse, schema, first):
        self.client, self.warehouse, self.schema = WorkspaceClient(), warehouse, schema
        kinds = {}
        for line in first:
            for name, value in json.loads(line).items():
                if value is not None or name not in kinds:
                    kinds[name] = TYPES.get(type(value), "STRING")
        fields = ", ".join(f"`{name}`: {kind}" for name, kind in kinds.items())
        columns = ", ".join(f"`{name}` {kind}" for name, kind in kinds.items())
        self.source = (f"SELECT r.*, p AS `_payload` FROM (SELECT p, from_json(p, 'STRUCT<{fields}>') AS r"
                       " FROM (SELECT explode(from_json(:batch, 'ARRAY<STRING>')) AS p))")
        self.run(f"CREATE TABLE {schema}.items ({columns}) USING DELTA")
        self.run(f"CREATE TABLE {schema}.items_history ({columns}, `_payload` STRING) USING DELTA")
        self.load(first)

    def run(self, text, batch=None):
        api = self.client.statement_execution
        parameters = [StatementParameterListItem(name="batch", value=batch, type="STRING")] if batch else None
        answer = api.execute_statement(text, self.warehouse, wait_timeout="50s", parameters=parameters)
        while answer.status.state in (StatementState.PENDING, StatementState.RUNNING):
            time.sleep(1)
            answer = api.get_statement(answer.statement_id)
        if answer.status.state != StatementState.SUCCEEDED:
            sys.exit(f"{answer.status.state}: {answer.status.error}")

    def load(self, lines):
        batch = "[" + ",".join(lines) + "]"
        self.run(f"INSERT INTO {self.schema}.items_history {self.source}", batch)
        self.run(f"MERGE INTO {self.schema}.items AS t USING (SELECT * EXCEPT (`_payload`) FROM ({self.source})) AS s"
                 " ON t.`ID` = s.`ID` WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *", batch)


def main(warehouse, schema, first, path, most):
    with open(first, encoding="utf-8") as lines:
        loader = Loader(warehouse, schema, list(lines))
    at, begun, done = time.time(), time.monotonic(), 0
    with open(path, encoding="utf-8") as lines:
        while batch := list(itertools.islice(lines, min(ROWS, int(most) - done))):
            loader.load(batch)
            done += len(batch)
    seconds, used = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"at": at, "rows": done, "seconds": seconds, "cpu": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    main(*sys.argv[1:])
