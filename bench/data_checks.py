"""What the checks of photos cost: describing, comparing a whole lake, and comparing what is new.

python -m bench.data_checks [--photos FOLDER] [--lake 100000] [--new 50]
"""

import argparse
import io
import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from include.dataset.facts import THUMBNAIL, picture_facts
from include.dataset.near_duplicates import find_pairs
from include.images.decoding import decode
from include.images.perceptual_hash import CENTRE_CROPS, ORIENTATIONS
from include.images.synthetic import draw_sample
from include.records import SOURCES
from include.settings import NearDuplicates

SIDE = 256  # pixels of the longest side of a described photo


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; without it drawings, enlarged to 256 pixels")
    parser.add_argument("--lake", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=50)
    given = parser.parse_args()
    describing(read(given.photos))
    comparing(given.lake, given.new)


def describing(bodies: list[bytes]) -> None:
    decoding, images = timed(time.process_time, lambda: [decode(body) for body in bodies])
    rest, _ = timed(time.process_time, lambda: [picture_facts(image) for image in images])
    whole = decoding + rest
    print(f"describe: {len(bodies) / whole:,.0f} photos a second of one core; decoding is {decoding / whole:.0%} of it")


def comparing(lake: int, new: int) -> None:
    """Synthetic facts: random hashes, of which as many turns may be upright as of real photos."""
    draw = np.random.default_rng(1)
    codes = draw.integers(0, 256, (lake, len(CENTRE_CROPS), ORIENTATIONS, 8), np.uint8)
    upright = draw.random((lake, len(CENTRE_CROPS), ORIENTATIONS)) < 0.1
    upright[:, :, 0] = True
    thumbnails = draw.integers(0, 256, (lake, THUMBNAIL, THUMBNAIL), np.uint8)
    names = np.array([f"photo {number:07}" for number in range(lake)], object)
    rules = NearDuplicates().model_dump(exclude={"max_cluster"})

    def compare(fresh: np.ndarray) -> float:
        return timed(
            time.perf_counter,
            lambda: find_pairs(names, codes, upright, lambda rows: thumbnails[rows], new=fresh, **rules),
        )[0]

    some = compare(np.arange(lake) >= lake - new)
    whole = compare(np.ones(lake, bool))
    print(f"{lake:,} photos compared with each other: {whole:.1f} s; {new} new ones with all: {some:.1f} s")
    print(f"ratio: {whole / some:.0f}")


def timed(clock: Callable[[], float], work: Callable[[], Any]) -> tuple[float, Any]:
    begin = clock()
    result = work()
    return clock() - begin, result


def read(folder: Path | None, count: int = 400) -> list[bytes]:
    if folder:
        return [path.read_bytes() for path in itertools.islice(sorted(folder.rglob("*.jpg")), count)]
    drawings = (body for source in SOURCES for body in draw_sample(source, count=count // len(SOURCES)))
    return [_enlarged(body) for body in drawings]


def _enlarged(body: bytes) -> bytes:
    buffer = io.BytesIO()
    decode(body).resize((SIDE, SIDE)).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
