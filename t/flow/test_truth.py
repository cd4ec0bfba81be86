"""The comparison itself: it accepts what is right and finds each kind of difference."""
import copy
import json
from decimal import Decimal

import pytest
from truth import Comparison

KEY, OTHER = "64a1aaf8-f2cc-4289-b449-04b0b62b6f67", "051102ef-b32a-45aa-88fa-f3a99d3d3df7"
TYPES = {"_division": "INT", "_key": "STRING", "_seq": "BIGINT", "ID": "STRING", "Code": "STRING", "Description": "STRING", "PrivatePercentage": "DECIMAL(28,10)",
         "Creator": "STRING", "CreatorFullName": "STRING", "VATCode": "STRING", "Created": "TIMESTAMP_NTZ", "IsBlocked": "BOOLEAN", "_op": "STRING",
         "_deleted": "BOOLEAN", "_valid": "BOOLEAN", "_problems": "STRING", "_batch": "BIGINT", "_staged_at": "TIMESTAMP", "_loaded_at": "TIMESTAMP"}


def record(**changed):
    return {"Timestamp": "77", "ID": KEY, "Code": "4300", "Description": "Kantoor", "PrivatePercentage": Decimal("0.30000000000000004"), "Creator": OTHER,
            "CreatorFullName": "Ann", "VATCode": "2  ", "Created": "/Date(1702985157940)/", "IsBlocked": False, **changed}


def content(row):
    return {"ID": row["ID"], "Code": row["Code"], "Description": row["Description"], "PrivatePercentage": "0.3000000000", "Creator": OTHER,
            "CreatorFullName": row["CreatorFullName"], "VATCode": "2", "Created": "2023-12-19T11:25:57.940", "IsBlocked": False}


class World:
    """One GL account: created, renamed, only its creator's name changed, then deleted; another that stays."""

    def __init__(self):
        first, second = record(), record(Description="Kantoorkosten", Timestamp="78")
        third = record(Description="Kantoorkosten", Timestamp="79", CreatorFullName=None)
        stays = record(ID=OTHER, Code="1000", CreatorFullName=None)
        self.versions = [first, stays, second, third, {"gone": KEY}]
        self.living = [stays]
        hub = {"_division": 1, "_deleted": False, "_valid": True, "_problems": None, "_batch": 1, "_staged_at": "2026-01-01T00:00:00Z",
               "_loaded_at": "2026-01-01T00:00:00Z"}

        def version(row, seq, op, payload=True):
            return {**hub, **content(row), "_key": row["ID"], "_seq": seq, "_op": op, "_deleted": op == "D",
                    "_payload": json.dumps({**row, "__metadata": {}}, default=float) if payload else None}
        self.history = [version(first, 11, "I"), version(stays, 12, "I"), version(second, 13, "U"), version(second, 14, "D", False)]
        self.current = [{k: v for k, v in copy.deepcopy(self.history[n]).items() if k != "_payload"} for n in (3, 1)]

    divisions, info = [1], {"catalog": "main"}

    def served(self, division, resource):
        return [{"key": v["gone"], "row": None} if "gone" in v else {"key": v["ID"], "row": v} for v in self.versions]

    def truth(self, division, resource):
        return [{"key": r["ID"], "deleted": False, "row": r} for r in self.living] + [{"key": KEY, "deleted": True, "row": record()}]

    def sql(self, statement):
        types = dict(TYPES, _payload="STRING") if "history" in statement else TYPES
        return {"rows": [[name, kind.lower(), None] for name, kind in types.items()] + [["# Clustering Information", "", ""]]}

    def rows(self, table):
        return copy.deepcopy(self.history if table.endswith("_history") else self.current)


def differences(world, **how):
    return Comparison(world, world, tables=("glaccount",), **how).run().differences


def test_equal():
    world = World()
    report = Comparison(world, world, tables=("glaccount",)).run()
    assert not report.differences, str(report)
    assert (report.rows, report.versions, report.deleted) == (2, 4, 1)


def spoil(world, what):
    history, current = world.history, world.current
    {"row missing": lambda: current.pop(1), "row too many": lambda: current.append({**current[1], "_key": "x"}),
     "value": lambda: current[1].update(Code="1001"), "digits": lambda: history[0].update(PrivatePercentage="0.3000000001"),
     "not trimmed": lambda: current[1].update(VATCode="2  "), "shifted time": lambda: history[2].update(Created="2023-12-19T12:25:57.940"),
     "not deleted": lambda: current[0].update(_deleted=False), "deleted": lambda: current[1].update(_deleted=True),
     "content lost by the delete": lambda: current[0].update(Description=None), "version missing": lambda: history.pop(2),
     "version twice": lambda: history.insert(2, {**history[2], "_seq": 99}), "older state last": lambda: (history[0].update(_seq=13), history[2].update(_seq=11)),
     "same seq": lambda: history[1].update(_seq=11), "current is not the newest": lambda: current[0].update(_seq=13),
     "payload": lambda: history[0].update(_payload=history[0]["_payload"].replace("4300", "4301")), "operation": lambda: history[2].update(_op="I"),
     "derived value lost": lambda: current[0].update(CreatorFullName=None), "unknown to Exact Online": lambda: world.living.clear(),
     "another division": lambda: current[1].update(_division=2), "not loaded": lambda: current[1].update(_loaded_at=None)}[what]()


@pytest.mark.parametrize("what", ["row missing", "row too many", "value", "digits", "not trimmed", "shifted time", "not deleted", "deleted",
                                  "content lost by the delete", "version missing", "version twice", "older state last", "same seq",
                                  "current is not the newest", "payload", "operation", "derived value lost", "unknown to Exact Online",
                                  "another division", "not loaded"])
def test_difference_is_found(what):
    world = World()
    spoil(world, what)
    assert differences(world)


def test_lost_answer_may_skip_a_state_but_not_the_last():
    world = World()
    world.history.pop(2)
    world.history[2].update(Description="Kantoor")
    world.current[0].update(Description="Kantoor")
    assert differences(world)
    assert not differences(world, lost_answers=True)
    world.history.pop(2)
    assert differences(world, lost_answers=True)
