"""The task `validate`, and `cat-retrain validate`; with the real process where photos are compared."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from include.cli import main
from include.dataset import steps
from include.dataset.manifest import read_manifest, to_manifest
from include.dataset.publish import publish as publish_dataset
from include.errors import ValidationFailed
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json
from include.lake.local import LocalStore
from include.question import NEGATIVE, POSITIVE
from include.settings import Labels, Policy, Settings
from include.validation import data
from tests.models import QUESTION
from tests.pictures import describe_photos, drawing, drawing_on, encode, fill_base, give

PER_SOURCE = 150
POLICY = Policy(labels=Labels(max_quality=0, min_agreement=0))  # no label is an issue: that has its own tests


def prepare(store: ObjectStore, run: str, settings: Settings) -> None:
    """What the tasks before `validate` do."""
    describe_photos(store, run, settings.embedding_cache)
    steps.deduplicate(store, run, POLICY)
    steps.check_labels(store, run, settings)
    steps.sample(store, run, settings, images_per_source=PER_SOURCE)


def publish(store: ObjectStore, run: str, settings: Settings) -> str:
    return publish_dataset(store, run, settings, images_per_source=PER_SOURCE)


def validate(store: ObjectStore, run: str, settings: Settings, *, champion: str | None) -> dict[str, str]:
    return data.validate(store, run, settings, images_per_source=PER_SOURCE, champion=champion)


def brighter(body: bytes) -> bytes:
    pixels = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), float) * 1.25
    return encode(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)), quality=90)


@dataclass(frozen=True)
class Clean:
    """A lake, its published dataset, and what the task returned."""

    store: LocalStore
    digest: str
    states: dict[str, str]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    """A lake with a published dataset that the real process checked."""
    store = LocalStore(tmp_path_factory.mktemp("clean") / "lake")
    settings = Settings(policy=POLICY, state_dir=tmp_path_factory.mktemp("state"))
    fill_base(store, per_source=PER_SOURCE)
    prepare(store, "r", settings)
    states = validate(store, "r", settings, champion=None)
    return Clean(store, publish(store, "r", settings), states)


def test_a_clean_dataset_passes(clean: Clean) -> None:
    assert clean.states == {"labels": "passed", "test": "passed", "champion": "not made", "uploads": "not made"}


def test_the_results_are_kept_with_the_dataset(clean: Clean) -> None:
    kept = read_json(clean.store, layout.dataset_validation(clean.digest))
    assert kept["passed"]
    notes = {comparison["name"]: comparison["note"] for comparison in kept["comparisons"]}
    assert notes["champion"] == "there is no champion yet"
    assert "CAT_VALIDATION__MIN_PHOTOS" in notes["uploads"]
    page = clean.store.read(layout.dataset_validation_page(clean.digest))
    assert len(page) < 5_000_000
    assert b"<svg" in page
    assert b"image/png" in page


def test_the_command_passes_a_clean_dataset(
    clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{clean.store.root}")
    before = list(clean.store.keys(""))
    assert main(["validate", clean.digest, "--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert [line.split()[:2] for line in output.splitlines()[:2]] == [["labels", "passed"], ["test", "passed"]]
    assert output.splitlines()[-1] == str(tmp_path / "validation.html")
    assert list(clean.store.keys("")) == before


@pytest.mark.slow
def test_the_command_fails_where_the_test_photos_are_brighter(
    clean: Clean, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bytes of the test split change under their keys; then a person checks the published version."""
    manifest = read_manifest(clean.store, clean.digest)
    for key in manifest.loc[manifest["split"] == "test", "key"]:
        clean.store.write(key, brighter(clean.store.read(key)))
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{clean.store.root}")
    assert main(["validate", clean.digest, "--champion", clean.digest, "--out", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "the test split differs from the train split" in message
    assert str(tmp_path / "validation.html") in message
    comparisons = json.loads((tmp_path / "validation.json").read_text())["comparisons"]
    states = {comparison["name"]: comparison["state"] for comparison in comparisons}
    assert states == {"labels": "passed", "test": "stops the run", "champion": "passed", "uploads": "not made"}


@pytest.fixture
def small(lake: LocalStore, monkeypatch: pytest.MonkeyPatch) -> LocalStore:
    """A lake with too few photos for any comparison: no process is started."""
    monkeypatch.setenv("CAT_VALIDATION__PYTHON", "/nowhere")
    fill_base(lake, per_source=10)
    give(lake, "fine", drawing("cats", 30_000), POSITIVE)
    return lake


def test_an_unknown_label_stops_the_run(small: LocalStore) -> None:
    give(small, "odd", drawing("dogs", 30_000), POSITIVE)
    record = json.dumps({"photo_id": "odd", "answer": "dog", "answered_at": "2026-01-01"}).encode()
    small.write(layout.feedback("odd"), record)
    prepare(small, "r", Settings(policy=POLICY))
    with pytest.raises(ValidationFailed, match="feedback/odd.json has the answer 'dog'.*correct or delete"):
        validate(small, "r", Settings(policy=POLICY), champion=None)
    assert not read_json(small, layout.run_validation("r"))["passed"]


def test_an_unknown_label_only_warns_when_the_settings_say_so(
    small: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.write(layout.review("fine"), json.dumps({"verdict": "relabel", "label": "lynx"}).encode())
    prepare(small, "r", Settings(policy=POLICY))
    monkeypatch.setenv("CAT_VALIDATION__STOPS", "test, champion")
    assert validate(small, "r", Settings(policy=POLICY), champion=None)["labels"] == "warns"


def test_a_record_that_is_broken_otherwise_stops_nothing(small: LocalStore) -> None:
    small.write(layout.feedback("fine"), b"no JSON")
    prepare(small, "r", Settings(policy=POLICY))
    assert validate(small, "r", Settings(policy=POLICY), champion=None)["labels"] == "passed"


def test_a_champion_whose_dataset_is_unknown_is_not_compared_with(small: LocalStore) -> None:
    prepare(small, "r", Settings(policy=POLICY))
    assert validate(small, "r", Settings(policy=POLICY), champion="gone")["champion"] == "not made"
    comparisons = read_json(small, layout.run_validation("r"))["comparisons"]
    notes = {comparison["name"]: comparison["note"] for comparison in comparisons}
    assert "gone" in notes["champion"]


def test_a_crashed_process_stops_the_run(clean: Clean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_VALIDATION__PYTHON", "/bin/false")
    with pytest.raises(ValidationFailed, match="the checks crashed: the process ended with code 1"):
        validate(clean.store, "r", Settings(policy=POLICY), champion=None)


def test_new_uploads_are_those_that_the_champion_was_not_trained_on(lake: LocalStore) -> None:
    settings = Settings(policy=POLICY)
    fill_base(lake, per_source=25)
    give(lake, "old", drawing_on("train", "cats"), POSITIVE)
    prepare(lake, "r1", settings)
    before = publish(lake, "r1", settings)
    give(lake, "new", drawing_on("train", "dogs"), NEGATIVE)
    prepare(lake, "r2", settings)
    manifest = to_manifest(steps.read_sample(lake, "r2", settings, images_per_source=PER_SOURCE), QUESTION)
    old, new = layout.upload_photo("old"), layout.upload_photo("new")
    assert set(data._groups(lake, manifest, None)[0]["uploads"]["key"]) == {old, new}
    assert set(data._groups(lake, manifest, before)[0]["uploads"]["key"]) == {new}


def test_a_misspelled_comparison_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_VALIDATION__STOPS", "tests")
    with pytest.raises(ValueError, match="tests"):
        Settings()
