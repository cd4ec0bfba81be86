"""The suites of scripts/check: each runs tests of one kind, writes one log and counts single tests."""
import collections
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as xml
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import analysis as static_analysis
import servers as other_servers
import statements
import supply
from cluster import Cluster
from processes import descendants
from texts import OF_TEXTS, OF_THE_BUILD, text_checks

TREE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["EXACT_DATABRICKS_PG_BIN"])
COUNTING = os.environ.get("EXACT_DATABRICKS_COPT")  # flags of scripts/check --coverage
WARNINGS = "-Wall -Wextra -Wshadow -Werror"


@dataclass
class Result:
    passed: int = 0
    failed: list = field(default_factory=list)  # names of what failed
    skipped: int = 0
    took: list = field(default_factory=list)  # (seconds, file of tests)

    def add(self, name, good):
        if good:
            self.passed += 1
        else:
            self.failed.append(name)

    def merge(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.took += other.took
        return self


class Run:
    """Where a suite works, and how it runs commands."""

    def __init__(self, work, name, programs=BIN):
        self.programs = programs  # those of the server that it is about
        self.directory = pathlib.Path(work) / name
        self.directory.mkdir(parents=True, exist_ok=True)
        self.log = self.directory / "log"

    def command(self, *command, cwd=TREE, env=None, seconds=1500):
        """Exit status; the output goes to the run's log."""
        with open(self.log, "ab") as log:
            log.write(("$ " + " ".join(map(str, command)) + "\n").encode())
            log.flush()
            process = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, env={
                **os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", **(env or {})})
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                for pid in [process.pid, *descendants(process.pid)]:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()
                log.write(f"\nstopped: still running after {seconds} s\n".encode())
                return 124

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def note(self, text):
        with open(self.log, "a") as log:
            log.write(text + "\n")


def _make(run, tree, *arguments, **how):
    counting = [f"COPT={COUNTING}"] if COUNTING and tree == TREE else []
    return run.command("make", "-j2", f"PG_CONFIG={run.programs}/pg_config", *counting, *arguments, cwd=tree, **how)


def build(run):
    """
    gcc and clang without a warning, in trees of their own; gcc's library has the same bytes as the one that was built
    for the suites that follow, in another directory. The unit tests, which `unit` builds with gcc, with clang, too.
    """
    result = Result()
    for compiler in ("gcc", "clang-14"):
        tree = run.directory / compiler
        shutil.copytree(TREE, tree, ignore=shutil.ignore_patterns("*.o", "*.so", "*.bc", "tmp_check"), symlinks=True)
        result.add(f"build with {compiler}", _make(run, tree, f"CC={compiler}", f"COPT={WARNINGS}",
                                                   "with_llvm=no") == 0)
    result.add("unit tests with clang", _make(run, tree, "CC=clang-14", "with_llvm=no", "unit") == 0)
    if not COUNTING:
        problems = supply.same_bytes(TREE, run.directory / "gcc")
        run.note("\n".join(f"error: {problem}" for problem in problems))
        result.add("the same bytes from another directory", not problems)
    return result


def text(run):
    """The texts themselves, what the build made of them, and the checks on small trees that are wrong."""
    result = Result()
    for name, problems in text_checks(TREE, OF_TEXTS + OF_THE_BUILD):
        for problem in problems or []:
            run.note(f"{name}: {problem}")
        if problems is None:
            result.skipped += 1
            print(f"  skipped: {name}", flush=True)
        else:
            result.add(name, not problems)
    return result.merge(_pytest(run, *_files_of("scripts/lib", "test_*.py")))


def analysis(run):
    """gcc's analyzer and cppcheck over src/; a finding that is not explained in analysis.txt is a failure."""
    result, flags = Result(), ["-D_GNU_SOURCE", "-isystem", subprocess.run(
        [BIN / "pg_config", "--includedir-server"], capture_output=True, text=True, check=True).stdout.strip()]
    found, more = static_analysis.gcc(TREE, flags), static_analysis.cppcheck(TREE)
    if more is None:
        result.skipped += 1
        print("  skipped: cppcheck cannot be had", flush=True)
    problems = static_analysis.judge(TREE, found + (more or []), complete=more is not None)
    for problem in problems:
        run.note(f"error: {problem}")
        result.add(problem, False)
    result.passed += not problems
    return result


def _tap(text_, status, what):
    """Top-level lines of TAP; a program that ended badly without a failed test counts as one failure."""
    result = Result()
    for line in text_.splitlines():
        found = re.match(r"(not )?ok (\d+)\b(.*)", line)
        if found and re.search(r"# skip", found.group(3), re.I):
            result.skipped += 1
        elif found:
            result.add(found.group(3).strip(" -") or f"{what} {found.group(2)}", not found.group(1))
    if status and not result.failed:
        result.failed.append(f"{what}: ended with status {status}")
    return result


def unit(run):
    """The pure modules as programs of their own; a program counts as one test."""
    result, status = Result(), _make(run, TREE, "unit")
    programs = re.findall(r"^unit: (\S+)$", run.text(), re.M)
    for program in programs[:-1] if status else programs:
        result.add(program, True)
    if status or not programs:
        result.failed.append(programs[-1] if programs else "make unit")
    return result


def fuzz(run):
    """Each reader of hostile bytes for 20 s with inputs that libFuzzer makes; a target counts as one test."""
    result, status = Result(), run.command(TREE / "scripts" / "fuzz", "15")
    for target, how in re.findall(r"^(\w+) .*(no finds|broke after .*)$", run.text(), re.M):
        result.add(f"fuzz {target}", how == "no finds")
    if status and not result.failed:
        result.failed.append(f"scripts/fuzz ended with status {status}")
    return result


def _regress_lines(text_, status, what, names):
    """Lines of pg_regress, which prints TAP since 16; a test of these names without a line is a failure."""
    result, ran = Result(), set()
    for line in text_.splitlines():
        found = (re.match(r"(?:test|     )\s*(?P<name>\S+)\s+\.\.\. (?P<ok>ok)?", line)
                 or re.match(r"(?:(?P<ok>ok)|not ok) \d+\s+[-+] (?P<name>\S+)\s", line))
        if found:
            ran.add(found.group("name"))
            result.add(f"{what} {found.group('name')}", bool(found.group("ok")))
    if status and not result.failed:
        result.failed.append(f"{what}: ended with status {status}")
    return result.merge(Result(failed=[f"{what} {name} did not run" for name in sorted(set(names) - ran)]))


def _names_of(tree, pattern):
    return sorted(path.stem for path in tree.glob(pattern))


def _traps(log):
    """Lines of a server's log that tell of a failed assertion, which only servers built for it have."""
    return [line for line in log.splitlines() if line.startswith("TRAP: ")]


def _with_cluster(run, name, settings, action):
    cluster = Cluster(run.directory / name, settings, run.programs)
    cluster.make()
    cluster.start()
    try:
        return action({"PGHOST": str(cluster.socket), "PGPORT": str(cluster.settings["port"]), "PGUSER": "postgres"})
    finally:
        cluster.remove()
        run.note(f"--- server log ({name})\n" + "\n".join(cluster.log_text().splitlines()[-200:]))
        assert not _traps(cluster.log_text()), "an assertion of the server failed"


def regress(run, tree=TREE):
    """pg_regress on a server without the library preloaded and on one with it."""
    result = Result()
    for name, settings in (("without preload", {"shared_preload_libraries": ""}), ("with preload", {})):
        before = len(run.text())
        status = _with_cluster(run, name.replace(" ", "_"), settings, lambda env: _make(run, tree, "installcheck",
                "ISOLATION=", "TAP_TESTS=", env=env))
        result.merge(_regress_lines(run.text()[before:], status, name, _names_of(tree, "sql/*.sql")))
        diff = tree / "regression.diffs"
        if diff.exists():
            run.note(diff.read_text(errors="replace")[:20000])
            diff.unlink()
    return result


def sql_statements(run):
    """
    Each statement that C hands to the server, PREPAREd against the extension in a fresh cluster; one counts as one
    test.
    """
    cluster = Cluster(run.directory / "cluster")
    cluster.make()
    cluster.start()
    try:
        cluster.psql("CREATE EXTENSION exact_databricks")
        number, problems = statements.check(TREE, cluster)
    finally:
        cluster.remove()
    for problem in problems:
        run.note(f"error: {problem}")
    return Result(passed=max(number - len(problems), 0), failed=[problem.partition(" ")[0] for problem in problems])


def isolation(run, tree=TREE):
    """Sessions that meet each other's locks."""
    before = len(run.text())
    status = _with_cluster(run, "isolation", {}, lambda env: _make(run, tree, "installcheck", "REGRESS=",
                                                                   "TAP_TESTS=", env=env))
    return _regress_lines(run.text()[before:], status, "isolation", _names_of(tree, "specs/*.spec"))


def servers(run):
    """Older and newer servers than Debian's: built without a warning, regress and isolation."""
    result = Result()
    for version, programs in other_servers.copies(run.directory):
        part = Run(run.directory, version, programs)
        tree = part.directory / "tree"
        shutil.copytree(TREE, tree, ignore=shutil.ignore_patterns("*.o", "*.so", "*.bc", "tmp_check"), symlinks=True)
        built = _make(part, tree, f"COPT={WARNINGS}") == 0 and _make(part, tree, "install", f"COPT={WARNINGS}") == 0
        found = Result()
        found.add("build", built)
        if built:
            found.merge(regress(part, tree)).merge(isolation(part, tree))
        result.merge(Result(found.passed, [f"{version} {name}" for name in found.failed]))
        run.note(part.text())
    if not result.passed and not result.failed:
        result.skipped += 1
        print("  skipped: servers of other versions cannot be had", flush=True)
    return result


def listener(run):
    """A long run of the listener's kills, by scripts/kills."""
    result = tap(run, "203_*.pl")
    for figures in re.findall(r"^# (\d+ listener kills.*)$", run.text(), re.M):
        print(f"  {figures}", flush=True)
    return result


def loader(run):
    """A long run of lost answers and kills of the loader, by scripts/kills."""
    result = tap(run, "549_*.pl")
    for figures in re.findall(r"^# (\d+ (?:answers lost|kills of the loader).*)$", run.text(), re.M):
        print(f"  {figures}", flush=True)
    return result


MOST_THREADS = 4  # of a suite
_hands = {}  # of suites that go on: a call adds a thread
_engines = threading.Semaphore(2)  # each is a Java process that needs a core and 2 GB


def lend_a_hand():
    """
    For a lane that has nothing left to run: one thread to the suite that keeps both cores busy; once that has ended,
    two to the one whose tests mostly wait.
    """
    for suite, threads in (("flow", 1), ("tap", 2)):
        if suite in _hands:
            for _ in range(threads):
                _hands[suite]()
            return


def _next_part(waiting, on_engine):
    """
    The part whose turn it is, and whether it holds a place among those that use the engine: a part that would have to
    wait for such a place lets others go first. None when no part is left.
    """
    while waiting:
        for entry in list(waiting):
            engine = on_engine(entry[1])
            if not engine or _engines.acquire(blocking=False):
                with contextlib.suppress(ValueError):   # another thread has taken it
                    waiting.remove(entry)
                    return *entry, engine
                if engine:
                    _engines.release()
        time.sleep(0.5)
    return None


def _side_by_side(run, action, parts, suite=None, hands=2, on_engine=lambda part: False):
    """
    Threads (`hands`) take one part of a suite after the other until none is left, as the tests mostly wait; each part
    has a log of its own. action(run, part, thread), thread being a number from 0. A `suite` with a name gets more of
    them from lanes that have ended. on_engine(part): it starts Spark, as few parts at once as _engines allows. The
    results together.
    """
    before = len(list(run.directory.glob("[0-9][0-9]")))  # of a pattern before
    waiting, runs = collections.deque(enumerate(parts, before)), {}

    def take(thread):
        result = Result()
        while (turn := _next_part(waiting, on_engine)) is not None:
            number, part, engine = turn
            runs[number] = Run(run.directory, f"{number:02}")
            try:
                result.merge(action(runs[number], part, thread))
            finally:
                if engine:
                    _engines.release()
        return result
    result = Result()
    with ThreadPoolExecutor(MOST_THREADS) as threads:
        taking = [threads.submit(take, thread) for thread in range(hands)]
        if suite:
            _hands[suite] = lambda: taking.append(threads.submit(take, len(taking)))
        for each in taking:  # it may grow
            result.merge(each.result())
        _hands.pop(suite, None)
    for number in sorted(runs):
        run.note(runs[number].text())
    return result


def _prove(run, tree, test):
    perl = os.environ.get("EXACT_DATABRICKS_TEST_PERL")  # of another server, for one that was built without TAP tests
    borrowed = ["enable_tap_tests=yes", "PROVE=prove", f"PG_PROVE_FLAGS=-I {perl} -I {tree}"] if perl else []
    begun = time.monotonic()
    status = _make(run, tree, "prove_installcheck", "PROVE_FLAGS=-v --timer", f"PROVE_TESTS={test}", *borrowed,
                   env={"PG_TEST_TIMEOUT_DEFAULT": "180", "PG_TEST_PORT_DIR": str(run.directory.parent / "ports"),
                        "TESTDIR": str(tree)},
                   seconds=9000 if {"EXACT_TEST_ROWS", "EXACT_DATABRICKS_LOADER_KILLS"} & os.environ.keys() else 1500)
    result = _tap(run.text(), status, test)
    result.took.append((time.monotonic() - begun, test))
    for log in sorted((tree / "tmp_check" / "log").glob("*.log")):
        for line in _traps(log.read_text(errors="replace")):  # a worker that died of it was started again
            run.note(f"error: {log.name}: {line}")
            result.add(f"{test}: an assertion of the server failed", False)
    if result.failed:
        for log in sorted((tree / "tmp_check" / "log").glob("regress_log*")):
            lines = log.read_text(errors="replace").splitlines()
            # a test that dies says where, and the servers that it stops say more than that behind it
            died = [line for line in lines[:-40] if re.search(r" at \S+ line \d+\.$", line)]
            run.note(f"--- {log.name}\n" + "\n".join(lines[-40:] + died[-5:]))
    return result


def tap(run, pattern="*.pl"):
    """
    Workers, crashes, secrets, tokens, delivery: clusters of their own. prove empties the directory that it works in, so
    that each thread has a tree of its own.
    """
    trees = [TREE, *(run.directory / f"tree{thread}" for thread in range(1, MOST_THREADS))]
    for tree in trees:
        if not tree.exists():
            shutil.copytree(TREE, tree, ignore=shutil.ignore_patterns("tmp_check", ".build"), symlinks=True)
    return _side_by_side(run, lambda part, test, thread: _prove(part, trees[thread], test), _files_of("t", pattern),
                         suite="tap", on_engine=lambda test: _says(test, r"engine => 'spark'"))


def _pytest(run, *tests, seconds=2400):
    report = run.directory / "report.xml"
    status = run.command(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=10",
                         f"--junitxml={report}",
                         f"--basetemp={run.directory / 'pytest'}", *tests, seconds=seconds)
    result, took = Result(), collections.Counter()
    if report.exists():
        for case in xml.parse(report).getroot().iter("testcase"):
            if case.find("skipped") is not None:
                result.skipped += 1
            else:
                result.add(f"{case.get('classname')}.{case.get('name')}", case.find("failure") is None
                           and case.find("error") is None)
            took[case.get("classname").replace(".", "/") + ".py"] += float(case.get("time", 0))
    result.took += [(seconds, test) for test, seconds in took.items()]
    if (status not in (0, 1) and not result.failed) or not report.exists():
        result.failed.append(f"pytest ended with status {status}")
    return result


def _files_of(folder, pattern):
    """The files that a pattern names; the pattern itself when there is none, so that the run fails and says so."""
    return sorted(str(p.relative_to(TREE)) for p in (TREE / folder).glob(pattern)) or [f"{folder}/{pattern}"]


def _says(test, pattern):
    return (TREE / test).exists() and re.search(pattern, (TREE / test).read_text(), re.M) is not None


def simulators(run, pattern=None):
    """Both simulators: their own tests, and clients that others wrote, unmodified."""
    files = _files_of("simulator/tests", pattern or "test_*.py")
    on_spark = [test for test in files if _says(test, r"\"spark\"")]
    parts = [tests for tests in (on_spark, [test for test in files if test not in on_spark]) if tests]
    return _side_by_side(run, lambda part, tests, _: _pytest(part, *tests), parts, hands=1,
                         on_engine=lambda tests: tests is on_spark)


OF_KILLS = ("t/flow/test_kills.py", "t/flow/test_storm.py", "t/flow/test_weather.py")


def flow(run, pattern=None):
    """The whole flow on Spark and Delta, bad input, races, secrets; everything compared with the truth."""
    if pattern:
        return _pytest(run, *_files_of("t/flow", pattern))
    files = [test for test in _files_of("t/flow", "test_*.py") if test not in OF_KILLS]
    on_spark = [test for test in files if _says(test, r"^def test_\w+\(.*\bspark\b")]
    others = [[test] for test in files if test not in on_spark]
    half = len(others) // 2
    return _side_by_side(run, lambda part, tests, _: _pytest(part, *tests),
                         [on_spark[0::2], *others[:half], on_spark[1::2], *others[half:]], suite="flow",
                         on_engine=lambda tests: tests[0] in on_spark)


def kills(run):
    """
    Short runs of scripts/kills and scripts/storm: workers and postmaster killed in the middle of work, under faults of
    both services.
    """
    return _pytest(run, *OF_KILLS)


# Side by side each time: one that has all there is, short ones, and the clusters' tests, which mostly wait, beside
# those that use the engine.
FIRST = (("build",),)
SHORT = (("text", "unit", "analysis"), ("statements", "regress", "isolation"))
LANES = (("tap", "listener", "loader"), ("flow",), ("servers", "simulators", "kills", "fuzz"))
SUITES = {"build": build, "text": text, "analysis": analysis, "unit": unit, "statements": sql_statements,
          "regress": regress, "isolation": isolation, "servers": servers, "tap": tap, "fuzz": fuzz,
          "simulators": simulators, "flow": flow, "kills": kills, "listener": listener, "loader": loader}
