"""Fit a network to photos: from its first weights, or from the last checkpoint, to the best epoch."""

import logging

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from include.question import Question
from include.training import callbacks, distribution, input_pipeline, scratch_network
from include.training.callbacks import CheckpointCallback, OnEpoch, best_epoch, should_stop_early
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
    on_epoch: OnEpoch | None = None,
) -> keras.Model | None:
    """Train on the train split, from the last checkpoint if there is one; returns the best epoch's network.

    Val decides which epoch is best, and when to stop. The same arguments give the same weights, however often the
    training was killed. Of several workers the first one has ``checkpoints``; the others have none and return none.
    """
    train, val = ((manifest["split"] == split).to_numpy(bool) for split in ("train", "val"))
    steps = -(-int(train.sum()) // job.batch_size)
    model = _compiled(distribution.open_strategy(), job, steps=steps)
    history = _resume(model, checkpoints, epochs=job.epochs)
    validation = input_pipeline.ordered_batches(pixels.subset(val), manifest[val], job.question)
    callback = CheckpointCallback(
        checkpoints, validation, epochs=job.epochs, history=history, cure=job.cure, on_epoch=on_epoch
    )
    if not should_stop_early(history, epochs=job.epochs):
        batches = input_pipeline.train_batches(pixels.subset(train), manifest[train], job, first_epoch=len(history))
        # the batches come shuffled; the callback decides where to begin and when to stop
        model.fit(batches, epochs=job.epochs, steps_per_epoch=steps, callbacks=[callback], shuffle=False, verbose=0)
    if not checkpoints:
        return None
    best = job.build()
    callbacks.restore(best, checkpoints.read(best_epoch(callback.history, epochs=job.epochs)))
    return best


def score(network: keras.Model, pixels: Pixels, manifest: pd.DataFrame, question: Question) -> NDArray[np.float32]:
    """Logits of every photo of the manifest, in its order; float32, shape (photos, classes)."""
    return np.asarray(network.predict(input_pipeline.ordered_batches(pixels, manifest, question), verbose=0))


def _resume(model: keras.Model, checkpoints: Checkpoints | None, *, epochs: int) -> History:
    """Restore the last checkpoint, if there is one; returns the epochs that are done."""
    latest = checkpoints.latest() if checkpoints else None
    if latest:
        log.info("resuming after epoch %d", len(latest.history))
    begin = distribution.broadcast_checkpoint(model, latest or callbacks.take_checkpoint(model, ()), epochs=epochs)
    callbacks.restore(model, begin)
    return begin.history


def _compiled(strategy: tf.distribute.Strategy, job: TrainingJob, *, steps: int) -> keras.Model:
    positive = job.question.positive_classes
    rates = {"learning_rate": job.learning_rate, "weight_decay": job.weight_decay, "warm_up": job.warm_up}
    with strategy.scope():
        model = distribution.wrap_for_workers(job.build())
        scratch_network.compile_network(model, steps=steps * job.epochs, positive=positive, **rates)
        model.optimizer.build(model.trainable_variables)
    return model
