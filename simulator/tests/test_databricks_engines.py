"""
The engine-free workspace is asked a list of statements, and each answer is compared with Spark's, which stand in
answers_of_spark.jsonl. That Spark still answers so is asked with --long.
"""

import json
import os
from pathlib import Path

import pytest
from test_databricks_cases import EXPLAINED, Runner, ask_everything
from test_databricks_support import PLAIN, Server

from simulator.databricks.refusals import STATES

RECORD = Path(__file__).with_name("answers_of_spark.jsonl")
HOW = ("record Spark's answers again: python simulator/tests/test_databricks_engines.py > "
       "simulator/tests/answers_of_spark.jsonl, with the environment of scripts/setup")


def answers(engine):
    os.environ["EXACT_TEST_VALUE"] = "seen"  # a statement asks for it
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


def recorded():
    return [tuple(json.loads(line)) for line in RECORD.read_text().split("\n") if line]


def as_read(answers):
    return [(case, json.loads(json.dumps(answer))) for case, answer in answers]


def test_engine_free_answers_as_spark(engine_free):
    mine, theirs = as_read(engine_free), recorded()
    assert [case for case, _ in mine] == [case for case, _ in theirs], HOW
    differing = {case: (answer, other) for (case, answer), (_, other) in zip(mine, theirs) if answer != other}
    print(f"{len(theirs)} cases, {len(differing)} differ, {len(differing.keys() - EXPLAINED.keys())} unexplained")
    assert {case: why for case, why in differing.items() if case not in EXPLAINED} == {}
    assert EXPLAINED.keys() <= differing.keys(), "an explanation has become untrue"


@pytest.mark.skipif("EXACT_TEST_LONG" not in os.environ, reason="minutes of Spark: scripts/check --long simulators")
def test_spark_answers_as_recorded():
    differing = [(now, then) for now, then in zip(as_read(answers("spark")), recorded(), strict=True) if now != then]
    assert differing == [], HOW


if __name__ == "__main__":
    for answer in answers("spark"):
        print(json.dumps(answer))
