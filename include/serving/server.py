"""The model server: MLflow's scoring protocol around a model that is swapped in memory.

`python -m include.serving.server`. /invocations, /ping and /version as MLflow has them; /live says what is served,
/metrics counts for Prometheus. No endpoint changes the model: the alias in the registry decides. With a secret
`server_token` all but /ping, /health and /version want it as a bearer token.
"""

import argparse
import asyncio
import hmac
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import mlflow
import pandas as pd
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import invocations
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest

from include.configuration import read_settings
from include.errors import BadSetting
from include.registry.package import EXPLAIN
from include.serving.model_loader import ChampionWatcher, Served
from include.settings import DRAIN_SECONDS, LOOPBACK, Settings

log = logging.getLogger(__name__)

NO_MODEL = "no model yet"
OPEN = {"/ping", "/health", "/version"}  # they tell nothing but that the server runs


class RequestRejected(MlflowException):
    """An error for the caller; MLflow's protocol lets only its own class of errors through unchanged."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.reason = status, message


class LimitedModel:
    """What MLflow's protocol sees of a model: batches within the limit, and whose fault an error is."""

    def __init__(self, served: Served, settings: Settings) -> None:
        self.metadata = served.model.metadata
        self._served, self._settings = served, settings

    def predict(self, data: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        if len(data) > self._settings.max_batch:
            raise RequestRejected(413, f"{len(data)} photos at once; at most {self._settings.max_batch}")
        if (params or {}).get(EXPLAIN) and len(data) > self._settings.max_explained:
            raise RequestRejected(413, f"{len(data)} photos to explain at once; at most {self._settings.max_explained}")
        try:
            return self._served.model.predict(data, params=params)
        except MlflowException:  # the table does not fit the model's input
            raise
        except Exception as error:
            log.exception("version %s could not answer", self._served.version)
            raise RequestRejected(500, "the model could not answer; the reason is in the server's log") from error


def build_app(watcher: ChampionWatcher, settings: Settings) -> FastAPI:
    """The server around a ChampionWatcher, whose thread runs as long as the app does."""
    registry = CollectorRegistry()
    requests = Counter("cat_requests", "Requests to /invocations", ["status", "version"], registry=registry)
    seconds = Histogram("cat_request_seconds", "Time to answer /invocations", registry=registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        thread = threading.Thread(target=watcher.run, args=(time.monotonic,), daemon=True)
        thread.start()
        yield
        watcher.ended.set()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    if token := settings.server_token:
        app.middleware("http")(_guard(token))

    @app.get("/ping")
    @app.get("/health")
    async def ping() -> Response:
        return PlainTextResponse("\n")

    @app.get("/version")
    async def version() -> Response:
        return PlainTextResponse(mlflow.__version__)

    @app.get("/live")
    async def live() -> Response:
        return _live(watcher)

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.post("/invocations")
    async def answer(request: Request) -> Response:
        began, served = time.monotonic(), watcher.served
        response = await _answer(request, served, settings)
        requests.labels(response.status_code, served.version if served else "none").inc()
        seconds.observe(time.monotonic() - began)
        return response

    return app


def _guard(token: str) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Middleware that answers 401 to whoever does not show the token, before a body is read."""
    expected = f"Bearer {token}".encode()

    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        given = request.headers.get("authorization", "").encode()
        if request.url.path in OPEN or hmac.compare_digest(given, expected):
            return await call_next(request)
        response = _error(401, "this server wants a bearer token")
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    return check


def _live(watcher: ChampionWatcher) -> Response:
    served = watcher.served
    if served is None:
        return JSONResponse({"error": NO_MODEL, "rejected": watcher.rejected}, 503)
    answer = {
        "model_version": served.version,
        "sha256": served.sha256,
        "dataset": served.dataset,
        "since": served.since,
    }
    return JSONResponse(answer | {"rejected": watcher.rejected})


async def _answer(request: Request, served: Served | None, settings: Settings) -> Response:
    if served is None:
        return _error(503, NO_MODEL)
    body = await _body(request, settings.max_request_bytes)
    if body is None:
        response = _error(413, f"the request has more than {settings.max_request_bytes:,} bytes")
    else:
        content_type = request.headers.get("content-type", "application/json")
        response = await asyncio.to_thread(_invoke, body, content_type, LimitedModel(served, settings))
    response.headers["X-Model-Version"] = served.version
    return response


async def _body(request: Request, limit: int) -> bytes | None:
    """The body, or none as soon as it passes the limit, whatever its header says."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            return None
        parts.append(part)
    return b"".join(parts)


def _invoke(body: bytes, content_type: str, model: LimitedModel) -> Response:
    """MLflow's answer, but without its stack traces."""
    try:
        result = invocations(body.decode(), content_type, model, model.metadata.get_input_schema())
        return Response(result.response, result.status, media_type=result.mimetype)
    except RequestRejected as error:
        return _error(error.status, error.reason)
    except (MlflowException, UnicodeDecodeError, ValueError) as error:
        log.info("a request could not be read: %s", type(error).__name__)
        return _error(400, 'send JSON like {"dataframe_split": {"columns": ["image"], "data": [["<base64>"]]}}')
    except Exception:
        log.exception("a request failed")
        return _error(500, "the server could not answer; the reason is in its log")


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": message}, status)


def _settings() -> Settings:
    """Raises SystemExit with a sentence where one cannot work."""
    try:
        return read_settings()
    except BadSetting as error:
        raise SystemExit(str(error)) from None


def main() -> None:
    parser = argparse.ArgumentParser(description="The model server.")
    parser.add_argument("--host", default=LOOPBACK, help="what it binds to; another one needs a secret server_token")
    host = parser.parse_args().host
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = _settings()
    if host != LOOPBACK and not settings.server_token:
        raise SystemExit(f"{settings.secrets}/server_token is missing: without a token the server stays on {LOOPBACK}")
    app = build_app(ChampionWatcher(settings), settings)
    log.info("listening: %s", json.dumps({"url": settings.live_url, "registry": settings.tracking_url}))
    place: dict[str, Any] = {"host": host, "port": settings.server_port}
    uvicorn.run(app, **place, log_level="warning", timeout_graceful_shutdown=DRAIN_SECONDS)


if __name__ == "__main__":
    main()
