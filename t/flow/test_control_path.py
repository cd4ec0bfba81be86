"""
Installed into a directory of its own, which PostgreSQL 18 finds by extension_control_path and dynamic_library_path; the
server's own directories stay as they are. Built outside the tree.
"""
import pathlib
import shutil
import subprocess

import pytest
import servers
from cluster import Cluster
from processes import wait_until

TREE = pathlib.Path(__file__).resolve().parents[2]


def test_directory_of_its_own(tmp_path, monkeypatch):
    found = dict(servers.copies(tmp_path, ("18.6",)))
    if not found:
        pytest.skip("PostgreSQL 18 cannot be had")
    programs, own = found["18.6"], tmp_path / "own"
    source, build = tmp_path / "source", tmp_path / "build"
    shutil.copytree(TREE, source, symlinks=True, ignore=shutil.ignore_patterns(
        "*.o", "*.d", "*.so", "exact_databricks--*.sql", "12_catalogue_data.sql", "exports.map", "t", "tmp_check"))
    build.mkdir()
    for target in ("all", "install"):
        subprocess.run(["make", "-s", "-j2", "-C", build, "-f", source / "Makefile", f"VPATH={source}",
                        f"PG_CONFIG={programs}/pg_config", f"prefix={own}", target], check=True)
    share, lib = (next(own.rglob(name)) for name in ("exact_databricks.control", "exact_databricks.so"))
    assert not list(programs.parent.rglob("exact_databricks*"))
    monkeypatch.setenv("EXACT_DATABRICKS_PG_BIN", str(programs))
    cluster = Cluster(tmp_path / "cluster", {"extension_control_path": f"{share.parent.parent}:$system",
                                             "dynamic_library_path": f"{lib.parent}:$libdir"})
    try:
        cluster.make()
        cluster.start()
        cluster.psql("CREATE EXTENSION exact_databricks")
        assert cluster.value("SELECT count(*) > 0 FROM exact.check()") == "t"
        wait_until("the workers run", lambda: cluster.value(
            "SELECT count(*) FROM exact.workers WHERE role IN ('fetcher', 'loader') AND state = 'running'") == "2", 30)
        cluster.psql("ALTER EXTENSION exact_databricks UPDATE; DROP EXTENSION exact_databricks")
    finally:
        cluster.remove()
