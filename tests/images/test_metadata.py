"""Pixels decide: whatever the metadata says, and in whatever state it is, the picture is the same and upright."""

import io
import itertools
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from app.services import clean
from include.errors import NotAPhoto
from include.images.decoding import decode, decode_pixels, decode_twice
from include.images.essentials import PNG, essentials_of
from include.images.orientation import TURNS, read_orientation
from tests.pictures import encode

Pixels = NDArray[np.uint8]
Entry = tuple[int, int, int, bytes]  # tag, type, count, the four bytes of its value
DETAIL = Image.fromarray(np.random.default_rng(2).integers(0, 256, (3, 5, 3), np.uint8)).resize((40, 24))


def same(one: Image.Image | Pixels, other: Image.Image | Pixels) -> bool:
    return np.array_equal(np.asarray(one), np.asarray(other))


# --- EXIF ------------------------------------------------------------------------------------------------------------


def tiff(entries: list[Entry], order: str = "<", rest: bytes = b"") -> bytes:
    """EXIF data with one directory; ``rest`` lies behind it, where values can be."""
    mark = {"<": b"II*\0", ">": b"MM\0*"}[order]
    packed = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    return mark + struct.pack(f"{order}I", 8) + struct.pack(f"{order}H", len(entries)) + packed + bytes(4) + rest


def turned(orientation: int, order: str = "<") -> Entry:
    return 0x0112, 3, 1, struct.pack(f"{order}HH", orientation, 0)


FAR = struct.pack("<I", 60_000)  # beyond the end
BEHIND = struct.pack("<I", 38)  # where ``rest`` begins, with two entries
ODD: dict[str, Entry] = {
    "a negative denominator": (0x011A, 10, 1, BEHIND),
    "a rational beyond the end": (0x011A, 5, 1, FAR),
    "a zero denominator": (0x011B, 5, 1, struct.pack("<I", 46)),
    "text where a number is due": (0x0100, 2, 4, b"abc\0"),
    "a number where text is due": (0x010F, 3, 1, b"\x07\0\0\0"),
    "a count of none": (0x0110, 2, 0, bytes(4)),
    "a count of billions": (0x0110, 2, 0xFFFFFFFF, FAR),
    "an offset beyond the end": (0x010F, 2, 20, FAR),
    "an offset of billions": (0x010F, 2, 20, b"\xff" * 4),
    "an unknown type": (0x010E, 99, 3, b"abcd"),
    "a type of zero": (0x010E, 0, 1, bytes(4)),
    "a directory that is not there": (0x8769, 4, 1, FAR),
    "a directory of itself": (0x8769, 4, 1, struct.pack("<I", 8)),
    "GPS beyond the end": (0x8825, 4, 1, b"\xff" * 4),
    "a float that is no number": (0x011A, 11, 1, struct.pack("<f", float("nan"))),
    "undefined bytes": (0x9286, 7, 4, b"\xff\xfe\xfd\xfc"),
    "a user comment beyond the end": (0x9286, 7, 900, FAR),
}
REST = struct.pack("<ii", 72, -1) + struct.pack("<II", 72, 0)
OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "PNG": {}, "WEBP": {"lossless": True}}
KINDS = tuple(OPTIONS)


def with_exif(kind: str, exif: bytes) -> bytes:
    """The picture DETAIL without any loss but that of its kind, and these EXIF data as they are."""
    options = OPTIONS[kind]
    return encode(DETAIL, kind, exif=b"Exif\0\0" + exif if kind == "JPEG" else exif, **options)


def upright(kind: str, orientation: int) -> Pixels:
    image = Image.open(io.BytesIO(with_exif(kind, b""))).convert("RGB")
    return np.asarray(image.transpose(TURNS[orientation]) if orientation in TURNS else image)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ODD)
def test_an_odd_entry_beside_the_orientation_changes_nothing(kind: str, name: str) -> None:
    for orientation, first in itertools.product(range(1, 9), (True, False)):
        pair = [ODD[name], turned(orientation)]
        body = with_exif(kind, tiff(pair if first else pair[::-1], rest=REST))
        assert same(decode(body), upright(kind, orientation)), orientation


entries = st.tuples(
    st.integers(0, 0xFFFF).filter(lambda tag: tag != 0x0112),
    st.integers(0, 0xFFFF),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=4, max_size=4),
)


@given(st.lists(entries, max_size=8), st.integers(0, 8), st.integers(1, 8), st.sampled_from("<>"), st.binary())
def test_whatever_entries_there_are_the_orientation_is_found(
    others: list[Entry], place: int, orientation: int, order: str, rest: bytes
) -> None:
    found = [*others[:place], turned(orientation, order), *others[place:]]
    exif = tiff(found, order, rest)
    assert read_orientation(exif) == read_orientation(b"Exif\0\0" + exif) == orientation
    assert same(decode(with_exif("JPEG", exif)), upright("JPEG", orientation))


@given(st.binary(max_size=80))
def test_exif_data_that_are_none_leave_the_picture_as_it_is_stored(exif: bytes) -> None:
    for kind in KINDS:
        turn = read_orientation(exif)
        assert same(decode(with_exif(kind, exif)), upright(kind, turn))
    assert read_orientation(b"II*\0\x08\0\0\0" + exif[:9]) in range(1, 9)


@pytest.mark.parametrize(
    ("entry", "orientation"),
    [
        ((0x0112, 4, 1, struct.pack("<I", 6)), 6),  # a long number
        ((0x0112, 1, 1, b"\x08\0\0\0"), 8),  # a byte
        ((0x0112, 3, 2, struct.pack("<HH", 3, 6)), 3),  # two of them: the first
        ((0x0112, 2, 2, b"6\0\0\0"), 1),  # text
        ((0x0112, 5, 1, FAR), 1),  # a rational
        ((0x0112, 3, 1, struct.pack("<HH", 0, 0)), 1),
        ((0x0112, 3, 1, struct.pack("<HH", 9, 0)), 1),
        ((0x0112, 3, 900, FAR), 1),
    ],
)
def test_an_odd_orientation(entry: Entry, orientation: int) -> None:
    assert read_orientation(tiff([entry])) == orientation


# --- JPEG ------------------------------------------------------------------------------------------------------------


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content


SEGMENTS = {
    "a short JFIF": segment(0xE0, b"JFIF\0"),
    "a short Adobe": segment(0xEE, b"Adobe"),
    "a broken colour profile": segment(0xE2, b"ICC_PROFILE\0"),
    "a broken list of pictures": segment(0xE2, b"MPF\0" + b"\xff" * 40),
    "a broken Photoshop block": segment(0xED, b"Photoshop 3.0\0008BIM\x03\xed"),
    "XMP with another orientation": segment(0xE1, b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'),
    "a comment": segment(0xFE, b"\xff" * 60_000),
    "fill bytes": b"\xff\xff\xff",
    "bytes between segments": b"\0\0\0",
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_no_segment_of_metadata_spoils_a_jpeg(name: str) -> None:
    plain = with_exif("JPEG", b"")
    assert same(decode(plain[:2] + SEGMENTS[name] + plain[2:]), decode(plain))
    assert same(decode(plain + b"behind the picture" + SEGMENTS[name]), decode(plain))


@given(st.lists(st.tuples(st.sampled_from([*range(0xE1, 0xEE), 0xEF, 0xFE]), st.binary(max_size=60)), max_size=6))
def test_whatever_a_jpeg_says_of_itself_its_pixels_are_the_same(parts: list[tuple[int, bytes]]) -> None:
    plain = with_exif("JPEG", b"")
    body = plain[:2] + b"".join(segment(*part) for part in parts if not part[1].startswith(b"Exif\0\0")) + plain[2:]
    assert same(decode(body), decode(plain))


def test_of_a_phone_photo_with_a_second_picture_the_first_counts() -> None:
    two = encode(DETAIL, "MPO", save_all=True, append_images=[DETAIL.transpose(Image.Transpose.ROTATE_180)], quality=95)
    assert same(decode(two), decode(encode(DETAIL, quality=95)))


# --- PNG -------------------------------------------------------------------------------------------------------------


def chunk(name: bytes, content: bytes, *, sound: bool = True) -> bytes:
    checksum = zlib.crc32(name + content) ^ (0 if sound else 1)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png(width: int, rows: list[bytes], depth: int, colour: int, *, between: bytes = b"", after: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    half = len(data) // 2
    pixels = chunk(b"IDAT", data[:half]) + chunk(b"IDAT", data[half:])
    return PNG + chunk(b"IHDR", header) + between + pixels + after + chunk(b"IEND", b"")


CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
FORMS = [
    (colour, depth, clear)
    for colour, depths in DEPTHS.items()
    for depth in depths
    for clear in ((False, True) if colour in (0, 2, 3) else (False,))
]


def samples_of(colour: int, depth: int, side: int = 16) -> NDArray[np.int64]:
    """Values as a PNG stores them: int (side, side, channels), the first pixel again in the last place."""
    most = 2**depth
    values = np.random.default_rng(colour * 100 + depth).integers(0, most, (side, side, CHANNELS[colour]))
    values[-1, -1] = values[0, 0]
    if depth == 16:  # close to the first pixel, but not the same colour
        values[0, 1] = values[0, 0] ^ 1
    return values


def rows_of(values: NDArray[np.int64], depth: int) -> list[bytes]:
    if depth == 16:
        return [row.astype(">u2").tobytes() for row in values]
    bits = np.unpackbits(values.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return [np.packbits(row.reshape(-1)).tobytes() for row in bits]


def shown(values: NDArray[np.int64], colour: int, depth: int, *, clear: bool) -> Pixels:
    """What a viewer shows on white, uint8 (side, side, 3), by the PNG specification."""
    if colour == 3:
        index = values[..., 0]
        pixels = PALETTE[index].astype(float)
        alpha = np.where(index == values[0, 0, 0], 0, 255) if clear else np.full(index.shape, 255)
    else:
        eight = values >> 8 if depth == 16 else values * 255 // (2**depth - 1)
        pixels = np.repeat(eight[..., :1], 3, axis=-1) if colour in (0, 4) else eight[..., :3]
        alpha = eight[..., -1] if colour in (4, 6) else np.full(values.shape[:2], 255)
        if clear:
            alpha = np.where((values == values[0, 0]).all(axis=-1), 0, 255)
    share = alpha[..., None] / 255
    return np.asarray(np.round(pixels * share + 255 * (1 - share)), np.uint8)


PALETTE = np.random.default_rng(5).integers(0, 256, (256, 3))


def form(colour: int, depth: int, *, clear: bool, **parts: bytes) -> tuple[bytes, Pixels]:
    values = samples_of(colour, depth)
    between = b""
    if colour == 3:
        between += chunk(b"PLTE", PALETTE[: 2**depth].astype(np.uint8).tobytes())
    if clear and colour == 3:
        alpha = np.full(2**depth, 255, np.uint8)
        alpha[values[0, 0, 0]] = 0
        between += chunk(b"tRNS", alpha.tobytes())
    elif clear:
        between += chunk(b"tRNS", values[0, 0].astype(">u2").tobytes())
    parts = {"between": between + parts.get("between", b""), "after": parts.get("after", b"")}
    return png(16, rows_of(values, depth), depth, colour, **parts), shown(values, colour, depth, clear=clear)


@pytest.mark.parametrize(("colour", "depth", "clear"), FORMS)
def test_every_form_of_png_is_what_a_viewer_shows(colour: int, depth: int, clear: bool) -> None:
    body, expected = form(colour, depth, clear=clear)
    pixels = np.asarray(decode(body)).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= (1 if colour in (4, 6) else 0), "rounding of what is half transparent"


def profile(size: int) -> bytes:
    return b"a profile\0\0" + zlib.compress(bytes(size))


CHUNKS = {
    "a large colour profile": chunk(b"iCCP", profile(3_000_000)),
    "a colour profile of another method": chunk(b"iCCP", b"a profile\0\x07" + zlib.compress(b"x")),
    "a large text": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 80_000_000)),
    "many large texts": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 900_000)) * 80,
    "a text with a bad checksum": chunk(b"tEXt", b"Comment\0hello", sound=False),
    "a time with a bad checksum": chunk(b"tIME", bytes(7), sound=False),
    "a transparency with a bad checksum": chunk(b"tRNS", bytes(6), sound=False),
    "a short gamma": chunk(b"gAMA", b"\0"),
    "a short chromaticity": chunk(b"cHRM", b"\0"),
    "a short resolution": chunk(b"pHYs", b"\0"),
    "a transparency of another length": chunk(b"tRNS", b"\0"),
    "a broken animation": chunk(b"acTL", b"\0") + chunk(b"fcTL", b"\0" * 26),
    "an unknown chunk": chunk(b"vpAg", b"hello"),
    "text that is no text": chunk(b"iTXt", b"\xff\0\xff\xff\xff"),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_no_chunk_beside_the_pixels_spoils_a_png(name: str) -> None:
    for place in ("between", "after"):
        body, expected = form(2, 8, clear=False, **{place: CHUNKS[name]})
        assert same(decode(body), expected), place


ancillary = st.tuples(
    st.sampled_from(
        [b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"gAMA", b"cHRM", b"pHYs", b"sRGB", b"bKGD", b"acTL", b"fcTL"]
    ),
    st.binary(max_size=50),
    st.booleans(),
)


@given(st.lists(ancillary, max_size=5), st.lists(ancillary, max_size=5), st.integers(1, 8))
def test_whatever_a_png_says_of_itself_its_pixels_are_the_same(
    before: list[tuple[bytes, bytes, bool]], after: list[tuple[bytes, bytes, bool]], orientation: int
) -> None:
    parts = {
        "between": b"".join(chunk(name, content, sound=sound) for name, content, sound in before),
        "after": b"".join(chunk(name, content, sound=sound) for name, content, sound in after),
    }
    parts["after"] += chunk(b"eXIf", tiff([turned(orientation)]))
    body, expected = form(2, 8, clear=False, **parts)
    image = Image.fromarray(expected)
    assert same(decode(body), image.transpose(TURNS[orientation]) if orientation in TURNS else image)


small = st.integers(0, 255)
headers = st.tuples(st.integers(0, 40), st.integers(0, 40), *[small] * 5).map(
    lambda parts: struct.pack(">IIBBBBB", *parts)
)
likely = st.tuples(st.just(16), st.just(16), st.sampled_from([0, 1, 2, 3, 4, 8, 16]), st.integers(0, 7)).map(
    lambda parts: struct.pack(">IIBBBBB", *parts, 0, 0, 0)
)
makers = st.tuples(st.sampled_from([b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf", b"IEND"]), st.binary(max_size=800))


@given(st.one_of(headers, likely, st.binary(max_size=20)), st.lists(makers, max_size=4), st.binary(max_size=40))
def test_whatever_makes_its_pixels_a_png_is_a_picture_or_has_a_reason(
    header: bytes, parts: list[tuple[bytes, bytes]], rest: bytes
) -> None:
    pixels = chunk(b"IDAT", zlib.compress(bytes(16 * 130)))
    body = PNG + chunk(b"IHDR", header) + b"".join(chunk(*part) for part in parts) + pixels + rest
    with suppress(NotAPhoto):
        assert decode(body).mode == "RGB"


@given(st.sampled_from([b"\xff\xd8", b"\xff\xd8\xff\xe1", PNG, b"RIFF\0\0\0\0WEBPVP8 "]), st.binary(max_size=200))
def test_whatever_follows_a_signature_is_a_picture_or_has_a_reason(signature: bytes, rest: bytes) -> None:
    with suppress(NotAPhoto):
        assert decode(signature + rest).mode == "RGB"


def damaged_pngs() -> Iterator[bytes]:
    body, _ = form(2, 8, clear=False)
    for name in (b"IHDR", b"IDAT"):
        place = body.index(name) + 8
        yield body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
    palette, _ = form(3, 8, clear=False)
    place = palette.index(b"PLTE") + 30
    yield palette[:place] + bytes([palette[place] ^ 1]) + palette[place + 1 :]


def test_a_bad_checksum_in_what_makes_the_pixels_is_damage() -> None:
    for body in damaged_pngs():
        with pytest.raises(NotAPhoto, match="another checksum") as caught:
            decode(body)
        assert caught.value.reason == "damaged"


def test_a_png_whose_header_cannot_be_is_damaged() -> None:
    for depth, colour in ((0, 0), (3, 2), (8, 5)):
        body = png(16, [bytes(48)] * 16, depth, colour, between=chunk(b"tRNS", bytes(2)))
        with pytest.raises(NotAPhoto) as caught:
            decode(body)
        assert caught.value.reason == "damaged"


def test_a_png_without_its_end_is_read_where_all_pixels_are_there() -> None:
    body, expected = form(2, 8, clear=False)
    assert same(decode(body[: body.rindex(b"IEND") - 8]), expected)
    with pytest.raises(NotAPhoto, match="truncated"):
        decode(body[: body.rindex(b"IDAT") - 4])


def test_an_animated_png_is_its_own_picture() -> None:
    frames = [DETAIL, DETAIL.transpose(Image.Transpose.ROTATE_180)]
    body = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert same(decode(body), DETAIL)


# --- one decoder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_app_server_and_training_see_the_same_pixels(kind: str) -> None:
    """The app sends what it has cleaned; the server and the training read a file by the same function."""
    body = with_exif(kind, tiff([ODD["a zero denominator"], turned(6)], rest=REST))
    whole, pixels = decode_twice(body, 32)
    assert same(whole, upright(kind, 6))
    assert same(pixels, decode_pixels(body, 32))
    cleaned = np.asarray(decode(clean(body))).astype(int)
    assert cleaned.shape == np.asarray(whole).shape
    assert np.abs(cleaned - np.asarray(whole)).mean() < 4, "another JPEG, the right way up"
    assert essentials_of(clean(body)).exif == b""
