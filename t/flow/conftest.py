"""
Hubs for whole-flow tests: a cluster, both simulators, a schema of its own in the (shared) workspace; all gone after the
test.
"""
import itertools
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "lib"))

from hub import Hub
from services import Databricks, ExactOnline
from truth import Comparison

UNLIMITED = ("--minute-limit", 100000, "--day-limit", 10000000, "--error-limit", 0)
_schemas = itertools.count(1)


def pytest_configure(config):
    config.addinivalue_line("markers", "long: only with scripts/check --long")


def pytest_collection_modifyitems(config, items):
    """A part that is marked `long` runs only if it is asked for."""
    if "EXACT_TEST_LONG" not in os.environ:
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    setattr(item, "report_" + report.when, report)
    return report


@pytest.fixture(scope="session")
def spark(tmp_path_factory):
    """A workspace on real Spark and Delta, shared by all tests: starting it takes longest."""
    workspace = Databricks.start(tmp_path_factory.mktemp("spark"), "--engine", "spark")
    yield workspace
    workspace.stop()


@pytest.fixture(scope="session")
def engine_free(tmp_path_factory):
    workspace = Databricks.start(tmp_path_factory.mktemp("memory"), "--engine", "none")
    yield workspace
    workspace.stop()


def make_hub(directory, workspace, *exact, settings=None, authorize=True, **how):
    """A hub that is configured and authorised; feeds start when the test enables entities."""
    schema = f"t{next(_schemas)}"
    online = ExactOnline.start(directory, "--fast", *UNLIMITED, *exact)
    hub = None
    try:
        hub = Hub(directory / "hub", online, workspace, schema=schema, settings={
            "exact_databricks.sync_interval": "2s", "exact_databricks.merge_interval": "200ms", **(settings or {})})
        hub.create()
        if authorize:
            hub.configure(**how)
            hub.authorize()
        return hub
    except BaseException:
        if hub:
            show(hub)
        end_hub(hub or online)
        raise


def end_hub(hub):
    if isinstance(hub, ExactOnline):
        hub.stop()
        return
    hub.databricks.clear_faults()
    hub.stop()
    hub.exact.stop()


def show(hub):
    """For a failed test: where the hub stands and the end of its log."""
    print("\n" + hub.where())
    print("\n".join(line[:300] for line in hub.cluster.log_text().splitlines()[-60:]))


@pytest.fixture
def start_hub(request, tmp_path):
    """A factory of hubs; each test ends its own."""
    made = []

    def start(workspace, *exact, **how):
        hub = make_hub(tmp_path / f"{len(made)}", workspace, *exact, **how)
        made.append(hub)
        return hub
    yield start
    for hub in made:
        if getattr(request.node, "report_call", None) and request.node.report_call.failed:
            show(hub)
        end_hub(hub)


@pytest.fixture
def equal():
    """Delta equals Exact Online, history equals what was served; the report of the comparison."""
    def check(hub, **how):
        report = Comparison(hub.exact, hub.databricks, hub.schema, **how).run()
        assert not report.differences, str(report)
        assert hub.query("SELECT * FROM exact.verify_audit()") == []
        return report
    return check
