"""Generated documents: every kind and VAT situation obeys the equations of the books; the same seed makes the same;
what is changed later is computed like any other document."""
import collections

import pytest
from book_equations import WRONG, dec, wrong_control

from simulator.exact_online import bookkeeper, placing, situations
from simulator.exact_online.harness import Running

START = ("--preset", "finance", "--records", 400, "--divisions", 2, "--minute-limit", 0, "--day-limit", 0,
         "--error-limit", 0)
ALL = [(kind, name) for kind, found in situations.SITUATIONS.items() for name in found]


def documents(sim, **wanted):
    query = "&".join(f"{name}={value}" for name, value in {"division": sim.division, **wanted}.items())
    return sim.control(f"documents?{query}")


def faults_of(sim, found):
    """[(kind, key, what is wrong)] of documents, each with its rows of the ledger."""
    codes = {row["Code"].strip(): row for row in sim.all("vat/VATCodes")}
    rows = {d["key"]: d["lines"] for d in found if d["kind"] == "transactionlines"}
    wrong = []
    for document in found:
        if not document["evaluated"]:
            continue
        problems = WRONG[document["kind"]](document, codes)
        if document["key"] in rows and document["kind"] != "transactionlines":
            problems += wrong_control(document, rows[document["key"]])
        elif "entries" in document["kind"]:
            problems.append("it is not in the ledger")
        wrong += [(document["kind"], document["situation"], document["key"], problem) for problem in problems]
    return wrong


@pytest.fixture(scope="module")
def sim():
    with Running(*START) as running:
        running.authorize()
        yield running


@pytest.fixture(scope="module")
def made(sim):
    """Some documents of each situation, and what was counted."""
    total = collections.Counter()
    for kind, found in situations.SITUATIONS.items():
        for name in found:
            wanted = {"division": sim.division, "seed": 3, "count": 2 if name == "long" else 25}
            counted = sim.control("generate", {**wanted, "kinds": [kind], "situations": [name]})
            assert counted["kinds"] == {kind: counted["count"]} and counted["situations"] == {name: counted["count"]}
            total[kind, name] = counted["count"]
    return total


def test_every_situation_obeys_the_equations(sim, made):
    found = documents(sim)["documents"]
    assert faults_of(sim, [d for d in found if d["situation"] or d["kind"] == "transactionlines"]) == []
    assert {(d["kind"], d["situation"]) for d in found if d["situation"]} >= set(ALL)
    assert not [d for d in found if d["breaks"]]


def test_the_judge_sees_a_wrong_figure(sim, made):
    """Each equation can fail: one amount of a correct document is off."""
    codes = {row["Code"].strip(): row for row in sim.all("vat/VATCodes")}
    for kind, names in (("purchaseentries", ("AmountFC",)), ("salesentries", ("AmountDC",)),
                        ("purchaseinvoices", ("AmountFCExclVat",)), ("salesinvoices", ("AmountFCExclVat",)),
                        ("purchaseorders", ("AmountFCExclVat",))):
        for document in [d for d in documents(sim, kind=kind)["documents"] if d["evaluated"] and d["situation"]][:50]:
            for name in names:
                document["header"][name] += 47.11
                assert WRONG[kind](document, codes), (kind, document)
    for kind in ("generaljournalentries", "transactionlines"):
        for document in [d for d in documents(sim, kind=kind)["documents"] if (d["type"] or 0) < 3000][:50]:
            document["lines"][0]["AmountDC"] += 0.01
            assert WRONG[kind](document, codes)


def one(sim, kind, name):
    return [d for d in documents(sim, kind=kind)["documents"] if d["situation"] == name]


def test_situations_are_what_they_say(sim, made):
    for d in one(sim, "purchaseentries", "reverse_charge_shown"):
        assert dec(d["header"]["AmountFC"]) == sum(dec(x["AmountFC"]) for x in d["lines"]) and all(
            x["VATAmountFC"] for x in d["lines"])
    assert all(d["header"]["VATAmountFC"] is None for d in one(sim, "salesentries", "no_vat_given"))
    assert all(d["header"]["AmountFC"] == 0 and len(d["lines"]) == 1 for d in one(sim, "purchaseentries", "zero"))
    assert all(len(d["lines"]) == 5000 for d in one(sim, "bankentries", "long"))
    assert all(d["header"]["Document"] == bookkeeper.ZERO for d in one(sim, "purchaseentries", "zero_guids"))
    assert {d["header"]["Currency"] for d in one(sim, "salesentries", "yen")} == {"JPY"}
    assert all(x["CostCenter"] is None or not x["CostCenter"].strip()
               for d in one(sim, "purchaseentries", "blank_codes") for x in d["lines"])
    centers = {row["Code"] for row in sim.all("hrm/Costcenters?$select=Code")}
    padded = {x["CostCenter"] for d in one(sim, "purchaseentries", "padded_codes") for x in d["lines"]}
    assert padded and not padded & centers and {code.strip() for code in padded} <= centers
    rows = {d["key"]: d["lines"] for d in documents(sim, kind="transactionlines")["documents"]}
    nothing = one(sim, "purchaseentries", "vat_rounds_to_nothing")
    assert all(len(rows[d["key"]]) == 2 and d["lines"][0]["VATCode"] == "2  " for d in nothing)
    differences = [rows[d["key"]] for d in one(sim, "bankentries", "exchange_difference")]
    assert all(any(r["AmountFC"] == 0 and r["AmountDC"] for r in found) for found in differences)
    assert any(any(r["AmountFC"] == 0 and r["AmountDC"] for r in rows[d["key"]])
               for d in one(sim, "salesentries", "foreign_with_rounding_row"))
    charged = one(sim, "salesinvoices", "invoice_with_charges")
    assert all(len(d["charges"]) == 1 for d in charged)
    excluding = one(sim, "generaljournalentries", "journal_excluding")
    assert all(sum(dec(x["AmountDC"]) for x in d["lines"]) != 0 for d in excluding)
    parts = [rows[d["key"]] for d in one(sim, "purchaseentries", "non_deductible")]
    assert all(found for found in parts)


def test_invoices_that_are_processed_have_their_entry(sim, made):
    invoices = [d for d in documents(sim, kind="salesinvoices")["documents"] if d["situation"]]
    entries = {(d["header"]["InvoiceNumber"], d["header"]["ReportingYear"]): d
               for d in documents(sim, kind="salesentries")["documents"] if d["header"]["InvoiceNumber"]}
    assert {d["status"] for d in invoices} == {10, 20, 50}
    for d in invoices:
        assert (d["header"]["InvoiceNumber"] is not None) == (d["status"] == 50)
        if d["status"] == 50:
            year = int(str(d["header"]["InvoiceNumber"])[:2]) + 2000
            entry = entries[d["header"]["InvoiceNumber"], year]
            assert dec(entry["header"]["AmountFC"]) == dec(d["header"]["AmountFC"])


def test_the_api_serves_them(sim, made):
    found = {d["key"]: d for d in one(sim, "purchaseentries", "withholding")}
    rows = sim.all("purchaseentry/PurchaseEntries?$expand=PurchaseEntryLines")
    served = {row["EntryID"]: row for row in rows}
    for key, d in found.items():
        assert served[key]["AmountFC"] == d["header"]["AmountFC"]
        assert {x["ID"] for x in served[key]["PurchaseEntryLines"]["results"]} == {x["ID"] for x in d["lines"]}
    ledger = sim.all("sync/Financial/TransactionLines?$filter=Timestamp gt 1L&$select=EntryID,AmountDC,LineNumber")
    sums = collections.Counter()
    for row in ledger:
        sums[row["EntryID"]] += dec(row["AmountDC"])
    assert set(found) <= set(sums) and not any(sums[key] for key in found)
    orders = sim.all("sync/PurchaseOrder/PurchaseOrders?$filter=Timestamp gt 1L&$select=PurchaseOrderID,LineNumber")
    assert {d["key"] for d in one(sim, "purchaseorders", "order")} <= {r["PurchaseOrderID"] for r in orders}


def test_the_same_seed_makes_the_same_documents():
    def keys():
        with Running(*START, "--documents", 50) as sim:
            first = sim.control("generate", {"division": sim.division, "count": 40, "seed": 9, "keys": True})["keys"]
            again = sim.control("generate", {"division": sim.division, "count": 40, "seed": 9, "keys": True})["keys"]
            assert not set(first) & set(again)
            counts = [sum(n["documents"] for kind, n in documents(sim)["counts"].items())]
            made = {d["key"] for division in sim.info["divisions"] for d in sim.control(
                f"documents?division={division['code']}&rows=0")["documents"] if d["situation"]}
            assert len(made) == 2 * 50 + 80
            return first + again, counts
    assert keys() == keys()


def test_random_changes_keep_them_right(sim, made):
    """Lines come, go and change: what stood is computed anew, the ledger follows."""
    for resource in ("purchaseentry/PurchaseEntries", "salesentry/SalesEntries", "financialtransaction/BankEntries",
                     "generaljournalentry/GeneralJournalEntries", "salesinvoice/SalesInvoices",
                     "purchaseorder/PurchaseOrders"):
        sim.control("random", {"count": 250, "seed": 11, "division": sim.division, "resource": resource,
                               "deletes": 0.1})
    ledger = documents(sim, kind="transactionlines")["documents"]
    off = [d["key"] for d in ledger if WRONG["transactionlines"](d, {}) and d["situation"]]
    assert not off and not [d for d in ledger if (d["type"] or 0) < 3000 and abs(sum(
        dec(row["AmountDC"]) for row in d["lines"])) > dec(0.0001)]
    assert not [d["key"] for d in documents(sim, kind="generaljournalentries")["documents"]
                if WRONG["generaljournalentries"](d, {}) and d["evaluated"]]


def test_wrong_requests_are_refused(sim):
    for name, body in (("generate", {"count": 0}), ("generate", {"count": 20_001}),
                       ("generate", {"kinds": ["letters"]}),
                       ("generate", {"situations": ["nothing"]}),
                       ("generate", {"kinds": ["cashentries"], "situations": ["margin"]}),
                       ("break", {"rule": "nothing", "kind": "cashentries"}),
                       ("break", {"rule": "entry_balances", "kind": "cashentries"})):
        with pytest.raises(RuntimeError, match="400"):
            sim.control(name, {"division": sim.division, **body})
    with Running("--records", 80, "--divisions", 1) as orders, pytest.raises(RuntimeError, match="no books"):
        orders.control("generate", {"division": orders.division})


def test_weights_are_for_kinds_that_there_are():
    chosen, weights = placing.choose()
    assert len(chosen) == len(weights) == len(ALL) and {kind for kind, _ in chosen} == set(bookkeeper.KINDS)
