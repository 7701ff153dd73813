"""The linear head on the backbone's embeddings: fitted in seconds, and joined with the backbone to one network."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers, ops
from numpy.typing import NDArray

from include.backbone import FEATURES
from include.backbone.architecture import assign_weights, build_backbone
from include.backbone.weights import load_weights
from include.dataset.examples import Examples
from include.dataset.splits import fold_of
from include.training.hyperparameters import Hyperparameters
from include.training.losses import HEAD, POOL, partial_label_loss

SCALE = "standardise"
LEAST_SPREAD = 0.01  # a feature that hardly varies in training must not decide about photos where it does
PATIENCE = 10  # epochs without a lower loss on val: the loss falls again as the learning rate does
OnEpoch = Callable[[int, dict[str, float]], None]  # gets each epoch, from 0, and its losses


def fit_head(
    train: Examples,
    val: Examples | None,
    chosen: Hyperparameters,
    *,
    l2_penalty: float,
    epochs: int,
    seed: int,
    on_epoch: OnEpoch | None = None,
) -> keras.Model:
    """Features float32 (batch, 1280) -> logits (batch, classes): standardised, then linear with an L2 penalty.

    Stops early by the loss on val, and returns the weights that had the lowest; without val all epochs count. That loss
    holds the penalty: without it the first epochs, whose weights are large, look better on val and are worse on photos
    from elsewhere. Same arguments, same weights.
    """
    keras.utils.set_random_seed(seed)
    head = _build(train, chosen, l2_penalty=l2_penalty)
    steps = epochs * -(-len(train) // chosen.batch_size)
    head.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(chosen.learning_rate, steps)),
        loss=_smoothed(chosen.label_smoothing),
        weighted_metrics=[partial_label_loss],
        jit_compile=False,
    )
    weighted = replace(train, weights=_weigh(train, chosen.positive_weight))
    batches = _batches(weighted, size=chosen.batch_size, seed=seed)
    log_losses = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
    watched = _batches(val, size=1024) if val else None
    callbacks = [log_losses, stop] if val else [log_losses]
    head.fit(batches, validation_data=watched, epochs=epochs, shuffle=False, callbacks=callbacks, verbose=0)
    return head


def _batches(examples: Examples, *, size: int, seed: int | None = None) -> tf.data.Dataset:
    """Batches of all examples, each epoch in another order that follows from the seed; without one in their order."""
    tensors = [tf.constant(part) for part in (examples.embeddings, examples.allowed, examples.weights)]
    rows = tf.data.Dataset.range(len(examples))
    if seed is not None:
        rows = rows.shuffle(len(examples), seed=seed)
    return rows.batch(size).map(lambda chosen: tuple(tf.gather(part, chosen) for part in tensors)).prefetch(2)


def _weigh(train: Examples, positive_weight: float) -> NDArray[np.float32]:
    """The weights with positive photos reweighted; their sum stays, for it decides how strong the penalty is."""
    weights = np.where(train.positive, positive_weight, 1) * train.weights
    return np.asarray(weights * (train.weights.sum() / weights.sum()), np.float32)


def _build(train: Examples, chosen: Hyperparameters, *, l2_penalty: float) -> keras.Model:
    scale = _standardise(*_mean_and_spread(train.embeddings))
    features = keras.Input((FEATURES,), name="features")
    x = layers.Dropout(chosen.input_dropout, name="dropout")(scale(features))
    x = layers.Dense(train.allowed.shape[1], kernel_regularizer=keras.regularizers.L2(l2_penalty), name=HEAD)(x)
    return keras.Model(features, x, name="head")


def _mean_and_spread(features: NDArray[np.float16]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, without all rows as float64 at once."""
    mean = features.mean(axis=0, dtype=np.float64)
    chunks = np.array_split(features, max(1, len(features) // 4096))
    spread = np.sqrt(sum(((chunk - mean) ** 2).sum(axis=0) for chunk in chunks) / len(features))
    return mean, np.maximum(spread, LEAST_SPREAD)


def _smoothed(amount: float) -> Callable:
    """The partial-label loss, with label smoothing by ``amount`` (Szegedy et al., 2016)."""

    def loss(allowed: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        return (1 - amount) * partial_label_loss(allowed, logits) - amount * ops.mean(ops.log_softmax(logits), axis=-1)

    return loss


def build_served_network(head: keras.Model) -> keras.Model:
    """Backbone and head as one new network: uint8 RGB (batch, 224, 224, 3) -> logits (batch, classes)."""
    backbone = build_backbone()
    assign_weights(backbone, load_weights())
    x = layers.GlobalAveragePooling2D(name=POOL)(backbone.output)
    scale, linear = head.get_layer(SCALE), head.get_layer(HEAD)
    x = _standardise(np.ravel(scale.mean), np.sqrt(np.ravel(scale.variance)))(x)
    network = keras.Model(backbone.input, layers.Dense(linear.units, name=HEAD)(x), name="backbone_and_head")
    network.get_layer(HEAD).set_weights(linear.get_weights())
    return network


def extract_head(network: keras.Model) -> keras.Model:
    """The head alone of a ``build_served_network``: embeddings float32 (batch, 1280) -> logits (batch, classes)."""
    features = keras.Input((FEATURES,), name="features")
    x = network.get_layer(SCALE)(features)
    return keras.Model(features, network.get_layer(HEAD)(x), name="head")


def score_embeddings(head: keras.Model, features: NDArray[np.float16]) -> NDArray[np.float32]:
    """Logits of each photo, float32 (photos, classes)."""
    return np.asarray(head.predict(features, batch_size=4096, verbose=0))


def _standardise(mean: NDArray[np.floating], spread: NDArray[np.floating]) -> layers.Normalization:
    """The layer with this mean and standard deviation, taken from two rows that have them."""
    layer = layers.Normalization(name=SCALE)
    layer.adapt(np.stack([mean - spread, mean + spread]).astype(np.float32))
    return layer


def out_of_fold_logits(
    examples: Examples, folds: NDArray[np.int64], fit: Callable[[Examples], keras.Model]
) -> NDArray[np.float32]:
    """Logits of each photo by a head that was fitted to the other folds: float32 (photos, classes)."""
    logits = np.zeros(examples.allowed.shape, np.float32)
    for number in np.unique(folds):
        head = fit(examples.take(folds != number))
        logits[folds == number] = score_embeddings(head, examples.embeddings[folds == number])
    return logits


def folds_of(photos: pd.DataFrame, sessions: pd.Series) -> NDArray[np.int64]:
    """The fold of each photo of a manifest, 0 to 4, fixed by a hash: of its session where it has one, else of its own.

    ``sessions`` gives the session of each upload by its key: photos that one visitor gave are much alike.
    """
    session_of = sessions.to_dict()
    groups = [session_of.get(key, sha256) for key, sha256 in zip(photos["key"], photos["sha256"], strict=True)]
    return np.array([fold_of(group) for group in groups])
