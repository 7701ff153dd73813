"""Decode and check photos: the decoder that training, serving and the app share.

Pixels decide: of the metadata only the orientation is read, and nothing else of it can spoil a photo. A photo is called
damaged for what its bytes are, never because the machine lacked something when they were decoded.
"""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError, WebPImagePlugin

from include.errors import NotAPhoto
from include.images.essentials import PNG, Essentials, essentials_of
from include.images.orientation import read_orientation, turn_upright
from include.images.other_formats import SMALLER, name_format

VERSION = 2  # increase when the same bytes decode to other pixels: the key of feature vectors contains it
FORMATS = ("JPEG", "PNG", "WEBP")
MAX_BYTES = 40_000_000
MAX_PIXELS = 110_000_000  # of a JPEG: the largest photos of phones have 108 megapixels
MAX_WHOLE = 51_000_000  # of what cannot be reduced while it is decoded; a larger JPEG is decoded at half its size
MIN_SIDE = 16
PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin)  # of FORMATS; Pillow keeps silent where it cannot load one
BYTES_PER_PIXEL = 16  # twice what a decoder in C had when it last took a lack of memory for broken bytes
STRIP = 2**15  # pixels that are laid on white at a time: few enough for the processor's cache


def decode(
    body: bytes, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS, draft: int | None = None
) -> Image.Image:
    """The image in ``body``: upright, RGB, transparency on white, the first of several frames.

    With ``draft`` a JPEG may be decoded at a smaller size, which is much faster; no side shrinks below ``draft``
    pixels. A JPEG of more than MAX_WHOLE pixels comes at half its width and height.
    Raises NotAPhoto with the ``reason`` empty, too_many_bytes, not_an_image, too_many_pixels, too_small or damaged.
    Faults of the machine rise as they are: MemoryError, ImportError, OSError with a number, RuntimeError.
    """
    _check_bytes(body, max_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about large images; our own limits decide
        essentials = essentials_of(body)
        image = _open(essentials.body)
        _check_size(image, max_pixels)
        return _load(image, draft, essentials)


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
    image, header = decode(body), _open(essentials_of(body).body)
    full_size = header.size
    header.draft("RGB", (2 * size, 2 * size))
    return image, to_pixels(image, size) if header.size == full_size else decode_pixels(body, size)


def _check_bytes(body: bytes, max_bytes: int) -> None:
    if not body:
        raise NotAPhoto("empty", "the file is empty; send the photo again")
    if len(body) > max_bytes:
        problem = f"the file has {len(body):,} bytes; at most {max_bytes:,} are read"
        raise NotAPhoto("too_many_bytes", f"{problem}: send a smaller copy of the photo")


def _open(body: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(body), formats=FORMATS)
    except UnidentifiedImageError:
        if not WebPImagePlugin.SUPPORTED:
            raise ImportError("Pillow could not load its WebP decoder: start the process again") from None
        if body.startswith(PNG):
            raise NotAPhoto("damaged", "the picture's header is damaged: send the photo again") from None
        raise NotAPhoto("not_an_image", name_format(body)) from None
    except Image.DecompressionBombError:  # raised before the size is known
        raise NotAPhoto("too_many_pixels", f"the picture has more than {MAX_PIXELS:,} pixels; {SMALLER}") from None
    except Exception as error:  # Pillow's parsers raise many types of exceptions on hostile headers
        _raise_if_the_machine_is_at_fault(error, MAX_WHOLE)
        raise NotAPhoto("damaged", f"the picture's header is damaged: {error}") from error


def _check_size(image: Image.Image, max_pixels: int) -> None:
    size = f"the picture has {image.width} x {image.height} pixels"
    most = max_pixels if image.format == "JPEG" else min(max_pixels, MAX_WHOLE)
    if image.width * image.height > most:
        raise NotAPhoto("too_many_pixels", f"{size}; of a {image.format} at most {most:,} are read: {SMALLER}")
    if min(image.size) < MIN_SIDE:
        raise NotAPhoto("too_small", f"{size}; each side needs {MIN_SIDE}")


def _load(image: Image.Image, draft: int | None, essentials: Essentials) -> Image.Image:
    try:
        if draft:
            image.draft("RGB", (draft, draft))
        elif image.width * image.height > MAX_WHOLE:
            image.draft("RGB", (image.width // 2, image.height // 2))
        orientation = read_orientation(essentials.exif or image.info.get("exif", b""))
        return turn_upright(_to_rgb(image, essentials), orientation)
    except Exception as error:  # as above: a broken stream raises OSError, SyntaxError, ValueError, struct.error ...
        _raise_if_the_machine_is_at_fault(error, image.width * image.height)
        raise NotAPhoto("damaged", f"the picture is truncated or damaged: {error}") from error


def _raise_if_the_machine_is_at_fault(error: Exception, pixels: int) -> None:
    """Return only where ``error`` tells of broken bytes. ``pixels`` are those of the picture, or of the largest one.

    Decoders in C that get no memory raise the same plain OSError as for broken bytes ("broken data stream", "could not
    create decoder object"): whether there was memory is asked afterwards. Raises ``error``, or MemoryError.
    """
    if _is_of_the_machine(error):
        raise error
    np.empty(pixels * BYTES_PER_PIXEL, np.uint8)  # reserved, and never touched


def _is_of_the_machine(error: Exception) -> bool:
    """Pillow's errors about bytes are plain OSErrors without a number, or of types that no system call raises."""
    if isinstance(error, OSError):
        about_bytes = type(error) in (OSError, UnidentifiedImageError)
        return not about_bytes or error.errno is not None
    if isinstance(error, RuntimeError):  # such as "can't start new thread"
        return not isinstance(error, RecursionError | NotImplementedError)
    return isinstance(error, MemoryError | ImportError)


def _to_rgb(image: Image.Image, essentials: Essentials) -> Image.Image:
    image.load()
    if image.mode.startswith("I"):  # 16 bits per channel: Pillow would clip at 255 instead of scaling
        deep = np.asarray(image).astype(np.uint32)
        grey = np.where(np.isin(deep, essentials.clear), 255, (deep >> 8).clip(0, 255))
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if essentials.clear:
        return _clear_colour(image, _open(essentials.body), essentials.clear)
    return _on_white(image) if image.has_transparency_data else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """In strips: at once it would take five times the memory of the picture, and twice the time."""
    result, rows = Image.new("RGB", image.size, "white"), max(STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        layer = image.crop((0, top, image.width, min(top + rows, image.height))).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        result.paste(Image.alpha_composite(white, layer).convert("RGB"), (0, top))
    return result


def _clear_colour(image: Image.Image, low: Image.Image, clear: tuple[int, ...]) -> Image.Image:
    """White where all 16 bits of red, green and blue are those of ``clear``: Pillow keeps the upper 8 of them, and for
    ``low``, the same picture, it is told to keep the others.
    """
    low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]  # type: ignore[attr-defined]
    deep = np.asarray(image).astype(np.uint16) << 8 | np.asarray(low)
    is_clear = (deep == np.array(clear, np.uint16)).all(axis=-1, keepdims=True)
    return Image.fromarray(np.where(is_clear, 255, np.asarray(image)).astype(np.uint8))
