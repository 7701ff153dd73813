"""From the lake to a manifest, whole: snapshot, facts, copies, sides, sample, digest."""

import hashlib
import json
import os
import shutil

import pytest
from PIL import ImageOps

from include.backbone import VERSION
from include.dataset import embeddings, facts, steps
from include.dataset.manifest import digest_of, read_manifest, read_report
from include.dataset.splits import bucket, split_of
from include.errors import DatasetError
from include.ingestion import snapshot
from include.ingestion.reviews import save_review
from include.ingestion.uploads import fingerprint, lake_secret, save_feedback
from include.lake import layout
from include.lake.formats import read_table, write_json, write_table
from include.lake.local import LocalStore
from include.records import RetrainParams, Review
from include.settings import Labels, Policy, Settings
from tests.pictures import (
    add_base,
    describe_photos,
    drawing,
    drawing_on,
    drawn_image,
    encode,
    fill_base,
    give,
    plain,
)

POLICY = Policy(labels=Labels(max_quality=0, min_agreement=0))  # no label is doubted: the checks have their own tests
PER_SOURCE = 40
PARAMS = RetrainParams(images_per_source=1000, epochs=1, min_precision=0.5, min_recall=0.5)


def publish(store, run: str, params: RetrainParams = PARAMS, policy: Policy = POLICY) -> str:
    """What the tasks of collect and check do, one after another."""
    cache = Settings().embedding_cache
    describe_photos(store, run, cache)
    steps.deduplicate(store, run, policy)
    steps.check_labels(store, run, policy, cache=cache)
    steps.sample_photos(store, run, images_per_source=params.images_per_source)
    return steps.publish_dataset(store, run, images_per_source=params.images_per_source, policy=policy, cache=cache)


def rebuild(store, digest: str):
    return steps.rebuild(store, digest, cache=Settings().embedding_cache)


def undescribed(store, run: str, *, shard_size: int = 500) -> list[list[str]]:
    """The photos of a new run that lack facts or features, by shards."""
    snapshot.snapshot_base(store, run)
    snapshot.snapshot_uploads(store, run)
    shards = facts.list_new_images(store, run, cache=Settings().embedding_cache, shard_size=shard_size)
    return [json.loads(store.read(shard)) for shard in shards]


def fate_of(store, digest: str, photo_id: str) -> str:
    statuses = [p["status"] for p in read_report(store, digest)["photos"] if f"/{photo_id}/" in p["key"]]
    assert len(statuses) == 1
    return statuses[0]


@pytest.fixture(scope="module")
def described(tmp_path_factory) -> LocalStore:
    """A lake with drawings, their facts and their features."""
    store = LocalStore(tmp_path_factory.mktemp("described"))
    fill_base(store, per_source=PER_SOURCE)
    describe_photos(store, "before", tmp_path_factory.mktemp("cache"))
    return store


@pytest.fixture
def base_lake(described, lake) -> LocalStore:
    """A copy of that lake for one test; stores never change a file in place, so links will do."""
    shutil.copytree(described.root, lake.root, copy_function=os.link)
    return lake


def test_the_same_photos_give_the_same_digest(store):
    fill_base(store, per_source=25)
    first = publish(store, "run 1")
    assert publish(store, "run 2") == first
    manifest = read_manifest(store, first)
    assert list(manifest.columns) == manifest.MANIFEST
    assert len(manifest) == 100
    assert (manifest["split"] == manifest["sha256"].map(bucket).map(split_of)).all()
    assert set(manifest.groupby("source")["label"].first().items()) == {
        ("cats", "cat"),
        ("dogs", "not_cat"),
        ("selfies", "not_cat"),
        ("misc", "not_cat"),
    }


def test_every_upload_has_exactly_one_fate(base_lake):
    train_cat, test_cat = drawing_on("train", "cats"), drawing_on("test", "cats")
    give(base_lake, "used", train_cat, "cat")
    give(base_lake, "waiting", test_cat, "cat")
    give(base_lake, "copied", next(iter(base_photos(base_lake, "cats", "train"))), "cat")
    give(base_lake, "disputed", next(iter(base_photos(base_lake, "dogs", "train"))), "cat")
    give(base_lake, "mute", plain(), "neither")
    give(base_lake, "torn", train_cat + b"x", "cat")
    base_lake.write(layout.upload_photo("torn"), train_cat[:200])
    digest = publish(base_lake, "r")
    expected = {
        "used": "used",
        "waiting": "waiting for review",
        "copied": "copy",
        "disputed": "conflict",
        "mute": "unlabelled",
        "torn": "quarantined",
    }
    assert {photo_id: fate_of(base_lake, digest, photo_id) for photo_id in expected} == expected
    assert json.loads(base_lake.read(layout.quarantine(layout.upload_photo("torn"))))["problem"].startswith("damaged")


def base_photos(store, source: str, split: str):
    for key in store.keys(layout.base(source, "")):
        if split_of(bucket(layout.parse_base(key).sha256)) == split:
            yield store.read(key)


def test_uploads_change_the_digest_and_no_base_photo(base_lake):
    before = read_manifest(base_lake, publish(base_lake, "r1"))
    give(base_lake, "new", drawing_on("train", "dogs"), "not_cat")
    after = read_manifest(base_lake, publish(base_lake, "r2"))
    assert digest_of(before) != digest_of(after)
    added = after[~after["key"].isin(before["key"])].to_dict("records")
    assert [(row["class_name"], row["label"], row["split"]) for row in added] == [("unknown", "not_cat", "train")]
    assert before.equals(after[after["source"] != "uploads"].reset_index(drop=True))


def test_an_upload_is_named_by_a_keyed_hash(base_lake):
    photo = drawing_on("train", "cats")
    give(base_lake, "new", photo, "cat")
    manifest = read_manifest(base_lake, publish(base_lake, "r"))
    sha256 = hashlib.sha256(photo).hexdigest()
    assert sha256 not in set(manifest["sha256"])
    assert fingerprint(lake_secret(base_lake), sha256) in set(manifest["sha256"])


def test_a_review_lets_a_waiting_upload_judge(base_lake):
    give(base_lake, "new", drawing_on("test", "cats"), "cat")
    assert fate_of(base_lake, publish(base_lake, "r1"), "new") == "waiting for review"
    save_review(base_lake, Review("new", "keep", "ann", "2026-01-02T00:00:00+00:00"))
    digest = publish(base_lake, "r2")
    assert fate_of(base_lake, digest, "new") == "used"
    manifest = read_manifest(base_lake, digest).set_index("key")
    row = manifest.loc[layout.upload_photo("new")]
    assert (row["split"], row["label_origin"]) == ("test", "reviewed")


def test_a_broken_base_photo_never_stops_a_run(base_lake):
    bad = layout.base("misc", hashlib.sha256(b"no photo").hexdigest())
    base_lake.write(bad, b"no photo")
    digest = publish(base_lake, "r")
    assert bad not in set(read_manifest(base_lake, digest)["key"])
    told = [photo for photo in read_report(base_lake, digest)["photos"] if photo["key"] == bad]
    assert told[0]["status"] == "quarantined"
    assert "not_an_image" in told[0]["reason"]


def test_only_new_photos_are_described_in_shards_of_one_size(base_lake):
    for number in range(5):
        give(base_lake, f"p{number}", drawing("cats", 20_000 + number), "cat")
    shards = undescribed(base_lake, "r", shard_size=2)
    assert [len(shard) for shard in shards] == [3, 2]
    assert sum(shards, []) == [layout.upload_photo(f"p{number}") for number in range(5)]
    assert [len(shard) for shard in undescribed(base_lake, "r", shard_size=4)] == [5]
    assert describe_photos(base_lake, "r", Settings().embedding_cache) == 5
    assert undescribed(base_lake, "r") == []


def test_photos_that_lack_features_or_facts_are_new(base_lake):
    for number, name in enumerate(("whole", "without facts", "without features")):
        give(base_lake, name, drawing("cats", 20_000 + number), "cat")
    describe_photos(base_lake, "r1", Settings().embedding_cache)
    base_lake.delete(layout.upload_facts("without facts"))
    base_lake.delete(layout.upload_embeddings("without features", VERSION))
    lacking = [layout.upload_photo(name) for name in ("without facts", "without features")]
    assert undescribed(base_lake, "r2") == [lacking]
    (part,) = base_lake.keys(layout.base_embeddings(VERSION))
    base_lake.delete(part)
    every = [*base_lake.keys(layout.BASE), *lacking]
    assert undescribed(base_lake, "r3") == [every]
    base_lake.write(layout.base_embeddings("another", part.rpartition("/")[2]), b"")
    assert undescribed(base_lake, "r3") == [every]


def test_photos_that_lack_facts_alone_are_new_too(base_lake):
    (part,) = base_lake.keys(layout.BASE_FACTS)
    base_lake.delete(part)
    assert undescribed(base_lake, "r") == [list(base_lake.keys(layout.BASE))]


def test_for_another_backbone_every_photo_is_new(base_lake, monkeypatch):
    give(base_lake, "given", drawing("cats", 20_000), "cat")
    describe_photos(base_lake, "r1", Settings().embedding_cache)
    for module in (facts, embeddings):
        monkeypatch.setattr(module, "VERSION", "another")
    every = [*base_lake.keys(layout.BASE), layout.upload_photo("given")]
    assert undescribed(base_lake, "r2") == [every]


def test_a_broken_or_missing_photo_is_described_once(lake):
    add_base(lake, "misc", b"no photo")
    give(lake, "gone", plain(), "cat")
    lake.delete(layout.upload_photo("gone"))
    assert describe_photos(lake, "r1", Settings().embedding_cache) == 2
    assert undescribed(lake, "r2") == []


def test_describing_a_shard_twice_changes_nothing(lake):
    fill_base(lake, per_source=2)
    give(lake, "given", drawing("cats", 20_000), "cat")
    cache = Settings().embedding_cache
    snapshot.snapshot_base(lake, "r")
    snapshot.snapshot_uploads(lake, "r")
    (shard,) = facts.list_new_images(lake, "r", cache=cache, shard_size=1000)
    facts.describe(lake, shard)
    before = {key: lake.read(key) for key in lake.keys("")}
    assert len([key for key in before if key.startswith(("facts/", layout.UPLOADS))]) == 3 + 4
    facts.describe(lake, shard)
    assert {key: lake.read(key) for key in lake.keys("")} == before


def test_a_shard_killed_between_features_and_facts_is_new_again(lake, monkeypatch):
    fill_base(lake, per_source=2)
    give(lake, "given", drawing("cats", 20_000), "cat")

    def dies(*_) -> None:
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


def test_how_far_a_shard_is_stands_in_the_lake(lake):
    fill_base(lake, per_source=2)
    describe_photos(lake, "r", Settings().embedding_cache)
    (key,) = lake.keys(layout.progress("r"))
    assert json.loads(lake.read(key)) == {"done": 8, "total": 8, "unit": "photos described"}


def test_two_fresh_lakes_with_the_same_photos_give_one_digest(base_lake, tmp_path):
    other = LocalStore(tmp_path / "other")
    fill_base(other, per_source=PER_SOURCE)
    assert publish(base_lake, "r") == publish(other, "another run")
    assert lake_secret(base_lake) != lake_secret(other)


def test_an_upload_that_the_features_contradict_waits(base_lake):
    give(base_lake, "right", drawing_on("train", "cats"), "cat")
    give(base_lake, "wrong", drawing_on("train", "dogs"), "cat", session="s2")
    digest = publish(base_lake, "r", policy=Policy())
    assert fate_of(base_lake, digest, "right") == "used"
    assert fate_of(base_lake, digest, "wrong") == "label disagrees with the base photos: waiting for review"
    assert digest_of(rebuild(base_lake, digest)) == digest


def test_rebuild_works_the_digest_out_again(base_lake):
    give(base_lake, "new", drawing_on("train", "cats"), "cat")
    digest = publish(base_lake, "r")
    assert digest_of(rebuild(base_lake, digest)) == digest


def test_rebuild_notices_a_changed_snapshot_and_a_changed_manifest(base_lake):
    digest = publish(base_lake, "r")
    manifest_key, snapshot_key = layout.manifest(digest), layout.run_table("r", "base")
    whole = {key: base_lake.read(key) for key in (manifest_key, snapshot_key)}
    for key in whole:
        table = read_table(base_lake, key)
        write_table(base_lake, key, table.iloc[1:])
        with pytest.raises(DatasetError, match="does not rebuild"):
            rebuild(base_lake, digest)
        base_lake.write(key, whole[key])
    rebuild(base_lake, digest)


def test_what_other_rules_or_another_backbone_made_is_not_rebuilt(base_lake):
    digest = publish(base_lake, "r")
    report = read_report(base_lake, digest)
    without_backbone = {name: value for name, value in report.items() if name != "backbone"}
    for older in (report | {"policy_version": 3}, report | {"backbone": "another"}, without_backbone):
        write_json(base_lake, layout.dataset_report(digest), older)
        with pytest.raises(DatasetError, match=f"dataset {digest} was made by rules .* run retrain once"):
            rebuild(base_lake, digest)


def test_a_side_without_both_labels_stops_the_run(lake):
    fill_base(lake, per_source=1)
    with pytest.raises(DatasetError, match="images_per_source"):
        publish(lake, "r")


def test_an_unknown_digest_is_named(lake):
    with pytest.raises(DatasetError, match="abc"):
        rebuild(lake, "abc")


def is_new(store, run: str, params: RetrainParams = PARAMS, recipe: dict | None = None) -> bool:
    snapshot.snapshot_base(store, run)
    snapshot.snapshot_uploads(store, run)
    return snapshot.anything_new(store, run, params, recipe or {})


def test_nothing_is_new_until_something_is(base_lake):
    assert is_new(base_lake, "r1")
    assert is_new(base_lake, "r2"), "no run has finished yet"
    snapshot.finish_run(base_lake, "r2")
    assert not is_new(base_lake, "r3")
    assert is_new(base_lake, "r2"), "a cleared run may run again"
    assert is_new(base_lake, "r4", RetrainParams(1000, 2, 0.5, 0.5)), "another param"
    assert is_new(base_lake, "r4", recipe={"image_size": 128}), "another recipe"
    assert is_new(base_lake, "r5", RetrainParams(1000, 1, 0.5, 0.5, force=True))
    give(base_lake, "new", plain(), "cat")
    assert is_new(base_lake, "r6")
    snapshot.finish_run(base_lake, "r6")
    save_feedback(base_lake, "new", "cat")
    assert not is_new(base_lake, "r7"), "the same answer again is nothing new"
    save_feedback(base_lake, "new", "not_cat")
    assert is_new(base_lake, "r8")
    base_lake.write(layout.tombstone("new"), b"{}")
    assert is_new(base_lake, "r9")


@pytest.mark.parametrize("name", ["CONTRACT", "VERSION", "POLICY_VERSION"])
def test_another_contract_backbone_or_policy_makes_a_run_new(base_lake, monkeypatch, name):
    is_new(base_lake, "r1")
    snapshot.finish_run(base_lake, "r1")
    assert not is_new(base_lake, "r2")
    monkeypatch.setattr(snapshot, name, "another")
    assert is_new(base_lake, "r3")


def test_an_empty_lake_names_the_cure(lake):
    with pytest.raises(DatasetError, match="ingest_base_datasets"):
        snapshot.snapshot_base(lake, "r")


def a_base_photo(store, source: str, split: str) -> str:
    """The sha256 of one base photo."""
    names = (layout.parse_base(key).sha256 for key in store.keys(layout.base(source, "")))
    return next(name for name in names if split_of(bucket(name)) == split)


def test_a_base_photo_can_be_reviewed(base_lake):
    before = read_manifest(base_lake, publish(base_lake, "r1"))
    dropped, relabelled = a_base_photo(base_lake, "cats", "test"), a_base_photo(base_lake, "dogs", "train")
    save_review(base_lake, Review(dropped, "drop", "ann", "2026-01-02T00:00:00+00:00"))
    save_review(base_lake, Review(relabelled, "relabel", "ann", "2026-01-02T00:00:00+00:00", "cat"))
    assert is_new(base_lake, "r2")
    after = read_manifest(base_lake, publish(base_lake, "r2")).set_index("sha256")
    assert set(before["sha256"]) - set(after.index) == {dropped}
    row = after.loc[relabelled]
    assert (row["label"], row["class_name"], row["label_origin"]) == ("cat", "unknown", "reviewed")


def test_a_dataset_has_a_card_with_its_counts_and_the_pictures_of_its_clusters(base_lake):
    mirrored = ImageOps.mirror(drawn_image("cats", 1))
    copy = encode(mirrored, quality=90)
    add_base(base_lake, "cats", copy)
    give(base_lake, "given", encode(mirrored, quality=70), "cat")
    give(base_lake, "waits", drawing_on("test", "cats"), "cat")
    digest = publish(base_lake, "r")
    card = base_lake.read(layout.dataset_page(digest, "card.html")).decode()
    assert digest in card
    assert "waiting for review" in card
    clusters = base_lake.read(layout.dataset_page(digest, "clusters.html")).decode()
    assert clusters.count("data:image/jpeg") == 2, "the two base photos are drawn"
    assert 'href="../../uploads/given/photo.jpg"' in clusters, "the upload is linked"
    statuses = read_table(base_lake, layout.dataset_page(digest, "statuses.parquet"))
    assert len(statuses) == 4 * PER_SOURCE + 3
    assert statuses["status"].notna().all()


def test_forgetting_an_upload_leaves_no_picture_of_it_and_no_features(base_lake):
    give(base_lake, "given", drawing("cats", 40_000), "cat")
    publish(base_lake, "r")
    known = facts.read_facts(base_lake, snapshot.read_snapshot(base_lake, "r")[1])
    small = facts.read_thumbnails(base_lake, known[known["key"] == layout.upload_photo("given")]).tobytes()
    vector = base_lake.read(layout.upload_embeddings("given", VERSION))
    elsewhere = [base_lake.read(key) for key in base_lake.keys("") if not key.startswith(layout.UPLOADS)]
    elsewhere += [path.read_bytes() for path in Settings().home.rglob("*") if path.is_file()]
    assert not [body for body in elsewhere if small in body or vector in body]
