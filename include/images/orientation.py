"""How a photo is to be turned, read from its EXIF data: this one entry, whatever the others hold."""

from typing import Literal

from PIL import Image

TAG = 0x0112
ORDERS: dict[bytes, Literal["little", "big"]] = {b"II": "little", b"MM": "big"}
SIZES = {1: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4}  # bytes of a whole number, by its type in EXIF
ENTRY = 12  # bytes
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_orientation(exif: bytes) -> int:
    """1 to 8 as EXIF counts them; 1, which is upright, where the entry is missing or says nothing sound.

    ``exif`` may begin with the six bytes by which a JPEG marks it, and may be cut, damaged or empty.
    """
    tiff = exif.removeprefix(b"Exif\0\0")
    order = ORDERS.get(tiff[:2])
    if order is None:
        return 1

    def number(start: int, size: int) -> int:
        return int.from_bytes(tiff[start : start + size], order)

    first = number(4, 4)
    for entry in range(first + 2, first + 2 + ENTRY * number(first, 2), ENTRY):
        if number(entry, 2) == TAG:
            size, count = SIZES.get(number(entry + 2, 2), 0), number(entry + 4, 4)
            place = entry + 8 if size * count <= 4 else number(entry + 8, 4)
            value = number(place, size)
            return value if value in TURNS else 1
    return 1


def turn_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as it is meant to be seen; the same object where it is upright."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image
