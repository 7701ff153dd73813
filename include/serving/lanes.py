"""Lanes: how many requests of a kind are worked on at once, how many may wait, and what happens to the others."""

import asyncio
import math
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from include.serving.protocol import RequestRejected

Result = TypeVar("Result")
SLOW, RECENTLY = 1.0, 10.0  # seconds: a longer wait counts as degraded, and so does a rejection within the last ones
RETRY_AFTER = 2  # seconds


class ClientLeft(Exception):
    """Whoever asked has closed the connection: nobody waits for an answer."""


class Lane:
    """``at_once`` requests are worked on, ``waiting`` wait, each for ``seconds`` at most; the next are rejected, and so
    are those beyond ``held`` bytes together.

    Work runs in threads of the lane. It is handed an event that is set when its client has left.
    """

    def __init__(
        self,
        name: str,
        at_once: int,
        waiting: int,
        *,
        seconds: float,
        held: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self.name, self._room, self._seconds, self._free = name, at_once + waiting, seconds, held
        self._turns = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix=name)
        self._waiting: dict[object, float] = {}  # since when
        self._working = 0
        self._rejected_at = -math.inf

    async def run(
        self, work: Callable[[threading.Event], Result], left: Callable[[], Awaitable[object]], *, size: int
    ) -> Result:
        """The result of ``work`` on a body of ``size`` bytes. Raises RequestRejected where there is no room, ClientLeft
        when what ``left`` returns is done.
        """
        alone = not self._waiting and not self._working
        if len(self._waiting) + self._working >= self._room or (size > self._free and not alone):
            raise self._reject(429, f"too many {self.name} at once")
        leaving = asyncio.ensure_future(left())
        self._free -= size
        try:
            await self._wait_for_turn(leaving)
            try:
                return await self._work(work, leaving)
            finally:
                self._working -= 1
                self._turns.release()
        finally:
            self._free += size
            leaving.cancel()

    def problem(self) -> str | None:
        """In words why the lane counts as degraded, or none."""
        now = self._clock()
        longest = now - min(self._waiting.values(), default=now)
        if longest > SLOW:
            return f"{self.name} have waited for {longest:.1f} s"
        return f"{self.name} are being rejected" if now - self._rejected_at < RECENTLY else None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _wait_for_turn(self, leaving: asyncio.Future) -> None:
        """A turn, counted in ``_working``."""
        place, turn = object(), asyncio.ensure_future(self._turns.acquire())
        self._waiting[place] = self._clock()
        try:
            await asyncio.wait({turn, leaving}, timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if turn.done() and not leaving.done():
                self._working += 1
                return
        finally:
            del self._waiting[place]
        if turn.done():
            self._turns.release()
        turn.cancel()
        if leaving.done():
            raise ClientLeft
        raise self._reject(503, f"too many {self.name}: no turn within {self._seconds:.0f} s")

    async def _work(self, work: Callable[[threading.Event], Result], leaving: asyncio.Future) -> Result:
        """A thread cannot be stopped: it is told, and its turn ends when it has ended."""
        gone = threading.Event()
        running = asyncio.get_running_loop().run_in_executor(self._threads, work, gone)
        await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        gone.set()
        with suppress(Exception):
            await running
        raise ClientLeft

    def _reject(self, status: int, reason: str) -> RequestRejected:
        self._rejected_at = self._clock()
        return RequestRejected(status, f"{reason}: try again in {RETRY_AFTER} s", retry_after=RETRY_AFTER)
