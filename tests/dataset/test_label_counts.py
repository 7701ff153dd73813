"""A label without photos is told as soon as it can be known, with what took them."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from include.dataset.label_counts import check_snapshot, check_table
from include.dataset.splits import bucket, split_of_bucket
from include.dataset.steps import deduplicate
from include.errors import DatasetError
from include.ingestion import snapshot
from include.ingestion.base_sets import claim_lake
from include.lake.local import LocalStore
from include.settings import Policy, Settings
from tests.pictures import QUESTION, add_base, describe_photos, drawing, drawn_image, encode, give

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def heic(number: int) -> bytes:
    return HEIC + b"%d" % number


def black(number: int) -> bytes:
    pixels = np.random.default_rng(number).integers(0, 40, (64 + number, 80, 3), np.uint8)
    return encode(Image.fromarray(pixels), quality=95)


def equal(number: int) -> bytes:
    return encode(drawn_image("cats", 1), quality=40 + number)


def lake_with(lake: LocalStore, cats: list[bytes], *, others: int = 30) -> None:
    claim_lake(lake, Settings())
    for photo in cats:
        add_base(lake, "cats", photo)
    for source in ("dogs", "selfies", "misc"):
        for number in range(others):
            add_base(lake, source, drawing(source, number))


def checked(lake: LocalStore, tmp_path: Path) -> str:
    """The cheap checks, as the DAG runs them; returns what is said."""
    describe_photos(lake, "r", tmp_path / "cache")
    check_snapshot(lake, "r", QUESTION)
    table = deduplicate(lake, "r", Policy())
    with pytest.raises(DatasetError) as caught:
        check_table(lake, table, QUESTION)
    return str(caught.value)


def on_train(photos: list[bytes]) -> int:
    return sum(split_of_bucket(bucket(hashlib.sha256(photo).hexdigest())) == "train" for photo in photos)


@pytest.mark.parametrize(
    ("make", "count", "status"),
    [
        (heic, 60, "quarantined (not_an_image: this is a HEIC photo"),
        (black, 46, "poor quality (too dark"),
        (equal, 56, "near-duplicate"),
    ],
)
def test_what_took_the_photos_of_a_label_is_named(
    lake: LocalStore, tmp_path: Path, make, count: int, status: str
) -> None:
    cats = [make(number) for number in range(count)]
    lake_with(lake, cats)
    sentence = checked(lake, tmp_path)
    first = f"train has no photos of a cat (label positive, from cats): of {on_train(cats)}, "
    assert first in sentence
    assert f"are {status}" in sentence
    assert sentence.endswith(". Ingest more photos")
    assert "\n" not in sentence


def test_too_few_photos_are_told_before_any_is_read(lake: LocalStore) -> None:
    for number in range(10, 40):  # the first ten drawings of which none falls on test
        cats = [drawing("cats", number * 100 + place) for place in range(10)]
        if not any(split_of_bucket(bucket(hashlib.sha256(cat).hexdigest())) == "test" for cat in cats):
            break
    lake_with(lake, cats)
    snapshot.snapshot_base(lake, "r", QUESTION)
    snapshot.snapshot_uploads(lake, "r")
    with pytest.raises(
        DatasetError, match=r"test has no photos of a cat .*: the lake has 10 of them, and none falls on"
    ):
        check_snapshot(lake, "r", QUESTION)
    give(lake, "given", drawing("cats", 1), "positive")  # whose split only its bytes tell
    snapshot.snapshot_base(lake, "r2", QUESTION)
    snapshot.snapshot_uploads(lake, "r2")
    check_snapshot(lake, "r2", QUESTION)


def test_a_lake_with_photos_of_all_labels_passes(lake: LocalStore, tmp_path: Path) -> None:
    lake_with(lake, [drawing("cats", number) for number in range(60)])
    describe_photos(lake, "r", tmp_path / "cache")
    check_snapshot(lake, "r", QUESTION)
    table = deduplicate(lake, "r", Policy())
    assert check_table(lake, table, QUESTION) == table
