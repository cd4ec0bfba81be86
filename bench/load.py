"""The first load of two divisions' books into local Spark and Delta: seconds, statements, memory and CPU."""
import json
import os
import pathlib
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from cluster import literal  # noqa: E402
from hub import FINANCE, Hub, simulators  # noqa: E402
from truth import Comparison  # noqa: E402

NAMES = {"before": "the version before", "inline": "without a volume", "volume": "through the volume"}


class Watch(threading.Thread):
    """Of the loader: the highest RssAnon, and its CPU until now."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.first, self.peak, self.cpu = pid, None, 0, 0.0
        self.start()

    def run(self):
        while True:
            try:
                status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
                times = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
                rss = int(status.split("RssAnon:")[1].split()[0])
            except (OSError, IndexError):
                return
            self.first = self.first or rss
            self.peak = max(self.peak, rss)
            self.cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
            time.sleep(0.2)


def make_hub(directory, exact, databricks, schema, how):
    """A hub that is authorised and has read nothing."""
    hub = Hub(pathlib.Path(directory) / schema, exact, databricks, schema=schema,
              settings={"exact_databricks.sync_interval": "1h"})
    hub.create()
    row = ()
    if how == "volume":
        databricks.make_schema(hub.schema)
        row = {"volume": databricks.make_volume(hub.schema)}
    hub.configure(workspace_row=row)
    hub.authorize()
    return hub


def measure(directory, out, records, how, divisions):
    exact, databricks = simulators(directory, ("--preset", "finance", "--records", records, "--divisions", divisions,
                                               "--fast", "--minute-limit", 100000, "--day-limit", 10000000),
                                   ("--engine", "spark", *(("--heap", "4g") if divisions > 2 else ())))
    if divisions == 2:      # what a Java process compiles in its first minute is no work of a warehouse
        warm = make_hub(directory, exact, databricks, "warm", how)
        warm.enable(entities=FINANCE)
        warm.wait_loaded(14400)
        warm.cluster.stop()
    hub = make_hub(directory, exact, databricks, "exact", how)
    watch = Watch(int(hub.value("SELECT pid FROM exact._workers() WHERE role = 'loader'")))
    load, begun = os.getloadavg()[0], time.monotonic()
    at = hub.value("SELECT clock_timestamp()")
    hub.enable(entities=FINANCE)
    hub.wait_loaded(14400)
    seconds = time.monotonic() - begun
    versions = int(hub.value("SELECT sum(rows) FROM exact.batch"))
    staged = float(hub.value(f"SELECT extract(epoch FROM max(at) - {literal(at)}) FROM exact.stage"))
    merges, other = map(int, hub.psql(
        "SELECT count(*) FILTER (WHERE kind IN ('history', 'current')),"
        " count(*) FILTER (WHERE kind NOT IN ('history', 'current')) FROM exact.statement_log").strip().split("|"))
    figures = {"seconds": seconds, "staged": staged, "versions": versions, "merges": merges, "other": other,
               "cpu": watch.cpu, "first": watch.first, "peak": watch.peak, "load": load,
               "server": hub.value("SHOW server_version")}
    if how != "before":     # its books are compared as the version before them was, by its own tests
        equal = Comparison(exact, databricks, hub.schema).run()
        if equal.differences:
            raise processes.Failed(f"not what Exact Online has: {equal}", hub.cluster.log)
        figures["equal"] = str(equal)
    pathlib.Path(out).write_text(json.dumps(figures))
    print(how, json.dumps(figures), flush=True)
    processes.stop_all()
    return 0


def write(directory, results, command, divisions):
    found = {name: json.loads((pathlib.Path(directory) / f"{name}.json").read_text())
             for name in NAMES if (pathlib.Path(directory) / f"{name}.json").exists()}
    rows = "\n".join(
        f"| {NAMES[name]} | {f['versions']:,} | {f['seconds']:.0f} s | {f['staged']:.0f} s | {f['merges']} "
        f"| {f['other']} | {f['cpu']:.1f} s | {f['first'] / 1024:.0f} to {f['peak'] / 1024:.0f} MB | {f['load']:.1f} |"
        for name, f in found.items())
    equal = "\n".join(f"In the end, {NAMES[name]}: {f['equal']}." for name, f in found.items() if "equal" in f)
    target = "" if divisions != "2" else """ Another hub
of the same version has loaded the same books into another schema before, so that the engine is warm.
The target is an eighth of the time of the version before; what is left beside the deliveries are the statements that
make 50 tables."""
    sections.write(results, "A first load" if divisions == "2" else "A large first load", f"""\
| how | versions | loaded after | all staged after | MERGEs, INSERTs | other statements | CPU of the loader \
| its RssAnon | load at the start |
|---|---|---|---|---|---|---|---|---|
{rows}

The preset finance of {divisions} divisions, 25 entities, from the simulator of Exact Online into 50 Delta tables on
local Spark and Delta, eight tables at a time.{target}

{equal}

{sections.made_by(command, next(iter(found.values()))['server'])}""")
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--write":
        sys.exit(write(*sys.argv[2:]))
    sys.exit(measure(*sys.argv[1:3], int(sys.argv[3]), sys.argv[4], int(sys.argv[5])))
