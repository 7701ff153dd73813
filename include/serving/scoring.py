"""A request to the model: photos are decoded in the pool, one after the other, and judged together."""

import logging
import threading
from dataclasses import dataclass

from include.errors import NotAPhoto
from include.images.decode_pool import DecodePool
from include.images.decoded import Decoded
from include.images.decoding import MAX_PIXELS
from include.serving.lanes import ClientLeft
from include.serving.model_loader import Served
from include.serving.protocol import Batch, RequestRejected, write_table

TOO_MANY = "too_many_pixels"  # a reason of NotAPhoto
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scoring:
    """What answering a request may take: ``request_pixels`` in all its photos, of which some may be large."""

    pool: DecodePool
    request_pixels: int
    large: bool


def score(served: Served, batch: Batch, how: Scoring, gone: threading.Event) -> str:
    """The answer as JSON: a row per photo, in order. A photo beyond the number of pixels has an error in its row.

    Raises LargePhoto where a photo is large and none may be, ClientLeft once ``gone`` is set, and RequestRejected.
    """
    model = served.python_model
    photos = _decode_all(batch, model.size, model.preview if batch.explain else None, how, gone)
    try:
        return write_table(model.judge(photos, explain=batch.explain))
    except Exception as error:
        log.exception("version %s could not answer", served.version)
        raise RequestRejected(500, "the model could not answer; the reason is in the server's log") from error


def _decode_all(
    batch: Batch, size: int, preview: int | None, how: Scoring, gone: threading.Event
) -> list[Decoded | NotAPhoto]:
    photos, room = list[Decoded | NotAPhoto](), how.request_pixels
    for body in batch.photos:
        if gone.is_set():
            raise ClientLeft
        photos.append(_decode(body, size, preview, how, room))
        room -= _pixels(photos[-1])
    return photos


def _decode(body: bytes, size: int, preview: int | None, how: Scoring, room: int) -> Decoded | NotAPhoto:
    most = max(min(room, MAX_PIXELS), 0)
    try:
        return how.pool.decode_for_network(body, size, preview=preview, max_pixels=most, large=how.large)
    except NotAPhoto as error:
        if error.reason == TOO_MANY and room < error.pixels <= MAX_PIXELS:
            return NotAPhoto(TOO_MANY, "the photos of this request have too many pixels together: send fewer at once")
        return error


def _pixels(photo: Decoded | NotAPhoto) -> int:
    """How many were decoded: none of a photo that has too many."""
    if isinstance(photo, Decoded):
        return photo.source_pixels
    return 0 if photo.reason == TOO_MANY else photo.pixels
