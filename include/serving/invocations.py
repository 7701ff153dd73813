"""What /invocations does with a request: read it within limits, wait for a turn in its lane, and answer."""

import logging
import threading
from contextlib import suppress
from functools import partial

from fastapi import Request
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from include.errors import DecodersBusy
from include.images.decode_pool import DecodePool, LargePhoto
from include.serving.bodies import BodyReader
from include.serving.lanes import ClientLeft, Lane
from include.serving.model_loader import ChampionWatcher, Served
from include.serving.protocol import RequestRejected, asks_to_explain, check_content_type, read_batch
from include.serving.scoring import Scoring, score
from include.settings import Settings

log = logging.getLogger(__name__)

LARGE = 4_000_000  # bytes of a body; to read it takes a multiple of them
CLIENT_LEFT = 499  # nobody reads it; nginx counts it by this number


class Invocations:
    """Verdicts have a lane of their own: explanations, large bodies and large pictures, in the slow one, do not starve
    them.
    """

    def __init__(self, watcher: ChampionWatcher, settings: Settings, pool: DecodePool) -> None:
        limits = settings.limits
        self._watcher, self._settings, self._pool = watcher, settings, pool
        self._bodies = BodyReader(
            limit=settings.max_request_bytes,
            held=limits.body_bytes,
            seconds=limits.body_seconds,
            wait_seconds=limits.wait_seconds,
        )
        seconds, held = limits.wait_seconds, limits.body_bytes // 2
        self._verdicts = Lane("verdicts", limits.verdicts, limits.verdicts_waiting, seconds=seconds, held=held)
        self._slow = Lane("slow requests", limits.slow, limits.slow_waiting, seconds=seconds, held=held)

    @property
    def problem(self) -> str | None:
        """Why verdicts count as degraded, or none."""
        return self._verdicts.problem()

    def close(self) -> None:
        self._verdicts.close()
        self._slow.close()

    async def answer(self, request: Request) -> Response:
        """A response in any case; the header X-Model-Version names what would have answered."""
        served = self._watcher.served
        if served is None:
            return JSONResponse({"error": self._watcher.state}, 503)
        try:
            response = await self._answer(request, served)
        except RequestRejected as error:
            response = _rejection(error)
        except (ClientLeft, ClientDisconnect):
            response = Response(status_code=CLIENT_LEFT)
        except DecodersBusy as error:
            response = _rejection(RequestRejected(503, str(error), retry_after=2))
        except Exception:
            log.exception("a request failed")
            response = _rejection(RequestRejected(500, "the server could not answer; the reason is in its log"))
        response.headers["X-Model-Version"] = served.version
        return response

    async def _answer(self, request: Request, served: Served) -> Response:
        check_content_type(request.headers.get("content-type"))
        async with self._bodies.reading(request) as body:
            return Response(await self._judge(request, body, served), media_type="application/json")

    async def _judge(self, request: Request, body: bytes, served: Served) -> str:
        """The answer, from the lane of verdicts where that is possible."""
        if len(body) <= LARGE and not asks_to_explain(body):
            work = partial(self._score, served, body, False)
            with suppress(LargePhoto):
                return await self._verdicts.run(work, partial(_left, request), size=len(body))
        return await self._slow.run(partial(self._score, served, body, True), partial(_left, request), size=len(body))

    def _score(self, served: Served, body: bytes, slow: bool, gone: threading.Event) -> str:
        settings = self._settings
        batch = read_batch(body, max_batch=settings.max_batch, max_explained=settings.max_explained)
        if batch.explain and not slow:
            raise RequestRejected(400, 'write the parameter plainly: {"params": {"explain": true}}')
        how = Scoring(self._pool, settings.limits.request_pixels, large=slow)
        return score(served, batch, how, gone)


async def _left(request: Request) -> None:
    """Ends when the client closes the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _rejection(error: RequestRejected) -> Response:
    headers = {"Retry-After": str(error.retry_after)} if error.retry_after else None
    return JSONResponse({"error": str(error)}, error.status, headers)
