import errno
import io
import os
import random
import struct
import subprocess
import sys
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, WebPImagePlugin

from include.errors import NotAPhoto
from include.images import decoding
from include.images.decoding import decode, decode_pixels, decode_twice, to_pixels
from include.settings import ROOT
from tests.pictures import encode, plain


def colour_of(image: Image.Image) -> tuple:
    return tuple(round(value / 32) for value in np.asarray(image).reshape(-1, 3).mean(axis=0))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_reads_the_three_formats(kind: str) -> None:
    image = decode(plain("red", kind=kind))
    assert image.mode == "RGB"
    assert image.size == (64, 48)
    assert colour_of(image) == (8, 0, 0)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b"%PDF-1.7 a document", "not_an_image"),
        (b"just text, named .jpg", "not_an_image"),
        (plain(kind="GIF"), "not_an_image"),
        (plain(size=(400, 300))[:900], "damaged"),
        (plain(kind="PNG", size=(400, 300))[:200], "damaged"),
        (plain(size=(8, 200)), "too_small"),
        (plain(size=(8000, 7000), kind="PNG"), "too_many_pixels"),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 50, "not_an_image"),
    ],
)
def test_bad_photos_have_a_reason_each(body: bytes, reason: str) -> None:
    with pytest.raises(NotAPhoto) as caught:
        decode(body)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "this is a HEIC photo, .*: your phone can send it as JPEG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "this is a HEIC photo"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "this is an AVIF picture, .*: save it as JPEG"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "this is a video, .*: send a photo"),
        (plain(kind="GIF"), "this is a GIF picture"),
        (plain(kind="BMP"), "this is a BMP picture"),
        (plain(kind="TIFF"), "this is a TIFF or raw picture"),
        (b"%PDF-1.7", "this is a PDF document"),
        (b"hello", "^this is not a picture in JPEG, PNG, WEBP$"),
    ],
)
def test_what_a_file_is_instead_is_said_with_the_cure(body: bytes, words: str) -> None:
    with pytest.raises(NotAPhoto, match=words) as caught:
        decode(body)
    assert caught.value.reason == "not_an_image"


@pytest.mark.parametrize(("size", "read"), [((8192, 6144), (8192, 6144)), ((12_000, 9_000), (6_000, 4_500))])
def test_the_largest_photos_of_phones_are_read(size: tuple[int, int], read: tuple[int, int]) -> None:
    """One of more than 51 megapixels at half its size."""
    body = encode(Image.new("L", size, 90), quality=30)
    assert decode(body).size == read
    assert abs(decode_pixels(body, 32).mean() - 90) <= 1


def test_a_limit_is_told_in_our_own_words() -> None:
    for size in ((11_000, 10_100), (20_000, 20_000)):
        with pytest.raises(
            NotAPhoto, match="110,000,000.*choose a smaller size in the settings of the camera"
        ) as caught:
            decode(encode(Image.new("1", size).convert("L"), quality=1))
        assert "bomb" not in str(caught.value)


def test_too_many_bytes_are_not_even_opened() -> None:
    with pytest.raises(NotAPhoto, match="at most 10 are read"):
        decode(plain(), max_bytes=10)


def test_a_photo_is_turned_upright() -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 30, 40))  # dark left half
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise: the left half is then on top
    upright = decode(encode(image, exif=exif))
    assert upright.size == (40, 60)
    assert np.asarray(upright)[:25].mean() < 20
    assert np.asarray(upright)[35:].mean() > 235


def test_transparent_parts_are_white() -> None:
    clear = Image.new("RGBA", (32, 32), (255, 0, 0, 0))
    assert colour_of(decode(encode(clear, "PNG"))) == (8, 8, 8)


def test_palettes_cmyk_grey_and_16_bits_become_rgb() -> None:
    red = Image.new("RGB", (32, 32), "red")
    assert colour_of(decode(encode(red.convert("P"), "PNG"))) == (8, 0, 0)
    assert colour_of(decode(encode(red.convert("CMYK")))) == (8, 0, 0)
    assert colour_of(decode(encode(Image.new("L", (32, 32), 128)))) == (4, 4, 4)
    deep = Image.fromarray(np.full((32, 32), 32768, np.uint16))
    assert colour_of(decode(encode(deep, "PNG"))) == (4, 4, 4)


def test_of_several_frames_the_first_counts() -> None:
    frames = [Image.new("RGB", (32, 32), colour) for colour in ("red", "blue")]
    body = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    assert colour_of(decode(body)) == (8, 0, 0)


def test_pixels_are_the_whole_picture_squeezed() -> None:
    image = Image.new("RGB", (200, 100), "white")
    image.paste("black", (0, 0, 100, 100))
    pixels = to_pixels(image, 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert pixels[:, :14].max() < 10
    assert pixels[:, 18:].min() > 245


def test_a_draft_changes_pixels_but_little() -> None:
    body = encode(Image.effect_mandelbrot((512, 512), (-2, -1.5, 1, 1.5), 50).convert("RGB"), quality=90)
    exact = to_pixels(Image.open(io.BytesIO(body)), 96).astype(int)
    assert np.abs(decode_pixels(body, 96) - exact).mean() < 4


def picture(size: tuple[int, int]) -> Image.Image:
    """Full of detail, so that another way of decoding gives other pixels."""
    grey = np.random.default_rng(1).integers(0, 256, size[::-1], np.uint8)
    return Image.merge("RGB", [Image.fromarray(grey), Image.fromarray(grey[::-1]), Image.new("L", size, 90)])


def rotated(size: tuple[int, int]) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encode(picture(size), exif=exif)


SIZE = 32  # a JPEG is drafted where each of its sides has four times as many pixels
TWICE = {  # the file, and whether it is drafted
    "small JPEG": (lambda: encode(picture((100, 90))), False),
    "large JPEG": (lambda: encode(picture((300, 200))), True),
    "large PNG": (lambda: encode(picture((300, 200)), "PNG"), False),
    "small JPEG, rotated by EXIF": (lambda: rotated((100, 90)), False),
    "large JPEG, rotated by EXIF": (lambda: rotated((300, 200)), True),
    "small CMYK": (lambda: encode(picture((100, 90)).convert("CMYK")), False),
    "large CMYK": (lambda: encode(picture((300, 200)).convert("CMYK")), True),
}


@pytest.mark.parametrize("kind", TWICE)
def test_decoding_twice_gives_what_both_ways_give_alone(kind: str) -> None:
    make, drafted = TWICE[kind]
    body = make()
    whole, pixels = decode_twice(body, SIZE)
    assert whole == decode(body)
    assert np.array_equal(pixels, decode_pixels(body, SIZE))
    assert np.array_equal(pixels, to_pixels(whole, SIZE)) != drafted


def test_decoding_twice_decodes_once_where_nothing_is_drafted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def counted(body: bytes, **options: Any) -> Image.Image:
        calls.append(options)
        return decode(body, **options)

    monkeypatch.setattr(decoding, "decode", counted)
    for make, drafted in TWICE.values():
        calls.clear()
        decode_twice(make(), SIZE)
        assert calls == ([{}, {"draft": 2 * SIZE}] if drafted else [{}])


def test_a_bad_photo_has_its_reason_when_decoded_twice() -> None:
    with pytest.raises(NotAPhoto) as caught:
        decode_twice(plain(size=(400, 300))[:900], SIZE)
    assert caught.value.reason == "damaged"


MACHINE = [
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    FileNotFoundError(errno.ENOENT, "a library"),
    TimeoutError(),
    ConnectionResetError("the network"),
    MemoryError(),
    ImportError("libtiff.so: cannot open shared object file"),
    RuntimeError("can't start new thread"),
]
BYTES = [
    OSError("image file is truncated (3 bytes not processed)"),
    OSError("broken data stream when reading image file"),
    SyntaxError("broken PNG file"),
    ValueError("bad mode"),
    struct.error("unpack requires a buffer of 4 bytes"),
    EOFError("no more frames"),
    KeyError("mode"),
    zlib.error("Error -3 while decompressing data"),
    OverflowError(),
    RecursionError("maximum recursion depth exceeded"),
]
PLACES = {"open": (Image, "open"), "load": (Image.Image, "load"), "turn": (Image.Image, "transpose")}


def strike(monkeypatch: pytest.MonkeyPatch, place: str, error: Exception) -> None:
    """Where Pillow does this from now on, it raises the error."""

    def fail(*_: object, **__: object) -> None:
        raise error

    owner, name = PLACES[place]
    monkeypatch.setattr(owner, name, fail)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", MACHINE, ids=repr)
def test_faults_of_the_machine_rise(monkeypatch: pytest.MonkeyPatch, place: str, error: Exception) -> None:
    body = rotated((60, 40))
    strike(monkeypatch, place, error)
    with pytest.raises(type(error)) as caught:
        decode(body)
    assert caught.value is error


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", BYTES, ids=repr)
def test_faults_of_the_bytes_are_damage(monkeypatch: pytest.MonkeyPatch, place: str, error: Exception) -> None:
    body = rotated((60, 40))
    strike(monkeypatch, place, error)
    with pytest.raises(NotAPhoto) as caught:
        decode(body)
    assert caught.value.reason == "damaged"


def test_a_decoder_that_could_not_be_loaded_makes_nothing_no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebPImagePlugin, "SUPPORTED", False)
    with pytest.raises(ImportError, match="WebP"):
        decode(plain(kind="WEBP"))
    assert decode(plain()).size == (64, 48)


def test_random_damage_is_no_fault_of_the_machine() -> None:
    """400 files cut anywhere or with random bytes in them: each is a picture or has a reason."""
    rng, reasons = random.Random(1), dict[str, int]()
    for number in range(400):
        kind = ("JPEG", "PNG", "WEBP")[number % 3]
        body = bytearray(encode(picture((rng.randint(16, 40), 24)), kind, exif=Image.Exif()))
        for _ in range(rng.choice([0, 1, 5, 50])):
            body[rng.randrange(len(body))] = rng.randrange(256)
        try:
            decode(bytes(body[: rng.choice([len(body), rng.randrange(len(body))])]))
            reason = "none"
        except NotAPhoto as error:
            reason = error.reason
        reasons[reason] = reasons.get(reason, 0) + 1
    assert {"none", "damaged", "not_an_image"} <= set(reasons)


# A child of its own for each file and limit: memory that was granted once stays granted.
WITH_LITTLE = """
import io, os, resource, sys
from PIL import Image
from include.errors import NotAPhoto
from include.images.decoding import decode
from include.serving.memory import give_back

def encoded(kind, size, **options):
    body = io.BytesIO()
    Image.new("RGB", size, "red").save(body, kind, **options)
    return body.getvalue()

def try_with(limit, amount, body):
    if not (child := os.fork()):
        resource.setrlimit(limit, (amount, amount))
        try:
            decode(body)
            os._exit(0)
        except NotAPhoto:
            os._exit(1)
        except (MemoryError, OSError, ImportError):
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

files = {
    "JPEG": encoded("JPEG", (1500, 1400)),
    "progressive": encoded("JPEG", (1500, 1400), progressive=True),
    "PNG": encoded("PNG", (1500, 1400), compress_level=1),
    "WEBP": encoded("WEBP", (1500, 1400), method=0, lossless=True),
}
give_back()  # else what was freed by now could be enough
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for name, body in files.items():
    limits = [(resource.RLIMIT_AS, used + extra * 2**19) for extra in range(1, 98, 12)]
    limits.append((resource.RLIMIT_NOFILE, 3))
    print(name, *[try_with(*limit, body) for limit in limits])
"""


def test_a_sound_photo_is_never_damaged_for_lack_of_memory_or_files() -> None:
    """Were memory not asked for afterwards, 2 of 9 limits would make the progressive JPEG damaged, and 3 the WebP."""
    done = subprocess.run([sys.executable, "-c", WITH_LITTLE], cwd=ROOT, capture_output=True, text=True, check=True)
    codes = {name: set(map(int, rest)) for name, *rest in map(str.split, done.stdout.splitlines())}
    assert set(codes) == {"JPEG", "progressive", "PNG", "WEBP"}
    assert all(1 not in found for found in codes.values()), done.stdout
    assert {2, 0} == codes["progressive"], "limits on both sides of what it needs"
