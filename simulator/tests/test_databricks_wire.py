"""Forms on the way to the service and back, tokens, warehouses, lists (D30 to D37, D40 to D47, B1 to B4), settings
and weather."""

import gzip
import http.client
import json
import socket
import time

import pytest
import requests
from test_databricks_support import Server

from simulator.databricks.weather import FORMS, SHAPES

STATEMENTS = "/api/2.0/sql/statements"
WAREHOUSES = "/api/2.0/sql/warehouses"
UNITY = "/api/2.1/unity-catalog"


@pytest.fixture(scope="module")
def shared():
    server = Server("--seed", "4", "--chunk-rows", "10000", "--set", "compress=none")
    server.rows("CREATE TABLE main.exact.t (a INT)")
    yield server
    assert server.stop() == 0


@pytest.fixture
def workspace(shared):
    before = shared.control("GET", "info")["settings"]
    yield shared
    shared.config(**{k: v for k, v in before.items() if k not in ("catalog", "schema", "warehouse_id")})
    shared.control("DELETE", "faults")
    shared.control("POST", "privileges", deny=[],
                   revoke=[{"privilege": "CAN MANAGE", "object": shared.warehouse}])
    shared.control("POST", "clock", skew=0)


def raw(workspace, path=WAREHOUSES, headers=(), seconds=20):
    """The bytes of an answer, until the connection closes."""
    host, port = workspace.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            f"Authorization: Bearer {workspace.info['pat']}",
            "Connection: close",
            *headers,
        ]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        out = b""
        while part := connection.recv(65536):
            out += part
        return out


# Refusals before the service

@pytest.mark.parametrize(
    "action, status, text",
    [
        ("wrong_org", 403, "Invalid access to Org: "),
        ("ip_blocked", 403, "is blocked by Databricks IP ACL for workspace: "),
        ("auth_unavailable", 503, "Authentication is temporarily unavailable"),
    ],
)
def test_refusals(workspace, action, status, text):
    """D30, D31, D32"""
    workspace.fault(action=action, path="warehouses")
    answer = workspace.call("GET", WAREHOUSES)
    assert answer.status_code == status and text in answer.json()["message"]
    assert answer.json()["error_code"] == (status if status == 403 else "TEMPORARILY_UNAVAILABLE")
    assert workspace.call("GET", WAREHOUSES).status_code == 200 and workspace.met(action) == 1


def test_start_answers_503(workspace):
    """D33"""
    workspace.config(start_seconds=300.0, start_form="503")
    workspace.may_stop()
    workspace.call("POST", f"{WAREHOUSES}/{workspace.warehouse}/stop")
    assert [workspace.submit("SELECT 1").status_code for _ in range(3)] == [503] * 3
    workspace.control("POST", "clock", advance=301)
    assert workspace.rows("SELECT 1") == [["1"]]
    assert "contradicts" in workspace.refused("config", start_seconds=0.0)


@pytest.mark.parametrize(
    "how, sent", [("absent", None), ("1", "1"), ("0", "0"), ("negative", "-5"), ("text", "soon"), ("date", "GMT")]
)
def test_rate_limit(workspace, how, sent):
    """D28, D34"""
    workspace.config(rate_limit=3, retry_after=how)
    answers = [workspace.call("GET", WAREHOUSES) for _ in range(12)]
    refused = [a for a in answers if a.status_code == 429]
    assert refused and refused[0].json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    found = refused[0].headers.get("retry-after")
    assert found == sent or (how == "date" and found.endswith(sent))


def test_unified_host(workspace):
    """D35"""
    workspace.config(unified_host=True)
    answer = workspace.call("GET", WAREHOUSES)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")
    assert requests.get(f"{workspace.url}/.well-known/databricks-config", timeout=10).json()["host_type"] == "unified"
    for name in ("X-Databricks-Workspace-Id", "X-Databricks-Org-Id"):
        assert workspace.call("GET", WAREHOUSES, headers={name: "6051921418418893"}).json()["warehouses"]


def test_token_kinds(workspace):
    """D36"""
    info = workspace.info
    account = "11111111-2222-4333-8444-555555555555"
    jwt = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "subject_token": "a.b.c",
        "scope": "all-apis",
        "client_id": info["client_id"],
    }
    own = {"grant_type": "client_credentials", "scope": "all-apis"}
    azure = {"grant_type": "client_credentials", "client_id": info["client_id"], "client_secret": info["client_secret"],
             "resource": "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"}
    secret = (info["client_id"], info["client_secret"])
    calls = (
        ("/oidc/v1/token", jwt, None),
        (f"/oidc/accounts/{account}/v1/token", own, secret),
        (f"/{account}/oauth2/token", azure, None),
    )
    assert [
        requests.post(workspace.url + path, data=form, auth=auth, timeout=10).status_code for path, form, auth in calls
    ] == [400, 404, 404]
    workspace.config(token_kinds="all")
    for path, form, auth in calls:
        token = requests.post(workspace.url + path, data=form, auth=auth, timeout=10).json()["access_token"]
        assert (
            requests.get(
                workspace.url + WAREHOUSES, headers={"Authorization": f"Bearer {token}"}, timeout=10
            ).status_code
            == 200
        )
    metadata = requests.get(
        f"{workspace.url}/oidc/accounts/{account}/.well-known/oauth-authorization-server", timeout=10
    ).json()
    assert metadata["token_endpoint"].endswith(f"/oidc/accounts/{account}/v1/token")


def test_discovery(workspace):
    """D36"""
    url = f"{workspace.url}/oidc/.well-known/oauth-authorization-server"
    workspace.config(discovery="404")
    assert requests.get(url, timeout=10).status_code == 404
    workspace.config(discovery="html")
    answer = requests.get(url, timeout=10)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/html")


def test_warehouse_states(workspace):
    """D37"""
    path = f"{WAREHOUSES}/{workspace.warehouse}"
    workspace.control(
        "POST",
        "warehouse",
        health={"status": "FAILED", "summary": "no quota", "failure_reason": {"code": "CLOUD_PROVIDER_LAUNCH_FAILURE"}},
    )
    assert workspace.call("GET", path).json()["health"]["failure_reason"]["code"] == "CLOUD_PROVIDER_LAUNCH_FAILURE"
    workspace.control("POST", "warehouse", state="DELETED")
    assert workspace.call("GET", path).json()["state"] == "DELETED"
    assert (
        workspace.submit("SELECT 1").status_code == 400 and workspace.call("POST", path + "/start").status_code == 400
    )
    workspace.control("POST", "warehouse", state="RUNNING")
    assert workspace.rows("SELECT 1") == [["1"]]
    assert "expected" in workspace.refused("warehouse", state="ASLEEP") and "expected" in workspace.refused(
        "warehouse", other=1
    )


def test_empty_pages(workspace):
    """D40"""
    workspace.config(empty_pages=1.0)
    workspace.sql("CREATE VOLUME IF NOT EXISTS main.exact.files")
    for name in ("a", "b", "c"):
        workspace.upload(f"/Volumes/main/exact/files/{name}", b"x")
    for path, query, name, key in (
        (f"{UNITY}/tables", {"catalog_name": "main", "schema_name": "exact", "max_results": 1}, "tables", "name"),
        (f"{UNITY}/schemas", {"catalog_name": "main", "max_results": 1}, "schemas", "name"),
        ("/api/2.0/fs/directories/Volumes/main/exact/files", {"page_size": 2}, "contents", "name"),
    ):
        found, pages, token = [], [], ""
        while token is not None:
            page = workspace.call("GET", path, params={**query, "page_token": token}).json()
            found += [entry[key] for entry in page[name]]
            pages.append(len(page[name]))
            token = page.get("next_page_token")
        assert 0 in pages and pages[0] == 0 and found == sorted(set(found)) and found, (path, pages)
    assert (
        workspace.call("GET", f"{UNITY}/schemas", params={"catalog_name": "main", "page_token": "x"}).status_code == 400
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_error_shapes(workspace, shape):
    """D41"""
    workspace.fault(action="error_shape", shape=shape, path="warehouses")
    answer = workspace.call("GET", WAREHOUSES)
    assert (
        answer.status_code
        == {
            "quota_failure": 429,
            "retry_info": 429,
            "bad_request": 400,
            "error_only": 499,
            "scim": 500,
            "text": 503,
            "html_pre": 504,
        }[shape]
    )
    if shape == "retry_info":
        assert answer.json()["details"] == [
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": "42.0s"}
        ]
    assert "needs a shape" in workspace.refused("faults", action="error_shape", shape="round")


def test_compression(workspace):
    """D42"""
    workspace.config(compress="gzip")
    found = raw(workspace, headers=("Accept-Encoding: gzip",))
    assert b"content-encoding: gzip" in found and b"vary: Accept-Encoding" in found
    assert b"warehouses" in gzip.decompress(found.split(b"\r\n\r\n", 1)[1])
    assert b"content-encoding" not in raw(workspace)
    workspace.fault(action="cut_gzip", path="warehouses")
    found = raw(workspace, headers=("Accept-Encoding: gzip",))
    with pytest.raises(EOFError):
        gzip.decompress(found.split(b"\r\n\r\n", 1)[1])
    workspace.fault(action="gzip_bomb", path="warehouses", megabytes=5)
    found = raw(workspace).split(b"\r\n\r\n", 1)[1]
    assert len(found) < 100000 and len(gzip.decompress(found)) > 5 << 20
    workspace.config(compress="drawn")
    assert 2 < sum(b"content-encoding" in raw(workspace, headers=("Accept-Encoding: gzip",)) for _ in range(30)) < 28


def test_headers(workspace):
    """D43"""
    head = raw(workspace).split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    assert all(line.split(":")[0] == line.split(":")[0].lower() for line in head), head
    kinds = {workspace.call("GET", WAREHOUSES).headers["content-type"] for _ in range(25)}
    assert len(kinds) == 4 and "application/json" in kinds
    workspace.config(header_case="title")
    assert b"\r\nContent-Type: " in raw(workspace) and b"\r\nX-Request-Id: " in raw(workspace)


def test_strangers(workspace):
    """D44: members nobody announced, a state nobody knows, ids in another form, a slash at the end."""
    workspace.config(extra_members=True)
    answer = workspace.submit("SELECT 1 AS a").json()
    assert (
        "x_preview" in answer
        and "x_preview" in answer["status"]
        and "x_preview" in answer["manifest"]
        and answer["result"]["data_array"] == [["1"]]
    )
    workspace.config(extra_members=False)
    workspace.fault(action="state", state="PREPARING", statement="SELECT 44", path="statements", times=2)
    answer = workspace.submit("SELECT 44").json()
    assert answer == {"statement_id": answer["statement_id"], "status": {"state": "PREPARING"}}
    path = f"{STATEMENTS}/{answer['statement_id']}"
    assert workspace.call("GET", path).json()["status"]["state"] == "PREPARING"
    assert workspace.call("GET", path + "/").json()["status"]["state"] == "SUCCEEDED"
    workspace.config(id_form="plain")
    answer = workspace.run("SELECT 1")
    assert "-" not in answer["statement_id"] and len(answer["statement_id"]) == 32


@pytest.mark.parametrize("form", ["413", "400", "reset"])
def test_body_limit(workspace, form):
    """D45"""
    workspace.config(body_limit=100000, body_limit_form=form)
    assert workspace.rows("SELECT 1") == [["1"]]
    large = [{"name": "p", "value": "x" * 100000}]
    if form == "reset":
        with pytest.raises(requests.ConnectionError):
            workspace.submit("SELECT :p", large)
    else:
        assert workspace.submit("SELECT :p", large).status_code == int(form)


def test_permission_details(workspace):
    """D47"""
    workspace.control("POST", "privileges", deny=[{"privilege": "SELECT", "object": "main.exact.t"}])
    answer = workspace.call("GET", f"{UNITY}/tables/main.exact.t")
    assert answer.status_code == 403 and answer.json()["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "UC_PERMISSION_DENIED",
        "domain": "unity-catalog.databricks.com",
        "metadata": {"privilege": "SELECT", "securable_type": "TABLE", "securable_full_name": "main.exact.t"},
    }


# Connections

def test_connections(workspace):
    """B1"""
    workspace.fault(action="accept_only", path="warehouses", seconds=0.3)
    assert raw(workspace) == b""
    workspace.fault(action="close_idle", path="warehouses", skip=1)
    connection = http.client.HTTPConnection(workspace.url.removeprefix("http://"), timeout=10)
    headers = {"Authorization": f"Bearer {workspace.info['pat']}"}
    connection.request("GET", WAREHOUSES, headers=headers)
    assert connection.getresponse().read()
    connection.request("GET", WAREHOUSES, headers=headers)
    with pytest.raises(http.client.RemoteDisconnected):
        connection.getresponse()
    workspace.fault(action="slow_headers", path="warehouses", seconds=0.002)
    began = time.monotonic()
    found = raw(workspace)
    assert time.monotonic() - began > 0.2 and b"warehouses" in found
    workspace.fault(action="interim", path="warehouses", count=100)
    found = raw(workspace)
    assert found.count(b"103 Early Hints") == 100 and b"HTTP/1.1 200" in found
    workspace.fault(action="connection_close", path="warehouses")
    assert workspace.call("GET", WAREHOUSES).headers["connection"] == "close"
    assert all(
        workspace.met(f) == 1 for f in ("accept_only", "close_idle", "slow_headers", "interim", "connection_close")
    )


def test_redirect_and_http2(workspace):
    """B2"""
    workspace.fault(action="redirect", path="warehouses", to="http://127.0.0.1:9/elsewhere")
    answer = workspace.call("GET", WAREHOUSES, allow_redirects=False)
    assert answer.status_code == 302 and answer.headers["location"] == "http://127.0.0.1:9/elsewhere"
    assert "needs a to" in workspace.refused("faults", action="redirect")
    workspace.config(http2=True)
    headers = workspace.call("GET", WAREHOUSES).headers
    assert "h2" in headers["alt-svc"] and headers["strict-transport-security"] and headers["set-cookie"]
    workspace.session.cookies.clear()


def test_clock(workspace):
    """B3"""
    def seconds(answer):
        return time.mktime(time.strptime(answer.headers["date"], "%a, %d %b %Y %H:%M:%S GMT"))

    before = seconds(workspace.call("GET", WAREHOUSES))
    now = workspace.control("POST", "clock", skew=-86400)["now"]
    assert -86410 < seconds(workspace.call("GET", WAREHOUSES)) - before < -86390
    back = workspace.control("POST", "clock", advance=-3600, skew=0)["now"]
    assert -3601 < back - now < -3590
    assert workspace.rows("SELECT 1") == [["1"]]
    workspace.control("POST", "clock", advance=3600)
    for body in ({"advance": "x"}, {"back": 1}, {"advance": 1e12}, {"skew": True}):
        assert "expected" in workspace.refused("clock", **body)


@pytest.mark.parametrize(
    "kind, size", [("large", 65 << 20), ("nested", 20000), ("number", 1 << 20), ("members", 1 << 20)]
)
def test_monsters(workspace, kind, size):
    """B4"""
    workspace.fault(action="monster", kind=kind, path="warehouses")
    answer = workspace.call("GET", WAREHOUSES)
    assert answer.status_code == 200 and len(answer.content) >= size
    assert "needs a kind" in workspace.refused("faults", action="monster", kind="small")


# Settings and weather

def test_bad_settings(workspace):
    for values, text in (
        ({"nothing": 1}, "no such setting"),
        ({"weather": 1.5}, "from 0 to 1"),
        ({"weather_forms": {"nothing_like_it": 0.1}}, "no form 'nothing_like_it' is drawn"),
        ({"weather_forms": {"variable": 0.1}}, "no form 'variable' is drawn"),
        ({"weather_forms": {"conflict": 1.1}}, "conflict takes a share from 0 to 1"),
        ({"close_on_answer": -0.1}, "from 0 to 1"),
        ({"error_form": "loud"}, "takes one of"),
        ({"slots": 0}, "from 1"),
        ({"ansi_mode": 1}, "of type bool"),
        ({"time_zone": "Mars/Olympus"}, "not a zone"),
        ({"catalog": "x"}, "no such setting"),
        ({"rate_limit": True}, "of type int"),
        ({"result_retention": 90000.0}, "contradicts"),
        ({"start_form": "503"}, "contradicts"),
        ({"http2": True, "unified_host": True}, "contradicts"),
        ({"close_on_answer": 1.0, "external_links": "links"}, "contradicts"),
    ):
        before = workspace.control("GET", "info")["settings"]
        assert (
            text in workspace.refused("config", slots=4, **values)
            if "slots" not in values
            else workspace.refused("config", **values)
        )
        assert workspace.control("GET", "info")["settings"] == before, "nothing of a refused request is taken"


def test_fifty_settings_at_once(workspace):
    settings = {
        k: v
        for k, v in workspace.control("GET", "info")["settings"].items()
        if k not in ("catalog", "schema", "warehouse_id")
    }
    settings.update(
        close_on_answer=0.5,
        history_states=True,
        require_row_offset=True,
        extra_members=True,
        header_case="title",
        retry_after="date",
        time_zone="Europe/Paris",
        status_lag=0.0,
        compress="gzip",
        empty_pages=0.5,
    )
    names = sorted(settings)[:50]
    assert len(names) >= 45
    answer = workspace.config(**{name: settings[name] for name in names})
    assert all(answer[name] == settings[name] for name in names)
    workspace.config(close_on_answer=0.0)
    assert workspace.rows("SELECT 1") == [["1"]]


def ask(server, count=40):
    """What a workspace answers to a fixed list of requests; ids, times and request numbers left out."""
    out = []
    for i in range(count):
        try:
            answer = server.submit(
                f"SELECT nothing{i}" if i % 2 else f"SELECT {i} AS a",
                wait_timeout="50s",
                timeout=20,
                allow_redirects=False,
            )
            body = (
                answer.json()
                if answer.headers.get("content-type", "").startswith("application/json") and len(answer.content) < 10000
                else {}
            )
            status = body.get("status", {}) if isinstance(body, dict) else {}
            out.append(
                (
                    answer.status_code,
                    answer.headers.get("content-type"),
                    json.dumps(status),
                    json.dumps(body.get("result", {})),
                )
            )
        except requests.RequestException as error:
            out.append(type(error).__name__)
    return out


def test_weather_is_repeatable():
    """Two simulators with one seed: the same answers to the same requests; another seed gives others."""
    answers, reports = [], []
    for seed in ("9", "9", "10"):
        server = Server("--seed", seed, "--weather", "1")
        try:
            assert any(f"seed {seed}, weather 1" in line for line in server.stderr)
            answers.append(ask(server))
            reports.append(server.control("GET", "weather"))
        finally:
            server.stop()
    assert answers[0] == answers[1] != answers[2]
    assert reports[0] == reports[1] and reports[0]["seed"] == 9


def test_forms_that_are_asked_for(workspace):
    workspace.config(weather_forms={"scheduling": 1, "time_zone": 1.0})
    assert workspace.control("GET", "weather")["run"] == {"time_zone": "America/Los_Angeles"}
    assert workspace.submit("SELECT 1").json()["status"]["state"] == "FAILED"
    workspace.config(weather_forms={})
    assert workspace.submit("SELECT 1").json()["status"]["state"] == "SUCCEEDED"
    assert workspace.control("GET", "weather")["run"] == {} and workspace.met("scheduling") == 1


def test_weather_report(workspace):
    report = workspace.control("GET", "weather")
    assert report["weather"] == 0 and {"entry", "name", "rate", "met"} == report["forms"][0].keys()
    entries = {form["entry"] for form in report["forms"]}
    wanted = {f"D{n}" for n in (*range(1, 17), *range(20, 48))} | {f"B{n}" for n in range(1, 5)}
    assert entries == wanted == {form.entry for form in FORMS}
    workspace.config(weather=1.0)
    drawn = workspace.control("GET", "weather")["run"]
    changed = workspace.control("GET", "info")["settings"]
    workspace.config(weather=0.0)
    calm = workspace.control("GET", "info")["settings"]
    assert drawn and all(changed[name] == value and calm[name] != value for name, value in drawn.items())
    assert workspace.rows("SELECT 1") == [["1"]]
