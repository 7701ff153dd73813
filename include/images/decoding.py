"""Decode and check photos: the decoder that training, serving and the app share."""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from include.errors import NotAPhoto

VERSION = 1  # increase when the same bytes decode to other pixels: the key of feature vectors contains it
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MIN_SIDE = 16


def decode(
    body: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, draft: int | None = None
) -> Image.Image:
    """The image in ``body``: upright, RGB, transparency on white, the first of several frames.

    With ``draft`` a JPEG may be decoded at a smaller size, which is much faster; no side shrinks below ``draft``
    pixels. Raises NotAPhoto with the ``reason`` empty, too_many_bytes, not_an_image, too_many_pixels, too_small or
    damaged.
    """
    _check_bytes(body, max_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about large images and unusual EXIF; our own limits decide
        image = _open(body)
        _check_size(image, max_pixels)
        return _load(image, draft)


def to_pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The whole image resized to a square, whatever its aspect ratio: uint8 (size, size, 3)."""
    resized = image.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return np.asarray(resized, dtype=np.uint8)


def decode_pixels(body: bytes, size: int) -> NDArray[np.uint8]:
    """Decode and resize: bytes to uint8 (size, size, 3). Raises NotAPhoto."""
    return to_pixels(decode(body, draft=2 * size), size)


def decode_twice(body: bytes, size: int) -> tuple[Image.Image, NDArray[np.uint8]]:
    """The image at full size, and its pixels as ``decode_pixels`` gives them, uint8 (size, size, 3).

    Only a JPEG large enough to be decoded at a smaller size is decoded a second time. Raises NotAPhoto.
    """
    image, header = decode(body), _open(body)
    full_size = header.size
    header.draft("RGB", (2 * size, 2 * size))
    return image, to_pixels(image, size) if header.size == full_size else decode_pixels(body, size)


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
    except MemoryError:  # the machine, not the photo
        raise
    except Image.DecompressionBombError as error:  # raised before the size is known
        raise NotAPhoto("too_many_pixels", f"the picture is too large: {error}") from error
    except Exception as error:  # Pillow's parsers raise many types of exceptions on hostile headers
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
    except MemoryError:
        raise
    except Exception as error:  # as above: a broken stream raises OSError, SyntaxError, ValueError, struct.error ...
        raise NotAPhoto("damaged", f"the picture is truncated or damaged: {error}") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits per channel: Pillow would clip at 255 instead of scaling
        image = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB")
