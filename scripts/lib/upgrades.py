"""
pg_upgrade from one server to a newer one, while Exact Online changes: what the old cluster held is in the new one, the
catalog is that of a new installation there, the workers stay off until adopt(), and go on. What scripts/upgrades runs.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

from catalog import ROWS, catalog
from cluster import Cluster, literal
from command import run, say, seconds_text
from processes import Failed
from restores import BOTH, Plan, Restore
from services import Databricks
from update import differing

WAYS = {"copy": (), "link": ("--link",)}
# What the hub writes when it starts, and what each cluster has by itself.
_OWN = ("exact.claim", "exact.worker_state")


def held(hub):
    """{what: text}: the rows of every table, the sequences, and what hangs on the roles and on the database."""
    def text(query):
        return hub.value(f"SELECT string_agg(q::text, E'\\n' ORDER BY q::text COLLATE \"C\") FROM ({query}) AS q")
    found = {row["name"]: hub.query(ROWS.format(row["name"]))[0] for row in hub.query(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = 'exact'::regnamespace "
        "AND relkind = 'r'")}
    found["sequences"] = text("SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'exact'")
    found["settings"] = text("SELECT datname, rolname, setconfig FROM pg_db_role_setting "
                             "LEFT JOIN pg_database AS d ON d.oid = setdatabase LEFT JOIN pg_roles AS r "
                             "ON r.oid = setrole")
    found["roles"] = text("SELECT rolname, rolcanlogin, rolinherit FROM pg_roles WHERE rolname !~ '^pg_'")
    found["members"] = text("SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members "
                            "WHERE roleid::regrole::text LIKE 'exact%'")
    found["policies"] = text("SELECT tablename, policyname, roles, qual FROM pg_policies")
    found["extension"] = text("SELECT extname, extversion, extrelocatable, (SELECT array_agg(c::regclass ORDER BY c) "
                              "FROM unnest(extconfig) AS c) FROM pg_extension")
    return found


def _stand_still(hub):
    """The workers do nothing more, so that what is read twice is the same."""
    hub.cluster.write_settings(exact_databricks__enabled="off")
    hub.cluster.reload()
    hub.wait_for("the workers stand still", lambda: hub.value(
        "SELECT count(*) FROM exact.workers WHERE role IN ('fetcher', 'loader') AND state = 'running'") == "0", 60)


def upgraded(old, directory, programs, way):
    """A cluster of a newer server, not started, with what the stopped old one held."""
    new = Cluster(directory, {name: value for name, value in old.settings.items()
                              if name != "unix_socket_directories"}, programs)
    new.make(*(() if _checksums(old) else _without_checksums(new)))
    done = subprocess.run([new.bin / "pg_upgrade", "-b", old.bin, "-B", new.bin, "-d", old.data, "-D", new.data, "-U",
                           "postgres", "-s", new.socket, *WAYS[way]], cwd=new.directory, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        told = [done.stdout, *(path.read_text(errors="replace")[-3000:] for path in sorted(
            new.data.glob("pg_upgrade_output.d/*/*/*.log")))]
        new.log.write_text("\n".join(told))
        raise Failed(f"pg_upgrade ended with status {done.returncode}", new.log)
    return new


def _checksums(cluster):
    told = subprocess.run([cluster.bin / "pg_controldata", cluster.data], capture_output=True, text=True, check=True,
                          env={**os.environ, "LC_ALL": "C"}).stdout
    return "Data page checksum version:           0" not in told


def _without_checksums(cluster):
    """The option that servers need since 18, where pages have checksums by default."""
    told = subprocess.run([cluster.bin / "initdb", "--help"], capture_output=True, text=True, check=True).stdout
    return ("--no-data-checksums",) if "--no-data-checksums" in told else ()


def upgrade(directory, databricks, plan, schema, programs, way="copy"):
    """One pg_upgrade from the first load to the verdict: (the run, the comparison, what is wrong)."""
    restore = Restore(directory, databricks, plan, schema)
    try:
        old = restore.hub
        old.psql(f"""CREATE ROLE anna LOGIN; GRANT exact_reader TO anna; CREATE ROLE berta LOGIN;
            GRANT exact_admin TO berta; SELECT exact.restrict_reader('anna', ARRAY[{restore.exact.divisions[0]}]);
            ALTER DATABASE {old.database} SET exact_databricks.merge_interval = '300ms'""")
        restore.delivered(old)
        _stand_still(old)
        before = held(old)
        old.cluster.stop()
        cluster = upgraded(old.cluster, restore.at(1), programs, way)
        hub = restore.started(cluster)
        wrong = [f"{name}: {before[name]} before, {after} after" for name, after in held(hub).items()
                 if name not in _OWN and after != before.get(name)]
        wrong += [f"verify_audit(): {row}" for row in hub.query("SELECT * FROM exact.verify_audit()")]
        wrong += _catalog_differs(hub, restore.at(2), programs)
        cluster.write_settings(exact_databricks__enabled=None)
        cluster.reload()
        restore.stays_off(hub, "upgraded")
        hub.psql(f"SELECT exact.adopt({literal(hub.value('SELECT id FROM exact.installation'))})")
        hub.wait_for_workers((*BOTH, "listener"))
        restore.works(hub, "adopted")
        restore.settle(hub)
        restore.step("the end", hub)
        report, more = restore.verdict(hub)
        return restore, report, wrong + more
    except BaseException:
        for hub in restore.hubs:
            say(f"{hub.directory}:\n{hub.where()}\n" + "\n".join(
                line[:200] for line in hub.cluster.log_text().splitlines()[-30:]))
        raise
    finally:
        restore.end()


def _catalog_differs(hub, directory, programs):
    """The catalog of the extension is the one that a new installation has there."""
    fresh = Cluster(directory, {"shared_preload_libraries": ""}, programs)
    try:
        fresh.make()
        fresh.start()
        fresh.psql("CREATE EXTENSION exact_databricks")
        return [line for line in differing(catalog(hub.cluster, hub.database), catalog(fresh))
                if not line[1:].startswith("rows of ")]
    finally:
        fresh.remove()


def main():
    parser = argparse.ArgumentParser(prog="scripts/upgrades", description=__doc__.strip().splitlines()[0])
    parser.add_argument("--directory", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--way", choices=WAYS, default="copy")
    parser.add_argument("--to", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--records", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()

    def body():
        begun, plan = time.monotonic(), Plan(given.records, 1, "orders", delivered=60, seed=given.seed)
        databricks = Databricks.start(given.directory, "--engine", "none")
        restore, report, wrong = upgrade(pathlib.Path(given.directory) / "run", databricks, plan, "upgraded",
                                         given.to, given.way)
        for step, text in restore.said:
            say(f"  {step:<12} {text}")
        say(f"  {len(wrong)} differences, {restore.load.made:,} changes, {report.rows:,} rows and "
            f"{report.versions:,} versions compared, {seconds_text(time.monotonic() - begun)}")
        for line in wrong[:40]:
            say(f"    {line[:600]}")
        return 1 if wrong else 0
    return run("upgrade", body)


if __name__ == "__main__":
    sys.exit(main())
