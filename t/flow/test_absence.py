"""An answer without a record is no proof that the record is gone: one wrong answer deletes nothing."""
import json

import pytest
from conftest import UNLIMITED

ENTRIES, ITEMS = "purchaseentry/PurchaseEntries", "logistics/Items"


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
    return hub.value("SELECT string_agg(problem, ' ') FROM exact.feeds WHERE problem LIKE '%: nothing is deleted%'")


def test_empty_answers_to_keyed_reads_delete_nothing(hub):
    fault = hub.exact.fault(r"PurchaseEntries\?.*filter", "omit", times=-1, empty=True)
    make_dirty(hub, "purchaseentries", "r.key < '8'")
    hub.wait_for("the answer is not believed", lambda: problem(hub), 60)
    assert deleted(hub, "purchaseentries") == deleted(hub, "purchaseentrylines") == 0
    hub.exact._call("DELETE", f"faults/{fault}")
    hub.wait_for("the keys were read", lambda: settled(hub), 120)
    assert deleted(hub, "purchaseentries") == 0 and not problem(hub)


def applied(hub, fault):
    return next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"])


def test_one_answer_alone_deletes_nothing(hub):
    """It leaves out records that live, beside others that it shows: a second one decides, and then a third."""
    division = hub.exact.divisions[0]
    keys = living_keys(hub, "purchaseentries")[:9]
    listed = ", ".join(f"'{key}'" for key in keys)
    for _ in range(2):      # the first time is forgotten once they are shown
        fault = hub.exact.fault(r"PurchaseEntries\?.*filter", "omit", times=1, keys=keys[:5])
        make_dirty(hub, "purchaseentries", f"r.key IN ({listed})")
        hub.wait_for("one answer leaves them out", lambda: applied(hub, fault) == 1, 30)
        hub.wait_for("the keys were read", lambda: settled(hub), 60)
        assert deleted(hub, "purchaseentries") == deleted(hub, "purchaseentrylines") == 0
        assert hub.value("SELECT count(*) FROM exact.held_key") == "0"
    hub.exact.change(division, ENTRIES, "delete", keys[0])
    make_dirty(hub, "purchaseentries", f"r.key IN ({listed})")
    hub.wait_for("the one that is gone is deleted", lambda: deleted(hub, "purchaseentries") == 1, 60)
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    assert hub.value("SELECT count(*) FROM exact.held_key") == "0"


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
    hub.cluster.write_settings(exact_databricks__sync_interval="1h")
    hub.cluster.reload()

    def alone():  # no run of a timer meets the newest ones again, which would be held no more then
        hub.sync()
        return hub.value("SELECT next_run_at > now() + interval '30 min' FROM exact.feed_state "
                         "WHERE feed = 'purchaseentries'") == "t"
    hub.wait_for("its timer is far away", alone, 60)
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


def read_all(hub, entity):
    """Everything of an entity is read once more: what it does not show is absent."""
    request = hub.value(f"SELECT exact.backfill({hub.exact.divisions[0]}, '{entity}')")
    assert hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"


def an_hour_passes(hub):
    hub.psql("DELETE FROM exact.absence")


def living_keys(hub, entity):
    return hub.value(f"SELECT string_agg(key, ' ' ORDER BY key) FROM exact.record WHERE entity = '{entity}' "
                     "AND NOT deleted").split()


def hide(hub, resource, keys=None):
    hub.exact.post("hide", division=hub.exact.divisions[0], resource=resource, **({"keys": keys} if keys else {}))


def show(hub, resource, keys=None):
    hub.exact.post("show", division=hub.exact.divisions[0], resource=resource, **({"keys": keys} if keys else {}))


def held(hub, entity):
    return hub.query(f"SELECT id, records, reason FROM exact.held_delete WHERE entity = '{entity}' AND state = 'held'")


@pytest.fixture
def items(start_hub, engine_free):
    """A hub with one sync entity, whose records can be hidden."""
    def start(*exact):
        made = start_hub(engine_free, "--divisions", "1", *UNLIMITED, *exact,
                         settings={"exact_databricks.sync_interval": "1h"})
        made.enable(entities=("items",))
        made.wait_loaded()
        return made
    return start


@pytest.mark.parametrize("records", [500, 3000])
def test_twenty_and_a_twentieth(items, records):
    """Both sides of both limits: 20 records, and 5 % of the entity."""
    hub = items("--records", str(records))
    alive = living_keys(hub, "items")
    most = max(20, len(alive) // 20)
    assert (most == 20) == (records == 500), len(alive)
    hide(hub, ITEMS, alive[:most])
    read_all(hub, "items")
    hub.wait_for("so many are deleted", lambda: deleted(hub, "items") == most, 60)
    an_hour_passes(hub)
    left = alive[most:]
    more = max(20, len(left) // 20) + 1
    hide(hub, ITEMS, left[:more])
    read_all(hub, "items")
    hub.wait_for("one more is held", lambda: held(hub, "items"), 60)
    [question] = held(hub, "items")
    assert question["records"] == more and "5 %" in question["reason"] and deleted(hub, "items") == most
    rows = hub.query("SELECT key, code, name FROM exact.held")
    assert sorted(row["key"] for row in rows) == sorted(left[:more]) and all(row["code"] for row in rows)
    show(hub, ITEMS, left[:more - 1])
    read_all(hub, "items")
    assert hub.value("SELECT string_agg(key, ' ') FROM exact.held") == left[more - 1]
    show(hub, ITEMS, left[more - 1:more])
    read_all(hub, "items")
    hub.wait_for("nothing is held", lambda: not held(hub, "items"), 30)
    assert deleted(hub, "items") == most


def test_consent_anew(items):
    """Somebody who consents anew may see less."""
    hub = items("--records", "500")
    alive = living_keys(hub, "items")
    hide(hub, ITEMS, alive[:1])
    read_all(hub, "items")
    hub.wait_for("one is deleted", lambda: deleted(hub, "items") == 1, 60)
    hide(hub, ITEMS, alive[1:2])
    hub.authorize()
    hub.wait_for("one is held", lambda: held(hub, "items"), 60)
    [question] = held(hub, "items")
    assert question["records"] == 1 and "consented anew" in question["reason"] and deleted(hub, "items") == 1


def test_what_was_refused(items):
    """It is asked again together with more, and not by itself."""
    hub = items("--records", "500")
    alive = living_keys(hub, "items")
    hide(hub, ITEMS, alive[:21])
    read_all(hub, "items")
    [first] = held(hub, "items")
    hub.psql(f"SELECT exact.reject({first['id']})")
    read_all(hub, "items")
    assert not held(hub, "items")
    hide(hub, ITEMS, alive[21:40])
    read_all(hub, "items")
    [second] = held(hub, "items")
    assert second["records"] == 40
    hub.psql(f"SELECT exact.reject({second['id']})")
    show(hub, ITEMS, alive[10:40])
    read_all(hub, "items")
    assert not held(hub, "items") and deleted(hub, "items") == 0
    hub.psql(f"SELECT exact._want_keys(division, entity, ARRAY[key], NULL, 'confirm') FROM exact.record "
             f"WHERE key = '{alive[0]}'; SELECT exact._wake('fetcher')")
    hub.wait_for("the key was asked for", lambda: settled(hub), 30)
    assert not held(hub, "items") and deleted(hub, "items") == 0
    hide(hub, ITEMS, alive[30:31])
    read_all(hub, "items")
    hub.wait_for("a new one alone is deleted", lambda: deleted(hub, "items") == 1, 30)


def test_a_whole_entity_really_deleted(hub):
    """An empty answer is held; after a yes each record is deleted, once."""
    division = hub.exact.divisions[0]
    hub.psql(f"SELECT exact.pause({division})")
    for record in hub.exact.truth(division, ENTRIES):
        if not record["deleted"]:
            hub.exact.change(division, ENTRIES, "delete", record["key"])
    hub.psql(f"SELECT exact.resume({division})")
    read_all(hub, "purchaseentries")
    hub.wait_for("all are held", lambda: held(hub, "purchaseentries"), 60)
    alive = living_keys(hub, "purchaseentries")
    [question] = held(hub, "purchaseentries")
    assert question["records"] == len(alive) and deleted(hub, "purchaseentries") == 0
    assert hub.value("SELECT bool_and(code <> '' AND amount IS NOT NULL) FROM exact.held "
                     "WHERE entity = 'purchaseentries'") == "t"
    hub.psql(f"SELECT exact.approve({question['id']})")
    hub.wait_for("all are deleted", lambda: deleted(hub, "purchaseentries") == len(alive), 60)
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    assert hub.value("SELECT count(*) || ' ' || count(DISTINCT key) FROM exact.stage WHERE op = 'D' "
                     "AND entity = 'purchaseentries'") == f"{len(alive)} {len(alive)}"


def test_the_record_asked_beside_it_is_deleted_too(hub):
    """Other records that live are tried: what is gone leaves without a word."""
    division = hub.exact.divisions[0]
    alive = living_keys(hub, "purchaseentries")
    gone = [key for n, key in enumerate(alive) if n % 3 == 0][:18]
    for key in gone:
        hub.exact.change(division, ENTRIES, "delete", key)
    make_dirty(hub, "purchaseentries", f"r.key = '{gone[0]}'")
    hub.wait_for("it is deleted", lambda: deleted(hub, "purchaseentries") >= 1, 60)
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    assert set(alive) - set(living_keys(hub, "purchaseentries")) <= set(gone) and not held(hub, "purchaseentries")


def test_the_right_comes_back_while_an_operator_approves(hub):
    """What is approved is asked for once more, and only what is absent then is deleted."""
    hide(hub, ENTRIES)
    read_all(hub, "purchaseentries")
    hub.wait_for("all are held", lambda: held(hub, "purchaseentries"), 60)
    alive = living_keys(hub, "purchaseentries")
    fault = hub.exact.fault(r"PurchaseEntries\?.*filter", "delay", times=1, seconds=3)
    hub.psql(f"SELECT exact.approve({held(hub, 'purchaseentries')[0]['id']})")
    hub.wait_for("they are asked for", lambda: next(f["hits"] for f in hub.exact.get(f"faults/{fault}")["faults"]), 30)
    show(hub, ENTRIES)
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    assert living_keys(hub, "purchaseentries") == alive and not held(hub, "purchaseentries")


def test_a_service_that_answers_nothing(hub, equal):
    """Every list is empty, with 200, for as long as it likes: nothing is deleted, and all comes back."""
    fault = hub.exact.fault(r"/api/v1/\d+/(?!system|current)", "omit", times=-1, empty=True)
    entities = ("purchaseentries", "purchaseorders", "transactionlines")
    for _ in range(2):
        for entity in entities:
            make_dirty(hub, entity, "r.key < '4'")
            read_all(hub, entity)
        hub.psql("SELECT exact.restart_workers()")
    hub.wait_for("an operator is told", lambda: all(held(hub, entity) for entity in entities), 60)
    assert hub.value("SELECT count(*) FROM exact.record WHERE deleted") == "0"
    hub.exact._call("DELETE", f"faults/{fault}")
    hub.psql("SELECT exact.resume(division) FROM exact.division WHERE enabled")
    for entity in entities:
        read_all(hub, entity)
    hub.wait_for("nothing is held", lambda: hub.value("SELECT count(*) FROM exact.held") == "0", 60)
    hub.wait_for("the keys were read", lambda: settled(hub), 60)
    hub.sync(60)
    assert hub.value("SELECT count(*) FROM exact.record WHERE deleted") == "0"
    equal(hub, tables=("purchaseentries", "purchaseentrylines", "transactionlines", "purchaseorders",
                       "purchaseorderlines"))


def test_documents_that_come_without_their_lines(hub):
    """A right to lines that is lost shows documents without any: they are asked for beside lines that live."""
    fault = hub.exact.fault(r"PurchaseEntry/PurchaseEntryLines\?", "omit", times=-1, empty=True)
    bare = hub.exact.fault(r"PurchaseEntries\?", "null_collections", times=-1)
    make_dirty(hub, "purchaseentries", "r.key < '8'")
    hub.wait_for("the entries were read", lambda: hub.value(
        "SELECT count(*) FROM exact.dirty_key WHERE entity = 'purchaseentries'") == "0", 60)
    hub.wait_for("lines are not believed gone", lambda: problem(hub), 60)
    assert deleted(hub, "purchaseentrylines") == 0
    for one in (fault, bare):
        hub.exact._call("DELETE", f"faults/{one}")
    hub.wait_for("the keys were read", lambda: settled(hub), 120)
    assert deleted(hub, "purchaseentrylines") == 0 and not held(hub, "purchaseentrylines")


def test_a_division_that_is_worked_on(hub):
    """BlockingStatus is not 0: nothing is read as a whole, nothing is deleted; later it is."""
    division = hub.exact.divisions[0]

    def blocking(status):
        hub.exact.post("division", code=division, blocking_status=status)
        hub.psql("UPDATE exact.feed_state SET complete_at = complete_at - interval '2 h' WHERE feed = 'divisions'; "
                 "SELECT exact.restart_workers()")
        hub.wait_for("it is seen", lambda: hub.value("SELECT blocking_status FROM exact.division_state") == str(status),
                     60)
    key = living_keys(hub, "purchaseentries")[0]
    blocking(3)
    hub.exact.change(division, ENTRIES, "delete", key)
    make_dirty(hub, "purchaseentries", f"r.key = '{key}'")
    hub.wait_for("it is held", lambda: held(hub, "purchaseentries"), 60)
    request = hub.value(f"SELECT exact.backfill({division}, 'purchaseentries')")
    # the service leaves out others, too, and their lines: these are held likewise
    [row] = hub.query(f"SELECT key, reason, next_step FROM exact.held WHERE key = '{key}'")
    assert row["key"] == key and "BlockingStatus 3" in row["reason"] and "asks for it again" in row["next_step"]
    assert deleted(hub, "purchaseentries") == 0
    assert hub.value(f"SELECT state FROM exact.request WHERE id = {request}") in ("waiting", "running")
    blocking(0)
    assert hub.value(f"SELECT exact.wait({request}, '60 s')", seconds=70) == "done"
    hub.wait_for("it is deleted", lambda: deleted(hub, "purchaseentries") == 1, 60)
    hub.wait_for("nothing is held", lambda: not held(hub, "purchaseentries"), 30)


def test_work_that_is_not_known_yet(hub):
    """BlockingStatus is read between the two answers that do not show a record, and every minute until it ends."""
    division = hub.exact.divisions[0]
    keys = living_keys(hub, "purchaseentries")[:6]
    listed = ", ".join(f"'{key}'" for key in keys)
    hub.exact.post("hide", division=division, resource=ENTRIES, keys=keys[:4])
    hub.exact.post("division", code=division, blocking_status=3)
    make_dirty(hub, "purchaseentries", f"r.key IN ({listed})")
    hub.wait_for("they are held", lambda: held(hub, "purchaseentries"), 60)
    [question] = held(hub, "purchaseentries")
    assert "BlockingStatus 3" in question["reason"] and deleted(hub, "purchaseentries") == 0
    hub.exact.post("division", code=division, blocking_status=0)
    hub.exact.post("show", division=division, resource=ENTRIES, keys=keys[:4])
    hub.psql("UPDATE exact.feed_state SET complete_at = complete_at - interval '1 min' WHERE feed = 'divisions'; "
             "SELECT exact.restart_workers()")
    hub.wait_for("the work has ended", lambda: hub.value("SELECT blocking_status FROM exact.division_state") == "0", 60)
    hub.wait_for("the keys were read", lambda: settled(hub) and not held(hub, "purchaseentries"), 60)
    assert deleted(hub, "purchaseentries") == 0


def test_work_that_cannot_be_known(hub):
    """As long as BlockingStatus cannot be read, nothing is deleted; the questions about a key become rarer."""
    division = hub.exact.divisions[0]
    key = living_keys(hub, "purchaseentries")[0]
    fault = hub.exact.fault(r"/Divisions", "status", times=-1, status=503)
    hub.exact.change(division, ENTRIES, "delete", key)
    make_dirty(hub, "purchaseentries", f"r.key = '{key}'")
    hub.wait_for("it is asked again and again", lambda: hub.value(
        "SELECT max(due - since) > '15 s' FROM exact.dirty_key") == "t", 60)
    assert deleted(hub, "purchaseentries") == 0 and int(hub.value("SELECT errors FROM exact.feed_state "
                                                                  "WHERE feed = 'divisions'")) > 0
    hub.exact._call("DELETE", f"faults/{fault}")
    hub.psql("SELECT exact.resume(division) FROM exact.division")
    hub.wait_for("it is deleted", lambda: deleted(hub, "purchaseentries") == 1, 90)


def test_work_that_could_not_be_known_before_a_restart(hub):
    """It is asked for again by itself, long before its hour is over."""
    key = living_keys(hub, "purchaseentries")[0]
    fault = hub.exact.fault(r"/Divisions", "status", times=-1, status=503)
    hub.exact.change(hub.exact.divisions[0], ENTRIES, "delete", key)
    make_dirty(hub, "purchaseentries", f"r.key = '{key}'")
    hub.wait_for("it cannot be known", lambda: hub.value(
        "SELECT errors FROM exact.feed_state WHERE feed = 'divisions'") != "0", 60)
    pid = hub.value("SELECT pid FROM exact.workers WHERE role = 'fetcher'")
    hub.psql("SELECT exact.restart_workers()")
    hub.wait_for("another process works", lambda: hub.value(
        "SELECT pid FROM exact.workers WHERE role = 'fetcher' AND state = 'running'") not in (None, pid), 30)
    hub.exact._call("DELETE", f"faults/{fault}")
    hub.wait_for("it is deleted", lambda: deleted(hub, "purchaseentries") == 1, 120)


def test_a_log_of_another_division(hub):
    """An entry of another division deletes nothing here: the division is frozen."""
    division = hub.exact.divisions[0]
    hub.exact.fault("sync/Deleted", "wrong_division", times=-1)
    orders = [r["key"] for r in hub.exact.truth(division, "purchaseorder/PurchaseOrders") if not r["deleted"]]
    hub.exact.change(division, "purchaseorder/PurchaseOrders", "delete", orders[0])
    hub.psql("SELECT exact.sync_now()")
    hub.wait_for("it is frozen", lambda: hub.value("SELECT state FROM exact.division_state") == "frozen", 60)
    assert deleted(hub, "purchaseorders") == 0


def blocks_of(hub, query, settings=""):
    """(rows, blocks that were read) of a query."""
    read = hub.psql(f"{settings} EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}")
    plan = json.loads(read[read.index("["):])[0]["Plan"]
    return plan["Actual Rows"], plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def test_two_hundred_thousand_keys(hub):
    """Which keys are next, and whether those of a request are read, is found by an index, however many wait."""
    request = hub.value("SELECT exact.sync_now()")
    hub.value(f"SELECT exact.wait({request})")
    hub.psql("SELECT exact.pause(division) FROM exact.division WHERE enabled")
    hub.psql("INSERT INTO exact.dirty_key (division, entity, key, reason) SELECT d.division, 'purchaseentries', "
             "gen_random_uuid(), 'its transaction lines changed' FROM exact.division d, generate_series(1, 200000) "
             "WHERE d.enabled")
    hub.psql("ANALYZE exact.dirty_key")
    rows, blocks = blocks_of(hub, f"SELECT * FROM exact._due_keys({hub.exact.divisions[0]})",
                             "SET enable_seqscan = off; SET enable_bitmapscan = off;")
    assert rows == 1 and blocks < 2000, blocks
    assert hub.value(f"SELECT complete FROM exact._request_verdict({request}, NULL)") == "f"
    assert blocks_of(hub, f"SELECT * FROM exact._request_verdict({request}, NULL)")[1] < 2000


def test_the_log_names_what_is_held(hub):
    """What the log of deletes names is deleted whatever is held, and the question ends with its last record."""
    division, orders = hub.exact.divisions[0], "purchaseorder/PurchaseOrders"
    alive = living_keys(hub, "purchaseorders")
    hub.psql(f"SELECT exact._judge_absent({division}, 'purchaseorders', 'purchaseorders', ARRAY['{alive[0]}', "
             f"'{alive[1]}'], 'a test', false, false)")
    assert held(hub, "purchaseorders")[0]["records"] == 2
    for key in alive[:2]:
        hub.exact.change(division, orders, "delete", key)
    hub.sync(60)
    hub.wait_for("both are deleted", lambda: deleted(hub, "purchaseorders") == 2, 60)
    assert not held(hub, "purchaseorders")
    lines = hub.value("SELECT count(*) FROM exact.record WHERE entity = 'purchaseorderlines' AND NOT deleted "
                      f"AND parent IN ('{alive[0]}', '{alive[1]}')")
    assert lines == "0"


def test_a_line_that_the_log_names(hub):
    """Its order lives: one answer that leaves the order out proves nothing of it."""
    division = hub.exact.divisions[0]
    [line] = hub.query("SELECT key, parent FROM exact.record WHERE entity = 'purchaseorderlines' AND NOT deleted "
                       "ORDER BY key LIMIT 1")
    fault = hub.exact.fault(r"purchaseorder/PurchaseOrders\?.*filter", "omit", times=1, keys=[line["parent"]])
    hub.exact.change(division, "purchaseorder/PurchaseOrderLines", "delete", line["key"])
    hub.sync(60)
    hub.wait_for("the line is deleted", lambda: deleted(hub, "purchaseorderlines") == 1, 60)
    hub.wait_for("its order was asked for", lambda: applied(hub, fault) == 1 and settled(hub), 60)
    assert deleted(hub, "purchaseorders") == 0 and deleted(hub, "purchaseorderlines") == 1


def test_many_that_the_log_names(hub):
    """Absence is not their only proof: they are asked for beside records that live, and not counted."""
    division, orders = hub.exact.divisions[0], "purchaseorder/PurchaseOrders"
    alive = living_keys(hub, "purchaseorders")
    gone = alive[:len(alive) * 3 // 4]
    assert len(gone) > 21
    for key in gone:
        hub.exact.change(division, orders, "delete", key)
    hub.sync(60)
    hub.wait_for("all are deleted", lambda: deleted(hub, "purchaseorders") == len(gone), 60)
    assert not held(hub, "purchaseorders") and living_keys(hub, "purchaseorders") == alive[len(gone):]
