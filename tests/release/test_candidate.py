"""From photos to a registered version and a report, as the tasks of ``retrain`` call it, without Airflow."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import keras
import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from include.data.dataset import check_labels, choose, deduplicate, publish, read_manifest
from include.data.facts import describe, list_undescribed
from include.data.snapshot import anything_new, snapshot_base, snapshot_uploads
from include.data.split import bucket
from include.lake import layout
from include.lake.formats import read_json, read_table
from include.lake.local import LocalStore
from include.model import training
from include.model.network import build_network
from include.model.tracking import DATASET_TAG, EXPERIMENT, RUN_TAG, connect
from include.model.training import train
from include.records import RetrainParams, Review
from include.release.candidate import evaluate
from include.release.contest import hold_contest
from include.release.exhibit import base_of_test, mistakes_of
from include.release.registry import MODEL, fetch, load
from include.release.report import report
from include.settings import ROOT, SAMPLE_SET, Settings
from tests.data.test_dataset import POLICY, embed
from tests.pictures import drawing, drawing_on, fill_base, give

RUN = "manual__2026-01-01T00:00:00+00:00"
PARAMS = RetrainParams(images_per_source=60, epochs=1, min_precision=0.7, min_recall=0.7)


@dataclass(frozen=True)
class Rehearsal:
    """What one run left."""

    lake: LocalStore
    client: MlflowClient
    digest: str = ""
    mlflow_run: str = ""
    evaluation: dict | None = None


@pytest.fixture(scope="module")
def place(mlflow_url, tmp_path_factory) -> Iterator[Rehearsal]:
    """An empty lake, and settings for a network that is quick to train."""
    folder = tmp_path_factory.mktemp("rehearsal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAT_MLFLOW_URL", mlflow_url)
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back afterwards
        patch.setenv("CAT_STATE_DIR", str(folder))
        patch.setenv("CAT_IMAGE_SIZE", "32")
        yield Rehearsal(LocalStore(folder / "lake"), connect())
        mlflow.tensorflow.autolog(disable=True)


@pytest.fixture(scope="module")
def digest(place) -> str:
    """Four times 60 drawings and a reviewed upload, on its way to a dataset version."""
    lake = place.lake
    fill_base(lake, per_source=60)
    give(lake, "upload", drawing_on("test", "cats"), "cat")
    lake.write(layout.review("upload"), Review("upload", "keep", "me", "2026-01-02T00:00:00+00:00").to_json())
    snapshot_base(lake, RUN)
    snapshot_uploads(lake, RUN)
    assert anything_new(lake, RUN, PARAMS, Settings().recipe)
    for shard in list_undescribed(lake, RUN, shard_size=100):
        describe(lake, shard)
    deduplicate(lake, RUN, POLICY)
    embed(lake, RUN)
    check_labels(lake, RUN, POLICY)
    choose(lake, RUN, images_per_source=PARAMS.images_per_source)
    return publish(lake, RUN, images_per_source=PARAMS.images_per_source, policy=POLICY)


@pytest.fixture(scope="module")
def done(place, digest) -> Rehearsal:
    mlflow_run = train(place.lake, RUN, digest, epochs=PARAMS.epochs)
    evaluation = evaluate(place.lake, RUN, digest, mlflow_run)
    return replace(place, digest=digest, mlflow_run=mlflow_run, evaluation=evaluation)


def written(done: Rehearsal) -> dict:
    return read_json(done.lake, layout.run_json(RUN, "evaluation"))


def test_the_version_is_registered_and_answers(done, tmp_path):
    version = done.evaluation["version"]
    stands = done.client.get_model_version(MODEL, version)
    assert stands.run_id == done.mlflow_run
    model = load(fetch(done.client, version, tmp_path), version)
    (answer,) = model.predict(pd.DataFrame({"image": [drawing("cats", 0)]})).to_dict("records")
    assert answer["model_version"] == version
    assert answer["threshold"] == done.evaluation["threshold"]


def test_the_served_version_gives_the_scores_that_were_evaluated(done, tmp_path):
    scores = read_table(done.lake, layout.run_table(RUN, "scores"))
    model = load(fetch(done.client, done.evaluation["version"], tmp_path), "1")
    photos = pd.DataFrame({"image": [done.lake.read(key) for key in scores["key"]]})
    assert list(model.predict(photos)["probability"]) == pytest.approx(list(scores["probability"]), abs=1e-4)


def test_only_what_did_not_train_is_scored(done):
    manifest = read_manifest(done.lake, done.digest)
    scores = read_table(done.lake, layout.run_table(RUN, "scores"))
    assert set(scores["side"]) == {"val", "test"}
    assert set(scores["key"]) == set(manifest.loc[manifest["side"] != "train", "key"])


def test_the_evaluation_lies_in_the_lake_slice_by_slice(done):
    found = written(done)
    assert (found["dataset"], found["mlflow_run"]) == (done.digest, done.mlflow_run)
    assert found["version"] == done.evaluation["version"]
    by_source = {"base", "cats_vs_dogs", "cats_vs_selfies", "cats_vs_misc", "uploads"}
    by_looks = {name for name in found["slices"] if name.split("_")[0] in ("brightness", "size", "sharpness")}
    assert set(found["slices"]) == set(found["about"]) == by_source | by_looks
    assert {"brightness_dark", "sharpness_sharp"} <= by_looks
    assert set(found["sources"]) == {"cats", "dogs", "selfies", "misc", "uploads"}
    assert found["sources"]["uploads"]["photos"] == 1
    assert {name: done.evaluation[name] for name in found["slices"]["base"]} == found["slices"]["base"]


def test_every_figure_lies_in_its_interval(done):
    names = {"precision", "recall", "f1", "average_precision", "roc_auc", "calibration_error"}
    for figures in written(done)["slices"].values():
        assert set(figures) == names
        for figure in figures.values():
            assert (figure["low"] or 0) <= figure["value"] <= (figure["high"] or 1)
    assert {figure["low"] is None for figure in written(done)["slices"]["base"].values()} == {False}
    assert {figure["low"] for figure in written(done)["slices"]["uploads"].values()} == {None}  # one photo


def test_the_threshold_was_chosen_on_its_half_of_val_alone(done):
    scores = read_table(done.lake, layout.run_table(RUN, "scores"))
    odd = pd.Series([bucket(name) % 2 == 1 for name in scores["sha256"]])
    half = scores[(scores["side"] == "val") & odd]
    threshold = done.evaluation["threshold"]
    assert 0 < len(half) < (scores["side"] == "val").sum()
    middles = [(low + high) / 2 for low, high in pairwise(sorted({0.0, *half["probability"]}))]
    assert min(abs(threshold - middle) for middle in middles) < 1e-12


@pytest.mark.parametrize("name", ["confusion", "precision_recall", "reliability", "slices", "worst_errors"])
def test_pictures_lie_in_the_mlflow_run(done, tmp_path, name):
    file = done.client.download_artifacts(done.mlflow_run, f"evaluation/{name}.png", str(tmp_path))
    with Image.open(file) as picture:
        assert picture.format == "PNG"


def test_curves_params_and_figures_lie_in_the_mlflow_run(done):
    data = done.client.get_run(done.mlflow_run).data
    for name in ("loss", "val_loss", "average_precision", "val_average_precision"):
        assert len(done.client.get_metric_history(done.mlflow_run, name)) == PARAMS.epochs
    found = [data.params[name] for name in ("recipe_image_size", "epochs", "recipe_seed")]
    assert found == ["32", "1", "2025"]
    base = written(done)["slices"]["base"]
    assert data.metrics["test/f1"] == pytest.approx(base["f1"]["value"])
    assert data.metrics["test interval/f1 low"] == pytest.approx(base["f1"]["low"])
    assert {name: data.metrics[name] for name in written(done)["figures"]} == pytest.approx(written(done)["figures"])


def test_the_page_the_figures_and_the_predictions_lie_in_the_mlflow_run(done, tmp_path):
    folder = Path(done.client.download_artifacts(done.mlflow_run, "evaluation", str(tmp_path)))
    page = (folder / "evaluation.html").read_text()
    assert f"Evaluation of version {done.evaluation['version']}" in page
    assert json.loads((folder / "evaluation.json").read_text()) == written(done)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert {"key", "label", "side", "probability", "brightness", "size", "sharpness"} <= set(predictions)
    assert len(predictions) == len(read_table(done.lake, layout.run_table(RUN, "scores")))


def test_no_picture_shows_an_upload(done):
    """Though it be the worst error of all."""
    scores = read_table(done.lake, layout.run_table(RUN, "scores"))
    test = scores[scores["side"] == "test"].assign(probability=0.5)
    upload = test["source"] == "uploads"
    assert upload.sum() == 1
    test.loc[upload, "probability"] = 0.0  # and it is a cat
    shown = mistakes_of(base_of_test(test), 0.4)
    assert not shown["key"].str.startswith(layout.UPLOADS).any()
    assert set(shown["key"]) == set(test.loc[test["label"] == "not_cat", "key"])


def test_the_worst_error_is_the_surest():
    photos = pd.DataFrame({"label": ["cat", "not_cat", "cat", "cat"], "probability": [0.2, 0.9, 0.1, 0.8]})
    assert list(mistakes_of(photos, 0.5).index) == [1, 2, 0]


def test_the_mlflow_run_bears_the_name_of_its_version(done):
    run = done.client.get_run(done.mlflow_run)
    assert run.info.run_name == f"version {done.evaluation['version']}"
    about = done.client.get_experiment(run.info.experiment_id).tags["mlflow.note.content"]
    assert "the name of its version" in about


def test_no_picture_of_an_upload_is_in_the_mlflow_run_or_the_cache(done, tmp_path):
    """Uploads' pixels stay in their own folder of the lake."""
    (kept,) = [key for key in done.lake.keys(layout.UPLOADS) if key.endswith(".rgb")]
    assert layout.photo_id_of(kept) == "upload"
    pixels, photo = done.lake.read(kept), done.lake.read(layout.upload_photo("upload"))
    mlflow.artifacts.download_artifacts(run_id=done.mlflow_run, dst_path=str(tmp_path))
    for folder in (tmp_path, done.lake.root.parent / SAMPLE_SET / "cache"):
        bodies = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        assert bodies
        assert not [body for body in bodies if pixels in body or photo in body]


def test_training_again_returns_what_was_trained(done):
    assert train(done.lake, RUN, done.digest, epochs=PARAMS.epochs) == done.mlflow_run


def test_evaluating_again_changes_nothing(done):
    before = written(done)
    assert evaluate(done.lake, RUN, done.digest, done.mlflow_run) == done.evaluation
    assert written(done) == before
    versions = done.client.search_model_versions(f"name = '{MODEL}'")
    assert [found.version for found in versions if found.run_id == done.mlflow_run] == [done.evaluation["version"]]


def untrained(*_, **__) -> keras.Model:
    """In the place of ``fit``, where only the attempts count."""
    return build_network(image_size=32, filters=(4, 4, 4, 4))


def no_room(*_, **__) -> keras.Model:
    raise OSError("the disk is full")


def test_an_attempt_left_open_is_closed_and_not_used(place, digest, monkeypatch):
    """As after a kill: MLflow never hears of the end."""
    monkeypatch.setattr(training, "fit", untrained)
    client, mine = place.client, {RUN_TAG: "killed", DATASET_TAG: digest}
    experiment = mlflow.set_experiment(EXPERIMENT).experiment_id
    left_open = client.create_run(experiment, tags=mine).info.run_id
    of_another = client.create_run(experiment, tags=mine | {RUN_TAG: "another"}).info.run_id
    trained = train(place.lake, "killed", digest, epochs=1)
    assert trained != left_open
    statuses = [client.get_run(each).info.status for each in (left_open, trained, of_another)]
    assert statuses == ["KILLED", "FINISHED", "RUNNING"]
    assert train(place.lake, "killed", digest, epochs=1) == trained


def test_after_a_failed_attempt_the_next_begins_anew(place, digest, monkeypatch):
    monkeypatch.setattr(training, "fit", no_room)
    with pytest.raises(OSError, match="the disk is full"):
        train(place.lake, "failing", digest, epochs=1)
    assert statuses_of(place.client, "failing") == ["FAILED"]
    monkeypatch.setattr(training, "fit", untrained)
    train(place.lake, "failing", digest, epochs=1)
    assert statuses_of(place.client, "failing") == ["FINISHED", "FAILED"]


def test_a_training_that_stood_still_is_taken_over_and_loses(place, digest, tmp_path):
    """The second try goes on in the MLflow run of the first; the first comes back when all is done."""
    state, name, epochs = tmp_path / "state", "stopped", 6
    code = f"""
from pathlib import Path
from include.lake.local import LocalStore
from include.model.training import train
train(LocalStore(Path({str(place.lake.root)!r})), {name!r}, {digest!r}, epochs={epochs})
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as stale:
        while not list(state.rglob("epoch-*")):
            assert stale.poll() is None, stale.stderr.read()
            time.sleep(0.01)
        stale.send_signal(signal.SIGSTOP)
        trained = train(place.lake, name, digest, epochs=epochs)
        stale.send_signal(signal.SIGCONT)
        told = stale.stderr.read()
    assert stale.returncode == 1
    assert "AttemptSuperseded: another process has taken over" in told
    assert statuses_of(place.client, name) == ["FINISHED"]
    for metric in ("loss", "val_loss", "average_precision", "val_average_precision"):
        points = place.client.get_metric_history(trained, metric)
        assert sorted(point.step for point in points) == list(range(epochs)), metric
    assert not list(state.rglob("epoch-*"))


def statuses_of(client: MlflowClient, run: str) -> list[str]:
    """Of the attempts of a run, the last one first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id], f"tags.{RUN_TAG} = '{run}'")
    return [attempt.info.status for attempt in found]


def test_the_report_gathers_the_run_and_ends_it(done):
    hold_contest(done.lake, RUN, PARAMS)
    told = report(done.lake, RUN)
    assert (told["version"], told["dataset"]) == (done.evaluation["version"], done.digest)
    whole = read_json(done.lake, layout.run_json(RUN, "report"))
    assert whole["decision"]["challenger"] == done.evaluation["version"]
    assert whole["test"] == written(done)["slices"]["base"]
    assert whole["images"]["uploads"] == {"test": 1}
    for name in (RUN, "next"):
        snapshot_base(done.lake, name)
        snapshot_uploads(done.lake, name)
    assert anything_new(done.lake, RUN, PARAMS, Settings().recipe)  # the same run, cleared and run again
    assert not anything_new(done.lake, "next", PARAMS, Settings().recipe)


def test_a_model_without_mistakes_has_none_to_show():
    photos = pd.DataFrame({"key": ["a", "b"], "label": ["cat", "not_cat"], "probability": [0.9, 0.1]})
    assert len(mistakes_of(photos, 0.5)) == 0
    assert mistakes_of(photos, 0.95)["key"].tolist() == ["a"]
