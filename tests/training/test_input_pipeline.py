"""Shuffled and augmented batches: their randomness is a function of seed, epoch and photo."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from include.dataset.examples import allowed_classes
from include.training.input_pipeline import DRAWS_PER_PHOTO, GREY, augment, ordered_batches, train_batches
from include.training.pixel_cache import Pixels
from include.training.plan import TrainingJob
from tests.models import QUESTION, as_pixels

COUNT, BATCH, SIZE = 10, 4, 24
STEPS = 3  # 4 + 4 + 2 photos


def photos_of(shades: Sequence[int]) -> np.ndarray:
    """A flat grey photo per shade."""
    return np.broadcast_to(np.array(shades, np.uint8)[:, None, None, None], (len(shades), SIZE, SIZE, 3)).copy()


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Ten photos whose weight is their number; every other one is positive."""
    sources = ["cats", "misc"] * (COUNT // 2)
    labels = [QUESTION.label_of(source) for source in sources]
    return pd.DataFrame({"class_name": sources, "label": labels, "weight": np.arange(COUNT, dtype=float)})


def chances(count: int, *, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).random((count, DRAWS_PER_PHOTO), np.float32))


def job(*, batch_size: int = BATCH, seed: int = 7) -> TrainingJob:
    sizes = SIZE, batch_size
    return TrainingJob("test", lambda: None, QUESTION, *sizes, learning_rate=0.01, epochs=3, seed=seed)


def epochs_of(
    pixels: Pixels, manifest: pd.DataFrame, *, seed: int, epochs: int, first_epoch: int = 0
) -> list[list[np.ndarray]]:
    """Per epoch: photos, allowed classes and weights of its batches, joined."""
    endless = train_batches(pixels, manifest, job(seed=seed), first_epoch=first_epoch)
    batches = list(endless.take(STEPS * epochs))
    parts = [batches[start : start + STEPS] for start in range(0, len(batches), STEPS)]
    return [[np.concatenate([batch[place] for batch in part]) for place in range(3)] for part in parts]


def test_every_photo_comes_once_an_epoch_with_its_own_label(manifest: pd.DataFrame) -> None:
    pixels = as_pixels(photos_of([255, 0] * (COUNT // 2)))  # positive photos are white
    for photos, allowed, weights in epochs_of(pixels, manifest, seed=1, epochs=3):
        assert sorted(weights) == list(range(COUNT))
        np.testing.assert_array_equal(allowed, allowed_classes(manifest, QUESTION)[weights.astype(int)])
        white = photos.mean(axis=(1, 2, 3)) > 128
        np.testing.assert_array_equal(white, allowed[:, 0] == 1)


def test_each_epoch_has_an_order_and_an_augmentation_of_its_own(manifest: pd.DataFrame) -> None:
    first, second = epochs_of(as_pixels(noise(COUNT)), manifest, seed=1, epochs=2)
    assert list(first[2]) != list(second[2])
    assert list(first[2]) != list(range(COUNT))
    for number in range(COUNT):
        assert not np.array_equal(first[0][first[2] == number], second[0][second[2] == number])


def test_the_same_seed_gives_the_same_batches(manifest: pd.DataFrame) -> None:
    first, second = (epochs_of(as_pixels(noise(COUNT)), manifest, seed=7, epochs=2) for _ in range(2))
    for left, right in zip(first, second, strict=True):
        for actual, expected in zip(left, right, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_another_seed_gives_another_order_and_another_augmentation(manifest: pd.DataFrame) -> None:
    (first,), (second,) = (epochs_of(as_pixels(noise(COUNT)), manifest, seed=seed, epochs=1) for seed in (7, 8))
    assert list(first[2]) != list(second[2])
    assert not np.array_equal(first[0][np.argsort(first[2])], second[0][np.argsort(second[2])])


def test_a_run_that_begins_later_gets_the_batches_that_another_run_has_there(manifest: pd.DataFrame) -> None:
    whole = epochs_of(as_pixels(noise(COUNT)), manifest, seed=7, epochs=3)
    rest = epochs_of(as_pixels(noise(COUNT)), manifest, seed=7, epochs=2, first_epoch=1)
    for left, right in zip(whole[1:], rest, strict=True):
        for expected, actual in zip(left, right, strict=True):
            np.testing.assert_array_equal(actual, expected)


def test_the_augmentation_of_a_photo_does_not_depend_on_its_batch(manifest: pd.DataFrame) -> None:
    """Augmentation is a function of (seed, epoch, index): other batches, same photos."""
    pixels = as_pixels(noise(COUNT))
    by_four, by_one = (
        list(train_batches(pixels, manifest, job(batch_size=size)).take(steps)) for size, steps in ((4, 3), (1, 10))
    )
    for place in range(3):
        together, alone = (np.concatenate([batch[place] for batch in batches]) for batches in (by_four, by_one))
        np.testing.assert_array_equal(together, alone)


def test_augmentation_keeps_shape_and_type_and_is_a_function_of_its_chances() -> None:
    photos = tf.constant(noise(5))
    first, same, other = (augment(photos, chances(5, seed=seed)) for seed in (1, 1, 2))
    assert first.shape == photos.shape
    assert first.dtype == tf.uint8
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_with_strength_zero_photos_are_unchanged_or_mirrored() -> None:
    photos = noise(20)
    for photo, same in zip(photos, augment(tf.constant(photos), chances(20), strength=0).numpy(), strict=True):
        assert min(np.abs(same.astype(int) - given).max() for given in (photo, photo[:, ::-1])) <= 1  # rounding


def test_outside_the_photo_everything_is_grey() -> None:
    flat = augment(tf.constant(photos_of([GREY] * 50)), chances(50)).numpy()
    assert np.ptp(flat.astype(int), axis=(1, 2)).max() <= 1  # a black edge would stand out


def test_some_photos_are_zoomed_out_and_some_zoomed_in() -> None:
    bright = augment(tf.constant(photos_of([255] * 200)), chances(200)).numpy()
    zoomed_out = (np.ptp(bright.astype(int), axis=(1, 2)).max(axis=1) > 50).mean()
    assert 0.3 < zoomed_out < 0.6


def test_light_changes_within_bounds_and_never_overflows() -> None:
    """Measured in the middle, which every crop contains."""
    middle = np.s_[:, SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1]
    bright = augment(tf.constant(photos_of([255] * 50)), chances(50)).numpy()
    dark = augment(tf.constant(photos_of([0] * 50)), chances(50)).numpy()
    assert bright[middle].min() > 170
    assert dark[middle].max() < 60
    grey = augment(tf.constant(photos_of([128] * 50)), chances(50)).numpy()
    assert grey.mean(axis=(1, 2, 3)).std() > 10


def test_about_half_of_the_photos_are_mirrored() -> None:
    halves = photos_of([0] * 200)
    halves[:, :, SIZE // 2 :] = 255
    turned = augment(tf.constant(halves), chances(200)).numpy().astype(int)
    left, right = turned[:, :, : SIZE // 2], turned[:, :, SIZE // 2 :]
    mirrored = left.mean(axis=(1, 2, 3)) > right.mean(axis=(1, 2, 3))
    assert 70 < mirrored.sum() < 130


def test_ordered_batches_are_the_unchanged_photos(manifest: pd.DataFrame) -> None:
    photos = noise(COUNT)
    batches = ordered_batches(as_pixels(photos), manifest, QUESTION, batch_size=BATCH)
    assert len(batches) == STEPS
    for _ in range(2):
        seen = list(batches)
        np.testing.assert_array_equal(np.concatenate([batch[0] for batch in seen]), photos)
        np.testing.assert_array_equal(np.concatenate([batch[1] for batch in seen]), allowed_classes(manifest, QUESTION))
        np.testing.assert_array_equal(np.concatenate([batch[2] for batch in seen]), manifest["weight"])
