"""Who may do what: grants, owners and what tests take away.

Every user of the API is one principal. At the start it has exactly what docs/setup.md grants; what it makes it owns.
"""

import json
import threading
from pathlib import Path

from .sql_text import name_value, read_name

# What docs/setup.md grants, (privileges, kind, what is added to the catalog's name). A test compares this list with the
# document.
DOCUMENTED = (
    (("USE CATALOG",), "CATALOG", ""),
    (("USE SCHEMA", "CREATE TABLE", "SELECT", "MODIFY"), "SCHEMA", ".{schema}"),
    (("READ VOLUME", "WRITE VOLUME"), "VOLUME", ".{schema}.files"),
)
PRINCIPAL, OWNER = "principal", "owner"


class Grants:
    """`owners` maps dotted lower-case objects to PRINCIPAL or OWNER, the administrator behind POST /_control/sql."""

    def __init__(self, settings, data):
        self.settings, self._file, self._lock = settings, Path(data) / "owners.json", threading.Lock()
        self.owners = json.loads(self._file.read_text()) if self._file.exists() else {}
        self.denied, self.granted = set(), set()
        self.grant_documented()

    def grant_documented(self):
        catalog, schema = self.settings.catalog, self.settings.schema
        self.granted = {(privilege, (catalog + suffix.format(schema=schema)).lower())
                        for privileges, _, suffix in DOCUMENTED for privilege in privileges}
        self.granted.add(("CAN USE", self.settings.warehouse_id))

    def deny(self, entries):
        """Replaces what is taken away by `entries`: (privilege, dotted object) pairs."""
        with self._lock:
            self.denied = {(privilege.upper(), target.lower()) for privilege, target in entries}

    def grant(self, entries, only=False):
        """Adds `entries`; with `only` nothing else is granted from now on."""
        with self._lock:
            found = {(privilege.upper(), target.lower()) for privilege, target in entries}
            self.granted = found if only else self.granted | found

    def revoke(self, entries):
        with self._lock:
            self.granted -= {(privilege.upper(), target.lower()) for privilege, target in entries}

    def own(self, target, owner):
        """Notes who made `target`; an object that is known keeps its owner."""
        target = target.lower()
        with self._lock:
            if target not in self.owners:
                self.owners[target] = owner
                self._file.write_text(json.dumps(self.owners))

    def disown(self, target):
        """Forgets the owners of `target` and of all below it."""
        target = target.lower()
        with self._lock:
            self.owners = {
                name: who for name, who in self.owners.items() if name != target and not name.startswith(target + ".")
            }
            self._file.write_text(json.dumps(self.owners))

    def lacks(self, privilege, target):
        """Whether the principal lacks `privilege` on the dotted `target`: denied, or neither granted nor owned there
        or above."""
        parts = target.lower().split(".") if not privilege.startswith("CAN ") else [target.lower()]
        names = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
        if any((privilege, name) in self.denied for name in names):
            return True
        return not any(
            (privilege, name) in self.granted
            or (privilege != "MANAGE" and ("ALL PRIVILEGES", name) in self.granted)
            or self.owners.get(name) == PRINCIPAL
            for name in names
        )


def read_grant(tokens):
    """(privileges, object, grantee) of a GRANT or REVOKE statement, None when it is of another form."""
    at = next((i for i, t in enumerate(tokens) if t.is_word("on")), None)
    if at is None:
        return None
    privileges = " ".join(t.text.upper() for t in tokens[1:at]).split(",")
    at += 1
    if (
        at + 1 < len(tokens)
        and tokens[at].is_word("catalog", "schema", "database", "table", "view", "volume")
        and tokens[at + 1].text != "."
    ):
        at += 1
    name = read_name(tokens, at)
    if name is None or name.last + 1 >= len(tokens) or not tokens[name.last].is_word("to", "from"):
        return None
    return [" ".join(p.split()) for p in privileges], ".".join(name.lower()), name_value(tokens[name.last + 1])
