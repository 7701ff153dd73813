"""A killed training goes on, and ends as if nothing had happened. Real processes, real kills, small networks."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.model.checkpoints import ENDED_AT, Checkpoints
from include.model.fitting import fit
from include.model.hyperparameters import Hyperparameters
from include.model.pixels import Pixels
from include.model.resuming import best_epoch, is_over
from include.model.starting import RANDOM, Start
from include.model.state import state_folder
from include.settings import ROOT, Settings

SIZE, EPOCHS = 32, 3
SMALL = Hyperparameters(learning_rate=0.01, filters=(4, 4), blocks=(1, 1), dropout=0.5)


def settings_for_tests() -> Settings:
    return Settings(image_size=SIZE, batch_size=8, seed=3)


def photos(size: int = SIZE) -> tuple[Pixels, pd.DataFrame]:
    """60 photos of noise with a manifest; the names put them on train and on both halves of val."""
    rng = np.random.default_rng(0)
    kinds = np.array(["cats", "dogs", "selfies", "misc"])[np.arange(60) % 4]
    names = [f"{number:064x}" for number in range(60)]
    manifest = pd.DataFrame({"sha256": names, "kind": kinds, "source": kinds, "weight": 1.0})
    manifest["label"] = np.where(kinds == "cats", "cat", "not_cat")
    manifest["side"] = np.where(np.arange(60) < 40, "train", "val")
    rows = np.stack([np.zeros(60, int), np.arange(60)], axis=1)
    return Pixels([rng.integers(0, 256, (60, size, size, 3), np.uint8)], rows, size), manifest


def run(folder: Path, *, epochs: int = EPOCHS) -> list[np.ndarray]:
    """Train in this process, and leave history and weights beside the checkpoints."""
    pixels, manifest = photos()
    checkpoints = Checkpoints(folder)
    trained = fit(
        pixels,
        manifest,
        epochs=epochs,
        settings=settings_for_tests(),
        hyperparameters=SMALL,
        checkpoints=checkpoints,
    )
    history = [{**figures, ENDED_AT: 0} for figures in checkpoints.latest().history]
    folder.with_suffix(".json").write_text(json.dumps(history))
    np.savez(folder.with_suffix(".npz"), *trained.get_weights())
    return trained.get_weights()


def left_by(folder: Path) -> tuple[list[dict], list[np.ndarray]]:
    with np.load(folder.with_suffix(".npz")) as arrays:
        return json.loads(folder.with_suffix(".json").read_text()), [arrays[name] for name in arrays.files]


def start(folder: Path) -> subprocess.Popen:
    command = f"from pathlib import Path; from tests.model.test_fitting import run; run(Path({str(folder)!r}))"
    return subprocess.Popen([sys.executable, "-c", command], cwd=ROOT, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[list[dict], list[np.ndarray]]:
    folder = tmp_path_factory.mktemp("undisturbed") / "state"
    run(folder)
    return left_by(folder)


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


def test_a_training_that_was_killed_at_its_end_has_nothing_left_to_do(undisturbed, tmp_path):
    folder = tmp_path / "state"
    run(folder)
    before = {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("weights.npz")}
    run(folder)
    assert {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("weights.npz")} == before
    assert_equal(left_by(folder), undisturbed)


def test_mobilenet_learns_from_smaller_photos_than_it_is_asked_about(tmp_path):
    settings = Settings(network="mobilenet", image_size=64, batch_size=8, seed=3)
    assert settings.train_size == 32
    trained = fit(
        *photos(64), epochs=1, settings=settings, hyperparameters=SMALL, checkpoints=Checkpoints(tmp_path / "state")
    )
    assert trained.input_shape == (None, 64, 64, 3)


@pytest.mark.parametrize(
    ("network", "asked", "learned"),
    [("scratch", 96, 96), ("scratch", 50, 50), ("mobilenet", 160, 128), ("mobilenet", 128, 96), ("mobilenet", 32, 32)],
)
def test_the_size_that_training_sees(network, asked, learned):
    assert Settings(network=network, image_size=asked).train_size == learned


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


def test_checkpoints_are_shared_by_trainings_that_must_end_alike_and_by_no_others():
    settings = settings_for_tests()
    name = state_folder(settings, "d1", SMALL, RANDOM, epochs=3)
    assert state_folder(settings_for_tests(), "d1", SMALL, RANDOM, epochs=3) == name
    others = [
        state_folder(settings, "d2", SMALL, RANDOM, epochs=3),
        state_folder(settings, "d1", SMALL, RANDOM, epochs=4),
        state_folder(Settings(image_size=SIZE, batch_size=8, seed=4), "d1", SMALL, RANDOM, epochs=3),
        state_folder(settings, "d1", SMALL, Start("other weights", None), epochs=3),
        state_folder(
            settings, "d1", Hyperparameters(learning_rate=0.02, filters=(4, 4), blocks=(1, 1)), RANDOM, epochs=3
        ),
    ]
    assert len({name, *others}) == 6


def test_hyperparameters_travel_as_json():
    assert Hyperparameters.from_json(SMALL.to_json()) == SMALL
