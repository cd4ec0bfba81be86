"""The control API under /_control: what tests and rehearsals need and the service does not have. JSON, without
authentication."""

import asyncio

from aiohttp import web

from .errors import ApiError, SqlError, invalid_parameter
from .sql_text import quote, read_name, tokenize
from .statement_api import read_json

_STATES = ("STARTING", "RUNNING", "STOPPING", "STOPPED", "DELETING", "DELETED")


def _refuse(error):
    return ApiError(400, "INVALID_PARAMETER_VALUE", str(error))


def routes(workspace):
    table = web.RouteTableDef()
    settings, faults, statements = workspace.settings, workspace.faults, workspace.statements

    @table.get("/_control/info")
    async def info(request):
        return web.json_response(
            {
                "host": str(request.url.origin()),
                "warehouse_id": settings.warehouse_id,
                "catalog": settings.catalog,
                "schema": settings.schema,
                "client_id": settings.client_id,
                "client_secret": settings.client_secret,
                "pat": settings.pat,
                "engine": workspace.engine_name,
                "workspace_id": workspace.workspace_id,
                "data": str(workspace.data),
                "warehouse_state": workspace.warehouse.shown_state(),
                "meter": workspace.warehouse.meter(),
                "now": workspace.clock.now(),
                "settings": settings.as_dict(),
            }
        )

    @table.post("/_control/faults")
    async def add_fault(request):
        try:
            return web.json_response(faults.add(await read_json(request)))
        except (ValueError, TypeError) as error:
            raise _refuse(error) from None
        except Exception as error:  # re.error has no common base with the above
            raise _refuse(error) from None

    @table.get("/_control/faults")
    async def list_faults(request):
        return web.json_response({"faults": list(faults.rules.values())})

    @table.get("/_control/faults/{id}")
    async def get_fault(request):
        return web.json_response(_rule(request))

    @table.delete("/_control/faults")
    async def delete_faults(request):
        faults.rules.clear()
        return web.json_response({})

    @table.delete("/_control/faults/{id}")
    async def delete_fault(request):
        return web.json_response(faults.rules.pop(_rule(request)["id"]))

    def _rule(request):
        id = request.match_info["id"]
        rule = faults.rules.get(int(id)) if id.isdigit() else None
        if rule is None:
            raise ApiError(404, "NOT_FOUND", f"no fault {id}")
        return rule

    def _since(request):
        since = request.query.get("since", "0")
        if not since.isdigit():
            raise invalid_parameter("since must be a number")
        return int(since)

    @table.get("/_control/statements")
    async def list_statements(request):
        since = _since(request)
        return web.json_response({"statements": [s.journal() for s in statements.all.values() if s.number > since]})

    @table.get("/_control/calls")
    async def list_calls(request):
        since = _since(request)
        return web.json_response({"calls": [call for call in workspace.calls if call["n"] > since]})

    @table.post("/_control/sql")
    async def run_sql(request):
        body = await read_json(request)
        if not isinstance(body.get("statement"), str):
            raise invalid_parameter("statement is missing")
        return web.json_response(await _direct(body["statement"]))

    async def _direct(text):
        try:
            result = await statements.direct(text)
        except SqlError as error:
            raise ApiError(400, error.error_class or "BAD_REQUEST", error.message) from None
        return {"columns": [column.name for column in result.columns], "rows": result.rows}

    @table.get("/_control/rows")
    async def rows(request):
        name = read_name(tokenize(request.query.get("table", "")), 0)
        if name is None:
            raise invalid_parameter("table is missing")
        return web.json_response(await _direct(f"SELECT * FROM {'.'.join(quote(part) for part in name.parts)}"))

    privileges = workspace.unity.privileges

    @table.get("/_control/privileges")
    async def list_privileges(request):
        return web.json_response({name: [{"privilege": p, "object": o} for p, o in sorted(entries)]
                                  for name, entries in (("deny", privileges.denied), ("grant", privileges.granted))})

    @table.post("/_control/privileges")
    async def set_privileges(request):
        body = await read_json(request)
        try:
            if (
                not body.keys() <= {"deny", "grant", "only", "revoke"}
                or not body.keys() & {"deny", "grant", "revoke"}
                or ("only" in body
                and "grant" not in body)
            ):
                raise KeyError
            entries = {
                name: [(entry["privilege"].upper(), entry["object"].lower()) for entry in body[name]]
                for name in ("deny", "grant", "revoke")
                if name in body
            }
        except (KeyError, TypeError, AttributeError):
            raise invalid_parameter(
                'expected {"deny": [{"privilege": "MODIFY", "object": "main.exact.t"}]}, "grant" of the same form with '
                '"only", "revoke" of the same form, or several of them'
            ) from None
        if "revoke" in entries:
            privileges.revoke(entries["revoke"])
        if "deny" in entries:
            privileges.deny(entries["deny"])
        if "grant" in entries:
            privileges.grant(entries["grant"], bool(body.get("only")))
        return await list_privileges(request)

    @table.post("/_control/warehouse")
    async def set_warehouse(request):
        body = await read_json(request)
        state = body.get("state")
        if (
            not body
            or not body.keys() <= {"state", "health"}
            or state not in (None, *_STATES)
            or not isinstance(body.get("health", {}), dict)
        ):
            raise invalid_parameter(
                f'expected {{"state": one of {", ".join(_STATES)}, "health": {{"status": "DEGRADED", "summary": …}}}}'
            )
        workspace.weather.met("warehouse_state")
        workspace.warehouse.force(state, body.get("health"))
        return web.json_response(workspace.warehouse.describe(request.url.host))

    @table.post("/_control/meter")
    async def reset_meter(request):
        workspace.warehouse.reset_meter()
        return web.json_response(workspace.warehouse.meter())

    @table.post("/_control/query")
    async def query_of_somebody(request):
        """A statement that another user of the warehouse runs: {"statement", "user"}."""
        body = await read_json(request)
        if not isinstance(body.get("statement"), str) or not isinstance(body.get("user"), str):
            raise invalid_parameter('expected {"statement": "SELECT 1", "user": "analyst@example.com"}')
        statement = statements.submit({"statement": body["statement"]}, body["user"])
        return web.json_response({"statement_id": statement.id})

    @table.get("/_control/weather")
    async def weather(request):
        return web.json_response(workspace.weather.report())

    @table.get("/_control/unity")
    async def unity(request):
        return web.json_response(
            {
                "tags": workspace.unity.tags,
                "grants": workspace.unity.grants,
                "constraints": {".".join(t): c for t, c in workspace.unity._constraints.items() if c},
            }
        )

    @table.post("/_control/config")
    async def config(request):
        values = await read_json(request)
        try:
            settings.update(values)
        except ValueError as error:
            raise _refuse(error) from None
        if values.keys() & {"weather", "weather_forms"}:
            workspace.weather.settle()
        return web.json_response(settings.as_dict())

    @table.post("/_control/clock")
    async def move_clock(request):
        body = await read_json(request)
        numbers = [value for value in body.values() if type(value) in (int, float) and abs(value) <= 10 * 365 * 86400]
        if not body or not body.keys() <= {"advance", "skew"} or len(numbers) < len(body):
            raise invalid_parameter('expected {"advance": seconds, "skew": seconds of the Date header alone}')
        workspace.clock.skew = float(body.get("skew", workspace.clock.skew))
        workspace.clock.advance(body.get("advance", 0))
        await asyncio.sleep(0)
        return web.json_response({"now": workspace.clock.now()})

    return table
