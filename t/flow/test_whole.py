"""
From Exact Online into real Delta tables: five divisions, seven tables, a hundred changes, compared field by field.
"""
from hub import ENTITIES

RECORDS = 600


def test_first_load_and_changes(spark, start_hub, equal):
    hub = start_hub(spark, "--records", RECORDS, "--divisions", 5, settings={"exact_databricks.merge_interval": "20s"})
    hub.enable()
    hub.wait_loaded(420)
    report = equal(hub)
    assert report.rows == RECORDS and report.deleted == 0 and report.versions == RECORDS

    changes = []
    for round_ in range(2):
        changes += hub.exact.random(50, seed=round_, deletes=0.12)
        hub.sync(900)
    report = equal(hub)
    operations = {change["op"] for change in changes}
    assert len(changes) == 100 and operations == {"create", "update", "delete"}
    assert report.deleted > 0 and report.rows > RECORDS and report.versions >= report.rows + report.deleted

    for change in changes[-3:]:
        assert len(hub.query(f"SELECT * FROM exact.trace({change['division']}, '{table_of(change)}', "
                             f"'{change['key']}')")) >= 3
    assert not hub.query("SELECT * FROM exact.status WHERE light <> 'ok'")


def table_of(change):
    from truth import RESOURCES
    return next(entity for entity in ENTITIES if RESOURCES[entity].plain == change["resource"])


def test_awkward_values_arrive_unchanged(spark, start_hub, equal):
    """Quotes, backslashes, controls, long text, tiny and noisy numbers, an empty string, a null after a value."""
    hub = start_hub(spark, "--records", 80, "--divisions", 2, "--seed", 7)
    gl, item = "financial/GLAccounts", "logistics/Items"
    texts = ["it's \"quoted\" \\ and \\\\ \\n", "line\nbreak\ttab\r", "${env:HOME} {x} :batch ? --",
             "emoji 😀 \u202e right", "a" * 60 + "…", ""]
    division = hub.exact.divisions[0]
    keys = [r["key"] for r in hub.exact.truth(division, gl) if not r["deleted"]][:len(texts)]
    for key, text in zip(keys, texts):
        hub.exact.change(division, gl, "update", key, fields={"Description": text})
    numbers = [0.30000000000000004, 1e-05, 123456789.12345, -0.00005, 2.5]
    items = [r["key"] for r in hub.exact.truth(division, item) if not r["deleted"]][:len(numbers)]
    for key, number in zip(items, numbers):
        hub.exact.change(division, item, "update", key, fields={"CostPriceStandard": number,
                                                                "ExtraDescription": "x" * 4000})
    hub.enable(entities=("glaccount", "items"))
    hub.wait_loaded(240)
    hub.exact.change(division, item, "update", items[0], fields={"ExtraDescription": None, "EndDate": "2031-12-31"})
    hub.exact.change(division, gl, "update", keys[0], fields={"Description": None})
    hub.sync(120)
    report = equal(hub, tables=("glaccount", "items"))
    assert report.versions == report.rows + 2
