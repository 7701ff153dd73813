"""Which known photos stand beside a photo, with known answers."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from include.backbone import FEATURES
from include.dataset import nearest_neighbours
from include.dataset.embeddings import write_embeddings
from include.dataset.nearest_neighbours import nearest, with_neighbours
from include.lake import layout
from include.lake.local import LocalStore
from tests.pictures import add_base, plain


def naive(embeddings: np.ndarray, known: np.ndarray, count: int) -> np.ndarray:
    centre = known.astype(float).mean(axis=0)
    a, b = embeddings - centre, known - centre
    cosines = (a / np.linalg.norm(a, axis=1)[:, None]) @ (b / np.linalg.norm(b, axis=1)[:, None]).T
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


def random_embeddings(rows: int, *, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).gamma(0.5, 1, (rows, 16)).astype(np.float16)


def test_the_nearest_by_the_cosine_come_first_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings, known = random_embeddings(25, seed=1), random_embeddings(90, seed=2)
    whole = nearest(embeddings, known)
    assert whole.dtype == np.int64
    np.testing.assert_array_equal(whole, naive(embeddings, known, 5))
    monkeypatch.setattr(nearest_neighbours, "ROWS", 7)
    np.testing.assert_array_equal(nearest(embeddings, known), whole)


def test_what_all_photos_share_does_not_make_them_alike() -> None:
    """Without the centre, the first channel alone would decide."""
    known = np.array([[90, 1, 0], [110, 0, 1], [100, 1, 0], [100, 0, 1]], np.float16)
    assert nearest(np.array([[110, 1, 0]], np.float16), known, count=1).tolist() == [[1]]
    assert nearest(np.array([[100, 4, 0]], np.float16), known, count=1).tolist() == [[2]]


def test_of_equal_photos_the_first_is_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest_neighbours, "ROWS", 3)
    known = np.tile(np.array([[0, 1], [1, 0]], np.float16), (5, 1))
    assert nearest(np.array([[0, 1], [1, 0]], np.float16), known).tolist() == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


@pytest.mark.parametrize(("photos", "known", "shape"), [(3, 2, (3, 2)), (0, 9, (0, 5)), (2, 0, (2, 0)), (1, 1, (1, 1))])
def test_few_photos_have_few_neighbours(photos: int, known: int, shape: tuple[int, int]) -> None:
    assert nearest(random_embeddings(photos, seed=1), random_embeddings(known, seed=2)).shape == shape


def test_photos_stand_beside_the_most_similar_ones_with_pictures_of_base_photos(
    lake: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = {"red": "cats", "darkred": "cats", "blue": "dogs", "navy": "dogs"}
    keys = [add_base(lake, source, plain(colour)) for colour, source in colours.items()]
    keys.append(layout.upload_photo("given"))
    lake.write(keys[-1], plain("crimson"))
    embeddings = np.zeros((5, FEATURES), np.float16)
    embeddings[[0, 1, 4], 0], embeddings[[2, 3], 1] = (4, 3, 5), 3
    write_embeddings(lake, keys, embeddings)
    table = pd.DataFrame({"key": keys, "source": [*colours.values(), "uploads"], "label": "positive"})
    read, seen = lake.read, list[str]()

    def watched(key: str) -> bytes:
        seen.append(key)
        return read(key)

    monkeypatch.setattr(lake, "read", watched)
    first, second = with_neighbours(lake, table.iloc[[0, 2]], table.iloc[[1, 3, 4]], tmp_path / "cache")
    assert [photo["key"] for photo in first["neighbours"]] == [keys[4], keys[1], keys[3]]
    assert second["neighbours"][0]["key"] == keys[3]
    upload, base = first["neighbours"][:2]
    assert (upload["picture"], upload["photo_id"]) == (None, "given")
    with Image.open(BytesIO(base64.b64decode(base["picture"].removeprefix("data:image/jpeg;base64,")))) as picture:
        assert picture.format == "JPEG"
    photos_read = [key for key in seen if key in keys]
    assert sorted(photos_read) == sorted(keys[:4]), "each base photo once, and no upload"


def test_without_photos_nothing_is_read(lake: LocalStore, tmp_path: Path) -> None:
    photos = pd.DataFrame({"key": pd.Series([layout.base("cats", "0" * 64)], dtype="string")})
    assert with_neighbours(lake, photos.iloc[:0], photos, tmp_path) == []
