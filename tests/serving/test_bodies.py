"""Bodies of requests: what is large goes to the slow lane, and its memory back to the system."""

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from include.serving import bodies, invocations
from include.serving.bodies import SMALL, BodyReader
from include.serving.invocations import Invocations
from include.settings import Settings

LARGEST = 10_000_000  # bytes


class StandIn:
    """A request with so many bytes, whose client stays."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.headers = {"content-length": str(size)}

    async def stream(self) -> AsyncIterator[bytes]:
        yield b" " * self.size

    async def receive(self) -> Any:
        await asyncio.Event().wait()


def trims(monkeypatch: pytest.MonkeyPatch, *sizes: int) -> int:
    """How often free memory is given back while and after these bodies are read, one by one."""
    done: list[None] = []
    monkeypatch.setattr(bodies, "trim", lambda: done.append(None))
    monkeypatch.setattr(bodies, "TRIM_SECONDS", 0.02)

    async def read() -> None:
        reader = BodyReader(limit=LARGEST, held=LARGEST, seconds=20, wait_seconds=20)
        for size in sizes:
            async with reader.reading(StandIn(size)) as body:  # type: ignore[arg-type]
                assert len(body) == size
        await asyncio.sleep(0.1)

    asyncio.run(read())
    return len(done)


def test_memory_is_given_back_once_after_large_bodies_and_not_after_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert trims(monkeypatch, 10, SMALL) == 0
    assert trims(monkeypatch, *[SMALL + 1] * 3) == 1


@pytest.mark.parametrize(
    ("body", "lane"),
    [
        (b" " * invocations.LARGE, "verdicts"),
        (b" " * (invocations.LARGE + 1), "slow requests"),
        (b'{"params": {"explain": true}}', "slow requests"),
    ],
    ids=["quick", "large", "explained"],
)
def test_verdicts_do_not_wait_for_what_is_slow(monkeypatch: pytest.MonkeyPatch, body: bytes, lane: str) -> None:
    """The work says by the name of its thread which lane it is in."""
    monkeypatch.setattr(Invocations, "_score", lambda *_: threading.current_thread().name.rpartition("_")[0])

    async def ask() -> str:
        nothing: Any = SimpleNamespace()
        own = Invocations(nothing, Settings(), nothing)
        request: Request = StandIn(len(body))  # type: ignore[assignment]
        try:
            return await own._judge(request, body, nothing)
        finally:
            own.close()

    assert asyncio.run(ask()) == lane
