"""Compares the Delta tables with what Exact Online holds and has served: row by row, field by field, version by version.

    python scripts/lib/truth.py --exact http://127.0.0.1:40825 --databricks http://127.0.0.1:41109 [--schema exact]

The expectation is worked out here, from the manual's rules about columns and types, and shares nothing with the extension:
current rows are the last version of each record, a deleted record keeps its content, a derived field (a name or description
that Exact Online joins in) is as of its record's last version, and history has each version that was served, once, in order.
"""
import argparse
import json
import re
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from services import Databricks, ExactOnline

COMBINED = "sync/PurchaseOrder/PurchaseOrders"
RESOURCES = {  # Delta table: (canonical resource, plain resource, field that is _key)
    "glaccount": ("sync/Financial/GLAccounts", "financial/GLAccounts", "ID"),
    "items": ("sync/Logistics/Items", "logistics/Items", "ID"),
    "accounts": ("sync/CRM/Accounts", "crm/Accounts", "ID"),
    "purchaseorders": (COMBINED, "purchaseorder/PurchaseOrders", "PurchaseOrderID"),
    "purchaseorderlines": (COMBINED, "purchaseorder/PurchaseOrderLines", "ID"),
    "costcenter": ("hrm/Costcenters", "hrm/Costcenters", "ID"),
    "costunit": ("hrm/Costunits", "hrm/Costunits", "ID"),
}
HUB_COLUMNS = {"_division", "_key", "_seq", "_op", "_deleted", "_valid", "_problems", "_batch", "_staged_at", "_loaded_at", "_payload"}
NO_COLUMN = {"Timestamp", "__metadata", "Picture", "Logo", "BankAccounts", "PurchaseOrderLines", "ShopOrderMaterialPlans",
             "ShopOrderRoutingStepPlans"}  # row version, links, Edm.Binary, collections
HEADER_SYNC_ONLY = {"DocumentNumber", "SendingMethod"}
CODE_IN_SYNC = {"CostCenter": "CostCenterCode", "CostUnit": "CostUnitCode"}  # Guids in the combined set, codes in the plain entity
PADDED = re.compile(r"(VatCode|VATCode|^Unit|^NetWeightUnit|^Country|^Language|^SearchCode|^(Supplier|DeliveryAccount|InvoiceAccount|Reseller)Code)$")
AMOUNT, PRECISE = "DECIMAL(28,4)", "DECIMAL(28,10)"
TYPES = {  # spot checks of the typed columns; every other column is read by the type that Delta names
    "AmountDC": AMOUNT, "AmountFC": AMOUNT, "AmountDiscount": AMOUNT, "VATAmount": AMOUNT, "CreditLineSales": AMOUNT,
    "NetPrice": PRECISE, "UnitPrice": PRECISE, "ExchangeRate": PRECISE, "Quantity": PRECISE, "VATPercentage": PRECISE,
    "CostPriceStandard": PRECISE, "Stock": PRECISE, "Created": "TIMESTAMP_NTZ", "Modified": "TIMESTAMP_NTZ", "OrderDate": "DATE",
    "ReceiptDate": "DATE", "StartDate": "DATE", "EndDate": "DATE", "OrderNumber": "INT", "Division": "INT", "IsSales": "BOOLEAN",
    "ID": "STRING", "Creator": "STRING", "Code": "STRING", "_division": "INT", "_seq": "BIGINT", "_deleted": "BOOLEAN"}
GONE = object()  # the state of a deleted record
_DATE = re.compile(r"^/Date\((-?\d+)\)/$")
_GUID = re.compile(r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")


def key_of_derived(name, fields):
    """The field that a joined name or description hangs on; '' when it is derived with no known key; None when not derived."""
    for end in ("FullName", "Description", "Name", "Subject"):
        if name.endswith(end) and name not in (end, "ExtraDescription", "PictureName", "LogoFileName", "TradeName"):
            stem = name[:-len(end)]
            for key in (stem, stem + "Code", stem + "ID", stem.removesuffix("Person")):
                if key in fields and key != name:
                    return key
            return ""
    return None


def content_of(entity, row):
    """The fields of a served record under the plain entity's names, those without a column left out."""
    combined = entity in ("purchaseorders", "purchaseorderlines")
    found = {n: v for n, v in row.items() if n not in NO_COLUMN and not (combined and (n in CODE_IN_SYNC or n in CODE_IN_SYNC.values()))}
    if combined:
        found.update({name: row[source] for name, source in CODE_IN_SYNC.items() if source in row})
    return found


def expected_value(entity, name, value, delta_type):
    """What a served value must be in a column of that type, in the comparison's own form (see delta_value)."""
    if value is None:
        return None
    if delta_type == "STRING":
        text = str(value)
        if _GUID.match(text):
            return text.lower()
        return text.strip(" ") if PADDED.search(name) or (entity, name) == ("accounts", "Code") else text
    if delta_type in ("INT", "BIGINT"):
        return int(value)
    if delta_type == "BOOLEAN":
        return value if isinstance(value, bool) else bool(int(value))
    if delta_type.startswith("DECIMAL"):
        scale = int(delta_type.rstrip(")").split(",")[1])
        return Decimal(str(value)).quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    local = datetime(1970, 1, 1) + timedelta(milliseconds=int(_DATE.match(value).group(1)))
    if delta_type == "DATE" and local.time() != datetime.min.time():
        raise ValueError(f"{name} is a DATE column and has a time of day: {value}")
    return local.date() if delta_type == "DATE" else local


def delta_value(cell, delta_type):
    """A cell as the engine's control interface gives it, in the same form."""
    if cell is None:
        return None
    if delta_type in ("INT", "BIGINT"):
        return int(cell)
    if delta_type == "BOOLEAN":
        return cell if isinstance(cell, bool) else cell == "true"
    if delta_type.startswith("DECIMAL"):
        return Decimal(str(cell))
    if delta_type == "DATE":
        return datetime.fromisoformat(str(cell)).date()
    if delta_type.startswith("TIMESTAMP"):
        return datetime.fromisoformat(str(cell).replace("Z", "+00:00"))
    return cell


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
        head = f"{self.rows:,} rows, {self.versions:,} versions, {self.fields:,} fields compared, {self.deleted:,} deleted: "
        if not self.differences:
            return head + "equal"
        shown = "\n".join("  " + line for line in self.differences[:20])
        return f"{head}{len(self.differences)} differences\n{shown}"


class Comparison:
    def __init__(self, exact, databricks, schema="exact", catalog=None, divisions=None, tables=None, lost_answers=False):
        """lost_answers: an answer may have been lost after it was served (a kill), so a served state may be missing in history
        when a later one of the same record is there; never the last one."""
        self.exact, self.databricks = exact, databricks
        self.prefix = f"{catalog or databricks.info['catalog']}.{schema}"
        self.divisions, self.tables = divisions or exact.divisions, tables or tuple(RESOURCES)
        self.lost_answers = lost_answers
        self.report = Report()
        self._served = {}

    def run(self):
        for entity in self.tables:
            current, history = f"{self.prefix}.{entity}", f"{self.prefix}.{entity}_history"
            types, history_types = self.types(current), self.types(history)
            rows, versions = self.databricks.rows(current), self.databricks.rows(history)
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
        if {**types, "_payload": "STRING"} != history_types:
            self.report.differ(entity, f"history's columns differ: {set(types.items()) ^ set(history_types.items())}")
        if not HUB_COLUMNS <= set(history_types):
            self.report.differ(entity, f"columns missing: {HUB_COLUMNS - set(history_types)}")
        resource, plain, _ = RESOURCES[entity]
        sample = next((r["row"] for d in self.divisions for r in self.exact.truth(d, resource) if not r["deleted"]), None)
        if sample is None:
            return
        wanted = set(content_of(entity, sample))
        if resource == COMBINED:
            document = next(iter(self.exact.truth(self.divisions[0], plain)))["row"]
            wanted &= set(document) | (HEADER_SYNC_ONLY if entity == "purchaseorders" else set())
        columns = set(types) - HUB_COLUMNS
        if wanted != columns:
            self.report.differ(entity, f"fields without a column: {sorted(wanted - columns)}; columns without a field: {sorted(columns - wanted)}")

    def check_history_order(self, entity, versions):
        seqs = [int(v["_seq"]) for v in versions]
        if len(set(seqs)) != len(seqs):
            self.report.differ(entity, "two versions have the same _seq")

    def served(self, division, entity):
        """Served versions of one entity, in order: {key, row or None}."""
        resource, _, key = RESOURCES[entity]
        if (division, resource) not in self._served:
            self._served[division, resource] = self.exact.served(division, resource)
        versions = self._served[division, resource]
        if resource == COMBINED:
            header = entity == "purchaseorders"
            keys = {v["row"][key].lower() for v in versions if v["row"] and (int(v["row"]["LineNumber"]) == 0) == header}
            versions = [v for v in versions if (v["row"] is None and v["key"].lower() in keys) or
                        (v["row"] is not None and (int(v["row"]["LineNumber"]) == 0) == header)]
        return [{"key": (v["row"][key] if v["row"] else v["key"]).lower(), "row": v["row"]} for v in versions]

    def expected(self, division, entity, types):
        """{key: [state, …]} of consecutive states that differ in a column that is not derived, or GONE."""
        states, hashed = {}, {}
        for version in self.served(division, entity):
            key, row = version["key"], version["row"]
            if row is None:
                if states.get(key, [GONE])[-1] is not GONE:
                    states[key].append(GONE)
                    hashed[key] = None
                continue
            content = content_of(entity, row)
            own = {n: v for n, v in content.items() if n in types and key_of_derived(n, content) is None}
            if hashed.get(key) != own:
                states.setdefault(key, []).append(row)
                hashed[key] = own
        resource, _, _ = RESOURCES[entity]
        if not resource.startswith("sync/"):  # no log of deletions: absent from the last complete read
            for key in {r["key"].lower() for r in self.exact.truth(division, resource) if r["deleted"]} & set(states):
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
        report, at, taken = self.report, 0, []
        for n, version in enumerate(versions, 1):
            report.versions += 1
            problem = None
            while True:
                if at == len(states) or (problem and not self.lost_answers):
                    report.differ(where, f"version {n} (_seq {version['_seq']}, _op {version['_op']}): {problem or 'was not served, or stands twice'}")
                    return None
                state, at = states[at], at + 1
                found = self.version_problem(where, types, state, version, taken, versions[n - 2] if n > 1 else None)
                if not found:
                    break
                problem = problem or found
                report.skipped += 1
            taken.append(state)
        if at < len(states):
            report.differ(where, f"the last {len(states) - at} of {len(states)} served states are not in history")
            return None
        return taken

    def version_problem(self, where, types, state, version, taken, before):
        """Why this history row is not that state; None when it is."""
        if state is GONE:
            if version["_op"] != "D" or version["_payload"] is not None or not delta_value(version["_deleted"], "BOOLEAN"):
                return f"a deletion was served, history has _op {version['_op']}"
            changed = [n for n in types if n not in HUB_COLUMNS and version[n] != before[n]]
            self.report.fields += len(types)
            return f"the deletion changed {changed}" if changed else None
        if version["_op"] not in ("I", "U") or (version["_op"] == "I") != (not taken or taken[-1] is GONE):
            return f"_op is {version['_op']} for version {len(taken) + 1} of the record"
        if delta_value(version["_deleted"], "BOOLEAN"):
            return "_deleted is true"
        payload = json.loads(version["_payload"], parse_float=Decimal)
        served = {n: v for n, v in state.items() if n != "__metadata"}
        if {n: v for n, v in payload.items() if n != "__metadata"} != served:
            names = sorted(n for n in served if payload.get(n, GONE) != served[n])
            return f"_payload is not the served record: {names[:5]}"
        entity = where.split()[0]
        return self.content_problem(types, {n: expected_value(entity, n, v, types[n]) for n, v in content_of(entity, state).items() if n in types},
                                    version)

    def content_problem(self, types, wanted, row):
        for name, value in wanted.items():
            self.report.fields += 1
            found = delta_value(row[name], types[name])
            if found != value:
                return f"{name} is {found!r}, expected {value!r}"
        return None

    def compare_current(self, where, types, taken, newest, row):
        """The current row is the last state; a derived value stays when a later state has none for the same key field."""
        report, entity = self.report, where.split()[0]
        report.rows += 1
        held = {}
        for state in taken:
            if state is GONE:
                continue
            content = content_of(entity, state)
            new = {n: expected_value(entity, n, v, types[n]) for n, v in content.items() if n in types}
            for name in new:
                key = key_of_derived(name, content)
                if key is not None and new[name] is None and held.get(name) is not None and (not key or held.get(key) == new.get(key)):
                    new[name] = held[name]
            held = new
        problem = self.content_problem(types, held, row)
        deleted = taken[-1] is GONE
        report.deleted += deleted
        for name, wanted in (("_deleted", deleted), ("_seq", int(newest["_seq"])), ("_valid", True), ("_problems", None)):
            found = delta_value(row[name], types[name])
            if found != wanted:
                problem = problem or f"{name} is {found!r}, expected {wanted!r}"
        if row["_op"] != newest["_op"]:
            problem = problem or f"_op is {row['_op']}, the newest version has {newest['_op']}"
        missing = [n for n in ("_batch", "_staged_at", "_loaded_at") if row[n] is None or newest[n] is None]
        if missing:
            problem = problem or f"{missing} is null"
        if problem:
            report.differ(where, problem)

    def compare_truth(self, entity, division, types, rows):
        """What Exact Online holds now is what the current table says, but for fields that it joins in when it is read."""
        resource, _, key = RESOURCES[entity]
        left = dict(rows)
        for record in self.exact.truth(division, resource):
            row = record["row"]
            if resource == COMBINED and (int(row["LineNumber"]) == 0) != (entity == "purchaseorders"):
                continue
            name = (row.get(key) or record["key"]).lower()
            found = left.pop(name, None)
            where = f"{entity} {division} {name}"
            if record["deleted"]:
                if found is not None and not delta_value(found["_deleted"], "BOOLEAN"):
                    self.report.differ(where, "is deleted in Exact Online and not in Delta")
                continue
            if found is None:
                self.report.differ(where, "is in Exact Online and not in Delta")
                continue
            content = content_of(entity, row)
            problem = self.content_problem(types, {n: expected_value(entity, n, v, types[n]) for n, v in content.items()
                                                   if n in types and key_of_derived(n, content) is None}, found)
            if problem or delta_value(found["_deleted"], "BOOLEAN"):
                self.report.differ(where, f"against the truth: {problem or 'is deleted in Delta'}")
        for name in left:
            self.report.differ(f"{entity} {division} {name}", "is in Delta and unknown to Exact Online")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exact", required=True, help="address of the Exact Online simulator")
    parser.add_argument("--databricks", required=True, help="address of the Databricks simulator")
    parser.add_argument("--schema", default="exact", help="schema of the Delta tables (default: exact)")
    parser.add_argument("--lost-answers", action="store_true", help="a served state may be missing when a later one is there (after kills)")
    given = parser.parse_args()
    report = Comparison(ExactOnline(given.exact), Databricks(given.databricks), given.schema, lost_answers=given.lost_answers).run()
    print(report)
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
