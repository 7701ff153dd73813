"""Fit the network to a dataset version, and leave it in MLflow."""

import hashlib
import inspect
import json
import logging
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import keras
import mlflow
import pandas as pd
import tensorflow as tf

from include.data.dataset import read_manifest
from include.data.split import calibrates
from include.lake.base import ObjectStore
from include.model import backbone, distribution, feeding, network, resuming, starting
from include.model.checkpoints import Checkpoints, History
from include.model.hyperparameters import Hyperparameters, chosen_for
from include.model.pixels import Pixels, load_pixels
from include.model.resuming import KeepEachEpoch, Tell, best_epoch, is_over
from include.model.starting import RANDOM, Start, build, starting_point
from include.model.tracking import attempt, finished_attempt, log_epoch, log_validation
from include.settings import Settings

log = logging.getLogger(__name__)

NETWORK_FILE = "network/network.keras"  # inside the MLflow run
Photos = tuple[Pixels, pd.DataFrame]  # a part of the manifest, and its pixels
HEAD_BATCHES = 200  # the head's first fit needs no more photos than these hold


def train(store: ObjectStore, run: str, digest: str, *, epochs: int) -> str:
    """Task: train on one dataset version; returns the id of the MLflow run that holds the network and its curves.

    A try that comes after a finished one returns what that one left; any other goes on from its last epoch. Raises
    AttemptSuperseded when a later try has taken over.
    """
    if done := finished_attempt(run, digest):
        log.info("MLflow run %s has trained this already", done)
        return done
    settings = Settings()
    hyperparameters = chosen_for(store, run, settings)
    manifest = read_manifest(store, digest)
    pixels = load_pixels(store, manifest, folder=cache_folder(settings), size=settings.image_size)
    start = starting_point(store, settings)
    checkpoints = Checkpoints(state_folder(settings, digest, hyperparameters, start, epochs=epochs))
    begun = checkpoints.latest()
    with attempt(run, digest, resume=begun is not None) as active:
        tell = partial(log_epoch, active.info.run_id)
        for epoch, figures in enumerate(begun.history if begun else ()):
            tell(epoch, figures)  # a killed try may have kept what it did not send
        _autolog()
        mlflow.log_params({f"recipe_{name}": value for name, value in settings.recipe.items()})
        mlflow.log_dict(asdict(hyperparameters), "hyperparameters.json")
        log_validation(store, digest)
        trained = fit(
            pixels,
            manifest,
            epochs=epochs,
            settings=settings,
            hyperparameters=hyperparameters,
            checkpoints=checkpoints,
            start=start,
            tell=tell,
        )
        checkpoints.confirm()
        _log_network(trained)
    checkpoints.clear()
    return str(active.info.run_id)


def fit(
    pixels: Pixels,
    manifest: pd.DataFrame,
    *,
    epochs: int,
    settings: Settings,
    hyperparameters: Hyperparameters,
    checkpoints: Checkpoints | None,
    start: Start = RANDOM,
    tell: Tell | None = None,
) -> keras.Model | None:
    """Train on the train side, from the last checkpoint if there is one; returns the best epoch's network, which looks
    twice.

    The tuning half of val says which epoch is best, and when to stop. Same arguments, same weights, however often the
    training was killed. Of several workers the first one has ``checkpoints``; the others have none and return none.
    """
    history = advance(
        pixels,
        manifest,
        epochs=epochs,
        until=epochs,
        settings=settings,
        hyperparameters=hyperparameters,
        checkpoints=checkpoints,
        start=start,
        tell=tell,
    )
    if not checkpoints:
        return None
    best = build(settings, hyperparameters)
    resuming.restore(best, checkpoints.read(best_epoch(history, epochs=epochs)))
    return network.look_twice(best)


def advance(
    pixels: Pixels,
    manifest: pd.DataFrame,
    *,
    epochs: int,
    until: int,
    settings: Settings,
    hyperparameters: Hyperparameters,
    checkpoints: Checkpoints | None,
    start: Start = RANDOM,
    tell: Tell | None = None,
) -> History:
    """Train the first ``until`` of all ``epochs``, or what of them is left to do; returns the figures of each epoch."""
    keras.utils.set_random_seed(settings.seed)
    learn = (manifest["side"] == "train").to_numpy(bool)
    watch = (manifest["side"] == "val").to_numpy(bool) & ~manifest["sha256"].map(calibrates).to_numpy(bool)
    photos, held_out = (pixels.subset(learn), manifest[learn]), (pixels.subset(watch), manifest[watch])
    steps = -(-int(learn.sum()) // settings.batch_size)
    strategy = distribution.open_strategy()
    model = _compiled(strategy, settings, hyperparameters, steps=steps * epochs)
    history = _begin(model, photos, start, settings, hyperparameters, checkpoints, epochs=epochs)
    watched = feeding.ordered_batches(*held_out)
    keeper = KeepEachEpoch(checkpoints, watched, epochs=epochs, history=history, tell=tell)
    if len(history) < until and not is_over(history, epochs=epochs):
        batches = _shuffled(photos, settings, hyperparameters, first_epoch=len(history))
        # the batches come shuffled; the keeper says where to begin and when to stop
        model.fit(batches, epochs=until, steps_per_epoch=steps, callbacks=[keeper], shuffle=False, verbose=0)
    return keeper.history


def _shuffled(photos: Photos, settings: Settings, chosen: Hyperparameters, *, first_epoch: int) -> tf.data.Dataset:
    size, strength = settings.batch_size, chosen.augmentation
    return feeding.train_batches(
        *photos, batch_size=size, seed=settings.seed, first_epoch=first_epoch, strength=strength
    )


def _begin(
    model: keras.Model,
    photos: Photos,
    start: Start,
    settings: Settings,
    chosen: Hyperparameters,
    checkpoints: Checkpoints | None,
    *,
    epochs: int,
) -> History:
    """Bring the network to where training begins: what the last try left, or else the start; returns what is done."""
    begun = checkpoints.latest() if checkpoints else None
    if begun:
        log.info("going on after epoch %d", len(begun.history))
    elif start.load:
        learned = build(settings, chosen)
        start.load(learned)
        backbone.fit_head(learned, feeding.ordered_batches(*photos).take(HEAD_BATCHES))
        model.set_weights(learned.get_weights())
    begun = distribution.share(model, begun or resuming.take(model, ()), epochs=epochs)
    resuming.restore(model, begun)
    return begun.history


def _autolog() -> None:
    """MLflow keeps optimizer, summary and TensorBoard's logs by itself. The curves are ours (``log_epoch``): a killed
    process leaves some of autologging's points unsent, and a stale one would send them twice.
    """
    mlflow.tensorflow.autolog(
        log_models=False, checkpoint=False, log_datasets=False, log_every_epoch=False, log_every_n_steps=sys.maxsize
    )


def cache_folder(settings: Settings) -> Path:
    return settings.pixel_cache


def state_folder(
    settings: Settings, digest: str, hyperparameters: Hyperparameters, start: Start, *, epochs: int
) -> Path:
    """Where the checkpoints of one training lie: its name follows from all that its result depends on."""
    return settings.home / "checkpoints" / fingerprint(settings, digest, start, epochs, asdict(hyperparameters))


def fingerprint(settings: Settings, digest: str, start: Start, epochs: int, *more: object) -> str:
    """What a killed try left is of no use to other photos or other code; and what the code is, its own text tells."""
    parts = [digest, settings.recipe, start.name, *more, epochs, version("keras"), version("tensorflow")]
    code = [inspect.getsource(module) for module in (network, feeding, backbone, starting, distribution, resuming)]
    return hashlib.sha256(json.dumps([parts, code]).encode()).hexdigest()[:32]


def _compiled(
    strategy: tf.distribute.Strategy, settings: Settings, chosen: Hyperparameters, *, steps: int
) -> keras.Model:
    with strategy.scope():
        model = distribution.shared(build(settings, chosen))
        network.compile_network(
            model,
            learning_rate=chosen.learning_rate,
            steps=steps,
            weight_decay=chosen.weight_decay,
            warm_up=chosen.warm_up,
        )
        model.optimizer.build(model.trainable_variables)
    return model


def _log_network(trained: keras.Model) -> None:
    folder, _, name = NETWORK_FILE.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        trained.save(path)
        mlflow.log_artifact(str(path), folder)
