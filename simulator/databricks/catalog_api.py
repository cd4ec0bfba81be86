"""The reading side of the Unity Catalog REST API."""

import asyncio
import functools
import json

from aiohttp import web

from .errors import ApiError, error_info, invalid_parameter
from .pages import page

_TYPE_NAMES = {"bigint": "LONG", "smallint": "SHORT", "tinyint": "BYTE", "void": "NULL", "integer": "INT"}
_PAGE = 100


def _missing(kind, name):
    return ApiError(404, f"{kind.upper()}_DOES_NOT_EXIST", f"{kind.capitalize()} '{name}' does not exist.")


def column_info(column, position):
    base = column.type_text.split("(")[0].split("<")[0].split(" ")[0]
    out = {
        "name": column.name,
        "position": position,
        "type_text": column.type_text,
        "type_name": _TYPE_NAMES.get(base, base.upper()),
        "nullable": column.nullable,
        "type_json": json.dumps(
            {
                "name": column.name,
                "type": column.type_json,
                "nullable": column.nullable,
                "metadata": {"comment": column.comment} if column.comment else {},
            }
        ),
    }
    if column.comment:
        out["comment"] = column.comment
    if base == "decimal":
        precision, scale = column.type_text[8:-1].split(",")
        out["type_precision"], out["type_scale"] = int(precision), int(scale)
    return out


def routes(workspace):
    table = web.RouteTableDef()
    unity, engine, base = workspace.unity, workspace.engine, "/api/2.1/unity-catalog"

    def require(privilege, kind, target):
        if unity.lacks(privilege, target):
            workspace.weather.met("permission_details")
            raise ApiError(
                403,
                "PERMISSION_DENIED",
                f"User does not have {privilege} on {kind} '{target}'.",
                [
                    error_info(
                        "UC_PERMISSION_DENIED",
                        "unity-catalog.databricks.com",
                        privilege=privilege,
                        securable_type=kind.upper(),
                        securable_full_name=target,
                    )
                ],
            )

    async def answer_page(request, name, entries):
        """One page of a list; entries are (key, object or a function that makes it)."""
        wanted = request.query.get("max_results", "0")
        if not wanted.isdigit():
            raise invalid_parameter("max_results must be a number.")
        found, token = page(
            workspace, entries, min(int(wanted) or _PAGE, _PAGE), request.query.get("page_token", ""), request["number"]
        )
        out = {name: [entry for entry in [await e() if callable(e) else e for e in found] if entry is not None]}
        if token is not None:
            out["next_page_token"] = token
        return web.json_response(out)

    def check_catalog(name):
        if name.lower() != unity.catalog:
            raise _missing("catalog", name)
        return name.lower()

    async def check_schema(full):
        catalog, _, schema = full.lower().partition(".")
        check_catalog(catalog)
        if not schema or schema not in await asyncio.to_thread(engine.schemas):
            raise _missing("schema", full)
        return catalog, schema

    async def read_table(full):
        parts = full.lower().split(".")
        if len(parts) != 3:
            raise invalid_parameter(f"'{full}' is not a valid name of a table: it must have three parts.")
        check_catalog(parts[0])
        require("USE CATALOG", "Catalog", parts[0])
        require("USE SCHEMA", "Schema", f"{parts[0]}.{parts[1]}")
        require("SELECT", "Table", full.lower())
        return parts, await asyncio.to_thread(engine.describe, parts[1], parts[2])

    def table_info(parts, found, with_constraints=True):
        out = {"name": parts[2], "catalog_name": parts[0], "schema_name": parts[1], "full_name": ".".join(parts),
               "table_type": "MANAGED", "data_source_format": "DELTA", "owner": "admin@example.com",
               "columns": [column_info(column, i) for i, column in enumerate(found.columns)],
               "storage_location": f"file:{found.location}", "properties": found.properties}
        if found.comment:
            out["comment"] = found.comment
        keys = unity.constraints(tuple(parts)) if with_constraints else {}
        if keys:
            out["table_constraints"] = [
                {k["kind"].lower() + "_constraint": {"name": name, "child_columns": k["columns"]}}
                for name, k in keys.items()
            ]
        return out

    @table.get(base + "/catalogs")
    async def list_catalogs(request):
        return web.json_response(
            {"catalogs": [{"name": unity.catalog, "full_name": unity.catalog, "catalog_type": "MANAGED_CATALOG"}]}
        )

    @table.get(base + "/catalogs/{name}")
    async def get_catalog(request):
        name = check_catalog(request.match_info["name"])
        return web.json_response(
            {"name": name, "full_name": name, "catalog_type": "MANAGED_CATALOG", "owner": "admin@example.com"}
        )

    def schema_info(catalog, schema):
        return {
            "name": schema,
            "catalog_name": catalog,
            "full_name": f"{catalog}.{schema}",
            "owner": "admin@example.com",
        }

    @table.get(base + "/schemas")
    async def list_schemas(request):
        catalog = check_catalog(request.query.get("catalog_name", ""))
        names = sorted(await asyncio.to_thread(engine.schemas))
        return await answer_page(request, "schemas", [(s, schema_info(catalog, s)) for s in names])

    @table.get(base + "/schemas/{full}")
    async def get_schema(request):
        return web.json_response(schema_info(*await check_schema(request.match_info["full"])))

    @table.get(base + "/tables")
    async def list_tables(request):
        query = request.query
        catalog, schema = await check_schema(f"{query.get('catalog_name', '')}.{query.get('schema_name', '')}")

        async def info(name):
            found = await asyncio.to_thread(engine.describe, schema, name)
            return found and table_info([catalog, schema, name], found, with_constraints=False)

        names = await asyncio.to_thread(engine.tables, schema)
        return await answer_page(request, "tables", [(name, functools.partial(info, name)) for name in names])

    @table.get(base + "/tables/{full}/exists")
    async def table_exists(request):
        _, found = await read_table(request.match_info["full"])
        return web.json_response({"table_exists": found is not None})

    @table.get(base + "/tables/{full}")
    async def get_table(request):
        full = request.match_info["full"]
        parts, found = await read_table(full)
        if found is None:
            raise _missing("table", full)
        return web.json_response(table_info(parts, found))

    @table.get(base + "/volumes/{full}")
    async def get_volume(request):
        full = request.match_info["full"]
        parts = full.lower().split(".")
        if len(parts) != 3 or unity.volume(*parts) is None:
            raise _missing("volume", full)
        return web.json_response(
            {
                "name": parts[2],
                "catalog_name": parts[0],
                "schema_name": parts[1],
                "full_name": ".".join(parts),
                "volume_type": "MANAGED",
            }
        )

    return table
