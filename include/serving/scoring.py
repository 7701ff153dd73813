"""A request to the model: photos are decoded in the pool, one after the other, and judged together."""

import logging
import threading

from include.errors import NotAPhoto
from include.images.decode_pool import DecodePool
from include.images.decoded import Decoded
from include.images.decoding import MAX_PIXELS
from include.serving.lanes import ClientLeft
from include.serving.model_loader import Served
from include.serving.protocol import Batch, RequestRejected, write_table

TOO_MANY = "too_many_pixels"  # a reason of NotAPhoto
log = logging.getLogger(__name__)


def score(served: Served, batch: Batch, pool: DecodePool, *, request_pixels: int, gone: threading.Event) -> str:
    """The answer as JSON: a row per photo, in order. Raises RequestRejected, and ClientLeft once ``gone`` is set.

    Photos are decoded until they have ``request_pixels`` together; a later one has an error in its row.
    """
    model, photos = served.python_model, list[Decoded | NotAPhoto]()
    preview = model.preview if batch.explain else None
    for body in batch.photos:
        if gone.is_set():
            raise ClientLeft
        photos.append(_decode(body, model.size, preview, pool, room=request_pixels))
        request_pixels -= _pixels(photos[-1])
    try:
        return write_table(model.judge(photos, explain=batch.explain))
    except Exception as error:
        log.exception("version %s could not answer", served.version)
        raise RequestRejected(500, "the model could not answer; the reason is in the server's log") from error


def _decode(body: bytes, size: int, preview: int | None, pool: DecodePool, *, room: int) -> Decoded | NotAPhoto:
    try:
        return pool.decode_for_network(body, size, preview=preview, max_pixels=max(min(room, MAX_PIXELS), 0))
    except NotAPhoto as error:
        if error.reason == TOO_MANY and room < error.pixels <= MAX_PIXELS:
            return NotAPhoto(TOO_MANY, "the photos of this request have too many pixels together: send fewer at once")
        return error


def _pixels(photo: Decoded | NotAPhoto) -> int:
    """How many were decoded: none of a photo that has too many."""
    if isinstance(photo, Decoded):
        return photo.source_pixels
    return 0 if photo.reason == TOO_MANY else photo.pixels
