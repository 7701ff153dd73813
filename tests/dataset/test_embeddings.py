"""Under which keys embeddings are kept, in both kinds of lake, and what this machine holds of them."""

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES, VERSION
from include.dataset import embeddings
from include.dataset.embeddings import names_with_embeddings, read_embeddings, write_embeddings
from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore


def name(photo: int) -> str:
    return hashlib.sha256(str(photo).encode()).hexdigest()


def base(*photos: int, source: str = "cats") -> list[str]:
    return [layout.base(source, name(photo)) for photo in photos]


def vectors(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (count, FEATURES)).astype(np.float16)


def asked(keys: list[str]) -> pd.Series:
    return pd.Series(keys, dtype="string")


def count_reads(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each object of a store is read from now on."""
    reads, read = Counter[str](), store.read

    def counting(key: str) -> bytes:
        reads[key] += 1
        return read(key)

    monkeypatch.setattr(store, "read", counting)
    return reads


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_embeddings_come_back_bit_by_bit_in_the_order_that_is_asked_for(store: ObjectStore, cache: Path) -> None:
    photos, uploads = base(*range(7)), [layout.upload_photo(f"p{number}") for number in range(3)]
    keys, written = photos[:4] + uploads[:2] + photos[4:] + uploads[2:], vectors(10)
    write_embeddings(store, keys[:6], written[:6])
    write_embeddings(store, keys[6:], written[6:])
    order = np.random.default_rng(2).permutation(10)
    found = read_embeddings(store, asked([keys[place] for place in order]), cache)
    assert found.dtype == np.float16
    assert np.array_equal(found, written[order])


def test_none_are_read_where_none_are_asked_for(store: ObjectStore, cache: Path) -> None:
    assert read_embeddings(store, asked([]), cache).shape == (0, FEATURES)


def test_every_base_photo_with_an_embedding_is_named_and_no_upload(store: ObjectStore, cache: Path) -> None:
    assert names_with_embeddings(store, cache) == set()
    write_embeddings(store, [*base(1, 2), layout.upload_photo("p")], vectors(3))
    write_embeddings(store, base(3), vectors(1))
    assert names_with_embeddings(store, cache) == {name(1), name(2), name(3)}


def test_a_part_is_fetched_from_the_lake_once(store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_embeddings(store, base(1, 2), vectors(2))
    (part,) = store.keys(layout.base_embeddings(VERSION))
    reads = count_reads(store, monkeypatch)
    for _ in range(2):
        names_with_embeddings(store, cache)
        read_embeddings(store, asked(base(1, 2)), cache)
    assert reads == {part: 1}
    write_embeddings(store, base(3), vectors(1))
    read_embeddings(store, asked(base(1, 2, 3)), cache)
    assert set(reads.values()) == {1}
    assert len(reads) == 2


def test_a_part_written_twice_is_one_object(store: ObjectStore) -> None:
    for _ in range(2):
        write_embeddings(store, [*base(1, 2), layout.upload_photo("p")], vectors(3))
    kept = [layout.upload_embeddings("p", VERSION), *store.keys(layout.base_embeddings(VERSION))]
    assert len(kept) == 2
    assert sorted(store.keys("")) == sorted(kept)


def test_an_upload_has_its_embedding_as_raw_bytes_in_its_own_folder(store: ObjectStore) -> None:
    write_embeddings(store, [layout.upload_photo("p")], vectors(1))
    body = store.read(layout.upload_embeddings("p", VERSION))
    assert np.array_equal(np.frombuffer(body, "<f2"), vectors(1)[0])
    assert all(key.startswith(f"{layout.UPLOADS}p/") for key in store.keys(""))


def test_a_photo_in_two_sources_has_an_embedding_in_both(store: ObjectStore, cache: Path) -> None:
    twins = [*base(1), *base(1, source="misc")]
    write_embeddings(store, twins, np.repeat(vectors(1), 2, axis=0))
    write_embeddings(store, base(2), vectors(1, seed=2))  # and of this one only one source was described
    found = read_embeddings(store, asked([*twins, *base(2, source="dogs")]), cache)
    assert np.array_equal(found, np.concatenate([vectors(1), vectors(1), vectors(1, seed=2)]))


@pytest.mark.parametrize("missing", [*base(9), layout.upload_photo("without")])
def test_a_photo_without_an_embedding_is_an_error_that_says_what_to_clear(
    store: ObjectStore, cache: Path, missing: str
) -> None:
    write_embeddings(store, [*base(1), layout.upload_photo("p")], vectors(2))
    with pytest.raises(DatasetError, match="1 photos of this run have no embedding: clear the task list_new_images"):
        read_embeddings(store, asked([*base(1), missing, layout.upload_photo("p")]), cache)


def test_the_embeddings_of_another_backbone_do_not_count(
    store: ObjectStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_embeddings(store, [*base(1), layout.upload_photo("p")], vectors(2))
    read_embeddings(store, asked(base(1)), cache)
    monkeypatch.setattr(embeddings, "VERSION", "another")
    assert names_with_embeddings(store, cache) == set()
    with pytest.raises(DatasetError, match="2 photos"):
        read_embeddings(store, asked([*base(1), layout.upload_photo("p")]), cache)


@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_half_a_file_in_the_cache_never_counts(
    lake: LocalStore, cache: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A process that is killed while it writes leaves a draft, which nobody reads."""
    write_embeddings(lake, base(1, 2), vectors(2))
    write = Path.write_bytes

    def dies(path: Path, *given: bytes) -> None:
        write(path, given[0][:1000]) if step == "write_bytes" else None
        raise OSError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, dies)
        patch.setattr(Path, "unlink", lambda *_, **__: None)  # who is killed cleans nothing up
        with pytest.raises(OSError, match="killed"):
            read_embeddings(lake, asked(base(1, 2)), cache)
    assert [path.suffix for path in cache.rglob("*.*")] == [".draft"]
    assert np.array_equal(read_embeddings(lake, asked(base(1, 2)), cache), vectors(2))
