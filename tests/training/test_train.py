"""The task `train` on a small dataset version, and what a further worker trains beside it."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.dataset.manifest import read_manifest
from include.errors import BadSetting
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.records import SOURCES, RetrainParams, label_of
from include.settings import Settings
from include.training import plan, train, worker
from include.training.head import HEAD, build_served_network
from include.training.hyperparameters import Hyperparameters
from include.training.mlflow_runs import connect
from include.training.plan import TrainingJob
from include.training.safe_keras import load_network

PARAMS = RetrainParams(images_per_source=20, epochs=3, min_precision=0.7, min_recall=0.7)
CHOSEN = Hyperparameters(learning_rate=0.02, batch_size=16)


@pytest.fixture
def filled(lake) -> LocalStore:
    """A dataset version of 48 photos by their features alone, and hyperparameters that a search chose."""
    sources = [SOURCES[number % 4] for number in range(48)]
    names = [sha256(f"{number}".encode()).hexdigest() for number in range(48)]
    keys = [layout.base(*photo) for photo in zip(sources, names, strict=True)]
    photos = pd.DataFrame({"key": keys, "sha256": names, "source": sources, "class_name": sources, "weight": 1.0})
    photos["label"] = photos["class_name"].map(label_of)
    photos["split"] = np.repeat(["train", "val", "test"], [32, 8, 8])
    write_table(lake, layout.manifest("d1"), photos)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(4, FEATURES))
    write_embeddings(
        lake, keys, np.tile(means, (12, 1)).astype(np.float16) + rng.normal(size=(48, 1)).astype(np.float16)
    )
    lake.write(layout.run_json("r1", "hyperparameters"), CHOSEN.to_json())
    return lake


def fitted_head(lake: LocalStore) -> keras.Model:
    head, _ = plan.fit_default_head(lake, read_manifest(lake, "d1"), CHOSEN, Settings(), epochs=PARAMS.epochs)
    return head


def assert_equal_weights(one: keras.Model, two: keras.Model) -> None:
    for mine, other in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_train_leaves_backbone_and_head_as_one_network_and_is_done_once(filled, mlflow_url, monkeypatch, tmp_path):
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    run_id = train.train(filled, "r1", "d1", PARAMS)
    path = Path(connect().download_artifacts(run_id, train.NETWORK_FILE, str(tmp_path)))
    assert_equal_weights(load_network(str(path)), build_served_network(fitted_head(filled)))
    kept = connect().get_run(run_id).data
    assert kept.params["learning_rate"] == "0.02"
    assert kept.params["recipe_l2_penalty"] == str(Settings().l2_penalty)
    losses = [point.value for point in connect().get_metric_history(run_id, "val_loss")]
    assert len(losses) == PARAMS.epochs
    assert losses[-1] < losses[0]
    monkeypatch.setattr(plan, "fit_default_head", pytest.fail)
    assert train.train(filled, "r1", "d1", PARAMS) == run_id


def test_the_head_learns_from_train_and_never_sees_test(filled):
    before = fitted_head(filled).get_layer(HEAD).get_weights()[0]
    manifest = read_manifest(filled, "d1")
    seen = {}
    for split in ("train", "test"):
        wrong = manifest.assign(
            kind=np.where(manifest["split"] == split, manifest["class_name"][::-1], manifest["class_name"])
        )
        head, _ = plan.fit_default_head(filled, wrong, CHOSEN, Settings(), epochs=PARAMS.epochs)
        seen[split] = not np.array_equal(head.get_layer(HEAD).get_weights()[0], before)
    assert seen == {"train": True, "test": False}


@pytest.fixture
def followed(filled, monkeypatch):
    """What a further worker would train, without its pixels."""

    def job_of(network: str, **options) -> TrainingJob:
        monkeypatch.setenv("CAT_NETWORK", network)
        jobs = []
        monkeypatch.setattr(worker, "load_pixels", lambda *_, **__: None)
        monkeypatch.setattr(worker, "fit", lambda _, __, job, *, checkpoints: jobs.append((job, checkpoints)))
        worker.join_training(filled, "r1", "d1", replace(PARAMS, **options))
        ((job, checkpoints),) = jobs
        assert checkpoints is None
        return job

    return job_of


def test_a_further_worker_fine_tunes_from_the_head_of_the_first(filled, followed):
    job = followed("efficientnet_lite0", fine_tune_epochs=2)
    assert job.epochs == 2
    assert_equal_weights(job.build(), build_served_network(fitted_head(filled)))


def test_a_further_worker_trains_from_scratch_where_the_first_does(followed):
    job = followed("scratch", epochs=5)
    assert (job.name, job.epochs, job.image_size) == ("scratch", 5, Settings().image_size)


def test_a_head_alone_needs_no_further_worker(followed):
    with pytest.raises(BadSetting, match="set --fine-tune-epochs, or CAT_NETWORK=scratch"):
        followed("efficientnet_lite0")
