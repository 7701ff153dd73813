"""What each use needs of a photo's bytes; in the process that asks, or in a worker of `decode_pool`."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from include.errors import NotAPhoto
from include.images.decoding import FORMATS, MAX_PIXELS, MIN_SIDE, decode, to_pixels

WHOLE = ("PNG", "WEBP")  # decoded whole, whatever size is wanted
LARGE = 12_000_000  # pixels


@dataclass(frozen=True)
class Decoded:
    """A photo for the network, uint8 (size, size, 3); a small one to lay a heat map over, where that was asked; and
    how many pixels its file declares.
    """

    pixels: NDArray[np.uint8]
    preview: Image.Image | None
    source_pixels: int


def decode_for_network(body: bytes, size: int, *, preview: int | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """The pixels that training sees; with ``preview`` also the photo with no side longer than that. Raises NotAPhoto.

    A photo with more than ``max_pixels`` is refused before it is decoded.
    """
    pixels = to_pixels(decode(body, draft=2 * size, max_pixels=max_pixels), size)
    return Decoded(pixels, _shrink(body, preview) if preview else None, count_pixels(body))


def clean_jpeg(body: bytes, *, side: int, quality: int) -> bytes:
    """The picture and nothing else: upright JPEG, no side above ``side``, without EXIF or GPS. Raises NotAPhoto."""
    image = _shrink(body, side)
    if min(image.size) < MIN_SIDE:
        raise NotAPhoto("too_small", f"a strip: reduced it has {image.width} x {image.height} pixels")
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def count_pixels(body: bytes) -> int:
    """How many pixels the header declares; 0 where there is no header that can be read."""
    return _look(body)[0]


def is_large(body: bytes) -> bool:
    """Whether decoding takes hundreds of megabytes: many pixels, in a form that cannot be reduced meanwhile."""
    pixels, reducible = _look(body)
    return pixels > LARGE and not reducible


def _look(body: bytes) -> tuple[int, bool]:
    """The pixels that the header declares, and whether a decoder can leave most of them out."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            return image.width * image.height, image.format not in WHOLE and "progressive" not in image.info
    except Exception:  # Pillow's parsers raise many types; `decode` says what is wrong
        return 0, True


def _shrink(body: bytes, side: int) -> Image.Image:
    image = decode(body, draft=side)
    image.thumbnail((side, side))
    return image
