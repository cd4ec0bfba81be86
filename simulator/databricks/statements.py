"""The life of statements: accepted, waiting, running, ended, forgotten."""

import asyncio
import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

from .engine import execute, read_job
from .engine_spark import INLINE_TEXT
from .errors import ApiError, Canceled, SqlError
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

    def __init__(self, settings, clock, engine, unity, warehouse, seed):
        self.settings, self.clock, self.engine, self.unity, self.warehouse = settings, clock, engine, unity, warehouse
        self.all = {}
        self._seed, self._numbers = seed, itertools.count(1)
        self.threads = ThreadPoolExecutor(64, "statement")
        self._running = 0
        self._slot_free = asyncio.Condition()
        self._table_locks = {}
        self._tasks = set()

    def _new_id(self, number):
        digest = hashlib.sha256(f"{self._seed}:{number}:{self.clock.now()}".encode()).hexdigest()
        return f"01f{digest[:5]}-{digest[5:9]}-1{digest[9:12]}-{digest[12:16]}-{digest[16:28]}"

    def submit(self, request, user, faults=()):
        """Accepts a statement and starts it in the background."""
        number = next(self._numbers)
        statement = Statement(number, self._new_id(number), request["statement"], request, user, self.clock)
        statement.faults = list(faults)
        self.all[statement.id] = statement
        task = asyncio.create_task(self._run(statement))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return statement

    def get(self, id):
        """The statement `id`. Raises the 404 of an id that is unknown or was forgotten."""
        statement = self.all.get(id)
        if statement is not None:
            self._age(statement)
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
            self._finish(statement, result)
        except SqlError as error:
            statement.error = error
            statement.enter("FAILED")
        except Canceled:
            statement.enter("CANCELED")
        except Exception as error:  # what the simulator itself did wrong must be seen, not waited for
            statement.error = SqlError("INTERNAL_ERROR", "XX000", f"simulator: {error!r}", "INTERNAL_ERROR")
            statement.enter("FAILED")
            raise
        finally:
            statement.request.pop("parameters", None)  # megabytes that nobody asks for again

    async def _unless_canceled(self, statement):
        """Waits and executes; None when cancelled while waiting."""
        waiting = asyncio.create_task(self._wait_and_execute(statement))
        canceled = asyncio.create_task(statement.cancel_asked.wait())
        await asyncio.wait((waiting, canceled), return_when=asyncio.FIRST_COMPLETED)
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
        failure = statement.fault("fail")
        if failure is not None:
            statement.enter("RUNNING")
            raise _fault_error(failure)
        request, loop = statement.request, asyncio.get_running_loop()
        job = read_job(self.unity, statement.id, statement.text, request.get("parameters") or [], request.get("catalog"),
                       request.get("schema"), row_limit=request.get("row_limit"))
        statement.verb = job.statements[0][1].verb if job.statements else ""
        async with AsyncExitStack() as held:
            for table in sorted(job.targets):
                await held.enter_async_context(self._table_locks.setdefault(table, asyncio.Lock()))
            await held.enter_async_context(self._slot())
            statement.enter("RUNNING")
            slow = statement.fault("slow")
            if slow is not None:
                await self.clock.sleep(slow["seconds"])
            statement.executing = True
            return await loop.run_in_executor(self.threads, execute, job, self.engine, self.unity)

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
        statement.chunks = Chunks(result, self.settings.chunk_rows, self.settings.chunk_bytes)
        statement.enter("SUCCEEDED")

    async def direct(self, text):
        """Executes `text` at once, beside the API: for tests and tools."""
        job = read_job(self.unity, f"direct-{next(self._numbers)}", text, trusted=True)
        return await asyncio.get_running_loop().run_in_executor(self.threads, execute, job, self.engine, self.unity)

    async def stop(self):
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.threads.shutdown(wait=False, cancel_futures=True)


def _fault_error(fault):
    return SqlError(fault.get("error_class", "INTERNAL_ERROR"), fault.get("sql_state", "XX000"),
                    fault.get("message", "The statement was made to fail."), fault.get("error_code", "BAD_REQUEST"))
