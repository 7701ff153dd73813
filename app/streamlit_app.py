"""The app, for `streamlit run`: the pages, figures for Prometheus, and the thread that empties the spool."""

import asyncio
import gc
import hmac
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from streamlit.starlette import App

from app.http_log import HttpLog
from app.monitoring import REGISTRY, WAITING
from app.services import get_sender, get_settings, get_spool
from app.verdict_view import look  # noqa: F401  the pages' modules are imported before what is imported is frozen

logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(name)s: %(message)s")
logging.getLogger("httpx").setLevel("WARNING")  # it logs a line per request, and so do we, with its id
# Its caches, used by our threads, warn that no page is being drawn.
logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel("ERROR")


COLLECT_SECONDS = 5.0  # between garbage collections: runs of the script leave cycles that hold photos


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[None]:
    """What a process before this one could not send is sent now, whether or not a visitor comes."""
    get_sender()
    collecting = asyncio.create_task(collect_garbage())
    yield
    collecting.cancel()
    get_sender().stop()


async def collect_garbage() -> None:
    """Free the photos of past runs by the clock; what was imported stays out of it, so that it takes little time."""
    gc.collect()
    gc.freeze()
    while True:
        await asyncio.sleep(COLLECT_SECONDS)
        gc.collect()


async def metrics(request: Request) -> Response:
    """For Prometheus. With a secret `server_token` it wants that as a bearer token, as the model server does."""
    token = get_settings().server_token
    given = request.headers.get("authorization", "").encode()
    if token and not hmac.compare_digest(given, f"Bearer {token}".encode()):
        return PlainTextResponse("a bearer token is wanted\n", 401, {"WWW-Authenticate": "Bearer"})
    WAITING.set(get_spool().waiting())
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)


app = App("main.py", routes=[Route("/metrics", metrics)], middleware=[Middleware(HttpLog)], lifespan=lifespan)
