"""What is more than one statement carries goes through the volume, on real Spark and Delta."""
import os

ENTITIES = ("items", "purchaseorders", "purchaseorderlines")

# items of one division in one batch, the wanted one with a price that no column holds
STAGE = """WITH b AS (SELECT nextval('exact.batch_id') AS id), s AS (
        INSERT INTO exact.stage (slot, batch, ord, seq, division, entity, key, op, hash, payload)
        SELECT b.id % 64, b.id, i - 1, (1::bigint << 40) + nextval('exact.version_counter'), {division}, 'items',
            'many' || i, 'I', sha256(''), format('{{"ID":"%s","CostPriceStandard":%s}}', 'many' || i,
            CASE WHEN i = {bad} THEN '1e26' ELSE i::text END)
        FROM b, generate_series(1, {rows}) AS i
        RETURNING *)
    INSERT INTO exact.batch (id, slot, workspace, division, entity, feed, epoch, rows, bytes, seq_min, seq_max)
    SELECT min(batch), min(slot), 'lake', {division}, 'items', 'items', 1, count(*), sum(length(payload)), min(seq),
        max(seq) FROM s;
    SELECT exact._wake('loader')"""


def delivered(hub):
    """(rows, divisions, files) of each delivery, by the log."""
    lines = [line for line in hub.cluster.log_text().splitlines() if " delivered table=" in line]
    return [{key: value for key, _, value in (word.partition("=") for word in line.split())} for line in lines]


def test_first_load_through_the_volume(spark, start_hub, equal):
    """Two divisions equal the truth, also after changes; a bad row among thousands is put aside alone."""
    hub = start_hub(spark, "--records", 400, "--divisions", 2, workspace_row={"volume": "files"},
                    settings={"exact_databricks.merge_interval": "20s", "exact_databricks.merge_rows": 30})
    spark.make_volume(hub.schema)
    hub.enable(entities=ENTITIES)
    hub.wait_loaded(1500)
    equal(hub, tables=ENTITIES)
    loads = delivered(hub)
    assert sum(int(load["files"]) for load in loads) >= 2
    assert any(load["files"] != "0" and load["divisions"] == "2" for load in loads)
    assert hub.value("SELECT count(*) FROM exact.target_state WHERE paused_since IS NOT NULL") == "0"
    assert hub.value("SELECT result || ' ' || finding FROM exact.check() WHERE rule = 'volume of workspace lake'"
                     ).startswith("ok files can be used")

    hub.exact.random(100, seed=1, deletes=0.1)
    hub.sync(900)
    report = equal(hub, tables=ENTITIES)
    assert report.deleted > 0

    rows, bad = (20000, 7777) if "EXACT_TEST_LONG" in os.environ else (4000, 1777)
    hub.psql(STAGE.format(division=hub.exact.divisions[0], rows=rows, bad=bad))
    hub.wait_for("all but one is delivered",
                 lambda: hub.value("SELECT count(*) FROM exact.batch WHERE delivered_at IS NULL") == "0", 900)
    found = spark.sql(f"SELECT count(*), count(DISTINCT _key), sum(CostPriceStandard) FROM {hub.table('items')} "
                      "WHERE _key LIKE 'many%'")["rows"][0]
    assert [int(float(value)) for value in found] == [rows - 1, rows - 1, rows * (rows + 1) // 2 - bad]
    assert hub.psql("SELECT key, column_name, value_type FROM exact.dead_letter").strip() == (
        f"many{bad}|CostPriceStandard|number of 4 characters")
    assert hub.value(f"SELECT count(*) FROM exact.statement_log WHERE rows > {rows // 2}") in ("4", "5")
