"""A row that cannot be staged is put aside and the rest goes on; another way of writing the same JSON is no change."""
import pytest

SYNC_ITEMS, ITEMS = "sync/Logistics/Items", "logistics/Items"
SYNC_ORDERS, CENTERS = "sync/PurchaseOrder/PurchaseOrders", "hrm/Costcenters"
PURCHASE = "purchaseentry/PurchaseEntries"
STYLES = ("escaped_slash", "ascii", "fraction", "upper_exponent", "shuffled")


def small(start_hub, engine_free, records=120):
    return start_hub(engine_free, "--preset", "finance", "--records", records, "--divisions", 1,
                     settings={"exact_databricks.sync_interval": "1h"})


def letters(hub, state="dead"):
    return hub.psql("SELECT entity, reason, times FROM exact.dead_letter "
                    f"WHERE state = '{state}' ORDER BY id").splitlines()


def known(hub, entity):
    return int(hub.value(f"SELECT count(*) FROM exact.record WHERE entity = '{entity}' AND NOT deleted"))


def living(hub, resource):
    return sum(1 for r in hub.exact.truth(hub.exact.divisions[0], resource) if not r["deleted"])


@pytest.mark.parametrize(("entity", "resource", "path", "fault", "reason"), [
    ("items", ITEMS, SYNC_ITEMS, {"field": "Timestamp"}, "items|it has no Timestamp|1"),
    ("items", ITEMS, SYNC_ITEMS, {"field": "ID"}, "items|it has no key|1"),
    ("items", ITEMS, SYNC_ITEMS, {"field": "Code", "twice": True, "value": "x"},
     "items|field Code appears twice in a record|1"),
    ("purchaseentries", PURCHASE, PURCHASE, {"field": "EntryID"}, "purchaseentries|it has no key|1"),
])
def test_row_that_cannot_be_staged(engine_free, start_hub, entity, resource, path, fault, reason):
    """One bad row: the others are known at once, status names it; exact.retry() reads it again, and it is done."""
    hub = small(start_hub, engine_free)
    hub.exact.fault(path, "spoil_row", times=1, **fault)
    hub.enable(entities=(entity,))
    hub.wait_loaded()
    assert letters(hub) == [reason]
    assert known(hub, entity) == living(hub, resource) - 1
    assert hub.value("SELECT light || dead FROM exact.status") == "warn1"
    assert hub.value("SELECT count(*) FROM exact.feed_state WHERE errors > 0") == "0"
    assert hub.value("SELECT payload LIKE '{%' AND digest = sha256(convert_to(payload, 'UTF8')) "
                     "FROM exact.dead_letter") == "t"
    assert hub.value("SELECT exact.retry_all()") == "1"
    hub.wait_for("the letter is done", lambda: letters(hub, "done"), 30)
    assert known(hub, entity) == living(hub, resource) and not letters(hub)


def test_row_that_stays_bad(engine_free, start_hub):
    """The same row again only raises its times, and nothing is deleted meanwhile."""
    hub = small(start_hub, engine_free)
    hub.enable(entities=("purchaseorders", "purchaseorderlines", "costcenter"))
    hub.wait_loaded()
    lines, centers = known(hub, "purchaseorderlines"), known(hub, "costcenter")
    hub.exact.fault(SYNC_ORDERS, "spoil_row", times=-1, field="LineNumber")
    hub.exact.fault(CENTERS, "spoil_row", times=-1, field="ID")
    again = ("SELECT count(exact._read_from_start(division, feed, 'moved')), exact._wake('fetcher') "
             "FROM exact.feed_state WHERE feed IN ('purchaseorders', 'costcenter')")
    for n in (1, 2):
        hub.psql(again)
        hub.wait_for("it is put aside", lambda n=n: [line[-1] for line in letters(hub)] == 2 * [str(n)], 30)
    assert known(hub, "purchaseorderlines") == lines and known(hub, "costcenter") == centers
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
    assert hub.value("SELECT count(*) FROM exact.held_delete") == "0"
    hub.exact.clear_faults()
    assert hub.value("SELECT exact.retry_all()") == "2"
    hub.wait_for("the letters are done", lambda: len(letters(hub, "done")) == 2, 30)


@pytest.mark.parametrize("field", ["EntityKey", "EntityType"])
def test_deletion_that_names_nothing(engine_free, start_hub, field):
    """One bad row of the log of deletes: the others delete, the log goes on."""
    hub = small(start_hub, engine_free)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    division = hub.exact.divisions[0]
    keys = [r["key"] for r in hub.exact.truth(division, ITEMS) if not r["deleted"]][:5]
    hub.exact.fault("sync/Deleted", "spoil_row", times=1, field=field)
    for key in keys:
        hub.exact.change(division, ITEMS, "delete", key)
    before = known(hub, "items")
    hub.psql("UPDATE exact.feed_state SET next_run_at = now(), requested = true WHERE feed = 'deleted'")
    hub.psql("SELECT exact.restart_workers()")
    hub.wait_for("four are deleted", lambda: known(hub, "items") == before - 4, 60)
    assert letters(hub) == [f"deleted|it has no {field}|1"]


def read_again(hub, feed="items"):
    """The whole feed is read by a run that begins now."""
    last = hub.value("SELECT last_value FROM exact.run_id")
    hub.psql(f"SELECT exact._read_from_start(division, feed, 'moved'), exact._wake('fetcher') FROM exact.feed_state "
             f"WHERE feed = '{feed}'")
    hub.wait_for("all is read again", lambda: hub.value(
        f"SELECT run_state = 'idle' AND run > {last} AND complete_at IS NOT NULL FROM exact.feed_state "
        f"WHERE feed = '{feed}'") == "t", 30)


def test_same_values_written_otherwise(engine_free, start_hub):
    """Escapes, fractions, exponents, another order of members: no version."""
    hub = small(start_hub, engine_free)
    hub.enable(entities=("items", "purchaseorders", "purchaseorderlines"))
    hub.wait_loaded()
    staged = hub.value("SELECT count(*) FROM exact.stage")
    for style in STYLES:
        hub.exact.post("config", json_style=[style])
        for feed in ("items", "purchaseorders"):
            read_again(hub, feed)
        assert hub.value("SELECT count(*) FROM exact.stage") == staged, style


def test_byte_order_mark_and_raw_tab(engine_free, start_hub):
    """Both are against the letter of JSON and lose nothing: the page is read, the text of the record is valid JSON."""
    hub = small(start_hub, engine_free)
    hub.exact.post("config", bom=1)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    assert known(hub, "items") == living(hub, ITEMS)
    division = hub.exact.divisions[0]
    item = next(r["key"] for r in hub.exact.truth(division, ITEMS) if not r["deleted"])
    hub.exact.post("change", division=division, resource=ITEMS, op="update", key=item,
                   raw={"Description": '"tab\there"'})
    hub.sync(60)
    assert hub.value("SELECT count(*) FROM exact.stage WHERE payload::json ->> 'Description' = E'tab\\there'") == "1"
    assert not letters(hub)


def test_hash_of_before(engine_free, start_hub):
    """A record that was hashed over its bytes, as the hub did it before, is given its new hash and no version."""
    hub = small(start_hub, engine_free)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    n = hub.value("SELECT count(*) FROM exact.stage")
    hub.psql("""
        UPDATE exact.record AS r SET hash = (
            SELECT sha256(string_agg(convert_to(f.name, 'UTF8') || E'\\\\000'::bytea || convert_to(
                coalesce(nullif((s.payload::json -> f.source_field)::text, 'null'), ''), 'UTF8')
                || E'\\\\000'::bytea, ''::bytea ORDER BY f.ordinal, f.name))
            FROM exact.stage AS s, exact.field_effective AS f
            WHERE (s.slot, s.batch, s.ord) = (r.slot, r.batch, r.ord) AND f.entity = r.entity
                AND f.target_type IS NOT NULL AND f.hashed IS NOT FALSE)
        WHERE entity = 'items'""")
    assert hub.value("SELECT max(octet_length(hash)) FROM exact.record WHERE entity = 'items'") == "32"
    read_again(hub)
    assert hub.value("SELECT count(*) FROM exact.stage") == n
    assert hub.value("SELECT min(octet_length(hash)) FROM exact.record WHERE entity = 'items'") == "33"


def test_pages_of_an_empty_hub_cost_the_same(engine_free, start_hub):
    """No statistics, plans kept from an empty table: each row is looked up by its whole key, on every page."""
    hub = start_hub(engine_free, "--preset", "finance", "--records", 600, "--divisions", 1,
                    settings={"exact_databricks.sync_interval": "1h", "autovacuum": "off"})
    hub.exact.post("config", sync_page_size=5)
    hub.enable(entities=("items",))
    hub.wait_loaded()
    n = known(hub, "items")
    assert n == living(hub, ITEMS)
    assert int(hub.value("SELECT count(*) FROM exact.batch WHERE entity = 'items'")) >= 20
    read = "SELECT {} FROM pg_stat_all_tables WHERE relid = 'exact.record'::regclass"
    hub.wait_for("the fetcher has told its counts", lambda: int(hub.value(read.format("n_tup_ins"))) >= n, 60)
    assert int(hub.value(read.format("coalesce(idx_tup_fetch, 0) + seq_tup_read"))) <= 3 * n


def test_keyed_answer_with_a_row_without_key(engine_free, start_hub):
    """Which record it is cannot be told, so nothing is deleted; it is asked for again within seconds."""
    hub = small(start_hub, engine_free)
    hub.enable(entities=("purchaseentries", "purchaseentrylines"))
    hub.wait_loaded()
    division = hub.exact.divisions[0]

    def waits():
        return hub.value("SELECT count(*) FROM exact.dirty_key WHERE not_before IS NOT NULL") != "0"

    def staged(key):
        return "asked for again" in hub.value(
            "SELECT coalesce(string_agg(s.payload, ' '), '') FROM exact.record r JOIN exact.stage s "
            f"USING (slot, batch, ord) WHERE r.entity = 'purchaseentries' AND r.key = '{key}'")

    hub.exact.fault(PURCHASE, "spoil_row", times=-1, field="EntryID")
    for key in [r["key"] for r in hub.exact.truth(division, PURCHASE) if not r["deleted"]][:10]:
        hub.exact.change(division, PURCHASE, "update", key, fields={"Description": "asked for again"})
        hub.psql("INSERT INTO exact.dirty_key (division, entity, key, reason) "
                 f"VALUES ({division}, 'purchaseentries', '{key}', 'notified') ON CONFLICT DO NOTHING; "
                 "SELECT exact._wake('fetcher')")
        hub.wait_for("its answer has come", lambda key=key: waits() or staged(key), 30)
        if waits():     # the row of a record that was asked for beside it can be the one without a key
            break
    hub.exact.clear_faults()
    hub.wait_for("the change is staged", lambda: staged(key), 60)
    assert hub.value("SELECT count(*) FROM exact.stage WHERE op = 'D'") == "0"
    assert "purchaseentries|it has no key" in str(letters(hub))
