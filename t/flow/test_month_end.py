"""
The controller's month-end: three sides of a period compared, with real numbers; what differs, what is held and what
could not be asked is named, and the answer is kept.
"""
from collections import defaultdict
from decimal import Decimal

import pytest
from cluster import SqlError

START = ("--preset", "finance", "--records", 300, "--divisions", 5)
HEADERS = {"sales": ("salesentry/SalesEntries", "Reporting"),
           "purchase": ("purchaseentry/PurchaseEntries", "Reporting"),
           "bank": ("financialtransaction/BankEntries", "Financial"),
           "cash": ("financialtransaction/CashEntries", "Financial")}
KINDS = [*HEADERS, "journal"]


def money(value):
    return round(Decimal(str(value or 0)), 4)


def living(hub, division, resource):
    return [r["row"] for r in hub.exact.truth(division, resource) if not r["deleted"] and not r.get("hidden")]


def truth(hub, division):
    """(kind, year, period): amounts of its entries, as the simulator has them."""
    found = defaultdict(dict)
    for kind, (resource, word) in HEADERS.items():
        lines = defaultdict(Decimal)
        if word == "Financial":
            for line in living(hub, division, resource.replace("Entries", "EntryLines")):
                lines[line["EntryID"].lower()] += money(line["AmountDC"])
        for entry in living(hub, division, resource):
            if entry.get("Status") != 5:
                key = entry["EntryID"].lower()
                amount = lines[key] if word == "Financial" else money(entry["AmountDC"])
                found[kind, entry[word + "Year"], entry[word + "Period"]][key] = amount
    return found


def month_end(hub, year, period, division="NULL"):
    rows = hub.query(f"SELECT * FROM exact.month_end({year}, {period}, {division})", seconds=300)
    return {(int(row["division"]), row["kind"]): row for row in rows}


def differing(rows):
    return {place: row["result"] for place, row in rows.items() if row["result"] != "agree"}


@pytest.fixture(params=["engine_free", pytest.param("spark", marks=pytest.mark.long)])
def loaded(request, start_hub):
    hub = start_hub(request.getfixturevalue(request.param), *START)
    hub.enable(entities=("finance",))
    hub.wait_loaded(600)
    hub.wait_for("all that came is judged", lambda: hub.value("SELECT count(*) FROM exact.unjudged") == "0", 60)
    return hub


def test_five_divisions(loaded):
    hub = loaded
    books = {division: truth(hub, division) for division in hub.exact.divisions}
    places = sorted({(year, period) for found in books.values() for _, year, period in found})
    # a month with purchase entries in most divisions, and a kind of which some division has none
    year, period = max(((y, p) for y, p in places
                        if any(not found.get((kind, y, p)) for found in books.values() for kind in HEADERS)),
                       key=lambda place: sum(bool(found.get(("purchase", *place))) for found in books.values()))
    rows = month_end(hub, year, period)
    assert list(rows) == [(division, kind) for division in hub.exact.divisions for kind in KINDS]
    assert not differing(rows), rows
    empty = 0
    for (division, kind), row in rows.items():
        assert money(row["difference"]) == 0 and row["open"] == 0 and not row["entries"] and not row["finding"], row
        if kind == "journal":
            assert money(row["exact"]) == money(row["hub"]) == money(row["delta"]) == 0, row
            assert row["in_exact"] == row["in_hub"] == row["in_delta"], row
            continue
        wanted = books[division].get((kind, year, period), {})
        assert [row["in_" + side] for side in ("exact", "hub", "delta")] == [len(wanted)] * 3, row
        assert [money(row[side]) for side in ("exact", "hub", "delta")] == [sum(wanted.values())] * 3, row
        empty += not wanted
    assert empty
    nothing = month_end(hub, 1999, 13)
    assert len(nothing) == 25 and not differing(nothing)
    assert {money(row[side]) for row in nothing.values() for side in ("exact", "hub", "delta", "difference")} == {0}

    # a cent in Delta, an amount in Exact Online that was not read yet, a document that a rule holds
    first = next(division for division in hub.exact.divisions if books[division].get(("purchase", year, period)))
    second, third = [division for division in hub.exact.divisions if division != first][:2]
    number, key = hub.psql("SELECT max(payload::json ->> 'EntryNumber'), key FROM exact.stage WHERE entity = "
                           f"'purchaseentries' AND division = {first} AND key = "
                           f"'{min(books[first]['purchase', year, period])}' GROUP BY key").strip().split("|")
    hub.databricks.sql(f"UPDATE {hub.table('purchaseentries')} SET AmountDC = AmountDC + 0.01 WHERE _key = '{key}'")
    rows = month_end(hub, year, period)
    assert differing(rows) == {(first, "purchase"): "differ"}
    row = rows[first, "purchase"]
    assert money(row["difference"]) == Decimal("-0.01") and row["entries"].startswith(f"{number} (Exact Online "), row
    hub.databricks.sql(f"UPDATE {hub.table('purchaseentries')} SET AmountDC = AmountDC - 0.01 WHERE _key = '{key}'")

    made = hub.exact.post("break", division=third, rule="line_cost_center_exists", kind="purchaseentries", seed=2)
    document = made["documents"][0]["key"]
    hub.wait_for("it is held", lambda: hub.value(
        f"SELECT count(*) FROM exact.quarantine WHERE NOT doubted AND key = '{document}'") == "1", 120)
    hub.sync()    # its rows of the ledger, which nothing holds
    number, held_in, amount = hub.psql(
        f"SELECT number, period, amount FROM exact.quarantine WHERE key = '{document}'").strip().split("|")
    y, p = map(int, held_in.split("-"))
    rows = month_end(hub, y, p)
    assert differing(rows) == {(third, "purchase"): "open"}, [row for row in rows.values() if row["result"] != "agree"]
    row = rows[third, "purchase"]
    assert row["open"] == 1 and money(row["difference"]) == money(amount) and "; held)" in row["entries"], row
    assert number in row["entries"]

    # by number, as a controller has it
    found = hub.query(f"SELECT * FROM exact.find({third}, '{number}')")
    assert document in {r["key"] for r in found if r["entity"] == "purchaseentries"}, found
    mine = [r for r in found if r["entity"] == "purchaseentries"]
    if len(mine) == 1:
        assert hub.value(f"SELECT exact.explain({third}, 'purchaseentries', '{number}')").startswith("Held back since")

    # what cannot be asked is unknown, and no zero
    hub.exact.post("division", code=second, packages={"salesentry/SalesEntries": "403",
                                                      "financial/ReportingBalance": "403"})
    rows = month_end(hub, year, period, second)
    assert list(rows) == [(second, kind) for kind in KINDS]
    row = rows[second, "sales"]
    assert row["result"] == "unknown" and row["exact"] is row["difference"] is None and row["hub"] == row["delta"], row
    assert row["finding"].startswith("Exact Online was not asked: "), row
    assert rows[second, "journal"]["finding"].startswith("ReportingBalance was not asked: ")
    assert rows[second, "journal"]["result"] == "agree"
    hub.exact.post("division", code=second, packages={"salesentry/SalesEntries": None,
                                                      "financial/ReportingBalance": None})
    hub.psql(f"UPDATE exact.division SET workspace = NULL WHERE division = {second}")
    row = month_end(hub, year, period, second)[second, "purchase"]
    assert row["result"] == "unknown" and row["delta"] is None and row["exact"] == row["hub"], row

    # the evidence
    reports = hub.query("SELECT division, who, jsonb_array_length(rows) AS n FROM exact.month_end_report ORDER BY id")
    assert len(reports) == 4 * 5 + 2 and {row["n"] for row in reports} == {5}
    assert hub.query("SELECT * FROM exact.verify_audit()") == []
    hub.psql("SET session_replication_role = replica; UPDATE exact.month_end_report "
             "SET rows = jsonb_set(rows, '{1,delta}', '0') WHERE id = (SELECT min(id) FROM exact.month_end_report)")
    [finding] = hub.query("SELECT * FROM exact.verify_audit()")
    assert finding["chain"] == "sql" and finding["finding"].endswith("of exact.month_end_report was changed")


def test_witness_and_service_away(loaded):
    """A ledger row that the hub has lost shows in ReportingBalance; a Delta that does not answer is no zero."""
    hub = loaded
    division = hub.exact.divisions[0]
    year, period, key, account = hub.psql(
        "SELECT v ->> 'FinancialYear', v ->> 'FinancialPeriod', r.key, btrim(v ->> 'GLAccountCode') "
        "FROM exact.record r JOIN exact.stage s ON s.slot = r.slot AND s.batch = r.batch AND s.ord = r.ord "
        "CROSS JOIN LATERAL (SELECT s.payload::json AS v) AS x WHERE r.entity = 'transactionlines' "
        f"AND r.division = {division} AND NOT r.deleted AND (v ->> 'AmountDC')::numeric <> 0 "
        "AND (v ->> 'LineNumber')::int > 0 AND (v ->> 'Type')::int < 3000 LIMIT 1").strip().split("|")
    assert month_end(hub, year, period, division)[division, "journal"]["result"] == "agree"
    hub.psql(f"SELECT exact.pause({division}); UPDATE exact.record SET deleted = true WHERE division = {division} "
             f"AND entity = 'transactionlines' AND key = '{key}'")
    row = month_end(hub, year, period, division)[division, "journal"]
    assert row["result"] == "differ" and f"account {account} (ReportingBalance " in row["entries"], row
    hub.databricks.fault("api/2.0/sql/statements", "status", status=503, times=-1)
    row = month_end(hub, year, period, division)[division, "purchase"]
    assert row["result"] == "unknown" and row["delta"] is None and "Delta was not asked: " in row["finding"], row
    hub.databricks.clear_faults()


def test_who_may_and_what_is_no_month(loaded):
    hub = loaded
    division = hub.exact.divisions[0]
    for arguments, said in (("0, 1", "0 is not a financial year"), ("2024, 14", "14 is not a period"),
                            ("2024, 1, 999999", "division 999999 is not known")):
        with pytest.raises(SqlError, match=said):
            hub.psql(f"SELECT * FROM exact.month_end({arguments})")
    hub.psql("CREATE ROLE looks IN ROLE exact_reader; CREATE ROLE asks IN ROLE exact_operator")
    with pytest.raises(SqlError, match="permission denied for function month_end"):
        hub.psql("SET SESSION AUTHORIZATION looks; SELECT * FROM exact.month_end(2024, 1)")
    said = hub.psql(f"SET SESSION AUTHORIZATION asks; SELECT result FROM exact.month_end(2024, 1, {division})")
    assert said.split() == ["agree"] * 5
    assert hub.value("SELECT who FROM exact.month_end_report") == "asks"
