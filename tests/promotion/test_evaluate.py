"""From photos to a registered version and a report, as the tasks of ``retrain`` call it, without Airflow."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from include.backbone import SIZE, VERSION
from include.dataset.manifest import read_manifest
from include.dataset.steps import check_labels, deduplicate, publish_dataset, sample_photos
from include.evaluation.mlflow_report import base_of_test, mistakes_of
from include.images.decoding import decode_pixels
from include.ingestion.snapshot import anything_new, snapshot_base, snapshot_uploads
from include.lake import layout
from include.lake.formats import read_json, read_table
from include.lake.local import LocalStore
from include.promotion import evaluate as evaluate_module
from include.promotion.comparison import compare_and_decide
from include.promotion.evaluate import evaluate
from include.promotion.run_report import report
from include.records import UPLOADS, RetrainParams, Review
from include.registry.versions import MODEL, fetch, load
from include.settings import ROOT, SAMPLE_SET, Settings
from include.training import train as train_module
from include.training.mlflow_runs import DATASET_TAG, EXPERIMENT, RUN_TAG, connect
from include.training.train import train
from tests.dataset.test_manifest import POLICY
from tests.pictures import describe_photos, drawing, drawing_on, fill_base, give

RUN = "manual__2026-01-01T00:00:00+00:00"
PARAMS = RetrainParams(images_per_source=60, epochs=5, min_precision=0.7, min_recall=0.7)
SCRATCH = {"CAT_NETWORK": "scratch", "CAT_IMAGE_SIZE": "32"}  # quick to train


@dataclass(frozen=True)
class Rehearsal:
    """What one run left."""

    lake: LocalStore
    client: MlflowClient
    run: str = RUN
    digest: str = ""
    mlflow_run: str = ""
    evaluation: dict | None = None


@pytest.fixture(scope="module")
def place(mlflow_url, tmp_path_factory) -> Iterator[Rehearsal]:
    """An empty lake, and settings of its own."""
    folder = tmp_path_factory.mktemp("rehearsal")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAT_MLFLOW_URL", mlflow_url)
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back afterwards
        patch.setenv("CAT_STATE_DIR", str(folder))
        yield Rehearsal(LocalStore(folder / "lake"), connect())
        mlflow.tensorflow.autolog(disable=True)


@pytest.fixture(scope="module")
def digest(place) -> str:
    """Four times 60 drawings, a reviewed upload and three of one visitor, on their way to a dataset version."""
    lake, cache = place.lake, Settings().embedding_cache
    fill_base(lake, per_source=60)
    give(lake, "upload", drawing_on("test", "cats"), "cat")
    lake.write(layout.review("upload"), Review("upload", "keep", "me", "2026-01-02T00:00:00+00:00").to_json())
    for number in range(3):
        give(lake, f"p{number}", drawing_on("train", "cats", start=20_000 + 100 * number), "cat", session="visitor")
    describe_photos(lake, RUN, cache)
    assert anything_new(lake, RUN, PARAMS, Settings().recipe)
    deduplicate(lake, RUN, POLICY)
    check_labels(lake, RUN, POLICY, cache=cache)
    sample_photos(lake, RUN, images_per_source=PARAMS.images_per_source)
    return publish_dataset(lake, RUN, images_per_source=PARAMS.images_per_source, policy=POLICY, cache=cache)


def rehearse(place: Rehearsal, run: str, digest: str, params: RetrainParams) -> Rehearsal:
    mlflow_run = train(place.lake, run, digest, params)
    evaluation = evaluate(place.lake, run, digest, mlflow_run, params)
    return replace(place, run=run, digest=digest, mlflow_run=mlflow_run, evaluation=evaluation)


@pytest.fixture(scope="module")
def done(place, digest) -> Rehearsal:
    """The default network."""
    return rehearse(place, RUN, digest, PARAMS)


@pytest.fixture(scope="module", params=["scratch", "fine-tuned"])
def on_pixels(request, place, digest) -> Rehearsal:
    """A network that learned from pixels."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "fine-tuned":
            return rehearse(place, request.param, digest, replace(PARAMS, epochs=1, fine_tune_epochs=1))
        for name, value in SCRATCH.items():
            patch.setenv(name, value)
        return rehearse(place, request.param, digest, replace(PARAMS, epochs=1))


def written(done: Rehearsal) -> dict:
    return read_json(done.lake, layout.run_json(done.run, "evaluation"))


def scores_of(done: Rehearsal) -> pd.DataFrame:
    return read_table(done.lake, layout.run_table(done.run, "scores"))


def test_the_version_is_registered_and_answers(done, tmp_path):
    version = done.evaluation["version"]
    stands = done.client.get_model_version(MODEL, version)
    assert stands.run_id == done.mlflow_run
    model = load(fetch(done.client, version, tmp_path), version)
    (answer,) = model.predict(pd.DataFrame({"image": [drawing("cats", 0)]})).to_dict("records")
    assert answer["model_version"] == version
    assert answer["threshold"] == done.evaluation["threshold"]


def assert_served_as_evaluated(done: Rehearsal, folder: Path, *, within: float) -> None:
    scores = scores_of(done)
    model = load(fetch(done.client, done.evaluation["version"], folder), "1")
    photos = pd.DataFrame({"image": [done.lake.read(key) for key in scores["key"]]})
    assert list(model.predict(photos)["probability"]) == pytest.approx(list(scores["probability"]), abs=within)


def test_the_served_version_gives_the_scores_that_were_evaluated(done, tmp_path):
    assert_served_as_evaluated(done, tmp_path, within=1e-3)  # features were rounded to 16 bits


def test_a_served_version_that_learned_from_pixels_does_so_too(on_pixels, tmp_path):
    assert_served_as_evaluated(on_pixels, tmp_path, within=1e-4)


def test_a_model_of_drawings_makes_hardly_a_mistake(done):
    assert done.evaluation["precision"]["value"] > 0.9
    assert done.evaluation["recall"]["value"] > 0.9


def test_only_what_did_not_train_is_scored(done):
    manifest = read_manifest(done.lake, done.digest)
    scores = scores_of(done)
    assert set(scores["split"]) == {"val", "test"}
    assert set(scores["key"]) == set(manifest.loc[manifest["split"] != "train", "key"])


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


def test_the_decision_rule_is_fitted_out_of_fold_on_all_photos_but_those_of_test(done):
    manifest, found = read_manifest(done.lake, done.digest), written(done)
    fitted = manifest[manifest["split"] != "test"]
    assert found["chosen"]["scores"] == "out of fold"
    assert (found["chosen"]["photos"], found["chosen"]["cats"]) == (len(fitted), (fitted["label"] == "cat").sum())
    assert found["decision_rule"]["threshold"] == done.evaluation["threshold"] == 0.5
    assert found["decision_rule"]["unsure_from"] < 0.5 < found["decision_rule"]["unsure_to"]


def test_of_a_network_that_learned_from_pixels_it_is_fitted_on_val(on_pixels):
    scores, chosen = scores_of(on_pixels), written(on_pixels)["chosen"]
    val = scores[scores["split"] == "val"]
    assert chosen["scores"] == "val"
    assert (chosen["photos"], chosen["cats"]) == (len(val), (val["label"] == "cat").sum())


def test_what_one_visitor_gave_lies_in_one_fold(done, monkeypatch):
    asked = []

    def remember(examples, folds, fit) -> np.ndarray:
        asked.append(folds)
        return np.zeros((len(examples), 4), np.float32)

    monkeypatch.setattr(evaluate_module, "out_of_fold", remember)
    manifest = read_manifest(done.lake, done.digest)
    photos = manifest[manifest["split"] != "test"]
    scores = evaluate.score_out_of_fold(done.lake, RUN, photos, Settings(), PARAMS)
    assert scores.photos is photos
    (folds,) = asked
    assert len(folds) == len(photos)
    assert len(set(folds[photos["source"] == UPLOADS])) == 1
    assert len(set(folds)) == 5


@pytest.mark.parametrize("name", ["confusion", "precision_recall", "reliability", "slices"])
def test_pictures_lie_in_the_mlflow_run(done, tmp_path, name):
    file = done.client.download_artifacts(done.mlflow_run, f"evaluation/{name}.png", str(tmp_path))
    with Image.open(file) as picture:
        assert picture.format == "PNG"


def test_curves_params_and_metrics_lie_in_the_mlflow_run(done):
    data, found = done.client.get_run(done.mlflow_run).data, written(done)
    for name in ("loss", "val_loss", "partial_label_loss", "val_kind_loss"):
        points = done.client.get_metric_history(done.mlflow_run, name)
        assert sorted(point.step for point in points) == list(range(PARAMS.epochs)), name
    known = ("recipe_network", "recipe_l2_penalty", "recipe_seed", "learning_rate", "cat_weight")
    assert [data.params[name] for name in known] == ["efficientnet_lite0", "0.078125", "2025", "0.01", "1.0"]
    base = found["slices"]["base"]
    assert data.metrics["test/f1"] == pytest.approx(base["f1"]["value"])
    assert data.metrics["test interval/f1 low"] == pytest.approx(base["f1"]["low"])
    assert {name: data.metrics[name] for name in found["decision_rule"]} == pytest.approx(found["decision_rule"])


def test_curves_of_what_learned_from_pixels_lie_there_too(on_pixels):
    curves = on_pixels.client.get_run(on_pixels.mlflow_run).data.metrics
    assert {"loss", "val_loss", "average_precision", "val_average_precision"} <= set(curves)
    assert ("head_val_loss" in curves) == (on_pixels.run == "fine-tuned")


def test_the_page_the_evaluation_and_the_predictions_lie_in_the_mlflow_run(done, tmp_path):
    folder = Path(done.client.download_artifacts(done.mlflow_run, "evaluation", str(tmp_path)))
    page = (folder / "evaluation.html").read_text()
    assert f"Evaluation of version {done.evaluation['version']}" in page
    assert json.loads((folder / "evaluation.json").read_text()) == written(done)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert {"key", "label", "split", "probability", "brightness", "size", "sharpness"} <= set(predictions)
    assert len(predictions) == len(scores_of(done))


def test_no_picture_shows_an_upload(done):
    """Though it be the worst error of all."""
    scores = scores_of(done)
    test = scores[scores["split"] == "test"].assign(probability=0.5)
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


def assert_nowhere(done: Rehearsal, bodies: list[bytes], folder: Path) -> None:
    """In no artifact of the MLflow run, and in no cache of this machine."""
    mlflow.artifacts.download_artifacts(run_id=done.mlflow_run, dst_path=str(folder))
    places = (folder, done.lake.root.parent / SAMPLE_SET / "cache")
    files = [path.read_bytes() for place in places for path in place.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [file for file in files for body in bodies if body in file]


def test_neither_a_picture_of_an_upload_nor_its_features_leave_its_folder(done, tmp_path):
    features, photo = layout.upload_embeddings("upload", VERSION), layout.upload_photo("upload")
    assert_nowhere(done, [done.lake.read(features), done.lake.read(photo)], tmp_path)


def test_pixels_of_an_upload_are_kept_nowhere(on_pixels, tmp_path):
    size = 32 if on_pixels.run == "scratch" else SIZE
    pixels = decode_pixels(on_pixels.lake.read(layout.upload_photo("upload")), size).tobytes()
    assert_nowhere(on_pixels, [pixels], tmp_path)
    assert not [key for key in on_pixels.lake.keys("") if pixels in on_pixels.lake.read(key)]


def test_training_again_returns_what_was_trained(done):
    assert train(done.lake, RUN, done.digest, PARAMS) == done.mlflow_run


def test_evaluating_again_changes_nothing(done):
    before = written(done)
    assert evaluate(done.lake, RUN, done.digest, done.mlflow_run, PARAMS) == done.evaluation
    assert written(done) == before
    versions = done.client.search_model_versions(f"name = '{MODEL}'")
    assert [found.version for found in versions if found.run_id == done.mlflow_run] == [done.evaluation["version"]]
    assert len(done.client.get_metric_history(done.mlflow_run, "test/f1")) == 1


def no_room(*_) -> None:
    raise OSError("the disk is full")


def test_an_attempt_left_open_is_closed_and_not_used(place, digest):
    """As after a kill: MLflow never hears of the end."""
    client, mine = place.client, {RUN_TAG: "killed", DATASET_TAG: digest}
    experiment = mlflow.set_experiment(EXPERIMENT).experiment_id
    left_open = client.create_run(experiment, tags=mine).info.run_id
    of_another = client.create_run(experiment, tags=mine | {RUN_TAG: "another"}).info.run_id
    trained = train(place.lake, "killed", digest, PARAMS)
    assert trained != left_open
    statuses = [client.get_run(each).info.status for each in (left_open, trained, of_another)]
    assert statuses == ["KILLED", "FINISHED", "RUNNING"]
    assert train(place.lake, "killed", digest, PARAMS) == trained


def test_after_a_failed_attempt_the_next_begins_anew(place, digest, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_log_network", no_room)
        with pytest.raises(OSError, match="the disk is full"):
            train(place.lake, "failing", digest, PARAMS)
    assert statuses_of(place.client, "failing") == ["FAILED"]
    train(place.lake, "failing", digest, PARAMS)
    assert statuses_of(place.client, "failing") == ["FINISHED", "FAILED"]


def test_a_training_that_stood_still_is_taken_over_and_loses(place, digest, monkeypatch):
    """The second try goes on in the MLflow run of the first; the first comes back when all is done."""
    for setting, value in SCRATCH.items():
        monkeypatch.setenv(setting, value)
    kept, name, params = Settings().home / "checkpoints", "stopped", replace(PARAMS, epochs=6)
    code = f"""
from pathlib import Path
from include.lake.local import LocalStore
from include.training.train import train
from include.records import RetrainParams
train(LocalStore(Path({str(place.lake.root)!r})), {name!r}, {digest!r}, {params!r})
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as stale:
        while not list(kept.rglob("epoch-*")):
            assert stale.poll() is None, stale.stderr.read()
            time.sleep(0.05)
        stale.send_signal(signal.SIGSTOP)
        trained = train(place.lake, name, digest, params)
        stale.send_signal(signal.SIGCONT)
        told = stale.stderr.read()
    assert stale.returncode == 1
    assert "AttemptSuperseded: another process has taken over" in told
    assert statuses_of(place.client, name) == ["FINISHED"]
    for metric in ("loss", "val_loss", "average_precision", "val_average_precision"):
        points = place.client.get_metric_history(trained, metric)
        assert sorted(point.step for point in points) == list(range(params.epochs)), metric
    assert not list(kept.rglob("epoch-*"))


def statuses_of(client: MlflowClient, run: str) -> list[str]:
    """Of the attempts of a run, the last one first."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    found = client.search_runs([experiment.experiment_id], f"tags.{RUN_TAG} = '{run}'")
    return [attempt.info.status for attempt in found]


def test_the_report_gathers_the_run_and_ends_it(done):
    compare_and_decide(done.lake, RUN, PARAMS)
    told = report(done.lake, RUN)
    assert (told["version"], told["dataset"]) == (done.evaluation["version"], done.digest)
    whole = read_json(done.lake, layout.run_json(RUN, "report"))
    assert whole["decision"]["challenger"] == done.evaluation["version"]
    assert whole["test"] == written(done)["slices"]["base"]
    assert whole["images"]["uploads"] == {"test": 1, "train": 3}
    for name in (RUN, "next"):
        snapshot_base(done.lake, name)
        snapshot_uploads(done.lake, name)
    assert anything_new(done.lake, RUN, PARAMS, Settings().recipe)  # the same run, cleared and run again
    assert not anything_new(done.lake, "next", PARAMS, Settings().recipe)


def test_a_model_without_mistakes_has_none_to_show():
    photos = pd.DataFrame({"key": ["a", "b"], "label": ["cat", "not_cat"], "probability": [0.9, 0.1]})
    assert len(mistakes_of(photos, 0.5)) == 0
    assert mistakes_of(photos, 0.95)["key"].tolist() == ["a"]
