"""One side of bench/bulk: dlt brings the records of a file into two Delta tables of a directory, as its users write it.

bulk_dlt.py load FILE DIRECTORY    the current table by merge (upsert on ID), the history by append
bulk_dlt.py count DIRECTORY        [rows, keys] of both
"""
import json
import resource
import sys
import time

import deltalake
import dlt
import pyarrow.compute
from dlt.destinations import filesystem

ROWS = 1000  # at a time, as dlt advises


def pages(path, with_payload):
    page = []
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            page.append({**record, "_payload": line.rstrip("\n")} if with_payload else record)
            if len(page) == ROWS:
                yield page
                page = []
    yield page


@dlt.resource(primary_key="ID", write_disposition={"disposition": "merge", "strategy": "upsert"}, table_format="delta",
              max_table_nesting=0)
def items(path):
    yield from pages(path, with_payload=False)


@dlt.resource(write_disposition="append", table_format="delta", max_table_nesting=0)
def items_history(path):
    yield from pages(path, with_payload=True)


def load(path, directory):
    pipeline = dlt.pipeline("bulk", pipelines_dir=f"{directory}/pipelines", dataset_name="lake",
                            destination=filesystem(bucket_url=f"file://{directory}/tables"))
    begun = time.monotonic()
    pipeline.run([items(path), items_history(path)]).raise_on_failed_jobs()
    seconds = time.monotonic() - begun
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"seconds": seconds, "cpu": sum(u.ru_utime + u.ru_stime for u in used)}


def count(directory):
    found = {}
    for table in ("items", "items_history"):
        delta = deltalake.DeltaTable(f"{directory}/tables/lake/{table}")
        keys = delta.to_pyarrow_table(columns=["id"])["id"]
        found[table] = [len(keys), pyarrow.compute.count_distinct(keys).as_py()]
    return found


if __name__ == "__main__":
    print(json.dumps({"load": load, "count": count}[sys.argv[1]](*sys.argv[2:])))
