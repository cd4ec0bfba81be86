"""What Unity Catalog adds to the tables and an open-source engine has no notion of: privileges, keys, tags, volumes.

Statements about these are executed here; everything else is the engine's. Names are (catalog, schema, object), lower
case.
"""

import shutil
import threading
from pathlib import Path

from .errors import SqlError
from .forms import PermissionRefused
from .grants import OWNER, PRINCIPAL, Grants, read_grant
from .refusals import refuse, unresolved_column
from .result import Column, Result
from .sql_text import literal_value, name_value, quote, read_name, skip_words

# What a SQL warehouse lets a statement SET; the values have no effect beyond their statement.
_SETTABLE = {
    "ansi_mode",
    "enable_photon",
    "legacy_time_parser_policy",
    "max_file_partition_bytes",
    "read_only_external_metastore",
    "statement_timeout",
    "timezone",
    "use_cached_result",
    "query_tags",
}


def no_such_catalog(name):
    return refuse(
        "NO_SUCH_CATALOG_EXCEPTION",
        f"Catalog '{name}' was not found. Please verify the catalog name and then retry the query or command again.",
    )


def no_such_schema(catalog, schema):
    return refuse(
        "SCHEMA_NOT_FOUND",
        f"The schema {quote(catalog)}.{quote(schema)} cannot be found. Verify the spelling and correctness of the "
        f"schema "
        "and catalog.",
    )


class Unity:
    """State of one workspace's catalog beside its tables. Used by the event loop and by statement threads."""

    def __init__(self, settings, data):
        self.settings, self.catalog = settings, settings.catalog.lower()
        self.volume_root = Path(data) / "volumes"
        self._lock = threading.Lock()
        self.privileges = Grants(settings, data)
        self._constraints = {}  # table -> {name: {"kind", "columns"}}, of a foreign key also "parent"
        self.tags = {}  # dotted object -> {key: value}
        self.grants = []  # texts of GRANT and REVOKE
        self.met = lambda form: None  # tells that a form of weather.py was met

    # Names

    def resolve(self, name, catalog, schema, what="table"):
        """The full lower-case name of `name` under the defaults of its statement. Raises for another catalog."""
        parts = name.lower()
        full = {"table": (catalog, schema), "schema": (catalog,)}[what]
        if len(parts) <= len(full):
            parts = full[: len(full) + 1 - len(parts)] + parts
        if parts[0] != self.catalog:
            raise no_such_catalog(parts[0])
        return parts

    # Privileges

    def lacks(self, privilege, target):
        return self.privileges.lacks(privilege, target)

    def require(self, privilege, target, kind):
        if self.lacks(privilege, target):
            if (privilege, target) not in self.privileges.denied:
                self.met("grant_missing")
            raise PermissionRefused(privilege, kind, target)

    def check(self, statement, targets, reads, schemas, known):
        """Raises PermissionRefused for the first privilege that a statement needs and the principal lacks. What lies
        in a schema that is not
        among the `known` is refused as missing instead."""
        targets, reads = ([t for t in tables if t[1] in known] for tables in (targets, reads))
        for table in targets + reads + schemas:
            self.require("USE CATALOG", table[0], "Catalog")
            if table not in schemas:
                self.require("USE SCHEMA", ".".join(table[:2]), "Schema")
        for schema in schemas:
            if statement.kind == "create":  # also where the schema exists
                self.require("CREATE SCHEMA", schema[0], "Catalog")
            elif statement.kind == "drop" and schema[1] in known:
                self.require("MANAGE", ".".join(schema), "Schema")
        for table in targets:
            full = ".".join(table)
            if statement.kind == "create":
                self.require("CREATE TABLE", ".".join(table[:2]), "Schema")
                if statement.replaces and full in self.privileges.owners:
                    self.require("MANAGE", full, "Table")
            elif statement.kind == "drop":
                self.require("MANAGE", full, "Table")
            else:
                if statement.kind in ("merge", "update", "delete"):
                    self.require("SELECT", full, "Table")
                self.require("MODIFY", full, "Table")
        for table in reads:
            self.require("SELECT", ".".join(table), "Table")
        for name in statement.files:
            parts = name.parts[1].removeprefix("dbfs:").split("/")
            if len(parts) > 4 and parts[1] == "Volumes" and self.volume(*parts[2:5]) is not None:
                self.require("READ VOLUME", ".".join(parts[2:5]).lower(), "Volume")

    def note_owner(self, statement, targets, schemas, trusted):
        """After a statement: who owns what it made, and what is gone."""
        owner = OWNER if trusted else PRINCIPAL
        for full in [".".join(t) for t in targets + schemas]:
            if statement.kind == "create":
                self.privileges.own(full, owner)
            elif statement.kind == "drop":
                self.privileges.disown(full)

    # Keys

    def constraints(self, table):
        return {name: dict(entry) for name, entry in self._constraints.get(table, {}).items()}

    def remember(self, table, constraints, parent=None):
        """Notes the keys that a statement declared, each (name or None, kind, columns)."""
        more = {"parent": parent} if parent else {}
        with self._lock:
            known = self._constraints.setdefault(table, {})
            for name, kind, columns in constraints:
                known.setdefault((name or f"{table[2]}_{'pk' if kind == 'PRIMARY_KEY' else 'fk'}").lower(),
                                 {"kind": kind, "columns": columns, **more})

    def _referring(self, table):
        """(table, name) of the foreign keys that refer to a table."""
        return [(t, n) for t, known in self._constraints.items() for n, c in known.items()
                if c.get("parent") == ".".join(table)]

    def forget(self, table):
        with self._lock:
            self._constraints.pop(table, None)
            self.tags.pop(".".join(table), None)

    # Volumes

    def volume(self, catalog, schema, name):
        """The directory of a volume, or None."""
        path = self.volume_root / catalog.lower() / schema.lower() / name.lower()
        return path if path.is_dir() else None

    def local_path(self, path):
        """Where /Volumes/<catalog>/<schema>/<volume>/... is kept, as text; other paths unchanged."""
        plain = path[5:] if path.startswith("dbfs:") else path
        parts = plain.split("/")
        if len(parts) < 5 or parts[1] != "Volumes":
            return path
        return "/".join([str(self.volume_root), *(p.lower() for p in parts[2:5]), *parts[5:]])

    def public_text(self, text):
        """A message or value of the engine with the local directory shown as the service would."""
        root = str(self.volume_root)
        return text.replace("file:" + root, "dbfs:/Volumes").replace(root, "/Volumes") if root in text else text

    # Statements

    def execute(self, text, tokens, defaults, engine, trusted=False):
        """Executes a statement that is Unity Catalog's own; None when it is not. The owner (`trusted`) may do
        everything."""
        words = [t.text.lower() if t.kind == "word" else t.text for t in tokens[:6]]
        first, rest = words[0], words[1:]
        if first in ("grant", "revoke"):
            return self._grant(first, text, tokens, trusted)
        if first == "set" and rest and rest[0] not in ("var", "variable"):
            return self._set(tokens)
        if first == "use":
            return self._use(tokens, defaults, engine)
        if "volume" in rest[:2] and first in ("create", "drop", "comment"):
            return self._volume(first, tokens, defaults, engine, trusted)
        if first in ("create", "drop") and rest[:1] == ["catalog"]:
            return self._catalog(first, tokens)
        if first == "comment" and rest[:2] == ["on", "catalog"]:
            return self._comment_catalog(tokens)
        if first == "show" and rest[:1] == ["catalogs"]:
            return Result([Column("catalog", "STRING")], [[self.catalog]])
        if first in ("describe", "desc") and rest[:2] in (["schema", "extended"], ["database", "extended"]):
            return self._describe_schema(tokens, defaults, engine)
        if first == "alter":
            return self._alter(tokens, defaults, engine)
        return None

    def _grant(self, first, text, tokens, trusted):
        found = read_grant(tokens)
        if found is not None:
            privileges, target, grantee = found
            if not trusted:
                self.require(
                    "MANAGE", target, "Table" if target.count(".") == 2 else "Schema" if "." in target else "Catalog"
                )
            if grantee.lower() in (self.settings.client_id.lower(), "account users"):
                entries = [(privilege, target) for privilege in privileges]
                (self.privileges.grant if first == "grant" else self.privileges.revoke)(entries)
        self.grants.append(text)
        return Result()

    def _set(self, tokens):
        if len(tokens) > 1 and tokens[1].is_word("time"):
            return Result()
        name = read_name(tokens, 1)
        if name is None or len(name.parts) > 1 or name.lower()[0] not in _SETTABLE:
            key = ".".join(name.parts) if name else ""
            raise refuse("CONFIG_NOT_AVAILABLE", f"Configuration {key} is not available.")
        return Result()

    def _describe_schema(self, tokens, defaults, engine):
        catalog, schema = self.resolve(read_name(tokens, 3), *defaults, what="schema")
        if schema not in engine.schemas():
            raise no_such_schema(catalog, schema)
        rows = [["Catalog Name", catalog], ["Namespace Name", schema], ["Comment", ""], ["Owner", "admin@example.com"]]
        predictive = self.settings.predictive_optimization
        if predictive != "absent":
            rows.append(["Predictive Optimization", f"{predictive.upper()} (inherited from METASTORE main)"])
        return Result([Column("database_description_item", "STRING"), Column("database_description_value", "STRING")],
                      rows)

    def _use(self, tokens, defaults, engine):
        at = skip_words(tokens, 1, "catalog", "schema", "database", "namespace")
        name = read_name(tokens, at)
        if name is None:
            return None
        if tokens[1].is_word("catalog"):
            if name.lower() != (self.catalog,):
                raise no_such_catalog(name.parts[0])
        else:
            catalog, schema = self.resolve(name, *defaults, what="schema")
            if schema not in engine.schemas():
                raise no_such_schema(catalog, schema)
        return Result()

    def _volume(self, first, tokens, defaults, engine, trusted):
        at = skip_words(tokens, 1, "on", "external", "volume", "if", "not", "exists")
        guarded = any(t.is_word("exists") for t in tokens[:at])
        catalog, schema, volume = self.resolve(read_name(tokens, at), *defaults)
        if schema not in engine.schemas():
            raise no_such_schema(catalog, schema)
        path = self.volume_root / catalog / schema / volume
        shown = f"{quote(catalog)}.{quote(schema)}.{quote(volume)}"
        if first == "create":
            if not trusted:
                self.require("USE SCHEMA", f"{catalog}.{schema}", "Schema")
                self.require("CREATE VOLUME", f"{catalog}.{schema}", "Schema")
            if path.is_dir() and not guarded:
                raise refuse("VOLUME_ALREADY_EXISTS", f"Cannot create volume {shown} because it already exists.")
            path.mkdir(parents=True, exist_ok=True)
            self.privileges.own(f"{catalog}.{schema}.{volume}", OWNER if trusted else PRINCIPAL)
        elif not path.is_dir() and not guarded:
            raise refuse("VOLUME_DOES_NOT_EXIST", f"Volume {shown} does not exist.")
        elif first == "drop" and path.is_dir():
            if not trusted:
                self.require("MANAGE", f"{catalog}.{schema}.{volume}", "Volume")
            shutil.rmtree(path, ignore_errors=True)
            self.privileges.disown(f"{catalog}.{schema}.{volume}")
        return Result()

    def _catalog(self, first, tokens):
        at = skip_words(tokens, 2, "if", "not", "exists")
        name = name_value(tokens[at]).lower()
        if first == "create" and name == self.catalog:
            if at == 2:
                raise refuse("CATALOG_ALREADY_EXISTS", f"Cannot create catalog '{name}' because it already exists.")
            return Result()
        raise PermissionRefused("CREATE CATALOG" if first == "create" else "MANAGE", "Metastore", "simulator")

    def _comment_catalog(self, tokens):
        name = name_value(tokens[3]).lower()
        if name != self.catalog:
            raise no_such_catalog(name)
        return Result()

    def _alter(self, tokens, defaults, engine):
        words = [t.text.lower() if t.kind == "word" else t.text for t in tokens]
        name = read_name(tokens, skip_words(tokens, 2, "if", "exists"))
        if name is None or words[1] not in ("table", "schema", "volume", "catalog"):
            return None
        rest = words[name.last:]
        if "tags" in rest and ("set" in rest or "unset" in rest):
            return self._tags(tokens, name, rest)
        if words[1] != "table":
            return None
        if rest == ["cluster", "by", "auto"]:
            self._table(name, defaults, engine)
            return Result()
        if rest[:1] == ["add"] and ("primary" in rest[:4] or "foreign" in rest[:4]):
            return self._add_key(tokens, name, defaults, engine)
        if rest[:2] in (["drop", "constraint"], ["drop", "primary"], ["drop", "foreign"]):
            return self._drop_key(tokens, name, defaults, rest)
        if rest[:2] == ["alter", "column"] and rest[3:] in (["set", "not", "null"], ["drop", "not", "null"]):
            return self._set_nullable(tokens, name, defaults, engine, rest[3] == "drop")
        return None

    def _table(self, name, defaults, engine):
        full = self.resolve(name, *defaults)
        table = engine.describe(full[1], full[2])
        if table is None:
            raise refuse(
                "TABLE_OR_VIEW_NOT_FOUND",
                f"The table or view {'.'.join(quote(p) for p in full)} cannot be found. Verify the spelling and "
                f"correctness "
                "of the schema and catalog.",
            )
        return full, table

    def _tags(self, tokens, name, rest):
        target = ".".join(name.lower())
        if rest[0] == "alter" and rest[1] == "column":
            target += "." + name_value(tokens[name.last + 2]).lower()
        literals = [literal_value(t) for t in tokens[name.last:] if t.kind in ("string", "raw")]
        tags = self.tags.setdefault(target, {})
        if "unset" in rest:
            for key in literals:
                tags.pop(key, None)
        else:
            tags.update(zip(literals[::2], literals[1::2]))
        return Result()

    def _set_nullable(self, tokens, name, defaults, engine, nullable):
        """SET NOT NULL, which open source refuses; a column of a primary key stays as it is."""
        full, table = self._table(name, defaults, engine)
        written = name_value(tokens[name.last + 2])
        column = next((c.name for c in table.columns if c.name.lower() == written.lower()), None)
        if column is None:
            raise unresolved_column(written, [c.name for c in table.columns])
        keys = [c for c in self.constraints(full).values() if c["kind"] == "PRIMARY_KEY"]
        if nullable and any(column.lower() in map(str.lower, c["columns"]) for c in keys):
            raise SqlError("", "", f"Cannot drop NOT NULL of `{column}`: it is a column of the primary key.")
        if not nullable and engine.has_null(full, column):
            raise refuse(
                "DELTA_NOT_NULL_CONSTRAINT_VIOLATED", f"NOT NULL constraint violated for column: {column}."
            )
        engine.set_nullable(full, column, nullable)
        return Result()

    def _add_key(self, tokens, name, defaults, engine):
        full, table = self._table(name, defaults, engine)
        at, label = name.last + 1, None
        if tokens[at].is_word("constraint"):
            label, at = name_value(tokens[at + 1]), at + 2
        kind = "PRIMARY_KEY" if tokens[at].is_word("primary") else "FOREIGN_KEY"
        columns = read_columns(tokens, at + 2)
        known = {c.name.lower(): c for c in table.columns}
        for column in columns:
            if column.lower() not in known:
                raise refuse(
                    "UNRESOLVED_COLUMN.WITH_SUGGESTION",
                    f"A column, variable, or function parameter with name {quote(column)} cannot be resolved.",
                )
            if kind == "PRIMARY_KEY" and known[column.lower()].nullable:
                raise SqlError(
                    "",
                    "",
                    f"Cannot create the primary key `{label or ''}` because its child column(s) `{column}` is "
                    "nullable. Please change the column nullability and retry.",
                )
        existing = self.constraints(full)
        if (label and label.lower() in existing) or (
            kind == "PRIMARY_KEY" and any(c["kind"] == kind for c in existing.values())
        ):
            raise refuse(
                "DELTA_CONSTRAINT_ALREADY_EXISTS",
                f"Constraint '{label or 'PRIMARY KEY'}' already exists. Please delete the old constraint first.",
            )
        parent = self._referred(tokens, at, defaults, columns) if kind == "FOREIGN_KEY" else None
        self.remember(full, [(label, kind, columns)], parent)
        return Result()

    def _referred(self, tokens, at, defaults, columns):
        """The table that a foreign key refers to. Its primary key must be there and have as many columns."""
        at = next(i for i in range(at, len(tokens)) if tokens[i].is_word("references"))
        name = read_name(tokens, at + 1)
        parent = self.resolve(name, *defaults)
        keys = [c for c in self.constraints(parent).values() if c["kind"] == "PRIMARY_KEY"]
        wanted = read_columns(tokens, name.last)
        if not keys or (wanted and list(map(str.lower, wanted)) != list(map(str.lower, keys[0]["columns"]))):
            raise SqlError(
                "",
                "",
                f"Cannot create the foreign key because the parent table {'.'.join(quote(p) for p in parent)} has no "
                f"primary key on ({', '.join(wanted)}).",
            )
        if len(columns) != len(keys[0]["columns"]):
            raise SqlError("", "", "Cannot create the foreign key because it has another number of columns.")
        return ".".join(parent)

    def _drop_key(self, tokens, name, defaults, rest):
        full = self.resolve(name, *defaults)
        with self._lock:
            known = self._constraints.get(full, {})
            if rest[1] == "constraint":
                at = skip_words(tokens, name.last + 2, "if", "exists")
                label = name_value(tokens[at]).lower()
                if label not in known:
                    # else a CHECK constraint: the engine knows it
                    return Result() if rest[-1] == "cascade" and "exists" in rest else None
                if known[label]["kind"] == "PRIMARY_KEY":
                    self._let_go(full, rest[-1] == "cascade")
                del known[label]
            else:
                kind = "PRIMARY_KEY" if rest[1] == "primary" else "FOREIGN_KEY"
                if kind == "PRIMARY_KEY":
                    self._let_go(full, rest[-1] == "cascade")
                for label in [n for n, c in known.items() if c["kind"] == kind]:
                    del known[label]
        return Result()


    def _let_go(self, table, cascade):
        """Before a primary key goes: foreign keys that refer to it go too, or keep it."""
        referring = self._referring(table)
        if referring and not cascade:
            raise SqlError("", "", f"Cannot drop the primary key of {'.'.join(quote(p) for p in table)} because it is "
                                   f"referenced by the foreign key `{referring[0][1]}`. Use CASCADE.")
        for other, label in referring:
            del self._constraints[other][label]


def read_columns(tokens, at):
    """The names in the parenthesised list at token `at`."""
    columns = []
    if at < len(tokens) and tokens[at].text == "(":
        for token in tokens[at + 1:]:
            if token.text == ")":
                break
            if token.kind in ("word", "quoted") and not token.is_word("timeseries"):
                columns.append(name_value(token))
    return columns
