"""The two simulators: started as child processes, or reached at an address; with the calls of their control APIs."""
import json
import pathlib
import sys
from decimal import Decimal

import requests
from processes import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]


class _Service:
    """`url` is the address of a running simulator; `server` is set when this process started it."""

    FORMS = ()  # options that restore forms which the hub stands; simulator/weather_known.md names each

    def __init__(self, url, server=None):
        self.url, self.server = url, server
        self._session = requests.Session()
        self.info = self.get("info")

    @classmethod
    def launch(cls, directory, *arguments, calm=True):
        """Starts the simulator and does not wait for it; attach() does. `calm`: with the forms that the hub stands."""
        directory = pathlib.Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        command = [str(ROOT / "simulator" / cls.LAUNCHER), "--port", "0", *(cls.FORMS if calm else ()),
                   *map(str, arguments)]
        return Server(cls.NAME, command, directory / f"{cls.LAUNCHER}.log",
                      {"EXACT_DATABRICKS_PYTHON": sys.executable})

    @classmethod
    def attach(cls, server, seconds=240):
        return cls(server.wait(seconds), server)

    @classmethod
    def start(cls, directory, *arguments):
        return cls.attach(cls.launch(directory, *arguments))

    def _call(self, method, path, seconds=180, **how):
        answer = self._session.request(method, f"{self.url}/_control/{path}", timeout=seconds, **how)
        if answer.status_code >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        # a fraction or an exponent is kept digit by digit
        return json.loads(answer.text, parse_float=Decimal) if answer.text else None

    def get(self, path, /, **query):
        return self._call("GET", path, params=query)

    def post(self, path, /, **body):
        return self._call("POST", path, json=body)

    def fault(self, path, action, **how):
        """Arms a fault (the simulator's README lists the actions); its id."""
        return self.post("faults", path=path, action=action, **how)["id"]

    def clear_faults(self):
        self._call("DELETE", "faults")

    def stop(self):
        if self.server:
            self.server.stop()


class ExactOnline(_Service):
    NAME, LAUNCHER = "the Exact Online simulator", "exact-online"
    FORMS = ("--set", 'books=["drafts","balances","charges","reverse_charge","including","overtyped",'
             '"rounding","system","budget","zero","zero_guid","null_vat"]')

    @property
    def divisions(self):
        return [division["code"] for division in self.info["divisions"]]

    def truth(self, division, resource):
        return self.get("truth", division=division, resource=resource)["records"]

    def served(self, division, resource):
        return self.get("served", division=division, resource=resource)["versions"]

    def forget(self):
        self.post("forget")

    def change(self, division, resource, op, key=None, **more):
        return self.post("change", division=division, resource=resource, op=op, **({"key": key} if key else {}), **more)

    def random(self, count, **more):
        return self.post("random", count=count, **more)["changes"]

    def consent(self, user=None):
        return self.post("authorize", **({"user": user} if user else {}))


class Databricks(_Service):
    NAME, LAUNCHER = "the Databricks simulator", "databricks-workspace"

    def sql(self, statement):
        return self.post("sql", statement=statement)

    def make_schema(self, name):
        """What docs/setup.md has the owner of the catalog do for a schema."""
        full = f"{self.info['catalog']}.{name}"
        self.sql(f"CREATE SCHEMA IF NOT EXISTS {full}")
        self.sql(f"GRANT USE SCHEMA, CREATE TABLE, SELECT, MODIFY ON SCHEMA {full} TO `{self.info['client_id']}`")

    def make_volume(self, schema, name="files"):
        """The volume of docs/setup.md, in a schema that is made."""
        full = f"{self.info['catalog']}.{schema}.{name}"
        self.sql(f"CREATE VOLUME IF NOT EXISTS {full}")
        self.sql(f"GRANT READ VOLUME, WRITE VOLUME ON VOLUME {full} TO `{self.info['client_id']}`")
        return name

    def rows(self, table):
        """All rows of a Delta table, read through the engine, as dictionaries."""
        answer = self.get("rows", table=table)
        names = [column["name"] if isinstance(column, dict) else column for column in answer["columns"]]
        return [dict(zip(names, row)) for row in answer["rows"]]
