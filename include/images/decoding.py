"""Bytes to checked RGB pixels: the one decoder of training, serving and the app."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from include.errors import NotAPhoto

VERSION = 1  # raise it when the same bytes give other pixels: caches of decoded pixels are keyed by it
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MIN_SIDE = 16


def decode(
    body: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, draft: int | None = None
) -> Image.Image:
    """The picture in ``body``, upright, in RGB, transparent parts white; of several frames the first.

    With ``draft`` a JPEG may come back smaller, but no side below that many pixels: decoding is then much faster.
    Raises NotAPhoto, whose ``reason`` is one of: empty, too_many_bytes, not_an_image, too_many_pixels, too_small,
    damaged.
    """
    _check_bytes(body, max_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of large pictures and odd EXIF; our limits decide
        image = _open(body)
        _check_size(image, max_pixels)
        return _load(image, draft)


def to_pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The whole picture squeezed into a square: uint8, shape (size, size, 3)."""
    squeezed = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(squeezed, dtype=np.uint8)


def decode_pixels(body: bytes, size: int) -> NDArray[np.uint8]:
    """Bytes to uint8 (size, size, 3) in one step; raises NotAPhoto."""
    return to_pixels(decode(body, draft=2 * size), size)


def decode_twice(body: bytes, size: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """The whole picture, and its pixels as ``decode_pixels`` gives them; decoded once unless it is a large JPEG.

    Raises NotAPhoto.
    """
    whole, header = decode(body), _open(body)
    full = header.size
    header.draft("RGB", (2 * size, 2 * size))
    return whole, to_pixels(whole, size) if header.size == full else decode_pixels(body, size)


def _check_bytes(body: bytes, max_bytes: int) -> None:
    if not body:
        raise NotAPhoto("empty", "the file is empty; send the photo again")
    if len(body) > max_bytes:
        raise NotAPhoto("too_many_bytes", f"the file has {len(body):,} bytes; at most {max_bytes:,} are read")


def _open(body: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        raise NotAPhoto("not_an_image", f"this is not a picture in {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:  # before we see its size
        raise NotAPhoto("too_many_pixels", f"the picture is too large: {error}") from error
    except Exception as error:  # Pillow's parsers raise many kinds on hostile headers
        raise NotAPhoto("damaged", f"the picture's header is damaged: {error}") from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    size = f"the picture has {image.width} x {image.height} pixels"
    if image.width * image.height > max_pixels:
        raise NotAPhoto("too_many_pixels", f"{size}; at most {max_pixels:,} are read")
    if min(image.size) < MIN_SIDE:
        raise NotAPhoto("too_small", f"{size}; each side needs {MIN_SIDE}")


def _load(image: Image.Image, draft: int | None) -> Image.Image:
    try:
        if draft:
            image.draft("RGB", (draft, draft))
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # as above: a broken stream raises OSError, SyntaxError, ValueError, struct.error ...
        raise NotAPhoto("damaged", f"the picture breaks off or is damaged: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a channel: Pillow would clip at 255 instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
