import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from include.dataset.examples import allowed_classes
from include.training.input_pipeline import DRAWS_PER_PHOTO, GREY, augment, ordered_batches, train_batches
from include.training.pixel_cache import Pixels
from include.training.plan import TrainingJob
from tests.models import as_pixels

COUNT, BATCH, SIZE = 10, 4, 24
STEPS = 3  # 4 + 4 + 2 photos


def photos_of(shades) -> np.ndarray:
    """A flat grey photo per shade."""
    return np.broadcast_to(np.array(shades, np.uint8)[:, None, None, None], (len(shades), SIZE, SIZE, 3)).copy()


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def manifest() -> pd.DataFrame:
    """Ten photos whose weight is their number; every other one is a cat."""
    kind = ["cats", "misc"] * (COUNT // 2)
    label = ["cat", "not_cat"] * (COUNT // 2)
    return pd.DataFrame({"class_name": kind, "label": label, "weight": np.arange(COUNT, dtype=float)})


def chances(count: int, *, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).random((count, DRAWS_PER_PHOTO), np.float32))


def job(*, batch_size: int = BATCH, seed: int = 7) -> TrainingJob:
    return TrainingJob("test", lambda: None, SIZE, batch_size, learning_rate=0.01, epochs=3, seed=seed)


def epochs_of(
    pixels: Pixels, manifest: pd.DataFrame, *, seed: int, epochs: int, first_epoch: int = 0
) -> list[list[np.ndarray]]:
    """Per epoch: photos, allowed kinds and weights of its batches, joined."""
    endless = train_batches(pixels, manifest, job(seed=seed), first_epoch=first_epoch)
    batches = list(endless.take(STEPS * epochs))
    parts = [batches[start : start + STEPS] for start in range(0, len(batches), STEPS)]
    return [[np.concatenate([batch[place] for batch in part]) for place in range(3)] for part in parts]


def test_every_photo_comes_once_an_epoch_with_its_own_label(manifest):
    pixels = as_pixels(photos_of([255, 0] * (COUNT // 2)))  # cats are white
    for photos, kinds, weights in epochs_of(pixels, manifest, seed=1, epochs=3):
        assert sorted(weights) == list(range(COUNT))
        np.testing.assert_array_equal(kinds, allowed_classes(manifest)[weights.astype(int)])
        white = photos.mean(axis=(1, 2, 3)) > 128
        np.testing.assert_array_equal(white, kinds[:, 0] == 1)


def test_each_epoch_has_an_order_and_an_augmentation_of_its_own(manifest):
    first, second = epochs_of(as_pixels(noise(COUNT)), manifest, seed=1, epochs=2)
    assert list(first[2]) != list(second[2])
    assert list(first[2]) != list(range(COUNT))
    for number in range(COUNT):
        assert not np.array_equal(first[0][first[2] == number], second[0][second[2] == number])


def test_the_same_seed_gives_the_same_batches_to_the_last_bit(manifest):
    one, two = (epochs_of(as_pixels(noise(COUNT)), manifest, seed=7, epochs=2) for _ in range(2))
    for left, right in zip(one, two, strict=True):
        for mine, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_another_seed_gives_another_order_and_another_augmentation(manifest):
    (one,), (two,) = (epochs_of(as_pixels(noise(COUNT)), manifest, seed=seed, epochs=1) for seed in (7, 8))
    assert list(one[2]) != list(two[2])
    assert not np.array_equal(one[0][np.argsort(one[2])], two[0][np.argsort(two[2])])


def test_who_begins_later_gets_the_batches_that_others_have_there(manifest):
    whole = epochs_of(as_pixels(noise(COUNT)), manifest, seed=7, epochs=3)
    rest = epochs_of(as_pixels(noise(COUNT)), manifest, seed=7, epochs=2, first_epoch=1)
    for left, right in zip(whole[1:], rest, strict=True):
        for mine, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(mine, other)


def test_what_happens_to_a_photo_does_not_depend_on_its_company(manifest):
    """Augmentation is a function of (seed, epoch, index): other batches, same photos."""
    pixels = as_pixels(noise(COUNT))
    by_four, by_one = (
        list(train_batches(pixels, manifest, job(batch_size=size)).take(steps)) for size, steps in ((4, 3), (1, 10))
    )
    for place in range(3):
        together, alone = (np.concatenate([batch[place] for batch in batches]) for batches in (by_four, by_one))
        np.testing.assert_array_equal(together, alone)


def test_augmenting_keeps_shape_and_type_and_is_a_function_of_its_chances():
    photos = tf.constant(noise(5))
    once, again, other = (augment(photos, chances(5, seed=seed)) for seed in (1, 1, 2))
    assert once.shape == photos.shape
    assert once.dtype == tf.uint8
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_without_strength_photos_stay_as_they_are_or_are_mirrored():
    photos = noise(20)
    for photo, same in zip(photos, augment(tf.constant(photos), chances(20), strength=0).numpy(), strict=True):
        assert min(np.abs(same.astype(int) - given).max() for given in (photo, photo[:, ::-1])) <= 1  # rounding


def test_beyond_the_photo_there_is_grey():
    flat = augment(tf.constant(photos_of([GREY] * 50)), chances(50)).numpy()
    assert np.ptp(flat.astype(int), axis=(1, 2)).max() <= 1  # a black edge would stand out


def test_some_photos_are_seen_from_afar_and_some_from_near():
    bright = augment(tf.constant(photos_of([255] * 200)), chances(200)).numpy()
    afar = (np.ptp(bright.astype(int), axis=(1, 2)).max(axis=1) > 50).mean()
    assert 0.3 < afar < 0.6


def test_light_changes_within_bounds_and_never_wraps_around():
    """In the middle, which every crop holds."""
    middle = np.s_[:, SIZE // 2 - 1 : SIZE // 2 + 1, SIZE // 2 - 1 : SIZE // 2 + 1]
    bright = augment(tf.constant(photos_of([255] * 50)), chances(50)).numpy()
    dark = augment(tf.constant(photos_of([0] * 50)), chances(50)).numpy()
    assert bright[middle].min() > 170
    assert dark[middle].max() < 60
    grey = augment(tf.constant(photos_of([128] * 50)), chances(50)).numpy()
    assert grey.mean(axis=(1, 2, 3)).std() > 10


def test_about_half_of_the_photos_are_mirrored():
    halves = photos_of([0] * 200)
    halves[:, :, SIZE // 2 :] = 255
    turned = augment(tf.constant(halves), chances(200)).numpy().astype(int)
    left, right = turned[:, :, : SIZE // 2], turned[:, :, SIZE // 2 :]
    mirrored = left.mean(axis=(1, 2, 3)) > right.mean(axis=(1, 2, 3))
    assert 70 < mirrored.sum() < 130


def test_ordered_batches_are_the_photos_as_they_are(manifest):
    photos = noise(COUNT)
    batches = ordered_batches(as_pixels(photos), manifest, batch_size=BATCH)
    assert len(batches) == STEPS
    for _ in range(2):
        given = list(batches)
        np.testing.assert_array_equal(np.concatenate([batch[0] for batch in given]), photos)
        np.testing.assert_array_equal(np.concatenate([batch[1] for batch in given]), allowed_classes(manifest))
        np.testing.assert_array_equal(np.concatenate([batch[2] for batch in given]), manifest["weight"])
