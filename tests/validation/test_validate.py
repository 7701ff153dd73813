"""The task, from a lake to a verdict; with the real process where a verdict is about pictures."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from include.dataset import steps
from include.dataset.manifest import read_manifest, to_manifest
from include.errors import ValidationFailed
from include.lake import layout
from include.lake.formats import read_json, read_table
from include.lake.local import LocalStore
from include.settings import ROOT, Settings
from include.validation import results
from include.validation.data import _sides, validate
from include.validation.page import render_page
from include.validation.results import ComparisonResult
from tests.dataset.test_manifest import POLICY
from tests.pictures import describe_photos, drawing, drawing_on, encode, fill_base, give

PER_SOURCE = 150


def prepare(store, run: str, cache: Path) -> None:
    """What the tasks before `validate` do."""
    describe_photos(store, run, cache)
    steps.deduplicate(store, run, POLICY)
    steps.check_labels(store, run, POLICY, cache=cache)
    steps.sample_photos(store, run, images_per_source=PER_SOURCE)


def publish(store, run: str, cache: Path) -> str:
    return steps.publish_dataset(store, run, images_per_source=PER_SOURCE, policy=POLICY, cache=cache)


def brighter(body: bytes) -> bytes:
    pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), float) * 1.25
    return encode(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), quality=90)


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A lake with a published dataset that was judged by the real process; and what the task answered."""
    store = LocalStore(tmp_path_factory.mktemp("clean") / "lake")
    cache = tmp_path_factory.mktemp("cache")
    fill_base(store, per_source=PER_SOURCE)
    prepare(store, "r", cache)
    answer = validate(store, "r", champion=None)
    return store, publish(store, "r", cache), answer


def test_a_clean_dataset_passes(clean):
    _, _, answer = clean
    assert answer == {"labels": "passed", "test": "passed", "champion": "not made", "uploads": "not made"}


def test_findings_are_kept_with_the_dataset(clean):
    store, digest, _ = clean
    kept = read_json(store, layout.dataset_validation(digest, "json"))
    assert kept["passed"]
    reasons = {one["name"]: one["note"] for one in kept["comparisons"]}
    assert reasons["champion"] == "there is no champion yet"
    assert "CAT_VALIDATION__MIN_PHOTOS" in reasons["uploads"]
    page = store.read(layout.dataset_validation(digest, "html"))
    assert len(page) < 5_000_000
    assert b"<svg" in page
    assert b"image/png" in page


def test_by_hand_a_brighter_test_side_is_refused(clean, tmp_path, monkeypatch):
    """The bytes of the test split change under their keys; the published version is then judged by hand."""
    store, digest, _ = clean
    manifest = read_manifest(store, digest)
    for key in manifest.loc[manifest["split"] == "test", "key"]:
        store.write(key, brighter(store.read(key)))
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{store.root}")
    command = [sys.executable, "-m", "include.data.validation", digest, "--champion", digest, "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "the test split differs from the train split" in done.stderr
    assert str(tmp_path / "validation.html") in done.stderr
    states = {
        one["name"]: one["state"] for one in json.loads((tmp_path / "validation.json").read_text())["comparisons"]
    }
    assert states == {"labels": "passed", "test": "stops the run", "champion": "passed", "uploads": "not made"}


@pytest.fixture
def small(lake, monkeypatch):
    """A lake with too few photos for any comparison of pictures: no process is started."""
    monkeypatch.setenv("CAT_VALIDATION__PYTHON", "/nowhere")
    fill_base(lake, per_source=10)
    give(lake, "fine", drawing("cats", 30_000), "cat")
    return lake


def test_an_unknown_label_stops_the_run(small, tmp_path):
    give(small, "odd", drawing("dogs", 30_000), "cat")
    record = json.dumps({"photo_id": "odd", "answer": "dog", "said_at": "2026-01-01"}).encode()
    small.write(layout.feedback("odd"), record)
    prepare(small, "r", tmp_path / "cache")
    with pytest.raises(ValidationFailed, match="feedback/odd.json has the answer 'dog'.*correct or delete"):
        validate(small, "r", champion=None)
    assert not read_json(small, layout.run_json("r", "validation"))["passed"]


def test_an_unknown_label_only_warns_when_the_settings_say_so(small, tmp_path, monkeypatch):
    small.write(layout.review("fine"), json.dumps({"verdict": "relabel", "label": "lynx"}).encode())
    prepare(small, "r", tmp_path / "cache")
    monkeypatch.setenv("CAT_VALIDATION__STOPS", "test, champion")
    assert validate(small, "r", champion=None)["labels"] == "warns"


def test_a_record_that_is_broken_otherwise_stops_nothing(small, tmp_path):
    small.write(layout.feedback("fine"), b"no JSON")
    prepare(small, "r", tmp_path / "cache")
    assert validate(small, "r", champion=None)["labels"] == "passed"


def test_a_champion_whose_photos_are_unknown_is_told(small, tmp_path):
    prepare(small, "r", tmp_path / "cache")
    assert validate(small, "r", champion="gone")["champion"] == "not made"
    notes = {one["name"]: one["note"] for one in read_json(small, layout.run_json("r", "validation"))["comparisons"]}
    assert "gone" in notes["champion"]


def test_a_crashed_process_stops_the_run(clean, monkeypatch):
    store, _, _ = clean
    monkeypatch.setenv("CAT_VALIDATION__PYTHON", "/bin/false")
    with pytest.raises(ValidationFailed, match="the checks crashed: the process ended with code 1"):
        validate(store, "r", champion=None)


def test_new_uploads_are_those_that_the_champion_did_not_know(lake, tmp_path):
    fill_base(lake, per_source=25)
    give(lake, "old", drawing_on("train", "cats"), "cat")
    prepare(lake, "r1", tmp_path / "cache")
    before = publish(lake, "r1", tmp_path / "cache")
    give(lake, "new", drawing_on("train", "dogs"), "not_cat")
    prepare(lake, "r2", tmp_path / "cache")
    manifest = to_manifest(read_table(lake, layout.run_table("r2", "split")))
    old, new = layout.upload_photo("old"), layout.upload_photo("new")
    assert set(_sides(lake, manifest, None)[0]["uploads"]["key"]) == {old, new}
    assert set(_sides(lake, manifest, before)[0]["uploads"]["key"]) == {new}


def test_a_warning_is_no_stop():
    results.raise_if_stopped(
        [ComparisonResult("uploads", False, False, "odd"), ComparisonResult("test", True, None, "few")], "page"
    )


def test_the_page_escapes_what_it_shows():
    page = render_page([ComparisonResult("labels", True, False, "<script>")])
    assert b"<script>" not in page
    assert b"&lt;script&gt;" in page


def test_a_misspelled_comparison_is_refused(monkeypatch):
    monkeypatch.setenv("CAT_VALIDATION__STOPS", "tests")
    with pytest.raises(ValueError, match="tests"):
        Settings()
