"""From the lake to a manifest, whole: snapshot, facts, copies, sides, sample, digest."""

import hashlib
import json

import numpy as np
import pytest
from PIL import ImageOps

from include.data import dataset, facts, features, snapshot
from include.data.reviews import save_review
from include.data.split import bucket, side_of
from include.data.uploads import fingerprint, lake_secret, save_feedback
from include.errors import DatasetError
from include.lake import layout
from include.records import SOURCES, UPLOADS, RetrainParams, Review
from include.settings import Labels, Policy
from tests.pictures import add_base, drawing, drawing_on, drawn_image, encode, fill_base, give, plain

POLICY = Policy(labels=Labels(min_agreement=0))  # drawings have no neighbours to speak of
PARAMS = RetrainParams(images_per_source=1000, epochs=1, min_precision=0.5, min_recall=0.5)


def publish(store, run: str, params: RetrainParams = PARAMS) -> str:
    """What the tasks of collect and check do, one after another."""
    snapshot.snapshot_base(store, run)
    snapshot.snapshot_uploads(store, run)
    for shard in facts.list_undescribed(store, run, shard_size=50):
        facts.describe(store, shard)
    dataset.deduplicate(store, run, POLICY)
    embed(store, run)
    dataset.check_labels(store, run, POLICY)
    dataset.choose(store, run, images_per_source=params.images_per_source)
    return dataset.publish(store, run, images_per_source=params.images_per_source, policy=POLICY)


def embed(store, run: str) -> None:
    """Features by which no label is doubted: the extractor and the label checks have tests of their own."""
    photos = dataset.read_deduplicated(store, run)
    usable = features.without_features(store, photos[photos["fate"].isna()])
    told_apart = [[source == other for other in (*SOURCES, UPLOADS)] for source in usable["source"]]
    features.write_features(store, usable, np.array(told_apart, np.float16).reshape(len(usable), 5))


def fate_of(store, digest: str, photo_id: str) -> str:
    fates = [p["fate"] for p in dataset.read_report(store, digest)["photos"] if f"/{photo_id}/" in p["key"]]
    assert len(fates) == 1
    return fates[0]


@pytest.fixture
def base_lake(lake):
    fill_base(lake)
    return lake


def test_the_same_photos_give_the_same_digest(store):
    fill_base(store)
    first = publish(store, "run 1")
    assert publish(store, "run 2") == first
    manifest = dataset.read_manifest(store, first)
    assert list(manifest.columns) == dataset.MANIFEST
    assert len(manifest) == 320
    assert (manifest["side"] == manifest["sha256"].map(bucket).map(side_of)).all()
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


def base_photos(store, source: str, side: str):
    for key in store.keys(layout.base(source, "")):
        if side_of(bucket(layout.parse_base(key).sha256)) == side:
            yield store.read(key)


def test_uploads_change_the_digest_and_no_base_photo(base_lake):
    before = dataset.read_manifest(base_lake, publish(base_lake, "r1"))
    give(base_lake, "new", drawing_on("train", "dogs"), "not_cat")
    after = dataset.read_manifest(base_lake, publish(base_lake, "r2"))
    assert dataset.digest_of(before) != dataset.digest_of(after)
    added = after[~after["key"].isin(before["key"])].to_dict("records")
    assert [(row["kind"], row["label"], row["side"]) for row in added] == [("unknown", "not_cat", "train")]
    assert before.equals(after[after["source"] != "uploads"].reset_index(drop=True))


def test_an_upload_is_named_by_a_keyed_hash(base_lake):
    photo = drawing_on("train", "cats")
    give(base_lake, "new", photo, "cat")
    manifest = dataset.read_manifest(base_lake, publish(base_lake, "r"))
    sha256 = hashlib.sha256(photo).hexdigest()
    assert sha256 not in set(manifest["sha256"])
    assert fingerprint(lake_secret(base_lake), sha256) in set(manifest["sha256"])


def test_a_review_lets_a_waiting_upload_judge(base_lake):
    give(base_lake, "new", drawing_on("test", "cats"), "cat")
    assert fate_of(base_lake, publish(base_lake, "r1"), "new") == "waiting for review"
    save_review(base_lake, Review("new", "keep", "ann", "2026-01-02T00:00:00+00:00"))
    digest = publish(base_lake, "r2")
    assert fate_of(base_lake, digest, "new") == "used"
    manifest = dataset.read_manifest(base_lake, digest).set_index("key")
    row = manifest.loc[layout.upload_photo("new")]
    assert (row["side"], row["label_origin"]) == ("test", "reviewed")


def test_a_broken_base_photo_never_stops_a_run(base_lake):
    bad = layout.base("misc", hashlib.sha256(b"no photo").hexdigest())
    base_lake.write(bad, b"no photo")
    digest = publish(base_lake, "r")
    assert bad not in set(dataset.read_manifest(base_lake, digest)["key"])
    told = [photo for photo in dataset.read_report(base_lake, digest)["photos"] if photo["key"] == bad]
    assert told[0]["fate"] == "quarantined"
    assert "not_an_image" in told[0]["why"]


def test_only_photos_without_facts_are_described(base_lake):
    publish(base_lake, "r1")
    for number in range(5):
        give(base_lake, f"p{number}", drawing("cats", 20_000 + number), "cat")
    snapshot.snapshot_base(base_lake, "r2")
    snapshot.snapshot_uploads(base_lake, "r2")
    shards = facts.list_undescribed(base_lake, "r2", shard_size=2)
    assert [len(json.loads(base_lake.read(shard))) for shard in shards] == [2, 2, 1]
    assert [facts.describe(base_lake, shard)["described"] for shard in shards] == [2, 2, 1]
    assert facts.list_undescribed(base_lake, "r2", shard_size=2) == []


def test_describing_a_shard_twice_changes_nothing(base_lake):
    snapshot.snapshot_base(base_lake, "r")
    snapshot.snapshot_uploads(base_lake, "r")
    shard = facts.list_undescribed(base_lake, "r", shard_size=1000)[0]
    facts.describe(base_lake, shard)
    before = {key: base_lake.read(key) for key in base_lake.keys("facts/")}
    facts.describe(base_lake, shard)
    assert {key: base_lake.read(key) for key in base_lake.keys("facts/")} == before


def test_rebuild_works_the_digest_out_again(base_lake):
    give(base_lake, "new", drawing_on("train", "cats"), "cat")
    digest = publish(base_lake, "r")
    assert dataset.digest_of(dataset.rebuild(base_lake, digest)) == digest


def test_rebuild_notices_a_changed_snapshot_and_a_changed_manifest(base_lake):
    digest = publish(base_lake, "r")
    manifest_key, snapshot_key = layout.manifest(digest), layout.run_table("r", "base")
    whole = {key: base_lake.read(key) for key in (manifest_key, snapshot_key)}
    for key in whole:
        table = dataset.read_table(base_lake, key)
        dataset.write_table(base_lake, key, table.iloc[1:])
        with pytest.raises(DatasetError, match="does not rebuild"):
            dataset.rebuild(base_lake, digest)
        base_lake.write(key, whole[key])
    dataset.rebuild(base_lake, digest)


def test_a_side_without_both_labels_stops_the_run(lake):
    fill_base(lake, per_source=1)
    with pytest.raises(DatasetError, match="images_per_source"):
        publish(lake, "r")


def test_an_unknown_digest_is_named(lake):
    with pytest.raises(DatasetError, match="abc"):
        dataset.rebuild(lake, "abc")


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


def test_an_empty_lake_names_the_cure(lake):
    with pytest.raises(DatasetError, match="ingest_base_datasets"):
        snapshot.snapshot_base(lake, "r")


def a_base_photo(store, source: str, side: str) -> str:
    """The sha256 of one base photo."""
    names = (layout.parse_base(key).sha256 for key in store.keys(layout.base(source, "")))
    return next(name for name in names if side_of(bucket(name)) == side)


def test_a_base_photo_can_be_reviewed(base_lake):
    before = dataset.read_manifest(base_lake, publish(base_lake, "r1"))
    dropped, relabelled = a_base_photo(base_lake, "cats", "test"), a_base_photo(base_lake, "dogs", "train")
    save_review(base_lake, Review(dropped, "drop", "ann", "2026-01-02T00:00:00+00:00"))
    save_review(base_lake, Review(relabelled, "relabel", "ann", "2026-01-02T00:00:00+00:00", "cat"))
    assert is_new(base_lake, "r2")
    after = dataset.read_manifest(base_lake, publish(base_lake, "r2")).set_index("sha256")
    assert set(before["sha256"]) - set(after.index) == {dropped}
    row = after.loc[relabelled]
    assert (row["label"], row["kind"], row["label_origin"]) == ("cat", "unknown", "reviewed")


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
    fates = dataset.read_table(base_lake, layout.dataset_page(digest, "fates.parquet"))
    assert len(fates) == 323
    assert fates["fate"].notna().all()


def test_forgetting_an_upload_leaves_no_picture_of_it(base_lake):
    give(base_lake, "given", drawing("cats", 40_000), "cat")
    publish(base_lake, "r")
    known = facts.read_facts(base_lake, snapshot.read_snapshot(base_lake, "r")[1])
    small = facts.read_thumbnails(base_lake, known[known["key"] == layout.upload_photo("given")])
    elsewhere = [key for key in base_lake.keys("") if not key.startswith(layout.UPLOADS)]
    assert not [key for key in elsewhere if small.tobytes() in base_lake.read(key)]
