"""From photos to a registered version and a report, as the tasks of ``retrain`` call it, without Airflow."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from include.backbone import SIZE, VERSION
from include.dataset.examples import Examples
from include.dataset.manifest import read_manifest
from include.dataset.publish import publish
from include.dataset.steps import check_labels, deduplicate, sample
from include.errors import DatasetError, ModelError, ObjectNotFound
from include.evaluation import predict
from include.evaluation.mlflow_report import base_of_test, errors_of
from include.images.decoding import decode_pixels
from include.ingestion.snapshot import anything_new, snapshot_base, snapshot_uploads
from include.lake import layout
from include.lake.formats import read_json, read_table
from include.lake.local import LocalStore
from include.params import RetrainParams
from include.promotion.comparison import compare_and_decide
from include.promotion.evaluate import evaluate
from include.promotion.register import register_version
from include.promotion.run_report import report
from include.question import NEGATIVE, POSITIVE
from include.records import UPLOADS, ModelVersion, Review
from include.registry.versions import download_and_verify, find_version, load, version_of
from include.settings import ROOT, Labels, Policy, Settings
from include.training import train as train_module
from include.training.hyperparameters import Hyperparameters, keep_chosen
from include.training.mlflow_runs import DATASET_TAG, RUN_TAG, Mlflow, connect
from include.training.run_results import read_results
from include.training.train import train
from tests.models import CLASSES, QUESTION
from tests.pictures import describe_photos, drawing, drawing_on, fill_base, give

RUN = "manual__2026-01-01T00:00:00+00:00"
PARAMS = RetrainParams(images_per_source=60, epochs=5, min_precision=0.7, min_recall=0.7)
POLICY = Policy(labels=Labels(max_quality=0, min_agreement=0))  # no label is an issue: that has its own tests
SCRATCH = {"network": "scratch", "image_size": 32}  # quick to train


@dataclass(frozen=True)
class World:
    """An empty lake, and a registry."""

    lake: LocalStore
    client: Mlflow
    settings: Settings


@dataclass(frozen=True)
class Finished(World):
    """What a run wrote, and what its tasks returned; ``before`` is the version of the run before `register`."""

    run: str
    digest: str
    mlflow_run: str
    answer: dict[str, Any]
    before: ModelVersion | None
    version: ModelVersion


@pytest.fixture(scope="module")
def world(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    settings = Settings(mlflow_url=mlflow_url, state_dir=folder, policy=POLICY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAT_STATE_DIR", str(folder))
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back afterwards
        yield World(LocalStore(folder / "lake"), connect(settings), settings)
        mlflow.tensorflow.autolog(disable=True)


@pytest.fixture(scope="module")
def digest(world: World) -> str:
    """A dataset version of 60 drawings of each source, a reviewed upload, and three uploads of one visitor."""
    lake, settings, images = world.lake, world.settings, PARAMS.images_per_source
    fill_base(lake, per_source=60)
    give(lake, "upload", drawing_on("test", "cats"), POSITIVE)
    lake.write(layout.review("upload"), Review("upload", "keep", "me", "2026-01-02T00:00:00+00:00").to_json())
    for number in range(3):
        photo = drawing_on("train", "cats", start=20_000 + 100 * number)
        give(lake, f"p{number}", photo, POSITIVE, session="visitor")
    describe_photos(lake, RUN, settings.embedding_cache)
    assert anything_new(lake, RUN, PARAMS, settings)
    deduplicate(lake, RUN, POLICY)
    check_labels(lake, RUN, settings)
    sample(lake, RUN, settings, images_per_source=images)
    return publish(lake, RUN, settings, images_per_source=images)


def train_and_evaluate(world: World, run: str, digest: str, params: RetrainParams) -> Finished:
    settings = world.settings
    mlflow_run = train(world.lake, run, digest, params, settings)
    answer = evaluate(world.lake, run, digest, mlflow_run, params, settings)
    before = version_of(world.client, {RUN_TAG: layout.run_name(run), DATASET_TAG: digest})
    version = find_version(world.client, register_version(world.lake, run, settings))
    return Finished(world.lake, world.client, settings, run, digest, mlflow_run, answer, before, version)


@pytest.fixture(scope="module")
def done(world: World, digest: str) -> Finished:
    """The default network."""
    return train_and_evaluate(world, RUN, digest, PARAMS)


@pytest.fixture(scope="module", params=["scratch", "fine-tuned"])
def on_pixels(request: pytest.FixtureRequest, world: World, digest: str) -> Finished:
    """A network that learned from pixels."""
    if request.param == "fine-tuned":
        return train_and_evaluate(world, request.param, digest, replace(PARAMS, epochs=1, fine_tune_epochs=1))
    from_scratch = replace(world, settings=world.settings.model_copy(update=SCRATCH))
    return train_and_evaluate(from_scratch, request.param, digest, replace(PARAMS, epochs=1))


def evaluation_of(done: Finished) -> dict[str, Any]:
    return dict(read_json(done.lake, layout.run_evaluation(done.run)))


def scores_of(done: Finished) -> pd.DataFrame:
    return read_table(done.lake, layout.run_scores(done.run))


def test_evaluate_registers_nothing(done: Finished) -> None:
    assert done.before is None
    assert "version" not in evaluation_of(done)


def test_the_registered_version_answers(done: Finished, tmp_path: Path) -> None:
    registered = done.client.get_model_version(done.client.name, done.version.number)
    assert registered.run_id == done.mlflow_run
    model = load(download_and_verify(done.client, done.version, tmp_path, QUESTION), done.version.number)
    (answer,) = model.predict(pd.DataFrame({"image": [drawing("cats", 0)]})).to_dict("records")
    assert answer["model_version"] == done.version.number
    assert answer["threshold"] == done.answer["threshold"]


def test_what_was_registered_is_written_to_the_lake(done: Finished) -> None:
    names = {"run": RUN, "version": done.version.number, "dataset": done.digest, "mlflow_run": done.mlflow_run}
    assert names.items() <= read_json(done.lake, layout.run_version(RUN)).items()
    assert read_results(done.lake, RUN) == (evaluation_of(done), done.version)


def assert_served_as_evaluated(done: Finished, folder: Path, *, within: float) -> None:
    scores = scores_of(done)
    model = load(download_and_verify(done.client, done.version, folder, QUESTION), "1")
    photos = pd.DataFrame({"image": [done.lake.read(key) for key in scores["key"]]})
    assert list(model.predict(photos)["probability"]) == pytest.approx(list(scores["probability"]), abs=within)


def test_the_served_version_gives_the_scores_that_were_evaluated(done: Finished, tmp_path: Path) -> None:
    assert_served_as_evaluated(done, tmp_path, within=1e-3)  # embeddings were rounded to 16 bits


def test_a_served_version_that_learned_from_pixels_gives_them_too(on_pixels: Finished, tmp_path: Path) -> None:
    assert_served_as_evaluated(on_pixels, tmp_path, within=1e-4)


def test_a_model_of_drawings_makes_hardly_any_error(done: Finished) -> None:
    assert done.answer["precision"]["value"] > 0.9
    assert done.answer["recall"]["value"] > 0.9


def test_only_photos_that_did_not_train_are_scored(done: Finished) -> None:
    manifest = read_manifest(done.lake, done.digest)
    scores = scores_of(done)
    assert set(scores["split"]) == {"val", "test"}
    assert set(scores["key"]) == set(manifest.loc[manifest["split"] != "train", "key"])


def test_the_evaluation_in_the_lake_has_all_slices(done: Finished) -> None:
    evaluation = evaluation_of(done)
    assert (evaluation["dataset"], evaluation["mlflow_run"]) == (done.digest, done.mlflow_run)
    by_source = {"base", "against_dogs", "against_selfies", "against_misc", "uploads"}
    by_property = {name for name in evaluation["slices"] if name.split("_")[0] in ("brightness", "size", "sharpness")}
    assert set(evaluation["slices"]) == set(evaluation["about"]) == by_source | by_property
    assert {"brightness_dark", "sharpness_sharp"} <= by_property
    assert set(evaluation["sources"]) == {"cats", "dogs", "selfies", "misc", "uploads"}
    assert evaluation["sources"]["uploads"]["photos"] == 1
    assert {name: done.answer[name] for name in evaluation["slices"]["base"]} == evaluation["slices"]["base"]


def test_every_metric_lies_in_its_interval(done: Finished) -> None:
    names = {"precision", "recall", "f1", "average_precision", "roc_auc", "calibration_error"}
    slices = evaluation_of(done)["slices"]
    for metrics in slices.values():
        assert set(metrics) == names
        for metric in metrics.values():
            assert (metric["low"] or 0) <= metric["value"] <= (metric["high"] or 1)
    assert {metric["low"] is None for metric in slices["base"].values()} == {False}
    assert {metric["low"] for metric in slices["uploads"].values()} == {None}  # one photo


def test_the_decision_rule_is_fitted_out_of_fold_on_all_photos_but_those_of_test(done: Finished) -> None:
    manifest, evaluation = read_manifest(done.lake, done.digest), evaluation_of(done)
    fitted = manifest[manifest["split"] != "test"]
    assert evaluation["chosen"]["scores"] == "out of fold"
    assert (evaluation["chosen"]["photos"], evaluation["chosen"]["positives"]) == (
        len(fitted),
        (fitted["label"] == POSITIVE).sum(),
    )
    assert evaluation["decision_rule"]["threshold"] == done.answer["threshold"] == 0.5
    assert evaluation["decision_rule"]["unsure_from"] < 0.5 < evaluation["decision_rule"]["unsure_to"]


def test_for_a_network_that_learned_from_pixels_it_is_fitted_on_val(on_pixels: Finished) -> None:
    scores, chosen = scores_of(on_pixels), evaluation_of(on_pixels)["chosen"]
    val = scores[scores["split"] == "val"]
    assert chosen["scores"] == "val"
    assert (chosen["photos"], chosen["positives"]) == (len(val), (val["label"] == POSITIVE).sum())


def test_the_uploads_of_one_visitor_share_a_fold(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def remember(examples: Examples, folds: np.ndarray, fit: object) -> np.ndarray:
        asked.append(folds)
        return np.zeros((len(examples), CLASSES), np.float32)

    monkeypatch.setattr(predict, "out_of_fold_logits", remember)
    manifest = read_manifest(done.lake, done.digest)
    logits = predict.predict_out_of_fold(done.lake, RUN, manifest, Hyperparameters(), done.settings, PARAMS)
    photos = logits.photos
    assert set(photos["key"]) == set(manifest.loc[manifest["split"] != "test", "key"])
    (folds,) = asked
    assert len(folds) == len(photos)
    assert len(set(folds[photos["source"] == UPLOADS])) == 1
    assert len(set(folds)) == 5


@pytest.mark.parametrize("name", ["confusion", "precision_recall", "reliability", "slices"])
def test_plots_are_logged_to_the_mlflow_run(done: Finished, tmp_path: Path, name: str) -> None:
    file = done.client.download_artifacts(done.mlflow_run, f"evaluation/{name}.png", str(tmp_path))
    with Image.open(file) as picture:
        assert picture.format == "PNG"


def test_curves_params_and_metrics_are_logged_to_the_mlflow_run(done: Finished) -> None:
    data, evaluation = done.client.get_run(done.mlflow_run).data, evaluation_of(done)
    for name in ("loss", "val_loss", "partial_label_loss", "val_partial_label_loss"):
        points = done.client.get_metric_history(done.mlflow_run, name)
        assert sorted(point.step for point in points) == list(range(PARAMS.epochs)), name
    known = ("recipe_network", "recipe_l2_penalty", "recipe_seed", "learning_rate", "positive_weight")
    assert [data.params[name] for name in known] == ["efficientnet_lite0", "0.078125", "2025", "0.01", "1.0"]
    base = evaluation["slices"]["base"]
    assert data.metrics["test/f1"] == pytest.approx(base["f1"]["value"])
    assert data.metrics["test interval/f1 low"] == pytest.approx(base["f1"]["low"])
    rule = {name: value for name, value in evaluation["decision_rule"].items() if name != "positive_classes"}
    assert {name: data.metrics[name] for name in rule} == pytest.approx(rule)
    assert evaluation["decision_rule"]["positive_classes"] == [0]


def test_curves_of_a_training_on_pixels_are_logged_too(on_pixels: Finished) -> None:
    curves = on_pixels.client.get_run(on_pixels.mlflow_run).data.metrics
    assert {"loss", "val_loss", "average_precision", "val_average_precision"} <= set(curves)
    assert ("head_val_loss" in curves) == (on_pixels.run == "fine-tuned")


def test_page_evaluation_and_predictions_are_logged_to_the_mlflow_run(done: Finished, tmp_path: Path) -> None:
    folder = Path(done.client.download_artifacts(done.mlflow_run, "evaluation", str(tmp_path)))
    page = (folder / "evaluation.html").read_text()
    assert f"Are you a cat? Evaluation of the training on dataset {done.digest[:12]}" in page
    assert json.loads((folder / "evaluation.json").read_text()) == evaluation_of(done)
    predictions = pd.read_parquet(folder / "predictions.parquet")
    assert {"key", "label", "split", "probability", "brightness", "size", "sharpness"} <= set(predictions)
    assert len(predictions) == len(scores_of(done))


def test_no_picture_shows_an_upload(done: Finished) -> None:
    """Even if it is the worst error of all."""
    scores = scores_of(done)
    test = scores[scores["split"] == "test"].assign(probability=0.5)
    upload = test["source"] == "uploads"
    assert upload.sum() == 1
    test.loc[upload, "probability"] = 0.0  # though it is positive
    shown = errors_of(base_of_test(test), 0.4)
    assert not shown["key"].str.startswith(layout.UPLOADS).any()
    assert set(shown["key"]) == set(test.loc[test["label"] == NEGATIVE, "key"])


def test_the_mlflow_run_is_named_after_its_version(done: Finished) -> None:
    run = done.client.get_run(done.mlflow_run)
    assert run.info.run_name == f"version {done.version}"
    description = done.client.get_experiment(run.info.experiment_id).tags["mlflow.note.content"]
    assert "named after the version that it registered" in description


def assert_nowhere(done: Finished, bodies: list[bytes], folder: Path) -> None:
    """Neither in an artifact of the MLflow run nor in a cache of this machine."""
    mlflow.artifacts.download_artifacts(run_id=done.mlflow_run, dst_path=str(folder))
    folders = (folder, done.settings.home / "cache")
    files = [path.read_bytes() for each in folders for path in each.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [file for file in files for body in bodies if body in file]


def test_neither_an_upload_nor_its_embedding_leaves_its_folder(done: Finished, tmp_path: Path) -> None:
    embedding, photo = layout.upload_embeddings("upload", VERSION), layout.upload_photo("upload")
    assert_nowhere(done, [done.lake.read(embedding), done.lake.read(photo)], tmp_path)


def test_pixels_of_an_upload_are_stored_nowhere(on_pixels: Finished, tmp_path: Path) -> None:
    size = 32 if on_pixels.run == "scratch" else SIZE
    pixels = decode_pixels(on_pixels.lake.read(layout.upload_photo("upload")), size).tobytes()
    assert_nowhere(on_pixels, [pixels], tmp_path)
    assert not [key for key in on_pixels.lake.keys("") if pixels in on_pixels.lake.read(key)]


def test_training_again_returns_the_same_mlflow_run(done: Finished) -> None:
    assert train(done.lake, RUN, done.digest, PARAMS, done.settings) == done.mlflow_run


def test_evaluating_again_changes_nothing(done: Finished) -> None:
    before = evaluation_of(done)
    assert evaluate(done.lake, RUN, done.digest, done.mlflow_run, PARAMS, done.settings) == done.answer
    assert evaluation_of(done) == before
    assert versions_of(done) == [done.version.number]
    assert len(done.client.get_metric_history(done.mlflow_run, "test/f1")) == 1


def versions_of(done: Finished) -> list[str]:
    registered = done.client.search_model_versions(f"name = '{done.client.name}'")
    return [version.version for version in registered if version.run_id == done.mlflow_run]


def test_registering_again_returns_the_same_version(done: Finished) -> None:
    before = read_json(done.lake, layout.run_version(RUN))
    assert register_version(done.lake, RUN, done.settings) == done.version.number
    assert read_json(done.lake, layout.run_version(RUN)) == before
    assert versions_of(done) == [done.version.number]


def test_after_a_kill_between_registry_and_lake_the_next_try_registers_no_twin(done: Finished) -> None:
    done.lake.delete(layout.run_version(RUN))
    assert register_version(done.lake, RUN, done.settings) == done.version.number
    assert read_json(done.lake, layout.run_version(RUN))["version"] == done.version.number
    assert versions_of(done) == [done.version.number]


def test_without_an_evaluation_nothing_is_registered(done: Finished) -> None:
    with pytest.raises(ObjectNotFound):
        register_version(done.lake, "not evaluated", done.settings)


def no_room(*_) -> None:
    raise OSError("the disk is full")


def test_an_mlflow_run_left_open_is_closed_and_not_used(world: World, digest: str) -> None:
    """As after a kill: nothing tells MLflow of the end."""
    client, tags = world.client, {RUN_TAG: "killed", DATASET_TAG: digest}
    experiment = mlflow.set_experiment(client.name).experiment_id
    left_open = client.create_run(experiment, tags=tags).info.run_id
    of_another = client.create_run(experiment, tags=tags | {RUN_TAG: "another"}).info.run_id
    trained = train(world.lake, "killed", digest, PARAMS, world.settings)
    assert trained != left_open
    statuses = [client.get_run(run_id).info.status for run_id in (left_open, trained, of_another)]
    assert statuses == ["KILLED", "FINISHED", "RUNNING"]
    assert train(world.lake, "killed", digest, PARAMS, world.settings) == trained


def test_after_a_failed_attempt_the_next_begins_again(
    world: World, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_log_network", no_room)
        with pytest.raises(OSError, match="the disk is full"):
            train(world.lake, "failing", digest, PARAMS, world.settings)
    assert statuses_of(world.client, "failing") == ["FAILED"]
    train(world.lake, "failing", digest, PARAMS, world.settings)
    assert statuses_of(world.client, "failing") == ["FINISHED", "FAILED"]


@pytest.mark.slow
def test_a_suspended_training_is_superseded(world: World, digest: str) -> None:
    """The second try resumes in the MLflow run of the first; the first continues when all is done."""
    settings = world.settings.model_copy(update=SCRATCH)
    kept, name, params = settings.home / "checkpoints", "stopped", replace(PARAMS, epochs=6)
    code = f"""
from pathlib import Path
from include.lake.local import LocalStore
from include.training.train import train
from include.params import RetrainParams
from include.settings import Settings
settings = Settings.model_validate_json({settings.model_dump_json()!r})
train(LocalStore(Path({str(world.lake.root)!r})), {name!r}, {digest!r}, {params!r}, settings)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True) as stale:
        assert stale.stderr is not None
        while not list(kept.rglob("epoch-*")):
            assert stale.poll() is None, stale.stderr.read()
            time.sleep(0.05)
        stale.send_signal(signal.SIGSTOP)
        trained = train(world.lake, name, digest, params, settings)
        stale.send_signal(signal.SIGCONT)
        errors = stale.stderr.read()
    assert stale.returncode == 1
    assert "AttemptSuperseded: another process has taken over" in errors
    assert statuses_of(world.client, name) == ["FINISHED"]
    for metric in ("loss", "val_loss", "average_precision", "val_average_precision"):
        points = world.client.get_metric_history(trained, metric)
        assert sorted(point.step for point in points) == list(range(params.epochs)), metric
    assert not list(kept.rglob("epoch-*"))


def statuses_of(client: Mlflow, run: str) -> list[str]:
    """Of the attempts of a run, the last one first."""
    experiment = client.get_experiment_by_name(client.name)
    assert experiment is not None
    attempts = client.search_runs([experiment.experiment_id], f"tags.{RUN_TAG} = '{run}'")
    return [attempt.info.status for attempt in attempts]


def test_the_report_summarizes_the_run_and_a_repetition_has_nothing_to_do(done: Finished) -> None:
    compare_and_decide(done.lake, RUN, PARAMS, done.settings)
    answer = report(done.lake, RUN, done.settings)
    assert (answer["version"], answer["dataset"]) == (done.version.number, done.digest)
    whole = read_json(done.lake, layout.run_report(RUN))
    assert whole["decision"]["challenger"] == {"number": whole["version"], "sha256": whole["sha256"]}
    assert ModelVersion(whole["version"], whole["sha256"]) == done.version
    assert datetime.fromisoformat(whole["registered_at"]).tzinfo
    assert whole["test"] == evaluation_of(done)["slices"]["base"]
    assert whole["images"]["uploads"] == {"test": 1, "train": 3}
    for name in (RUN, "next"):
        snapshot_base(done.lake, name, QUESTION)
        snapshot_uploads(done.lake, name)
    assert anything_new(done.lake, RUN, PARAMS, done.settings)  # the same run, cleared
    assert not anything_new(done.lake, "next", PARAMS, done.settings)


def test_a_training_by_other_settings_is_made_anew(done: Finished) -> None:
    other = done.settings.model_copy(update={"l2_penalty": 0.5})
    again = train(done.lake, RUN, done.digest, PARAMS, other)
    assert again != done.mlflow_run
    assert train(done.lake, RUN, done.digest, PARAMS, other) == again
    assert train(done.lake, RUN, done.digest, PARAMS, done.settings) == done.mlflow_run


@pytest.mark.parametrize("change", [{"l2_penalty": 0.25}, {"sure_from": 0.9}, {"network": "scratch"}])
def test_a_network_of_other_settings_is_not_evaluated(done: Finished, change: dict[str, Any]) -> None:
    other, before = done.settings.model_copy(update=change), evaluation_of(done)
    with pytest.raises(ModelError, match="trained with other settings.*clear the task train"):
        evaluate(done.lake, RUN, done.digest, done.mlflow_run, PARAMS, other)
    assert evaluation_of(done) == before


def test_hyperparameters_of_another_dataset_are_not_used(done: Finished) -> None:
    keep_chosen(done.lake, "r2", "another", Hyperparameters(learning_rate=0.02))
    for step in (
        lambda: train(done.lake, "r2", done.digest, PARAMS, done.settings),
        lambda: evaluate(done.lake, "r2", done.digest, done.mlflow_run, PARAMS, done.settings),
    ):
        with pytest.raises(DatasetError, match="chosen on dataset another.*clear the task tune"):
            step()


def test_scores_that_are_not_finite_are_named_with_the_cure(done: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> np.ndarray:
        return np.full((len(scores_of(done)), CLASSES), np.nan, np.float32)

    monkeypatch.setattr(predict, "score_embeddings", broken)
    with pytest.raises(ModelError, match="no finite score for .*lower CAT_LEARNING_RATE.*clear the task train"):
        evaluate(done.lake, RUN, done.digest, done.mlflow_run, PARAMS, done.settings)


@pytest.mark.slow
def test_a_run_cleared_after_new_photos_means_what_it_meant(done: Finished) -> None:
    """The last test of this file, for the lake has one photo more afterwards."""
    lake, settings, images = done.lake, done.settings, PARAMS.images_per_source
    give(lake, "late", drawing_on("train", "dogs"), NEGATIVE)
    describe_photos(lake, RUN, settings.embedding_cache)
    assert anything_new(lake, RUN, PARAMS, settings)
    deduplicate(lake, RUN, POLICY)
    check_labels(lake, RUN, settings)
    sample(lake, RUN, settings, images_per_source=images)
    assert publish(lake, RUN, settings, images_per_source=images) == done.digest
    again = train_and_evaluate(done, RUN, done.digest, PARAMS)
    assert (again.mlflow_run, again.version) == (done.mlflow_run, done.version)
    compare_and_decide(lake, RUN, PARAMS, settings)
    snapshot_base(lake, "after", QUESTION)
    snapshot_uploads(lake, "after")
    assert anything_new(lake, "after", PARAMS, settings), "nobody has judged the new photo"
