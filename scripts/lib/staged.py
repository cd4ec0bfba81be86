"""What a hub has staged, in the form in which the comparison reads Delta tables: the fetching half alone, without an
engine.

    Comparison(hub.exact, Staged(hub), hub.schema, tables=FINANCE).run()

Columns are filled from each version's payload by the manual's rules, so a difference is one of versions, their order or
their operation: one that was never staged, staged twice, staged in the wrong order, not deleted, or deleted and still
there.
"""
import json
from decimal import Decimal

from truth_rules import RESOURCES, content_of, expected_value, hub_columns, keys_of_derived

HUB_TYPES = {"_division": "INT", "_key": "STRING", "_seq": "BIGINT", "_op": "STRING", "_deleted": "BOOLEAN",
             "_valid": "BOOLEAN", "_problems": "STRING",
             "_batch": "BIGINT", "_staged_at": "TIMESTAMP", "_loaded_at": "TIMESTAMP", "_row": "STRING",
             "_payload": "STRING", "_hash": "STRING"}


class Staged:
    """Stands in for the workspace in a Comparison."""

    def __init__(self, hub):
        self.hub, self.info, self._read = hub, hub.databricks.info, {}
        self.books = hub.exact.get("config")
        self.columns = {entity: {} for entity in RESOURCES}
        for row in hub.query("SELECT entity, name, target_type FROM exact.catalogue_field "
                             "WHERE target_type IS NOT NULL"):
            if row["entity"] in self.columns:
                self.columns[row["entity"]][row["name"]] = row["target_type"]

    @staticmethod
    def _entity(table):
        return table.rpartition(".")[2].removesuffix("_history")

    def _types(self, entity):
        return {**self.columns[entity], **{name: HUB_TYPES[name] for name in hub_columns(entity)}}

    def sql(self, statement):
        """DESCRIBE TABLE of a table that delivery would make."""
        types = self._types(self._entity(statement))
        elsewhere = "_hash" if statement.endswith("_history") else "_payload"
        return {"rows": [[name, kind, None] for name, kind in types.items() if name != elsewhere]}

    def rows(self, table):
        entity = self._entity(table)
        if entity not in self._read:
            self._read[entity] = self._versions(entity)
        history, current = self._read[entity]
        return history if table.endswith("_history") else current

    def _versions(self, entity):
        """(history, current) of an entity from its staged versions in the order of _seq."""
        types, history, current = self._types(entity), [], {}
        for staged in self.hub.query(f"SELECT * FROM exact.stage WHERE entity = '{entity}' ORDER BY seq"):
            place = staged["division"], staged["key"]
            hub = {"_division": staged["division"], "_key": staged["key"], "_seq": staged["seq"], "_op": staged["op"],
                   "_deleted": staged["op"] == "D",
                   "_valid": True, "_problems": None, "_batch": staged["batch"], "_staged_at": staged["at"],
                   "_loaded_at": staged["at"]}
            before, payload = current.get(place, {}), staged["payload"]
            if staged["op"] == "D":
                values = held = {name: before.get(name) for name in types}
                payload = None
            else:
                content = content_of(entity, json.loads(payload, parse_float=Decimal), self.books)
                values = {name: expected_value(entity, name, content.get(name), kind) for name,
                          kind in types.items() if name not in hub and name != "_payload"}
                held = {name: before.get(name) if value is None and self._kept(name, content, before, values) else value
                        for name, value in values.items()}
            history.append({**values, **hub, "_payload": payload})
            current[place] = {name: value for name, value in {**held, **hub}.items() if name != "_payload"}
        return history, list(current.values())

    @staticmethod
    def _kept(name, content, before, values):
        """Whether a joined text that is missing now stays as it was: the field that it hangs on did not change."""
        key = keys_of_derived(content).get(name)
        return key is not None and (not key or before.get(key) == values.get(key))
