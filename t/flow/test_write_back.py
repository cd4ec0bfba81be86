"""Edits of cost centers, cost units and GL accounts on their way to Exact Online."""
import pytest
from processes import Failed

CENTERS, UNITS, GL = "hrm/Costcenters", "hrm/Costunits", "financial/GLAccounts"
TABLES = {CENTERS: "cost_center", UNITS: "cost_unit", GL: "gl_account"}
ENTITIES = ("costcenter", "costunit", "glaccount")


class Scene:
    """A hub with one division whose dimensions are loaded."""

    def __init__(self, hub, mode="auto"):
        self.hub, self.exact = hub, hub.exact
        hub.enable(entities=ENTITIES)
        hub.wait_loaded()
        self.division = hub.exact.divisions[0]
        self.mode(mode)

    def mode(self, mode):
        self.hub.psql(f"UPDATE exact.workspace SET write_back = '{mode}'")

    def living(self, resource):
        return [r["row"] for r in self.exact.truth(self.division, resource) if not r["deleted"]]

    def there(self, resource, key):
        return next(r for r in self.living(resource) if r["ID"] == key)

    def coded(self, resource, code):
        return [r for r in self.living(resource) if r["Code"] == code]

    def edit(self, resource, key, **values):
        """An UPDATE in the hub; the changes that it made."""
        before = self.last()
        sets = ", ".join(f"{name} = {value}" for name, value in values.items())
        self.hub.psql(f"UPDATE exact.{TABLES[resource]} SET {sets} WHERE id = '{key}'")
        return self.changes(before)

    def add(self, resource, **values):
        before = self.last()
        names, given = ", ".join(values), ", ".join(values.values())
        self.hub.psql(f"INSERT INTO exact.{TABLES[resource]} (division, {names}) VALUES ({self.division}, {given})")
        return self.changes(before)

    def last(self):
        return int(self.hub.value("SELECT coalesce(max(id), 0) FROM exact.dimension_change"))

    def changes(self, after=0):
        return self.hub.query(f"SELECT * FROM exact.dimension_change WHERE id > {after} ORDER BY id")

    def ended(self, change, state, seconds=20):
        """The change once it has ended, which it does in this state."""
        def has_ended():
            return next(iter(self.hub.query(
                f"SELECT * FROM exact.dimension_change WHERE id = {change['id']} AND ended_at IS NOT NULL")), None)
        try:
            row = self.hub.wait_for(f"change {change['id']} ends", has_ended, seconds, 0.1)
        except Failed:
            writes = self.hub.query("SELECT * FROM exact.dimension_write")
            raise AssertionError(f"change {change['id']} does not end\n{self.changes()}\n{writes}") from None
        assert row["state"] == state, row
        return row

    def writes(self):
        """What Exact Online was sent: (method, path below the division)."""
        begins = f"/api/v1/{self.division}/"
        return [(c["method"], c["path"].removeprefix(begins)) for c in self.exact.get("calls")["calls"]
                if c["method"] != "GET" and c["path"].startswith(begins)]


@pytest.fixture
def scene(engine_free, start_hub):
    def make(*exact, mode="auto", **how):
        return Scene(start_hub(engine_free, "--records", 80, "--divisions", 1, *exact, **how), mode)
    return make


def test_from_the_hub_to_exact_online(scene):
    """Each of the three is changed and made; each edit is one call; what is read back ends it."""
    s = scene()
    for resource in (CENTERS, UNITS, GL):
        row = s.living(resource)[0]
        (change,) = s.edit(resource, row["ID"], description="'Written back'")
        s.ended(change, "done")
        assert s.there(resource, row["ID"])["Description"] == "Written back"
        (change,) = s.add(resource, code="'WB1'", description="'New here'")
        s.ended(change, "done")
        assert [r["Description"] for r in s.coded(resource, "WB1")] == ["New here"]
    assert [method for method, _ in s.writes()] == ["PUT", "POST"] * 3
    assert {path.partition("(")[0] for _, path in s.writes()} == {CENTERS, UNITS, GL}
