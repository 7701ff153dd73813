"""What of a file makes its pixels. Everything else is left out before the decoder sees it: a viewer that does not know
an entry of the metadata, or finds it broken, shows the picture all the same.
"""

import struct
import zlib
from dataclasses import dataclass

from include.errors import NotAPhoto

JPEG, PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
START_OF_SCAN, END_OF_IMAGE, COMMENT, EXIF = 0xDA, 0xD9, 0xFE, 0xE1
STANDALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
APPLICATION = range(0xE0, 0xF0)
COLOURS = {0xE0: (b"JFIF\0", 16), 0xEE: (b"Adobe", 14)}  # what says how colours are stored, and its least length
GREY, TRUECOLOUR, PALETTE = 0, 2, 3  # PNG's colour types that tRNS makes transparent


@dataclass(frozen=True)
class Essentials:
    """A file with the same pixels and no metadata, and the EXIF data that it had.

    ``clear`` is the transparent colour of a PNG of 16 bits, at 16 bits: one grey value, or red, green and blue.
    """

    body: bytes
    exif: bytes = b""
    clear: tuple[int, ...] = ()


def essentials_of(body: bytes) -> Essentials:
    """Raises NotAPhoto for a PNG whose header or pixels do not have their checksum. Other formats pass unchanged."""
    if body.startswith(PNG):
        return _of_png(body)
    return _of_jpeg(body) if body.startswith(JPEG) else Essentials(body)


def _of_jpeg(body: bytes) -> Essentials:
    kept, exif, at = [JPEG], b"", len(JPEG)
    while (start := body.find(b"\xff", at)) >= 0:
        at = start + 1
        marker = body[at] if at < len(body) else END_OF_IMAGE
        if marker in (START_OF_SCAN, END_OF_IMAGE):
            kept.append(body[start:])
            break
        if marker in (0x00, 0xFF) or marker in STANDALONE:
            continue
        end = at + 1 + int.from_bytes(body[at + 1 : at + 3], "big")
        content = body[at + 3 : end]
        if marker == EXIF and content.startswith(b"Exif\0\0"):
            exif = exif or content
        if _makes_pixels(marker, content):
            kept.append(body[start:end])
        at = max(end, at + 1)
    return Essentials(b"".join(kept), exif)


def _makes_pixels(marker: int, content: bytes) -> bool:
    if marker in COLOURS:
        mark, length = COLOURS[marker]
        return content.startswith(mark) and len(content) + 2 >= length
    return marker != COMMENT and marker not in APPLICATION


def _of_png(body: bytes) -> Essentials:
    found: dict[bytes, bytes] = {}
    data, at, name = [], len(PNG), b""
    while at + 8 <= len(body) and name != b"IEND":
        length, name = struct.unpack(">I4s", body[at : at + 8])
        content, checksum = body[at + 8 : at + 8 + length], body[at + 8 + length : at + 12 + length]
        is_sound = checksum == zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")
        at += 12 + length
        if name in (b"IHDR", b"PLTE", b"IDAT") and not is_sound and len(checksum) == 4:
            raise NotAPhoto("damaged", f"the picture is damaged: its part {name.decode()} has another checksum")
        if name == b"IDAT":
            data.append(content)
        elif is_sound:
            found.setdefault(name, content)
    header = found.get(b"IHDR", b"").ljust(13, b"\0")
    kept = {b"IHDR": found.get(b"IHDR"), b"PLTE": found.get(b"PLTE"), b"tRNS": _alpha(header, found)}
    chunks = [_chunk(name, content) for name, content in kept.items() if content is not None]
    whole = b"".join([PNG, *chunks, _chunk(b"IDAT", b"".join(data)), _chunk(b"IEND", b"")])
    return Essentials(whole, found.get(b"eXIf", b""), _clear(header, found))


def _alpha(header: bytes, found: dict[bytes, bytes]) -> bytes | None:
    """tRNS for the decoder, which compares with values of 8 bits."""
    depth, colour, alpha = header[8], header[9], found.get(b"tRNS", b"")
    if colour == PALETTE:
        return alpha if 0 < len(alpha) <= len(found.get(b"PLTE", b"")) // 3 else None
    values = _values(colour, alpha)
    if not values or depth not in (1, 2, 4, 8):
        return None
    most = 2**depth - 1
    return b"".join(((value & most) * 255 // most).to_bytes(2, "big") for value in values)


def _clear(header: bytes, found: dict[bytes, bytes]) -> tuple[int, ...]:
    return _values(header[9], found.get(b"tRNS", b"")) if header[8] == 16 else ()


def _values(colour: int, alpha: bytes) -> tuple[int, ...]:
    """The transparent colour of a picture without a palette; nothing where tRNS has another length than its type."""
    length = {GREY: 1, TRUECOLOUR: 3}.get(colour, 0)
    return struct.unpack(f">{length}H", alpha) if length and len(alpha) == 2 * length else ()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), name) + content + zlib.crc32(content, zlib.crc32(name)).to_bytes(4, "big")
