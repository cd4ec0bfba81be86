"""Many staged rows into current and history on local Spark and Delta; beside it dlt and a script of databricks-sdk.

The three go one after the other over the same records, into tables that hold the first load of some items already.
"""
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
import time

BENCH = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(BENCH), str(BENCH.parent / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from hub import Hub, simulators  # noqa: E402
from loader import BATCH, STAGE, cpu  # noqa: E402

RECORDS = 200  # of the books, for the first load
WRITING = ("history", "current")  # kinds of statements
HEAP = "4g"  # of local Spark
# the bytes of the records as they are: no control character stands in JSON
COPY = "COPY ({}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')"
PEERS = {"PYTHONPATH": os.environ["EXACT_DATABRICKS_PEERS"]}


# ---- what is measured ----

class Memory(threading.Thread):
    """RssAnon and RSS of a process and of all below it, in MB: at first, at a time, at most, at last."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.taken, self.rss = pid, [], 0.0
        self.over = threading.Event()
        self.start()

    @staticmethod
    def of(pid):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
            return [int(status.split(f"{name}:")[1].split()[0]) / 1024 for name in ("RssAnon", "VmRSS")]
        except (OSError, IndexError):
            return [0, 0]

    def run(self):
        while not self.over.wait(0.1):
            found = [self.of(pid) for pid in (self.pid, *processes.descendants(self.pid))]
            anon, rss = (sum(column) for column in zip(*found))
            if not rss:
                return
            self.taken.append((time.time(), anon))
            self.rss = max(self.rss, rss)

    def figures(self):
        self.over.set()
        self.join()
        anon = [anon for _, anon in self.taken]
        return {"first": anon[0], "peak": max(anon), "last": anon[-1], "rss": self.rss}

    def after(self, at):
        """RssAnon at that time and at most since then."""
        anon = [anon for taken, anon in self.taken if taken >= at]
        return (anon[0], max(anon)) if anon else (self.taken[-1][1],) * 2


def covered(spans, begin, end):
    """Seconds between `begin` and `end` that lie in one of the spans at least."""
    seconds, reached = 0.0, begin
    for first, last in sorted(spans):
        first, last = max(first, reached), min(last, end)
        if last > first:
            seconds, reached = seconds + last - first, last
    return seconds


def span(one):
    """When a statement or a call began and ended, of a journal of the workspace."""
    return float(one["at"]), float(one["at"]) + one["ms"] / 1000


def asked(databricks, begin, end):
    """What the workspace was asked between two moments, and the seconds that it took; the span of each statement."""
    statements, calls = ([one for one in databricks.get(what)[what] if begin <= one["at"] <= end]
                         for what in ("statements", "calls"))
    busy = [span(one) for one in statements]
    engine = covered(busy, begin, end)
    files = covered(busy + [span(call) for call in calls if call["method"] == "PUT"], begin, end) - engine
    return {"statements": len(statements), "requests": len(calls), "bytes": sum(call["bytes"] for call in calls),
            "engine": engine, "files": files}, {one["id"]: span(one) for one in statements}


def written(*directories):
    """(files, bytes) of tables"""
    files = [path for directory in directories for path in pathlib.Path(directory).rglob("*") if path.is_file()]
    return {"written_files": len(files), "written_bytes": sum(path.stat().st_size for path in files)}


def prove(side, found, want):
    """Each table holds each key once."""
    if any(list(map(int, counts)) != [want, want] for counts in found.values()):
        raise processes.Failed(f"{side}: {want} rows and keys were wanted, the tables hold {found}")


def in_delta(databricks, schema, key, where=""):
    """[rows, keys] of both tables, read through the engine"""
    return {table: databricks.sql(f"SELECT count(*), count(DISTINCT {key}) FROM {databricks.info['catalog']}.{schema}"
                                  f".{table} {where}")["rows"][0] for table in ("items", "items_history")}


def count_lines(path):
    with path.open("rb") as lines:
        return sum(1 for _ in lines)


def tables_of(databricks, schema):
    return [pathlib.Path(databricks.info["data"]) / "tables" / f"{schema}.db" / table
            for table in ("items", "items_history")]


# ---- the hub ----

def stage(hub, rows):
    """So many rows that wait, in batches of a thousand; what was loaded before and they themselves as files."""
    hub.psql("UPDATE exact.workspace SET enabled = false")
    for first in range(0, rows, BATCH):
        hub.psql(STAGE.format(entity="items", first=first, batch=min(BATCH, rows - first)))
    seq = int(hub.value("SELECT min(seq_min) FROM exact.batch WHERE delivered_at IS NULL"))
    files = []
    for name, condition in (("first", f"seq < {seq}"), ("rows", f"seq >= {seq}")):
        query = f"SELECT payload FROM exact.stage WHERE entity = 'items' AND {condition} ORDER BY seq"
        files.append(hub.directory / f"{name}.jsonl")
        with files[-1].open("wb") as out:
            subprocess.run([*hub.cluster.client, "-XqAt", "-d", hub.database, "-c", COPY.format(query)], stdout=out,
                           check=True)
    return seq, *files


def deliver(hub, databricks, rows, seq):
    pid = int(hub.value("SELECT pid FROM exact._workers() WHERE role = 'loader'"))
    last = int(hub.value("SELECT coalesce(max(id), 0) FROM exact.statement_log"))
    memory, used = Memory(pid), cpu(pid)

    def is_delivered():
        refused = hub.value(f"SELECT error FROM exact.statement_log WHERE id > {last} AND state = 'failed' LIMIT 1")
        if refused:
            raise processes.Failed(f"a statement failed: {refused}", hub.cluster.log)
        return hub.value("SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0"
    begin = time.time()
    hub.psql("UPDATE exact.workspace SET enabled = true")
    hub.wait_for("all is delivered", is_delivered, 3600 + rows / 50, 1)
    end = float(hub.value("SELECT extract(epoch FROM max(delivered_at)) FROM exact.batch"))
    figures = {"rows": rows, "seconds": end - begin, "cpu": cpu(pid) - used, **memory.figures()}
    figures["settled"], figures["most"] = memory.after(float(hub.value(
        f"SELECT extract(epoch FROM min(delivered_at)) FROM exact.batch WHERE seq_min >= {seq}")))
    log = hub.query("SELECT kind, statement_id, extract(epoch FROM finished_at) AS finished"
                    f" FROM exact.statement_log WHERE id > {last} ORDER BY id")
    service, spans = asked(databricks, begin, end)
    figures |= service
    figures["merges"] = covered([spans[one["statement_id"]] for one in log
                                 if one["kind"] in WRITING and one["statement_id"] in spans], begin, end)
    figures["noticed"] = sum(one["finished"] - spans[one["statement_id"]][1] for one in log
                             if one["statement_id"] in spans and one["finished"] is not None)
    figures["kinds"] = {kind: sum(one["kind"] == kind for one in log)
                        for kind in dict.fromkeys(one["kind"] for one in log)}
    prove("the hub", in_delta(databricks, hub.schema, "`_key`", f"WHERE `_seq` >= {seq}"), rows)
    return figures | written(*tables_of(databricks, hub.schema))


# ---- the others ----

def run(script, *arguments, env):
    """A script of another side as a process of its own: what it printed last, or how it failed, with its memory."""
    begun = time.monotonic()
    with subprocess.Popen([sys.executable, BENCH / script, *map(str, arguments)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, text=True, env={**os.environ, **env}) as child:
        # where memory ends, this process does, and no other of the machine
        pathlib.Path(f"/proc/{child.pid}/oom_score_adj").write_text("1000")
        memory = Memory(child.pid)
        lines = child.stdout.read().splitlines()
    if child.returncode or not lines:
        told = {"failed": f"ended with status {child.returncode} after {time.monotonic() - begun:,.0f} s"}
    else:
        told = json.loads(lines[-1])
    return told, memory.figures()


def by_dlt(directory, rows, first, path):
    directory = pathlib.Path(directory) / "dlt"
    directory.mkdir()
    env = {**PEERS, "DLT_DATA_DIR": str(directory / "data"),
           "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}
    run("bulk_dlt.py", "load", first, directory, env=env)
    told, memory = run("bulk_dlt.py", "load", path, directory, env=env)
    if "failed" in told:
        return {**told, **memory}
    found, _ = run("bulk_dlt.py", "count", directory, env=env)
    prove("dlt", found, rows + count_lines(first))
    return {"rows": rows, **told, **memory} | written(*(directory / "tables" / "lake" / table
                                                        for table in ("items", "items_history")))


def by_sdk(databricks, rows, first, path):
    info, schema = databricks.info, "plain"
    databricks.make_schema(schema)
    env = {"DATABRICKS_HOST": databricks.url, "DATABRICKS_CLIENT_ID": info["client_id"],
           "DATABRICKS_CLIENT_SECRET": info["client_secret"]}
    told, memory = run("bulk_sdk.py", info["warehouse_id"], f"{info['catalog']}.{schema}", first, path,
                       rows, env=env)
    if "failed" in told:
        return {**told, **memory}
    begin = told.pop("at")
    figures = {**told, **memory, **asked(databricks, begin, begin + told["seconds"])[0]}
    prove("databricks-sdk", in_delta(databricks, schema, "`ID`"), told["rows"] + count_lines(first))
    return figures | written(*tables_of(databricks, schema))


# ---- the whole ----

LINES = {
    "rows": "rows", "seconds": "seconds", "seconds for 100,000": "seconds for 100,000 rows at this rate",
    "engine": "of the time a statement of it was in the engine",
    "own": "of the time none was: files on their way, all else",
    "memory": "RssAnon at first; after the first delivery, at most since then, at last",
    "rss": "RSS at most", "cpu": "CPU",
    "writing": "statements that write into the history and into current",
    "for 100,000": "the same for 100,000 rows (of the hub, for each 100,000 that were begun)",
    "other": "other statements",
    "requests": "requests, bytes of their bodies", "written": "files and bytes of both tables at the end"}


def megabytes(number):
    return f"{number / 1e6:,.0f} MB"


def cells_of_hub(hub):
    hundreds, own = -(-hub["rows"] // 100000), hub["seconds"] - hub["engine"]
    other = [f"{number} {kind}" for kind, number in hub["kinds"].items() if kind not in WRITING]
    return {
        "engine": f"{hub['engine'] / hub['seconds']:.1%}, MERGEs alone {hub['merges'] / hub['seconds']:.1%}",
        "own": f"{own / hub['seconds']:.1%}: {hub['files']:.1f} s, {own - hub['files']:.1f} s",
        "memory": f"{hub['first']:,.0f}; {hub['settled']:,.0f}, {hub['most']:,.0f}, {hub['last']:,.0f} MB",
        "writing": " and ".join(f"{hub['kinds'].get(kind, 0)}" for kind in WRITING),
        "for 100,000": " and ".join(f"{hub['kinds'].get(kind, 0) / hundreds:.1f}" for kind in WRITING),
        "other": ", ".join(other) or "none"}


def cells_of_dlt(_):
    return {"engine": "no engine", "own": "all", "writing": "none", "for 100,000": "none", "other": "none",
            "requests": "none"}


def cells_of_sdk(sdk):
    each = sdk["statements"] // 2
    return {
        "engine": f"{sdk['engine'] / sdk['seconds']:.1%}",
        "own": f"{1 - sdk['engine'] / sdk['seconds']:.1%}",
        "writing": f"{each:,} and {each:,}",
        "for 100,000": " and ".join([f"{each / sdk['rows'] * 100000:,.0f}"] * 2),
        "other": "none"}


def cells(side, of):
    """What the table says of a side, by name"""
    memory = {"memory": f"at most {side['peak']:,.0f} MB", "rss": f"{side['rss']:,.0f} MB"}
    if "failed" in side:
        return {"rows": side["failed"], **memory}
    found = {
        "rows": f"{side['rows']:,}", "seconds": f"{side['seconds']:,.1f}",
        "seconds for 100,000": f"{side['seconds'] / side['rows'] * 100000:,.1f}", **memory,
        "cpu": f"{side['cpu']:,.1f} s",
        "written": f"{side['written_files']:,}, {megabytes(side['written_bytes'])}"}
    if "requests" in side:
        found["requests"] = f"{side['requests']:,}, {megabytes(side['bytes'])}"
    return found | of(side)


def table(*sides):
    named = [cells(side, of) for side, of in zip(sides, (cells_of_hub, cells_of_dlt, cells_of_sdk))]
    lines = [("what", "the hub, by files in the volume", "dlt with Delta tables",
              "databricks-sdk, 1,000 rows a statement"), ("---",) * 4]
    lines += [(what, *(one.get(name, "") for one in named)) for name, what in LINES.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(directory, results, rows, sdk_rows, command):
    exact, databricks = simulators(directory, ("--records", RECORDS, "--divisions", 1, "--fast", "--minute-limit",
                                               100000), ("--engine", "spark", "--heap", HEAP))
    hub = Hub(pathlib.Path(directory) / "hub", exact, databricks, settings={"exact_databricks.sync_interval": "1h"})
    hub.create()
    databricks.make_schema(hub.schema)
    hub.configure(workspace_row={"volume": databricks.make_volume(hub.schema)})
    hub.authorize()
    hub.enable(entities=("items",))
    hub.wait_loaded()
    made_by = sections.made_by(command, hub.value("SHOW server_version"))
    seq, first, path = stage(hub, rows)
    size = path.stat().st_size // rows
    figures = []

    def measured(side):
        print(json.dumps(side), flush=True)
        figures.append(side)
    measured(deliver(hub, databricks, rows, seq))
    hub.stop()  # the others have the workspace and the machine for themselves
    measured(by_dlt(directory, rows, first, path))
    measured(by_sdk(databricks, min(rows, sdk_rows), first, path))
    text = f"""{table(*figures)}

{textwrap.fill(explain(figures, rows, sdk_rows, size, count_lines(first)), 120, break_on_hyphens=False)}

{made_by}"""
    sections.write(results, "In bulk", text)
    print(text)
    processes.stop_all()
    return 0


def explain(figures, rows, sdk_rows, size, first):
    hub, stopped = figures[0], ""
    if sdk_rows < rows:
        stopped = f" It was stopped after {sdk_rows:,} rows: none of its figures is for more."
    return f"""\
{rows:,} times an item of {size:,} bytes as Exact Online sends it, each with an ID of its own, into a current table and
a history, which hold the {first} items of a first load before the clock starts. Files of one item pack better than
those of many. The hub's rows are staged while its workspace is disabled; its time is from enabling until the last batch
is delivered. Afterwards each table of each side holds each key once. The hub and the script of databricks-sdk ask the
same workspace, local Spark and Delta with a heap of {HEAP}. A statement is in the engine from when the workspace has
accepted it until it has ended; the hub noticed the ends {hub['noticed']:.2f} s later in all. Memory and CPU of the hub
are those of the loader. dlt {dlt_version()} runs no Spark and asks no warehouse: its own process writes the files of
both tables into a directory, by upsert and append, so its seconds are not those of an engine, and no workspace knows
the tables. The script sends two statements for 1,000 rows, an INSERT and a MERGE; their one parameter is read by
from_json.{stopped} Targets of the hub: 80 % of the time in the engine, 2 statements for a table and 100,000 rows,
RssAnon within 16 MB from its first delivery on."""


def dlt_version():
    lines = (BENCH.parent / "scripts" / "requirements-bench.txt").read_text().splitlines()
    return next(line.split("==")[1].split()[0] for line in lines if line.startswith("dlt=="))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
