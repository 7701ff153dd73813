"""Each HTTP request gets an id, is counted, and leaves a line in the log where it failed."""

import logging
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.monitoring import HTTP

log = logging.getLogger(__name__)

PATHS = {"_stcore/upload_file": "upload", "_stcore/health": "health", "media": "media", "metrics": "metrics"}


class HttpLog:
    """ASGI middleware. WebSockets pass: what happens on them is logged by request to the model server."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id, path = new_id(), _kind(scope["path"])

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
                HTTP.labels(path, message["status"]).inc()
                if message["status"] >= 400:
                    log.warning("request %s: %s %s: status %d", request_id, scope["method"], path, message["status"])
            await send(message)

        await self._app(scope, receive, answer)


def new_id() -> str:
    """Of one request: short enough to be read out, and logged by the app and by the model server."""
    return uuid4().hex[:12]


def _kind(path: str) -> str:
    """Never the path itself: those of uploads hold the id of a session."""
    return next((kind for start, kind in PATHS.items() if path.strip("/").startswith(start)), "other")
