"""Clients of a model server: each asks again as soon as it has its answer, over one connection that it keeps."""

import base64
import http.client
import io
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from include.images.synthetic import draw_photo

TIMEOUT = 60.0  # seconds; a client that waits longer has failed
HEADERS = {"Content-Type": "application/json"}
BUSY = (429, 503)


@dataclass
class Answers:
    """Of all clients of one kind: seconds of good answers, how many failed, how many were told to come back."""

    seconds: list[float] = field(default_factory=list)
    failed: int = 0
    busy: int = 0
    went_back: int = 0  # answers of a version that came before that of the answer before, on the same connection

    def quantile(self, share: float) -> float:
        """In seconds; NaN without an answer."""
        return float(np.quantile(self.seconds, share)) if self.seconds else float("nan")


def request(photos: Sequence[bytes], *, explain: bool = False) -> bytes:
    """The body of a request, in a form that MLflow's own server understands, too."""
    rows = [[base64.b64encode(photo).decode()] for photo in photos]
    body = {"dataframe_split": {"columns": ["image"], "data": rows}, "params": {"explain": explain}}
    return json.dumps(body).encode()


def phone_photo() -> bytes:
    """A drawing as a JPEG of 1,024 x 768: what the app sends."""
    drawing = Image.open(io.BytesIO(draw_photo("cats", random.Random(1)))).convert("RGB")
    return _encode(drawing.resize((1024, 768)), "JPEG", quality=90)


def large_picture() -> bytes:
    """50 megapixels with transparency in 200 kB: the most that is read of a PNG."""
    return _encode(Image.new("RGBA", (8192, 6144), (200, 30, 30, 128)), "PNG")


@contextmanager
def asking(url: str, body: bytes, *, clients: int, order: Sequence[str] = ()) -> Iterator[Answers]:
    """So many clients ask until the end of the block; ``order`` are the versions as the alias names them."""
    with _threads(lambda ended, answers: _ask(url, body, ended, answers, list(order)), clients) as answers:
        yield answers


@contextmanager
def trickling(url: str, *, clients: int) -> Iterator[Answers]:
    """So many clients that send a byte of their body each second, and begin again when they are cut off."""
    with _threads(lambda ended, answers: _trickle(url, ended, answers), clients) as answers:
        yield answers


@contextmanager
def _threads(client: Callable[[threading.Event, Answers], None], count: int) -> Iterator[Answers]:
    ended, answers = threading.Event(), Answers()
    threads = [threading.Thread(target=client, args=(ended, answers)) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _ask(url: str, body: bytes, ended: threading.Event, answers: Answers, order: list[str]) -> None:
    connection, newest = _connect(url), -1
    while not ended.is_set():
        began = time.monotonic()
        try:
            connection.request("POST", "/invocations", body, HEADERS)
            response = connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            answers.failed += 1
            connection = _connect(url)
            continue
        if response.status in BUSY:
            answers.busy += 1
            ended.wait(float(response.headers.get("Retry-After", "1")))
        elif response.status != http.HTTPStatus.OK or b'"predictions"' not in text:
            answers.failed += 1
        else:
            answers.seconds.append(time.monotonic() - began)
            if order:
                newest = _place(order, str(response.headers["X-Model-Version"]), newest)
                answers.went_back += newest == len(order)


def _place(order: Sequence[str], version: str, newest: int) -> int:
    """Where a version next stands in the order from the place of the newest one; its length where it does not."""
    return next((place for place in range(max(newest, 0), len(order)) if order[place] == version), len(order))


def _trickle(url: str, ended: threading.Event, answers: Answers) -> None:
    address = urlsplit(url)
    while not ended.is_set():
        with suppress(OSError), socket.create_connection((str(address.hostname), int(address.port or 80))) as slow:
            slow.sendall(b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
            slow.sendall(b"Content-Length: 900000\r\n\r\n")
            while not ended.wait(1):
                slow.sendall(b" ")
        answers.failed += not ended.is_set()


def _connect(url: str) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)


def _encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
