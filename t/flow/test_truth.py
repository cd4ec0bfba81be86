"""The comparison itself: it accepts what is right and finds each kind of difference."""
import copy
import json
from decimal import Decimal

import pytest
from truth import Comparison

KEY, OTHER = "64a1aaf8-f2cc-4289-b449-04b0b62b6f67", "051102ef-b32a-45aa-88fa-f3a99d3d3df7"
TYPES = {"_division": "INT", "_key": "STRING", "_seq": "BIGINT", "ID": "STRING", "Code": "STRING",
         "Description": "STRING", "PrivatePercentage": "DECIMAL(28,10)",
         "Creator": "STRING", "CreatorFullName": "STRING", "VATCode": "STRING", "Created": "TIMESTAMP_NTZ",
         "IsBlocked": "BOOLEAN", "_op": "STRING",
         "_deleted": "BOOLEAN", "_valid": "BOOLEAN", "_problems": "STRING", "_batch": "BIGINT",
         "_staged_at": "TIMESTAMP", "_loaded_at": "TIMESTAMP"}


def record(**changed):
    return {"Timestamp": "77", "ID": KEY, "Code": "4300", "Description": "Kantoor",
            "PrivatePercentage": Decimal("0.30000000000000004"), "Creator": OTHER,
            "CreatorFullName": "Ann", "VATCode": "2  ", "Created": "/Date(1702985157940)/",
            "IsBlocked": False, **changed}


def content(row):
    return {"ID": row["ID"], "Code": row["Code"], "Description": row["Description"],
            "PrivatePercentage": "0.3000000000", "Creator": OTHER,
            "CreatorFullName": row["CreatorFullName"], "VATCode": "2", "Created": "2023-12-19T11:25:57.940",
            "IsBlocked": False}


class World:
    """One GL account: created, renamed, only its creator's name changed, then deleted; another that stays."""

    def __init__(self):
        first, second = record(), record(Description="Kantoorkosten", Timestamp="78")
        third = record(Description="Kantoorkosten", Timestamp="79", CreatorFullName=None)
        stays = record(ID=OTHER, Code="1000", CreatorFullName=None)
        self.versions = [first, stays, second, third, {"gone": KEY}]
        self.living = [stays]
        hub = {"_division": 1, "_deleted": False, "_valid": True, "_problems": None, "_batch": 1,
               "_staged_at": "2026-01-01T00:00:00Z",
               "_loaded_at": "2026-01-01T00:00:00Z"}

        def version(row, seq, op, payload=True):
            return {**hub, **content(row), "_key": row["ID"], "_seq": seq, "_op": op, "_deleted": op == "D",
                    "_payload": json.dumps({**row, "__metadata": {}}, default=float) if payload else None}
        self.history = [version(first, 11, "I"), version(stays, 12, "I"), version(second, 13, "U"),
                        version(second, 14, "D", False)]
        self.current = [{"_hash": "v1:", **{k: v for k, v in copy.deepcopy(self.history[n]).items() if k != "_payload"}}
                        for n in (3, 1)]

    divisions, info = [1], {"catalog": "main"}

    def get(self, _):
        return {"ledger": "repeat", "sync_invoice_sign": "plain"}

    def served(self, division, resource):
        return [{"key": v["gone"], "row": None} if "gone" in v else {"key": v["ID"], "row": v} for v in self.versions]

    def truth(self, division, resource):
        return [{"key": r["ID"], "deleted": False, "row": r} for r in self.living] + [{"key": KEY, "deleted": True,
                "row": record()}]

    def sql(self, statement):
        types = dict(TYPES, _payload="STRING") if "history" in statement else dict(TYPES, _hash="STRING")
        return {"rows": [[name, kind.lower(), None] for name, kind in types.items()]
                + [["# Clustering Information", "", ""]]}

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
     "value": lambda: current[1].update(Code="1001"),
     "digits": lambda: history[0].update(PrivatePercentage="0.3000000001"),
     "not trimmed": lambda: current[1].update(VATCode="2  "),
     "shifted time": lambda: history[2].update(Created="2023-12-19T12:25:57.940"),
     "not deleted": lambda: current[0].update(_deleted=False), "deleted": lambda: current[1].update(_deleted=True),
     "content lost by the delete": lambda: current[0].update(Description=None),
     "version missing": lambda: history.pop(2),
     "version twice": lambda: history.insert(2, {**history[2], "_seq": 99}),
     "older state last": lambda: (history[0].update(_seq=13), history[2].update(_seq=11)),
     "same seq": lambda: history[1].update(_seq=11), "current is not the newest": lambda: current[0].update(_seq=13),
     "payload": lambda: history[0].update(_payload=history[0]["_payload"].replace("4300", "4301")),
     "operation": lambda: history[2].update(_op="I"),
     "derived value lost": lambda: current[0].update(CreatorFullName=None),
     "unknown to Exact Online": lambda: world.living.clear(),
     "another division": lambda: current[1].update(_division=2),
     "not loaded": lambda: current[1].update(_loaded_at=None)}[what]()


@pytest.mark.parametrize("what", ["row missing", "row too many", "value", "digits", "not trimmed", "shifted time",
                                  "not deleted", "deleted",
                                  "content lost by the delete", "version missing", "version twice",
                                  "older state last", "same seq",
                                  "current is not the newest", "payload", "operation", "derived value lost",
                                  "unknown to Exact Online",
                                  "another division", "not loaded"])
def test_difference_is_found(what):
    world = World()
    spoil(world, what)
    assert differences(world)


def test_record_may_vanish_and_be_there_again_where_the_user_lost_a_right():
    world = World()
    gone = {**world.history[1], "_seq": 21, "_op": "D", "_deleted": True, "_payload": None}
    world.history.append(gone)
    world.current[1].update(_seq=21, _op="D", _deleted=True)
    assert differences(world) and differences(world, vanishing=True)    # it is there in Exact Online
    world.history.append({**world.history[1], "_seq": 22})
    world.current[1].update(_seq=22, _op="I", _deleted=False)
    assert differences(world) and not differences(world, vanishing=True)
    world.history.append({**world.history[1], "_seq": 23, "_op": "U"})
    world.current[1].update(_seq=23, _op="U")
    assert differences(world, vanishing=True)


def test_lost_answer_may_skip_a_state_but_not_the_last():
    world = World()
    world.history.pop(2)
    world.history[2].update(Description="Kantoor")
    world.current[0].update(Description="Kantoor")
    assert differences(world)
    assert not differences(world, lost_answers=True)
    world.history.pop(2)
    assert differences(world, lost_answers=True)


def test_lost_answer_may_be_followed_by_one_with_another_derived_value():
    world = World()
    later = record(Description="Kantoorkosten", Timestamp="79", CreatorFullName="Bea")
    world.versions[3] = later
    world.history[2].update(CreatorFullName="Bea", _payload=json.dumps({**later, "__metadata": {}}, default=float))
    world.history[3].update(CreatorFullName="Bea")
    world.current[0].update(CreatorFullName="Bea")
    assert differences(world)
    assert not differences(world, lost_answers=True)


ENTRY, LINE_A, LINE_B, LINE_C = (f"{n}{KEY[1:]}" for n in "abcd")
LINE_TYPES = {**{n: t for n, t in TYPES.items() if n.startswith("_")}, "ID": "STRING", "EntryID": "STRING",
              "AmountDC": "DECIMAL(28,4)", "LineNumber": "INT"}
HEADER_TYPES = {**{n: t for n, t in TYPES.items() if n.startswith("_")}, "EntryID": "STRING",
                "AmountDC": "DECIMAL(28,4)"}


class Books:
    """A purchase entry, read with its lines three times: two lines; one changed, one gone and one new while the header
    stayed as it was; the same once more.
    Then it was deleted, which only its absence tells. Reads through other addresses are no versions."""

    divisions, info = [1], {"catalog": "main"}

    def get(self, _):
        return {"ledger": "repeat", "sync_invoice_sign": "plain"}

    def __init__(self):
        def answer(n, *lines):
            found = [{"n": n + i, "key": key, "row": {"ID": key, "EntryID": ENTRY, "AmountDC": amount,
                                                      "LineNumber": i + 1}, "document": ENTRY}
                     for i, (key, amount) in enumerate(lines)]
            return found, {"n": n + 9, "key": ENTRY, "row": {"EntryID": ENTRY, "AmountDC": Decimal("12.5")},
                           "document": ENTRY}
        answers = [answer(10, (LINE_A, 10), (LINE_B, 5)), answer(30, (LINE_B, 6), (LINE_C, 5)),
                   answer(50, (LINE_B, 6), (LINE_C, 5))]
        self.headers = [header for _, header in answers] + [{"n": 25, "key": ENTRY, "row": {"EntryID": ENTRY},
                                                             "document": ENTRY},
                                                            {"n": 26, "key": ENTRY,
                                                             "row": {"EntryID": ENTRY, "AmountDC": 99},
                                                             "document": None}]
        self.lines = [line for lines, _ in answers for line in lines] + [
            {"n": 24, "key": LINE_B, "row": {"ID": LINE_B}, "document": ENTRY},
            {"n": 27, "key": LINE_A, "row": {"ID": LINE_A, "EntryID": ENTRY, "AmountDC": 77, "LineNumber": 1},
             "document": None}]
        self.history = {"purchaseentries": [self.version({"EntryID": ENTRY, "AmountDC": "12.5000"}, 1, "I"),
                                            self.version({"EntryID": ENTRY, "AmountDC": "12.5000"}, 9, "D")],
                        "purchaseentrylines": [self.line(LINE_A, 10, 1, 2, "I"), self.line(LINE_B, 5, 2, 3, "I"),
                                               self.line(LINE_B, 6, 1, 4, "U"),
                                               self.line(LINE_C, 5, 2, 5, "I"), self.line(LINE_A, 10, 1, 6, "D"),
                                               self.line(LINE_B, 6, 1, 10, "D"),
                                               self.line(LINE_C, 5, 2, 11, "D")]}

    @staticmethod
    def version(fields, seq, op):
        payload = {n: Decimal(v) if n == "AmountDC" else v for n, v in fields.items()}
        return {"_division": 1, "_key": fields.get("ID", ENTRY), "_seq": seq, "_op": op, "_deleted": op == "D",
                "_valid": True, "_problems": None, "_batch": 1,
                "_staged_at": "2026-01-01T00:00:00Z", "_loaded_at": "2026-01-01T00:00:00Z", **fields,
                "_payload": None if op == "D" else json.dumps({**payload, "__metadata": {}}, default=float)}

    def line(self, key, amount, number, seq, op):
        return self.version({"ID": key, "EntryID": ENTRY, "AmountDC": f"{amount}.0000", "LineNumber": number}, seq, op)

    def served(self, division, resource):
        return self.lines if resource.endswith("Lines") else self.headers

    def truth(self, division, resource):
        return [{"key": v["key"], "deleted": True, "row": v["row"]}
                for v in ({v["key"]: v for v in self.served(division, resource) if v["document"]}).values()]

    def sql(self, statement):
        types = LINE_TYPES if "lines" in statement else HEADER_TYPES
        return {"rows": [[name, kind.lower(), None] for name,
                         kind in {**types, **({"_payload": "STRING"} if "history" in statement else {})}.items()]}

    def rows(self, table):
        versions = self.history[table.rpartition(".")[2].removesuffix("_history")]
        if table.endswith("_history"):
            return copy.deepcopy(versions)
        return [{n: v for n, v in row.items() if n != "_payload"} for row in {v["_key"]: v
                for v in sorted(versions, key=lambda v: v["_seq"])}.values()]


def book_differences(world):
    return Comparison(world, world, tables=("purchaseentries", "purchaseentrylines")).run().differences


def test_documents_read_with_their_lines_are_equal():
    assert not book_differences(Books())


@pytest.mark.parametrize("spoiled", ["vanished line stays", "line of another read", "header of another read",
                                     "collection in the payload", "part of a header",
                                     "line not deleted with its document", "unchanged header twice"])
def test_difference_in_documents_is_found(spoiled):
    world = Books()
    headers, lines = world.history["purchaseentries"], world.history["purchaseentrylines"]
    if spoiled == "vanished line stays":
        lines.pop(4)
    elif spoiled == "line of another read":
        lines.insert(2, world.line(LINE_A, 77, 1, 8, "U"))
    elif spoiled == "header of another read":
        headers.insert(1, world.version({"EntryID": ENTRY, "AmountDC": "99.0000"}, 8, "U"))
    elif spoiled == "collection in the payload":
        headers[0]["_payload"] = json.dumps({**json.loads(headers[0]["_payload"]), "PurchaseEntryLines": []})
    elif spoiled == "part of a header":
        headers.insert(1, {**headers[0], "_seq": 8, "_op": "U", "AmountDC": None,
                           "_payload": json.dumps({"EntryID": ENTRY})})
    elif spoiled == "line not deleted with its document":
        lines.pop()
    else:
        headers.insert(1, {**headers[0], "_seq": 8, "_op": "U"})
    assert book_differences(world)


def test_lines_that_are_asked_for_by_themselves_are_versions():
    """The hub does so when a document has lacked one; what it is shown may differ in a derived value from what
    follows."""
    world = Books()
    world.lines += [{"n": 45, "key": key, "row": {"ID": key, "EntryID": ENTRY, "AmountDC": 8, "LineNumber": number},
                     "document": None} for key, number in ((LINE_B, 1), (LINE_C, 2))]
    assert book_differences(world)
    lines = world.history["purchaseentrylines"]
    lines[5:5] = [world.line(LINE_B, 8, 1, 0, "U"), world.line(LINE_C, 8, 2, 0, "U"), world.line(LINE_B, 6, 1, 0, "U"),
                  world.line(LINE_C, 5, 2, 0, "U")]
    for seq, line in enumerate(lines, 20):
        line["_seq"] = seq
    assert not book_differences(world)
