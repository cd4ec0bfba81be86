"""Makes slips in a copy of the tree and runs the tests that touch the place. Called by scripts/mutate."""
import argparse
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

from cluster import Cluster, SqlError
from mutants import mutants
from processes import wait_until

TREE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ["EXACT_DATABRICKS_PG_BIN"])
MAP = TREE / "scripts" / "lib" / "mutate.txt"
DATABASE = "contrib_regression"  # pg_regress' own name, which some expectations hold
SECONDS = 90  # a test that takes longer has noticed


def run(*command, seconds=SECONDS, env=None):
    """Exit status; 124 when it did not end."""
    process = subprocess.Popen(command, cwd=TREE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True,
                               env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8",
                                    **(env or {})})
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return 124


def make(*arguments, seconds=SECONDS):
    return run("make", "-s", f"PG_CONFIG={BIN}/pg_config", "COPT=-O0 -U_FORTIFY_SOURCE -w", *arguments, seconds=seconds)


def config(what):
    return pathlib.Path(subprocess.run([BIN / "pg_config", what], capture_output=True, text=True,
                                       check=True).stdout.strip())


class Regress:
    """A server without the library preloaded; a fresh database and fresh roles for each slip."""

    def __init__(self, work):
        self.work = work
        self.cluster = Cluster(work / "cluster", {"shared_preload_libraries": "", "autovacuum": "off"})
        self.cluster.make()
        self.cluster.start()
        self.all = sorted(path.stem for path in (TREE / "sql").glob("*.sql"))
        self.program = config("--pgxs").parent.parent / "test" / "regress" / "pg_regress"

    def _answers(self):
        try:
            return self.cluster.psql("SELECT 1")
        except SqlError:
            return False

    def begin(self):
        """False when the extension cannot be created."""
        wait_until("the server is back after a slip that crashed it", self._answers, 60)
        self.cluster.psql("DROP DATABASE IF EXISTS contrib_regression WITH (FORCE)")
        self.cluster.psql("SELECT format('DROP ROLE %I', rolname) FROM pg_roles WHERE oid >= 16384 \\gexec")
        self.cluster.psql("CREATE DATABASE contrib_regression TEMPLATE template0 ENCODING 'UTF8'")
        try:
            self.cluster.psql("CREATE EXTENSION exact_databricks", DATABASE)
        except SqlError:
            return False
        return True

    def passes(self, names):
        return run(self.program, f"--inputdir={TREE}", f"--outputdir={self.work}", f"--bindir={BIN}", "--use-existing",
                   f"--dbname={DATABASE}", "--encoding=UTF8", f"--host={self.cluster.socket}",
                   f"--port={self.cluster.settings['port']}", "--user=postgres", *names) == 0

    @staticmethod
    def first(wanted):
        return [each.partition(":")[2] for each in wanted if each.startswith("regress:")]

    def failed(self):
        return re.findall(r"^(?:test|     )\s*(\S+)\s+\.\.\. FAILED", (self.work / "regression.out").read_text(), re.M)

    def first_that_fails(self, first):
        """The name of a test that fails, the likely ones first; None when none does."""
        for names in ([[name] for name in first] + [[name for name in self.all if name not in first]]):
            if not self.passes(names):
                return names[0] if len(names) == 1 else "another"
        return None


class Suites:
    def __init__(self, work):
        self.regress = Regress(work)
        self.units = {}
        for path in sorted((TREE / "unit").glob("*_test.c")):
            for name in re.findall(r'^#include "([\w/]+\.c)"', path.read_text(), re.M):
                self.units.setdefault(f"src/{name}", []).append(path.stem)

    def install(self, name):
        """The mutated tree for the server; False when it does not build."""
        if make("all", seconds=300):
            return False
        if name.endswith(".c"):
            shutil.copy(TREE / "exact_databricks.so", config("--pkglibdir") / "exact_databricks.so")
        else:
            for path in TREE.glob("exact_databricks--*.sql"):
                shutil.copy(path, config("--sharedir") / "extension" / path.name)
        return True

    def who_notices(self, name, wanted, quick):
        """What noticed the slip; "" when nothing did; None when it cannot be built or is not touched by any."""
        touched = False
        if "unit" in wanted:
            for program in self.units.get(name, []):
                (TREE / "unit" / ".build" / program).unlink(missing_ok=True)
                if make(f"unit/.build/{program}"):
                    return None
                touched = True
                if run(TREE / "unit" / ".build" / program):
                    return f"unit {program}"
        tests = self.regress.first(wanted)
        taps = [] if quick else [each.partition(":")[2] for each in wanted if each.startswith("tap:")]
        if tests or taps:
            touched = True
            if not self.install(name) or not self.regress.begin():
                return None
        if tests:
            noticed = self.regress.first_that_fails(tests)
            if noticed:
                return f"regress {noticed}"
        for test in taps:
            if make("prove_installcheck", f"PROVE_TESTS=t/{test}", seconds=300):
                return f"tap {test}"
        return "" if touched else None


def wanted_suites():
    """{file: suites}, the first line of the map that names a file counts."""
    found = {}
    for line in MAP.read_text().splitlines():
        if line and not line.startswith("#"):
            pattern, *suites = line.split()
            paths = sorted(TREE.glob(pattern))
            if not paths:
                sys.exit(f"{MAP.name} names {pattern}, which is no file")
            for path in paths:
                found.setdefault(str(path.relative_to(TREE)), suites)
    return found


def main():
    parser = argparse.ArgumentParser(prog="scripts/mutate")
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("places", nargs="*")
    options = parser.parse_intermixed_args()
    suites_of = wanted_suites()
    pool = [mutant for name in suites_of for mutant in mutants(name, (TREE / name).read_text())]
    if options.places:
        pool = [mutant for mutant in pool if {mutant.name, f"{mutant.name}:{mutant.line}"} & set(options.places)]
    random.Random(options.seed).shuffle(pool)
    print(f"{len(pool)} slips in {len({mutant.name for mutant in pool})} files", flush=True)
    options.work.mkdir(parents=True)
    suites, ends = Suites(options.work), time.monotonic() + 60 * options.minutes
    if not suites.regress.begin() or not suites.regress.passes(suites.regress.all):
        print(f"tests of sql/ fail without a slip: {suites.regress.failed()}", flush=True)
        suites.regress.cluster.remove()
        return 2
    noticed, lost, survivors = 0, 0, []
    try:
        for mutant in pool:
            if noticed + len(survivors) >= options.number or time.monotonic() > ends:
                break
            path = TREE / mutant.name
            whole = path.read_text()
            path.write_text(mutant.of(whole))
            try:
                by = suites.who_notices(mutant.name, suites_of[mutant.name], options.quick)
            finally:
                path.write_text(whole)
            if by:
                noticed += 1
            elif by is None:
                lost += 1
            else:
                survivors.append(mutant)
                source = " ".join(whole.split("\n")[mutant.line - 1].split())[:100]
                print(f"survives  {mutant.name}:{mutant.line}  {mutant.change}  in `{source}`", flush=True)
            if os.environ.get("EXACT_DATABRICKS_VERBOSE"):
                print(f"  {mutant.name}:{mutant.line}  {mutant.change}: {by}", flush=True)
    finally:
        suites.regress.cluster.remove()
    print(f"{noticed} noticed, {len(survivors)} survived, {lost} could not be built or run; seed {options.seed}",
          flush=True)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
