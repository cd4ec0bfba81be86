"""A hub between the two simulators: one database with the extension, configured as a DBA would, in SQL.

Nothing here knows the product's insides: it types what the README says and reads the views and tables of the manual.
"""
import os
import pathlib
import secrets

import requests
from cluster import Cluster, SqlError, literal
from kills import WORKERS, working
from processes import Failed, free_port, wait_until
from services import Databricks, ExactOnline

ENTITIES = ("glaccount", "items", "accounts", "purchaseorders", "purchaseorderlines", "costcenter", "costunit")
FINANCE = (*ENTITIES, "salesinvoices", "salesinvoicelines", "purchaseinvoices", "purchaseinvoicelines",
           "purchaseentries", "purchaseentrylines",
           "salesentries", "salesentrylines", "generaljournalentries", "generaljournalentrylines", "bankentries",
           "bankentrylines", "cashentries",
           "cashentrylines", "transactionlines",
           "vatcodes", "journals", "financialperiods", "journalstatuslist")  # what the preset finance holds


def write_secret(path, text):
    """A file that only its owner may read, as the hub demands."""
    path = pathlib.Path(path)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    return path


class Hub:
    def __init__(self, directory, exact, databricks, database="erp", schema="exact", cluster=None, settings=None,
                 tries=1):
        """`tries`: how often a DBA does again by hand what a service refused."""
        self.tries = tries
        self.directory = pathlib.Path(directory)
        self.exact, self.databricks = exact, databricks
        self.database, self.schema = database, schema
        self.directory.mkdir(parents=True, exist_ok=True)
        self.key_file = self.directory / "hub.key"
        self.secrets = self.directory / "secrets"
        self.secrets.mkdir(mode=0o700, exist_ok=True)
        self.owns_cluster = cluster is None
        if cluster is None:
            write_secret(self.key_file, f"k1:{secrets.token_hex(32)}\n")
            cluster = Cluster(self.directory / "cluster", {
                "exact_databricks.key_file": self.key_file, "exact_databricks.secrets_directory": self.secrets,
                "exact_databricks.insecure_loopback": "on", "exact_databricks.sync_interval": "10s",
                "jit": "off",  # what is asked here is asked once in a session
                **(settings or {})})
            cluster.make()
            cluster.start()
        else:
            self.secrets = pathlib.Path(cluster.settings["exact_databricks.secrets_directory"])
        self.cluster = cluster

    def psql(self, text, **how):
        return self.cluster.psql(text, self.database, **how)

    def query(self, text, **how):
        return self.cluster.query(text, self.database, **how)

    def value(self, text, **how):
        return self.cluster.value(text, self.database, **how)

    def create(self, port=None):
        """
        The database and the extension, with its workers running; with a port the listener too, at that port of this
        machine.
        """
        if self.database != "postgres":
            self.cluster.psql(f"CREATE DATABASE {self.database}")
        if port:
            settings = {"listen_addresses": "127.0.0.1", "port": port, "public_url": f"http://127.0.0.1:{port}"}
            self.psql("".join(f"ALTER DATABASE {self.database} SET exact_databricks.{name} = {literal(value)};"
                              for name, value in settings.items()))
        self.psql("CREATE EXTENSION exact_databricks")
        self.wait_for_workers(WORKERS if port else WORKERS[:2])

    def wait_for_workers(self, roles=WORKERS[:2], seconds=60):
        try:
            wait_until(f"{' and '.join(roles)} run", lambda: working(self, roles), seconds)
        except Failed as failure:
            raise Failed(str(failure), self.cluster.log) from None

    def configure(self, app="erp", workspace="lake", app_row=(), workspace_row=(), files=()):
        """App and workspace of the simulators with their secrets as files; what exact.import_secrets() said."""
        e, d = self.exact.info, self.databricks.info
        app_row = {"name": app, "client_id": e["client_id"], "region": "nl", "base_url": e["base_url"],
                   "redirect_uri": e["redirect_uri"],
                   **dict(app_row)}
        workspace_row = {"name": workspace, "host": d["host"], "warehouse_id": d["warehouse_id"],
                         "catalog": d["catalog"],
                         "schema": self.schema, "client_id": d["client_id"], **dict(workspace_row)}
        self.databricks.make_schema(self.schema)
        for table, row in (("app", app_row), ("workspace", workspace_row)):
            self.psql(f"INSERT INTO exact.{table} ({', '.join(row)}) VALUES ({', '.join(map(literal, row.values()))})")
        return self.import_secrets({f"app.{app}.client_secret": e["client_secret"],
                                    f"workspace.{workspace}.client_secret": d["client_secret"], **dict(files)})

    def authorize(self, app="erp"):
        """Consent as a DBA gives it: the URL opened in a browser, the address it ends at pasted back."""
        return self.again(lambda: self._authorize(app))

    def _authorize(self, app):
        url = self.value(f"SELECT exact.authorize_url({literal(app)})")
        answer = requests.get(url, allow_redirects=False, timeout=30)
        if "Location" not in answer.headers:
            raise Failed(f"the consent page answered {answer.status_code}: {answer.text[:300]}")
        return self.value(f"SELECT exact.authorize({literal(app)}, {literal(answer.headers['Location'])})")

    def again(self, step):
        for left in reversed(range(self.tries)):
            try:
                return step()
            except (SqlError, Failed, requests.RequestException):
                if not left:
                    raise
        return None

    def set_up(self):
        """All workers, configured with the secrets of the simulators and authorised; nothing is enabled yet."""
        self.create(free_port())
        refused = [r for r in self.configure(files={"app.erp.webhook_secret": self.exact.info["webhook_secret"]})
                   if r["result"] != "imported"]
        if refused:
            raise Failed(f"a secret was not imported: {refused}", self.cluster.log)
        self.authorize()

    def import_secrets(self, files):
        """What exact.import_secrets() said; the files are removed afterwards, as the manual advises."""
        for name, text in files.items():
            write_secret(self.secrets / name, text)
        result = self.query("SELECT * FROM exact.import_secrets()")
        for name in files:
            (self.secrets / name).unlink()
        return result

    def discover(self, app="erp"):
        """The app's divisions into exact.division, all disabled."""
        self.again(lambda: self.psql(f"SELECT count(*) FROM exact.discover_divisions({literal(app)})"))

    def enable(self, divisions=None, entities=ENTITIES, workspace="lake", app="erp"):
        """Divisions switched on and given their entities; the first load then starts by itself."""
        if self.value("SELECT count(*) FROM exact.division") == "0":
            self.discover(app)
        names = ", ".join(map(literal, entities))
        for division in divisions or self.exact.divisions:
            self.psql(f"UPDATE exact.division SET enabled = true, workspace = {literal(workspace)} "
                      f"WHERE division = {division};"
                      f"SELECT exact.enable_entities({division}, {names})")

    def table(self, entity):
        return f"{self.databricks.info['catalog']}.{self.schema}.{entity}"

    def loaded(self):
        """True when every enabled feed has had a complete run and nothing waits for delivery."""
        return self.value("""SELECT NOT EXISTS (SELECT FROM exact.feed f JOIN exact.catalogue c ON c.entity = f.entity
                                  LEFT JOIN exact.feed_state s ON s.division = f.division AND s.feed = c.feed
                                  WHERE f.enabled AND s.first_complete_at IS NULL)
                             AND NOT EXISTS (SELECT FROM exact.backfill WHERE finished_at IS NULL AND NOT nightly)
                             AND NOT EXISTS (SELECT FROM exact.batch WHERE delivered_at IS NULL)""") == "t"

    def wait_loaded(self, seconds=600):
        self.wait_for("the first load is in Delta", self.loaded, seconds)

    def wait_for(self, what, probe, seconds, every=None):
        try:
            return wait_until(what, probe, seconds, every)
        except Failed as failure:
            raise Failed(f"{failure}\n{self.where()}", self.cluster.log) from None

    def sync(self, seconds=180, division=None, entity=None):
        """All feeds read once more from now on, and everything delivered."""
        asked, fresh = self.value("SELECT clock_timestamp()"), False
        # sync_now returns a request that runs already; what it had read before is not what is asked here
        while not fresh:
            request = self.value(f"SELECT exact.sync_now({literal(division)}, {literal(entity)})")
            state = self.value(f"SELECT exact.wait({request}, '{seconds} s')", seconds=seconds + 10)
            made, result = self.psql(f"SELECT made_at >= {literal(asked)}, result FROM exact.request "
                                     f"WHERE id = {request}").strip().split("|", 1)
            fresh = made == "t"
            if fresh and state != "done":
                raise Failed(f"request {request} {state}: {result}\n{self.where()}", self.cluster.log)
        self.wait_for("everything staged is delivered", lambda: self.value(
            "SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0", seconds)

    def where(self):
        """A few lines about the state of the hub, for error messages."""
        try:
            return self.psql("SELECT division, light, what, next_step FROM exact.status;\n"
                             "SELECT division, entity, state, problem FROM exact.feeds WHERE problem IS NOT NULL "
                             "LIMIT 10;\n"
                             "SELECT division, entity, reason, count(*) AS dirty_keys, min(since) AS since, "
                             "min(due) AS due, min(not_before) AS not_before FROM exact.dirty_key "
                             "GROUP BY division, entity, reason LIMIT 20;\n"
                             "SELECT division, entity, records, state, reason FROM exact.held_delete LIMIT 10",
                             arguments=("-P", "format=aligned", "-P", "tuples_only=off"))
        except (SqlError, OSError) as error:
            return f"(the hub's views cannot be read: {error})"

    def stop(self):
        if self.owns_cluster:
            self.cluster.remove()


def simulators(directory, exact=(), databricks=(), calm=(True, True)):
    """Both simulators; they start side by side. `calm`: each with the forms that the hub stands."""
    workspace = Databricks.launch(directory, *databricks, calm=calm[1])
    online = ExactOnline.launch(directory, *exact, calm=calm[0])
    return ExactOnline.attach(online), Databricks.attach(workspace)
