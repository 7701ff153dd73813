import hashlib
import json
import multiprocessing
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.data.dataset import MANIFEST
from include.images.decoding import decode_pixels
from include.lake import layout
from include.lake.local import LocalStore
from include.model.pixels import Decode, Pixels, cache_version, load_pixels
from include.records import UNKNOWN_KIND, UPLOADS, label_of
from tests.pictures import add_base, drawing, fill_base, give, plain

SIZE = 32
ROW = SIZE * SIZE * 3  # bytes


def base_manifest(lake: LocalStore) -> pd.DataFrame:
    rows = []
    for key in lake.keys(layout.BASE):
        source, sha256 = layout.parse_base(key)
        rows.append((sha256, key, source, label_of(source), source, "source", 1.0, sha256, "train"))
    return pd.DataFrame(rows, columns=MANIFEST)


def upload_manifest(*photo_ids: str) -> pd.DataFrame:
    rows = []
    for photo_id in photo_ids:
        name, key = hashlib.sha256(photo_id.encode()).hexdigest(), layout.upload_photo(photo_id)
        rows.append((name, key, UPLOADS, "cat", UNKNOWN_KIND, "user", 1.0, name, "train"))
    return pd.DataFrame(rows, columns=MANIFEST)


def noting(seen: list[bytes]) -> Decode:
    """The real decoder, which notes what it is given."""

    def decode(body: bytes, size: int) -> np.ndarray:
        seen.append(body)
        return decode_pixels(body, size)

    return decode


def load(lake: LocalStore, manifest: pd.DataFrame, folder: Path, decode: Decode = decode_pixels) -> Pixels:
    return load_pixels(lake, manifest, folder=folder, size=SIZE, decode=decode)


def everything(pixels: Pixels) -> np.ndarray:
    return pixels.take(np.arange(len(pixels)))


def assert_right(pixels: Pixels, lake: LocalStore, manifest: pd.DataFrame) -> None:
    expected = [decode_pixels(lake.read(key), SIZE) for key in manifest["key"]]
    np.testing.assert_array_equal(everything(pixels), np.stack(expected))


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def filled(lake) -> LocalStore:
    fill_base(lake, per_source=6)
    return lake


@pytest.fixture
def manifest(filled) -> pd.DataFrame:
    """24 photos in an order that is neither that of the lake nor that of the shards."""
    return base_manifest(filled).sample(frac=1, random_state=1, ignore_index=True)


def test_pixels_come_in_the_order_of_the_manifest(filled, manifest, cache):
    pixels = load(filled, manifest, cache)
    assert len(pixels) == 24
    assert everything(pixels).dtype == np.uint8
    assert_right(pixels, filled, manifest)
    turned = manifest.iloc[::-1]
    assert_right(load(filled, turned, cache), filled, turned)


def test_takes_any_rows_and_any_part(filled, manifest, cache):
    pixels = load(filled, manifest, cache)
    whole = everything(pixels)
    np.testing.assert_array_equal(pixels.take(np.array([5, 0, 5])), whole[[5, 0, 5]])
    cats = (manifest["source"] == "cats").to_numpy()
    np.testing.assert_array_equal(everything(pixels.subset(cats)), whole[cats])


def test_each_photo_is_decoded_once_and_for_all(filled, manifest, cache):
    seen = []
    load(filled, manifest, cache, noting(seen))
    assert sorted(seen) == sorted(filled.read(key) for key in manifest["key"])
    assert_right(load(filled, manifest, cache, lambda *_: pytest.fail("decoded again")), filled, manifest)


def test_new_photos_alone_are_decoded(filled, manifest, cache):
    load(filled, manifest, cache)
    for number in (100, 101, 102):
        add_base(filled, "cats", drawing("cats", number))
    seen, larger = [], base_manifest(filled)
    pixels = load(filled, larger, cache, noting(seen))
    assert sorted(seen) == sorted(drawing("cats", number) for number in (100, 101, 102))
    assert_right(pixels, filled, larger)


def test_pixels_already_handed_out_stay_right_while_the_cache_grows(filled, manifest, cache):
    few = load(filled, manifest[:8], cache)
    load(filled, manifest, cache)
    assert_right(few, filled, manifest[:8])


def test_one_photo_in_two_sources_is_decoded_once(lake, cache):
    body, seen = drawing("cats", 0), []
    for source in ("cats", "misc"):
        add_base(lake, source, body)
    twice = base_manifest(lake)
    assert_right(load(lake, twice, cache, noting(seen)), lake, twice)
    assert seen == [body]


def test_another_size_is_another_cache(filled, manifest, cache):
    load(filled, manifest, cache)
    larger = load_pixels(filled, manifest, folder=cache, size=48)
    assert everything(larger).shape == (24, 48, 48, 3)
    assert_right(load(filled, manifest, cache, lambda *_: pytest.fail("decoded again")), filled, manifest)


@pytest.mark.parametrize("tail", [b"x", b"x" * ROW, b"x" * (3 * ROW + 7)])
def test_what_a_killed_writer_left_behind_is_cut_off(filled, manifest, cache, tail):
    load(filled, manifest[:10], cache)
    for rows in cache.rglob("*.rgb"):
        with rows.open("ab") as file:
            file.write(tail)
    assert_right(load(filled, manifest, cache), filled, manifest)
    assert_right(load(filled, manifest, cache), filled, manifest)


def test_a_writer_that_was_stopped_half_way_left_nothing_wrong(filled, manifest, cache):
    seen = []

    def stopped(body: bytes, size: int) -> np.ndarray:
        if len(seen) == 15:
            raise KeyboardInterrupt
        return noting(seen)(body, size)

    with pytest.raises(KeyboardInterrupt):
        load(filled, manifest, cache, stopped)
    assert_right(load(filled, manifest, cache), filled, manifest)


def test_pixels_of_uploads_stay_in_their_own_folder(filled, manifest, cache):
    give(filled, "one", drawing("cats", 900), "cat")
    give(filled, "two", drawing("dogs", 900), "not_cat")
    before = set(filled.keys(""))
    mixed = pd.concat([manifest[:4], upload_manifest("two", "one"), manifest[4:]], ignore_index=True)
    assert_right(load(filled, mixed, cache), filled, mixed)
    version = cache_version(SIZE)
    assert set(filled.keys("")) - before == {layout.upload_pixels(name, version) for name in ("one", "two")}
    assert filled.read(layout.upload_pixels("one", version)) == decode_pixels(drawing("cats", 900), SIZE).tobytes()
    assert sum(path.stat().st_size for path in cache.rglob("*.rgb")) == len(manifest) * ROW
    named = {name for path in cache.rglob("*.json") for name in json.loads(path.read_text())}
    assert named == set(manifest["sha256"])


def test_uploads_are_decoded_once_and_forgotten_with_their_folder(lake, cache):
    seen = []
    give(lake, "one", plain("red"), "cat")
    uploads = upload_manifest("one")
    for _ in range(2):
        assert_right(load(lake, uploads, cache, noting(seen)), lake, uploads)
    assert len(seen) == 1
    assert not [path for path in cache.rglob("*") if path.is_file()]
    for key in list(lake.keys(layout.UPLOADS)):
        lake.delete(key)
    give(lake, "one", plain("blue"), "cat")
    assert_right(load(lake, uploads, cache), lake, uploads)


def fill(root: Path, cache: Path) -> str:
    """Load everything in a worker; returns the sum of its pixels."""
    lake = LocalStore(root)
    return hashlib.sha256(everything(load(lake, base_manifest(lake), cache)).tobytes()).hexdigest()


def processes(count: int) -> Executor:
    return ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("workers", [ThreadPoolExecutor, processes])
def test_several_may_fill_one_cache_at_once(filled, cache, workers):
    expected = [decode_pixels(filled.read(key), SIZE) for key in filled.keys(layout.BASE)]
    with workers(2) as pool:
        found = list(pool.map(fill, [filled.root] * 2, [cache] * 2))
    assert found == [hashlib.sha256(np.stack(expected).tobytes()).hexdigest()] * 2
    assert sum(path.stat().st_size for path in cache.rglob("*.rgb")) == 24 * ROW
