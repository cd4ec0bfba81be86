"""A public client of the real service, the package exactonline, works against the simulator unmodified.

It speaks https only, so that the simulator gets a certificate made for the test. The client runs in a process of its
own
that trusts that certificate and nothing else.
"""
import json
import os
import shutil
import subprocess
import sys

import pytest

from simulator.exact_online.harness import Running
from simulator.exact_online.receiver import Receiver

pytest.importorskip("exactonline")

INI = """[server]
auth_url = {url}/api/oauth2/auth
rest_url = {url}/api
token_url = {url}/api/oauth2/token
[application]
base_url = {redirect_uri}
client_id = {{{client_id}}}
client_secret = {client_secret}
[transient]
refresh_token = {refresh_token}
"""

CLIENT = """
import json, sys, time, urllib.request
from exactonline.api import ExactApi
from exactonline.http import HTTPError
from exactonline.resource import DELETE, GET, POST, PUT
from exactonline.storage.ini import IniStorage

seen = {}
storage = IniStorage(sys.argv[1])
api = ExactApi(storage=storage)
first = storage.get_refresh_token()
divisions, current = api.get_divisions()            # has no access token yet: it refreshes first
seen["divisions"], seen["current"], seen["refreshed"] = divisions, current, storage.get_refresh_token() != first
seen["expires"] = storage.get_access_expiry() - time.time()
api.set_division(min(divisions))
seen["accounts"] = [(a["ID"], a["Code"], a["Name"]) for a in api.relations.all()]
code = seen["accounts"][0][1].strip()
seen["by_code"] = [a["ID"] for a in api.relations.filter(relation_code=code)]
seen["one"] = api.relations.get(filter="ID eq guid'%s'" % seen["accounts"][0][0])["ID"]
seen["ledger"] = sorted(a["Code"] for a in api.ledgeraccounts.filter(code__in=["1300", "1600"]))
seen["orders"] = len(api.restv1(GET("sync/PurchaseOrder/PurchaseOrders?$filter=Timestamp+gt+1L&$select=ID,Timestamp")))
made = api.restv1(POST("hrm/Costcenters", {"Code": "CLIENT", "Description": "caf\\u00e9"}))
api.restv1(PUT("hrm/Costcenters(guid'%s')" % made["ID"], {"Description": "th\\u00e9"}))
seen["put"] = api.restv1(GET("hrm/Costcenters?$filter=Code+eq+'CLIENT'&$select=Description"))[0]["Description"]
api.restv1(DELETE("hrm/Costcenters(guid'%s')" % made["ID"]))
made = api.restv1(POST("webhooks/WebhookSubscriptions", {"CallbackURL": sys.argv[2], "Topic": "GLAccounts"}))
listed = [s["ID"] for s in api.restv1(GET("webhooks/WebhookSubscriptions?$select=ID"))]
seen["subscribed"] = [made["Topic"], listed == [made["ID"]]]
try:
    api.restv1(POST("webhooks/WebhookSubscriptions", {"CallbackURL": sys.argv[2], "Topic": "GLAccounts"}))
except HTTPError as error:
    seen["twice"] = [error.code, json.loads(error.response)["error"]["message"]["value"]]
account = api.ledgeraccounts.all()[0]["ID"]
api.restv1(PUT("financial/GLAccounts(guid'%s')" % account, {"Description": "geld"}))
seen["changed"] = account
seen["gone"] = api.restv1(GET("hrm/Costcenters?$filter=Code+eq+'CLIENT'&$select=ID"))
try:
    api.refresh_token()
except HTTPError as error:
    seen["early"] = [error.code, error.hdrs["Reason"]]

class Stop(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None

try:
    urllib.request.build_opener(Stop).open(api.create_auth_request_url())
except urllib.error.HTTPError as error:
    query = urllib.parse.urlsplit(error.headers["Location"]).query
api.request_token(urllib.parse.parse_qs(query)["code"][0])
seen["after_consent"] = api.rest(GET("v1/current/Me?$select=UserName"))[0]["UserName"]
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What the client saw, the simulator's truth beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command for a certificate")
    where = tmp_path_factory.mktemp("client")
    certificate, key = where / "cert.pem", where / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2",
                    "-keyout", key,
                    "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
                    check=True,
                    capture_output=True)
    with Running("--records", 1200, "--divisions", 2, "--tls-cert", certificate, "--tls-key",
                 key) as sim, Receiver() as hook:
        assert sim.url.startswith("https://")
        made = sim.authorize()
        (where / "client.ini").write_text(INI.format(url=sim.url,
                                                     refresh_token=made["refresh_token"].replace("%", "%%"), **{
            k: sim.info[k] for k in ("redirect_uri", "client_id", "client_secret")}))
        (where / "client.py").write_text(CLIENT)
        done = subprocess.run([sys.executable, where / "client.py", where / "client.ini", hook.url],
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, "SSL_CERT_FILE": str(certificate)})
        assert done.returncode == 0, done.stderr
        yield {**json.loads(done.stdout), "notified": [json.loads(body)["Content"] for body in hook.wait(1)]}, sim


def test_refresh_and_divisions(seen):
    got, sim = seen
    assert got["refreshed"] and 540 < got["expires"] <= 600
    assert got["divisions"] == {str(d["code"]): d["description"]
                                for d in sim.info["divisions"]} and got["current"] == 101001


def test_paged_listing(seen):
    got, sim = seen
    truth = sim.truth("crm/Accounts")
    assert len(got["accounts"]) == len(truth) > 60
    assert {tuple(a) for a in got["accounts"]} == {(k, r["Code"], r["Name"]) for k, (r, _) in truth.items()}
    assert got["orders"] == len(sim.truth("sync/PurchaseOrder/PurchaseOrders"))


def test_filtering(seen):
    got, _ = seen
    assert got["by_code"] == [got["accounts"][0][0]] and got["one"] == got["accounts"][0][0] and got["ledger"] == [
        "1300", "1600"]


def test_writing_and_errors(seen):
    got, sim = seen
    assert got["put"] == "thé" and got["gone"] == [] and got["early"] == [400, "TooEarlyToRefreshTokens"]
    assert got["after_consent"] == sim.info["user"]


def test_subscribing_and_being_notified(seen):
    got, sim = seen
    assert got["subscribed"] == ["GLAccounts", True] and got["twice"] == [500, "Gegeven bestaat reeds."]
    [content] = got["notified"]
    assert (content["Topic"], content["Action"], content["Division"]) == ("GLAccounts", "Update", sim.division)
    assert content["Key"].lower() == got["changed"]


def test_a_general_odata_client_reads_metadata_lists_and_records():
    """pyodata reads $metadata first and builds its requests from that."""
    pyodata = pytest.importorskip("pyodata")
    import requests
    with Running("--preset", "finance", "--records", 900, "--divisions", 1, "--minute-limit", 0) as sim:
        sim.authorize()
        session = requests.Session()
        session.headers["Authorization"] = f"Bearer {sim.access}"
        crm = pyodata.Client(f"{sim.url}/api/v1/{sim.division}/crm", session)
        some = crm.entity_sets.Accounts.get_entities().select("ID,Name,Code").top(5).execute()
        truth = sim.truth("crm/Accounts")
        assert len(some) == 5 and all(row.Name == truth[row.ID][0]["Name"] for row in some)
        assert crm.entity_sets.Accounts.get_entity(key=some[0].ID).execute().Name == some[0].Name
        books = pyodata.Client(f"{sim.url}/api/v1/{sim.division}/purchaseentry", session).entity_sets.PurchaseEntries
        page = books.get_entities().select("EntryID").execute()
        found = [row.EntryID for row in page]
        while page.next_url:
            page = books.get_entities().next_url(page.next_url).execute()
            found += [row.EntryID for row in page]
        assert sorted(found) == sorted(sim.truth("purchaseentry/PurchaseEntries"))
