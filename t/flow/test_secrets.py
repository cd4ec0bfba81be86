"""Marked secrets and the tokens of both services: in no log, view, table, WAL, heap, dump or error text."""
import base64
import subprocess
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import requests
from cluster import SqlError
from services import Databricks

EXACT_SECRET, LAKE_SECRET = "MarkerExactSecret-7Qx!/+=", "MarkerLakeSecret-9Zv!/+="
WEBHOOK, PAT, WRONG = "MarkerWebhook-3Kp!/+=", "dapiMarkerToken-5Wd", "MarkerWrong-1Ab!/+="
TOKENS = (b"stampNL001.", b"gAAAA", b"eyJraWQiOi")  # how refresh and access tokens and codes of the simulators begin


def forms(secret):
    raw = secret.encode()
    return {raw, quote(secret, safe="").encode(), raw.hex().encode(), base64.b64encode(raw), secret.lower().encode()}


@pytest.fixture
def workspace(tmp_path):
    started = Databricks.start(tmp_path / "workspace", "--engine", "none", "--client-secret", LAKE_SECRET, "--pat", PAT)
    yield started
    started.stop()


def everything(hub):
    """(where, bytes) of every place a secret could be left in."""
    yield "server log", hub.cluster.log.read_bytes()
    for relation in hub.query(
        """SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                                 WHERE n.nspname = 'exact' AND c.relkind IN ('r', 'v', 'p', 'm')"""):
        yield relation["name"], hub.psql(f"SELECT t::text FROM {relation['name']} t").encode()
    for view in ("pg_stat_activity", "pg_stat_statements", "pg_settings", "pg_prepared_statements", "pg_file_settings"):
        yield view, hub.psql(f"SELECT t::text FROM {view} t").encode()
    hub.psql("CHECKPOINT")
    for path in sorted(hub.cluster.data.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(hub.cluster.data)), path.read_bytes()
    dump = subprocess.run([hub.cluster.bin / "pg_dump", "-h", hub.cluster.socket, "-p",
                           str(hub.cluster.settings["port"]), "-U", "postgres",
                           hub.database], capture_output=True, check=True)
    yield "pg_dump", dump.stdout + dump.stderr


def errors_of(hub, *statements):
    """Run statements that fail; their whole texts."""
    found = []
    for statement in statements:
        try:
            found.append(hub.psql(statement))
        except SqlError as error:
            found.append(error.text)
    return "\n".join(found).encode()


def test_no_secret_is_left_anywhere(workspace, start_hub):
    hub = start_hub(workspace, "--records", 80, "--divisions", 2, "--client-secret", EXACT_SECRET,
                    "--webhook-secret", WEBHOOK,
                    "--token-lifetime", 20, "--min-refresh-age", 4, settings={
                        "log_min_messages": "debug1", "log_connections": "on", "exact_databricks.refresh_after": "6s",
                        "wal_level": "logical",
                        "shared_preload_libraries": "exact_databricks,pg_stat_statements"}, authorize=False)
    hub.psql("CREATE EXTENSION pg_stat_statements")
    # first everything goes wrong, so that the texts of errors are there to be searched
    hub.configure(files={"app.erp.client_secret": WRONG, "workspace.lake.client_secret": WRONG,
                         "app.erp.webhook_secret": WEBHOOK})
    texts = b""
    pasted = requests.get(hub.value("SELECT exact.authorize_url('erp')"), allow_redirects=False,
                          timeout=30).headers["Location"]
    with pytest.raises(SqlError) as refused:
        hub.psql(f"SELECT exact.authorize('erp', '{pasted}')")
    texts += refused.value.text.encode()
    assert texts, "a wrong client secret must be refused"
    texts += errors_of(hub, "SELECT * FROM exact.ping()", "SELECT exact.me('erp')", "SELECT * FROM exact.check()")
    result = hub.import_secrets({"app.erp.client_secret": EXACT_SECRET, "workspace.lake.client_secret": LAKE_SECRET})
    assert {r["result"] for r in result} == {"imported"}
    hub.authorize()
    hub.enable()
    hub.wait_loaded()
    hub.wait_for("the Exact Online token was renewed twice", lambda: int(hub.value(
        "SELECT count(*) FROM exact.token WHERE origin = 'refresh'")) >= 2, 60)
    # a personal access token instead of client credentials
    hub.import_secrets({"workspace.lake.token": PAT})
    hub.psql("UPDATE exact.workspace SET client_id = NULL")
    hub.exact.random(10, seed=5, deletes=0)
    hub.sync()
    hub.psql("SELECT exact.restart_workers()")
    hub.wait_for_workers()
    hub.sync()
    texts += errors_of(hub, "SELECT * FROM exact.ping()", "TABLE exact.credential", "TABLE exact.token")

    marks = {form for secret in (EXACT_SECRET, LAKE_SECRET, WEBHOOK, PAT, WRONG)
             for form in forms(secret)} | set(TOKENS)
    # typed into a statement by hand, and spent: not a secret any more
    code = parse_qs(urlsplit(pasted).query)["code"][0].encode()
    searched, found = 0, []
    for where, content in [("error texts", texts), *everything(hub)]:
        content = content.replace(quote(code, safe="").encode(), b"").replace(code, b"")
        searched += len(content)
        found += [f"{mark!r} in {where}" for mark in marks if mark in content]
    assert not found
    assert searched > 20_000_000, "WAL, heap and dump were read"
