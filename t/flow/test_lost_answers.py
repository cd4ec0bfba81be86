"""Answers of Databricks that never arrive: each statement has one effect, whatever the hub had to send."""
import collections

import pytest


def merges(hub, since):
    """Texts of this hub's MERGE statements that the workspace executed, by kind."""
    found = collections.defaultdict(list)
    for statement in hub.databricks.get("statements", since=since)["statements"]:
        text = statement["text"]
        if f"`{hub.schema}`" in text and "MERGE INTO" in text and "`exact_" not in text.split("USING")[0]:
            found["history" if "_history`" in text.split("USING")[0] else "current"].append(text)
    return found


def lose(hub, kind, action, **more):
    table = "_history`" if kind == "history" else "`glaccount`"
    hub.databricks.fault("", action,
                         statement=r"MERGE "
                         rf"INTO[^(]*`{hub.schema}`\.`\w*{table if kind == 'history' else 'glaccount`'}", **more)


def run(hub, kind, action, **more):
    """One delivery of three changes with a fault in the MERGE of one kind; how often that kind was executed."""
    hub.enable(entities=("glaccount",))
    hub.wait_loaded(240)
    seen = max((s["n"] for s in hub.databricks.get("statements")["statements"]), default=0)
    lose(hub, kind, action, **more)
    division = hub.exact.divisions[0]
    hub.exact.random(3, division=division, resource="financial/GLAccounts", deletes=0)
    hub.sync(240)
    applied = [rule for rule in hub.databricks.get("faults")["faults"] if rule["applied"]]
    assert applied, "the fault was not met"
    return merges(hub, seen)[kind]


@pytest.mark.long  # t/520_delivery_spark.pl loses answers of real Spark, too
@pytest.mark.parametrize("kind", ["history", "current"])
def test_answer_lost_after_execution_on_delta(spark, start_hub, equal, kind):
    hub = start_hub(spark, "--records", 40, "--divisions", 1)
    texts = run(hub, kind, "reset_after")
    assert max(collections.Counter(texts).values()) >= 2, "the same text goes again after a lost answer"
    equal(hub, tables=("glaccount",))


@pytest.mark.parametrize("kind", ["history", "current"])
@pytest.mark.parametrize("action", ["reset_before", "reset_after", "reset_running", "fail_after", "forget",
                                    "token_expired", "html"])
def test_other_ways_to_lose_an_answer(engine_free, start_hub, equal, kind, action):
    more = {"fail_after": {"error_class": "DELTA_CONCURRENT_APPEND", "sql_state": "2D521",
                           "message": "concurrent append"}}.get(action, {})
    hub = start_hub(engine_free, "--records", 40, "--divisions", 1)
    run(hub, kind, action, **more)
    equal(hub, tables=("glaccount",))


@pytest.mark.parametrize("status, headers", [(429, {"Retry-After": "1"}), (429, {}), (503, {})])
def test_busy_service(engine_free, start_hub, equal, status, headers):
    hub = start_hub(engine_free, "--records", 40, "--divisions", 1)
    run(hub, "current", "status", status=status, headers=headers, times=2)
    equal(hub, tables=("glaccount",))
