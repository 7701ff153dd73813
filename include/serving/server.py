"""The model server: MLflow's scoring protocol around a model that is swapped in memory.

`python -m include.serving.server`. /invocations, /ping and /version as MLflow has them; /live says what is served,
/health how it fares, /metrics counts for Prometheus. No endpoint changes the model: the alias in the registry decides.
With a secret `server_token` all but /ping, /health and /version want it as a bearer token.
"""

import argparse
import json
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mlflow
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from include.configuration import settings_or_exit
from include.images.decode_pool import DecodePool
from include.serving.access import BearerToken
from include.serving.client import STARTING
from include.serving.connections import STATE, BoundedConnection, OpenConnections
from include.serving.invocations import Invocations
from include.serving.metrics import Metrics, share_metrics
from include.serving.model_loader import ChampionWatcher
from include.settings import DRAIN_SECONDS, LOOPBACK, Settings

log = logging.getLogger(__name__)

HEALTHCHECK_SECONDS = 120  # in which a worker process must have imported all that it needs


def create_app() -> FastAPI:
    """The app of one worker process, by the settings."""

    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    settings = Settings()
    log.info("listening: %s", json.dumps({"url": settings.live_url, "registry": settings.tracking_url}))
    return build_app(ChampionWatcher(settings), settings)


def build_app(watcher: ChampionWatcher, settings: Settings) -> FastAPI:
    """The server around a ChampionWatcher, whose thread runs as long as the app does."""
    limits, pool, metrics = settings.limits, DecodePool(settings.decoding), Metrics(settings)
    invocations = Invocations(watcher, settings, pool)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        for run in (lambda: watcher.run(time.monotonic), pool.warm):
            threading.Thread(target=run, daemon=True).start()
        yield {STATE: OpenConnections(limits.connections, limits.header_seconds, read_seconds=limits.body_seconds)}
        watcher.ended.set()
        invocations.close()
        pool.close()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    if token := settings.server_token:
        app.add_middleware(BearerToken, token=token)

    @app.get("/ping")
    async def ping() -> Response:
        return PlainTextResponse("\n")

    @app.get("/health")
    async def health() -> Response:
        return _health(watcher, invocations)

    @app.get("/version")
    async def version() -> Response:
        return PlainTextResponse(mlflow.__version__)

    @app.get("/live")
    async def live() -> Response:
        return _live(watcher)

    @app.get("/metrics")
    async def count() -> Response:
        return metrics.response()

    @app.post("/invocations")
    async def answer(request: Request) -> Response:
        with metrics.counting(watcher.served) as counted:
            counted.response = await invocations.answer(request)
        request_id, status = request.headers.get("x-request-id", "-")[:64], counted.response.status_code
        log.info("request %s: status %d", request_id, status)
        return counted.response

    return app


def _health(watcher: ChampionWatcher, invocations: Invocations) -> Response:
    """503 where requests should go elsewhere for a while."""
    if reason := invocations.problem:
        return JSONResponse({"status": "degraded", "reason": reason}, 503)
    return JSONResponse({"status": watcher.state}, 503 if watcher.state == STARTING else 200)


def _live(watcher: ChampionWatcher) -> Response:
    served = watcher.served
    if served is None:
        return JSONResponse({"error": watcher.state, "reason": watcher.trouble, "rejected": watcher.rejected}, 503)
    answer = {
        "model_version": served.version,
        "sha256": served.sha256,
        "dataset": served.dataset,
        "since": served.since,
    }
    return JSONResponse(answer | {"rejected": watcher.rejected})


def main() -> None:
    parser = argparse.ArgumentParser(description="The model server.")
    parser.add_argument("--host", default=LOOPBACK, help="what it binds to; another one needs a secret server_token")
    host = parser.parse_args().host
    settings = settings_or_exit()
    if host != LOOPBACK and not settings.server_token:
        raise SystemExit(f"{settings.secrets}/server_token is missing: without a token the server stays on {LOOPBACK}")
    if settings.server_workers > 1:
        share_metrics(settings)
    uvicorn.run(
        "include.serving.server:create_app",
        factory=True,
        host=host,
        port=settings.server_port,
        workers=settings.server_workers,
        http=BoundedConnection,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_worker_healthcheck=HEALTHCHECK_SECONDS,
    )


if __name__ == "__main__":
    main()
