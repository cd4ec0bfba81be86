"""
A short slice of scripts/storm: changes, faults of both services and a kill -9 of every process, then everything equals
the truth.
"""
import contextlib
import io

from conftest import show
from storm import Plan, Storm, first_load, launch

CHANGES, KILLS = 400, 5


def test_storm(tmp_path):
    plan = Plan(changes=CHANGES, kills=KILLS, divisions=3, records=600, seed=5, rate=25, faults=0.5)
    hub, told = launch(tmp_path, plan), io.StringIO()
    try:
        first_load(hub, 120)
        storm = Storm(hub, plan)
        with contextlib.redirect_stdout(told):
            storm.blow()
            storm.calm()
            storm.living.end()
            good = storm.verdict()
        assert sum(storm.faults.hits.values()) > KILLS and sum(storm.kills.values()) == KILLS
        assert good, told.getvalue()
    except BaseException:
        print(told.getvalue())
        show(hub)
        raise
    finally:
        hub.stop()
        hub.exact.stop()
        hub.databricks.stop()
