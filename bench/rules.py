"""What checking costs: a first load of documents with all rules and with none; then many documents that are held."""
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
HELD = 100000


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
        return figures, (held(hub) if rules else None), hub.value("SHOW server_version")
    finally:
        hub.stop()
        online.stop()


def held(hub):
    """ms that exact.status takes beside so many documents that wait."""
    hub.psql(f"""INSERT INTO exact.judgement (division, entity, key, state, since, problems, waits, seq)
        SELECT (SELECT min(division) FROM exact.division), 'purchaseentries', gen_random_uuid()::text, 'held',
            now() - interval '1 h', '{{Line 1: Cost center X is not in Exact Online.}}',
            ARRAY['costcenter:' || n % 1000], n
        FROM generate_series(1, {HELD}) AS n; ANALYZE exact.judgement""")
    times = []
    for _ in range(5):
        begun = time.monotonic()
        hub.psql("SELECT * FROM exact.status")
        times.append((time.monotonic() - begun) * 1000)
    begun = time.monotonic()
    hub.psql("SELECT 1")
    return sorted(times)[2] - (time.monotonic() - begun) * 1000


def main(directory, results, documents):
    directory = pathlib.Path(directory)
    workspace = Databricks.start(directory, "--engine", "none")
    try:
        (docs, lines, on_s, on_cpu), status, server = measure(directory / "on", workspace, documents, True)
        (_, _, off_s, off_cpu), _, _ = measure(directory / "off", workspace, documents, False)
    finally:
        workspace.stop()
    text = f"""| what | figure | target |
|---|---|---|
| CPU of the fetcher for a line that is checked by the shipped rules, beside the same load without rules | \
{(on_cpu - off_cpu) / lines * 1e6:.1f} µs | 15 µs |
| staging of {docs:,} purchase entries with {lines:,} lines, CPU of the fetcher, with rules | {on_cpu:.2f} s, without \
{off_cpu:.2f} s: {off_cpu / on_cpu * 100:.0f} % as fast | 90 % |
| the same load until all is judged | {on_s:.1f} s, without rules {off_s:.1f} s | |
| `exact.status` beside {HELD:,} documents that wait | {status:.0f} ms | 100 ms |

Divisions: 1; the Exact Online simulator on the same machine, no engine. The load reads, parses, stages and judges.

{sections.made_by(f"bench/rules {documents}", server)}"""
    sections.write(results, "Rules", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
