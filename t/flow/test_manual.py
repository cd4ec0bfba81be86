"""
The manual does what it says: its SQL is typed into a new hub, block by block, as a reader would; its proxies are run.
"""
import hashlib
import hmac
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest
import requests
from cluster import SqlError
from conftest import UNLIMITED, end_hub, show
from hub import Hub, write_secret
from manual import blocks
from processes import die_with_parent, free_port, wait_until
from services import ExactOnline

_schemas = itertools.count(1)
TREE = pathlib.Path(__file__).resolve().parents[2]
PUBLIC = "https://hub.example.com"
LISTEN = "exact_databricks.listen_addresses = '127.0.0.1';"


class Reader:
    """
    Types the blocks of a page. What stands for values of the reader's own is replaced: ids, hosts, the hub's address
    and port.
    """

    def __init__(self, hub, port=None):
        self.hub, self.listener = hub, port and f"http://127.0.0.1:{port}"
        e, d = hub.exact.info, hub.databricks.info
        self.own = [("(name, client_id, region", "(name, client_id, base_url"), ("'nl'", f"'{e['base_url']}'"),
                    ("6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11", e["client_id"]),
                    ("https://adb-1.2.azuredatabricks.net", d["host"]),
                    ("'main', 'exact'", f"'main', '{hub.schema}'"), ("main.exact", f"main.{hub.schema}")]
        if port:
            self.own += [(PUBLIC, self.listener), ("port = 8480", f"port = {port}"),
                         (LISTEN, f"{LISTEN} ALTER DATABASE erp SET exact_databricks.port = {port};")]

    def mine(self, text):
        for old, new in self.own:
            text = text.replace(old, new)
        return text

    def type(self, page):
        """All of the page; what psql printed."""
        said = ""
        for block in blocks(TREE / page):
            text = self.mine(block.text)
            try:
                if block.lake:
                    for statement in text.partition("\n")[2].split(";\n"):
                        if statement.strip():
                            self.hub.databricks.sql(statement.strip())
                    continue
                if block.role:
                    text = f"SET SESSION AUTHORIZATION member_of_{block.role};\n{text}"
                said += self.hub.psql(text)
            except (SqlError, RuntimeError) as error:
                pytest.fail(f"{page}, line {block.line}: {error}\n{text}")
            if "exact.create_views(" in block.text:
                self.hub.wait_for("the views are made", lambda: self.hub.value("SELECT bool_and(state = 'done') "
                        "FROM exact.request WHERE kind = 'views'") == "t", 300)
            if "exact.authorize_url(" in block.text:
                self.consent(re.findall(r"^http\S+/api/oauth2/auth\S+$", said, re.M)[-1])
        return said

    def consent(self, url):
        """
        A browser: the consent page sends it to the callback page, which finishes; without a listener the address is
        pasted.
        """
        target = requests.get(url, allow_redirects=False, timeout=30).headers["Location"]
        if not self.listener:
            self.hub.psql(f"SELECT exact.authorize('erp', '{target}')")
            return
        self.hub.wait_for("the listener runs", lambda: self.hub.value("SELECT listens_at FROM exact.listener"), 30)
        page = requests.get(target, timeout=30)
        assert page.status_code == 200, page.text
        assert self.hub.value("SELECT state FROM exact.apps") == "authorized", page.text


@pytest.fixture
def fresh(request, tmp_path):
    """Makes databases without the extension, beside both simulators; the secrets lie ready as files."""
    made = []

    def start(workspace, *exact, **settings):
        online = ExactOnline.start(tmp_path, "--fast", "--preset", "finance", "--records", 500, *UNLIMITED, *exact)
        made.append(online)
        hub = made[0] = Hub(tmp_path / "hub", online, workspace, schema=f"manual{next(_schemas)}", settings={
            "exact_databricks.sync_interval": "2s", "exact_databricks.merge_interval": "200ms", **settings})
        hub.cluster.psql(f"CREATE DATABASE {hub.database}")
        for name, text in {"app.erp.client_secret": online.info["client_secret"],
                           "app.erp.webhook_secret": online.info["webhook_secret"],
                           "workspace.lake.client_secret": workspace.info["client_secret"]}.items():
            write_secret(hub.secrets / name, text)
        return hub
    yield start
    for hub in made:
        if isinstance(hub, Hub) and getattr(request.node, "report_call", None) and request.node.report_call.failed:
            show(hub)
        end_hub(hub)


def with_listener(hub):
    """The hub of docs/setup.md, authorised, its subscriptions made; the port of its listener."""
    port = free_port()
    hub.exact.post("config", redirect_uris=[f"http://127.0.0.1:{port}/exact/callback"])
    Reader(hub, port).type("docs/setup.md")
    return port


def notification(secret, **content):
    """A body as the service sends it."""
    text = json.dumps(content, separators=(",", ":"))
    digest = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest().upper()
    return f'{{"Content":{text},"HashCode":"{digest}"}}'


def test_readme(fresh, engine_free):
    hub = fresh(engine_free)
    Reader(hub).type("README.md")
    hub.wait_loaded(120)
    assert hub.value("SELECT light FROM exact.status WHERE division = 101001") in ("ok", "warn")


def test_setup_and_operation(fresh, engine_free):
    hub = fresh(engine_free)
    port = with_listener(hub)
    hub.wait_loaded(120)
    hub.wait_for("the subscriptions are made",
                 lambda: hub.value("SELECT bool_and(state = 'present') FROM exact.subscriptions") == "t", 60)
    for page in ("proxy", "operate", "monitor", "trouble", "reference", "promises", "security"):
        Reader(hub, port).type(f"docs/{page}.md")


def test_settings_have_the_documented_defaults(fresh, engine_free):
    hub = fresh(engine_free)
    hub.psql("CREATE EXTENSION exact_databricks")
    table = (TREE / "docs/reference.md").read_text().partition("## Settings")[2].partition("\n## ")[0]
    documented = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", table, re.M))
    real = {row["name"].partition(".")[2]: row for row in hub.query("SELECT name, boot_val, unit FROM pg_settings "
                                                                    "WHERE name LIKE 'exact\\_databricks.%'")}
    units = {"": 1, "s": 1, "h": 3600, "d": 86400, "MB": 1048576}
    scale = {"ms": 1000, "s": 1, "B": 1, "MB": 1 / 1048576}
    for name, row in real.items():
        if row["unit"]:
            said = documented.get(name, "")
            amount = int(re.sub(r"\D", "", said)) * units[said.lstrip("0123456789")]
            assert amount * scale[row["unit"]] == int(row["boot_val"]), name
        else:
            assert documented.get(name, row["boot_val"] if name == "allowed_hosts" else "") == row["boot_val"], name


def put(url, body, **headers):
    return requests.post(url, data=body, headers=headers, timeout=30, verify=False).status_code


def test_webhook_secret_rotates_under_load(fresh, engine_free):
    """The steps of docs/operate.md while notifications arrive without a pause: none is refused, each is stored."""
    hub = fresh(engine_free)
    url = f"http://127.0.0.1:{with_listener(hub)}/exact/hook"
    old, new, client = hub.exact.info["webhook_secret"], "the next secret, made by hand", hub.exact.info["client_id"]
    secret, answers, stop = [old], [], threading.Event()

    def send(lane):
        session = requests.Session()
        for n in itertools.count():
            if stop.is_set():
                return
            body = notification(secret[0], Topic="Items", ClientId=client, Division=101001, Action="Update",
                                Key=f"{lane:08}-0000-4000-8000-{n:012}", EventCreatedOn=f"2026-11-22T08:00:{n % 60:02}")
            answers.append(session.post(url, data=body, timeout=30).status_code)
    lanes = [threading.Thread(target=send, args=(lane,)) for lane in (1, 2)]
    for lane in lanes:
        lane.start()

    def more(count=200):
        begun = len(answers)
        wait_until("more notifications", lambda: len(answers) >= begun + count, 60)

    def store(field, text):
        said = hub.import_secrets({f"app.erp.{field}": text})
        assert [r["result"] for r in said if r["field"] == field] == ["imported"], said

    def by_secret():
        return {row["secret"]: row["count"] for row in hub.query("SELECT secret, count(*) FROM exact.webhook_log "
                                                                 "WHERE key LIKE '%-0000-4000-8000-%' GROUP BY secret")}
    try:
        more()
        store("webhook_secret_next", new)
        more()
        secret[0] = new
        more()
        assert by_secret()["next"] > 0
        store("webhook_secret", new)
        hub.psql("DELETE FROM exact.credential WHERE kind = 'app' AND name = 'erp' AND field = 'webhook_secret_next'")
        more()
    finally:
        stop.set()
        for lane in lanes:
            lane.join()
    assert set(answers) == {200}
    assert sum(by_secret().values()) == len(answers)
    assert put(url, notification(old, Topic="Items", Division=101001, Action="Update",
                                 Key="0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b")) == 401


def self_signed(directory):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=hub.example.com", "-addext",
                    "subjectAltName=IP:127.0.0.1", "-keyout", directory / "privkey.pem", "-out",
                    directory / "fullchain.pem"], check=True, capture_output=True)


def run_nginx(directory, port, hub_port):
    text = (TREE / "docs/proxy/nginx.conf").read_text().replace("[::]:443", f"127.0.0.2:{port}").replace("listen 443",
            f"listen 127.0.0.1:{port}")
    text = text.replace("/etc/ssl/hub.example.com", str(directory)).replace("/var/log/nginx",
            str(directory)).replace("127.0.0.1:8480", f"127.0.0.1:{hub_port}")
    (directory / "hub.conf").write_text(text)
    paths = "".join(f"{name}_temp_path {directory}/{name};\n" for name in ("client_body", "proxy", "fastcgi",
            "uwsgi", "scgi"))
    (directory / "nginx.conf").write_text(f"daemon off;\npid {directory}/nginx.pid;\nerror_log "
                                          f"{directory}/nginx.log;\nevents {{}}\n"
                                          f"http {{\n{paths}include {directory}/hub.conf;\n}}\n")
    return [shutil.which("nginx", path="/usr/sbin:/usr/bin"), "-c",
            directory / "nginx.conf"], directory / "exact_hub.log"


def run_caddy(directory, port, hub_port):
    text = (TREE / "docs/proxy/Caddyfile").read_text().replace("/var/log/caddy",
                                                               str(directory)).replace("127.0.0.1:8480",
                                                                       f"127.0.0.1:{hub_port}")
    text = text.replace("hub.example.com {", f"https://127.0.0.1:{port} {{\n\ttls {directory}/fullchain.pem "
                        f"{directory}/privkey.pem", 1)
    (directory / "Caddyfile").write_text(text.replace("{\n", "{\n\tadmin off\n\tauto_https off\n", 1))
    return [shutil.which("caddy"), "run", "--config", directory / "Caddyfile"], directory / "exact_hub.log"


def test_dimensions(fresh, engine_free):
    """The page of the finance team, then that of the DBA, as the roles that they name; what comes of each edit."""
    hub = fresh(engine_free, "--divisions", 1)
    reader, centers = Reader(hub), "hrm/Costcenters"
    reader.own.append(("'finance'", "'costcenter', 'costunit', 'glaccount'"))
    for code in ("CC001", "CC002", "CC003"):
        hub.exact.change(101001, centers, "create", fields={"Code": code, "Description": "As it was"})
    reader.type("README.md")
    hub.psql("CREATE ROLE member_of_exact_operator IN ROLE exact_operator; CREATE ROLE member_of_exact_admin IN ROLE "
             "exact_admin")
    hub.wait_loaded(120)

    def changes(**state):
        def found():
            rows = hub.query("SELECT code, coalesce(field, kind) AS what, wanted, state FROM exact.dimension_change")
            return {(row["code"], row["what"], row["wanted"]): row["state"] for row in rows}
        wanted = {"CC001": ("Description", "Head office"), "CC002": ("Description", "Warehouse"),
                  "CC003": ("EndDate", hub.value("SELECT current_date")),
                  "NEW1": ("new", '{"Code": "NEW1", "Description": "New shop"}'),
                  "NEW2": ("new", '{"Code": "NEW2", "Description": "Trade fair"}')}
        wanted = {(code, *wanted[code]): end for code, end in state.items()}
        hub.wait_for(f"the changes are {wanted}", lambda: found() == wanted, 60)
    reader.type("docs/dimensions.md")
    changes(CC001="shown", NEW1="shown")
    reader.type("docs/dimensions-dba.md")
    changes(CC001="proposed", NEW1="proposed", CC002="done", CC003="rejected", NEW2="proposed")
    assert [write["body"] for write in hub.exact.get("writes")["writes"]] == [{"Description": "Warehouse"}]

    def rows(page, head):
        """First cells of the table under this head, without their quotes."""
        table = (TREE / page).read_text().partition(f"| {head} |")[2].partition("\n\n")[0]
        return set(re.findall(r"^\| `(\w+)` \|", table, re.M))
    states = hub.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint "
                       "WHERE conname = 'dimension_change_state_check'")
    assert rows("docs/dimensions.md", "state") == set(re.findall(r"'(\w+)'", states))
    assert rows("docs/dimensions-dba.md", "`write_back`") == {"off", "approve", "auto"}
    rules = re.search("^`on_conflict`: (.*?)\\.", (TREE / "docs/dimensions-dba.md").read_text(), re.M).group(1)
    for rule in re.findall("`(.*?)`", rules):
        hub.psql(f"UPDATE exact.workspace SET on_conflict = '{rule}'")


def test_rules(fresh, engine_free):
    """The page's own rule is registered, finds the line that it is about, and stays on."""
    hub = fresh(engine_free, "--divisions", 1)
    reader = Reader(hub)
    for code in ("CC001", "P100"):
        hub.exact.change(101001, "hrm/Costcenters", "create", fields={"Code": code, "Description": "As it was"})
    reader.own.append(("'finance'", "'costcenter'"))
    reader.type("README.md")
    hub.psql("CREATE ROLE member_of_exact_operator IN ROLE exact_operator; CREATE ROLE member_of_exact_admin IN ROLE "
             "exact_admin")
    hub.wait_loaded(120)
    said = reader.type("docs/rules.md")
    assert "1|no cost unit, but cost center P100 is for projects" in said.splitlines(), said
    assert hub.value("SELECT enabled FROM exact.rule") == "t"


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@pytest.mark.parametrize("make", [run_nginx, run_caddy], ids=["nginx", "caddy"])
def test_proxy(make, fresh, engine_free, tmp_path):
    """
    The configurations of docs/proxy in front of a real listener: what passes, what does not, whose address counts, what
    is logged.
    """
    port = free_port()
    command, access = make(tmp_path, port, 1)
    if not command[0]:
        pytest.skip("not installed")
    hub = fresh(engine_free, **{"exact_databricks.trusted_proxies": "127.0.0.1"})
    hub_port = with_listener(hub)
    command, access = make(tmp_path, port, hub_port)
    self_signed(tmp_path)
    with open(tmp_path / "proxy.out", "wb") as out:
        proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                 preexec_fn=die_with_parent(15),
                                 env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path),
                                      "XDG_CONFIG_HOME": str(tmp_path)})
    base = f"https://127.0.0.1:{port}"

    def get(path):
        return requests.get(base + path, timeout=30, verify=False, allow_redirects=False).status_code

    def answers():
        try:
            return get("/health") == 200
        except requests.ConnectionError:
            return False
    try:
        wait_until("the proxy answers", answers, 30)
        signed = notification(hub.exact.info["webhook_secret"], Topic="Items", ClientId=hub.exact.info["client_id"],
                              Division=101001,
                              Action="Update", Key="0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b",
                              EventCreatedOn="2026-11-22T08:00:00")
        assert put(base + "/exact/hook", signed) == 200
        assert hub.value("SELECT count(*) FROM exact.webhook_log "
                         "WHERE key = '0d1f6a5b-2c3d-4e5f-8a9b-0c1d2e3f4a5b'") == "1"
        assert put(base + "/exact/hook", b"") == 200
        assert put(base + "/exact/hook", signed.replace("Update", "Delete"), **{"X-Forwarded-For": "192.0.2.66"}) == 401
        wait_until("the refusal is logged", lambda: "refused=1" in hub.cluster.log_text(), 70)
        assert "last_from=127.0.0.1" in hub.cluster.log_text() and "192.0.2.66" not in hub.cluster.log_text()
        assert put(base + "/exact/hook", b"a" * 65536) == 401
        assert put(base + "/exact/hook", b"a" * 65537) == 413
        assert put(base + "/exact/hook", iter([b"a" * 40000, b"a" * 40000])) == 413
        assert get("/exact/hook") == 405
        assert [get(path) for path in ("/status", "/metrics", "/", "/exact/hook/", "/exact%2fhook",
                                       "/health/../status")] == [404] * 6
        assert get("/exact/callback?code=hidden-code&state=hidden-state") != 404
        wait_until("the log is written", lambda: "/exact/callback" in access.read_text(), 30)
        assert "hidden-" not in access.read_text()
    finally:
        proxy.terminate()
        proxy.wait(30)


def test_month_end(fresh, engine_free):
    """The page is typed as it stands; what it prints is in test_month_end.py."""
    hub = fresh(engine_free)
    reader = Reader(hub)
    reader.type("README.md")
    hub.wait_loaded(300)
    said = reader.type("docs/month-end.md")
    assert re.findall(r"^101001\|(\w+)\|.*\|agree\|$", said, re.M) == ["sales", "purchase", "bank", "cash", "journal"]
    assert hub.value("SELECT count(*) > 0 FROM exact.month_end_report") == "t"
