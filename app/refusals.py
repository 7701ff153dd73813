"""Why a file is refused, in words for people, with the cure."""

from include.errors import NotAPhoto
from include.images.decoding import MAX_BYTES

CURE = "Try a JPEG, PNG or WebP photo."
HEIC = (
    "This is a HEIC photo, the format of newer iPhones, which cannot be read here yet. Send it as JPEG: on the iPhone "
    "choose Settings, Camera, Formats, “Most Compatible”, and take it again; or take a screenshot of it."
)
BRANDS = {b"heic": HEIC, b"heix": HEIC, b"hevc": HEIC, b"heim": HEIC, b"heis": HEIC, b"mif1": HEIC, b"msf1": HEIC}
BRANDS |= {brand: f"This is an AVIF picture, which cannot be read here. {CURE}" for brand in (b"avif", b"avis")}
KINDS = {  # the first bytes of a file, and what it is
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF or raw picture",
    b"MM\0*": "a TIFF or raw picture",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"{\\rtf": "a text document",
    b"PK\x03\x04": "an archive or an office document",
    b"\xd0\xcf\x11\xe0": "an office document",
    b"Rar!": "an archive",
    b"7z\xbc\xaf": "an archive",
    b"\x1f\x8b": "an archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"#!": "a script",
    b"\x1aE\xdf\xa3": "a video",
    b"OggS": "a recording",
    b"ID3": "a recording",
    b"8BPS": "a Photoshop file",
    b"\0\0\1\0": "an icon",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
}
REASONS = {
    "empty": "This file is empty. Send the photo again.",
    "too_many_bytes": f"This file is too large: at most {MAX_BYTES // 1_000_000} MB. Send a smaller copy of the photo.",
    "too_small": "This picture is too small or too thin to see anything. Send the photo itself, not a thumbnail.",
    "damaged": "This photo is damaged or was cut off on its way. Send it again.",
}


def explain_refusal(file: bytes, error: NotAPhoto) -> str:
    """One or two sentences about a file that could not be read as a photo."""
    if error.reason == "not_an_image":
        return _name_kind(file)
    if error.reason == "too_many_pixels":
        return f"This picture is too large: {error}. Send a smaller copy of the photo."
    return REASONS.get(error.reason, f"This photo cannot be read: {error}. {CURE}")


def _name_kind(file: bytes) -> str:
    if file[4:8] == b"ftyp":
        return BRANDS.get(file[8:12], f"This is a video. {CURE}")
    if kind := next((kind for start, kind in KINDS.items() if file.startswith(start)), None):
        return f"This is {kind}, not a photo that can be read here. {CURE}"
    start = file[:1000].lstrip().lower()
    if b"<svg" in start:
        return f"This is an SVG drawing, not a photo. {CURE}"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<script")):
        return f"This is a web page, not a photo. {CURE}"
    return f"This file is not a photo, whatever its name says. {CURE}"
