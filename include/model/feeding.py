"""Pixels -> tf.data: shuffled and augmented batches whose randomness is a function of (seed, epoch, batch)."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from include.model.distribution import split_batches
from include.model.pixels import Pixels
from include.records import CAT, KINDS, SOURCES, UNKNOWN_KIND

NEAR, FAR = 0.6, 1.3  # sides of a random crop, as shares of the photo's: above 1 it is seen from afar, on GREY
GREY = 127
LIGHT = 0.25  # how far brightness and contrast may go, as a share
CHANCES = 10  # random numbers that the augmentation of one photo takes


def allowed_kinds(manifest: pd.DataFrame) -> NDArray[np.float32]:
    """Which kinds each photo may be, by its label: float32 (photos, kinds), see ``network.kind_loss``."""
    allowed = np.zeros((len(manifest), KINDS), np.float32)
    for place, kind in enumerate(SOURCES):
        allowed[(manifest["kind"] == kind).to_numpy(bool), place] = 1
    unknown = (manifest["kind"] == UNKNOWN_KIND).to_numpy(bool)
    cat = (manifest["label"] == "cat").to_numpy(bool)
    allowed[unknown & cat, CAT] = 1
    allowed[np.ix_(unknown & ~cat, [kind for kind in range(KINDS) if kind != CAT])] = 1
    return allowed


def train_batches(
    pixels: Pixels,
    manifest: pd.DataFrame,
    *,
    batch_size: int,
    seed: int,
    first_epoch: int = 0,
    strength: float = 1.0,
    size: int | None = None,
    far: float = FAR,
) -> tf.data.Dataset:
    """Endless batches of (photos uint8, allowed kinds, weights), each epoch in an order of its own.

    Order and augmentation are functions of (seed, epoch, index of the photo): who begins at a later epoch gets the
    batches that another run has there. ``strength``, ``size`` and ``far`` are those of ``augment``.
    """
    allowed, weights = allowed_kinds(manifest), manifest["weight"].to_numpy(np.float32)

    def draw() -> Iterator[tuple]:
        for epoch in count(first_epoch):
            order = np.random.default_rng((seed, epoch, 0)).permutation(len(pixels))
            chances = np.random.default_rng((seed, epoch, 1)).random((len(pixels), CHANCES), np.float32)
            for rows in _slices(order, batch_size):
                yield pixels.take(rows), allowed[rows], weights[rows], chances[rows]

    def change(photos: tf.Tensor, kinds: tf.Tensor, weight: tf.Tensor, chances: tf.Tensor) -> tuple:
        return augment(photos, chances, size=size, strength=strength, far=far), kinds, weight

    signature = (*_signature(pixels), tf.TensorSpec((None, CHANCES), tf.float32))
    batches = tf.data.Dataset.from_generator(draw, output_signature=signature)
    return split_batches(batches.map(change, num_parallel_calls=2).prefetch(2))


def ordered_batches(
    pixels: Pixels, manifest: pd.DataFrame, *, batch_size: int = 128, size: int | None = None
) -> tf.data.Dataset:
    """The photos once, in the order of the manifest, as they are but for their ``size``, by default that of the pixels.

    Batches of (photos uint8, allowed kinds, weights).
    """
    allowed, weights = allowed_kinds(manifest), manifest["weight"].to_numpy(np.float32)

    def draw() -> Iterator[tuple]:
        for rows in _slices(np.arange(len(pixels)), batch_size):
            yield pixels.take(rows), allowed[rows], weights[rows]

    batches = tf.data.Dataset.from_generator(draw, output_signature=_signature(pixels))
    batches = batches.apply(tf.data.experimental.assert_cardinality(-(-len(pixels) // batch_size)))
    if size and size != pixels.size:
        batches = batches.map(lambda photos, *more: (_shrink(photos, size), *more))
    return split_batches(batches.prefetch(2))


def augment(
    photos: tf.Tensor, chances: tf.Tensor, *, size: int | None = None, strength: float = 1.0, far: float = FAR
) -> tf.Tensor:
    """Mirrored, cropped and differently lit photos: uint8 in, uint8 (photos, size, size, 3) out.

    ``size`` is by default that of the photos; ``strength`` is how far all of it goes, ``far`` the largest crop's side.

    What happens to a photo is a function of its own row of ``chances``, uniform in [0, 1), shape (photos, CHANCES).
    One ``crop_and_resize`` for the whole batch does what Keras' augmentation layers do, at a fifth of their cost.
    """
    size = size or photos.shape[1]
    boxes = _boxes(tf.unstack(chances[:, :5], axis=1), strength, far)
    number = tf.range(tf.shape(photos)[0])
    cropped = tf.image.crop_and_resize(
        tf.cast(photos, tf.float32), boxes, number, (size, size), extrapolation_value=GREY
    )
    return tf.cast(tf.clip_by_value(_relight(cropped, chances[:, 5:], LIGHT * strength), 0, 255), tf.uint8)


def _boxes(chance: list[tf.Tensor], strength: float, far: float) -> tf.Tensor:
    """Corners of the crops as shares of the photo; where left and right are swapped, the crop is mirrored."""
    near, far = 1 - (1 - NEAR) * strength, 1 + (far - 1) * strength
    height = near + (far - near) * chance[0]
    width = tf.clip_by_value(height * (1 + 0.3 * strength * (chance[1] - 0.5)), near, far)
    top, left = chance[2] * (1 - height), chance[3] * (1 - width)
    boxes = tf.stack([top, left, top + height, left + width], axis=1)
    return tf.where((chance[4] < 0.5)[:, None], boxes, tf.gather(boxes, [0, 3, 2, 1], axis=1))


def _relight(photos: tf.Tensor, chances: tf.Tensor, light: float) -> tf.Tensor:
    """``chances``, shape (photos, 5), give contrast, tint of each channel, and brightness."""
    around = (2 * chances - 1)[:, None, None, :]  # from -1 to 1
    mean = tf.reduce_mean(photos, axis=(1, 2, 3), keepdims=True)
    contrast, tint, shift = 1 + light * around[..., :1], 1 + light / 3 * around[..., 1:4], 128 * light * around[..., 4:]
    return ((photos - mean) * contrast + mean) * tint + shift


def _shrink(photos: tf.Tensor, size: int) -> tf.Tensor:
    return tf.cast(tf.round(tf.image.resize(photos, (size, size), antialias=True)), tf.uint8)


def _slices(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _signature(pixels: Pixels) -> tuple:
    return (
        tf.TensorSpec((None, pixels.size, pixels.size, 3), tf.uint8),
        tf.TensorSpec((None, KINDS), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    )
