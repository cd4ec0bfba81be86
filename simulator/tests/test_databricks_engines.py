"""Both engines are asked the same list, and every answer is compared. Needs Spark (EXACT_DATABRICKS_JARS); without
it the engine-free half runs."""

import os

import pytest
from test_databricks_cases import EXPLAINED, Runner, ask_everything
from test_databricks_support import PLAIN, Server

from simulator.databricks.refusals import STATES


def answers(engine):
    server = Server(*PLAIN, engine=engine)
    try:
        server.sql("CREATE VOLUME main.exact.files")
        runner = Runner(server)
        ask_everything(runner)
        return runner.answers
    finally:
        server.stop()


@pytest.fixture(scope="module")
def engine_free():
    return answers("none")


def test_engine_free(engine_free):
    """No case ends in an error of the simulator itself; refusals are those of the table."""
    assert len(engine_free) > 570
    for case, answer in engine_free:
        assert answer.get("error") != "INTERNAL_ERROR", case
        if answer.get("error") and "status" not in answer:
            assert STATES[answer["error"].split(".")[0]] == answer["sql_state"], case


@pytest.mark.skipif(not os.environ.get("EXACT_DATABRICKS_JARS"), reason="EXACT_DATABRICKS_JARS is not set")
def test_engines_agree(engine_free):
    on_spark = answers("spark")
    assert [case for case, _ in engine_free] == [case for case, _ in on_spark]
    differing = {case: (mine, theirs) for (case, mine), (_, theirs) in zip(engine_free, on_spark) if mine != theirs}
    print(f"{len(on_spark)} cases, {len(differing)} differ, {len(differing.keys() - EXPLAINED.keys())} unexplained")
    assert {case: why for case, why in differing.items() if case not in EXPLAINED} == {}
    assert EXPLAINED.keys() <= differing.keys(), "an explanation has become untrue"
