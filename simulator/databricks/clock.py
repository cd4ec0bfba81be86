"""The workspace's clock: real time plus what POST /_control/clock added or took, so that hours can pass in a test."""

import asyncio
import contextlib
import time


class Clock:
    def __init__(self):
        self._offset = 0.0
        self.skew = 0.0  # seconds by which the Date header is apart
        self._moved = asyncio.Event()

    def now(self):
        """Seconds since the epoch."""
        return time.time() + self._offset

    def advance(self, seconds):
        """Moves the clock, also back; sleepers whose time has come wake up."""
        self._offset += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, event, seconds):
        """Waits for `event`, at most `seconds` of this clock. Returns whether it came."""
        sleeping, coming = asyncio.create_task(self.sleep(seconds)), asyncio.create_task(event.wait())
        await asyncio.wait((sleeping, coming), return_when=asyncio.FIRST_COMPLETED)
        for task in (sleeping, coming):
            task.cancel()
        return event.is_set()

    async def sleep(self, seconds):
        """Sleeps until this clock has moved by `seconds`."""
        until = self.now() + seconds
        while (left := until - self.now()) > 0:
            moved = self._moved
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), left)
