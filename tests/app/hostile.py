"""Files that visitors bring by mistake or to do harm, drawn or written here, and what each of them gets."""

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from include.images.decoding import MAX_BYTES
from tests.images.test_hostile_files import bomb
from tests.pictures import drawn_image, encode, plain

VERDICT, EITHER = "a verdict", "a verdict or a sentence"
NOT_A_PHOTO = "not a photo"


@dataclass(frozen=True)
class Odd:
    """A file, its name, and a part of the sentence that it gets; or VERDICT, or EITHER."""

    name: str
    make: Callable[[], bytes]
    gets: str


def cat() -> Image.Image:
    return drawn_image("cats", 9000).resize((400, 300))


def text(body: str) -> Callable[[], bytes]:
    return lambda: body.encode()


def starting(start: bytes) -> Callable[[], bytes]:
    return lambda: start + b"\0" * 500


def box(brand: bytes) -> Callable[[], bytes]:
    return starting(b"\0\0\0\x18ftyp" + brand)


def archive(name: str, size: int = 1000) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, b"\0" * size)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes, *, sum_is_right: bool = True) -> bytes:
    checksum = zlib.crc32(kind + body) ^ (0 if sum_is_right else 1)
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def png_with(added: bytes) -> bytes:
    """A sound PNG with a chunk behind its header."""
    body = encode(cat(), "PNG")
    return body[:33] + added + body[33:]


def jpeg_with(marker: int, body: bytes, times: int = 1) -> bytes:
    """A sound JPEG with segments behind its start."""
    photo = encode(cat())
    return photo[:2] + (struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body) * times + photo[2:]


def oriented(value: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encode(cat(), exif=exif)


def frames(kind: str) -> Callable[[], bytes]:
    return lambda: encode(cat(), kind, save_all=True, append_images=[drawn_image("dogs", 1).resize((400, 300))])


def sixteen_bits() -> bytes:
    return encode(Image.fromarray(np.asarray(cat().convert("L"), np.uint16) * 257), "PNG")


def noise(count: int) -> bytes:
    return random.Random(7).randbytes(count)


HEIC, TOO_LARGE = "HEIC photo", "too large"
CORPUS = [
    Odd("invoice.jpg", text("%PDF-1.7 an invoice"), "a PDF document"),
    Odd("invoice.pdf", text("%PDF-1.7 an invoice"), "a PDF document"),
    Odd("letter.docx.jpg", lambda: archive("word/document.xml"), "an archive or an office document"),
    Odd("sheet.xls.jpg", starting(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), "an office document"),
    Odd("letter.rtf.jpg", text(r"{\rtf1 a letter}"), "a text document"),
    Odd("letter.txt.jpg", text("Dear reader, this is a letter. Ünïcödé 猫"), NOT_A_PHOTO),
    Odd(
        "drawing.svg", text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"), "an SVG drawing"
    ),
    Odd("drawing.svg.jpg", text("<?xml version='1.0'?><!-- x --><svg onload='alert(1)'/>"), "an SVG drawing"),
    Odd("page.html.jpg", text("  <!DOCTYPE html><script>alert(1)</script>"), "a web page"),
    Odd("script.sh.jpg", text("#!/bin/sh\nrm -rf /tmp/nothing\n"), "a script"),
    Odd("script.php.jpg", text("<?php system($_GET['c']); ?>"), NOT_A_PHOTO),
    Odd("program.jpg", starting(b"\x7fELF"), "a program"),
    Odd("program.exe.jpg", starting(b"MZ"), "a program"),
    Odd("archive.zip.jpg", lambda: archive("bomb", 20_000_000), "an archive or an office document"),
    Odd("archive.gz.jpg", lambda: gzip.compress(b"\0" * 20_000_000), "an archive"),
    Odd("gif-and-script.jpg", text("GIF89a/*<svg/onload=alert(1)>*/=alert(1)"), "a GIF picture"),
    Odd("photo-and-zip.jpg", lambda: encode(cat()) + archive("payload.sh"), VERDICT),
    Odd("photo-and-script.jpg", lambda: jpeg_with(0xFE, b"<?php system($_GET['c']); ?>"), VERDICT),
    Odd("photo-and-page.jpg", lambda: encode(cat()) + b"<html><script>alert(1)</script>", VERDICT),
    Odd("bomb.png", bomb, TOO_LARGE),
    Odd("text-bomb.png", lambda: png_with(chunk(b"zTXt", b"c\0\0" + zlib.compress(b"\0" * 90_000_000))), EITHER),
    Odd("profile-bomb.png", lambda: png_with(chunk(b"iCCP", b"c\0\0" + zlib.compress(b"\0" * 90_000_000))), EITHER),
    Odd("truncated.jpg", lambda: encode(cat())[:2000], "damaged or was cut off"),
    Odd("truncated.png", lambda: encode(cat(), "PNG")[:2000], "damaged or was cut off"),
    Odd("truncated.webp", lambda: encode(cat(), "WEBP")[:600], "damaged or was cut off"),
    Odd("header.jpg", lambda: encode(cat())[:20], EITHER),
    Odd("empty.jpg", lambda: b"", "empty"),
    Odd("byte.jpg", lambda: b"\xff", NOT_A_PHOTO),
    Odd("noise.jpg", lambda: noise(100_000), NOT_A_PHOTO),
    Odd("noisy-photo.jpg", lambda: encode(cat())[:1500] + noise(5000), EITHER),
    Odd("1x1.png", lambda: plain(size=(1, 1), kind="PNG"), "too small"),
    Odd("15x15.jpg", lambda: plain(size=(15, 15)), "too small"),
    Odd("16x16.jpg", lambda: plain(size=(16, 16)), VERDICT),
    Odd("30000x1.png", lambda: plain(size=(30_000, 1), kind="PNG"), "too small"),
    Odd("1x30000.jpg", lambda: plain(size=(1, 30_000)), "too small"),
    Odd("30000x16.jpg", lambda: plain(size=(30_000, 16)), "too small"),
    Odd("animated.gif", frames("GIF"), "a GIF picture"),
    Odd("animated.webp", frames("WEBP"), VERDICT),
    Odd("animated.png", frames("PNG"), VERDICT),
    Odd("lossless.webp", lambda: encode(cat(), "WEBP", lossless=True), VERDICT),
    Odd("progressive.jpe", lambda: encode(cat(), progressive=True), VERDICT),
    Odd("saved-from-a-page.jfif", lambda: encode(cat()), VERDICT),
    Odd("cmyk.jpg", lambda: encode(cat().convert("CMYK")), VERDICT),
    Odd("grey.jpg", lambda: encode(cat().convert("L")), VERDICT),
    Odd("16-bit.png", sixteen_bits, VERDICT),
    Odd("palette.png", lambda: encode(cat().convert("P"), "PNG", transparency=0), VERDICT),
    Odd("transparent.png", lambda: encode(cat().convert("LA"), "PNG"), VERDICT),
    Odd("black-and-white.png", lambda: encode(cat().convert("1"), "PNG"), VERDICT),
    Odd("turned.jpg", lambda: oriented(6), VERDICT),
    Odd("wrongly-turned.jpg", lambda: oriented(99), VERDICT),
    Odd("odd-exif.jpg", lambda: jpeg_with(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + noise(200)), EITHER),
    Odd("large-exif.jpg", lambda: jpeg_with(0xE1, b"Exif\0\0" + b"\0" * 60_000), EITHER),
    Odd("much-metadata.jpg", lambda: jpeg_with(0xED, b"\0" * 65_000, times=200), VERDICT),
    Odd("bad-header-sum.png", lambda: encode(cat(), "PNG")[:29] + b"\0\0\0\0" + encode(cat(), "PNG")[33:], EITHER),
    Odd("bad-text-sum.png", lambda: png_with(chunk(b"tEXt", b"a\0b", sum_is_right=False)), EITHER),
    Odd("too-many-bytes.jpg", lambda: encode(cat()) + b"\0" * MAX_BYTES, TOO_LARGE),
    Odd("IMG_0001.HEIC", box(b"heic"), HEIC),
    Odd("IMG_0002.heif", box(b"mif1"), HEIC),
    Odd("IMG_0003.jpg", box(b"heix"), HEIC),
    Odd("picture.avif", box(b"avif"), "an AVIF picture"),
    Odd("picture.bmp", lambda: encode(cat(), "BMP"), "a BMP picture"),
    Odd("picture.tiff", lambda: encode(cat(), "TIFF"), "a TIFF or raw picture"),
    Odd("picture.ico.jpg", lambda: encode(cat().resize((64, 64)), "ICO"), "an icon"),
    Odd("picture.psd.jpg", starting(b"8BPS\0\1"), "a Photoshop file"),
    Odd("picture.jxl.jpg", starting(b"\xff\x0a"), "a JPEG XL picture"),
    Odd("picture.jp2.jpg", starting(b"\0\0\0\x0cjP  \r\n"), "a JPEG 2000 picture"),
    Odd("film.mp4.jpg", box(b"isom"), "a video"),
    Odd("film.webm.jpg", starting(b"\x1aE\xdf\xa3"), "a video"),
]
