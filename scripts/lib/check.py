"""Runs suites one after the other and closes with `N passed, N failed`. Called by scripts/check as an ordinary user."""
import pathlib
import signal
import sys
import time
import traceback

import processes
from suites import SUITES, Result, Run

TAIL = 120  # lines of a failed suite's log


def main(work, names):
    started, total = time.monotonic(), Result()
    for name in names:
        print(f"  {name:<12}", end="", flush=True)
        run, begun = Run(pathlib.Path(work), name), time.monotonic()
        try:
            result = SUITES[name](run)
        except Exception:  # a suite that breaks is a failure of that suite, the others still run
            run.note(traceback.format_exc())
            result = Result(failed=[f"{name} broke off"])
        processes.stop_all()
        seconds = time.monotonic() - begun
        skipped = f", {result.skipped} skipped" if result.skipped else ""
        print(f"{result.passed:>4} passed, {len(result.failed)} failed{skipped:<12} {seconds:6.0f} s", flush=True)
        if result.failed:
            for failed in result.failed:
                print(f"    failed: {failed}")
            lines = run.text().splitlines()
            print(f"    the last lines of its log ({len(lines)} lines):")
            print("\n".join("    | " + line for line in lines[-TAIL:]), flush=True)
        total.merge(result)
    print(f"  all in {(time.monotonic() - started) / 60:.1f} minutes")
    print(f"{total.passed} passed, {len(total.failed)} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def _ended(*_):
    sys.exit(130)


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell starts its children with SIGINT ignored
        signal.signal(sign, _ended)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
