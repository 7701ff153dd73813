"""Near-duplicates of drawings are found, whichever way they were made, and look-alikes are not."""

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps

from include.dataset import near_duplicates
from include.dataset.facts import THUMBNAIL, picture_facts, unpack_hashes
from include.settings import NearDuplicates
from tests.pictures import QUESTION, drawn_image, encode

RULES = NearDuplicates()


def centre(image: Image.Image, share: float) -> Image.Image:
    across, down = (round(length * (1 - share) / 2) for length in image.size)
    return image.crop((across, down, image.width - across, image.height - down))


def recompressed(image: Image.Image) -> Image.Image:
    return Image.open(io.BytesIO(encode(image, quality=30))).convert("RGB")


MADE = {
    "resized": lambda image: image.resize((77, 70)),
    "recompressed": recompressed,
    "mirrored": ImageOps.mirror,
    "rotated": lambda image: image.rotate(90, expand=True),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
    "cropped": lambda image: centre(image, 0.87),
}


def compare(photos: dict[str, Image.Image], *, new: set[str] | None = None, **rules: Any) -> pd.DataFrame:
    facts = pd.DataFrame([picture_facts(image) for image in photos.values()])
    names = np.array(list(photos), object)
    thumbnails = np.frombuffer(b"".join(facts["thumbnail"]), np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)
    fresh = np.array([name in (new or photos) for name in photos])
    options = RULES.model_dump(exclude={"max_cluster"}) | rules
    return near_duplicates.find_pairs(names, *unpack_hashes(facts), lambda rows: thumbnails[rows], new=fresh, **options)


def pairs(table: pd.DataFrame) -> set[tuple[str, str]]:
    return set(zip(table["first"], table["second"], strict=True))


@pytest.mark.parametrize("made", MADE)
def test_a_near_duplicate_is_found_among_others(made: str) -> None:
    photos = {f"{source} {number}": drawn_image(source, number) for source in QUESTION.sources for number in range(6)}
    before = pairs(compare(photos))
    assert not before
    copied = {f"copy of {name}": MADE[made](image) for name, image in photos.items()}
    found = pairs(compare(photos | copied))
    true = {(f"copy of {name}", name) if f"copy of {name}" < name else (name, f"copy of {name}") for name in photos}
    assert len(found & true) >= 0.95 * len(true)
    assert found <= true


def test_only_new_photos_ask_and_the_sum_is_the_same() -> None:
    photos = {f"{number}": drawn_image("cats", number) for number in range(5)}
    photos |= {f"{number} mirrored": ImageOps.mirror(image) for number, image in list(photos.items())}
    everything = pairs(compare(photos))
    first = {name: photos[name] for name in list(photos)[:7]}
    later = pairs(compare(photos, new=set(photos) - set(first)))
    assert pairs(compare(first)) | later == everything
    assert not pairs(compare(first)) & later


def test_pictures_without_detail_are_no_near_duplicates() -> None:
    photos = {colour: Image.new("RGB", (64, 64), colour) for colour in ("red", "white", "black")}
    assert not len(compare(photos))


def test_the_pixels_decide_not_the_hash() -> None:
    photos = {"a": drawn_image("cats", 1), "b": ImageOps.mirror(drawn_image("cats", 1))}
    assert compare(photos)["similarity"].tolist() == pytest.approx([1.0], abs=0.02)
    assert not len(compare(photos, min_similarity=1.0))
