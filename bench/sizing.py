"""What a version, a record, a notification and an idle day leave in the database."""
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from hub import FINANCE, Hub, simulators  # noqa: E402

BYTES = """SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0) FROM pg_class AS c
WHERE c.relnamespace = 'exact'::regnamespace AND c.relkind = 'r' AND c.relname ~ '{}'"""


def bytes_of(hub, pattern):
    return int(hub.value(BYTES.format(pattern)))


def count(hub, table):
    return int(hub.value(f"SELECT count(*) FROM exact.{table}"))


def per(size, number):
    return f"{size / max(number, 1):,.0f} bytes"


def main(directory, results, records):
    exact, databricks = simulators(
        directory, ("--preset", "finance", "--records", records, "--divisions", 1, "--fast", "--day-limit", 10000000,
                    "--minute-limit", 100000), ("--engine", "none"))
    hub = Hub(pathlib.Path(directory) / "hub", exact, databricks, settings={"exact_databricks.sync_interval": "1h"})
    hub.create(processes.free_port())
    empty = bytes_of(hub, "^(stage_[0-9]+|record|batch|audit_log|api_call|statement_log)$")
    hub.configure()
    hub.authorize()
    hub.enable(entities=FINANCE)
    hub.wait_loaded()
    hub.sync(300)
    hub.psql("VACUUM ANALYZE")
    versions, known = count(hub, "stage"), count(hub, "record")
    payload = int(hub.value("SELECT round(avg(octet_length(payload))) FROM exact.stage"))
    calls, events = count(hub, "api_call"), count(hub, "audit_log")
    statements = count(hub, "statement_log")
    all_of_it = bytes_of(hub, "^(stage_[0-9]+|record|batch|audit_log|api_call|statement_log)$") - empty
    text = f"""| what | size |
|---|---|
| a version in `exact.stage`, its text of {payload:,} bytes and its index with it | \
{per(bytes_of(hub, '^stage_[0-9]+$'), versions)} |
| a record in `exact.record` | {per(bytes_of(hub, '^record$'), known)} |
| a call in `exact.api_call` | {per(bytes_of(hub, '^api_call$'), calls)} |
| an event in `exact.audit_log` | {per(bytes_of(hub, '^audit_log$'), events)} |
| a statement in `exact.statement_log` | {per(bytes_of(hub, '^statement_log$'), statements)} |
| all of these per record of a first load | {per(all_of_it, known)} |

After a first load of the preset `finance`: {known:,} records, {calls:,} calls, {statements:,} statements,
{events:,} events.

{sections.made_by(f"bench/sizing {records}", hub.value("SHOW server_version"))}"""
    sections.write(results, "Size of the database", text)
    print(text)
    hub.cluster.stop()
    processes.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
