"""pg_upgrade from PostgreSQL 16 to 18: nothing of the hub runs meanwhile, and it goes on in the new cluster."""
import pathlib
import subprocess

import pytest
import servers
from cluster import Cluster
from conftest import UNLIMITED
from hub import Hub, simulators
from truth import Comparison

TREE = pathlib.Path(__file__).resolve().parents[2]


def test_pg_upgrade(tmp_path, monkeypatch):
    found = dict(servers.copies(tmp_path, ("16.14", "18.6")))
    if len(found) < 2:
        pytest.skip("PostgreSQL 16 and 18 cannot be had")
    for version, programs in found.items():
        build = tmp_path / f"build-{version}"
        subprocess.run(["cp", "-R", TREE, build], check=True)
        for targets in (["clean"], ["-j2", "all"], ["install"]):
            subprocess.run(["make", "-s", "-C", build, f"PG_CONFIG={programs}/pg_config", *targets], check=True)
    monkeypatch.setenv("EXACT_DATABRICKS_PG_BIN", str(found["16.14"]))
    exact, databricks = simulators(tmp_path, ("--fast", *UNLIMITED), ("--engine", "none"))
    hub = Hub(tmp_path / "hub", exact, databricks, schema="upgraded")
    monkeypatch.setenv("EXACT_DATABRICKS_LOCALE", "--locale=C.UTF-8 --no-data-checksums")
    new = None
    try:
        hub.set_up()
        hub.enable()
        hub.wait_loaded(300)
        old = hub.cluster
        old.stop("fast")
        mine = {name: value for name, value in old.settings.items() if name.startswith("exact_databricks.")}
        new = Cluster(tmp_path / "new", mine, programs=found["18.6"])
        new.make()
        done = subprocess.run([found["18.6"] / "pg_upgrade", "-b", found["16.14"], "-B", found["18.6"], "-d", old.data,
                               "-D", new.data, "-U", "postgres", "-s", new.socket], cwd=tmp_path, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        hub.cluster = new
        new.start()
        hub.wait_for("the hub says that the cluster is another", lambda: "bound to another cluster" in (hub.value(
            "SELECT reason FROM exact.workers WHERE role = 'fetcher'") or ""), 60)
        fix = hub.value("SELECT fix FROM exact.check() WHERE finding LIKE '%is bound to another cluster%' LIMIT 1")
        hub.psql(fix[fix.index("SELECT"):])
        exact.random(20, deletes=0.2)
        hub.sync()
        report = Comparison(exact, databricks, hub.schema).run()
        assert not report.differences, str(report)
    finally:
        for cluster in (hub.cluster, new):
            if cluster:
                cluster.remove()
        exact.stop()
        databricks.stop()
