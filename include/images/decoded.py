"""What each use needs of a photo's bytes; in the process that asks, or in a worker of `decode_pool`."""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from include.errors import NotAPhoto
from include.images.decoding import FORMATS, MAX_PIXELS, MIN_SIDE, decode, to_pixels
from include.images.essentials import essentials_of

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
    image, source_pixels = decode(body, draft=2 * size, max_pixels=max_pixels), look(body)[0]
    pixels = to_pixels(image, size)
    if preview:
        is_reduced = image.width * image.height < source_pixels
        image = _shrink(body, preview) if is_reduced and max(image.size) < preview else _thumbnail(image, preview)
    return Decoded(pixels, image if preview else None, source_pixels)


def clean_jpeg(body: bytes, *, side: int, quality: int) -> bytes:
    """The picture and nothing else: upright JPEG, no side above ``side``, without EXIF or GPS. Raises NotAPhoto."""
    image = _shrink(body, side)
    if min(image.size) < MIN_SIDE:
        raise NotAPhoto("too_small", f"a strip: reduced it has {image.width} x {image.height} pixels")
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def look(body: bytes) -> tuple[int, bool]:
    """How many pixels the header declares, 0 where none can be read; and whether decoding takes hundreds of
    megabytes: many pixels, in a form that cannot be reduced meanwhile. It sees what `decode` sees: no metadata.
    """
    try:
        with Image.open(io.BytesIO(essentials_of(body).body), formats=FORMATS) as image:
            pixels, whole = image.width * image.height, image.format in WHOLE or "progressive" in image.info
    except Exception:  # Pillow's parsers raise many types; `decode` says what is wrong
        return 0, False
    return pixels, whole and pixels > LARGE


def _shrink(body: bytes, side: int) -> Image.Image:
    return _thumbnail(decode(body, draft=side), side)


def _thumbnail(image: Image.Image, side: int) -> Image.Image:
    image.thumbnail((side, side))
    return image
