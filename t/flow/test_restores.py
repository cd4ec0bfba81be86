"""
A short run of scripts/restores: the server dies and finds older files, and two copies of one backup start at once. The
other kinds are in t/710_installation_dump.pl, t/711_installation_copies.pl and t/713_installation_set_back.pl.
"""
import pytest
from restores import Plan, one

PLAN = Plan(records=150, divisions=1, preset="orders", delivered=40, patience=120)


@pytest.mark.parametrize("kind", ["lost WAL", "two copies"])
def test_restored_under_load(engine_free, tmp_path, kind):
    restore, report, wrong = one(kind, tmp_path / "restore", engine_free, PLAN, "restored_" + kind.replace(" ", "_"))
    assert not wrong, wrong
    assert report.rows >= 100 and restore.load.made >= 50
    assert any(text.startswith("fail: another copy") for _, text in restore.said) == (kind == "two copies")
    assert restore.said[-1][1].startswith("ok: ")
