"""The manual does what it says: its SQL is typed into a new hub, block by block, as a reader would."""
import itertools
import pathlib
import re

import pytest
import requests

from cluster import SqlError
from hub import Hub, write_secret
from manual import blocks
from services import ExactOnline

_schemas = itertools.count(1)
TREE = pathlib.Path(__file__).resolve().parents[2]
PUBLIC = "https://hub.example.com"


class Reader:
    """Types the blocks of a page. What stands for values of the reader's own is replaced: ids, the workspace's host, the hub's address."""

    def __init__(self, hub, public=PUBLIC):
        self.hub, self.public = hub, public
        e, d = hub.exact.info, hub.databricks.info
        self.own = [("(name, client_id, region", "(name, client_id, base_url"), ("'nl'", f"'{e['base_url']}'"),
                    ("6f9d1c2e-8a44-4a0b-9a0f-3d2b1c0e9f11", e["client_id"]), ("https://adb-1.2.azuredatabricks.net", d["host"]),
                    ("'main', 'exact'", f"'main', '{hub.schema}'"), ("main.exact", f"main.{hub.schema}"), (PUBLIC, public)]

    def type(self, page, skip=()):
        for block in blocks(TREE / page):
            if any(word in block.text for word in skip):
                continue
            text = block.text
            for old, new in self.own:
                text = text.replace(old, new)
            try:
                if block.lake:
                    for statement in text.partition("\n")[2].split(";\n"):
                        if statement.strip():
                            self.hub.databricks.sql(statement.strip().rstrip(";"))
                    continue
                said = self.hub.psql(text)
            except (SqlError, RuntimeError) as error:
                pytest.fail(f"{page}, line {block.line}: {error}\n{text}")
            if "exact.authorize_url(" in block.text:
                self.consent(re.findall(r"^http\S+/api/oauth2/auth\S+$", said, re.M)[-1])

    def consent(self, url):
        """A browser: the consent page sends it to the callback page, which finishes; without a listener the DBA pastes the address."""
        answer = requests.get(url, allow_redirects=False, timeout=30)
        target = answer.headers["Location"]
        if self.public == PUBLIC:
            self.hub.psql(f"SELECT exact.authorize('erp', '{target}')")
            return
        page = requests.get(target, timeout=30)
        assert page.status_code == 200, page.text
        assert self.hub.value("SELECT state FROM exact.apps") == "authorized", page.text


@pytest.fixture
def fresh(request, tmp_path, engine_free):
    """A database without the extension, beside both simulators; the secrets lie ready as files."""
    from conftest import UNLIMITED, end_hub, show
    online = ExactOnline.start(tmp_path, "--fast", "--preset", "finance", "--records", 500, *UNLIMITED)
    hub = Hub(tmp_path / "hub", online, engine_free, schema=f"manual{next(_schemas)}",
              settings={"exact_databricks.sync_interval": "2s", "exact_databricks.merge_interval": "200ms"})
    hub.cluster.psql(f"CREATE DATABASE {hub.database}")
    for name, text in {"app.erp.client_secret": online.info["client_secret"], "app.erp.webhook_secret": online.info["webhook_secret"],
                       "workspace.lake.client_secret": engine_free.info["client_secret"]}.items():
        write_secret(hub.secrets / name, text)
    yield hub
    if getattr(request.node, "report_call", None) and request.node.report_call.failed:
        show(hub)
    end_hub(hub)


def test_readme(fresh):
    Reader(fresh).type("README.md")
    fresh.wait_loaded(120)
    assert fresh.value("SELECT light FROM exact.status WHERE division = 101001") == "ok"
