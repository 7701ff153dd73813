"""Pixels -> tf.data: shuffled and augmented batches whose randomness is a function of (seed, epoch, batch)."""

from collections.abc import Iterator
from itertools import count

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from include.dataset.examples import allowed_classes
from include.question import Question
from include.training.distribution import split_batches
from include.training.pixel_cache import Pixels
from include.training.plan import TrainingJob

NEAR, FAR = 0.6, 1.3  # sides of a random crop, as shares of the photo's: above 1 it is seen from afar, on GREY
GREY = 127
LIGHT = 0.25  # how far brightness and contrast may go, as a share
DRAWS_PER_PHOTO = 10  # random numbers that the augmentation of one photo takes


def train_batches(pixels: Pixels, manifest: pd.DataFrame, job: TrainingJob, *, first_epoch: int = 0) -> tf.data.Dataset:
    """Endless batches of (photos uint8, allowed classes, weights), each epoch in an order of its own.

    Order and augmentation are functions of (seed, epoch, index of the photo): who begins at a later epoch gets the
    batches that another run has there. The job says how large a batch is, and how far photos are changed.
    """
    allowed, weights = allowed_classes(manifest, job.question), manifest["weight"].to_numpy(np.float32)

    def draw() -> Iterator[tuple]:
        for epoch in count(first_epoch):
            order = np.random.default_rng((job.seed, epoch, 0)).permutation(len(pixels))
            chances = np.random.default_rng((job.seed, epoch, 1)).random((len(pixels), DRAWS_PER_PHOTO), np.float32)
            for rows in _slices(order, job.batch_size):
                yield pixels.take(rows), allowed[rows], weights[rows], chances[rows]

    def change(photos: tf.Tensor, allowed: tf.Tensor, weight: tf.Tensor, chances: tf.Tensor) -> tuple:
        return augment(photos, chances, strength=job.augmentation), allowed, weight

    signature = (*_signature(pixels, allowed), tf.TensorSpec((None, DRAWS_PER_PHOTO), tf.float32))
    batches = tf.data.Dataset.from_generator(draw, output_signature=signature)
    return split_batches(batches.map(change, num_parallel_calls=2).prefetch(2))


def ordered_batches(
    pixels: Pixels, manifest: pd.DataFrame, question: Question, *, batch_size: int = 128
) -> tf.data.Dataset:
    """The unchanged photos once, in the order of the manifest: batches of (photos uint8, allowed classes, weights)."""
    allowed, weights = allowed_classes(manifest, question), manifest["weight"].to_numpy(np.float32)

    def draw() -> Iterator[tuple]:
        for rows in _slices(np.arange(len(pixels)), batch_size):
            yield pixels.take(rows), allowed[rows], weights[rows]

    batches = tf.data.Dataset.from_generator(draw, output_signature=_signature(pixels, allowed))
    batches = batches.apply(tf.data.experimental.assert_cardinality(-(-len(pixels) // batch_size)))
    return split_batches(batches.prefetch(2))


def augment(photos: tf.Tensor, chances: tf.Tensor, *, strength: float = 1.0) -> tf.Tensor:
    """Mirrored, cropped and differently lit photos: uint8 (photos, size, size, 3) in and out.

    ``strength`` is how far all of it goes. What happens to a photo is a function of its own row of ``chances``, uniform
    in [0, 1), shape (photos, DRAWS_PER_PHOTO). One ``crop_and_resize`` for the batch does what Keras' augmentation
    layers do, at a fifth of their cost.
    """
    size = photos.shape[1]
    boxes = _boxes(tf.unstack(chances[:, :5], axis=1), strength)
    number = tf.range(tf.shape(photos)[0])
    cropped = tf.image.crop_and_resize(
        tf.cast(photos, tf.float32), boxes, number, (size, size), extrapolation_value=GREY
    )
    return tf.cast(tf.clip_by_value(_relight(cropped, chances[:, 5:], LIGHT * strength), 0, 255), tf.uint8)


def _boxes(chance: list[tf.Tensor], strength: float) -> tf.Tensor:
    """Corners of the crops as shares of the photo; where left and right are swapped, the crop is mirrored."""
    near, far = 1 - (1 - NEAR) * strength, 1 + (FAR - 1) * strength
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


def _slices(order: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _signature(pixels: Pixels, allowed: NDArray[np.float32]) -> tuple:
    return (
        tf.TensorSpec((None, pixels.size, pixels.size, 3), tf.uint8),
        tf.TensorSpec((None, allowed.shape[1]), tf.float32),
        tf.TensorSpec((None,), tf.float32),
    )
