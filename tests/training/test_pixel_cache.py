"""Photos become rows on the disk, are decoded once, and are read in the requested order."""

import numpy as np
import pandas as pd
import pytest

from include.errors import NotAPhoto, ObjectNotFound
from include.images.decoding import decode_pixels
from include.lake import layout
from include.lake.local import LocalStore
from include.question import POSITIVE
from include.training import pixel_cache as module
from include.training.pixel_cache import load_pixels
from tests.pictures import add_base, drawing, give

SIZE = 32


@pytest.fixture
def manifest(lake: LocalStore) -> pd.DataFrame:
    keys = [add_base(lake, source, drawing(source, number)) for source in ("cats", "misc") for number in range(3)]
    give(lake, "one", drawing("cats", 900), POSITIVE)
    return pd.DataFrame({"key": [*keys, layout.upload_photo("one")]})


def test_each_photo_has_the_pixels_that_the_model_server_sees(lake: LocalStore, manifest: pd.DataFrame) -> None:
    pixels = load_pixels(lake, manifest, size=SIZE)
    assert len(pixels) == 7
    for place, key in enumerate(manifest["key"]):
        np.testing.assert_array_equal(pixels.take(np.array([place]))[0], decode_pixels(lake.read(key), SIZE))


def test_rows_come_in_the_requested_order_and_may_repeat(lake: LocalStore, manifest: pd.DataFrame) -> None:
    pixels = load_pixels(lake, manifest, size=SIZE)
    batch = pixels.take(np.array([4, 0, 4]))
    assert batch.shape == (3, SIZE, SIZE, 3)
    np.testing.assert_array_equal(batch[0], batch[2])
    np.testing.assert_array_equal(batch[1], pixels.take(np.array([0]))[0])


def test_a_subset_is_the_same_photos(lake: LocalStore, manifest: pd.DataFrame) -> None:
    pixels = load_pixels(lake, manifest, size=SIZE)
    chosen = np.arange(7) % 2 == 1
    part = pixels.subset(chosen)
    np.testing.assert_array_equal(part.take(np.arange(3)), pixels.take(np.flatnonzero(chosen)))


def test_each_photo_is_decoded_once(lake: LocalStore, manifest: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []

    def decode(body: bytes, size: int) -> np.ndarray:
        decoded.append(body)
        return decode_pixels(body, size)

    monkeypatch.setattr(module, "decode_pixels", decode)
    pixels = load_pixels(lake, manifest, size=SIZE)
    pixels.take(np.array([1, 1, 2]))
    assert len(decoded) == 7


def test_a_missing_photo_and_a_broken_one_raise_different_errors(lake: LocalStore, manifest: pd.DataFrame) -> None:
    with pytest.raises(ObjectNotFound):
        load_pixels(lake, pd.DataFrame({"key": ["base/cats/none"]}), size=SIZE)
    lake.write(manifest["key"][0], b"no photo")
    with pytest.raises(NotAPhoto):
        load_pixels(lake, manifest, size=SIZE)
