"""The Statement Execution API and the query history, as HTTP."""

import base64
import json
import re
from datetime import UTC, datetime

from aiohttp import web

from .errors import ApiError, invalid_parameter
from .memory_types import well_formed
from .statements import TERMINAL

_REFUSED_TYPES = re.compile(r"^\s*(ARRAY|MAP|STRUCT|VARIANT|OBJECT)\b", re.I)
_TYPE = re.compile(r"^\s*[A-Za-z_]+(\s*\(\s*\d+\s*(,\s*\d+\s*)?\))?(\s+[A-Za-z_ ]+)?\s*$")
_WALK = ("STARTED", "COMPILING", "COMPILED", "RUNNING")
_HISTORY_STATES = {"PENDING": "QUEUED", "RUNNING": "RUNNING", "SUCCEEDED": "FINISHED", "CLOSED": "FINISHED",
                   "FAILED": "FAILED", "CANCELED": "CANCELED"}
_MAX_RANGE_MS = 30 * 24 * 3600 * 1000


def read_request(body, settings):
    """Checks the body of POST /sql/statements. Returns the seconds to wait. Raises ApiError 400 for what the service
    refuses."""
    statement = body.get("statement")
    if not isinstance(statement, str) or not statement.strip():
        raise invalid_parameter("The 'statement' field is required and must not be empty.")
    if len(statement.encode()) > settings.statement_limit:
        raise invalid_parameter(f"The statement is too large: at most {settings.statement_limit} bytes are allowed.")
    if not body.get("warehouse_id"):
        raise invalid_parameter("The 'warehouse_id' field is required.")
    if body.get("on_wait_timeout", "CONTINUE") not in ("CONTINUE", "CANCEL"):
        raise invalid_parameter("on_wait_timeout must be CONTINUE or CANCEL.")
    if body.get("disposition", "INLINE") not in ("INLINE", "INLINE_OR_EXTERNAL_LINKS") or (
            body.get("disposition") == "INLINE_OR_EXTERNAL_LINKS" and settings.external_links == "refused"):
        raise invalid_parameter("This workspace serves disposition INLINE only.")
    if body.get("format", "JSON_ARRAY") != "JSON_ARRAY":
        raise invalid_parameter("With disposition INLINE the format must be JSON_ARRAY.")
    for limit in ("row_limit", "byte_limit"):
        value = body.get(limit)
        if isinstance(value, str) and value.isdigit():
            value = body[limit] = int(value)
        if value is not None and (type(value) is not int or value < 1):
            raise invalid_parameter(f"{limit} must be a positive integer.")
    _check_tags(body.get("query_tags") or [])
    _check_parameters(body.get("parameters") or [], settings)
    return _wait_seconds(body.get("wait_timeout", "10s"))


def _wait_seconds(text):
    match = re.fullmatch(r"(\d+)s", text) if isinstance(text, str) else None
    seconds = int(match.group(1)) if match else -1
    if seconds != 0 and not 5 <= seconds <= 50:
        raise invalid_parameter(f"wait_timeout must be 0s or between 5s and 50s, but was {text}.")
    return seconds


def _check_tags(tags):
    keys = [tag.get("key") for tag in tags]
    if len(tags) > 20 or len(set(keys)) != len(keys):
        raise invalid_parameter("query_tags takes at most 20 tags, one value per key.")


def _check_parameters(parameters, settings):
    if len(parameters) > settings.parameter_limit:
        raise ApiError(
            400,
            "BAD_REQUEST",
            f"Parameterized query has too many parameters: {len(parameters)} parameters were given but "
            f"the limit is {settings.parameter_limit}.",
        )
    names = set()
    for parameter in parameters:
        name, kind, value = parameter.get("name"), parameter.get("type"), parameter.get("value")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise invalid_parameter(f"Parameter names must be identifiers without a colon, but found: {name}.")
        if name in names:
            raise invalid_parameter(f"The parameter {name} was given twice.")
        names.add(name)
        if value is not None and not isinstance(value, str):
            raise invalid_parameter(f"The value of parameter {name} must be a string.")
        if kind is not None and _REFUSED_TYPES.match(kind):
            raise invalid_parameter(f"Parameter {name} has type {kind}; complex types are not supported as parameters.")
        if kind is not None and not _TYPE.match(kind):
            raise invalid_parameter(f"Parameter {name} has an unknown type: {kind}.")


def answer(statement, state):
    """The JSON of a statement as seen in `state`."""
    out = {"statement_id": statement.id, "status": {"state": state}}
    if state == "FAILED":
        error = statement.error
        out["status"]["error"] = {"error_code": error.code, "message": error.message}
        if error.sql_state:
            out["status"]["sql_state"] = error.sql_state
    if state == "SUCCEEDED":
        out["manifest"] = statement.chunks.manifest()
        out["result"] = statement.chunks.chunk(statement.id, 0)
    return out


def routes(workspace):
    table = web.RouteTableDef()
    statements, settings, clock, weather = workspace.statements, workspace.settings, workspace.clock, workspace.weather

    async def post(request):
        body = await read_json(request)
        wait = read_request(body, settings)
        _keep_well_formed(body, weather)
        _defaults_of_session(body)
        workspace.warehouse.check(body["warehouse_id"])
        if workspace.unity.lacks("CAN USE", settings.warehouse_id):
            raise ApiError(
                403,
                "PERMISSION_DENIED",
                f"You do not have permission to use the SQL warehouse {settings.warehouse_id}.",
            )
        if workspace.warehouse.state in ("DELETED", "DELETING"):
            raise invalid_parameter(f"The SQL warehouse {settings.warehouse_id} was deleted.")
        if settings.start_form == "503" and workspace.warehouse.state != "RUNNING":
            workspace.warehouse.start()
            weather.met("start_503")
            raise ApiError(
                503,
                "TEMPORARILY_UNAVAILABLE",
                "The service at this path is temporarily unavailable. Please try again later.",
            )
        statement = statements.submit(body, request["user"], request.get("statement_faults", ()))
        if statement.fault("forget"):
            statement.forgotten = True
        request["statement"] = statement
        if "accepted" in request:
            request["accepted"].set()
        if wait == 0:
            return shown(request, statement, "PENDING")
        if not await clock.wait(statement.done, wait) and body.get("on_wait_timeout") == "CANCEL":
            statements.cancel(statement)
            await clock.wait(statement.done, 10)
        return shown(request, statement, statement.state)

    def shown(request, statement, state):
        """The answer about a statement: with CLOSED where its result is to come so, in the state that a fault wants."""
        out = answer(statement, state)
        if state == "SUCCEEDED":
            _put_elsewhere(request, out, statement)
            if statement.closes and "external_links" not in out["result"]:
                weather.met("close_on_answer")
                out["status"]["state"] = "CLOSED"
                statement.forgotten = True
        rule = next((r for r in request.get("statement_faults", ()) if r["action"] == "state"), None)
        if rule is None and weather.drawn("state", request["number"]):
            rule = {"state": "PREPARING"}
        if rule is not None:
            weather.met("state")
            out = {"statement_id": statement.id, "status": {"state": rule["state"]}}
        return web.json_response(out)

    def _put_elsewhere(request, out, statement):
        """INLINE_OR_EXTERNAL_LINKS: where the server chooses to put the first chunk."""
        if statement.request.get("disposition") != "INLINE_OR_EXTERNAL_LINKS" or "data_array" not in out["result"]:
            return
        rows = out["result"].pop("data_array") if settings.external_links != "inline" else None
        if settings.external_links == "links":
            out["result"] = {"external_links": [_link(request, statement, 0)]}
        elif settings.external_links == "attachment":
            out["result"]["attachment"] = base64.b64encode(json.dumps(rows).encode()).decode()
        if rows is not None:
            weather.met("external_links")

    def _link(request, statement, index):
        part = statement.chunks.chunk(statement.id, index)
        rows = part.pop("data_array")
        part["byte_count"] = len(json.dumps(rows))
        return {
            **part,
            "external_link": f"{request.url.origin()}/_storage/{statement.id}/{index}",
            "http_headers": {},
            "expiration": datetime.fromtimestamp(clock.now() + 900, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        }

    @table.get(r"/_storage/{id}/{index:\d+}")
    async def storage(request):
        """A chunk behind its presigned address: refused with a token, as cloud storage does."""
        if request.headers.get("Authorization"):
            return web.Response(
                text="<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>",
                status=400,
                content_type="application/xml",
            )
        statement, index = statements.all.get(request.match_info["id"]), int(request.match_info["index"])
        if statement is None or statement.chunks is None or index >= len(statement.chunks.bounds):
            return web.Response(
                text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>",
                status=403,
                content_type="application/xml",
            )
        return web.json_response(statement.chunks.chunk(statement.id, index)["data_array"])

    for path in ("/api/2.0/sql/statements", "/api/2.0/sql/statements/"):
        table.post(path)(post)

    async def get_statement(request):
        statement = statements.get(request.match_info["id"])
        state = statement.state_at(clock.now() - settings.status_lag) or "PENDING"
        return shown(request, statement, statement.state if statement.state == "CLOSED" else state)

    async def get_chunk(request):
        statement = statements.get(request.match_info["id"])
        index = request.match_info["index"]
        if statement.state == "SUCCEEDED" and weather.drawn("result_gone", request["number"]):
            statements.close(statement)
        if statement.state == "CLOSED" and settings.result_gone == "404":
            weather.met("result_gone")
            raise ApiError(404, "NOT_FOUND", f"The result of the statement {statement.id} was not found.")
        if statement.state != "SUCCEEDED":
            raise ApiError(
                400, "BAD_REQUEST", f"The result of statement {statement.id} is not available: it is {statement.state}."
            )
        if not index.isdigit() or int(index) >= max(1, len(statement.chunks.bounds)):
            raise invalid_parameter(f"The result has no chunk {index}.")
        part = statement.chunks.chunk(statement.id, int(index))
        if settings.require_row_offset and request.query.get("row_offset") != str(part.get("row_offset", 0)):
            weather.met("require_row_offset")
            raise invalid_parameter(f"row_offset is required: chunk {index} begins at row {part.get('row_offset', 0)}.")
        if (
            settings.external_links == "links"
            and statement.request.get("disposition") == "INLINE_OR_EXTERNAL_LINKS"
            and part
        ):
            return web.json_response({"external_links": [_link(request, statement, int(index))]})
        return web.json_response(part)

    async def cancel_statement(request):
        statements.cancel(statements.get(request.match_info["id"]))
        return web.json_response({})

    async def close_statement(request):
        statements.close(statements.get(request.match_info["id"]))
        return web.json_response({})

    for method, path, handler in (
        ("get", "", get_statement),
        ("get", "/result/chunks/{index}", get_chunk),
        ("post", "/cancel", cancel_statement),
        ("delete", "", close_statement),
    ):
        for slash in ("", "/"):
            getattr(table, method)("/api/2.0/sql/statements/{id:[^/]+}" + path + slash)(handler)

    sessions = {}  # id -> (catalog, schema); the drivers open one, nothing but these defaults lives in it

    @table.post("/api/2.0/sql/sessions")
    async def open_session(request):
        body = await read_json(request)
        workspace.warehouse.check(body.get("warehouse_id"))
        session_id = f"01f0{len(sessions):04x}-0000-1000-8000-{request['number']:012x}"
        sessions[session_id] = (body.get("catalog"), body.get("schema"))
        return web.json_response({"session_id": session_id})

    @table.delete("/api/2.0/sql/sessions/{id}")
    async def close_session(request):
        if sessions.pop(request.match_info["id"], None) is None:
            raise ApiError(404, "NOT_FOUND", f"The session {request.match_info['id']} was not found.")
        return web.json_response({})

    def _defaults_of_session(body):
        if body.get("session_id") is None:
            return
        if body["session_id"] not in sessions:
            raise ApiError(404, "NOT_FOUND", f"The session {body['session_id']} was not found.")
        for name, value in zip(("catalog", "schema"), sessions[body["session_id"]]):
            body[name] = body.get(name) or value

    @table.get("/api/2.0/sql/history/queries")
    async def history(request):
        return web.json_response(list_history(workspace, request))

    return table


def _keep_well_formed(body, weather):
    """Lone surrogates in texts become `?`, as the service keeps them."""
    for holder, name in [(body, "statement")] + [(p, "value") for p in body.get("parameters") or []]:
        text = holder.get(name)
        if isinstance(text, str) and well_formed(text) != text:
            weather.met("lone_surrogate")
            holder[name] = well_formed(text)


async def read_json(request):
    """The body as a JSON object. Raises ApiError 400 MALFORMED_REQUEST."""
    try:
        body = json.loads(await request.read() or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise ApiError(400, "MALFORMED_REQUEST", "Could not parse request object: expected a JSON object.")
    return body


def _read_filter(query):
    """The history filter, whether written with dots or as one JSON object."""
    found = {}
    if "filter_by" in query:
        try:
            found = json.loads(query["filter_by"])
        except ValueError:
            raise ApiError(400, "MALFORMED_REQUEST", "filter_by is not JSON.") from None
    for name in ("warehouse_ids", "statuses", "statement_ids", "user_ids"):
        if f"filter_by.{name}" in query:
            found[name] = query.getall(f"filter_by.{name}")
    for edge in ("start_time_ms", "end_time_ms"):
        value = query.get(f"filter_by.query_start_time_range.{edge}")
        if value is not None:
            found.setdefault("query_start_time_range", {})[edge] = value
    return found


def list_history(workspace, request):
    """One page of the query history, newest first, as it was `history_delay` seconds ago."""
    settings, clock, weather, query = workspace.settings, workspace.clock, workspace.weather, request.query
    repeated = any(r["action"] == "repeat_page" for r in request.get("fault_rules", ()))
    wanted, size = _read_filter(query), query.get("max_results", "100")
    if not size.isdigit() or not 1 <= int(size) <= 1000:
        raise invalid_parameter("max_results must be between 1 and 1000.")
    span = wanted.get("query_start_time_range") or {}
    first, last = int(span.get("start_time_ms") or 0), int(span.get("end_time_ms") or clock.now() * 1000 + 1)
    if first and last - first > _MAX_RANGE_MS:
        raise invalid_parameter("The time range of query_start_time_range must be at most 30 days.")
    before = None
    if query.get("page_token") and repeated:
        weather.met("repeat_page")
    elif query.get("page_token"):
        try:
            before = int(base64.urlsafe_b64decode(query["page_token"]).decode())
        except ValueError:
            raise invalid_parameter("page_token is not one of this service.") from None
    when, found = clock.now() - settings.history_delay, []
    sees_own = all(workspace.unity.privileges.lacks(privilege, settings.warehouse_id)
                   for privilege in ("CAN MANAGE", "CAN MONITOR", "CAN VIEW"))
    for statement in reversed(list(workspace.statements.all.values())):
        if statement.started * 1000 < first - 1:
            break
        state = statement.state_at(when)
        if statement.user != request["user"] and (settings.history_scope == "own" or sees_own):
            weather.met("history_scope")
            continue
        if state is None or (before is not None and statement.number >= before):
            continue
        entry = _history_entry(statement, state, settings)
        if settings.history_text == "redacted":
            entry["query_text"] = "<Redacted>"
        if settings.history_states and state == "RUNNING":
            entry["status"] = _WALK[min(statement.listed, len(_WALK) - 1)]
            statement.listed += 1
            weather.met("history_states")
        if ((wanted.get("warehouse_ids") and settings.warehouse_id not in wanted["warehouse_ids"])
                or (wanted.get("statuses") and entry["status"] not in wanted["statuses"])
                or (wanted.get("statement_ids") and statement.id not in wanted["statement_ids"])
                or (wanted.get("user_ids") and str(entry["user_id"]) not in map(str, wanted["user_ids"]))
                or not first <= entry["query_start_time_ms"] <= last):
            continue
        found.append((statement.number, entry))
    page, more = found[:int(size)], len(found) > int(size)
    if repeated and query.get("page_token"):
        return {"has_next_page": True, "res": [entry for _, entry in page], "next_page_token": query["page_token"]}
    out = {"has_next_page": more, "res": [entry for _, entry in page]}
    if more:
        out["next_page_token"] = base64.urlsafe_b64encode(str(page[-1][0]).encode()).decode()
    return out


def _history_entry(statement, state, settings):
    started = int(statement.started * 1000)
    entry = {
        "query_id": statement.id,
        "query_text": statement.text,
        "status": _HISTORY_STATES[state],
        "query_start_time_ms": started,
        "warehouse_id": settings.warehouse_id,
        "endpoint_id": settings.warehouse_id,
        "user_id": 7001,
        "user_name": statement.user,
        "executed_as_user_id": 7001,
        "executed_as_user_name": statement.user,
        "is_final": state in TERMINAL,
        "lookup_key": statement.id,
        "client_application": "Statement Execution API",
        "plans_state": "EXISTS",
        "statement_type": _statement_type(statement),
    }
    if statement.request.get("query_tags"):
        entry["query_tags"] = statement.request["query_tags"]
    if state in TERMINAL:
        entry["query_end_time_ms"] = entry["execution_end_time_ms"] = int(statement.ended * 1000)
        entry["duration"] = entry["query_end_time_ms"] - started
        entry["rows_produced"] = len(statement.chunks.result.rows) if statement.chunks else 0
    if state == "FAILED":
        entry["error_message"] = statement.error.message
    return entry


def _statement_type(statement):
    verb = statement.verb.upper()
    known = {
        "SELECT",
        "INSERT",
        "MERGE",
        "UPDATE",
        "DELETE",
        "CREATE",
        "ALTER",
        "DROP",
        "DESCRIBE",
        "SHOW",
        "USE",
        "SET",
        "COPY",
        "OPTIMIZE",
        "TRUNCATE",
        "GRANT",
        "REVOKE",
        "EXPLAIN",
    }
    return verb if verb in known else "SELECT" if verb in ("WITH", "VALUES", "FROM") else "OTHER"
