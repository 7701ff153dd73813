"""What is computed once for each photo: facts and an embedding, in shards that may be repeated."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.backbone import VERSION
from include.dataset import embeddings, facts
from include.errors import InputError, ObjectNotFound, PhotoMissing
from include.images.decoding import decode_twice
from include.ingestion import snapshot
from include.ingestion.base_sets import claim_lake
from include.ingestion.uploads import lake_secret
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.settings import Settings
from tests.pictures import QUESTION, add_base, describe_photos, drawing, fill_base, give, plain


def undescribed(store: ObjectStore, run: str, *, shard_size: int = 500) -> list[list[str]]:
    """The photos of a new run that lack facts or an embedding, by shards."""
    snapshot.snapshot_base(store, run, QUESTION)
    snapshot.snapshot_uploads(store, run)
    shards = facts.list_new_images(store, run, cache=Settings().embedding_cache, shard_size=shard_size)
    return [json.loads(store.read(shard)) for shard in shards]


def test_only_new_photos_are_described_in_shards_of_one_size(base_lake: LocalStore) -> None:
    for number in range(5):
        give(base_lake, f"p{number}", drawing("cats", 20_000 + number), "positive")
    shards = undescribed(base_lake, "r", shard_size=2)
    assert [len(shard) for shard in shards] == [3, 2]
    assert sum(shards, []) == [layout.upload_photo(f"p{number}") for number in range(5)]
    assert [len(shard) for shard in undescribed(base_lake, "r", shard_size=4)] == [5]
    assert describe_photos(base_lake, "r", Settings().embedding_cache) == 5
    assert undescribed(base_lake, "r") == []


def test_photos_that_lack_an_embedding_or_facts_are_new(base_lake: LocalStore) -> None:
    for number, name in enumerate(("whole", "without-facts", "without-embedding")):
        give(base_lake, name, drawing("cats", 20_000 + number), "positive")
    describe_photos(base_lake, "r1", Settings().embedding_cache)
    base_lake.delete(layout.upload_facts("without-facts"))
    base_lake.delete(layout.upload_embeddings("without-embedding", VERSION))
    lacking = [layout.upload_photo(name) for name in ("without-embedding", "without-facts")]
    assert undescribed(base_lake, "r2") == [lacking]
    (part,) = base_lake.keys(layout.base_embeddings(VERSION))
    base_lake.delete(part)
    every = [*base_lake.keys(layout.BASE), *lacking]
    assert undescribed(base_lake, "r3") == [every]
    base_lake.write(layout.base_embeddings("another", part.rpartition("/")[2]), b"")
    assert undescribed(base_lake, "r3") == [every]


def test_photos_that_lack_facts_alone_are_new_too(base_lake: LocalStore) -> None:
    (part,) = base_lake.keys(layout.BASE_FACTS)
    base_lake.delete(part)
    assert undescribed(base_lake, "r") == [list(base_lake.keys(layout.BASE))]


def test_for_another_backbone_every_photo_is_new(base_lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> None:
    give(base_lake, "given", drawing("cats", 20_000), "positive")
    describe_photos(base_lake, "r1", Settings().embedding_cache)
    for module in (facts, embeddings):
        monkeypatch.setattr(module, "VERSION", "another")
    every = [*base_lake.keys(layout.BASE), layout.upload_photo("given")]
    assert undescribed(base_lake, "r2") == [every]


def test_a_broken_photo_is_described_once(lake: LocalStore) -> None:
    claim_lake(lake, Settings())
    broken = add_base(lake, "misc", b"no photo")
    assert describe_photos(lake, "r1", Settings().embedding_cache) == 1
    assert json.loads(lake.read(layout.quarantine(broken)))["problem"].startswith("not_an_image")
    assert undescribed(lake, "r2") == []


def list_new(store: LocalStore, run: str) -> str:
    """A snapshot of all photos, in one shard; returns its key."""
    snapshot.snapshot_base(store, run, QUESTION)
    snapshot.snapshot_uploads(store, run)
    (shard,) = facts.list_new_images(store, run, cache=store.root.parent / "cache", shard_size=1000)
    return shard


def results(store: LocalStore) -> dict[str, bytes]:
    """All that `describe` leaves for later tasks, as it is on the disk."""
    left = [key for key in store.keys("") if key.startswith(("facts/", "quarantine/", layout.UPLOADS))]
    return {key: (store.root / key).read_bytes() for key in left}


@pytest.mark.parametrize("lost", [[0], [3, 5], [8], [0, 4, 8]], ids=str)
def test_a_missing_photo_is_no_fact(lake: LocalStore, lost: list[int]) -> None:
    """Base photos and an upload: named with their number, nothing is stored, and all is well when they are back."""
    fill_base(lake, per_source=2)
    give(lake, "given", drawing("cats", 20_000), "positive")
    shard = list_new(lake, "r")
    keys: list[str] = json.loads(lake.read(shard))
    bodies = {keys[number]: lake.read(keys[number]) for number in lost}
    for key in bodies:
        lake.delete(key)
    before = results(lake)
    with pytest.raises(PhotoMissing, match=f"{len(lost)} of 9 photos of this run .* such as '{keys[lost[0]]}'.*clear"):
        facts.describe(lake, shard)
    assert results(lake) == before
    for key, body in bodies.items():
        lake.write(key, body)
    assert facts.describe(lake, shard) == {"described": 9, "broken": 0}
    assert undescribed(lake, "r2") == []


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError(), ImportError("libwebp")], ids=repr)
def test_a_fault_of_the_machine_is_no_fact(lake: LocalStore, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    fill_base(lake, per_source=2)
    shard, before, calls = list_new(lake, "r"), results(lake), iter(range(9))

    def decode_with_little(body: bytes, size: int) -> Any:
        if next(calls) == 4:
            raise error
        return decode_twice(body, size)

    with monkeypatch.context() as patch:
        patch.setattr(facts, "decode_twice", decode_with_little)
        with pytest.raises(type(error)):
            facts.describe(lake, shard)
    assert results(lake) == before
    assert facts.describe(lake, shard) == {"described": 8, "broken": 0}


class Struck(LocalStore):
    """A lake that may lose photos for a while, and whose writer may be killed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.hidden, self.writes_left = set[str](), 10**6

    def read(self, key: str) -> bytes:
        if key in self.hidden:
            raise ObjectNotFound(key)
        return super().read(key)

    def write(self, key: str, body: bytes) -> None:
        self.writes_left -= 1
        if self.writes_left < 0:
            raise KeyboardInterrupt
        super().write(key, body)


@pytest.mark.parametrize("seed", range(8))
def test_random_faults_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Photos come and go, the machine lacks something, tasks are killed; in the end all is as without any of it."""
    rng = random.Random(seed)
    monkeypatch.setattr("include.backbone.features.features", lambda pixels: pixels[:, :4, :320, 0].reshape(-1, 896))
    monkeypatch.setattr("include.dataset.embeddings.ROW", np.dtype([("sha256", "S64"), ("vector", "<f2", (896,))]))
    lake = Struck(tmp_path / "lake")
    fill_base(lake, per_source=1)
    for number in range(rng.randint(1, 5)):
        add_base(lake, "misc", rng.choice([drawing("misc", 500 + number), rng.randbytes(50), plain()[: -20 - number]]))
    for number in range(rng.randint(0, 3)):
        give(lake, f"p{number}", drawing("cats", 20_000 + number), "positive")
    shard = list_new(lake, "r")
    keys: list[str] = json.loads(lake.read(shard))
    lake_secret(lake)  # of both lakes
    shutil.copytree(lake.root, tmp_path / "calm")
    calm = LocalStore(tmp_path / "calm")
    facts.describe(calm, shard)
    for _ in range(rng.randint(2, 5)):
        strike(lake, shard, keys, rng, monkeypatch)
    lake.hidden, lake.writes_left = set(), 10**6
    facts.describe(lake, shard)
    assert results(lake) == results(calm)


def strike(lake: Struck, shard: str, keys: list[str], rng: random.Random, monkeypatch: pytest.MonkeyPatch) -> None:
    """One try of `describe` that fails; unless it was killed while it wrote, it leaves what was there before."""
    before, way = results(lake), rng.choice(["photos", "machine", "kill"])
    lake.hidden = set(rng.sample(keys, rng.randint(1, len(keys)))) if way == "photos" else set()
    lake.writes_left = rng.randint(1, 4) if way == "kill" else 10**6
    fails_at, calls = rng.randrange(len(keys)), iter(range(1000))

    def decode(body: bytes, size: int) -> Any:
        if next(calls) == fails_at:
            raise OSError(24, "Too many open files")
        return decode_twice(body, size)

    expected = {"photos": PhotoMissing, "machine": OSError, "kill": KeyboardInterrupt}[way]
    with monkeypatch.context() as patch:
        if way == "machine":
            patch.setattr(facts, "decode_twice", decode)
        with pytest.raises(expected) as caught:
            facts.describe(lake, shard)
    assert not isinstance(caught.value, InputError)
    assert way == "kill" or results(lake) == before


def test_describing_a_shard_twice_changes_nothing(lake: LocalStore) -> None:
    fill_base(lake, per_source=2)
    give(lake, "given", drawing("cats", 20_000), "positive")
    cache = Settings().embedding_cache
    snapshot.snapshot_base(lake, "r", QUESTION)
    snapshot.snapshot_uploads(lake, "r")
    (shard,) = facts.list_new_images(lake, "r", cache=cache, shard_size=1000)
    facts.describe(lake, shard)
    before = {key: lake.read(key) for key in lake.keys("")}
    assert len([key for key in before if key.startswith(("facts/", layout.UPLOADS))]) == 3 + 4
    facts.describe(lake, shard)
    assert {key: lake.read(key) for key in lake.keys("")} == before


def test_a_shard_killed_between_embeddings_and_facts_is_new_again(
    lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_base(lake, per_source=2)
    give(lake, "given", drawing("cats", 20_000), "positive")

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(facts, "_store", dies)
        with pytest.raises(KeyboardInterrupt):
            describe_photos(lake, "r", Settings().embedding_cache)
    assert embeddings.names_with_embeddings(lake, Settings().embedding_cache)
    assert [len(shard) for shard in undescribed(lake, "r")] == [9]
    assert describe_photos(lake, "r", Settings().embedding_cache) == 9
    assert undescribed(lake, "r2") == []
    assert len(list(lake.keys(layout.base_embeddings(VERSION)))) == 1


def test_the_progress_of_a_shard_is_in_the_lake(lake: LocalStore) -> None:
    fill_base(lake, per_source=2)
    describe_photos(lake, "r", Settings().embedding_cache)
    (key,) = lake.keys(layout.progress("r"))
    assert json.loads(lake.read(key)) == {"done": 8, "total": 8, "unit": "photos described"}
