"""CPU and memory of the loader for a row that it delivers, as text and as files, into an engine-free workspace."""
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from hub import Hub, simulators  # noqa: E402
from load import Watch  # noqa: E402

BATCH = 1000
ENTITY = "transactionlines"
# one line of the ledger as Exact Online sends it, as often as is wanted, under keys that its record has, too
STAGE = """WITH b AS (SELECT nextval('exact.batch_id') AS id),
    one AS (SELECT s.division, s.key, s.payload
        FROM exact.stage s WHERE s.entity = '{entity}' AND s.payload IS NOT NULL
        ORDER BY length(s.payload), s.seq LIMIT 1),
    s AS (INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, hash, payload)
        SELECT b.id % 64, b.id, i, (1::bigint << 40) + nextval('exact.version_counter'), one.division, '{entity}',
            k.key, 'I', sha256(''), replace(one.payload, one.key, k.key)
        FROM b, one, generate_series(0, {batch} - 1) AS i,
            LATERAL (SELECT lpad(to_hex({first} + i), 8, '0') || substr(one.key, 9) AS key) AS k RETURNING *)
    INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
    SELECT min(batch), min(slot), 'lake', min(division), '{entity}', '{entity}', 1, count(*), sum(length(payload)),
        min(seq), max(seq) FROM s"""


def cpu(pid):
    """Seconds on a CPU since the process began."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def measure(hub, rows, first, volume):
    """(CPU a row in microseconds, MB at the start, highest MB, MERGEs)"""
    hub.psql("UPDATE exact.workspace SET enabled = false, volume = " + ("'files'" if volume else "NULL"))
    for at in range(first, first + rows, BATCH):
        hub.psql(STAGE.format(entity=ENTITY, first=at, batch=BATCH))
    merges = int(hub.value("SELECT count(*) FROM exact.statement_log WHERE kind IN ('history', 'current')"))
    pid = int(hub.value("SELECT pid FROM exact._workers() WHERE role = 'loader'"))
    watch, before = Watch(pid), cpu(pid)
    hub.psql("UPDATE exact.workspace SET enabled = true")
    hub.wait_for("all is delivered", lambda: hub.value(
        "SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0", 3600)
    return ((cpu(pid) - before) / rows * 1e6, watch.first / 1024, watch.peak / 1024,
            int(hub.value("SELECT count(*) FROM exact.statement_log WHERE kind IN ('history', 'current')")) - merges)


def main(directory, results, rows):
    exact, databricks = simulators(directory, ("--preset", "finance", "--records", 200, "--divisions", 1, "--fast",
                                               "--minute-limit", 100000), ("--engine", "none"))
    hub = Hub(pathlib.Path(directory) / "hub", exact, databricks, settings={"exact_databricks.sync_interval": "1h"})
    hub.create()
    hub.configure()
    databricks.make_volume(hub.schema)
    hub.authorize()
    hub.enable(entities=(ENTITY,))
    hub.wait_loaded()
    made_by = sections.made_by(f"bench/loader {rows}", hub.value("SHOW server_version"))
    size = int(hub.value(f"SELECT min(length(payload)) FROM exact.stage WHERE entity = '{ENTITY}'"))
    text, files = measure(hub, rows, 0, False), measure(hub, rows, rows, True)
    table = f"""| how | CPU a row | target | RssAnon at the start, highest | MERGEs |
|---|---|---|---|---|
| as text in statements | {text[0]:.0f} µs | 25 µs | {text[1]:.0f}, {text[2]:.0f} MB | {text[3]} |
| as files (.jsonl.gz) | {files[0]:.0f} µs | 50 µs | {files[1]:.0f}, {files[2]:.0f} MB | {files[3]} |

{rows:,} lines of the ledger of {size:,} bytes each way, time of the loader's process on a CPU from waking to the last
record, engine-free workspace.

{made_by}"""
    sections.write(results, "The loader's own work", table)
    print(table)
    processes.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
