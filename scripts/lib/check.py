"""Runs suites and closes with `N passed, N failed`. Called by scripts/check as an ordinary user."""
import pathlib
import re
import signal
import sys
import threading
import time
import traceback

import processes
from suites import FIRST, LANES, SHORT, SUITES, Result, Run, lend_a_hand

AROUND, TAIL, MOST = 12, 60, 400  # lines shown of a failed suite's log: around each failure, its end, all in all
LONGEST = 16                      # files of tests that are named at the end
NAMED = 40                        # failures that are named there
FAILURE = re.compile(r"^not ok|^E  |FAILED|Failed test|error:|Error|still running after")


def excerpt(text):
    """What explains a failure: the lines before each place where one shows, and the end of the log."""
    lines = text.splitlines()
    wanted = set(range(max(0, len(lines) - TAIL), len(lines)))
    for number, line in enumerate(lines):
        if FAILURE.search(line) and len(wanted) < MOST:
            wanted.update(range(max(0, number - AROUND), min(len(lines), number + 4)))
    shown, last = [], -1
    for number in sorted(wanted)[-MOST:]:
        if number != last + 1:
            shown.append("    | …")
        shown.append("    | " + lines[number][:400])
        last = number
    return "\n".join(shown)


def run_suite(work, name, patterns, total, lock):
    """A suite, or the files of it that the patterns name."""
    run, begun = Run(pathlib.Path(work), name), time.monotonic()
    result = Result()
    try:
        for arguments in [[pattern] for pattern in patterns] or [[]]:
            result.merge(SUITES[name](run, *arguments))
    except Exception:  # a suite that breaks is a failure of that suite, the others still run
        run.note(traceback.format_exc())
        result = Result(failed=[f"{name} broke off"])
    skipped = f", {result.skipped} skipped" if result.skipped else ""
    with lock:
        print(f"  {name:<12}{result.passed:>5} passed, {len(result.failed)} failed{skipped:<12} "
              f"{time.monotonic() - begun:6.0f} s", flush=True)
        if result.failed:
            print("\n".join(f"    failed: {failed}" for failed in result.failed))
            print(excerpt(run.text()), flush=True)
        total.merge(result)


def main(work, wanted):
    started, total, lock = time.monotonic(), Result(), threading.Lock()
    names = {}
    for each in wanted:
        name, _, pattern = each.partition(":")
        names.setdefault(name, []).extend([pattern] if pattern else [])

    def run_lane(lane, helpful):
        for name in lane:
            if name in names:
                run_suite(work, name, names[name], total, lock)
        if helpful and names.keys() & set(lane):
            lend_a_hand()
    for lanes in (FIRST, SHORT, LANES):
        threads = [threading.Thread(target=run_lane, args=(lane, lanes is LANES), daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        processes.stop_all()
    longest = sorted(total.took, reverse=True)[:LONGEST]
    if longest:
        print("  longest: " + ", ".join(f"{pathlib.PurePath(test).name} {seconds:.0f} s" for seconds, test in longest))
    print(f"  all in {(time.monotonic() - started) / 60:.1f} minutes")
    for failed in total.failed[:NAMED]:     # once more: of a long log the end is read
        print(f"  failed: {failed}")
    print(f"{total.passed} passed, {len(total.failed)} failed", flush=True)
    return 1 if total.failed or not total.passed else 0


def _ended(*_):
    sys.exit(130)


if __name__ == "__main__":
    for sign in (signal.SIGINT, signal.SIGTERM):  # a shell starts its children with SIGINT ignored
        signal.signal(sign, _ended)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
