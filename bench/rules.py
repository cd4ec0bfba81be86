"""What checking costs: a first load with all rules and with none; then many documents that wait and go on."""
import os
import pathlib
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import sections  # noqa: E402
from hub import Hub  # noqa: E402
from services import Databricks, ExactOnline  # noqa: E402

UNLIMITED = ("--minute-limit", 100000, "--day-limit", 10000000, "--error-limit", 0)
DIMENSIONS = ("glaccount", "costcenter", "costunit")
DOCUMENTS = ("purchaseentries", "purchaseentrylines")
RULES = ("line_gl_account_exists", "line_cost_center_exists", "line_cost_unit_exists", "cost_center_required",
         "cost_center_ended", "gl_account_blocked", "entry_balances", "lines_match_header")


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(hub, rules):
    """(documents, lines, seconds of the load, CPU seconds of the fetcher) of all documents read from the start."""
    pid = int(hub.value("SELECT pid FROM exact._workers() WHERE role = 'fetcher'"))
    hub.psql("DELETE FROM exact.rule")
    if not rules:
        hub.psql("INSERT INTO exact.rule (name, enabled) VALUES " + ", ".join(f"('{r}', false)" for r in RULES))
    begun, before = time.monotonic(), cpu_seconds(pid)
    hub.enable(entities=DOCUMENTS)
    hub.wait_for("the load", lambda: hub.value(
        "SELECT count(*) FROM exact.feed_state WHERE feed = 'purchaseentries' AND first_complete_at IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM exact.unjudged)") == "1", 900)
    seconds, cpu = time.monotonic() - begun, cpu_seconds(pid) - before
    documents, lines = (int(hub.value(f"SELECT count(*) FROM exact.record WHERE entity = '{e}'")) for e in DOCUMENTS)
    return documents, lines, seconds, cpu


def measure(directory, workspace, documents, rules):
    online = ExactOnline.start(directory, "--fast", *UNLIMITED, "--preset", "finance", "--records", documents,
                               "--divisions", 1)
    hub = Hub(directory / "hub", online, workspace, schema=directory.name, settings={
        "exact_databricks.sync_interval": "1h", "exact_databricks.merge_interval": "1h"})
    try:
        hub.create()
        hub.configure()
        hub.authorize()
        hub.enable(entities=DIMENSIONS)
        hub.wait_for("dimensions", lambda: hub.value(
            "SELECT bool_and(read) FROM exact._dimension_known("
            "(SELECT division FROM exact.division LIMIT 1))") == "t", 300)
        figures = load(hub, rules)
        return figures, hub.value("SHOW server_version")
    finally:
        hub.stop()
        online.stop()


def ms(hub, text):
    """ms that a query takes in psql, beside those of the shortest one; the middle of five."""
    times = {text: [], "SELECT 1": []}
    for _ in range(5):
        for query, taken in times.items():
            begun = time.monotonic()
            hub.psql(query)
            taken.append((time.monotonic() - begun) * 1000)
    return sorted(times[text])[2] - sorted(times["SELECT 1"])[2]


def idle(hub):
    return hub.value("""SELECT NOT EXISTS (SELECT FROM exact.batch WHERE delivered_at IS NULL)
        AND NOT EXISTS (SELECT FROM exact.unjudged)
        AND NOT EXISTS (SELECT FROM exact.verdict AS v WHERE v.again AND NOT EXISTS (
            SELECT FROM exact.dead_letter AS l WHERE l.batch = v.batch AND l.ord = v.ord AND l.state <> 'done'))
        AND NOT EXISTS (SELECT FROM exact.judgement WHERE again OR state = 'doubt')""") == "t"


def held(directory, workspace, wanted):
    """So many purchase entries wait for a cost center, which then arrives: what that takes."""
    online = ExactOnline.start(directory, "--fast", *UNLIMITED, "--preset", "finance", "--records", 2000,
                               "--divisions", 1)
    hub = Hub(directory / "hub", online, workspace, schema=directory.name, settings={
        "exact_databricks.sync_interval": "1h"})
    waits = "SELECT count(*) FROM exact.judgement WHERE state = 'held'"
    try:
        hub.create()
        workspace.make_schema(hub.schema)
        hub.configure(workspace_row={"volume": workspace.make_volume(hub.schema)})
        hub.authorize()
        division = online.divisions[0]
        hub.enable(entities=DIMENSIONS + DOCUMENTS)
        hub.wait_loaded(300)
        for seed, done in enumerate(range(0, wanted, 2000)):
            online.post("break", division=division, rule="line_cost_center_exists", kind="purchaseentries",
                        count=min(2000, wanted - done), seed=seed, distinct=20)
        begun = time.monotonic()
        hub.sync(3600, division=division, entity="purchaseentries")
        hub.wait_for("all of them wait", lambda: int(hub.value(waits)) >= wanted, 3600, 1)
        hub.wait_for("they are delivered as such", lambda: idle(hub), 3600, 1)
        kept = time.monotonic() - begun
        hub.psql("VACUUM (ANALYZE) exact.judgement")
        status = ms(hub, "SELECT * FROM exact.status")
        statements = int(hub.value("SELECT count(*) FROM exact.statement_log"))
        online.post("dimension", division=division, op="arrive")
        begun = time.monotonic()
        hub.sync(3600, division=division, entity="costcenter")
        hub.wait_for("none waits", lambda: hub.value(waits) == "0", 3600, 1)
        judged = time.monotonic() - begun
        hub.wait_for("all are delivered", lambda: idle(hub), 3600, 1)
        return {"held": wanted, "kept_s": kept, "status_ms": status, "judged_s": judged,
                "delivered_s": time.monotonic() - begun,
                "statements": int(hub.value("SELECT count(*) FROM exact.statement_log")) - statements}
    finally:
        hub.stop()
        online.stop()


def main(directory, results, documents, wanted):
    directory = pathlib.Path(directory)
    workspace = Databricks.start(directory, "--engine", "none")
    try:
        (docs, lines, on_s, on_cpu), server = measure(directory / "on", workspace, documents, True)
        (_, _, off_s, off_cpu), _ = measure(directory / "off", workspace, documents, False)
        wait = held(directory / "held", workspace, wanted)
    finally:
        workspace.stop()
    text = f"""| what | figure | target |
|---|---|---|
| CPU of the fetcher for a line that is checked by the shipped rules, beside the same load without rules | \
{(on_cpu - off_cpu) / lines * 1e6:.1f} µs | 15 µs |
| staging of {docs:,} purchase entries with {lines:,} lines, CPU of the fetcher, with rules | {on_cpu:.2f} s, without \
{off_cpu:.2f} s: {off_cpu / on_cpu * 100:.0f} % as fast | 90 % |
| the same load until all is judged | {on_s:.1f} s, without rules {off_s:.1f} s | |
| {wanted:,} purchase entries that name a missing cost center: read, doubted, read again, held, their lines marked | \
{wait["kept_s"]:.0f} s | |
| `exact.status` beside these | {wait["status_ms"]:.0f} ms | 100 ms |
| the cost centers arrive: all are judged again | {wait["judged_s"]:.0f} s | |
| and all are delivered, by {wait["statements"]:,} statements | {wait["delivered_s"]:.0f} s | |

Divisions: 1; the simulators on the same machine, no engine, a volume for what waits. The load reads, parses,
stages and judges.

{sections.made_by(f"bench/rules {documents} {wanted}", server)}"""
    sections.write(results, "Rules", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
