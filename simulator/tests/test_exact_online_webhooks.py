"""What is announced to webhook subscriptions, of records and of the ledger."""
# ruff: noqa: F401 (fixtures are imported)
import json
import re

import pytest
from webhook_scene import ACCOUNT, ITEM, LINE, ORDER, by_indexes, hook, key_of, read, running, sign, sim, subscribed

from simulator.exact_online.harness import Running


def announced(sim, since):
    """{(topic, action, key)} of the messages after a number, once nothing is on its way."""
    sim.wait_webhooks()
    return sorted((m["topic"], m["action"], m["key"]) for m in sim.webhooks(since, kind="event"))


def test_changes_of_a_subscribed_entity(sim, hook):
    last = subscribed(sim, hook, "Items")
    made = sim.change(ITEM, "create", fields={"Code": "WH-1", "Description": "Wasmachine"})
    key = made["key"]
    # the hub's own writes come back
    assert sim.call("PUT", f"{ITEM}(guid'{key}')", {"Description": "Droger"}).status == 204
    assert sim.call("DELETE", f"{ITEM}(guid'{key}')").status == 204
    sim.change(ACCOUNT, "update", key_of(sim, ACCOUNT), {"City": "Delft"})                       # nobody subscribed
    sim.change(ITEM, "update", key_of(sim, ITEM, 202002), {"Description": "x"}, division=202002)  # nor here
    assert announced(sim, last) == [("Items", action, key) for action in ("Create", "Delete", "Update")]
    seen = [read(body)[0] for body in hook.bodies]
    assert sorted(c["Action"] for c in seen) == ["Create", "Delete", "Update"]
    for call, content in zip(hook.requests, seen):
        assert call["headers"]["Content-Type"] == "application/json" and not any("sign" in name.lower()
                                                                                 for name in call["headers"])
        assert list(content) == ["Topic", "ClientId", "Division", "Action", "Key", "ExactOnlineEndpoint",
                                 "EventCreatedOn"]
        assert (content["ClientId"], content["Division"], content["Key"]) == (sim.info["client_id"], sim.division, key)
        assert content["ExactOnlineEndpoint"] == f"{sim.url}/api/v1/{sim.division}/{ITEM}(guid'{key}')"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?", content["EventCreatedOn"])


def test_header_and_lines_are_announced_apart(sim, hook):
    last = subscribed(sim, hook, "PurchaseOrders")
    item = key_of(sim, ITEM)
    made = sim.change(ORDER, "create", fields={"Supplier": key_of(sim, ACCOUNT)},
                      lines=[{"Item": item, "QuantityInPurchaseUnits": 2},
                             {"Item": item, "QuantityInPurchaseUnits": 3}])
    order, lines = made["key"], [line["ID"] for line in made["row"]["PurchaseOrderLines"]]
    topic = "PurchaseOrders"
    assert announced(sim, last) == sorted((topic, "Create", key) for key in (order, *lines))
    endpoints = {read(b)[0]["Key"]: read(b)[0]["ExactOnlineEndpoint"] for b in hook.bodies}
    assert f"/{ORDER}(guid" in endpoints[order] and all(f"/{LINE}(guid" in endpoints[line] for line in lines)
    last = sim.control("webhooks/pending")["last"]
    sim.change(LINE, "update", lines[0], {"QuantityInPurchaseUnits": 9})
    assert announced(sim, last) == sorted([(topic, "Update", order), (topic, "Update", lines[0])])
    last = sim.control("webhooks/pending")["last"]
    sim.change(ORDER, "update", order, {}, lines=[{"ID": lines[1], "delete": True},
                                                  {"Item": item, "QuantityInPurchaseUnits": 1}])
    found = announced(sim, last)
    assert sorted(action for _, action, _ in found) == ["Create", "Delete", "Update"] and (topic, "Delete",
                                                                                           lines[1]) in found
    last = sim.control("webhooks/pending")["last"]
    left = next(key for _, action, key in found if action == "Create")
    sim.change(ORDER, "delete", order)
    assert announced(sim, last) == sorted((topic, "Delete", key) for key in (order, lines[0], left))


def test_derived_and_silent_fields_are_not_announced(sim, hook):
    last = subscribed(sim, hook, "Accounts", "Items", "PurchaseOrders",
                      webhook_silent_fields=["Remarks", f"{ITEM}.Stock"])
    account, item, line = key_of(sim, ACCOUNT), key_of(sim, ITEM), key_of(sim, LINE)
    before = sim.truth(ITEM)[item][0]["Modified"]
    sim.change(ACCOUNT, "update", account, {"AccountManagerFullName": "Iemand", "ModifierFullName": "Ander"})
    sim.change(ACCOUNT, "update", account, {"Remarks": "still"})
    sim.change(ITEM, "update", item, {"Stock": 3})
    sim.change(LINE, "update", line, {"ItemDescription": "afgeleid"})
    assert announced(sim, last) == [] and sim.truth(ITEM)[item][0]["Modified"] >= before
    sim.change(ACCOUNT, "update", account, {"Remarks": "luid", "City": "Breda"})
    assert announced(sim, last) == [("Accounts", "Update", account)]


def test_random_changes_announce_every_record_they_touch(sim, hook):
    topics = ("Items", "Accounts", "GLAccounts", "PurchaseOrders")
    last = subscribed(sim, hook, *topics, webhook_styles=[])
    made = sim.control("random", {"count": 150, "division": sim.division, "deletes": 0.2, "seed": 5})["changes"]
    found = {(action, key) for _, action, key in announced(sim, last)}
    expected = {(c["op"].capitalize(), c["key"]) for c in made if not c["resource"].startswith("hrm/")}
    assert len(expected) > 80 and expected <= found
    assert len(hook.bodies) == len(sim.webhooks(last)) and not any(m["state"] != "delivered"
                                                                   for m in sim.webhooks(last))


# ---- the ledger ----

ENTRY, ENTRY_LINE = "purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines"
POSTING = "financialtransaction/TransactionLines"


@pytest.fixture(scope="module")
def books():
    with Running("--preset", "finance", "--records", 900, "--divisions", 1, "--seed", 3, "--minute-limit", 0,
                 "--day-limit", 0) as made:
        made.authorize()
        yield made


def by_resource(sim, since):
    """{(topic, resource of the endpoint, action): keys} of the messages after a number."""
    sim.wait_webhooks()
    found = {}
    for message in sim.webhooks(since, kind="event"):
        endpoint = json.loads(message["body"])["Content"]["ExactOnlineEndpoint"]
        resource = re.search(r"/\d+/(.*)\(guid'", endpoint).group(1)
        found.setdefault((message["topic"], resource, message["action"]), []).append(message["key"])
    return found


def postings_of(sim, entry):
    return {key for key, (row, gone) in sim.truth(POSTING).items() if not gone and row["EntryID"] == entry}


def test_entries_lines_and_transaction_lines(books, hook):
    books.control("subscriptions", method="DELETE")
    last = subscribed(books, hook, "PurchaseEntries", "FinancialTransactions", "SalesEntries")
    supplier = next(k for k, (r, gone) in books.truth(ACCOUNT).items() if r["IsSupplier"] and not gone)
    ledger = next(k for k, (r, _) in books.truth("financial/GLAccounts").items() if r["Type"] == 121
                  or r["Type"] == 120)
    made = books.change(ENTRY, "create", fields={"Supplier": supplier, "Journal": "20"},
                        lines=[{"GLAccount": ledger, "AmountFC": 10.5, "VATCode": "2"},
                               {"GLAccount": ledger, "AmountFC": 2}])
    entry, lines = made["key"], {line["ID"] for line in made["row"]["PurchaseEntryLines"]}
    found = by_resource(books, last)
    assert {resource for _, resource, _ in found} == {ENTRY, ENTRY_LINE, POSTING} and {a for _, _,
                                                                                       a in found} == {"Create"}
    for topic in ("PurchaseEntries", "FinancialTransactions"):
        assert found[topic, ENTRY, "Create"] == [entry] and set(found[topic, ENTRY_LINE, "Create"]) == lines
        assert set(found[topic, POSTING, "Create"]) == postings_of(books, entry)
    assert not any(topic == "SalesEntries" for topic, _, _ in found)

    last, line = books.control("webhooks/pending")["last"], min(lines)
    modified = books.truth(ENTRY)[entry][0]["Modified"]
    books.change(ENTRY_LINE, "update", line, {"Description": "anders"})
    found = by_resource(books, last)
    assert books.truth(ENTRY)[entry][0]["Modified"] == modified and not any(resource == ENTRY for _, resource,
                                                                            _ in found)
    assert found["PurchaseEntries", ENTRY_LINE, "Update"] == [line] and found["PurchaseEntries", POSTING, "Update"]

    books.control("config", {"webhook_transaction_lines": False})
    last, postings = books.control("webhooks/pending")["last"], postings_of(books, entry)
    books.change(ENTRY, "update", entry, {"YourRef": "R-1"})
    assert set(by_resource(books, last)) == {(topic, ENTRY, "Update")
                                             for topic in ("PurchaseEntries", "FinancialTransactions")}
    books.control("config", {"webhook_transaction_lines": True})
    last = books.control("webhooks/pending")["last"]
    books.change(ENTRY, "delete", entry)
    found = by_resource(books, last)
    assert found["PurchaseEntries", ENTRY, "Delete"] == [entry] and set(found["PurchaseEntries", ENTRY_LINE,
                                                                              "Delete"]) == lines
    assert set(found["PurchaseEntries", POSTING, "Delete"]) == postings and {a for _, _, a in found} == {"Delete"}


def test_random_changes_of_the_whole_preset(books, hook):
    books.control("subscriptions", method="DELETE")
    topics = ("BankEntries", "CashEntries", "GeneralJournalEntries", "PurchaseEntries", "SalesEntries", "SalesInvoices",
              "Items", "Accounts")
    last = subscribed(books, hook, *topics, webhook_styles=[], line_edit_moves_header=True)
    made = books.control("random", {"count": 300, "deletes": 0.1, "seed": 9})["changes"]
    books.wait_webhooks()
    found = {(m["action"], m["key"]) for m in books.webhooks(last)}
    silent = ("hrm/", "purchase/", "purchaseorder/", "financial/GLAccounts")
    expected = {(c["op"].capitalize(), c["key"]) for c in made if not c["resource"].startswith(silent)}
    assert len(expected) > 100 and expected <= found
    assert all(by_indexes(body, books.info["webhook_secret"]) for body in hook.bodies)
