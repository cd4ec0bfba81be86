"""A hub that works for hours of simulated time with a retention of an hour: how large its tables get, and whether all
that is to stay is there."""
import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent),
                str(pathlib.Path(__file__).resolve().parents[1] / "scripts" / "lib")]

import processes  # noqa: E402
import sections  # noqa: E402
from hub import ENTITIES, Hub, simulators  # noqa: E402
from retained import SETTINGS, faults, run  # noqa: E402

TABLES = ("stage", "record", "batch", "audit_log", "api_call", "statement_log", "inbox", "inbox_work", "request", "all")


def main(directory, results, hours, minutes, changes):
    exact, databricks = simulators(
        directory, ("--records", 600, "--divisions", 3, "--fast", "--day-limit", 10000000, "--minute-limit", 100000,
                    "--error-limit", 0), ("--engine", "none"))
    hub = Hub(pathlib.Path(directory) / "hub", exact, databricks, settings=SETTINGS)
    hub.set_up()
    hub.enable(entities=ENTITIES)
    hub.wait_loaded()
    kept = run(hub, hours, minutes, changes, lambda text: print(text, flush=True))
    wrong = faults(hub, kept, hours)
    records = hub.value("SELECT count(*) FROM exact.record")
    sizes = [kept.of_hour(hour) for hour in range(1, hours + 1)]
    text = (f"| largest size in hour | {' | '.join(str(hour) for hour in range(1, hours + 1))} |\n"
            f"|---|{'---|' * hours}\n"
            + "\n".join(f"| `{name}` | " + " | ".join(f"{size.get(name, 0) / 1024:,.0f} kB" for size in sizes) + " |"
                        for name in TABLES)
            + f"\n\n{int(records):,} records, {kept.changes:,} changes in {hours} hours of simulated time, "
            f"`retention` and `audit_retention` 1h, rounds of {minutes} minutes, `VACUUM` after each. At the end: "
            + ("every record has its newest version, Delta equals the truth, also after a replay into an emptied "
               "table, `verify_audit()` has no row, no table is more than 10 % larger in the last hour than in the "
               "second." if not wrong else "; ".join(wrong))
            + f"\n\n{sections.made_by(f'bench/kept {hours} {minutes} {changes}', hub.value('SHOW server_version'))}")
    sections.write(results, "Kept for long", text)
    print(text)
    hub.stop()
    processes.stop_all()
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])))
