"""A killed training goes on, and ends as if nothing had happened. Real processes, real kills, small networks."""

import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.examples import Examples
from include.records import CLASSES
from include.settings import ROOT, Settings
from include.training import train
from include.training.callbacks import best_epoch, is_over
from include.training.checkpoints import ENDED_AT, Checkpoints
from include.training.fit import fit
from include.training.head import build_served_network, fit_head
from include.training.hyperparameters import Hyperparameters
from include.training.pixel_cache import Pixels
from include.training.plan import TrainingJob, fine_tuning, from_scratch
from include.training.scratch_network import build_network
from include.training.train import state_folder
from tests.models import as_pixels

SIZE, EPOCHS = 32, 3
CHOSEN = Hyperparameters()


def tiny_job(*, epochs: int = EPOCHS) -> TrainingJob:
    """A small network with all that a later epoch depends on: dropout, batch normalisation, augmentation."""

    def build() -> keras.Model:
        keras.utils.set_random_seed(3)
        return build_network(image_size=SIZE, filters=(4, 4), blocks=(1, 1), dropout=0.5)

    return TrainingJob("tiny", build, image_size=SIZE, batch_size=8, learning_rate=0.01, epochs=epochs, seed=3)


def photos(size: int = SIZE) -> tuple[Pixels, pd.DataFrame]:
    """60 photos of noise with a manifest; two thirds of them train."""
    rng = np.random.default_rng(0)
    kinds = np.array(["cats", "dogs", "selfies", "misc"])[np.arange(60) % 4]
    names = [f"{number:064x}" for number in range(60)]
    manifest = pd.DataFrame({"sha256": names, "class_name": kinds, "source": kinds, "weight": 1.0})
    manifest["label"] = np.where(kinds == "cats", "cat", "not_cat")
    manifest["split"] = np.where(np.arange(60) < 40, "train", "val")
    return as_pixels(rng.integers(0, 256, (60, size, size, 3), np.uint8)), manifest


def run(folder: Path) -> list[np.ndarray]:
    """Train in this process, and leave history and weights beside the checkpoints."""
    checkpoints = Checkpoints(folder)
    trained = fit(*photos(), tiny_job(), checkpoints=checkpoints)
    history = [{**figures, ENDED_AT: 0} for figures in checkpoints.latest().history]
    folder.with_suffix(".json").write_text(json.dumps(history))
    np.savez(folder.with_suffix(".npz"), *trained.get_weights())
    return trained.get_weights()


def left_by(folder: Path) -> tuple[list[dict], list[np.ndarray]]:
    with np.load(folder.with_suffix(".npz")) as arrays:
        return json.loads(folder.with_suffix(".json").read_text()), [arrays[name] for name in arrays.files]


def start(folder: Path) -> subprocess.Popen:
    command = f"from pathlib import Path; from tests.training.test_fit import run; run(Path({str(folder)!r}))"
    return subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The checkpoints of a training that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed") / "state"
    run(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(finished) -> tuple[list[dict], list[np.ndarray]]:
    return left_by(finished)


def assert_equal(found: tuple, expected: tuple) -> None:
    assert found[0] == expected[0]
    for mine, other in zip(found[1], expected[1], strict=True):
        np.testing.assert_array_equal(mine, other)


def test_the_same_seed_gives_the_same_network(undisturbed, tmp_path):
    run(tmp_path / "state")
    assert_equal(left_by(tmp_path / "state"), undisturbed)


def test_killed_after_an_epoch_it_ends_as_if_undisturbed(undisturbed, tmp_path):
    """With kill -9, in another process; dropout, augmentation, rate and order of the photos go on where they were."""
    folder = tmp_path / "state"
    with start(folder) as victim:
        while not list(folder.glob("attempt-*/epoch-*")):
            assert victim.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        victim.kill()
    assert victim.wait() == -9
    assert Checkpoints(folder).epochs()[-1] < EPOCHS
    run(folder)
    assert_equal(left_by(folder), undisturbed)


def test_a_training_that_was_killed_at_its_end_has_nothing_left_to_do(finished, undisturbed, tmp_path):
    folder = tmp_path / "state"
    shutil.copytree(finished, folder)
    before = {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("weights.npz")}
    run(folder)
    assert {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("weights.npz")} == before
    assert_equal(left_by(folder), undisturbed)


def test_the_network_of_the_best_epoch_is_returned(finished, undisturbed, tmp_path):
    shutil.copytree(finished, tmp_path / "state")
    checkpoints = Checkpoints(tmp_path / "state")
    best = checkpoints.read(best_epoch(checkpoints.latest().history, epochs=EPOCHS))
    history, weights = undisturbed
    assert len(history) == EPOCHS
    for mine, kept, first in zip(weights, best.weights[: len(weights)], tiny_job().build().get_weights(), strict=True):
        np.testing.assert_array_equal(mine, kept)
        assert not np.array_equal(mine, first)


def test_each_epoch_is_told_once_with_its_losses_also_over_a_kill(tmp_path):
    told: list[int] = []

    def tell(epoch: int, losses: dict[str, float]) -> None:
        assert {"loss", "val_loss", ENDED_AT} <= set(losses)
        told.append(epoch)
        if epoch == 0:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(*photos(), tiny_job(), checkpoints=Checkpoints(tmp_path / "state"), tell=tell)
    fit(*photos(), tiny_job(), checkpoints=Checkpoints(tmp_path / "state"), tell=tell)
    assert told == list(range(EPOCHS))


def test_a_further_worker_keeps_nothing_and_returns_nothing(tmp_path):
    assert fit(*photos(), tiny_job(epochs=1), checkpoints=None) is None


def some_head(*, epochs: int) -> keras.Model:
    """What it learned is of no matter."""
    rng = np.random.default_rng(0)
    allowed = np.eye(CLASSES, dtype=np.float32).repeat(10, axis=0)
    examples = Examples(rng.random((40, FEATURES)).astype(np.float16), allowed, np.ones(40, np.float32))
    return fit_head(examples, None, CHOSEN, l2_penalty=0.1, epochs=epochs, seed=1)


@pytest.fixture(scope="module")
def head() -> keras.Model:
    return some_head(epochs=1)


def test_fine_tuning_changes_the_upper_blocks_and_leaves_the_lower_ones(head, tmp_path):
    pixels, manifest = photos(224)
    few = np.arange(60) % 8 == 0
    job = replace(fine_tuning(head, Settings(), epochs=1), batch_size=2)  # three steps: the first one's rate is 0
    tuned = fit(pixels.subset(few), manifest[few], job, checkpoints=Checkpoints(tmp_path / "state"))
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
        ((0.1, 0.9, 0.8), 3, False),  # the first half is not looked at
        ((9, 9, 9, 9, 9, 0.5), 6, False),
        ((9, 9, 9, 9, 9, 0.5, 0.6, 0.7), 6, False),
        ((9, 9, 9, 9, 9, 0.5, 0.6, 0.7, 0.8), 6, True),  # three without a better one
        ((9, 9, 9, 9, 9, 0.8, 0.7, 0.6, 0.5, 0.4), 10, True),  # all ten epochs
        ((9, 9, 9, 9, 9, float("nan"), 0.7), 7, False),
    ],
)
def test_the_best_epoch_is_that_with_the_lowest_loss_of_the_second_half(losses, best, over):
    assert best_epoch(falling(*losses), epochs=10) == best
    assert is_over(falling(*losses), epochs=10) is over


def test_it_stops_when_the_loss_has_not_fallen_for_a_third_of_the_epochs():
    losses = [9.0] * 15 + [0.5] + [0.6] * 9
    assert not is_over(falling(*losses), epochs=30)
    assert is_over(falling(*losses, 0.6), epochs=30)
    assert not is_over(falling(*losses, 0.4), epochs=30)


def scratch(**options) -> Settings:
    return Settings(**({"network": "scratch", "image_size": SIZE, "batch_size": 8, "seed": 3} | options))


def folder_of(settings: Settings, *, digest: str = "d1", epochs: int = 3, chosen: Hyperparameters = CHOSEN) -> Path:
    return state_folder(settings, digest, chosen, from_scratch(settings, epochs=epochs))


def test_checkpoints_are_shared_by_trainings_that_must_end_alike_and_by_no_others(monkeypatch):
    one = folder_of(scratch())
    assert folder_of(scratch()) == one
    assert one.parent == scratch().home / "checkpoints"
    others = [
        folder_of(scratch(), digest="d2"),
        folder_of(scratch(), epochs=4),
        folder_of(scratch(seed=4)),
        folder_of(scratch(batch_size=16)),
        folder_of(scratch(image_size=64)),
        folder_of(scratch(learning_rate=0.5)),
    ]
    monkeypatch.setattr(train, "VERSION", "of another backbone")
    others.append(folder_of(scratch()))
    assert len({one, *others}) == 8


def test_other_code_does_not_go_on_from_the_checkpoints_of_this(monkeypatch):
    one = folder_of(scratch())
    monkeypatch.setattr(train, "CODE_OF_TRAINING", train.CODE_OF_TRAINING[1:])
    assert folder_of(scratch()) != one


def test_fine_tuning_goes_on_only_where_it_began_with_the_same_head(head):
    """The head follows from the epochs of the run, which are not those of its fine-tuning."""
    one, same, other = (
        state_folder(Settings(), "d1", CHOSEN, fine_tuning(each, Settings(), epochs=3))
        for each in (head, some_head(epochs=1), some_head(epochs=2))
    )
    assert one == same != other


def test_hyperparameters_travel_as_json():
    chosen = Hyperparameters(learning_rate=0.02, cat_weight=2.0)
    assert Hyperparameters.from_json(chosen.to_json()) == chosen
