"""The life of statements: accepted, waiting, running, ended, forgotten."""

import asyncio
import hashlib
import itertools
import math
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from . import forms
from .engine import execute, read_job
from .engine_spark import INLINE_TEXT
from .errors import ApiError, Canceled, SqlError
from .refusals import refuse
from .result import Chunks, Result

TERMINAL = ("SUCCEEDED", "FAILED", "CANCELED", "CLOSED")


class Statement:
    def __init__(self, number, id, text, request, user, clock):
        self.number, self.id, self.text, self.request, self.user, self.clock = number, id, text, request, user, clock
        self.started = clock.now()
        self.ended = None
        self.states = [(self.started, "PENDING")]  # (when, state), rising
        self.done = asyncio.Event()
        self.error = None
        self.chunks = None
        self.counts = {}
        self.cancel_asked = asyncio.Event()
        self.forgotten = False
        self.faults = []  # what POST /_control/faults wants to happen to it
        self.executing = False
        self.polled = self.started  # when somebody last asked for it
        self.run_since = None
        self.listed = 0  # how often the history showed it running
        self.ends_as = None  # the error with which it is ended from outside; "canceled" for none
        self.closes = False  # whether its result comes with CLOSED
        self.verb = ""
        self.sizes = {p["name"]: len(p.get("value") or "") for p in request.get("parameters") or []}

    @property
    def state(self):
        return self.states[-1][1]

    def state_at(self, when):
        """The state that was true at `when`; None before it existed."""
        return next((state for at, state in reversed(self.states) if at <= when), None)

    def enter(self, state):
        self.states.append((self.clock.now(), state))
        if state == "RUNNING":
            self.run_since = self.clock.now()
        if state in TERMINAL and self.ended is None:
            self.ended = self.clock.now()
            self.done.set()

    def fault(self, action):
        return next((f for f in self.faults if f["action"] == action), None)

    def journal(self):
        return {
            "n": self.number, "at": self.started, "id": self.id, "text": self.text, "state": self.state,
            "parameters": self.sizes,
            "ms": round(((self.ended or self.clock.now()) - self.started) * 1000), "counts": self.counts,
            "error": self.error and self.error.message,
        }


class Statements:
    """All statements of the workspace and the slots in which they run. Event loop only."""

    def __init__(self, settings, clock, engine, unity, warehouse, weather):
        self.settings, self.clock, self.engine, self.unity, self.warehouse = settings, clock, engine, unity, warehouse
        self.weather = weather
        self.all = {}
        self._numbers = itertools.count(1)
        self.threads = ThreadPoolExecutor(64, "statement")
        self._running = 0
        self._slot_free = asyncio.Condition()
        self._table_locks, self._commits = {}, {}  # by table: its lock; how often it was written
        self._tasks = set()

    def _new_id(self, number):
        digest = hashlib.sha256(f"{self.weather.seed}:{number}:{self.clock.now()}".encode()).hexdigest()
        if self.settings.id_form == "plain":
            self.weather.met("id_form")
            return f"01f{digest[:29]}"
        return f"01f{digest[:5]}-{digest[5:9]}-1{digest[9:12]}-{digest[12:16]}-{digest[16:28]}"

    def submit(self, request, user, faults=()):
        """Accepts a statement and starts it in the background."""
        waiting = sum(
            s.ended is None and s.state == "PENDING"
            for s in list(self.all.values())[-self.settings.queue_limit - 2000 :]
        )
        if waiting >= self.settings.queue_limit:
            self.weather.met("queue_limit")
            raise ApiError(
                429,
                "RESOURCE_EXHAUSTED",
                f"The warehouse {self.settings.warehouse_id} has {waiting} queued statements; at most "
                f"{self.settings.queue_limit} are allowed.",
            )
        number = next(self._numbers)
        statement = Statement(number, self._new_id(number), request["statement"], request, user, self.clock)
        statement.faults = list(faults) or self._drawn(number)
        self.all[statement.id] = statement
        task = asyncio.create_task(self._run(statement))
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return statement

    def _over(self, task):
        self.warehouse.used()
        self._tasks.discard(task)

    def _drawn(self, number):
        """The rules that the settings and the weather draw for a statement."""
        if self.settings.scheduling and self.weather.drawn("scheduling", number, self.settings.scheduling):
            return [{"action": "scheduling"}]
        return self.weather.statement_rules(number)

    def none_open(self):
        return not self._tasks

    def end_running(self, how):
        """Ends what runs or waits, as a warehouse that is stopped does."""
        for statement in self.all.values():
            if statement.ended is None and statement.ends_as is None:
                self._end(statement, how)

    def _end(self, statement, how):
        self.weather.met("warehouse_stopped")
        text = f"The SQL warehouse {self.settings.warehouse_id} was stopped while the statement was running."
        statement.ends_as = {
            "failed": forms.make("", "", text, "BAD_REQUEST"),
            "unknown": forms.make("", "", text, "UNKNOWN"),
            "canceled": "canceled",
        }[how]
        self.cancel(statement)

    def get(self, id):
        """The statement `id`. Raises the 404 of an id that is unknown or was forgotten."""
        statement = self.all.get(id)
        if statement is not None:
            self._age(statement)
            statement.polled = self.clock.now()
        if statement is None or statement.forgotten:
            raise ApiError(404, "NOT_FOUND", f"The statement {id} was not found.")
        return statement

    def _age(self, statement):
        if statement.ended is None:
            return
        age = self.clock.now() - statement.ended
        if statement.state == "SUCCEEDED" and age > self.settings.result_retention:
            statement.enter("CLOSED")
            statement.chunks = None
        if age > self.settings.statement_retention:
            statement.forgotten = True

    def close(self, statement):
        """Ends a statement as DELETE does: its result is gone."""
        if statement.ended is None:
            self.cancel(statement)
        elif statement.state == "SUCCEEDED":
            statement.enter("CLOSED")
            statement.chunks = None

    def cancel(self, statement):
        """Asks for cancellation; the statement may end first."""
        if statement.ended is None and not statement.cancel_asked.is_set():
            statement.cancel_asked.set()
            if statement.executing:
                self.threads.submit(self.engine.cancel, statement.id)

    # Running

    async def _run(self, statement):
        try:
            result = await self._unless_canceled(statement)
            if result is None:
                raise Canceled()
            after = statement.fault("fail_after")
            if after is not None:
                raise _fault_error(after)
            if self._canceled(statement, after=True):
                raise Canceled()
            self._finish(statement, result)
        except SqlError as error:
            self._fail(statement, error)
        except Canceled:
            if isinstance(statement.ends_as, SqlError):
                self._fail(statement, statement.ends_as)
            else:
                statement.enter("CANCELED")
        except Exception as error:  # what the simulator itself did wrong must be seen, not waited for
            statement.error = SqlError("INTERNAL_ERROR", "XX000", f"simulator: {error!r}", "INTERNAL_ERROR")
            statement.enter("FAILED")
            raise
        finally:
            statement.request.pop("parameters", None)  # megabytes that nobody asks for again

    def _fail(self, statement, error):
        if error.error_class.startswith(("CAST_INVALID_INPUT", "NUMERIC_", "CAST_OVERFLOW")):
            self.weather.met("bad_value")
        elif error.error_class.startswith("DELTA_FEATURES_REQUIRE"):
            self.weather.met("table_feature")
        elif error.error_class.startswith(_DDL_REFUSALS):
            self.weather.met("ddl_refused")
        statement.error = forms.show(
            error, statement.text, self.settings, self.weather.rng("error_form", statement.number), self.weather.met
        )
        statement.enter("FAILED")

    def _canceled(self, statement, after):
        rule = statement.fault("canceled")
        if rule is None or bool(rule.get("after")) != after:
            return False
        self.weather.met("canceled")
        return True

    async def _watch(self, statement):
        """Ends a statement that nobody asks for or that runs for too long."""
        while True:
            now, settings = self.clock.now(), self.settings
            left = [(statement.polled + settings.poll_keepalive - now, "poll_keepalive")]
            if statement.run_since is not None:
                left.append((statement.run_since + settings.statement_timeout - now, "statement_timeout"))
            soonest, form = min(left)
            if soonest <= 0:
                self.weather.met(form)
                if form == "statement_timeout":
                    statement.ends_as = forms.make(
                        "",
                        "",
                        f"The statement was ended: it ran longer than STATEMENT_TIMEOUT, "
                        f"{settings.statement_timeout:g} seconds.",
                        "DEADLINE_EXCEEDED",
                    )
                else:
                    statement.ends_as = "canceled"
                self.cancel(statement)
                return
            await self.clock.sleep(min(soonest, 30 if statement.run_since is None else soonest))

    async def _unless_canceled(self, statement):
        """Waits and executes; None when cancelled while waiting."""
        waiting = asyncio.create_task(self._wait_and_execute(statement))
        canceled = asyncio.create_task(statement.cancel_asked.wait())
        watching = asyncio.create_task(self._watch(statement))
        try:
            await asyncio.wait((waiting, canceled), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
        if not waiting.done() and not statement.executing:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            return None
        canceled.cancel()
        return await waiting

    async def _wait_and_execute(self, statement):
        pending = statement.fault("pending")
        if pending is not None:
            await self.clock.sleep(pending["seconds"])
        await self.warehouse.running()
        failure = self._failure(statement)
        if failure is not None:
            statement.enter("RUNNING")
            raise failure
        if self._canceled(statement, after=False):
            raise Canceled()
        request, loop = statement.request, asyncio.get_running_loop()
        job = read_job(
            self.unity,
            statement.id,
            statement.text,
            request.get("parameters") or [],
            request.get("catalog"),
            request.get("schema"),
            row_limit=request.get("row_limit"),
        )
        uses = [u for _, u in job.statements]
        statement.verb = uses[0].verb if uses else ""
        mode = self.settings.table_concurrency
        async with AsyncExitStack() as held:
            if mode == "serial":
                for table in sorted(job.targets):
                    await held.enter_async_context(self._table_locks.setdefault(table, asyncio.Lock()))
            await held.enter_async_context(self._slot())
            statement.enter("RUNNING")
            before = {table: self._commits.get(table, 0) for table in job.targets}
            snapshot = (
                await loop.run_in_executor(self.threads, self.engine.snapshot, job) if mode == "row_level" else None
            )
            slow = statement.fault("slow")
            if slow is not None:
                await self.clock.sleep(slow["seconds"])
            between = statement.fault("between")
            if between is not None:
                self.weather.met("between")
                await self.direct(between["sql"])
            if (
                any(self._commits.get(table, 0) != count for table, count in before.items())
                and any(_reads_its_target(u) for u in uses)
            ):
                if mode == "conflict":
                    self.weather.met("table_concurrency conflict")
                    raise refuse(
                        "DELTA_CONCURRENT_APPEND",
                        "Files were added to the root of the table by a concurrent update. Please try the "
                        "operation again.",
                    )
                self.weather.met("table_concurrency row_level")
                job.snapshot = snapshot
            statement.executing = True
            result = await loop.run_in_executor(self.threads, execute, job, self.engine, self.unity)
            if uses and uses[0].kind != "create":
                for table in job.targets:
                    self._commits[table] = self._commits.get(table, 0) + 1
            return result

    def _failure(self, statement):
        """The error that a fault or the weather wants instead of execution."""
        rule = statement.fault("fail")
        if rule is not None:
            return _fault_error(rule)
        if statement.fault("scheduling"):
            self.weather.met("scheduling")
            rng = self.weather.rng("scheduling code", statement.number)
            return forms.make(
                "INTERNAL_ERROR",
                rng.choice(("XX000", "")),
                "[INTERNAL_ERROR] Query could not be scheduled: HTTP Response code: "
                "503. Please try again later. SQLSTATE: XX000",
                rng.choice(("BAD_REQUEST", "INTERNAL_ERROR")),
            )
        if statement.fault("conflict"):
            self.weather.met("conflict")
            return refuse(
                "DELTA_CONCURRENT_APPEND",
                "Files were added to the root of the table by a concurrent update. Please try the "
                'operation again.\nConflicting commit: {"timestamp":1767225600000,"userId":"7001","userName":'
                '"admin@example.com","operation":"MERGE"}',
            )
        if statement.fault("stopped"):
            self.weather.met("warehouse_stopped")
            return forms.make(
                "",
                "",
                f"The SQL warehouse {self.settings.warehouse_id} was stopped while the statement was running.",
                "BAD_REQUEST",
            )
        return None

    def _slot(self):
        statements = self

        class Slot:
            async def __aenter__(self):
                async with statements._slot_free:
                    await statements._slot_free.wait_for(lambda: statements._running < statements.settings.slots)
                    statements._running += 1

            async def __aexit__(self, *_):
                async with statements._slot_free:
                    statements._running -= 1
                    statements._slot_free.notify_all()

        return Slot()

    def _finish(self, statement, result: Result):
        request = statement.request
        result.limit(request.get("row_limit"), request.get("byte_limit"))
        if result.size() > self.settings.inline_limit:
            raise SqlError("", "", INLINE_TEXT.format(self.settings.inline_limit))
        statement.counts = result.counts()
        statement.chunks = Chunks(result, *self._chunk_sizes(statement, len(result.rows)))
        short = statement.fault("short_result")
        if short is not None and result.rows:
            self.weather.met("short_result")
            statement.chunks.cut(int(short.get("rows", 0)), bool(short.get("truncated")))
        if len(statement.chunks.bounds) > 1:
            self.weather.met("chunks")
        statement.closes = len(statement.chunks.bounds) < 2 and self.weather.drawn("close_on_answer", statement.number,
                                                                                   self.settings.close_on_answer)
        statement.enter("SUCCEEDED")

    def _chunk_sizes(self, statement, rows):
        """Rows and bytes of a chunk; drawn where the settings do not say, so that a result has fifty chunks at most."""
        rng = self.weather.rng("chunks", statement.number)
        drawn = (
            max(round(math.exp(rng.uniform(0, math.log(50000)))), -(-rows // 50)),
            round(math.exp(rng.uniform(math.log(1 << 14), math.log(1 << 24)))),
        )
        return self.settings.chunk_rows or drawn[0], self.settings.chunk_bytes or drawn[1]

    async def direct(self, text):
        """Executes `text` at once, beside the API: for tests and tools."""
        job = read_job(self.unity, f"direct-{next(self._numbers)}", text, trusted=True)
        return await asyncio.get_running_loop().run_in_executor(self.threads, execute, job, self.engine, self.unity)

    async def stop(self):
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.threads.shutdown(wait=False, cancel_futures=True)


def _reads_its_target(uses):
    """Does it meet what others wrote meanwhile? An INSERT whose query reads its own table behaves like a MERGE."""
    if uses.kind == "insert":
        return any(name.lower() == uses.target.lower() for name in uses.reads)
    return uses.kind in ("merge", "update", "delete")


_DDL_REFUSALS = (
    "DELTA_UNKNOWN_CONFIGURATION",
    "DELTA_CLUSTER",
    "DELTA_INVALID_CHARACTERS",
    "INVALID_SCHEMA_OR_RELATION_NAME",
    "DELTA_CANNOT_MODIFY_APPEND_ONLY",
    "DELTA_UNSUPPORTED_FEATURE",
    "DELTA_DUPLICATE_COLUMNS_FOUND",
)


def _fault_error(fault):
    return forms.Given(fault.get("error_class", "INTERNAL_ERROR"), fault.get("sql_state", "XX000"),
                       fault.get("message", "The statement was made to fail."), fault.get("error_code", "BAD_REQUEST"))
