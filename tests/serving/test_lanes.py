"""Lanes: bounded work, bounded waiting, and no work for those who left."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from include.serving import lanes
from include.serving.lanes import ClientLeft, Lane
from include.serving.protocol import RequestRejected


def lane(*, at_once: int = 1, waiting: int = 2, seconds: float = 20, held: int = 100, **more: Any) -> Lane:
    return Lane("verdicts", at_once, waiting, seconds=seconds, held=held, **more)


async def forever() -> None:
    await asyncio.Event().wait()


class Requests:
    """Requests of one lane, whose work ends when it is released."""

    def __init__(self, lane: Lane) -> None:
        self.lane, self.release = lane, threading.Event()
        self.began = 0
        self.gone: list[bool] = []

    def send(self, *, size: int = 0, left: Callable[[], Awaitable[Any]] = forever) -> asyncio.Task[str]:
        return asyncio.create_task(self.lane.run(self._work, left, size=size))

    async def until_begun(self, count: int) -> None:
        while self.began < count:
            await asyncio.sleep(0.001)

    def _work(self, gone: threading.Event) -> str:
        self.began += 1
        assert self.release.wait(20)
        self.gone.append(gone.is_set())
        return "verdict"


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        async with asyncio.timeout(20):
            await test()

    asyncio.run(within())


def test_beyond_what_may_wait_requests_are_sent_away_with_a_time_to_come_back() -> None:
    async def test() -> None:
        requests = Requests(lane(at_once=2, waiting=3))
        accepted = [requests.send() for _ in range(5)]
        await requests.until_begun(2)
        with pytest.raises(RequestRejected, match="too many verdicts at once: try again in 2 s") as rejected:
            await requests.send()
        assert (rejected.value.status, rejected.value.retry_after) == (429, 2)
        assert requests.began == 2, "no more than two at once"
        requests.release.set()
        assert await asyncio.gather(*accepted) == ["verdict"] * 5
        assert await requests.send() == "verdict", "there is room again"

    run(test)


def test_who_waits_for_too_long_is_sent_away() -> None:
    async def test() -> None:
        requests = Requests(lane(seconds=0.05))
        first = requests.send()
        await requests.until_begun(1)
        with pytest.raises(RequestRejected, match="no turn within") as rejected:
            await requests.send()
        assert (rejected.value.status, rejected.value.retry_after) == (503, 2)
        requests.release.set()
        assert await first == "verdict"

    run(test)


def test_who_leaves_while_waiting_costs_no_work_and_frees_the_place() -> None:
    async def test() -> None:
        requests, left = Requests(lane(waiting=1)), asyncio.Event()
        first = requests.send()
        await requests.until_begun(1)
        leaver = requests.send(left=left.wait)
        await asyncio.sleep(0.01)
        left.set()
        with pytest.raises(ClientLeft):
            await leaver
        other = requests.send()
        requests.release.set()
        assert [await first, await other] == ["verdict"] * 2
        assert requests.began == 2

    run(test)


def test_work_learns_that_its_client_left_and_keeps_its_turn_until_it_ends() -> None:
    async def test() -> None:
        requests, left = Requests(lane()), asyncio.Event()
        leaver = requests.send(left=left.wait)
        await requests.until_begun(1)
        left.set()
        follower = requests.send()
        await asyncio.sleep(0.02)
        assert requests.began == 1, "a thread cannot be stopped: its turn is not given away"
        requests.release.set()
        with pytest.raises(ClientLeft):
            await leaver
        assert await follower == "verdict"
        assert requests.gone == [True, False]

    run(test)


def test_bytes_that_wait_are_bounded_but_one_request_always_fits() -> None:
    async def test() -> None:
        requests = Requests(lane(waiting=9, held=100))
        first = requests.send(size=150)
        await requests.until_begun(1)
        with pytest.raises(RequestRejected) as rejected:
            await requests.send(size=1)
        assert rejected.value.status == 429
        requests.release.set()
        await first
        assert set(await asyncio.gather(requests.send(size=60), requests.send(size=40))) == {"verdict"}

    run(test)


def test_an_error_of_the_work_is_the_callers_and_the_turn_is_free_again() -> None:
    async def test() -> None:
        own = lane()

        def fail(gone: threading.Event) -> str:
            raise RequestRejected(400, "no photo")

        for _ in range(3):
            with pytest.raises(RequestRejected, match="no photo"):
                await own.run(fail, forever, size=0)

    run(test)


def test_a_lane_is_degraded_while_requests_wait_for_long_and_after_it_sent_some_away() -> None:
    async def test() -> None:
        clock = [1000.0]
        requests = Requests(lane(waiting=1, clock=lambda: clock[0]))
        assert requests.lane.problem() is None
        accepted = [requests.send(), requests.send()]
        await requests.until_begun(1)
        assert requests.lane.problem() is None
        clock[0] += lanes.SLOW + 1
        assert str(requests.lane.problem()) == "verdicts have waited for 2.0 s"
        with pytest.raises(RequestRejected):
            await requests.send()
        requests.release.set()
        await asyncio.gather(*accepted)
        assert str(requests.lane.problem()) == "verdicts are being rejected"
        clock[0] += lanes.RECENTLY
        assert requests.lane.problem() is None

    run(test)
