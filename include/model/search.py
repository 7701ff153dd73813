"""The search for hyperparameters by keras-tuner's Hyperband: what may be tuned, the search's state, and its trials.

    python -m include.model.search DIGEST --epochs N

runs trials until none is left. A trial is a training of `fitting.advance` that stops early, with the checkpoints that
the whole training would have: whatever the values have been trained for is never trained again, neither in a later
round of Hyperband, nor after a kill, nor by the task `train`. Several processes share one search by keras-tuner's own
protocol, the variables KERASTUNER_TUNER_ID (``chief``, or any other name), KERASTUNER_ORACLE_IP and _PORT.
"""

import argparse
import os
import sys
import threading
import time
from typing import Any

import keras
import keras_tuner
from keras_tuner.oracles import HyperbandOracle

from include.data.dataset import read_manifest
from include.lake.opening import open_lake
from include.model.checkpoints import Checkpoints
from include.model.fitting import advance
from include.model.hyperparameters import Hyperparameters, last_best
from include.model.pixels import load_pixels
from include.model.resuming import best_epoch
from include.model.starting import build, starting_point
from include.model.state import search_folder, state_folder
from include.settings import Settings

OBJECTIVE = "val_loss"  # on the tuning half of val, as for the choice of the best epoch
ENDED = ("COMPLETED", "FAILED")
PAUSE = 0.2  # seconds before the oracle is asked; keras-tuner would ask without end while it has to wait
NOTHING_LEFT = 3  # exit code: there was no trial left to run


def declare(space: keras_tuner.HyperParameters) -> Hyperparameters:
    """What may be tuned and within which limits, and the values that ``space`` has for it now.

    Not the network's shape: one of another shape could not begin with the weights that were learned before.
    """
    return Hyperparameters(
        learning_rate=space.Float("learning_rate", 3e-4, 6e-3, sampling="log"),
        weight_decay=space.Float("weight_decay", 0.002, 0.1, sampling="log"),
        warm_up=space.Float("warm_up", 0.04, 0.2, sampling="log"),
        dropout=space.Float("dropout", 0.0, 0.5, step=0.1),
        augmentation=space.Float("augmentation", 0.5, 1.5, step=0.25),
    )


def values_of(chosen: Hyperparameters) -> dict[str, Any]:
    """The values of the space that ``declare`` makes these of."""
    space = keras_tuner.HyperParameters()
    declare(space)
    return {name: getattr(chosen, name) for name in space.values}


class Oracle(HyperbandOracle):
    """Hyperband (Li et al., JMLR 2018) that begins with known values, and begins nothing after ``deadline``.

    ``deadline`` is in seconds since 1970.
    """

    def __init__(self, *args: Any, first: dict[str, Any], deadline: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self.first, self.deadline = first, deadline

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        return {"status": "STOPPED"} if time.time() > self.deadline else dict(super().populate_space(trial_id))

    def _random_values(self) -> dict[str, Any] | None:
        return dict(self.first) if not self.trials else super()._random_values()

    def reload(self) -> None:
        """keras-tuner saves its state before it takes an ended trial off the list of those that run, and would run
        the last one again: https://github.com/keras-team/keras-tuner/blob/v1.4.8/keras_tuner/src/engine/oracle.py"""
        super().reload()
        self._retry_queue: list[str] = [name for name in self._retry_queue if self.trials[name].status not in ENDED]


class EnoughTrials(Exception):
    """This process has run as many as it should."""


class Search(keras_tuner.Tuner):
    """A trial of the oracle's is a training that stops early. ``trials``: how many to run at most."""

    def __init__(self, digest: str, *, epochs: int, settings: Settings, trials: int | None, **options: Any) -> None:
        self.digest, self.epochs, self.settings, self.left = digest, epochs, settings, trials
        super().__init__(hypermodel=self._build, **options)

    def pre_create_trial(self) -> None:
        if self.left == 0:
            raise EnoughTrials
        time.sleep(PAUSE)

    def on_trial_begin(self, trial: Any) -> None:
        """Only what begins counts: of several workers one may be told to wait for the others, and asks again."""
        super().on_trial_begin(trial)
        if self.left:
            self.left -= 1

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Anything but a fatal error keras-tuner would take for the fault of the values: it would never try them again,
        and go on as if nothing had happened. What the network or the disk does to us ends this process instead.
        """
        try:
            return self._train(trial)
        except Exception as error:
            raise keras_tuner.errors.FatalError(f"{type(error).__name__}: {error}") from error

    def _train(self, trial: Any) -> dict[str, float]:
        chosen, store, settings = declare(trial.hyperparameters), open_lake(), self.settings
        manifest, start = read_manifest(store, self.digest), starting_point(store, settings)
        folder = state_folder(settings, self.digest, chosen, start, epochs=self.epochs)
        history = advance(
            load_pixels(store, manifest, folder=settings.pixel_cache, size=settings.image_size),
            manifest,
            epochs=self.epochs,
            until=trial.hyperparameters.values["tuner/epochs"],
            settings=settings,
            hyperparameters=chosen,
            checkpoints=Checkpoints(folder),
            start=start,
        )
        best = history[best_epoch(history, epochs=self.epochs) - 1]
        return {OBJECTIVE: best[OBJECTIVE], "val_average_precision": best["val_average_precision"]}

    def _build(self, space: keras_tuner.HyperParameters) -> keras.Model:
        """From this keras-tuner learns the space."""
        return build(self.settings, declare(space))


def open_search(digest: str, *, epochs: int, deadline: float, trials: int | None = None) -> Search:
    """The search of these photos, from where it was left."""
    settings, store = Settings(), open_lake()
    folder = search_folder(settings, digest, starting_point(store, settings), epochs=epochs)
    first = values_of(last_best(store, settings))
    objective = keras_tuner.Objective(OBJECTIVE, "min")
    oracle = Oracle(objective, max_epochs=epochs, seed=settings.seed, first=first, deadline=deadline)
    return Search(
        digest, epochs=epochs, settings=settings, trials=trials,
        oracle=oracle, directory=folder.parent, project_name=folder.name,
    )  # fmt: skip


def _end_with(parent: int) -> None:
    """A trial whose task was killed must not go on beside the next try."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m include.model.search", description=__doc__.splitlines()[0])
    parser.add_argument("digest", help="the dataset version")
    parser.add_argument("--epochs", type=int, required=True, help="of the longest trial")
    parser.add_argument("--trials", type=int, help="end after so many")
    parser.add_argument("--deadline", type=float, default=float("inf"), help="begin nothing after this time")
    parser.add_argument("--parent", type=int, help="the process to end with")
    given = parser.parse_args(arguments)
    if given.parent:
        threading.Thread(target=_end_with, args=(given.parent,), daemon=True).start()
    try:
        open_search(given.digest, epochs=given.epochs, deadline=given.deadline, trials=given.trials).search()
    except EnoughTrials:
        return 0
    return NOTHING_LEFT


if __name__ == "__main__":
    sys.exit(main())
