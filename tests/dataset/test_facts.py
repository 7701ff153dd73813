"""What is computed once for each photo: facts and an embedding, in shards that may be repeated."""

import json

import pytest

from include.backbone import VERSION
from include.dataset import embeddings, facts
from include.ingestion import snapshot
from include.ingestion.base_sets import claim_lake
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
    for number, name in enumerate(("whole", "without facts", "without embedding")):
        give(base_lake, name, drawing("cats", 20_000 + number), "positive")
    describe_photos(base_lake, "r1", Settings().embedding_cache)
    base_lake.delete(layout.upload_facts("without facts"))
    base_lake.delete(layout.upload_embeddings("without embedding", VERSION))
    lacking = [layout.upload_photo(name) for name in ("without embedding", "without facts")]
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


def test_a_broken_or_missing_photo_is_described_once(lake: LocalStore) -> None:
    claim_lake(lake, Settings())
    add_base(lake, "misc", b"no photo")
    give(lake, "gone", plain(), "positive")
    lake.delete(layout.upload_photo("gone"))
    assert describe_photos(lake, "r1", Settings().embedding_cache) == 2
    assert undescribed(lake, "r2") == []


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
