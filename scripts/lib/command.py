"""
A command of its own servers, as a user sees it: its arguments, what it says, and its end, after which nothing is left
running.
"""
import argparse
import pathlib
import re
import signal
import sys
import time

import processes
from cluster import SqlError
from processes import Failed

TERMINAL = sys.stdout.isatty()
TROUBLE = re.compile(r"WARNING|ERROR|FATAL|PANIC|: failed |: later |: paused ")


def say(text=""):
    print(text, flush=True)


def say_line(text, over=False):
    """A line; on a terminal one that shows progress may be written over by the next."""
    if TERMINAL:
        print(f"\r{text}\x1b[K", end="" if over else "\n", flush=True)
    else:
        say(text)


def seconds_text(seconds):
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{int(seconds) // 60} m {int(seconds) % 60:02} s"


def arguments(name, description):
    """A parser with what every such command takes."""
    parser = argparse.ArgumentParser(prog=f"scripts/{name}", description=description)
    parser.add_argument("--directory", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--engine", choices=("spark", "none"), default="spark",
                        help="none: a stand-in without Java instead of real Delta tables")
    return parser


def last_lines(failure):
    """The end of the log that a failure names, and before it the last lines that tell of trouble."""
    log = getattr(failure, "log", None)
    if not log or not pathlib.Path(log).exists():
        return []
    lines = pathlib.Path(log).read_text(errors="replace").splitlines()
    return [line for line in lines[:-25] if TROUBLE.search(line)][-15:] + lines[-25:]


def trouble_since(log, at):
    """Lines of a log of PostgreSQL that tell of trouble since a time of time.time(), 40 at most."""
    first = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))
    lines = pathlib.Path(log).read_text(errors="replace").splitlines()
    return [line for line in lines if line[:19] >= first and TROUBLE.search(line)][-40:]


def run(name, body):
    """The exit status of body(): its own, 1 after a failure that is told with the end of its log, 130 after Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its children with SIGINT ignored
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return body()
    except KeyboardInterrupt:
        say("\nended")
        return 130
    except (Failed, SqlError) as failure:
        say(f"\nthe {name} cannot go on: {failure}")
        lines = getattr(failure, "lines", None) or last_lines(failure)
        if lines:
            say(f"the last lines of {failure.log}:\n" + "\n".join("  | " + line[:200] for line in lines))
        return 1
    finally:
        processes.stop_all()
