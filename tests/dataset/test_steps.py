"""From the lake to a dataset version, whole: snapshot, facts, near-duplicates, label issues, sample, digest."""

import hashlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image, ImageOps

from include.backbone import VERSION
from include.dataset import facts, steps
from include.dataset.crowd_report import splits_apart
from include.dataset.manifest import MANIFEST, digest_of, read_manifest, read_report
from include.dataset.publish import publish as publish_dataset
from include.dataset.splits import bucket, split_of_bucket
from include.errors import DatasetError
from include.ingestion import snapshot
from include.ingestion.reviews import save_review
from include.ingestion.uploads import fingerprint, lake_secret
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table, write_json, write_table
from include.lake.local import LocalStore
from include.records import Review
from include.settings import Labels, Policy, Settings
from include.status import Status
from tests.dataset.conftest import PER_SOURCE
from tests.pictures import (
    QUESTION,
    add_base,
    copies_over_splits,
    describe_photos,
    drawing,
    drawing_on,
    drawn_image,
    encode,
    fill_base,
    give,
    plain,
)

POLICY = Policy(labels=Labels(max_quality=0, min_agreement=0))  # no label issues: they have tests of their own


def publish(store: ObjectStore, run: str, policy: Policy = POLICY, *, images_per_source: int = 1000) -> str:
    """What the tasks of `collect` and `check` do, one after another; returns the digest."""
    settings = Settings(policy=policy)
    describe_photos(store, run, settings.embedding_cache)
    steps.deduplicate(store, run, policy)
    steps.check_labels(store, run, settings)
    steps.sample(store, run, settings, images_per_source=images_per_source)
    return publish_dataset(store, run, settings, images_per_source=images_per_source)


def rebuild(store: ObjectStore, digest: str) -> pd.DataFrame:
    return steps.rebuild(store, digest, QUESTION, cache=Settings().embedding_cache)


def status_of(store: ObjectStore, digest: str, photo_id: str) -> str:
    statuses = [p["status"] for p in read_report(store, digest)["photos"] if f"/{photo_id}/" in p["key"]]
    assert len(statuses) == 1
    return statuses[0]


def test_the_same_photos_give_the_same_digest(store: ObjectStore) -> None:
    fill_base(store, per_source=25)
    first = publish(store, "run 1")
    assert publish(store, "run 2") == first
    manifest = read_manifest(store, first)
    assert list(manifest.columns) == MANIFEST
    assert len(manifest) == 100
    assert (manifest["split"] == manifest["sha256"].map(bucket).map(split_of_bucket)).all()
    assert set(manifest.groupby("source")["label"].first().items()) == {
        ("cats", "positive"),
        ("dogs", "negative"),
        ("selfies", "negative"),
        ("misc", "negative"),
    }


def test_every_upload_has_exactly_one_status(base_lake: LocalStore) -> None:
    train_cat, test_cat = drawing_on("train", "cats"), drawing_on("test", "cats")
    give(base_lake, "used", train_cat, "positive")
    give(base_lake, "waiting", test_cat, "positive")
    give(base_lake, "copied", next(iter(base_photos(base_lake, "cats", "train"))), "positive")
    give(base_lake, "disputed", next(iter(base_photos(base_lake, "dogs", "train"))), "positive")
    give(base_lake, "mute", plain(), "neither")
    give(base_lake, "torn", train_cat + b"x", "positive")
    base_lake.write(layout.upload_photo("torn"), train_cat[:200])
    digest = publish(base_lake, "r")
    expected = {
        "used": Status.USED,
        "waiting": Status.UNREVIEWED_HOLDOUT,
        "copied": Status.NEAR_DUPLICATE,
        "disputed": Status.CONFLICTING_LABELS,
        "mute": Status.UNLABELLED,
        "torn": Status.QUARANTINED,
    }
    assert {photo_id: status_of(base_lake, digest, photo_id) for photo_id in expected} == expected
    assert json.loads(base_lake.read(layout.quarantine(layout.upload_photo("torn"))))["problem"].startswith("damaged")


def base_photos(store: ObjectStore, source: str, split: str) -> Iterator[bytes]:
    for key in store.keys(layout.base(source, "")):
        if split_of_bucket(bucket(layout.parse_base(key).sha256)) == split:
            yield store.read(key)


def test_uploads_change_the_digest_and_no_base_photo(base_lake: LocalStore) -> None:
    before = read_manifest(base_lake, publish(base_lake, "r1"))
    give(base_lake, "new", drawing_on("train", "dogs"), "negative")
    after = read_manifest(base_lake, publish(base_lake, "r2"))
    assert digest_of(before) != digest_of(after)
    added = after[~after["key"].isin(before["key"])].to_dict("records")
    assert [(row["class_name"], row["label"], row["split"]) for row in added] == [("unknown", "negative", "train")]
    assert before.equals(after[after["source"] != "uploads"].reset_index(drop=True))


def test_an_upload_is_named_by_a_keyed_hash(base_lake: LocalStore) -> None:
    photo = drawing_on("train", "cats")
    give(base_lake, "new", photo, "positive")
    manifest = read_manifest(base_lake, publish(base_lake, "r"))
    sha256 = hashlib.sha256(photo).hexdigest()
    assert sha256 not in set(manifest["sha256"])
    assert fingerprint(lake_secret(base_lake), sha256) in set(manifest["sha256"])


def test_a_reviewed_upload_on_test_is_used(base_lake: LocalStore) -> None:
    give(base_lake, "new", drawing_on("test", "cats"), "positive")
    assert status_of(base_lake, publish(base_lake, "r1"), "new") == Status.UNREVIEWED_HOLDOUT
    save_review(base_lake, Review("new", "keep", "ann", "2026-01-02T00:00:00+00:00"))
    digest = publish(base_lake, "r2")
    assert status_of(base_lake, digest, "new") == Status.USED
    manifest = read_manifest(base_lake, digest).set_index("key")
    row = manifest.loc[layout.upload_photo("new")]
    assert (row["split"], row["label_origin"]) == ("test", "reviewed")


def test_a_broken_base_photo_never_stops_a_run(base_lake: LocalStore) -> None:
    bad = layout.base("misc", hashlib.sha256(b"no photo").hexdigest())
    base_lake.write(bad, b"no photo")
    digest = publish(base_lake, "r")
    assert bad not in set(read_manifest(base_lake, digest)["key"])
    listed = [photo for photo in read_report(base_lake, digest)["photos"] if photo["key"] == bad]
    assert listed[0]["status"] == Status.QUARANTINED
    assert "not_an_image" in listed[0]["reason"]


def test_two_fresh_lakes_with_the_same_photos_give_one_digest(base_lake: LocalStore, tmp_path: Path) -> None:
    other = LocalStore(tmp_path / "other")
    fill_base(other, per_source=PER_SOURCE)
    assert publish(base_lake, "r") == publish(other, "another run")
    assert lake_secret(base_lake) != lake_secret(other)


def test_an_upload_that_the_base_photos_contradict_waits(base_lake: LocalStore) -> None:
    give(base_lake, "right", drawing_on("train", "cats"), "positive")
    give(base_lake, "wrong", drawing_on("train", "dogs"), "positive", session="s2")
    digest = publish(base_lake, "r", Policy())
    assert status_of(base_lake, digest, "right") == Status.USED
    assert status_of(base_lake, digest, "wrong") == Status.DISAGREES_WITH_BASE
    assert digest_of(rebuild(base_lake, digest)) == digest


def test_rebuild_computes_the_digest_again(base_lake: LocalStore) -> None:
    give(base_lake, "new", drawing_on("train", "cats"), "positive")
    digest = publish(base_lake, "r")
    assert digest_of(rebuild(base_lake, digest)) == digest


def test_rebuild_notices_a_changed_snapshot_and_a_changed_manifest(base_lake: LocalStore) -> None:
    digest = publish(base_lake, "r")
    manifest_key, snapshot_key = layout.manifest(digest), layout.run_base("r")
    whole = {key: base_lake.read(key) for key in (manifest_key, snapshot_key)}
    for key in whole:
        table = read_table(base_lake, key)
        write_table(base_lake, key, table.iloc[1:])
        with pytest.raises(DatasetError, match="does not rebuild"):
            rebuild(base_lake, digest)
        base_lake.write(key, whole[key])
    rebuild(base_lake, digest)


def test_what_other_rules_or_another_backbone_made_is_not_rebuilt(base_lake: LocalStore) -> None:
    digest = publish(base_lake, "r")
    report = read_report(base_lake, digest)
    without_backbone = {name: value for name, value in report.items() if name != "backbone"}
    for older in (report | {"policy_version": 3}, report | {"backbone": "another"}, without_backbone):
        write_json(base_lake, layout.dataset_report(digest), older)
        with pytest.raises(DatasetError, match=f"dataset {digest} was made by rules .* run retrain once"):
            rebuild(base_lake, digest)


def test_a_split_without_both_labels_stops_the_run(lake: LocalStore) -> None:
    fill_base(lake, per_source=1)
    with pytest.raises(DatasetError, match="images_per_source"):
        publish(lake, "r")


def test_an_unknown_digest_is_named(lake: LocalStore) -> None:
    with pytest.raises(DatasetError, match="abc"):
        rebuild(lake, "abc")


def a_base_photo(store: ObjectStore, source: str, split: str) -> str:
    """The sha256 of one base photo."""
    names = (layout.parse_base(key).sha256 for key in store.keys(layout.base(source, "")))
    return next(name for name in names if split_of_bucket(bucket(name)) == split)


def test_a_base_photo_can_be_reviewed(base_lake: LocalStore) -> None:
    before = read_manifest(base_lake, publish(base_lake, "r1"))
    dropped, relabelled = a_base_photo(base_lake, "cats", "test"), a_base_photo(base_lake, "dogs", "train")
    save_review(base_lake, Review(dropped, "drop", "ann", "2026-01-02T00:00:00+00:00"))
    save_review(base_lake, Review(relabelled, "relabel", "ann", "2026-01-02T00:00:00+00:00", "positive"))
    after = read_manifest(base_lake, publish(base_lake, "r2")).set_index("sha256")
    assert set(before["sha256"]) - set(after.index) == {dropped}
    row = after.loc[relabelled]
    assert (row["label"], row["class_name"], row["label_origin"]) == ("positive", "unknown", "reviewed")


def test_a_dataset_has_a_card_with_its_counts_and_the_pictures_of_its_clusters(base_lake: LocalStore) -> None:
    mirrored = ImageOps.mirror(drawn_image("cats", 1))
    add_base(base_lake, "cats", encode(mirrored, quality=90))
    give(base_lake, "given", encode(mirrored, quality=70), "positive")
    give(base_lake, "waits", drawing_on("test", "cats"), "positive")
    digest = publish(base_lake, "r")
    card = base_lake.read(layout.dataset_card(digest)).decode()
    assert digest in card
    assert card.count(Status.UNREVIEWED_HOLDOUT) == 2, "among the statuses, and why it waits"
    clusters = base_lake.read(layout.dataset_clusters(digest)).decode()
    assert clusters.count("data:image/jpeg") == 2, "the two base photos are drawn"
    assert 'href="../../uploads/given/photo.jpg"' in clusters, "the upload is linked"
    statuses = read_table(base_lake, layout.dataset_statuses(digest))
    assert len(statuses) == 4 * PER_SOURCE + 3
    assert statuses["status"].notna().all()


@pytest.mark.parametrize("count", [25, *(pytest.param(many, marks=pytest.mark.slow) for many in (60, 200))])
def test_a_crowd_of_copies_counts_as_one_photo_on_one_split(
    base_lake: LocalStore, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {add_base(base_lake, "cats", copy) for copy in copies_over_splits(drawn_image("cats", 900), count)}
    with caplog.at_level(logging.WARNING, logger="include.dataset"):
        digest = publish(base_lake, "r")
    manifest, report = read_manifest(base_lake, digest), read_report(base_lake, digest)
    kept = manifest[manifest["key"].isin(keys)]
    assert kept["split"].tolist() == ["test"]
    crowd = {
        "name": kept["cluster"].iloc[0],
        "photos": count,
        "stay": 1,
        "split": "test",
        "example": kept["key"].iloc[0],
    }
    assert report["crowds"] == [crowd]
    said = f"crowd of {count} near-duplicates, such as {crowd['example']}; photos that stay: 1, on test"
    assert caplog.messages.count(said) == 1
    assert splits_apart(manifest, report)[1].endswith(f"; crowds: 1, their {count} photos count as 1")
    assert f"Their {count} photos count as 1." in base_lake.read(layout.dataset_card(digest)).decode()


def test_a_crowd_of_copies_in_two_sources_with_two_labels_leaves(base_lake: LocalStore) -> None:
    copies = copies_over_splits(drawn_image("dogs", 900), 40)
    keys = {add_base(base_lake, ("cats", "dogs")[number % 2], copy) for number, copy in enumerate(copies)}
    digest = publish(base_lake, "r")
    manifest, report = read_manifest(base_lake, digest), read_report(base_lake, digest)
    assert not keys & set(manifest["key"])
    assert [(crowd["photos"], crowd["stay"], crowd["split"]) for crowd in report["crowds"]] == [(40, 0, None)]
    statuses = {photo["status"] for photo in report["photos"] if photo["key"] in keys}
    assert statuses == {Status.CONFLICTING_LABELS}


def test_visitors_who_send_a_crowd_of_copies_neither_train_nor_take_a_base_photo_away(base_lake: LocalStore) -> None:
    before = read_manifest(base_lake, publish(base_lake, "r1"))
    key = layout.base("cats", a_base_photo(base_lake, "cats", "test"))
    picture = Image.open(io.BytesIO(base_lake.read(key))).convert("RGB")
    for number, copy in enumerate(copies_over_splits(picture, 25)):
        give(base_lake, f"copy{number}", copy, ("negative", "positive")[number % 2], session=f"s{number % 4}")
    digest = publish(base_lake, "r2")
    assert read_manifest(base_lake, digest).equals(before)
    report = json.loads(base_lake.read(layout.run_dataset("r2")))
    assert [photo["status"] for photo in report["photos"]] == [Status.UPLOAD_IN_CROWD] * 25
    (crowd,) = report["crowds"]
    assert crowd | {"name": ""} == {"name": "", "photos": 26, "stay": 1, "split": "test", "example": key}
    crowds = base_lake.read(layout.run_page("r2", "clusters.html")).decode().partition("<h2>Crowds</h2>")[2]
    assert crowds.count("data:image/jpeg") == 1, "uploads are linked, never drawn"
    assert crowds.count('<a href="../../uploads/copy') == 25


def test_forgetting_an_upload_leaves_no_picture_of_it_and_no_embedding(base_lake: LocalStore) -> None:
    give(base_lake, "given", drawing("cats", 40_000), "positive")
    publish(base_lake, "r")
    known = facts.read_facts(base_lake, snapshot.read_snapshot(base_lake, "r")[1])
    small = facts.read_thumbnails(base_lake, known[known["key"] == layout.upload_photo("given")]).tobytes()
    vector = base_lake.read(layout.upload_embeddings("given", VERSION))
    elsewhere = [base_lake.read(key) for key in base_lake.keys("") if not key.startswith(layout.UPLOADS)]
    elsewhere += [path.read_bytes() for path in Settings().home.rglob("*") if path.is_file()]
    assert not [body for body in elsewhere if small in body or vector in body]


def pages_of(store: ObjectStore, digest: str) -> dict[str, bytes]:
    return {key: store.read(key) for key in store.keys(layout.dataset_file(digest, ""))}


def test_a_later_run_with_the_same_digest_leaves_the_pages_of_the_version_as_they_are(base_lake: LocalStore) -> None:
    first = publish(base_lake, "first")
    before = pages_of(base_lake, first)
    give(
        base_lake, "a-later-one", drawing_on("test", "cats"), "positive"
    )  # it changes the statuses and not the manifest
    assert publish(base_lake, "second") == first
    assert pages_of(base_lake, first) == before
    reports = {run: json.loads(base_lake.read(layout.run_dataset(run))) for run in ("first", "second")}
    assert [len(reports[run]["photos"]) for run in reports] == [0, 1]
    assert reports["first"] == read_report(base_lake, first)
    waiting = {run: b"a-later-one" in base_lake.read(layout.run_page(run, "card.html")) for run in reports}
    assert waiting == {"first": False, "second": True}
    assert len(read_table(base_lake, layout.run_page("second", "statuses.parquet"))) == 4 * PER_SOURCE + 1
    rebuild(base_lake, first)


def test_a_version_that_a_killed_task_left_half_written_is_completed(
    base_lake: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = publish(base_lake, "whole")
    expected = pages_of(base_lake, digest)
    for name in ("report.json", "card.html", "manifest.parquet"):
        base_lake.delete(layout.dataset_file(digest, name))
    assert publish(base_lake, "whole") == digest
    assert pages_of(base_lake, digest) == expected


def test_a_version_by_rules_that_the_code_no_longer_has_is_published_anew(base_lake: LocalStore) -> None:
    digest = publish(base_lake, "r")
    write_json(base_lake, layout.dataset_report(digest), read_report(base_lake, digest) | {"policy_version": 1})
    assert publish(base_lake, "later") == digest
    assert read_report(base_lake, digest)["run"] == "later"
    rebuild(base_lake, digest)


def test_the_table_of_other_settings_is_not_taken_for_that_of_these(base_lake: LocalStore) -> None:
    publish(base_lake, "r")
    other = Settings(policy=Policy(labels=Labels(max_quality=0.01)))
    for step, task in (
        (lambda: steps.check_labels(base_lake, "r", other), "deduplicate"),
        (lambda: steps.sample(base_lake, "r", other, images_per_source=1000), "check_labels"),
        (lambda: publish_dataset(base_lake, "r", other, images_per_source=1000), "sample"),
        (lambda: publish_dataset(base_lake, "r", Settings(policy=POLICY), images_per_source=999), "sample"),
    ):
        with pytest.raises(DatasetError, match=f"changed since the task {task} of this run; clear the task {task}"):
            step()


def test_the_data_checks_of_other_photos_are_not_published(base_lake: LocalStore) -> None:
    digest = publish(base_lake, "r")
    write_json(base_lake, layout.run_validation("r"), {"passed": True, "dataset": "another"})
    with pytest.raises(DatasetError, match=f"other photos than those of dataset {digest}: clear the task validate"):
        publish(base_lake, "r")
    write_json(base_lake, layout.run_validation("r"), {"passed": True, "dataset": digest})
    base_lake.write(layout.run_validation_page("r"), b"<p>fine</p>")
    publish(base_lake, "r")
    assert not base_lake.exists(layout.dataset_validation(digest)), "its pages were written before"


def test_a_version_whose_base_photos_are_gone_rebuilds_from_their_facts(base_lake: LocalStore) -> None:
    manifest = read_manifest(base_lake, publish(base_lake, "r"))
    assert steps.photos_gone(base_lake, manifest) == []
    gone = list(manifest["key"][:2])
    for key in gone:
        base_lake.delete(key)
    assert digest_of(rebuild(base_lake, digest_of(manifest))) == digest_of(manifest)
    assert steps.photos_gone(base_lake, manifest) == gone


def test_a_version_whose_uploads_are_gone_says_so(base_lake: LocalStore) -> None:
    give(base_lake, "given", drawing_on("train", "cats"), "positive")
    digest = publish(base_lake, "r")
    for key in list(base_lake.keys(f"{layout.UPLOADS}given/")):
        base_lake.delete(key)
    with pytest.raises(DatasetError, match=f"{digest} cannot be rebuilt: 1 uploads .*for example given.*Run retrain"):
        rebuild(base_lake, digest)
