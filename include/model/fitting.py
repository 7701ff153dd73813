"""Fit the network to photos: from where training begins, or where it was left, to the best epoch."""

import logging

import keras
import pandas as pd
import tensorflow as tf

from include.data.split import calibrates
from include.model import backbone, distribution, feeding, network, resuming
from include.model.checkpoints import Checkpoints, History
from include.model.hyperparameters import Hyperparameters
from include.model.pixels import Pixels
from include.model.resuming import KeepEachEpoch, Tell, best_epoch, is_over
from include.model.starting import RANDOM, Start, build
from include.settings import Settings

log = logging.getLogger(__name__)

Photos = tuple[Pixels, pd.DataFrame]  # a part of the manifest, and its pixels
HEAD_BATCHES = 200  # the head's first fit needs no more photos than these hold


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
    twice, and at photos of ``settings.image_size``. Training shrinks them to ``settings.train_size``.

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
    watched = feeding.ordered_batches(*held_out, size=settings.train_size)
    keeper = KeepEachEpoch(checkpoints, watched, epochs=epochs, history=history, tell=tell)
    if len(history) < until and not is_over(history, epochs=epochs):
        batches = _shuffled(photos, settings, hyperparameters, first_epoch=len(history))
        # the batches come shuffled; the keeper says where to begin and when to stop
        model.fit(batches, epochs=until, steps_per_epoch=steps, callbacks=[keeper], shuffle=False, verbose=0)
    return keeper.history


def _shuffled(photos: Photos, settings: Settings, chosen: Hyperparameters, *, first_epoch: int) -> tf.data.Dataset:
    return feeding.train_batches(
        *photos,
        batch_size=settings.batch_size,
        seed=settings.seed,
        first_epoch=first_epoch,
        size=settings.train_size,
        strength=chosen.augmentation,
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
        learned = build(settings, chosen, size=settings.train_size)
        start.load(learned)
        known = feeding.ordered_batches(*photos, size=settings.train_size).take(HEAD_BATCHES)
        backbone.fit_head(learned, known)
        model.set_weights(learned.get_weights())
    begun = distribution.share(model, begun or resuming.take(model, ()), epochs=epochs)
    resuming.restore(model, begun)
    return begun.history


def _compiled(
    strategy: tf.distribute.Strategy, settings: Settings, chosen: Hyperparameters, *, steps: int
) -> keras.Model:
    with strategy.scope():
        model = distribution.shared(build(settings, chosen, size=settings.train_size))
        network.compile_network(
            model,
            learning_rate=chosen.learning_rate,
            steps=steps,
            weight_decay=chosen.weight_decay,
            warm_up=chosen.warm_up,
        )
        model.optimizer.build(model.trainable_variables)
    return model
