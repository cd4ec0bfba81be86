"""Statements executed by open-source Spark with Delta tables.

Every statement has its own session, so nothing survives it but tables. Tables live under <data>/tables, one
directory a schema.
"""

import glob
import json
import os
import re
import time
import zipfile
import zoneinfo
from datetime import datetime, timedelta
from pathlib import Path

from .engine import Table, TableColumn
from .errors import Canceled, SqlError
from .refusals import refuse, state_of
from .result import OWNER_NAME, Column, Result, counted, timestamp_cell, told_by_service
from .sql_rewrite import Rewriter
from .sql_text import find_uses, quote, tokenize

_OPTIONS = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.sources.default": "delta",
    "spark.sql.scripting.enabled": "true",
    # Small statements one after another: compiling each of them costs more than interpreting it.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.databricks.delta.stats.collect": "false",
    "spark.sql.maxPlanStringLength": "0",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "OFF",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.maxResultSize": "256m",
}
_JAVA_OPTIONS = ("-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m -Dfile.encoding=UTF-8 "
                 "-Duser.timezone=UTC")
# Classes that wrap what went wrong in a task; the service names the cause.
_WRAPPERS = {"TASK_WRITE_FAILED", "INTERNAL_ERROR"}
_DISGUISED = re.compile(r"Cannot find main error class '(\w+)'")
_CANCELED = re.compile(r"cancell?ed", re.I)
_TOO_LARGE = "spark.driver.maxResultSize"
INLINE_TEXT = (
    "Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most {} "
    "bytes. "
    "Please execute the statement with disposition=EXTERNAL_LINKS if you want to download the full result."
)


class SparkEngine:
    def __init__(self, unity, settings, data, jars, heap="1g", cores=2):
        self.settings = settings
        self.unity, self.data, self.jars, self.heap, self.cores = unity, Path(data), jars, heap, cores
        self._canceled = set()
        self._not_null = set()  # (schema, table, column) that open source cannot make so
        self._commits = {}  # directory of a table -> {version: (user, statement id)}
        self._delta_errors = {}
        self._starting = False

    # Life

    def start(self, progress):
        """Starts the engine and runs what makes later statements quick. Raises RuntimeError without jars or Java."""
        jars = sorted(glob.glob(os.path.join(self.jars or "", "*.jar")))
        if not any("delta-spark" in jar for jar in jars):
            raise RuntimeError(
                f"no Delta jars in {self.jars or 'the directory given by --jars or EXACT_DATABRICKS_JARS'}"
            )
        os.environ["TZ"] = "UTC"
        time.tzset()
        from pyspark.logger import PySparkLogger
        from pyspark.sql import SparkSession

        for logger in (
            "SQLQueryContextLogger",
            "DataFrameQueryContextLogger",
        ):  # they print every failed statement with its stack
            PySparkLogger.getLogger(logger).disabled = True
        progress("starting Spark")
        builder = (SparkSession.builder.appName("databricks-workspace").master(f"local[{self.cores}]")
                   .config("spark.jars", ",".join(jars)).config("spark.driver.memory", self.heap)
                   .config("spark.driver.extraJavaOptions", f"{_JAVA_OPTIONS} -Dderby.system.home={self.data}")
                   .config("spark.local.dir", str(self.data / "spark"))
                   .config("spark.sql.warehouse.dir", str(self.data / "tables")))
        for name, value in _OPTIONS.items():
            builder = builder.config(name, value)
        self._starting = True
        try:
            self.spark = builder.getOrCreate()
        finally:
            self._starting = False
        self.spark.sparkContext.setLogLevel("OFF")
        self._delta_errors = _read_delta_errors(jars)
        progress("Spark runs; opening the tables")
        self._reopen()
        self._warm(progress)

    def stop(self):
        """Ends the engine's process; called once, from the main thread."""
        from pyspark import SparkContext
        end = time.monotonic() + 20
        while self._starting and SparkContext._gateway is None and time.monotonic() < end:
            time.sleep(0.05)  # the Java process is being launched: without its gateway nobody could end it
        gateway = SparkContext._gateway
        if gateway is None:
            return
        process = getattr(gateway, "proc", None)
        gateway.shutdown()
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except Exception:
                process.kill()
                process.wait()

    def _reopen(self):
        """Registers tables that an earlier run left under the data directory: the engine's catalog is in memory."""
        for schema in sorted((self.data / "tables").glob("*.db")):
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS spark_catalog.{quote(schema.name[:-3])}")
            for log in sorted(schema.glob("*/_delta_log")):
                name = log.parent.name
                self.spark.sql(
                    f"CREATE TABLE spark_catalog.{quote(schema.name[:-3])}.{quote(name)} USING DELTA LOCATION "
                    f"'{log.parent}'"
                )
                found = self._jcatalog().getTableMetadata(self._identifier(schema.name[:-3], name))
                fields = [found.productElement(i) for i in range(found.productArity())]
                fields[1] = self.spark._jvm.org.apache.spark.sql.catalyst.catalog.CatalogTableType.MANAGED()
                self._jcatalog().alterTable(found.copy(*fields))  # managed again, so that DROP TABLE removes the files

    def _warm(self, progress):
        """Runs DDL, a MERGE and a query once on a table of its own, so that the first real statement does not pay
        for class loading."""
        progress("warming up")
        table = "spark_catalog.`_warm`.t"
        source = (
            "SELECT CAST(r.k AS INT) AS k, r.v AS v FROM (SELECT explode(from_json(:batch, 'ARRAY<STRUCT<k: STRING, "
            "v: STRING>>', "
            "map('mode', 'FAILFAST'))) AS r)"
        )
        for text in ("CREATE SCHEMA IF NOT EXISTS spark_catalog.`_warm`",
                     f"CREATE TABLE {table} (k INT NOT NULL, v STRING) USING DELTA CLUSTER BY (k)",
                     f"MERGE INTO {table} AS t USING ({source}) AS s ON t.k = s.k WHEN MATCHED THEN UPDATE SET v = s.v "
                     "WHEN NOT MATCHED THEN INSERT (k, v) VALUES (s.k, s.v)",
                     f"SELECT count(*) FROM {table}",
                     "DROP SCHEMA spark_catalog.`_warm` CASCADE"):
            self.spark.sql(text, {"batch": '[{"k":"1","v":"a"}]'}).collect()

    # Statements

    def execute(self, job):
        """Executes a job. Raises SqlError as the service would report it, Canceled after cancel()."""
        rewriter = Rewriter(job.text, self.unity)
        for tokens, uses in job.statements:
            rewriter.names(tokens, uses)
            rewriter.statement(tokens, uses)
        rewriter.parameters(job.tokens, job.types)
        text = rewriter.result()
        only = job.statements[0][1] if len(job.statements) == 1 else None
        existed = {t for t in job.targets if self._location(t) is not None} if rewriter.constraints else set()
        try:
            self.spark.sparkContext.setJobGroup(job.id, job.id, True)
            session = self._session(job)
            writes = only and only.kind in ("insert", "merge", "update", "delete") and job.targets
            first = self._version(job.targets[0]) if writes else None
            before = first if only and only.kind == "insert" else None
            beside = job.snapshot and only and only.kind in ("merge", "update", "delete")
            if beside:
                text = self._beside(session, job, text)
            elif job.snapshot and only:
                text = self._as_begun(job, text)
            try:
                frame = session.sql(text, job.parameters) if job.parameters else session.sql(text)
                result = self._collect(frame, job, only)
                if beside:
                    self._bring_back(session, job, result)
            finally:
                if beside:
                    session.sql(f"DROP TABLE IF EXISTS {self._clone(job)}")
            if before is not None and not result.columns:
                inserted = self._inserted(job.targets[0], before)
                result = counted(num_affected_rows=inserted, num_inserted_rows=inserted)
            if first is not None:
                self._note_commits(job, first)
            told = only and only.verb in ("describe", "desc") and job.tokens[1].is_word("history")
            if told and self.settings.operation_ids:
                result = told_by_service(result, self._commits.get(self._location_of(job, only), {}))
        except Exception as error:
            raise self._translate(error, job) from None
        finally:
            self._canceled.discard(job.id)
        for uses, constraints in rewriter.constraints:
            table = self.unity.resolve(uses.target, job.catalog, job.schema)
            if table not in existed:
                self.unity.remember(table, constraints)
        return result

    def _note_commits(self, job, first):
        """Who made the versions after `first`, by which statement: open source does not say."""
        user = OWNER_NAME if job.trusted else self.settings.client_id
        known = self._commits.setdefault(self._location(job.targets[0]), {})
        known.update(dict.fromkeys(range(first + 1, self._version(job.targets[0]) + 1), (user, job.id)))

    def _location_of(self, job, uses):
        return self._location(self.unity.resolve(uses.reads[0], job.catalog, job.schema))

    # Writers of one table at once, as with row-level concurrency: open source isolates by table, so a statement that
    # began before another one
    # wrote is executed on a clone of what it saw, and the rows that it made are added to the table.

    def snapshot(self, job):
        """The versions of the tables that a job writes, as they are now."""
        return {table: self._version(table) for table in job.targets}

    @staticmethod
    def _clone(job):
        return f"spark_catalog.{quote(job.targets[0][1])}.`_beside_{re.sub(r'[^A-Za-z0-9]', '_', job.id)}`"

    def _beside(self, session, job, text):
        """The text with a clone of the target's earlier version as its target."""
        table = job.targets[0]
        full = f"spark_catalog.{quote(table[1])}.{quote(table[2])}"
        session.sql(f"CREATE TABLE {self._clone(job)} SHALLOW CLONE {full} VERSION AS OF {job.snapshot[table]}")
        tokens = tokenize(text)
        target = find_uses(tokens[:-1] if tokens[-1].text == ";" else tokens).target
        return text[:tokens[target.first].start] + self._clone(job) + text[tokens[target.last - 1].end:]

    def _as_begun(self, job, text):
        """The text of an INSERT that reads its target, of the version that the statement began with."""
        table = job.targets[0]
        tokens = tokenize(text)
        uses = find_uses(tokens[:-1] if tokens[-1].text == ";" else tokens)
        for name in reversed(uses.reads):
            if name.lower() == uses.target.lower():
                end = tokens[name.last - 1].end
                text = f"{text[:end]} VERSION AS OF {job.snapshot[table]}{text[end:]}"
        return text

    def _bring_back(self, session, job, result):
        table, counts = job.targets[0], result.counts()
        if counts.get("num_affected_rows", 0) > counts.get("num_inserted_rows", 0):
            raise refuse(
                "DELTA_CONCURRENT_APPEND", "Rows were changed by a concurrent update. Please try the operation again."
            )
        full = f"spark_catalog.{quote(table[1])}.{quote(table[2])}"
        session.sql(
            f"INSERT INTO {full} SELECT * FROM {self._clone(job)} EXCEPT ALL SELECT * FROM {full} VERSION AS OF "
            f"{job.snapshot[table]}"
        )

    def cancel(self, id):
        """Interrupts the jobs of statement `id`, also those it has not started."""
        self._canceled.add(id)
        self.spark.sparkContext._jsc.sc().cancelJobGroupAndFutureJobs(id)

    def _session(self, job):
        session = self.spark.newSession()
        session.conf.set("spark.sql.session.timeZone", self.settings.time_zone)
        session.conf.set("spark.sql.ansi.enabled", str(self.settings.ansi_mode).lower())
        if self._has_schema(job.schema):
            session.catalog.setCurrentDatabase(job.schema)
        return session

    def _collect(self, frame, job, only):
        fields = frame.schema.fields
        if not fields:
            return Result()
        columns = [Column(f.name, sql_type(f.dataType)) for f in fields]
        if only is not None and only.verb == "show" and columns[0].name == "namespace":
            columns[0].name = "database" if len(columns) > 1 else "databaseName"
        plain = frame.toDF(*[f"c{i}" for i in range(len(fields))])
        if job.row_limit is not None and only is not None and only.kind == "select":
            plain = plain.limit(job.row_limit + 1)
        cells = plain.selectExpr(*[_cell_expression(f"c{i}", column.type_text) for i, column in enumerate(columns)])
        rows = [list(row) for row in cells.collect()]
        for at, column in enumerate(columns):
            if column.type_text in ("TIMESTAMP", "TIMESTAMP_NTZ"):
                for row in rows:
                    row[at] = iso_timestamp(row[at], column.type_text == "TIMESTAMP", self.settings.time_zone)
        if only is None or only.kind != "select":
            rows = [[self._public(cell) for cell in row] for row in rows]
        elif only.files:
            rows = [[cell and self.unity.public_text(cell) for cell in row] for row in rows]
        return Result(columns, rows)

    def _public(self, text):
        """Text of the engine in the user's names."""
        if text is None:
            return None
        catalog = self.unity.catalog
        text = text.replace("`spark_catalog`", quote(catalog)).replace("spark_catalog.", catalog + ".")
        return self.unity.public_text(catalog if text == "spark_catalog" else text)

    # Errors

    def _translate(self, error, job):
        if isinstance(error, (SqlError, Canceled)):
            return error
        if job.id in self._canceled:
            return Canceled()
        java = getattr(error, "_origin", None) or getattr(error, "java_exception", None)
        best = None
        while java is not None:
            found = _java_error(java)
            if best is None or best[0] is None or (best[0] in _WRAPPERS | {"_LEGACY"} and found[0]):
                best = found
            java = java.getCause()
            if best[0] is not None and best[0] not in _WRAPPERS | {"_LEGACY"}:
                break
        if best is None:
            best = (None, None, str(error))
        return self._sql_error(*best)

    def _sql_error(self, name, state, message):
        message = self._public(message or "").strip()
        if _TOO_LARGE in message:
            return SqlError("", "", INLINE_TEXT.format(26214400))
        disguised = _DISGUISED.search(message)
        if disguised:
            known = self._delta_errors.get(disguised.group(1), {})
            text = re.sub(
                r"<\w+>", "...", " ".join(known.get("message", ["An expression of the statement cannot be resolved."]))
            )
            return SqlError(disguised.group(1), known.get("sqlState", "42000"), text)
        message = message.split("\n\nDriver stacktrace")[0]
        text = message[len(name) + 3:] if name and message.startswith(f"[{name}] ") else message
        if name in (None, "_LEGACY"):
            return SqlError("", "", re.split(r";? ?line \d+ pos \d+;\n|;\n['+:\w]|\n== SQL", message)[0].rstrip("; "))
        # The logical plan that follows some messages is not part of what the service says.
        text = re.split(r";\n['+:\w]", text)[0]
        return SqlError(name, state_of(name) or state, text, "INTERNAL_ERROR" if state == "XX000" else "BAD_REQUEST")

    # Tables

    def _jcatalog(self):
        return self.spark._jsparkSession.sessionState().catalog()

    def _has_schema(self, schema):
        return self._jcatalog().databaseExists(schema)

    def _identifier(self, schema, table):
        jvm = self.spark._jvm
        return jvm.org.apache.spark.sql.catalyst.TableIdentifier(table, jvm.scala.Option.apply(schema))

    def _location(self, table):
        """The directory of a full table name, or None when there is no such table."""
        identifier = self._identifier(table[1], table[2])
        if not self._has_schema(table[1]) or not self._jcatalog().tableExists(identifier):
            return None
        return Path(self._jcatalog().getTableMetadata(identifier).location().getPath())

    def _version(self, table):
        """The newest version in the table's log, -1 without one."""
        location = self._location(table)
        versions = (
            [int(p.name[:20]) for p in (location / "_delta_log").glob("*.json") if p.name[:20].isdigit()]
            if location
            else []
        )
        return max(versions, default=-1)

    def _inserted(self, table, before):
        """Rows written by the commits after version `before`: open source answers no counts for an INSERT."""
        rows = 0
        for version in range(before + 1, self._version(table) + 1):
            log = self._location(table) / "_delta_log" / f"{version:020d}.json"
            for line in log.read_text().splitlines():
                commit = json.loads(line).get("commitInfo")
                if commit and commit.get("operation") in ("WRITE", "CREATE TABLE AS SELECT"):
                    rows += int(commit.get("operationMetrics", {}).get("numOutputRows", 0))
        return rows

    def schemas(self):
        return list(self._jcatalog().listDatabases().mkString(",").split(","))

    def tables(self, schema):
        if not self._has_schema(schema):
            return []
        return sorted(
            row[1] for row in self.spark.sql(f"SHOW TABLES IN spark_catalog.{quote(schema)}").collect() if not row[2]
        )

    def has_null(self, full, column):
        name = f"spark_catalog.{quote(full[1])}.{quote(full[2])}"
        return self.spark.sql(f"SELECT 1 FROM {name} WHERE {quote(column)} IS NULL LIMIT 1").count() > 0

    def set_nullable(self, full, column, nullable):
        """Open source cannot make a column NOT NULL again: a CHECK stands for it."""
        name = f"spark_catalog.{quote(full[1])}.{quote(full[2])}"
        check = quote(f"_not_null_{column}".lower())
        self.spark.sql(f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS {check}")
        if nullable:
            self._not_null.discard((*full[1:], column.lower()))
            self.spark.sql(f"ALTER TABLE {name} ALTER COLUMN {quote(column)} DROP NOT NULL")
        else:
            self._not_null.add((*full[1:], column.lower()))
            self.spark.sql(f"ALTER TABLE {name} ADD CONSTRAINT {check} CHECK ({quote(column)} IS NOT NULL)")

    def describe(self, schema, table):
        """Columns and properties of a table, or None."""
        if not self._has_schema(schema) or not self._jcatalog().tableExists(self._identifier(schema, table)):
            return None
        full = f"spark_catalog.{quote(schema)}.{quote(table)}"
        columns = [
            TableColumn(
                f.name,
                f.dataType.simpleString(),
                f.nullable and (schema, table, f.name.lower()) not in self._not_null,
                f.metadata.get("comment"), f.dataType.jsonValue()
            )
            for f in self.spark.table(full).schema.fields
        ]
        properties = {row[0]: row[1] for row in self.spark.sql(f"SHOW TBLPROPERTIES {full}").collect()}
        details = {row[0]: row[1] for row in self.spark.sql(f"DESCRIBE TABLE EXTENDED {full}").collect()}
        return Table(
            table, columns, properties, details.get("Comment") or None, str(self._location(("", schema, table)))
        )


def _read_delta_errors(jars):
    for jar in jars:
        if "delta-spark" in jar:
            with zipfile.ZipFile(jar) as archive:
                return json.loads(archive.read("error/delta-error-classes.json"))
    return {}


def _java_error(java):
    """Class, SQLSTATE and message of a Java exception; the class is None when it has none."""
    try:
        name, state = java.getCondition(), java.getSqlState()
    except Exception:
        name, state = None, None
    if name and name.startswith("_LEGACY"):
        name = "_LEGACY"
    return name, state, java.getMessage()


def sql_type(kind):
    """The SQL type of a Spark data type as the service writes it: upper case, field names as they are."""
    name = kind.typeName()
    if name == "array":
        return f"ARRAY<{sql_type(kind.elementType)}>"
    if name == "map":
        return f"MAP<{sql_type(kind.keyType)}, {sql_type(kind.valueType)}>"
    if name == "struct":
        return "STRUCT<" + ", ".join(f"{f.name}: {sql_type(f.dataType)}" for f in kind.fields) + ">"
    return kind.simpleString().upper()


def _cell_expression(name, type_text):
    base = type_text.split("<")[0]
    if base in ("ARRAY", "MAP", "STRUCT", "VARIANT"):
        return f"to_json({name})"
    if base == "BINARY":
        return f"lower(hex({name}))"
    if base == "TIMESTAMP":
        return f"concat(CAST(unix_micros({name}) AS STRING), '|', CAST({name} AS STRING))"
    return f"CAST({name} AS STRING)"


def iso_timestamp(text, with_zone, time_zone):
    """The text of a moment as a cell has it: in the warehouse's zone with its offset, at least milliseconds.

    A TIMESTAMP comes as `microseconds|2026-01-02 03:04:05.6`: the number when Python has the year."""
    if text is None:
        return None
    micros, _, text = text.rpartition("|")
    moment, _, fraction = text.partition(".")
    plain = f"{moment.replace(' ', 'T')}.{fraction.ljust(3, '0')}"
    if not with_zone:
        return plain
    if time_zone == "UTC" or not _MICROS[0] <= int(micros) <= _MICROS[1]:
        return plain + "Z"
    return timestamp_cell(datetime(1970, 1, 1) + timedelta(microseconds=int(micros)), zoneinfo.ZoneInfo(time_zone))


_MICROS = (-62135510400_000_000, 253402200000_000_000)  # the years 1 to 9999, but for a day at each end
