"""Bodies of requests: read within limits of size, of time, and of bytes held for all requests together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from include.serving.memory import trim
from include.serving.protocol import RequestRejected

SMALL = 1_000_000  # bytes; how many such bodies are held is bounded by the number of connections
STALLED = 5.0  # seconds without a byte
TRIM_SECONDS = 1.0  # after a large body is let go: what it was turned into is free by then


class BodyReader:
    """``limit`` bounds one body, ``held`` all that are larger than SMALL together, ``seconds`` the time of one."""

    def __init__(self, *, limit: int, held: int, seconds: float, wait_seconds: float) -> None:
        self._limit, self._seconds, self._wait_seconds = limit, seconds, wait_seconds
        self._free = max(held, limit)
        self._changed = asyncio.Condition()
        self._trimming: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def reading(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, whose bytes count as held until the end of the block.

        Raises RequestRejected: 413 beyond the limit, whatever the header says, 408 for a slow one, 503 where no room
        comes free; and Starlette's ClientDisconnect.
        """
        size = self._declared(request)
        if size > self._limit:
            raise self._too_large()
        room = size if size > SMALL else 0
        await self._take(room)
        try:
            yield await self._read(request, size)
        finally:
            await self._give_back(room)
            if room and not self._trimming:
                self._trimming = asyncio.get_running_loop().call_later(TRIM_SECONDS, self._trim)

    def _declared(self, request: Request) -> int:
        """By its header; a body in chunks may become as large as any."""
        length = request.headers.get("content-length", "")
        return int(length) if length.isdigit() else self._limit

    async def _read(self, request: Request, size: int) -> bytes:
        parts, received, stream = list[bytes](), 0, request.stream()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    async with asyncio.timeout(STALLED):
                        part = await anext(stream, None)
                    if part is None:
                        return b"".join(parts)
                    received += len(part)
                    if received > size:
                        raise self._too_large()
                    parts.append(part)
        except TimeoutError:
            raise RequestRejected(408, f"the request took more than {self._seconds:.0f} s, or stood still") from None

    async def _take(self, size: int) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds), self._changed:
                await self._changed.wait_for(lambda: size <= self._free)
                self._free -= size
        except TimeoutError:
            raise RequestRejected(503, "too many large requests at once: try again in 2 s", retry_after=2) from None

    async def _give_back(self, size: int) -> None:
        async with self._changed:
            self._free += size
            self._changed.notify_all()

    def _trim(self) -> None:
        self._trimming = None
        asyncio.get_running_loop().run_in_executor(None, trim)

    def _too_large(self) -> RequestRejected:
        return RequestRejected(413, f"the request has more than {self._limit:,} bytes")
