"""From the text of a statement to its result, whatever engine executes it."""

from dataclasses import dataclass, field

from .refusals import refuse
from .result import Result
from .sql_text import find_uses, split_statements, tokenize
from .unity import Unity, no_such_catalog, no_such_schema


@dataclass
class TableColumn:
    name: str
    type_text: str  # lower case, as in decimal(18,4)
    nullable: bool = True
    comment: str | None = None
    type_json: object = "string"  # the type in Spark's JSON form


@dataclass
class Table:
    name: str
    columns: list
    properties: dict = field(default_factory=dict)
    comment: str | None = None
    location: str = ""


@dataclass
class Job:
    """One statement on its way to the engine."""

    id: str
    text: str
    tokens: list
    statements: list  # [(tokens, Uses)]
    catalog: str  # defaults for unqualified names, lower case
    schema: str
    parameters: dict  # name -> text or None
    types: dict  # name -> SQL type, where it is not STRING
    targets: list = field(default_factory=list)  # full names of the tables that are written
    row_limit: int | None = None
    snapshot: object = (
        None  # what engine.snapshot() answered when the statement began to run, where others wrote meanwhile
    )
    trusted: bool = False  # privileges are not asked for


def read_job(unity: Unity, id, text, parameters=(), catalog=None, schema=None, **more):
    """Analyses a statement. Raises SqlError for an empty one and for a catalog that does not exist."""
    tokens = tokenize(text)
    if all(token.text == ";" for token in tokens):
        raise refuse("PARSE_EMPTY_STATEMENT", "Syntax error, unexpected empty statement.")
    catalog = (catalog or unity.catalog).lower()
    if catalog != unity.catalog:
        raise no_such_catalog(catalog)
    statements = [(s, find_uses(s)) for s in split_statements(tokens)]
    job = Job(id, text, tokens, statements, catalog, (schema or "default").lower(),
              {p["name"]: p.get("value") for p in parameters},
              {p["name"]: p.get("type") or "STRING" for p in parameters
               if (p.get("type") or "STRING").upper() != "STRING" or p.get("value") is None}, **more)
    for _, uses in statements:
        if uses.target is not None:
            table = unity.resolve(uses.target, job.catalog, job.schema)
            if table not in job.targets:
                job.targets.append(table)
    return job


def execute(job: Job, engine, unity: Unity) -> Result:
    """Executes a job to its end. Raises SqlError when the statement fails, Canceled when it was cancelled."""
    defaults = (job.catalog, job.schema)
    create_schema = len(job.statements) == 1 and job.statements[0][1].kind == "create" and job.statements[0][1].schemas
    known = engine.schemas()
    if job.schema not in known and not create_schema:
        raise no_such_schema(job.catalog, job.schema)
    touched = []
    for _, uses in job.statements:
        targets = [unity.resolve(uses.target, *defaults)] if uses.target else []
        reads = [unity.resolve(name, *defaults) for name in uses.reads if len(name.parts) <= 3]
        schemas = [unity.resolve(name, *defaults, what="schema") for name in uses.schemas]
        if not job.trusted:
            unity.check(uses, targets, reads, schemas, known)
        touched.append((uses, targets, schemas))
    if len(job.statements) == 1:
        result = unity.execute(job.text, job.statements[0][0], defaults, engine, job.trusted)
        if result is not None:
            return result
    result = engine.execute(job)
    for uses, targets, schemas in touched:
        unity.note_owner(uses, targets, schemas, job.trusted)
        if uses.kind == "drop" and targets:
            unity.forget(targets[0])
    return result
