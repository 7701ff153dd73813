"""What a file is that is no picture we read, in words, and what its owner can do."""

SMALLER = "send a smaller copy, or choose a smaller size in the settings of the camera"  # where a limit is met
READ = "JPEG, PNG and WebP are read"
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
VIDEO_BRANDS = (b"qt  ", b"isom", b"iso2", b"mp41", b"mp42", b"M4V ", b"3gp4", b"3gp5")
BRANDS = (
    *((brand, "a HEIC photo") for brand in HEIC_BRANDS),
    *((brand, "an AVIF picture") for brand in (b"avif", b"avis")),
    *((brand, "a video") for brand in VIDEO_BRANDS),
)
SIGNATURES = (
    (b"GIF8", "a GIF picture"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF or raw picture"),
    (b"MM\0*", "a TIFF or raw picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
)
CURES = {
    "a HEIC photo": "your phone can send it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)",
    "a video": "send a photo",
    "a PDF document": "send a photo",
    "a ZIP archive": "unpack it",
}


def name_format(body: bytes) -> str:
    """A sentence about a file that is neither JPEG nor PNG nor WebP."""
    known = [(signature, name) for signature, name in SIGNATURES if body.startswith(signature)]
    if body[4:8] == b"ftyp":
        known = [(brand, name) for brand, name in BRANDS if body[8:12] == brand]
    if not known:
        return "this is not a picture in JPEG, PNG, WEBP"
    name = known[0][1]
    return f"this is {name}, and {READ}: {CURES.get(name, 'save it as JPEG')}"
