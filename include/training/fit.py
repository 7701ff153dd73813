"""Fit a network to photos: from where training begins, or where it was left, to the best epoch."""

import logging

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from include.training import callbacks, distribution, input_pipeline, scratch_network
from include.training.callbacks import CheckpointCallback, OnEpoch, best_epoch, is_over
from include.training.checkpoints import Checkpoints, History
from include.training.pixel_cache import Pixels
from include.training.plan import TrainingJob

log = logging.getLogger(__name__)


def fit(
    pixels: Pixels,
    manifest: pd.DataFrame,
    job: TrainingJob,
    *,
    checkpoints: Checkpoints | None,
    tell: OnEpoch | None = None,
) -> keras.Model | None:
    """Train on the train split, from the last checkpoint if there is one; returns the best epoch's network.

    Val says which epoch is best, and when to stop. Same arguments, same weights, however often the training was
    killed. Of several workers the first one has ``checkpoints``; the others have none and return none.
    """
    learn, watch = ((manifest["split"] == side).to_numpy(bool) for side in ("train", "val"))
    steps = -(-int(learn.sum()) // job.batch_size)
    model = _compiled(distribution.open_strategy(), job, steps=steps)
    history = _begin(model, checkpoints, epochs=job.epochs)
    watched = input_pipeline.ordered_batches(pixels.subset(watch), manifest[watch])
    keeper = CheckpointCallback(checkpoints, watched, epochs=job.epochs, history=history, tell=tell)
    if not is_over(history, epochs=job.epochs):
        batches = input_pipeline.train_batches(pixels.subset(learn), manifest[learn], job, first_epoch=len(history))
        # the batches come shuffled; the keeper says where to begin and when to stop
        model.fit(batches, epochs=job.epochs, steps_per_epoch=steps, callbacks=[keeper], shuffle=False, verbose=0)
    if not checkpoints:
        return None
    best = job.build()
    callbacks.restore(best, checkpoints.read(best_epoch(keeper.history, epochs=job.epochs)))
    return best


def score(network: keras.Model, pixels: Pixels, manifest: pd.DataFrame) -> NDArray[np.float32]:
    """Logits of every photo of the manifest, in its order; float32, shape (photos, kinds)."""
    return np.asarray(network.predict(input_pipeline.ordered_batches(pixels, manifest), verbose=0))


def _begin(model: keras.Model, checkpoints: Checkpoints | None, *, epochs: int) -> History:
    """Bring the network to what the last try left, if there is any; returns the epochs that are done."""
    begun = checkpoints.latest() if checkpoints else None
    if begun:
        log.info("going on after epoch %d", len(begun.history))
    begun = distribution.share(model, begun or callbacks.snapshot(model, ()), epochs=epochs)
    callbacks.restore(model, begun)
    return begun.history


def _compiled(strategy: tf.distribute.Strategy, job: TrainingJob, *, steps: int) -> keras.Model:
    with strategy.scope():
        model = distribution.shared(job.build())
        rates = {"learning_rate": job.learning_rate, "weight_decay": job.weight_decay, "warm_up": job.warm_up}
        scratch_network.compile_network(model, steps=steps * job.epochs, **rates)
        model.optimizer.build(model.trainable_variables)
    return model
