"""The books as recorded: shapes of the ledger, signs, VAT situations, balances, charges, rows without a document,
recode, closed periods."""
import collections
from decimal import Decimal

import pytest
from forms_scene import met

from simulator.exact_online.harness import Running

PURCHASE, SALES = "purchaseentry/PurchaseEntries", "salesentry/SalesEntries"
JOURNAL = "generaljournalentry/GeneralJournalEntries"
BANK, CASH = "financialtransaction/BankEntries", "financialtransaction/CashEntries"
LINES, SYNC = "financialtransaction/TransactionLines", "sync/Financial/TransactionLines"
INVOICES, CHARGES = "salesinvoice/SalesInvoices", "salesinvoice/SalesInvoiceOrderChargeLines"
PURCHASE_INVOICES = "purchase/PurchaseInvoices"
SYNC_INVOICES, BALANCE = "sync/SalesInvoice/SalesInvoices", "financial/ReportingBalance"
ZERO = "00000000-0000-0000-0000-000000000000"
START = ("--preset", "finance", "--records", 2500, "--divisions", 1, "--minute-limit", 0, "--day-limit", 0,
         "--error-limit", 0)


@pytest.fixture(scope="module")
def books():
    with Running(*START) as made:
        made.authorize()
        yield made


@pytest.fixture
def sim(books):
    books.authorize()
    yield books
    books.control("config", {"ledger": "control", "journal_row_zero": False, "sync_invoice_sign": "turned"})


def living(sim, resource):
    return {key: row for key, (row, gone) in sim.truth(resource).items() if not gone}


def dec(value):
    return Decimal(repr(value or 0)).quantize(Decimal("0.0001"))


def rows_of(sim, entry):
    return sorted((r for r in living(sim, LINES).values() if r["EntryID"] == entry), key=lambda r: r["LineNumber"])


def accounts(sim):
    return {row["Code"]: key for key, row in living(sim, "financial/GLAccounts").items()}


def posted(sim, code, amount, document=PURCHASE, **more):
    """(header, rows) of a new entry of one line."""
    party = next(k for k, r in living(sim, "crm/Accounts").items() if r["IsSupplier"] or document == SALES)
    header = {"Supplier" if document == PURCHASE else "Customer": party, "Currency": "EUR",
              "Journal": "20" if document == PURCHASE else "01"}
    gl = accounts(sim)["4400" if document == PURCHASE else "8000"]
    made = sim.change(document, "create", fields=header,
                      lines=[{"GLAccount": gl, "AmountFC": amount, "VATCode": code, **more}])
    return made["row"], rows_of(sim, made["key"])


def shape(rows):
    return [(r["LineNumber"], r["GLAccountCode"], float(r["AmountDC"])) for r in rows]


def test_row_0_is_the_control_row_and_all_rows_add_up_to_nothing(sim):
    header, rows = posted(sim, "2", 100)
    assert shape(rows) == [(0, "1600", -121), (1, "4400", 100), (9999, "1520", 21)] and header["AmountFC"] == 121
    header, rows = posted(sim, "2", 100, SALES)
    assert shape(rows) == [(0, "1300", 121), (1, "8000", -100), (9999, "1500", -21)]
    by_entry = collections.defaultdict(list)
    for row in living(sim, LINES).values():
        by_entry[row["EntryID"]].append(row)
    for rows in by_entry.values():
        if rows[0]["Type"] < 3000:
            assert sum(dec(r["AmountDC"]) for r in rows) == 0, shape(rows)
    journals = set(living(sim, JOURNAL))
    assert all(min(r["LineNumber"] for r in rows) == (1 if entry in journals or rows[0]["Type"] > 40 else 0) for entry,
               rows in by_entry.items())
    bank = next(r for r in living(sim, BANK).values())
    rows = rows_of(sim, bank["EntryID"])
    lines = [r for r in living(sim, f"{BANK[:-3]}yLines").values() if r["EntryID"] == bank["EntryID"]]
    assert rows[0]["GLAccountCode"] == "1100" and {r["LineNumber"]: -dec(r["AmountDC"]) for r in rows[1:]} == {
        r["LineNumber"]: dec(r["AmountDC"]) for r in lines}      # same number, other sign


@pytest.mark.parametrize("ledger", ["repeat", "lines"])
def test_the_two_other_shapes(sim, ledger):
    sim.control("config", {"ledger": ledger})
    header, rows = posted(sim, "2", 100)
    sim.change(PURCHASE, "delete", header["EntryID"])
    if ledger == "repeat":
        assert [r[2] for r in shape(rows)] == [-121, 100, 21, -121] and sum(r[2] for r in shape(rows)[1:]) == 0
    else:
        assert shape(rows)[0] == (0, "1600", 121) and sum(r[2] for r in shape(rows)[1:]) == 121
    assert met(sim)["other_ledger"]
    with pytest.raises(RuntimeError, match="400"):
        sim.control("config", {"journal_row_zero": True})


def test_a_row_0_of_nothing_in_general_journals(sim):
    sim.control("config", {"journal_row_zero": True})
    gl = accounts(sim)
    made = sim.change(JOURNAL, "create", fields={}, lines=[{"GLAccount": gl["4400"], "AmountFC": 120},
                                                           {"GLAccount": gl["1300"], "AmountFC": -120}])
    rows = rows_of(sim, made["key"])
    assert (rows[0]["LineNumber"], rows[0]["AmountDC"], rows[0]["GLAccount"]) == (0, 0, None) and len(rows) == 3


def test_vat_situations(sim):
    """Shown reverse charge, including codes, VAT typed over, VAT that rounds to nothing, zero and null."""
    header, rows = posted(sim, "VR", 1000)
    assert (header["AmountFC"], header["PurchaseEntryLines"][0]["VATAmountFC"]) == (1000, 210)
    assert shape(rows) == [(0, "1600", -1000), (1, "4400", 1000), (9998, "1500", -210), (9999, "1520", 210)]
    header, rows = posted(sim, "3", 121)
    assert header["AmountFC"] == 121 and header["PurchaseEntryLines"][0]["VATAmountFC"] == 21
    assert shape(rows) == [(0, "1600", -121), (1, "4400", 100), (9999, "1520", 21)]
    header, rows = posted(sim, "2", 100, VATAmountFC=20.99)
    assert header["AmountFC"] == 120.99 and shape(rows)[2] == (9999, "1520", 20.99)
    sim.change(PURCHASE, "update", header["EntryID"], lines=[{"ID": header["PurchaseEntryLines"][0]["ID"],
                                                              "Notes": "typed stays"}])
    assert living(sim, PURCHASE)[header["EntryID"]]["AmountFC"] == 120.99
    header, rows = posted(sim, "2", 0.01)
    assert len(rows) == 2 and rows[1]["VATCode"] == "2  "
    kinds = met(sim)
    assert all(kinds[name] for name in ("reverse_charge", "including", "overtyped", "rounding", "zero", "null_vat",
                                        "zero_guid", "rejected", "drafts"))
    entries = living(sim, PURCHASE)
    assert any(r["AmountFC"] == 0 and r["VATAmountFC"] is None for r in entries.values())
    assert {ZERO} <= {r["Document"] for r in (*entries.values(), *living(sim, SALES).values())}


def test_statuses_as_they_are(sim):
    entries = {**living(sim, PURCHASE), **living(sim, SALES), **living(sim, JOURNAL)}
    assert {r["Status"] for r in entries.values()} == {5, 20, 50}
    booked = {r["EntryID"] for r in living(sim, LINES).values()}
    assert {k for k, r in entries.items() if r["Status"] != 5} <= booked and not {k for k, r in entries.items()
                                                                                  if r["Status"] == 5} & booked
    assert {r["Status"] for r in living(sim, LINES).values()} == {20, 50}
    invoices = living(sim, INVOICES)
    assert {r["Status"] for r in invoices.values()} == {10, 20,
                                                        50} and all(r["InvoiceNumber"] is None
                                                                    for r in invoices.values() if r["Status"] < 50)
    rejected = next(k for k, r in living(sim, PURCHASE).items() if r["Status"] == 5)
    sim.change(PURCHASE, "update", rejected, {"Status": 20})
    assert rows_of(sim, rejected)


def test_sync_sales_invoices_have_the_other_sign(sim):
    plain, lines = living(sim, INVOICES), living(sim, "salesinvoice/SalesInvoiceLines")
    fields = "ID,InvoiceID,LineNumber,AmountDC,AmountFC,VATAmountFC,Quantity,Type"

    def rows():
        return sim.all(f"{SYNC_INVOICES}?$filter=Timestamp gt 1L&$select={fields}")
    for row in rows():
        source = lines[row["ID"]] if row["LineNumber"] else plain[row["InvoiceID"]]
        assert all(dec(row[n]) == -dec(source[n]) for n in ("AmountDC", "AmountFC", "VATAmountFC"))
    assert any(r["AmountDC"] < 0 and r["Type"] == 8020 for r in rows()) and all(r["AmountDC"] >= 0 for r in rows()
                                                                                if r["Type"] == 8021)
    sim.control("config", {"sync_invoice_sign": "plain"})
    assert all(dec(r["AmountDC"]) == dec((lines[r["ID"]] if r["LineNumber"] else plain[r["InvoiceID"]])["AmountDC"])
               for r in rows())


def test_balances_of_bank_and_cash_are_informative(sim):
    """Typed over, not carried on, not made anew when a line changes; for cash perhaps nothing."""
    fits = collections.Counter()
    moved = collections.Counter()
    for header in (BANK, CASH):
        for row in living(sim, header[:-3] + "yLines").values():
            moved[row["EntryID"]] += dec(row["AmountFC"])
        for key, row in living(sim, header).items():
            fits[dec(row["ClosingBalanceFC"]) == dec(row["OpeningBalanceFC"]) + moved[key]] += 1
    assert (fits[True] and fits[False] == 0) or fits[False]
    assert any(r["ClosingBalanceFC"] == 0 for r in living(sim, CASH).values())
    for _ in range(2):
        sim.control("random", {"count": 40, "seed": 3, "resource": BANK, "deletes": 0})
    later = living(sim, BANK)
    moved = collections.Counter()
    for row in living(sim, "financialtransaction/BankEntryLines").values():
        moved[row["EntryID"]] += dec(row["AmountFC"])
    assert any(dec(r["ClosingBalanceFC"]) != dec(r["OpeningBalanceFC"]) + moved[k] for k, r in later.items())


def test_order_charges_are_beside_the_lines(sim):
    charges = sim.all(f"{CHARGES}?$select=ID,InvoiceID,AmountFCExclVAT,GLAccountCode")
    assert charges and all(r["GLAccountCode"] for r in charges)
    lines = collections.Counter()
    for row in living(sim, "salesinvoice/SalesInvoiceLines").values():
        lines[row["InvoiceID"]] += dec(row["AmountFC"])
    invoices = living(sim, INVOICES)
    for charge in charges:
        invoice = invoices[charge["InvoiceID"]]
        if invoice["Status"] != 10:
            assert dec(invoice["AmountFCExclVat"]) == lines[charge["InvoiceID"]] + dec(charge["AmountFCExclVAT"])
    one = sim.get(f"{INVOICES}(guid'{charges[0]['InvoiceID']}')?$expand=SalesInvoiceOrderChargeLines").json()["d"]
    assert [r["ID"] for r in one["SalesInvoiceOrderChargeLines"]["results"]] == [charges[0]["ID"]]


def test_rows_of_the_ledger_without_a_document(sim):
    documents = {key for header in (PURCHASE, SALES, JOURNAL, BANK, CASH) for key in living(sim, header)}
    alone = [r for r in living(sim, LINES).values() if r["EntryID"] not in documents]
    assert {r["Type"] for r in alone} == {50, 82, 83, 84, 86, 120, 328, 3000}
    assert {r["FinancialPeriod"] for r in alone if r["Type"] == 328} == {0}
    assert all(r["AmountFC"] == 0 and r["AmountDC"] for r in alone if r["Type"] == 82)
    assert len([r for r in alone if r["Type"] == 3000]) == 1
    entry = next(r["EntryID"] for r in alone if r["Type"] == 82)
    assert len(sim.all(f"{LINES}?$filter=EntryID eq guid'{entry}'&$select=ID")) == 2
    assert sim.get(f"{JOURNAL}(guid'{entry}')").status == 404


def test_tables_beside_the_books(sim):
    codes = {r["Code"]: r for r in sim.all("vat/VATCodes")}
    assert codes["0  "]["Type"] == "B" and codes["3  "]["Type"] == "I" and codes["VR "]["Charged"] is True and codes[
        "MA "]["VatMargin"] == 1
    assert codes["2  "]["GLToClaimCode"] == "1520" and codes["2  "]["Percentage"] == 0.21
    expanded = sim.all("vat/VATCodes?$expand=VATPercentages&$select=Code,VATPercentages/Percentage")
    assert {r["Code"]: [p["Percentage"] for p in r["VATPercentages"]["results"]] for r in expanded}["2  "] == [0.21]
    journals = {r["Code"]: r for r in sim.all("financial/Journals")}
    assert {c: r["Type"] for c, r in journals.items()} == {"01": 20, "20": 22, "70": 12, "75": 10, "90": 90}
    assert journals["90"]["GLAccount"] is None and journals["70"]["GLAccountCode"] == "1100"
    periods = sim.all("financial/FinancialPeriods?$select=FinYear,FinPeriod")
    assert len(periods) == 72 and {r["FinPeriod"] for r in periods} == set(range(1, 13))


def test_the_reporting_balance_is_the_sum_of_the_ledger(sim):
    sums = collections.Counter()
    for row in living(sim, LINES).values():
        if row["Type"] < 3000 and row["GLAccount"]:
            sums[row["GLAccount"], row["FinancialYear"], row["FinancialPeriod"]] += dec(row["AmountDC"])
    found, years = collections.Counter(), collections.Counter()
    for row in sim.all(BALANCE):
        found[row["GLAccount"], row["ReportingYear"], row["ReportingPeriod"]] += dec(row["Amount"])
        years[row["ReportingYear"]] += dec(row["Amount"])
        assert dec(row["Amount"]) == dec(row["AmountDebit"]) - dec(row["AmountCredit"])
    assert {k: v for k, v in found.items() if v} == {k: v for k, v in sums.items() if v} and not any(years.values())
    assert 0 in {period for _, _, period in found}


@pytest.mark.parametrize("moves", [False, True])
def test_a_cost_center_gets_another_code(sim, moves):
    center, row = next((k, r) for k, r in living(sim, "hrm/Costcenters").items()
                       if any(x["CostCenter"] and x["CostCenter"].strip() == r["Code"]
                              for x in living(sim, f"{PURCHASE[:-3]}yLines").values()))
    lines = {k for k, r in living(sim, "purchaseentry/PurchaseEntryLines").items()
             if (r["CostCenter"] or "").strip() == row["Code"]}
    ledger = {k: r["Modified"] for k, r in living(sim, LINES).items() if (r["CostCenter"] or "").strip() == row["Code"]}
    mark = max(int(r["Timestamp"]) for r in sim.all(f"{SYNC}?$filter=Timestamp gt 1L&$select=Timestamp"))
    code = f"NEW{int(moves)}"
    assert sim.control("recode", {"division": sim.division, "resource": "hrm/Costcenters", "key": center, "code": code,
                                  "moves": moves})["reached"]
    assert living(sim, "hrm/Costcenters")[center]["Code"] == code
    assert all(living(sim, "purchaseentry/PurchaseEntryLines")[k]["CostCenter"] == code for k in lines)
    moved = {r["ID"] for r in sim.all(f"{SYNC}?$filter=Timestamp gt {mark}L&$select=ID,Timestamp")}
    assert (moved >= set(ledger)) == moves and bool(moved) == moves
    assert sim.get(f"{LINES}?$filter=ID eq guid'{next(iter(ledger))}'&$select=CostCenter").rows[0]["CostCenter"] == code


def test_periods_are_closed_per_journal(sim):
    wanted = "read/financial/JournalStatusList?$filter=Year eq 2026 and Period eq 3&$select=Journal,Status"
    assert {r["Status"] for r in sim.all(wanted)} == {0}
    sim.control("period", {"division": sim.division, "journal": "20", "year": 2026, "period": 3})
    assert {r["Journal"]: r["Status"] for r in sim.all(wanted)}["20"] == 1 and sum(r["Status"]
                                                                                   for r in sim.all(wanted)) == 1
    supplier, gl = next(iter(living(sim, "crm/Accounts"))), accounts(sim)["4400"]
    body = {"Supplier": supplier, "Journal": "20", "EntryDate": "2026-03-05",
            "PurchaseEntryLines": [{"GLAccount": gl, "AmountFC": 10}]}
    assert sim.call("POST", PURCHASE, body).status == 500
    sim.control("period", {"division": sim.division, "journal": "20", "year": 2026, "period": 3, "closed": False})
    assert sim.call("POST", PURCHASE, body).status == 201
    with pytest.raises(RuntimeError, match="400"):
        sim.control("period", {"division": sim.division, "journal": "99", "year": 2026, "period": 3})


def test_list_with_a_key_of_several_fields(sim):
    """No row is lost or comes twice where a page ends between rows that share a field of the key."""
    where, key = "read/financial/JournalStatusList", ("Journal", "Period", "Year")
    whole = {tuple(row[k] for k in key) for row, _ in sim.truth(where).values()}
    for how in ("", "&$orderby=Year desc"):
        seen = [tuple(row[k] for k in key) for row in sim.all(f"{where}?$select=Journal,Period,Year{how}")]
        assert len(seen) == len(whole) > 300 and set(seen) == whole



@pytest.mark.parametrize("document,party,line", [(PURCHASE, "Supplier", "PurchaseEntryLines"),
                                                 (SALES, "Customer", "SalesEntryLines")])
def test_e16_an_entry_line_with_amount_dc_only_becomes_nothing(sim, document, party, line):
    gl = accounts(sim)["4400"]
    body = {party: next(iter(living(sim, "crm/Accounts"))), "Journal": "20" if document == PURCHASE else "01",
            line: [{"GLAccount": gl, "AmountDC": 55.5}]}
    made = sim.call("POST", document, body)
    assert made.status == 201, made.text
    row = made.json()["d"]
    read = sim.get(f"{document}(guid'{row['EntryID']}')?$expand={line}").json()["d"]
    assert read["AmountDC"] == read["AmountFC"] == 0 and [r["AmountDC"] for r in read[line]["results"]] == [0]
    # E6: two contents, one Modified
    assert row["VATAmountFC"] is None and read["VATAmountFC"] == 0 and row["Modified"] == read["Modified"]
    assert read["Document"] and read["Rate"] == 1 and isinstance(read["ReportingYear"], int)
    body[line] = [{"GLAccount": gl, "AmountFC": 55.5, "VATCode": "2"}]
    key = sim.call("POST", document, body).json()["d"]["EntryID"]
    assert living(sim, document)[key]["AmountFC"] == pytest.approx(67.155, abs=0.0051) and rows_of(sim, key)
    body[line] = []
    assert sim.call("POST", document, body).status == 500


def test_books_without_what_is_odd():
    with Running(*START[:2], "--records", 400, "--divisions", 1, "--set", "books=[]") as sim:
        kinds = met(sim)
        assert not any(kinds[name] for name in sim.control("config")["books"])
        assert {r["Status"] for r in living(sim, PURCHASE).values()} == {20, 50} and not living(sim, CHARGES)
        assert {r["Type"] for r in living(sim, LINES).values()} <= {20, 21, 30, 31, 40, 90}
