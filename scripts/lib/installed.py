"""
A hub on a server that others installed and run: set up with psql alone, fed by both simulators, compared, removed.

    installed.py URL URL     both simulators' addresses; psql finds the server by its own variables (PGHOST, …)
"""
import pathlib
import sys
import tempfile
import time

from cluster import Cluster, literal
from command import run, say
from hub import Hub
from processes import Failed
from services import Databricks, ExactOnline
from truth import Comparison

OBJECTS = """SELECT pg_describe_object(o.classid, o.oid, 0) AS object FROM (
    SELECT 'pg_namespace'::regclass AS classid, oid FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL SELECT 'pg_class'::regclass, oid FROM pg_class WHERE relkind <> 't'
    AND NOT (relkind = 'i' AND relname ~ '^pg_toast')
    UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type
    UNION ALL SELECT 'pg_extension'::regclass, oid FROM pg_extension
    UNION ALL SELECT 'pg_event_trigger'::regclass, oid FROM pg_event_trigger) AS o"""


class Installed(Cluster):
    """A server that runs already; `client` is the command that starts psql for its superuser."""

    def __init__(self, client, log=None):
        self.client, self.log = client, log
        self.settings = {"exact_databricks.secrets_directory": "/nonexistent"}


class InstalledHub(Hub):
    """Its secrets are given by set_secret(): the server's directory may be out of reach."""

    def import_secrets(self, files):
        for name, text in files.items():
            self.psql(f"SELECT exact.set_secret({', '.join(map(literal, (*name.split('.'), text)))})")
        return []


def flows(hub, changes=20):
    """From CREATE EXTENSION to Delta tables that agree with Exact Online; what was compared, as a sentence."""
    hub.set_up()
    hub.enable()
    hub.wait_loaded(300)
    hub.exact.random(changes, deletes=0.2)
    hub.sync()
    report = Comparison(hub.exact, hub.databricks, hub.schema).run()
    if report.differences:
        raise Failed(f"Delta and Exact Online differ: {report}", hub.cluster.log)
    return str(report)


def objects(hub):
    return {row["object"] for row in hub.query(OBJECTS)}


def removed(hub, before):
    """As docs/operate.md has it; what is there beside `before`, the objects() of the database without the hub."""
    hub.psql("SELECT exact.disable_entities(d.division, VARIADIC ARRAY(SELECT f.entity FROM exact.feed AS f "
             "WHERE f.division = d.division)) FROM exact.division AS d WHERE d.enabled")
    drop(hub)
    roles = hub.query(r"SELECT rolname FROM pg_roles WHERE rolname LIKE 'exact\_%' ORDER BY rolname")
    hub.psql(f"DROP ROLE {', '.join(row['rolname'] for row in roles)}")  # refused as long as one owns or may anything
    return sorted(objects(hub) - before)


def drop(hub):
    hub.psql(f"DROP EXTENSION exact_databricks; ALTER DATABASE {hub.database} RESET ALL")


def begin_anew(hub):
    """The hub that an earlier run of the demo left in this database is removed; one of somebody else's is not."""
    if hub.value("SELECT count(*) FROM pg_extension WHERE extname = 'exact_databricks'") == "0":
        return
    strange = hub.query("""SELECT u.url FROM (SELECT coalesce(a.base_url, 'Exact Online') FROM exact.app AS a
                           UNION ALL SELECT w.host FROM exact.workspace AS w) AS u (url)
                           WHERE u.url NOT LIKE 'http://127.0.0.1:%'""")
    if strange:
        raise Failed(f"this database has a hub of {strange[0]['url']}, which is not the demo's: nothing was changed")
    drop(hub)
    hub.exact.forget()
    say("the hub of an earlier run was removed")


def main():
    exact, databricks = ExactOnline(sys.argv[1]), Databricks(sys.argv[2])
    with tempfile.TemporaryDirectory() as directory:
        hub = InstalledHub(pathlib.Path(directory), exact, databricks, database="postgres",
                           schema=f"exact_{int(time.time())}", cluster=Installed(["psql"]))
        hub.cluster.psql("ALTER SYSTEM SET exact_databricks.insecure_loopback = on")  # for simulators alone
        hub.cluster.psql("ALTER SYSTEM SET exact_databricks.sync_interval = '10s'")
        hub.cluster.psql("SELECT pg_reload_conf()")
        begin_anew(hub)
        say(flows(hub))
        say(hub.psql("SELECT division, light, what FROM exact.status",
                     arguments=("-P", "format=aligned", "-P", "tuples_only=off")))
    return 0


if __name__ == "__main__":
    sys.exit(run("hub", main))
