"""What happens around writes of dimensions: kills, records that Delta gets once more."""
import pytest
from kills import kill
from test_ordering import hits
from test_write_back import CENTERS, UNITS, Scene


@pytest.fixture
def scene(engine_free, start_hub):
    def make(*exact, settings=None):
        return Scene(start_hub(engine_free, "--records", 200, "--divisions", 1, *exact, settings={
            "exact_databricks.sync_interval": "1h", **(settings or {})}))
    return make


def test_killed_before_the_answer(scene):
    """kill -9 between the call and its answer: it was done once, and is found."""
    s = scene()
    row = s.living(CENTERS)[0]
    put = s.fault(f"{CENTERS}.*guid", "delay_after", seconds=4)
    (change,) = s.edit(CENTERS, row["ID"], description="'Killed'")
    s.hub.wait_for("the call is on its way", lambda: hits(s.hub, put), 20, 0.02)
    kill(s.hub, "fetcher")
    s.hub.wait_for_workers()
    post = s.fault(f"{UNITS}$", "delay_after", method="POST", seconds=4)
    (made,) = s.add(UNITS, code="'KILLED'", description="'Killed'")
    s.hub.wait_for("the call is on its way", lambda: hits(s.hub, post), 20, 0.02)
    kill(s.hub, "fetcher")
    s.hub.wait_for_workers()
    s.ended(change, "done", 60)
    s.ended(made, "done", 60)
    s.quiet()
    assert s.there(CENTERS, row["ID"])["Description"] == "Killed" and len(s.coded(UNITS, "KILLED")) == 1
    assert len(s.sent()) == s.written() == 2


def test_once_more_for_delta(scene):
    """A record is staged as it is, with a number of its own; of a deleted one its tombstone."""
    s = scene()
    kept, gone = (row["ID"] for row in s.living(CENTERS)[:2])
    s.exact.change(s.division, CENTERS, "delete", gone)
    s.hub.psql(f"SELECT exact._want_keys({s.division}, 'costcenter', ARRAY['{gone}'], NULL, 'absent'), "
               "exact._wake('fetcher')")
    newest = ("SELECT r.seq, r.deleted, s.op, s.payload, s.prev_batch FROM exact.record r "
              "JOIN exact.stage s USING (slot, batch, ord) WHERE r.entity = 'costcenter' AND r.key = '{}'")
    s.hub.wait_for("it is deleted", lambda: s.hub.query(newest.format(gone))[0]["deleted"], 30)
    before = {key: s.hub.query(newest.format(key))[0] for key in (kept, gone)}
    s.hub.psql(f"SELECT exact._dimension_again({s.division}, 'costcenter', ARRAY['{kept}', '{gone}', 'unknown'])")
    s.hub.wait_for("both are staged", lambda: all(
        s.hub.query(newest.format(key))[0]["seq"] > before[key]["seq"] for key in before), 20)
    after = {key: s.hub.query(newest.format(key))[0] for key in (kept, gone)}
    assert (after[kept]["op"], after[kept]["payload"]) == ("U", before[kept]["payload"])
    assert (after[gone]["op"], after[gone]["payload"], after[gone]["deleted"]) == ("D", None, True)
    assert s.hub.value("SELECT count(*) FROM exact.dimension_again") == "0"
    s.hub.wait_for("delivered", lambda: s.hub.value("SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL")
                   == "0", 30)
