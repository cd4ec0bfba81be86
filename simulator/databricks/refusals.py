"""What both engines refuse, and with which SQLSTATE: the one table of refusals of this simulator.

The engine-free mode raises from it, answers of Spark are brought to it (a class of the table always has its SQLSTATE
and error_code), and
error forms that carry no state are made with it. The rules for names, properties and clustering columns are Delta's;
the test that asks both
engines the same list (tests/test_databricks_engines.py) keeps the two together.
"""

import re

from .errors import SqlError

# class without its subclass -> SQLSTATE
STATES = {
    "AMBIGUOUS_REFERENCE": "42704",
    "ARITHMETIC_OVERFLOW": "22003",
    "CAST_INVALID_INPUT": "22018",
    "CAST_OVERFLOW": "22003",
    "CAST_OVERFLOW_IN_TABLE_INSERT": "22003",
    "CATALOG_ALREADY_EXISTS": "42710",
    "COLUMN_ALREADY_EXISTS": "42711",
    "CONFIG_NOT_AVAILABLE": "42K0I",
    "DATATYPE_MISMATCH": "42K09",
    "DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION": "22003",
    "DELTA_CANNOT_MODIFY_APPEND_ONLY": "42809",
    "DELTA_CAST_OVERFLOW_IN_TABLE_WRITE": "22003",
    "DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED": "0A000",
    "DELTA_CLUSTER_BY_INVALID_NUM_COLUMNS": "54000",
    "DELTA_COLUMN_NOT_FOUND_IN_SCHEMA": "42703",
    "DELTA_CONCURRENT_APPEND": "2D521",
    "DELTA_CONCURRENT_DELETE_DELETE": "2D521",
    "DELTA_CONCURRENT_DELETE_READ": "2D521",
    "DELTA_CONCURRENT_TRANSACTION": "2D521",
    "DELTA_CONCURRENT_WRITE": "2D521",
    "DELTA_CONSTRAINT_ALREADY_EXISTS": "42710",
    "DELTA_CONSTRAINT_DOES_NOT_EXIST": "42704",
    "DELTA_DUPLICATE_COLUMNS_FOUND": "42711",
    "DELTA_EXCEED_CHAR_VARCHAR_LIMIT": "22001",
    "DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT": "42000",
    "DELTA_INSERT_COLUMN_ARITY_MISMATCH": "42802",
    "DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES": "42K05",
    "DELTA_INVALID_INTERVAL": "22006",
    "DELTA_INVALID_ISOLATION_LEVEL": "25000",
    "DELTA_MAX_COMMIT_RETRIES_EXCEEDED": "40000",
    "DELTA_MERGE_UNRESOLVED_EXPRESSION": "42601",
    "DELTA_METADATA_CHANGED": "2D521",
    "DELTA_METADATA_MISMATCH": "42KDG",
    "DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE": "21506",
    "DELTA_NEW_CHECK_CONSTRAINT_VIOLATION": "23512",
    "DELTA_NON_BOOLEAN_CHECK_CONSTRAINT": "42621",
    "DELTA_NOT_NULL_CONSTRAINT_VIOLATED": "23502",
    "DELTA_OPERATION_NOT_ALLOWED": "0AKDC",
    "DELTA_PROTOCOL_CHANGED": "2D521",
    "DELTA_UNKNOWN_CONFIGURATION": "F0000",
    "DELTA_UNSUPPORTED_ALTER_TABLE_CHANGE_COL_OP": "0AKDC",
    "DELTA_UNSUPPORTED_DROP_COLUMN": "0AKDC",
    "DELTA_UNSUPPORTED_FEATURES_IN_CONFIG": "56038",
    "DELTA_UNSUPPORTED_FEATURE_STATUS": "0AKDE",
    "DELTA_UNSUPPORTED_RENAME_COLUMN": "0AKDC",
    "DELTA_VACUUM_RETENTION_PERIOD_TOO_SHORT": "22003",
    "DELTA_VIOLATE_CONSTRAINT_WITH_VALUES": "23001",
    "DIVIDE_BY_ZERO": "22012",
    "EXPECT_TABLE_NOT_VIEW": "42809",
    "EXPECT_VIEW_NOT_TABLE": "42809",
    "FAILED_READ_FILE": "KD001",
    "FIELD_ALREADY_EXISTS": "42710",
    "FIELD_NOT_FOUND": "42704",
    "INSUFFICIENT_PERMISSIONS": "42501",
    "INVALID_SCHEMA_OR_RELATION_NAME": "42602",
    "INVALID_TYPED_LITERAL": "42604",
    "MALFORMED_RECORD_IN_PARSING": "22023",
    "NO_SUCH_CATALOG_EXCEPTION": "42704",
    "NUMERIC_OUT_OF_SUPPORTED_RANGE": "22003",
    "NUMERIC_VALUE_OUT_OF_RANGE": "22003",
    "PARSE_EMPTY_STATEMENT": "42617",
    "PARSE_SYNTAX_ERROR": "42601",
    "PATH_NOT_FOUND": "42K03",
    "SCALAR_SUBQUERY_TOO_MANY_ROWS": "21000",
    "SCHEMA_ALREADY_EXISTS": "42P06",
    "SCHEMA_NOT_EMPTY": "2BP01",
    "SCHEMA_NOT_FOUND": "42704",
    "TABLE_OR_VIEW_ALREADY_EXISTS": "42P07",
    "TABLE_OR_VIEW_NOT_FOUND": "42P01",
    "UNBOUND_SQL_PARAMETER": "42P02",
    "UNRESOLVED_COLUMN": "42703",
    "UNRESOLVED_ROUTINE": "42883",
    "UNSUPPORTED_DATATYPE": "0A000",
    "UNSUPPORTED_DATASOURCE_FOR_DIRECT_QUERY": "0A000",
    "UNSUPPORTED_FEATURE": "0A000",
    "USER_RAISED_EXCEPTION": "P0001",
    "VOLUME_ALREADY_EXISTS": "42000",
    "VOLUME_DOES_NOT_EXIST": "42704",
    "WRONG_COMMAND_FOR_OBJECT_TYPE": "42809",
}


def state_of(error_class):
    """The SQLSTATE of a class, None for one that is not in the table."""
    return STATES.get((error_class or "").split(".")[0])


def refuse(error_class, text, code="BAD_REQUEST"):
    """The SqlError of a class of the table; the empty class for what the engine refuses without one."""
    return SqlError(error_class, STATES[error_class.split(".")[0]] if error_class else "", text, code)


# Names

_RELATION = re.compile(r"[A-Za-z0-9_]+\Z")
_NOT_IN_COLUMNS = " ,;{}()\n\t="


def check_relation_name(name):
    if not _RELATION.match(name):
        raise refuse(
            "INVALID_SCHEMA_OR_RELATION_NAME",
            f"`{name}` is not a valid name for tables/schemas. Valid names only contain alphabet "
            "characters, numbers and _.",
        )


def check_column_names(names, properties):
    """Names of columns, unless column mapping keeps them."""
    bad = [name for name in names if set(name) & set(_NOT_IN_COLUMNS)]
    if bad and lower_keys(properties).get("delta.columnmapping.mode") not in ("name", "id"):
        raise refuse(
            "DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES",
            "Found invalid character(s) among ' ,;{}()\\n\\t=' in the column names of your schema.\nInvalid column "
            "names: "
            f"{', '.join(bad)}.\nPlease use other characters and try again.\nAlternatively, enable Column Mapping to "
            f"keep using these "
            "characters.",
        )


def check_table_features(kinds, properties):
    """Types of added columns that only a table feature allows."""
    if "TIMESTAMP_NTZ" in kinds and lower_keys(properties).get("delta.feature.timestampntz") != "supported":
        raise refuse(
            "DELTA_FEATURES_REQUIRE_MANUAL_ENABLEMENT",
            "Your table schema requires manually enablement of the following table feature(s): timestampNtz.\n\nTo "
            "do this, run the "
            "following command for each of features listed above:\n  ALTER TABLE table_name SET TBLPROPERTIES "
            "('delta.feature.feature_name' = 'supported')\nReplace \"table_name\" and \"feature_name\" with real "
            "values.\n\nCurrent "
            "supported feature(s): appendOnly, invariants.",
        )


# Properties

_TRUTH, _INTERVALS, _FREE = "truth", "interval", "free"
_PROPERTIES = {
    **dict.fromkeys(
        (
            "appendonly",
            "autooptimize",
            "autooptimize.optimizewrite",
            "checkpoint.writestatsasjson",
            "checkpoint.writestatsasstruct",
            "enablechangedatacapture",
            "enablechangedatafeed",
            "enabledeletionvectors",
            "enableexpiredlogcleanup",
            "enablefullretentionrollback",
            "enableicebergcompatv1",
            "enableicebergcompatv2",
            "enableicebergcompatv3",
            "enableincommittimestamps",
            "enablerowtracking",
            "enabletypewidening",
            "enablevariantshredding",
            "randomizefileprefixes",
            "rowtrackingsuspended",
        ),
        _TRUTH,
    ),
    **dict.fromkeys(
        (
            "deletedfileretentionduration",
            "logretentionduration",
            "settransactionretentionduration",
            "sampleretentionduration",
            "checkpointretentionduration",
        ),
        _INTERVALS,
    ),
    **dict.fromkeys(
        (
            "autooptimize.autocompact",
            "checkpointinterval",
            "checkpointpolicy",
            "columnmapping.maxcolumnid",
            "columnmapping.mode",
            "dataskippingnumindexedcols",
            "dataskippingstatscolumns",
            "dataskippingstringprefixlength",
            "isolationlevel",
            "minreaderversion",
            "minwriterversion",
            "parquet.compression.codec",
            "parquet.format.version",
            "randomprefixlength",
            "targetfilesize",
            "universalformat.enabledformats",
        ),
        _FREE,
    ),
}
_FEATURES = {
    "allowcolumndefaults",
    "appendonly",
    "catalogmanaged",
    "changedatafeed",
    "checkconstraints",
    "checkpointprotection",
    "clustering",
    "columnmapping",
    "deletionvectors",
    "domainmetadata",
    "generatedcolumns",
    "icebergcompatv1",
    "icebergcompatv2",
    "icebergcompatv3",
    "identitycolumns",
    "incommittimestamp",
    "invariants",
    "rowtracking",
    "timestampntz",
    "typewidening",
    "typewidening-preview",
    "v2checkpoint",
    "vacuumprotocolcheck",
    "varianttype",
    "varianttype-preview",
}
_INTERVAL = re.compile(r"(interval\s+)?\d+\s+(nano|micro|milli)?(second|minute|hour|day|week)s?\Z", re.I)


def lower_keys(properties):
    return {key.lower(): value for key, value in (properties or {}).items()}


def check_properties(properties):
    """Table properties that Delta knows and takes; those of other prefixes are free."""
    for key, value in properties.items():
        low = key.lower()
        if low.startswith("delta.feature."):
            if low[14:] not in _FEATURES:
                raise refuse(
                    "DELTA_UNSUPPORTED_FEATURES_IN_CONFIG",
                    "Table features configured in the following Spark configs or Delta table "
                    f"properties are not recognized by this version of Delta Lake: {key}.",
                )
            if (value or "").lower() not in ("supported", "enabled"):
                raise refuse(
                    "DELTA_UNSUPPORTED_FEATURE_STATUS",
                    f'Expecting the status for table feature {low[14:]} to be "supported", but got "{value}".',
                )
            continue
        if not low.startswith("delta.") or low.startswith("delta.constraints."):
            continue
        kind = _PROPERTIES.get(low[6:])
        if kind is None:
            raise refuse(
                "DELTA_UNKNOWN_CONFIGURATION",
                f"Unknown configuration was specified: {key}\nTo disable this check, set "
                "spark.databricks.delta.allowArbitraryProperties.enabled=true in the Spark session configuration.",
            )
        if kind is _TRUTH and (value or "").lower() not in ("true", "false"):
            raise refuse("", f'For input string: "{value}"')
        if kind is _INTERVALS and not _INTERVAL.match(value or ""):
            raise refuse("DELTA_INVALID_INTERVAL", f"{value} is not a valid INTERVAL.")
        if low == "delta.isolationlevel" and value.lower() not in ("serializable", "writeserializable"):
            raise refuse("DELTA_INVALID_ISOLATION_LEVEL", f"invalid isolation level '{value}'")


# Clustering

_NOT_CLUSTERED = ("BOOLEAN", "BINARY", "ARRAY", "MAP", "STRUCT", "VARIANT")


def check_clustering(names, columns, created):
    """CLUSTER BY: names against the columns {lower name: (name, type)}; the refusals of CREATE and ALTER differ."""
    for name in names:
        if name.lower() not in columns:
            if created:
                raise refuse(
                    "UNSUPPORTED_FEATURE.PARTITION_WITH_NESTED_COLUMN_IS_UNSUPPORTED",
                    f"The feature is not supported: Invalid partitioning: `{name}` is missing or is in a map or array.",
                )
            raise refuse("DELTA_COLUMN_NOT_FOUND_IN_SCHEMA", f"Couldn't find column {name} in the schema of the table.")
    twice = [name for name in names if [n.lower() for n in names].count(name.lower()) > 1]
    if twice:
        raise refuse(
            "DELTA_DUPLICATE_COLUMNS_FOUND.CLUSTER_BY",
            f"Found duplicate column(s): `{twice[0]}`. The duplicate was found in CLUSTER BY.",
        )
    if len(names) > 4:
        raise refuse(
            "DELTA_CLUSTER_BY_INVALID_NUM_COLUMNS",
            f"CLUSTER BY supports up to 4 clustering columns, but the table has {len(names)} "
            "clustering columns. Please remove the extra clustering columns.",
        )
    bad = [
        f"{columns[n.lower()][0]} : {columns[n.lower()][1]}"
        for n in names
        if columns[n.lower()][1].startswith(_NOT_CLUSTERED)
    ]
    if bad:
        raise refuse(
            "DELTA_CLUSTERING_COLUMNS_DATATYPE_NOT_SUPPORTED",
            "CLUSTER BY is not supported because the following column(s): "
            f"{', '.join(bad)} don't support data skipping.",
        )


# Writing

def check_append_only(properties):
    if (lower_keys(properties).get("delta.appendonly") or "").lower() == "true":
        raise refuse(
            "DELTA_CANNOT_MODIFY_APPEND_ONLY",
            "This table is configured to only allow appends. If you would like to permit updates or "
            "deletes, use 'ALTER TABLE null SET TBLPROPERTIES (delta.appendOnly=false)'.",
        )


def unresolved_column(name, columns):
    """The refusal of a column name that nothing has."""
    if not columns:
        return refuse("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
                      f"A column, variable, or function parameter with name `{name}` cannot be resolved.")
    return refuse(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        f"A column, variable, or function parameter with name `{name}` cannot be resolved. Did "
        f"you mean one of the following? [{', '.join('`' + c + '`' for c in columns[:5])}].",
    )


# Files

def is_hidden(name):
    """Whether a reader passes over a file of this name."""
    return name.startswith(".") or (name.startswith("_") and "=" not in name) or name.endswith("._COPYING_")
