"""The workspace as one HTTP server."""

import collections
import itertools
import logging
import time
import uuid

from aiohttp import web

from . import catalog_api, control, faults, files, statement_api, tokens, warehouse, wire
from .clock import Clock
from .errors import ApiError
from .statements import Statements
from .unity import Unity
from .weather import Weather

_BODY_LIMIT = 256 * 1024 * 1024
_PUBLIC = ("/.well-known/", "/oidc/", "/_control/", "/_storage/")
log = logging.getLogger("databricks-workspace")


class Workspace:
    """Everything that one workspace consists of."""

    workspace_id = "6051921418418893"
    account_id = "11111111-2222-4333-8444-555555555555"

    def __init__(self, settings, data, seed, make_engine, engine_name):
        self.settings, self.data, self.engine_name = settings, data, engine_name
        self.clock = Clock()
        self.weather = Weather(settings, seed)
        self.unity = Unity(settings, data)
        self.unity.met = self.weather.met
        self.engine = make_engine(self.unity)
        self.warehouse = warehouse.Warehouse(settings, self.clock)
        self.tokens = tokens.Tokens(settings, self.clock)
        self.statements = Statements(settings, self.clock, self.engine, self.unity, self.warehouse, self.weather)
        self.warehouse.on_stop = self.statements.end_running
        self.warehouse.idle = self.statements.none_open
        self.faults = faults.Faults()
        self.calls, self._call_numbers = collections.deque(maxlen=100000), itertools.count(1)
        self._request_numbers = itertools.count(1)

    def application(self):
        app = web.Application(
            client_max_size=_BODY_LIMIT,
            middlewares=[wire.middleware(self), self._journal, faults.middleware(self), self._authenticate],
        )
        app.on_response_prepare.append(wire.on_prepare(self))
        for part in (statement_api, tokens, files, catalog_api, control):
            app.add_routes(part.routes(self))
        app.add_routes(warehouse.routes(self.warehouse, self.unity.privileges))
        return app

    def next_request(self):
        return next(self._request_numbers)

    @web.middleware
    async def _journal(self, request, handler):
        """Gives every request its id, turns errors into their bodies and writes the call down."""
        request["request_id"] = str(uuid.uuid4())
        started, at = time.monotonic(), self.clock.now()
        try:
            response = await handler(request)
        except ApiError as error:
            response = error.response(request)
        except web.HTTPNotFound:
            response = web.json_response(
                {"error_code": "ENDPOINT_NOT_FOUND", "message": f"No API found for '{request.method} {request.path}'"},
                status=404,
            )
        except web.HTTPMethodNotAllowed as error:
            response = web.json_response(
                {"error_code": "ENDPOINT_NOT_FOUND", "message": f"No API found for '{request.method} {request.path}'"},
                status=404,
                headers={"Allow": error.headers.get("Allow", "")},
            )
        except web.HTTPRequestEntityTooLarge:
            response = web.json_response(
                {"error_code": "BAD_REQUEST", "message": "The request is too large."}, status=400
            )
        except web.HTTPException:
            raise
        except ConnectionResetError:  # who asked has gone in the middle of the request: nobody reads an answer
            response = web.Response(status=400)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            response = web.json_response(
                {"error_code": "INTERNAL_ERROR", "message": "simulator: see its standard error"}, status=500
            )
        if not response.prepared:
            response.headers["x-request-id"] = request["request_id"]
        if not request.path.startswith("/_control/"):
            statement = request.get("statement")
            self.calls.append({"n": next(self._call_numbers), "at": at, "method": request.method, "path": request.path,
                               "query": dict(request.query), "status": response.status,
                               "bytes": request.content.total_bytes,
                               "cut": request.transport is None or request.transport.is_closing(),
                               "ms": round((time.monotonic() - started) * 1000), "request_id": request["request_id"],
                               "statement_id": statement.id if statement else None,
                               "user_agent": request.headers.get("User-Agent", "")})
        return response

    @web.middleware
    async def _authenticate(self, request, handler):
        if not request.path.startswith(_PUBLIC) and not request.path.endswith("/oauth2/token"):
            user, refused = self.tokens.user(request.headers.get("Authorization"))
            if refused is not None:
                return refused
            request["user"] = user
        return await handler(request)
