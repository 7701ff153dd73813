"""The app under many visitors: `python -m bench.app_load http://127.0.0.1:8501 --users 50 --every 5 --seconds 60`.

Each visitor is a session of Streamlit's own protocol (a WebSocket, and an upload by HTTP), without a browser. A verdict
counts from the first byte of the photo that is sent to the words on the page. With `--pid` the memory of the app's
process is measured, too. The photos are noise in colours: they decode and compress like photographs, and show nobody.
"""

import argparse
import asyncio
import io
import random
import statistics
import time
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import numpy as np
import psutil
from PIL import Image
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.asyncio.client import ClientConnection, connect

LOOKING, VERDICT = "Looking at your photo", 'role="status"'
WIDTH, HEIGHT = 1600, 1200
PATIENCE = 60.0  # seconds


@dataclass
class Result:
    """Seconds of each verdict, and what went wrong."""

    seconds: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Visitor:
    """One browser session, without the browser."""

    def __init__(self, url: str, http: httpx.AsyncClient, socket: ClientConnection) -> None:
        self._url, self._http, self._socket = url, http, socket
        self._ids: dict[str, str] = {}

    async def show(self, photo: bytes) -> str:
        """Upload a photo; returns the headline that the page shows for it."""
        name = f"{uuid4().hex}.jpg"
        request = BackMsg()
        request.file_urls_request.request_id = name
        request.file_urls_request.file_names.append(name)
        await self._socket.send(request.SerializeToString())
        (urls,) = (
            await self._until(lambda message: message.HasField("file_urls_response"))
        ).file_urls_response.file_urls
        response = await self._http.put(f"{self._url}{urls.upload_url}", files={"file": (name, photo, "image/jpeg")})
        response.raise_for_status()
        state = WidgetState(id=self._ids["uploader"])
        info = state.file_uploader_state_value.uploaded_file_info.add(file_id=urls.file_id, name=name, size=len(photo))
        info.file_urls.CopyFrom(urls)
        await self._rerun(state)
        message = await self._until(lambda message: VERDICT in _text(message) and LOOKING not in _text(message))
        return _text(message)

    async def rest(self) -> None:
        """Until the page is whole."""
        await self._until(_is_finished)

    async def begin(self) -> None:
        await self._rerun()
        await self.rest()

    async def another(self) -> None:
        await self._rerun(WidgetState(id=self._ids["Another photo"], trigger_value=True))
        await self.rest()

    async def _rerun(self, *states: WidgetState) -> None:
        message = BackMsg()
        message.rerun_script.widget_states.widgets.extend(states)
        await self._socket.send(message.SerializeToString())

    async def _until(self, holds) -> ForwardMsg:
        async with asyncio.timeout(PATIENCE):
            while True:
                message = ForwardMsg.FromString(await self._socket.recv())
                self._note(message)
                if holds(message):
                    return message

    def _note(self, message: ForwardMsg) -> None:
        element = message.delta.new_element
        if element.HasField("file_uploader"):
            self._ids["uploader"] = element.file_uploader.id
        elif element.HasField("button"):
            self._ids[element.button.label] = element.button.id


def _text(message: ForwardMsg) -> str:
    return str(message.delta.new_element.markdown.body)


def _is_finished(message: ForwardMsg) -> bool:
    return message.HasField("script_finished") and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY


def draw_noise(number: int) -> bytes:
    """A JPEG with as much detail as a photograph."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 255, (HEIGHT // 8, WIDTH // 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    coarse.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


async def visit(url: str, photos: list[bytes], *, every: float, end: float, result: Result) -> None:
    """One visitor, who shows a photo every so many seconds."""
    async with httpx.AsyncClient(timeout=PATIENCE, limits=httpx.Limits(keepalive_expiry=1)) as http:
        await http.get(f"{url}/_stcore/health")  # its cookie allows uploads
        http.headers["X-Xsrftoken"] = http.cookies.get("_streamlit_xsrf") or ""
        address = url.replace("http", "ws", 1) + "/_stcore/stream"
        async with connect(address, subprotocols=["streamlit"], max_size=None) as socket:  # type: ignore[list-item]
            visitor = Visitor(url, http, socket)
            await visitor.begin()
            await asyncio.sleep(random.uniform(0, every))
            while (began := time.monotonic()) < end:
                headline = await visitor.show(random.choice(photos))
                if "No verdict yet" in headline:
                    result.errors.append(headline)
                else:
                    result.seconds.append(time.monotonic() - began)
                await visitor.rest()
                await visitor.another()
                await asyncio.sleep(max(0.0, began + every - time.monotonic()))


async def run(url: str, *, users: int, every: float, seconds: float, pid: int | None) -> Result:
    result, photos, end = Result(), [draw_noise(number) for number in range(10)], time.monotonic() + seconds
    watcher = asyncio.create_task(watch_memory(pid))
    visits = [visit(url, photos, every=every, end=end, result=result) for _ in range(users)]
    for outcome in await asyncio.gather(*visits, return_exceptions=True):
        if isinstance(outcome, BaseException):
            result.errors.append(repr(outcome))
    watcher.cancel()
    return result


async def watch_memory(pid: int | None) -> None:
    while pid:
        process = psutil.Process(pid)
        size = sum(part.memory_info().rss for part in [process, *process.children(recursive=True)])
        print(f"{time.strftime('%X')} memory {size / 1e6:.0f} MB")
        await asyncio.sleep(10)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--pid", type=int)
    options = parser.parse_args()
    given = {"users": options.users, "every": options.every, "seconds": options.seconds, "pid": options.pid}
    result = asyncio.run(run(options.url.rstrip("/"), **given))
    for error in result.errors[:5]:
        print(error)
    cuts = statistics.quantiles(result.seconds, n=100) if len(result.seconds) > 1 else [float("nan")] * 99
    print(f"{len(result.seconds)} verdicts, {len(result.errors)} errors; seconds to a verdict: ", end="")
    print(f"half within {cuts[49]:.2f}, 95 % within {cuts[94]:.2f}, 99 % within {cuts[98]:.2f}")
    return 1 if result.errors else 0


if __name__ == "__main__":
    raise SystemExit(main())
