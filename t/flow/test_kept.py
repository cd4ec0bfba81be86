"""
Four hours of simulated time with a retention of an hour: each record keeps its newest version, Delta equals the truth,
also after a replay, the audit log proves itself, no table grows. The long run: bench/kept.
"""
from conftest import UNLIMITED, show
from hub import Hub, simulators
from retained import SETTINGS, faults, run


def test_kept(tmp_path):
    exact, databricks = simulators(tmp_path, ("--fast", *UNLIMITED, "--records", 150, "--divisions", 2),
                                   ("--engine", "none"))
    hub = Hub(tmp_path / "hub", exact, databricks, settings=SETTINGS)
    try:
        hub.set_up()
        hub.enable()
        hub.wait_loaded()
        # the log grows with the groups in which notifications happen to come: the third hour is a second measure of it
        kept = run(hub, 4, 15, 60)
        assert kept.removed > 500
        assert not faults(hub, kept, 4)
    except BaseException:
        show(hub)
        raise
    finally:
        hub.stop()
        exact.stop()
        databricks.stop()
