"""The cost of the data checks: describing photos, comparing a whole lake, and comparing only new photos.

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

from bench.question import SOURCES
from include.dataset.facts import THUMBNAIL, picture_facts
from include.dataset.near_duplicates import find_pairs
from include.images.decoding import decode
from include.images.perceptual_hash import CENTRE_CROPS, ORIENTATIONS
from include.images.synthetic import draw_sample
from include.settings import NearDuplicates

SIDE = 256  # pixels of each side of an enlarged drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, help="a folder of JPEGs; without it, drawings enlarged to 256 pixels")
    parser.add_argument("--lake", type=int, default=100_000)
    parser.add_argument("--new", type=int, default=50)
    options = parser.parse_args()
    time_description(read_photos(options.photos))
    time_comparison(options.lake, options.new)


def time_description(bodies: list[bytes]) -> None:
    decode_seconds, images = timed(time.process_time, lambda: [decode(body) for body in bodies])
    facts_seconds, _ = timed(time.process_time, lambda: [picture_facts(image) for image in images])
    seconds = decode_seconds + facts_seconds
    rate, share = len(bodies) / seconds, decode_seconds / seconds
    print(f"describe: {rate:,.0f} photos per second on one core; decoding takes {share:.0%} of the time")


def time_comparison(lake: int, new: int) -> None:
    """Synthetic facts: random hashes, with as many possible upright orientations as real photos have."""
    draw = np.random.default_rng(1)
    codes = draw.integers(0, 256, (lake, len(CENTRE_CROPS), ORIENTATIONS, 8), np.uint8)
    upright = draw.random((lake, len(CENTRE_CROPS), ORIENTATIONS)) < 0.1
    upright[:, :, 0] = True
    thumbnails = draw.integers(0, 256, (lake, THUMBNAIL, THUMBNAIL), np.uint8)
    names = np.array([f"photo {number:07}" for number in range(lake)], object)
    rules = NearDuplicates().model_dump(exclude={"max_cluster"})

    def seconds_to_compare(is_new: np.ndarray) -> float:
        seconds, _ = timed(
            time.perf_counter,
            lambda: find_pairs(names, codes, upright, lambda rows: thumbnails[rows], new=is_new, **rules),
        )
        return seconds

    new_seconds = seconds_to_compare(np.arange(lake) >= lake - new)
    all_seconds = seconds_to_compare(np.ones(lake, bool))
    print(
        f"{lake:,} photos compared with each other: {all_seconds:.1f} s; {new} new ones with all: {new_seconds:.1f} s"
    )
    print(f"ratio: {all_seconds / new_seconds:.0f}")


def timed(clock: Callable[[], float], work: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds that ``work`` took by this clock, and its result."""
    start = clock()
    result = work()
    return clock() - start, result


def read_photos(folder: Path | None, count: int = 400) -> list[bytes]:
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
