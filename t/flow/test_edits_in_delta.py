"""What finance does to a dimension in Delta by SQL, on real Spark: it is once in Exact Online, and once back."""
import time

import pytest
from test_write_back import CENTERS, Scene

INTERVAL = 10
LONG = 180  # seconds for what Spark does: other tests run beside this one


class Lake(Scene):
    """The cost centers of one division in Delta, without the field Active at first."""

    def __init__(self, hub):
        hub.psql("INSERT INTO exact.entity_field (entity, name, selected) VALUES ('costcenter', 'Active', false)")
        super().__init__(hub)
        self.table = hub.table("costcenter")

    def sql(self, statement):
        return self.hub.databricks.sql(statement.format(t=self.table))["rows"]

    def in_delta(self, condition):
        return [row for row in self.hub.databricks.rows(self.table) if condition(row)]

    def versions(self, key):
        return int(self.sql(f"SELECT count(*) FROM {self.table}_history WHERE _key = '{key}'")[0][0])

    def read(self):
        request = self.hub.value("SELECT exact.read_dimensions()")
        assert self.hub.value(f"SELECT exact.wait({request}, '120 s')", seconds=130) == "done"

    def change(self, condition, seconds=LONG):
        """The change that the hub finds."""
        return self.hub.wait_for(f"a change with {condition}", lambda: next(iter(self.hub.query(
            f"SELECT * FROM exact.dimension_change WHERE {condition}")), None), seconds)

    def settled(self):
        """Two more readings find nothing: neither a change nor a call nor a version."""
        def count():
            return self.hub.psql("SELECT (SELECT count(*) FROM exact.dimension_change), count(*), max(seq) "
                                 "FROM exact.stage"), len(self.sent())
        self.quiet(LONG)
        before = count()
        for _ in range(2):
            self.read()
            self.quiet(LONG)
        assert count() == before


@pytest.fixture
def lake(spark, start_hub):
    return Lake(start_hub(spark, "--records", 200, "--divisions", 1, settings={
        "exact_databricks.dimension_interval": f"{INTERVAL}s", "exact_databricks.sync_interval": "1h"}))


def test_an_edit_a_new_row_and_a_deleted_one(lake):
    # an edit: in Exact Online within one interval, back with a version of its own, written once
    key = lake.living(CENTERS)[0]["ID"]
    (before,), versions = lake.in_delta(lambda row: row["_key"] == key), lake.versions(key)
    begun = time.monotonic()
    lake.sql(f"UPDATE {{t}} SET Description = 'Hoofdkantoor' WHERE _key = '{key}'")
    lake.hub.wait_for("Exact Online has the edit", lambda: lake.there(CENTERS, key)["Description"] == "Hoofdkantoor",
                      INTERVAL + 60)
    print(f"in Exact Online after {time.monotonic() - begun:.1f} s")
    lake.hub.wait_for("it is back", lambda: lake.in_delta(
        lambda row: row["_key"] == key and int(row["_seq"]) > int(before["_seq"])), LONG, 2)
    print(f"back in Delta after {time.monotonic() - begun:.1f} s")
    lake.settled()
    (after,) = lake.in_delta(lambda row: row["_key"] == key)
    assert (after["Description"], lake.versions(key)) == ("Hoofdkantoor", versions + 1)
    assert [(w["method"], w["body"]) for w in lake.sent()] == [("PUT", {"Description": "Hoofdkantoor"})]

    # a new row that names neither key nor division
    lake.sql("INSERT INTO {t} (Code, Description) VALUES ('NEW1', 'New shop')")
    lake.ended(lake.change("kind = 'new'"), "done", LONG)
    lake.settled()
    (made,), (row,) = lake.coded(CENTERS, "NEW1"), lake.in_delta(lambda row: row["Code"] == "NEW1")
    assert (row["_key"], row["_division"], row["Description"]) == (made["ID"], str(lake.division), "New shop")
    assert int(row["_seq"]) > int(after["_seq"]) and lake.versions(made["ID"]) == 1 and len(lake.sent()) == 2

    # a deleted row waits, also under auto; an approval ends the record, and the row is back
    lake.sql(f"DELETE FROM {{t}} WHERE _key = '{made['ID']}'")
    gone = lake.change("kind = 'gone'")
    assert (gone["state"], gone["field"], gone["code"]) == ("proposed", "EndDate", "NEW1") and len(lake.sent()) == 2
    lake.hub.psql(f"SELECT exact.approve({gone['id']})")
    lake.ended(gone, "done", LONG)
    lake.settled()
    (row,) = lake.in_delta(lambda row: row["_key"] == made["ID"])
    assert row["EndDate"] == gone["wanted"] and len(lake.sent()) == 3

    # a column that is added: no row reads as edited, and an edit before its values come carries nothing else
    lake.hub.psql("DELETE FROM exact.entity_field")
    lake.read()
    assert "Active" in lake.in_delta(lambda row: True)[0] and lake.changes(int(gone["id"])) == []
    lake.sql(f"UPDATE {{t}} SET Description = 'Beside' WHERE _key = '{made['ID']}'")
    lake.ended(lake.change("wanted = 'Beside'"), "done", LONG)
    lake.settled()
    assert [change["field"] for change in lake.changes(int(gone["id"]))] == ["Description"] and len(lake.sent()) == 4


@pytest.mark.long
def test_what_the_hub_writes_itself(lake):
    """_deleted and _op that somebody changed are told and set back, and delete nothing; an UPDATE without a change."""
    hidden, odd = (row["ID"] for row in lake.living(CENTERS)[:2])
    lake.sql("UPDATE {t} SET Description = Description, EndDate = EndDate")
    lake.settled()
    assert lake.changes() == [] and lake.sent() == []
    versions = {key: lake.versions(key) for key in (hidden, odd)}
    lake.sql(f"UPDATE {{t}} SET `_deleted` = true WHERE _key = '{hidden}'")
    lake.sql(f"UPDATE {{t}} SET `_op` = 'X', Description = 'Odd' WHERE _key = '{odd}'")
    for key in (hidden, odd):
        told = lake.change(f"key = '{key}' AND field = '_deleted'")
        assert told["state"] == "refused" and "belong to the hub" in told["reason"], told
    lake.ended(lake.change("wanted = 'Odd'"), "done", LONG)
    lake.hub.wait_for("both are as they were", lambda: {
        (row["_key"], row["_deleted"], row["_op"], row["Description"]) for row in lake.in_delta(
            lambda row: row["_key"] in versions)} == {
        (hidden, "false", "U", lake.there(CENTERS, hidden)["Description"]), (odd, "false", "U", "Odd")}, LONG, 2)
    lake.settled()
    assert [(w["method"], w["body"]) for w in lake.sent()] == [("PUT", {"Description": "Odd"})]
    assert len(lake.changes()) == 3 and lake.versions(hidden) == versions[hidden] + 1
