"""The task `train` on a small dataset version, and the training that a further worker joins."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from include import cli
from include.backbone import FEATURES
from include.dataset.embeddings import write_embeddings
from include.dataset.manifest import read_manifest
from include.errors import BadSetting
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.params import RetrainParams
from include.settings import Network, Settings
from include.training import plan, train
from include.training.head import build_served_network
from include.training.hyperparameters import Hyperparameters, keep_chosen
from include.training.losses import HEAD
from include.training.mlflow_runs import NETWORK_FILE, connect
from include.training.plan import TrainingJob
from include.training.safe_keras import load_network
from tests.models import CLASSES, QUESTION

PARAMS = RetrainParams(images_per_source=20, epochs=3, min_precision=0.7, min_recall=0.7)
CHOSEN = Hyperparameters(learning_rate=0.02, batch_size=16)


@pytest.fixture
def filled(lake: LocalStore) -> LocalStore:
    """A dataset version of 48 photos that consists of embeddings, and hyperparameters that a search chose."""
    sources = [QUESTION.sources[number % CLASSES] for number in range(48)]
    names = [sha256(f"{number}".encode()).hexdigest() for number in range(48)]
    keys = [layout.base(*photo) for photo in zip(sources, names, strict=True)]
    photos = pd.DataFrame({"key": keys, "sha256": names, "source": sources, "class_name": sources, "weight": 1.0})
    photos["label"] = photos["class_name"].map(QUESTION.label_of)
    photos["split"] = np.repeat(["train", "val", "test"], [32, 8, 8])
    photos = photos.assign(label_origin="source", cluster="")
    write_table(lake, layout.manifest("d1"), photos)
    rng = np.random.default_rng(0)
    means = rng.normal(size=(CLASSES, FEATURES))
    embeddings = np.tile(means, (12, 1)).astype(np.float16) + rng.normal(size=(48, 1)).astype(np.float16)
    write_embeddings(lake, keys, embeddings)
    keep_chosen(lake, "r1", "d1", CHOSEN)
    return lake


def fitted_head(lake: LocalStore) -> keras.Model:
    head, _ = plan.fit_default_head(lake, read_manifest(lake, "d1"), CHOSEN, Settings(), epochs=PARAMS.epochs)
    return head


def assert_equal_weights(first: keras.Model, second: keras.Model) -> None:
    for actual, expected in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_train_logs_backbone_and_head_as_one_network_and_trains_once(
    filled: LocalStore, mlflow_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = Settings(mlflow_url=mlflow_url)
    client = connect(settings)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    run_id = train.train(filled, "r1", "d1", PARAMS, settings)
    path = Path(client.download_artifacts(run_id, NETWORK_FILE, str(tmp_path)))
    assert_equal_weights(load_network(str(path)), build_served_network(fitted_head(filled)))
    logged = client.get_run(run_id).data
    assert logged.params["learning_rate"] == "0.02"
    assert logged.params["recipe_l2_penalty"] == str(Settings().l2_penalty)
    losses = [point.value for point in client.get_metric_history(run_id, "val_loss")]
    assert len(losses) == PARAMS.epochs
    assert losses[-1] < losses[0]
    monkeypatch.setattr(plan, "fit_default_head", pytest.fail)
    assert train.train(filled, "r1", "d1", PARAMS, settings) == run_id


def test_the_head_learns_from_train_and_never_sees_test(filled: LocalStore) -> None:
    before = fitted_head(filled).get_layer(HEAD).get_weights()[0]
    manifest = read_manifest(filled, "d1")
    seen = {}
    for split in ("train", "test"):
        on_split = manifest["split"] == split
        wrong = manifest.assign(class_name=np.where(on_split, manifest["class_name"][::-1], manifest["class_name"]))
        head, _ = plan.fit_default_head(filled, wrong, CHOSEN, Settings(), epochs=PARAMS.epochs)
        seen[split] = not np.array_equal(head.get_layer(HEAD).get_weights()[0], before)
    assert seen == {"train": True, "test": False}


@pytest.fixture
def joined(filled: LocalStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrainingJob]:
    """What a further worker would train, without its pixels."""
    jobs: list[tuple[TrainingJob, object]] = []
    monkeypatch.setattr(train, "load_pixels", lambda *_, **__: None)
    monkeypatch.setattr(train, "fit", lambda _, __, job, *, checkpoints: jobs.append((job, checkpoints)))

    def job_of(network: Network, **options: Any) -> TrainingJob:
        train.join_training(filled, "r1", "d1", replace(PARAMS, **options), Settings(network=network))
        ((job, checkpoints),) = jobs
        assert checkpoints is None
        return job

    return job_of


def test_a_further_worker_fine_tunes_from_the_head_of_the_first(
    filled: LocalStore, joined: Callable[..., TrainingJob]
) -> None:
    job = joined("efficientnet_lite0", fine_tune_epochs=2)
    assert job.epochs == 2
    assert_equal_weights(job.build(), build_served_network(fitted_head(filled)))


def test_a_further_worker_trains_from_scratch_where_the_first_does(joined: Callable[..., TrainingJob]) -> None:
    job = joined("scratch", epochs=5)
    assert (job.name, job.epochs, job.image_size) == ("scratch", 5, Settings().image_size)


def test_a_head_alone_needs_no_further_worker(joined: Callable[..., TrainingJob]) -> None:
    with pytest.raises(BadSetting, match="set --fine-tune-epochs, or CAT_NETWORK=scratch"):
        joined("efficientnet_lite0")


def test_the_command_of_a_worker_joins_with_the_hyperparameters_of_its_run(
    filled: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def join(store: LocalStore, run: str, digest: str, params: RetrainParams, settings: Settings) -> None:
        asked.append((store.root, run, digest, params.epochs, params.fine_tune_epochs, settings.network))

    monkeypatch.setattr(train, "join_training", join)
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{filled.root}")
    assert cli.main(["train-worker", "d1", "--run", "r1", "--epochs", "3", "--fine-tune-epochs", "2"]) == 0
    assert asked == [(filled.root, "r1", "d1", 3, 2, "efficientnet_lite0")]


def test_the_command_of_a_worker_fails_with_a_sentence_where_nothing_is_trained_on_pixels(
    filled: LocalStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{filled.root}")
    assert cli.main(["train-worker", "d1", "--run", "r1", "--epochs", "1"]) == 1
    assert "a head alone needs no further worker" in capsys.readouterr().err
