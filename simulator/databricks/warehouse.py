"""The SQL warehouse: its states and its REST calls."""

import asyncio

from aiohttp import web

from .errors import ApiError, invalid_parameter


class Warehouse:
    def __init__(self, settings, clock):
        self.settings, self.clock = settings, clock
        self.state = "STOPPED" if settings.start_seconds > 0 else "RUNNING"
        self._started = asyncio.Event()
        if self.state == "RUNNING":
            self._started.set()
        self._task = None
        self.health = None  # what POST /_control/warehouse says instead
        self.on_stop = lambda how: None  # ends the statements
        self._shown = [(clock.now(), self.state)]  # (since when, state), rising
        self._used = clock.now()  # a statement began or ended
        self.idle = lambda: True  # does no statement run or wait?
        self.wake_ups, self._billed = 0, 0.0  # the meter: starts, and seconds until the last stop
        self._billed_from = clock.now() if self.state == "RUNNING" else None

    def _enter(self, state, when=None):
        when = self.clock.now() if when is None else when
        runs = state in ("STARTING", "RUNNING")
        if runs and self._billed_from is None:
            self._billed_from = when
            self.wake_ups += 1
        elif not runs and self._billed_from is not None:
            self._billed += when - self._billed_from
            self._billed_from = None
        self.state = state
        self._shown.append((when, state))

    def meter(self):
        """What is paid for: {"wake_ups", "seconds"} since the start of the simulator, or since reset_meter()."""
        self.auto_stop()
        running = self.clock.now() - self._billed_from if self._billed_from is not None else 0.0
        return {"wake_ups": self.wake_ups, "seconds": round(self._billed + running, 3)}

    def reset_meter(self):
        self.auto_stop()
        self.wake_ups, self._billed = 0, 0.0
        if self._billed_from is not None:
            self._billed_from = self.clock.now()

    def used(self):
        self.auto_stop()
        self._used = self.clock.now()

    def auto_stop(self):
        """Enters the stop that its idle time has led to meanwhile."""
        if self.settings.auto_stop_minutes == 0 or self.state != "RUNNING" or not self.idle():
            return
        when = self._used + self.settings.auto_stop_minutes * 60
        if when <= self.clock.now():
            self._started.clear()
            self._enter("STOPPED", when)

    def shown_state(self):
        """The state as it is told: `warehouse_lag` seconds late."""
        self.auto_stop()
        when = self.clock.now() - self.settings.warehouse_lag
        return next((state for at, state in reversed(self._shown) if at <= when), self._shown[0][1])

    async def running(self):
        """Returns once the warehouse runs; starts it when it does not."""
        self.used()
        self.start()
        await self._started.wait()

    def start(self):
        if self.state in ("STOPPED", "STOPPING"):
            self._enter("STARTING")
            self._task = asyncio.create_task(self._start())

    async def _start(self):
        await self.clock.sleep(self.settings.start_seconds)
        self._enter("RUNNING")
        self._used = self.clock.now()
        self._started.set()

    def stop(self):
        if self._task is not None:
            self._task.cancel()
        self._started.clear()
        self._enter("STOPPED")
        self.on_stop(self.settings.stop_ends)

    def force(self, state=None, health=None):
        """Takes a state or a health that nothing here leads to."""
        if state is not None:
            if self._task is not None:
                self._task.cancel()
            self._enter(state)
            (self._started.set if state == "RUNNING" else self._started.clear)()
        self.health = health

    def check(self, id):
        """Raises what the service says about a warehouse id that is not this one."""
        if id == self.settings.warehouse_id:
            return
        if not isinstance(id, str) or len(id) != 16 or any(c not in "0123456789abcdef" for c in id):
            raise invalid_parameter(f"{id} is not a valid endpoint id.")
        raise ApiError(404, "ENDPOINT_NOT_FOUND", f"SQL warehouse {id} does not exist at all in the database")

    def describe(self, host):
        state = self.shown_state()
        healthy = self.health or ({"status": "HEALTHY"} if state == "RUNNING" else {"status": "STATUS_UNSPECIFIED"})
        return {
            "id": self.settings.warehouse_id,
            "name": "simulator",
            "state": state,
            "cluster_size": "2X-Small",
            "min_num_clusters": 1,
            "max_num_clusters": 1,
            "num_clusters": 1 if state == "RUNNING" else 0,
            "num_active_sessions": 0,
            "auto_stop_mins": int(self.settings.auto_stop_minutes),
            "auto_resume": True,
            "creator_name": "admin@example.com",
            "enable_photon": True,
            "enable_serverless_compute": True,
            "warehouse_type": "PRO",
            "spot_instance_policy": "COST_OPTIMIZED",
            "channel": {"name": "CHANNEL_NAME_CURRENT"},
            "health": healthy,
            "jdbc_url": f"jdbc:spark://{host}:443/default;transportMode=http;ssl=1;AuthMech=3;"
            f"httpPath=/sql/1.0/warehouses/{self.settings.warehouse_id};",
            "odbc_params": {
                "hostname": host,
                "path": f"/sql/1.0/warehouses/{self.settings.warehouse_id}",
                "protocol": "https",
                "port": 443,
            },
        }


def routes(warehouse, privileges):
    table = web.RouteTableDef()

    @table.get("/api/2.0/sql/warehouses")
    async def list_warehouses(request):
        return web.json_response({"warehouses": [warehouse.describe(request.url.host)]})

    @table.get("/api/2.0/sql/warehouses/{id}")
    async def get_warehouse(request):
        warehouse.check(request.match_info["id"])
        return web.json_response(warehouse.describe(request.url.host))

    @table.post("/api/2.0/sql/warehouses/{id}/start")
    async def start_warehouse(request):
        warehouse.check(request.match_info["id"])
        if warehouse.state in ("DELETED", "DELETING"):
            raise invalid_parameter(f"The SQL warehouse {request.match_info['id']} was deleted.")
        warehouse.start()
        return web.json_response({})

    @table.post("/api/2.0/sql/warehouses/{id}/stop")
    async def stop_warehouse(request):
        warehouse.check(request.match_info["id"])
        if privileges.lacks("CAN MANAGE", request.match_info["id"]):
            raise ApiError(
                403,
                "PERMISSION_DENIED",
                f"principal does not have Manage permission on SQL warehouse {request.match_info['id']}.",
            )
        warehouse.stop()
        return web.json_response({})

    return table
