"""A killed training resumes, and ends as an undisturbed one does. Real processes, real kills, small networks."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.examples import Examples
from include.errors import TrainingDiverged
from include.params import RetrainParams
from include.question import POSITIVE, Question
from include.settings import ROOT, Settings
from include.training import fingerprint
from include.training.callbacks import best_epoch, should_stop_early
from include.training.checkpoints import ENDED_AT, Checkpoints
from include.training.fingerprint import training_digest
from include.training.fit import fit, score
from include.training.head import build_served_network, fit_head
from include.training.hyperparameters import Hyperparameters
from include.training.pixel_cache import Pixels
from include.training.plan import TrainingJob, fine_tuning, from_scratch
from include.training.scratch_network import build_network
from include.training.train import state_folder
from tests.models import CLASSES, QUESTION, as_pixels

SIZE, EPOCHS = 32, 3
CHOSEN = Hyperparameters()


def tiny_job(*, epochs: int = EPOCHS) -> TrainingJob:
    """A small network with all that a later epoch depends on: dropout, batch normalization, augmentation."""

    def build() -> keras.Model:
        keras.utils.set_random_seed(3)
        return build_network(image_size=SIZE, filters=(4, 4), blocks=(1, 1), dropout=0.5)

    return TrainingJob("tiny", build, QUESTION, SIZE, batch_size=8, learning_rate=0.01, epochs=epochs, seed=3)


def photos(size: int = SIZE) -> tuple[Pixels, pd.DataFrame]:
    """60 photos of noise with their manifest; two thirds are on the train split."""
    rng = np.random.default_rng(0)
    sources = np.array(QUESTION.sources)[np.arange(60) % CLASSES]
    names = [f"{number:064x}" for number in range(60)]
    manifest = pd.DataFrame({"sha256": names, "class_name": sources, "source": sources, "weight": 1.0})
    manifest["label"] = manifest["source"].map(QUESTION.label_of)
    manifest["split"] = np.where(np.arange(60) < 40, "train", "val")
    return as_pixels(rng.integers(0, 256, (60, size, size, 3), np.uint8)), manifest


def run(folder: Path) -> list[np.ndarray]:
    """Train in this process, and write history and weights beside the checkpoints."""
    checkpoints = Checkpoints(folder)
    trained = fit(*photos(), tiny_job(), checkpoints=checkpoints)
    latest = checkpoints.latest()
    assert trained is not None
    assert latest is not None
    history = [{**metrics, ENDED_AT: 0} for metrics in latest.history]
    folder.with_suffix(".json").write_text(json.dumps(history))
    np.savez(folder.with_suffix(".npz"), *trained.get_weights())
    return trained.get_weights()


def written_by(folder: Path) -> tuple[list[dict], list[np.ndarray]]:
    with np.load(folder.with_suffix(".npz")) as arrays:
        return json.loads(folder.with_suffix(".json").read_text()), [arrays[name] for name in arrays.files]


def start(folder: Path) -> subprocess.Popen:
    command = f"from pathlib import Path; from tests.training.test_fit import run; run(Path({str(folder)!r}))"
    return subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoints of an undisturbed training."""
    folder = tmp_path_factory.mktemp("undisturbed") / "state"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(finished: Path) -> tuple[list[dict], list[np.ndarray]]:
    return written_by(finished)


def assert_equal(found: tuple, expected: tuple) -> None:
    assert found[0] == expected[0]
    for actual, wanted in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(actual, wanted)


def test_the_same_seed_gives_the_same_network(undisturbed: tuple[list[dict], list[np.ndarray]], tmp_path: Path) -> None:
    run(tmp_path / "state")
    assert_equal(written_by(tmp_path / "state"), undisturbed)


@pytest.mark.slow
def test_killed_after_an_epoch_it_ends_as_if_undisturbed(
    undisturbed: tuple[list[dict], list[np.ndarray]], tmp_path: Path
) -> None:
    """Dropout, augmentation, learning rate and order of the photos continue; another process gets kill -9."""
    folder = tmp_path / "state"
    with start(folder) as victim:
        while not list(folder.glob("attempt-*/epoch-*")):
            assert victim.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        victim.kill()
    assert victim.wait() == -9
    assert Checkpoints(folder).epochs()[-1] < EPOCHS
    run(folder)
    assert_equal(written_by(folder), undisturbed)


def test_a_training_that_was_killed_at_its_end_has_nothing_left_to_do(
    finished: Path, undisturbed: tuple[list[dict], list[np.ndarray]], tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    shutil.copytree(finished, folder)
    before = {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("weights.npz")}
    run(folder)
    assert {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("weights.npz")} == before
    assert_equal(written_by(folder), undisturbed)


def test_the_network_of_the_best_epoch_is_returned(
    finished: Path, undisturbed: tuple[list[dict], list[np.ndarray]], tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path / "state")
    checkpoints, (history, weights) = Checkpoints(tmp_path / "state"), undisturbed
    best = checkpoints.read(best_epoch(tuple(history), epochs=EPOCHS))
    assert len(history) == EPOCHS
    for mine, kept, first in zip(weights, best.weights[: len(weights)], tiny_job().build().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, kept)
        assert not np.array_equal(mine, first)


def test_each_epoch_is_reported_once_with_its_losses_also_over_a_kill(tmp_path: Path) -> None:
    reported: list[int] = []

    def on_epoch(epoch: int, metrics: Mapping[str, float]) -> None:
        assert {"loss", "val_loss", ENDED_AT} <= set(metrics)
        reported.append(epoch)
        if epoch == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(*photos(), tiny_job(), checkpoints=Checkpoints(tmp_path / "state"), on_epoch=on_epoch)
    fit(*photos(), tiny_job(), checkpoints=Checkpoints(tmp_path / "state"), on_epoch=on_epoch)
    assert reported == list(range(EPOCHS))


def test_a_training_that_diverges_names_the_cure_and_keeps_no_checkpoint(tmp_path: Path) -> None:
    """A later attempt with another learning rate must not resume from weights that are not finite."""
    checkpoints = Checkpoints(tmp_path / "state")
    job = replace(tiny_job(), learning_rate=float("inf"))
    with pytest.raises(TrainingDiverged, match=r"diverged in epoch 1 \(.*loss nan.*\): lower CAT_LEARNING_RATE"):
        fit(*photos(), job, checkpoints=checkpoints)
    assert checkpoints.latest() is None


def test_a_further_worker_keeps_nothing_and_returns_nothing(tmp_path: Path) -> None:
    assert fit(*photos(), tiny_job(epochs=1), checkpoints=None) is None


def some_head(*, epochs: int) -> keras.Model:
    """A head; what it learned does not matter."""
    rng = np.random.default_rng(0)
    allowed = np.eye(CLASSES, dtype=np.float32).repeat(10, axis=0)
    embeddings = rng.random((40, FEATURES)).astype(np.float16)
    examples = Examples(embeddings, allowed, np.ones(40, np.float32), allowed[:, 0] == 1)
    return fit_head(examples, None, CHOSEN, l2_penalty=0.1, epochs=epochs, seed=1)


@pytest.fixture(scope="module")
def head() -> keras.Model:
    return some_head(epochs=1)


def test_fine_tuning_changes_the_upper_blocks_and_leaves_the_lower_ones(head: keras.Model, tmp_path: Path) -> None:
    pixels, manifest = photos(224)
    few = np.arange(60) % 8 == 0
    job = replace(fine_tuning(head, Settings(), epochs=1), batch_size=2)  # three steps: the first one's rate is 0
    tuned = fit(pixels.subset(few), manifest[few], job, checkpoints=Checkpoints(tmp_path / "state"))
    assert tuned is not None
    changed = {
        mine.name
        for mine, before in zip(tuned.layers, build_served_network(head).layers, strict=True)
        if not all(np.array_equal(*pair) for pair in zip(mine.get_weights(), before.get_weights(), strict=True))
    }
    assert changed == {layer.name for layer in job.build().layers if layer.trainable_weights}


def falling(*losses: float) -> tuple[dict[str, float], ...]:
    return tuple({"val_loss": loss} for loss in losses)


@pytest.mark.parametrize(
    ("losses", "best", "over"),
    [
        ((), 0, False),
        ((1.0,), 1, False),
        ((0.1, 0.9, 0.8), 3, False),  # the first half does not count
        ((9, 9, 9, 9, 9, 0.5), 6, False),
        ((9, 9, 9, 9, 9, 0.5, 0.6, 0.7), 6, False),
        ((9, 9, 9, 9, 9, 0.5, 0.6, 0.7, 0.8), 6, True),  # three without a better one
        ((9, 9, 9, 9, 9, 0.8, 0.7, 0.6, 0.5, 0.4), 10, True),  # all ten epochs
        ((9, 9, 9, 9, 9, float("nan"), 0.7), 7, False),
    ],
)
def test_the_best_epoch_is_that_with_the_lowest_loss_of_the_second_half(
    losses: tuple[float, ...], best: int, over: bool
) -> None:
    assert best_epoch(falling(*losses), epochs=10) == best
    assert should_stop_early(falling(*losses), epochs=10) is over


def test_it_stops_when_the_loss_has_not_fallen_for_a_third_of_the_epochs() -> None:
    losses = [9.0] * 15 + [0.5] + [0.6] * 9
    assert not should_stop_early(falling(*losses), epochs=30)
    assert should_stop_early(falling(*losses, 0.6), epochs=30)
    assert not should_stop_early(falling(*losses, 0.4), epochs=30)


def scratch(**options: Any) -> Settings:
    given: dict[str, Any] = {"network": "scratch", "image_size": SIZE, "batch_size": 8, "seed": 3} | options
    return Settings(**given)


def folder_of(settings: Settings, *, digest: str = "d1", epochs: int = 3, chosen: Hyperparameters = CHOSEN) -> Path:
    params = RetrainParams(10, epochs, 0, 0)
    made_from = training_digest(digest, chosen, params, settings)
    return state_folder(settings, made_from, from_scratch(settings, epochs=epochs))


def test_only_trainings_with_the_same_inputs_share_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(scratch())
    assert folder_of(scratch()) == folder
    assert folder.parent == scratch().home / "checkpoints"
    others = [
        folder_of(scratch(), digest="d2"),
        folder_of(scratch(), epochs=4),
        folder_of(scratch(seed=4)),
        folder_of(scratch(batch_size=16)),
        folder_of(scratch(image_size=64)),
        folder_of(scratch(learning_rate=0.5)),
        folder_of(scratch(question=Question(positive=("cats", "dogs")))),
    ]
    monkeypatch.setattr(fingerprint, "VERSION", "of another backbone")
    others.append(folder_of(scratch()))
    assert len({folder, *others}) == 9


def test_changed_code_does_not_resume_from_older_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(scratch())
    monkeypatch.setattr(fingerprint, "CODE_OF_TRAINING", fingerprint.CODE_OF_TRAINING[1:])
    assert folder_of(scratch()) != folder


def test_fine_tuning_resumes_only_with_the_head_it_began_with(head: keras.Model) -> None:
    """The head follows from the epochs of the run, which are not those of its fine-tuning."""
    first, same, other = (
        state_folder(Settings(), "made from", fine_tuning(each, Settings(), epochs=3))
        for each in (head, some_head(epochs=1), some_head(epochs=2))
    )
    assert first == same != other


def test_hyperparameters_travel_as_json() -> None:
    chosen = Hyperparameters(learning_rate=0.02, positive_weight=2.0)
    assert Hyperparameters.from_json(chosen.to_json()) == chosen


def test_scores_come_in_the_order_of_the_manifest() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    manifest = pd.DataFrame({"class_name": "cats", "label": POSITIVE, "weight": 1.0}, index=range(5))
    keras.utils.set_random_seed(0)
    network = build_network(image_size=32, filters=(16, 16, 16, 16))
    scores = score(network, as_pixels(pictures), manifest, QUESTION)
    assert scores.shape == (5, CLASSES)
    assert len(set(scores[:, 0])) == 5
    reversed_scores = score(network, as_pixels(pictures[::-1]), manifest, QUESTION)
    np.testing.assert_allclose(reversed_scores, scores[::-1], rtol=1e-4)
