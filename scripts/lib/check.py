"""Runs suites in two lanes side by side and closes with `N passed, N failed`. Called by scripts/check as an ordinary user."""
import concurrent.futures
import pathlib
import signal
import sys
import threading
import time
import traceback

import processes
from suites import SUITES, Result, Run

TAIL = 120  # lines of a failed suite's log
SECOND_LANE = ("simulators", "flow", "kills")  # mostly wait for Spark; the others need the processor in short bursts
_printing = threading.Lock()


def _show(name, run, result, seconds):
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    lines = [f"  {name:<12}{result.passed:>4} passed, {len(result.failed)} failed{skipped:<12} {seconds:6.0f} s"]
    if result.failed:
        lines += [f"    failed: {failed}" for failed in result.failed]
        log = run.text().splitlines()
        lines.append(f"    the last lines of its log ({len(log)} lines):")
        lines += ["    | " + line for line in log[-TAIL:]]
    with _printing:
        print("\n".join(lines), flush=True)


def _lane(work, names):
    total = Result()
    for name in names:
        run, begun = Run(pathlib.Path(work), name), time.monotonic()
        try:
            result = SUITES[name](run)
        except Exception:  # a suite that breaks is a failure of that suite, the others still run
            run.note(traceback.format_exc())
            result = Result(failed=[f"{name} broke off"])
        _show(name, run, result, time.monotonic() - begun)
        total.merge(result)
    return total


def main(work, names):
    started, total = time.monotonic(), Result()
    lanes = [[n for n in names if n not in SECOND_LANE], [n for n in names if n in SECOND_LANE]]
    print("  running     " + "; beside them ".join(", ".join(lane) for lane in lanes if lane), flush=True)
    with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
        for result in pool.map(lambda lane: _lane(work, lane), lanes):
            total.merge(result)
    processes.stop_all()
    print(f"  all in {(time.monotonic() - started) / 60:.1f} minutes")
    print(f"{total.passed} passed, {len(total.failed)} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def _ended(*_):
    sys.exit(130)


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell starts its children with SIGINT ignored
        signal.signal(sign, _ended)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
