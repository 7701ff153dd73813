"""Files that nobody should give, among others in a lake: each has one status, and the run goes on."""

import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from include.dataset import facts
from include.dataset.steps import deduplicate
from include.ingestion import snapshot
from include.lake import layout
from include.lake.formats import read_table
from include.lake.local import LocalStore
from include.settings import Policy
from include.status import Status
from tests.pictures import QUESTION, add_base, drawn_image, encode, fill_base


def bomb() -> bytes:
    """A PNG of 900 megapixels in a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def rotated() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turned to the right
    return encode(drawn_image("dogs", 5001), exif=exif)


def sixteen_bits() -> bytes:
    grey = np.asarray(drawn_image("dogs", 5002).convert("L"), np.uint16) * 257
    return encode(Image.fromarray(grey), "PNG")


def palette() -> bytes:
    return encode(drawn_image("dogs", 5003).convert("P"), "PNG", transparency=0)


def animated() -> bytes:
    frames = [drawn_image("dogs", number) for number in (5004, 5005)]
    return encode(frames[0], "GIF", save_all=True, append_images=frames[1:])


FILES = {  # the file, and the reason why it is quarantined; none: it is a photo like any other
    "truncated JPEG": (lambda: encode(drawn_image("dogs", 5006))[:1500], "damaged"),
    "PNG bomb": (bomb, "too_many_pixels"),
    "text named .jpg": (lambda: b"Dear reader, this is a letter.", "not_an_image"),
    "CMYK": (lambda: encode(drawn_image("dogs", 5007).convert("CMYK")), None),
    "palette with alpha": (palette, None),
    "16-bit": (sixteen_bits, None),
    "animated GIF": (animated, "not_an_image"),
    "EXIF-rotated": (rotated, None),
    "zero bytes": (lambda: b"", "empty"),
    "more than 50 megapixels": (lambda: encode(Image.new("L", (8000, 6400)), "PNG"), "too_many_pixels"),
}


@pytest.fixture(scope="module")
def statuses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str | None]]:
    """The files beside drawings, described in one shard: status and problem by name."""
    lake = LocalStore(tmp_path_factory.mktemp("hostile"))
    fill_base(lake, per_source=3)
    keys = {}
    for name, (make, _) in FILES.items():
        keys[name] = add_base(lake, "dogs", make())
    snapshot.snapshot_base(lake, "r", QUESTION)
    snapshot.snapshot_uploads(lake, "r")
    (shard,) = facts.list_new_images(lake, "r", cache=tmp_path_factory.mktemp("cache"), shard_size=100)
    facts.describe(lake, shard)
    found = read_table(lake, deduplicate(lake, "r", Policy())).set_index("key")
    assert found["status"].isna().sum() >= 12, "the drawings beside them are described"
    reasons = {name: layout.quarantine(key) for name, key in keys.items()}
    problems = {
        name: json.loads(lake.read(key))["problem"] if lake.exists(key) else None for name, key in reasons.items()
    }
    status = found["status"].fillna("usable")
    return {name: (status[key], problems[name]) for name, key in keys.items()}


@pytest.mark.parametrize("name", FILES)
def test_each_has_one_status(statuses: dict[str, tuple[str, str | None]], name: str) -> None:
    status, problem = statuses[name]
    reason = FILES[name][1]
    if reason is None:
        assert status != Status.QUARANTINED
        assert problem is None
    else:
        assert status == Status.QUARANTINED
        assert problem is not None
        assert problem.startswith(reason)
