"""An answer without a record is no proof that the record is gone: one wrong answer deletes nothing."""
import pytest
from conftest import UNLIMITED

ENTRIES, LINES = "purchaseentry/PurchaseEntries", "purchaseentry/PurchaseEntryLines"


@pytest.fixture
def hub(start_hub, engine_free):
    made = start_hub(engine_free, "--preset", "finance", "--records", "400", "--divisions", "1", *UNLIMITED,
                     settings={"exact_databricks.sync_interval": "3s"})
    made.enable(entities=("purchaseentries", "purchaseentrylines", "transactionlines", "purchaseorders",
                          "purchaseorderlines"))
    made.wait_loaded()
    return made


def deleted(hub, entity):
    return int(hub.value(f"SELECT count(*) FROM exact.record WHERE entity = '{entity}' AND deleted"))


def make_dirty(hub, entity, share="true"):
    """As changed transaction lines do: the documents are read again by their keys."""
    hub.psql(f"""SELECT exact._want_keys(r.division, r.entity, array_agg(r.key), NULL, 'absent')
                 FROM exact.record r WHERE r.entity = '{entity}' AND NOT r.deleted AND {share}
                 GROUP BY r.division, r.entity""")
    hub.psql("SELECT exact._wake('fetcher')")


def settled(hub):
    return hub.value("SELECT count(*) FROM exact.dirty_key") == "0"


def problem(hub):
    return hub.value("SELECT string_agg(problem, ' ') FROM exact.feeds WHERE problem LIKE '%no absence is believed%'")


def test_empty_answers_to_keyed_reads_delete_nothing(hub):
    fault = hub.exact.fault(r"PurchaseEntries\?.*filter", "omit", times=-1, empty=True)
    make_dirty(hub, "purchaseentries", "r.key < '8'")
    hub.wait_for("the answer is not believed", lambda: problem(hub), 60)
    assert deleted(hub, "purchaseentries") == deleted(hub, "purchaseentrylines") == 0
    hub.exact._call("DELETE", f"faults/{fault}")
    hub.wait_for("the keys were read", lambda: settled(hub), 120)
    assert deleted(hub, "purchaseentries") == 0 and not problem(hub)


def test_a_lost_right_deletes_nothing_and_a_deletion_is_found(hub):
    division = hub.exact.divisions[0]
    hub.exact.post("hide", division=division, resource=ENTRIES)
    make_dirty(hub, "purchaseentries", "r.key < '8'")
    hub.wait_for("the answer is not believed", lambda: problem(hub), 60)
    assert deleted(hub, "purchaseentries") == 0
    hub.exact.post("show", division=division, resource=ENTRIES)
    hub.wait_for("the keys were read", lambda: settled(hub), 120)
    key = next(r["key"] for r in hub.exact.truth(division, ENTRIES) if not r["deleted"])
    hub.exact.change(division, ENTRIES, "delete", key)
    make_dirty(hub, "purchaseentries", f"r.key = '{key.lower()}'")
    hub.wait_for("one entry is deleted", lambda: deleted(hub, "purchaseentries") == 1, 60)


def test_nobody_to_ask_beside_them(hub):
    hub.exact.fault(r"PurchaseEntries\?.*filter", "omit", times=1, empty=True)
    make_dirty(hub, "purchaseentries")
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    [held] = hub.query("SELECT records, alive, reason FROM exact.held_delete WHERE state = 'held'")
    assert held["records"] == held["alive"] and "no other record" in held["reason"]
    assert deleted(hub, "purchaseentries") == deleted(hub, "purchaseentrylines") == 0


def test_many_absences_within_an_hour_are_held(hub):
    division = hub.exact.divisions[0]
    keys = [r["key"] for r in hub.exact.truth(division, ENTRIES) if not r["deleted"]][:22]
    assert len(keys) == 22
    for part in (keys[:11], keys[11:20], keys[20:]):
        hub.exact.post("hide", division=division, resource=ENTRIES, keys=part)
        listed = ", ".join(f"'{key.lower()}'" for key in part)
        make_dirty(hub, "purchaseentries", f"r.key IN ({listed})")
        hub.wait_for("the keys were read", lambda: settled(hub), 60)
    assert deleted(hub, "purchaseentries") == 20
    [held] = hub.query("SELECT id, array_agg(key) AS keys, min(reason) AS reason FROM exact.held GROUP BY id")
    assert sorted(held["keys"]) == sorted(key.lower() for key in keys[20:]) and "within an hour" in held["reason"]
    hub.exact.post("show", division=division, resource=ENTRIES, keys=keys[20:21])
    hub.psql(f"SELECT exact.approve({held['id']})")
    hub.wait_for("the one that is still absent is deleted", lambda: deleted(hub, "purchaseentries") == 21, 60)
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    assert deleted(hub, "purchaseentries") == 21
