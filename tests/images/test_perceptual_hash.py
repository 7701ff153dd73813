import numpy as np
import pytest
from PIL import Image

from include.images.perceptual_hash import CENTRE_CROPS, ORIENTATIONS, perceptual_hashes, turn
from tests.pictures import drawn_image

ORIENTED = {
    "as it is": lambda image: image,
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "upside down": lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    "half a turn": lambda image: image.transpose(Image.Transpose.ROTATE_180),
    "left": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "right": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "transposed": lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    "transverse": lambda image: image.transpose(Image.Transpose.TRANSVERSE),
}


def distance(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.unpackbits(one ^ other).sum())


def grey(number: int = 1) -> Image.Image:
    return drawn_image("cats", number).convert("L")


def test_one_hash_per_crop_and_orientation_each_with_half_of_its_bits() -> None:
    hashes = perceptual_hashes(grey())
    assert hashes.codes.shape == (len(CENTRE_CROPS), ORIENTATIONS, 8)
    assert hashes.upright.shape == (len(CENTRE_CROPS), ORIENTATIONS)
    assert (np.unpackbits(hashes.codes, axis=2).sum(axis=2) == 32).all()


@pytest.mark.parametrize("way", ORIENTED)
def test_a_turned_photo_has_the_hash_of_one_of_the_eight_orientations(way: str) -> None:
    turned = perceptual_hashes(ORIENTED[way](grey())).codes[0, 0]
    assert min(distance(turned, code) for code in perceptual_hashes(grey()).codes[0]) <= 2


@pytest.mark.parametrize("way", ORIENTED)
def test_near_duplicates_agree_on_which_orientation_is_upright(way: str) -> None:
    first, copy = perceptual_hashes(grey()), perceptual_hashes(ORIENTED[way](grey()))
    asking = first.codes[0, first.upright[0].argmax()]
    assert min(distance(asking, code) for code in copy.codes[0, copy.upright[0]]) <= 2


def test_turn_gives_the_pixels_whose_hash_it_names() -> None:
    codes = perceptual_hashes(grey()).codes[0]
    square = np.asarray(grey().resize((32, 32), Image.Resampling.LANCZOS))
    for number in range(ORIENTATIONS):
        picture = Image.fromarray(turn(square[None], np.array([number]))[0])
        assert distance(perceptual_hashes(picture).codes[0, 0], codes[number]) <= 2


def test_the_hash_of_a_crop_is_that_of_the_cropped_photo() -> None:
    photo = drawn_image("dogs", 3).convert("L").resize((250, 250))
    edge = round(250 * (1 - CENTRE_CROPS[1]) / 2)
    crop = photo.crop((edge, edge, 250 - edge, 250 - edge))
    assert distance(perceptual_hashes(crop).codes[0, 0], perceptual_hashes(photo).codes[1, 0]) <= 2


def test_different_pictures_are_far_apart() -> None:
    near = [distance(perceptual_hashes(grey(1)).codes[0, 0], code) for code in perceptual_hashes(grey(2)).codes[0]]
    assert min(near) > 10
