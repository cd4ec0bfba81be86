"""Compares the Delta tables with what Exact Online holds and has served: row by row, field by field, version by
version.

    python scripts/lib/truth.py --exact http://127.0.0.1:40825 --databricks http://127.0.0.1:41109 [--schema exact]

The expectation is worked out here, from the manual's rules about columns and types, and shares nothing with the
extension: current rows are the last version of each record, a deleted record keeps its content, a derived field (a name
or description that Exact Online joins in) is as of its record's last version, and history has each version that was
served, once, in order.
"""
import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from decimal import Decimal

from services import Databricks, ExactOnline
from truth_rules import (
    HEADER_SYNC_ONLY,
    PRESETS,
    RESOURCES,
    TYPES,
    content_of,
    delta_value,
    expected_value,
    hub_columns,
    is_header,
    key_of,
    keys_of_derived,
)

GONE = object()  # the state of a deleted record


@dataclass
class Report:
    rows: int = 0
    versions: int = 0
    fields: int = 0
    deleted: int = 0
    skipped: int = 0  # versions that were served and not staged, where that is allowed
    differences: list = field(default_factory=list)

    def differ(self, where, what):
        self.differences.append(f"{where}: {what}")

    def __str__(self):
        head = (f"{self.rows:,} rows, {self.versions:,} versions, {self.fields:,} fields compared, "
                f"{self.deleted:,} deleted: ")
        if not self.differences:
            return head + "equal"
        shown = "\n".join("  " + line for line in self.differences[:20])
        return f"{head}{len(self.differences)} differences\n{shown}"

DOCUMENT = re.compile("entr(y|ies)|invoice|order|transactionlines")


class Comparison:
    def __init__(self, exact, databricks, schema="exact", catalog=None, divisions=None, tables=None, lost_answers=False,
                 vanishing=False,
                 now=False):
        """lost_answers: an answer may have been lost after it was served (a kill), so a served state may be missing in
        history when a later one of the same record is there; never the last one. vanishing: records were hidden from
        the user, so that a record may stand as deleted in history, and as it was again, without that being served. now:
        only what Exact Online holds now against the current tables; after a restore the history has versions of several
        copies of the hub."""
        self.exact, self.databricks, self.books = exact, databricks, exact.get("config")
        self.prefix = f"{catalog or databricks.info['catalog']}.{schema}"
        self.divisions = divisions or exact.divisions
        self.tables = tables or PRESETS[exact.info["settings"].get("preset", "orders")]
        self.lost_answers, self.vanishing, self.now = lost_answers, vanishing, now
        self.report = Report()
        self._served, self._truths = {}, {}     # as the simulator gave them

    def run(self):
        for entity in self.tables:
            current, history = f"{self.prefix}.{entity}", f"{self.prefix}.{entity}_history"
            types, history_types = self.types(current), self.types(history)
            rows, versions = self.databricks.rows(current), self.databricks.rows(history)
            if self.now:
                self.report.rows += len(rows)
                for division in self.divisions:
                    self.compare_truth(entity, division, types,
                                       {r["_key"]: r for r in rows if int(r["_division"]) == division})
                self.compare_newest(entity, rows, versions)
                continue
            self.check_columns(entity, types, history_types)
            self.check_history_order(entity, versions)
            for division in self.divisions:
                self.compare(entity, division, types,
                             {r["_key"]: r for r in rows if int(r["_division"]) == division},
                             [r for r in versions if int(r["_division"]) == division])
            others = {int(r["_division"]) for r in rows + versions} - set(self.divisions)
            if others:
                self.report.differ(entity, f"rows of divisions that were not compared: {sorted(others)}")
            if len({(r["_division"], r["_key"]) for r in rows}) != len(rows):
                self.report.differ(entity, "two current rows have the same key")
        return self.report

    def compare_newest(self, entity, rows, versions):
        """No version stands twice in history, and its newest of each record is the current one."""
        self.report.versions += len(versions)
        if len({(r["_division"], r["_seq"]) for r in versions}) != len(versions):
            self.report.differ(entity, "two versions in history have the same _seq")
        newest = {}
        for version in sorted(versions, key=lambda v: int(v["_seq"])):
            newest[version["_division"], version["_key"]] = int(version["_seq"])
        for row in rows:
            if newest.pop((row["_division"], row["_key"]), None) != int(row["_seq"]):
                self.report.differ(f"{entity} {row['_division']} {row['_key']}", "is not the newest version in history")
        for division, key in newest:
            self.report.differ(f"{entity} {division} {key}", "is in history and not in the current table")

    def types(self, table):
        """{column: type in capitals} as Delta describes the table."""
        answer = self.databricks.sql(f"DESCRIBE TABLE {table}")
        found = {}
        for row in answer["rows"]:
            name = row["col_name"] if isinstance(row, dict) else row[0]
            if not name or name.startswith("#"):
                break
            found[name] = (row["data_type"] if isinstance(row, dict) else row[1]).upper().replace(" ", "")
        return found

    def check_columns(self, entity, types, history_types):
        for name, wanted in TYPES.items():
            if types.get(name, wanted) != wanted:
                self.report.differ(entity, f"column {name} is {types[name]}, not {wanted}")
        wanted = {**{name: kind for name, kind in types.items() if name != "_hash"}, "_payload": "STRING"}
        if wanted != history_types:
            self.report.differ(entity, f"history's columns differ: {set(wanted.items()) ^ set(history_types.items())}")
        own = hub_columns(entity)
        if not own <= {*types, *history_types}:
            self.report.differ(entity, f"columns missing: {own - {*types, *history_types}}")
        table = RESOURCES[entity]
        sample = self.sample(table.resource)
        if sample is None:
            return
        wanted = set(content_of(entity, sample, self.books)) - own
        if table.combined:
            wanted &= set(self.sample(table.plain)) | (HEADER_SYNC_ONLY if entity == "purchaseorders" else set())
        columns = set(types) - own
        if wanted != columns:
            self.report.differ(entity, f"fields without a column: {sorted(wanted - columns)}; columns without a field: "
                               f"{sorted(columns - wanted)}")

    def sample(self, resource):
        """A living record of a resource, or None."""
        return next((r["row"] for d in self.divisions for r in self.truth_of(d, resource) if not r["deleted"]), None)

    def check_history_order(self, entity, versions):
        seqs = [int(v["_seq"]) for v in versions]
        if len(set(seqs)) != len(seqs):
            self.report.differ(entity, "two versions have the same _seq")

    def truth_of(self, division, resource):
        if (division, resource) not in self._truths:
            self._truths[division, resource] = self.exact.truth(division, resource)
        return self._truths[division, resource]

    def versions_of(self, division, resource):
        if (division, resource) not in self._served:
            self._served[division, resource] = self.exact.served(division, resource)
        return self._served[division, resource]

    def served(self, division, entity, types):
        """
        Served versions of one entity, in order: {key, row or None}. A row with some of its fields only was no version.
        """
        table = RESOURCES[entity]
        versions = self.versions_of(division, table.resource)
        if table.combined:
            keys = {v["key"].lower() for v in versions if v["row"] and is_header(v["row"]) == (table.kind == "header")}
            versions = [v for v in versions if v["key"].lower() in keys]
        elif table.kind == "document":
            versions = [v for v in versions if v["document"]]
        elif table.kind == "part":
            versions = self.parts(division, table)
        columns = set(types) - hub_columns(entity)
        return [{"key": key_of(entity, v["row"]) if v["row"] else v["key"].lower(), "row": v["row"]} for v in versions
                if v["row"] is None or columns <= set(content_of(entity, v["row"], self.books))]

    def parts(self, division, table):
        """
        Versions of lines from the answers that held their documents whole; a line that such an answer lacks is gone.
        When one has lacked a line, the hub asks for lines by themselves: what it is shown are versions too.
        """
        lines = self.versions_of(division, table.resource)
        headers = [{**v, "header": True} for v in self.versions_of(division, table.document) if v["document"]]
        whole = max((len(v["row"]) for v in headers), default=0)
        found, known, answer, asked = [], {}, {}, False
        for version in sorted(lines + headers, key=lambda v: v["n"]):  # an answer's lines come before their header
            if "header" in version:
                if len(version["row"]) == whole:
                    lacked = sorted(known.get(version["key"], set()) - set(answer))
                    found += [*answer.values(), *({"key": key, "row": None} for key in lacked)]
                    known[version["key"]], asked = set(answer), asked or bool(lacked)
                answer = {}
            elif version["document"]:
                answer[version["key"]] = version
            elif asked and version["row"]:
                found.append(version)
                known.setdefault(version["row"].get(table.parent), set()).add(version["key"])
        return found

    def expected(self, division, entity, types):
        """
        {key: [state, …]} of consecutive states that differ in a column that is not derived, each as it was served, or
        GONE.
        """
        states, hashed = {}, {}
        for version in self.served(division, entity, types):
            key, row = version["key"], version["row"]
            if row is None:
                if states.get(key, [GONE])[-1] is not GONE:
                    states[key].append(GONE)
                    hashed[key] = None
                continue
            content = content_of(entity, row, self.books)
            derived = keys_of_derived(content)
            own = {n: v for n, v in content.items() if n in types and n not in derived}
            if hashed.get(key) != own:
                states.setdefault(key, []).append([row])
                hashed[key] = own
            elif self.lost_answers:  # the first answer with this state may be a lost one
                states[key][-1].append(row)
        # deleted without being logged: absent from what was read
        for record in self.truth_of(division, RESOURCES[entity].resource):
            key = record["key"].lower()
            if record["deleted"] and states.get(key, [GONE])[-1] is not GONE:
                states[key].append(GONE)
        return states

    def compare(self, entity, division, types, rows, versions):
        report, states = self.report, self.expected(division, entity, types)
        history = {}
        for version in sorted(versions, key=lambda v: int(v["_seq"])):
            history.setdefault(version["_key"], []).append(version)
        for key in set(states) | set(rows) | set(history):
            where = f"{entity} {division} {key}"
            if key not in states:
                report.differ(where, "is in Delta and was never served")
            elif key not in history and key not in rows and self.lost_answers and states[key][-1] is GONE:
                report.skipped += len(states[key])
            elif key not in history:
                report.differ(where, "has no version in history")
            elif key not in rows:
                report.differ(where, "is not in the current table")
            else:
                taken = self.compare_history(where, types, states[key], history[key])
                if taken:
                    self.compare_current(where, types, taken, history[key][-1], rows[key])
        self.compare_truth(entity, division, types, rows)

    def compare_history(self, where, types, states, versions):
        """Each version equals the served state in its place; the states that history holds, None after a difference."""
        report, at, taken, hidden = self.report, 0, [], None
        for n, version in enumerate(versions, 1):
            report.versions += 1
            problem, before = None, versions[n - 2] if n > 1 else None
            if self.vanishing and taken:
                unserved = GONE if taken[-1] is not GONE and states[at:at + 1] != [GONE] else hidden
                if unserved is not None and not self.version_problem(where, types, unserved, version, taken, before):
                    hidden = taken[-1] if unserved is GONE else None
                    taken.append(unserved)
                    continue
            while True:
                if at == len(states) or (problem and not self.lost_answers):
                    report.differ(where, f"version {n} (_seq {version['_seq']}, _op {version['_op']}): "
                                  f"{problem or 'was not served, or stands twice'}")
                    return None
                answers, at = states[at], at + 1
                for state in [GONE] if answers is GONE else answers:
                    found = self.version_problem(where, types, state, version, taken, before)
                    if not found:
                        break
                    problem = problem or found
                if not found:
                    break
                report.skipped += 1
            taken.append(state)
            hidden = None
        if at < len(states):
            report.differ(where, f"the last {len(states) - at} of {len(states)} served states are not in history")
            return None
        return taken

    def version_problem(self, where, types, state, version, taken, before):
        """Why this history row is not that state; None when it is."""
        if state is GONE:
            if version["_op"] != "D" or version["_payload"] is not None or not delta_value(version["_deleted"],
                    "BOOLEAN"):
                return f"a deletion was served, history has _op {version['_op']}"
            changed = [n for n in types if n not in hub_columns(where.split()[0]) and version[n] != before[n]]
            self.report.fields += len(types)
            return f"the deletion changed {changed}" if changed else None
        if version["_op"] not in ("I", "U") or (version["_op"] == "I") != (not taken or taken[-1] is GONE):
            return f"_op is {version['_op']} for version {len(taken) + 1} of the record"
        if delta_value(version["_deleted"], "BOOLEAN"):
            return "_deleted is true"
        payload, served = ({n: v for n, v in row.items() if n != "__metadata"}
                           for row in (json.loads(version["_payload"], parse_float=Decimal), state))
        if payload != served:
            names = sorted(n for n in set(served) | set(payload) if payload.get(n, GONE) != served.get(n, GONE))
            return "_payload is not the served record: " + ", ".join(
                f"{n} is {payload.get(n)!r}, served was {served.get(n)!r}" for n in names[:5])
        entity = where.split()[0]
        return self.content_problem(types, {n: expected_value(entity, n, v, types[n]) for n, v in
                                            content_of(entity, state, self.books).items() if n in types}, version)

    def content_problem(self, types, wanted, row):
        for name, value in wanted.items():
            self.report.fields += 1
            found = delta_value(row[name], types[name])
            if found != value:
                return f"{name} is {found!r}, expected {value!r}"
        return None

    def compare_current(self, where, types, taken, newest, row):
        """
        The current row is the last state; a derived value stays when a later state has none for the same key field.
        """
        report, entity = self.report, where.split()[0]
        report.rows += 1
        held = {}
        for state in taken:
            if state is GONE:
                continue
            content = content_of(entity, state, self.books)
            derived = keys_of_derived(content)
            new = {n: expected_value(entity, n, v, types[n]) for n, v in content.items() if n in types}
            for name in new:
                key = derived.get(name)
                if key is not None and new[name] is None and held.get(name) is not None and (not key
                        or held.get(key) == new.get(key)):
                    new[name] = held[name]
            held = new
        problem = self.content_problem(types, held, row)
        deleted = taken[-1] is GONE
        report.deleted += deleted
        # a document may break a rule, but none may still be held
        marked = row["_problems"]
        for name, wanted in (("_deleted", deleted), ("_seq", int(newest["_seq"])), ("_valid", marked is None)):
            found = delta_value(row[name], types[name])
            if found != wanted:
                problem = problem or f"{name} is {found!r}, expected {wanted!r}; _problems: {marked}"
        if marked is not None and (marked.startswith("held: ") or not DOCUMENT.search(entity)):
            problem = problem or f"_problems is {marked}"
        if row["_op"] != newest["_op"]:
            problem = problem or f"_op is {row['_op']}, the newest version has {newest['_op']}"
        missing = [n for n in ("_batch", "_staged_at", "_loaded_at") if row[n] is None or newest[n] is None]
        if missing:
            problem = problem or f"{missing} is null"
        if problem:
            report.differ(where, problem)

    def compare_truth(self, entity, division, types, rows):
        """
        What Exact Online holds now is what the current table says, but for fields that it joins in when it is read.
        """
        table, left = RESOURCES[entity], dict(rows)
        for record in self.truth_of(division, table.resource):
            row = record["row"]
            if record.get("hidden"):
                left.pop(key_of(entity, row), None)
                continue
            if table.combined and is_header(row) != (table.kind == "header"):
                continue
            name = key_of(entity, row)
            found = left.pop(name, None)
            where = f"{entity} {division} {name}"
            if record["deleted"]:
                if found is not None and not delta_value(found["_deleted"], "BOOLEAN"):
                    self.report.differ(where, "is deleted in Exact Online and not in Delta")
                continue
            if found is None:
                self.report.differ(where, "is in Exact Online and not in Delta")
                continue
            content = content_of(entity, row, self.books)
            derived = keys_of_derived(content)
            problem = self.content_problem(types, {n: expected_value(entity, n, v, types[n]) for n, v in content.items()
                                                   if n in types and n not in derived}, found)
            if problem or delta_value(found["_deleted"], "BOOLEAN"):
                self.report.differ(where, f"against the truth: {problem or 'is deleted in Delta'}")
        for name in left:
            self.report.differ(f"{entity} {division} {name}", "is in Delta and unknown to Exact Online")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exact", required=True, help="address of the Exact Online simulator")
    parser.add_argument("--databricks", required=True, help="address of the Databricks simulator")
    parser.add_argument("--schema", default="exact", help="schema of the Delta tables (default: exact)")
    parser.add_argument("--lost-answers", action="store_true", help="a served state may be missing when a later one is "
                        "there (after kills)")
    parser.add_argument("--now", action="store_true", help="compare what is held now only, not the history (after "
                        "a restore)")
    given = parser.parse_args()
    report = Comparison(ExactOnline(given.exact), Databricks(given.databricks), given.schema,
                        lost_answers=given.lost_answers,
                        now=given.now).run()
    print(report)
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
