"""Decode photos in a few worker processes, each with a limit of memory and of time for a photo.

A picture of 200 kB can take a gigabyte and seconds to decode, and decoders have had faults. In a process of its own
that costs one photo its answer, never the server its life; and the memory is given back. It loads no TensorFlow.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from include.errors import DecoderFailed, DecodersBusy, NotAPhoto
from include.images.decode_process import Answer, DecodeProcess
from include.images.decoded import Decoded
from include.images.decoding import MAX_PIXELS
from include.settings import Decoding

WAITING = 64  # callers that may wait for a worker
PATIENCE = 60.0  # seconds that each of them waits at most
ENDED: dict[str, Any] = {
    "photo": ["undecodable", "this picture ends the decoder; save it anew, as a JPEG"],
    "pixels": MAX_PIXELS,
}


class LargePhoto(Exception):
    """A photo takes hundreds of megabytes and about a second to decode: what is urgent should not wait for it."""


class DecodePool:
    """For any number of threads. Workers start when they are needed, and end when this process does.

    Of the callers that find no free worker WAITING may wait, each for PATIENCE seconds; others raise DecodersBusy.
    """

    def __init__(self, settings: Decoding) -> None:
        self._settings = settings
        self._places: queue.LifoQueue[DecodeProcess | None] = queue.LifoQueue()
        for _ in range(settings.workers):
            self._places.put(None)
        self._entrance = threading.BoundedSemaphore(settings.workers + WAITING)
        self._large = threading.Lock()  # one large photo at a time

    def decode_for_network(
        self, body: bytes, size: int, *, large: bool, preview: int | None = None, max_pixels: int = MAX_PIXELS
    ) -> Decoded:
        """As `decoded.decode_for_network`; a large photo raises LargePhoto at once, unless ``large`` allows it.

        Raises NotAPhoto, also where decoding takes too long or too much memory, or ends two workers; DecodersBusy; and
        DecoderFailed where the machine is at fault.
        """
        answer = self._ask(body, large, task="network", size=size, preview=preview, max_pixels=max_pixels)
        pixels = np.frombuffer(answer.parts[0], np.uint8).reshape(size, size, 3)
        small = answer.header.get("preview")
        image = Image.frombytes("RGB", tuple(small), answer.parts[1]) if small else None
        return Decoded(pixels, image, answer.header["pixels"])

    def clean_jpeg(self, body: bytes, *, side: int, quality: int) -> bytes:
        """As `decoded.clean_jpeg`. Raises as ``decode_for_network``, but for LargePhoto."""
        return self._ask(body, True, task="jpeg", side=side, quality=quality).parts[0]

    def warm(self) -> None:
        """Start all workers now, so that the first photo need not wait. Raises DecoderFailed."""
        for place in [self._places.get() for _ in range(self._settings.workers)]:
            self._places.put(place or DecodeProcess(self._settings.memory))

    def close(self) -> None:
        """End the workers, each after the photo that it decodes."""
        for place in [self._places.get() for _ in range(self._settings.workers)]:
            if place:
                place.end()
            self._places.put(None)

    def _ask(self, body: bytes, large: bool, **order: Any) -> Answer:
        """The answer to an order. Raises what it stands for, if it is none."""
        with self._entered():
            answer = self._ask_twice(body, order | {"large": False})
            if answer.header.get("large") and large:
                with self._large:
                    answer = self._ask_twice(body, order | {"large": True})
        if answer.header.get("large"):
            raise LargePhoto
        if fault := answer.header.get("fault"):
            raise DecoderFailed(f"a photo could not be decoded on this machine: {fault}")
        if problem := answer.header.get("photo"):
            raise NotAPhoto(*problem, pixels=answer.header["pixels"])
        return answer

    def _ask_twice(self, body: bytes, order: dict[str, Any]) -> Answer:
        """A worker may die by itself; one that dies over the same photo again does not."""
        return self._ask_one(body, order) or self._ask_one(body, order) or Answer(ENDED, [])

    def _ask_one(self, body: bytes, order: dict[str, Any]) -> Answer | None:
        """The answer of a worker that is free, or none if it died over the photo."""
        worker = self._free_worker()
        try:
            worker = worker or DecodeProcess(self._settings.memory)
            return worker.ask(body, order, self._settings.seconds)
        finally:
            self._places.put(worker if worker and worker.lives else None)

    def _free_worker(self) -> DecodeProcess | None:
        try:
            return self._places.get(timeout=PATIENCE)
        except queue.Empty:
            raise DecodersBusy("no decoder became free: try again in a moment") from None

    @contextmanager
    def _entered(self) -> Iterator[None]:
        if not self._entrance.acquire(blocking=False):
            raise DecodersBusy("too many photos wait to be decoded: try again in a moment")
        try:
            yield
        finally:
            self._entrance.release()
