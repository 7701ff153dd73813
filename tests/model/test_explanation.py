"""A network that only looks at red must be explained by what is red."""

import base64
from io import BytesIO

import keras
import numpy as np
import pytest
from PIL import Image

from include.model.evaluation import cat_probability
from include.model.explanation import BATCH, EVALUATIONS, GRID, SIDE, cover, explain, lay_over
from include.model.network import build_network
from tests.models import red_network

SIZE = 64
CELL = SIZE // GRID


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A red square on a noisy grey ground, which this network does not care for."""
    ground = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 1), np.uint8).repeat(3, axis=2)
    ground[16:32, 16:48] = (255, 0, 0)
    return ground


@pytest.fixture(scope="module")
def network() -> keras.Model:
    return red_network(size=SIZE)


@pytest.fixture(scope="module")
def heat(network, photo) -> np.ndarray:
    return explain(network, photo)


def probability(network: keras.Model, *photos: np.ndarray) -> np.ndarray:
    return cat_probability(np.asarray(network(np.stack(photos), training=False)))


def test_what_is_red_speaks_for_a_cat_that_is_red(heat):
    red = np.zeros((GRID, GRID), bool)
    red[2:4, 2:6] = True
    assert heat[red].min() > max(0, heat[~red].max())
    assert (
        heat[red].mean() > 5 * np.abs(heat[~red]).mean()
    )  # around it red is what is missing: the blur carries it there


def test_the_parts_add_up_to_the_whole(network, photo, heat):
    """Owen values share out exactly what the photo gains over its blurred self, in log-odds."""
    hidden = cover(photo, np.zeros((GRID, GRID), bool))
    odds = [np.log(one / (1 - one)) for one in probability(network, photo, hidden)]
    assert heat.sum() == pytest.approx(odds[0] - odds[1], abs=1e-3)


def test_covering_what_it_names_costs_more_than_covering_anything_else(network, photo, heat):
    rng = np.random.default_rng(1)
    named = np.ones(GRID * GRID, bool)
    named[np.argsort(-heat.ravel())[:8]] = False
    others = [rng.permutation(named) for _ in range(20)]
    covered = (cover(photo, shown.reshape(GRID, GRID)) for shown in (named, *others))
    whole, without, *at_random = probability(network, photo, *covered)
    assert whole - without > 0.1
    assert whole - without > 2 * (whole - min(at_random))


def test_the_map_depends_on_the_weights(photo, heat):
    """The sanity check of Adebayo et al. (NeurIPS 2018): many saliency maps look the same for random weights."""
    keras.utils.set_random_seed(3)
    random = explain(build_network(image_size=SIZE, filters=(8, 8, 8, 8)), photo)
    assert np.abs(random).max() > 0
    assert abs(np.corrcoef(random.ravel(), heat.ravel())[0, 1]) < 0.8


def test_the_network_sees_batches_of_one_shape_within_the_budget(network, photo):
    shapes = []

    def spy(photos):
        shapes.append(photos.shape)
        return network(photos)

    explain(spy, photo)
    assert set(shapes) == {(BATCH, SIZE, SIZE, 3)}
    assert len(shapes) <= EVALUATIONS / BATCH + 6  # the first looks at the tree come in small batches


def test_the_same_photo_has_the_same_map(network, photo, heat):
    np.testing.assert_allclose(explain(network, photo), heat, atol=1e-6)


def test_a_covered_region_is_blurred_and_the_others_stay(photo):
    shown = np.ones((GRID, GRID), bool)
    shown[2, 3] = False
    covered = cover(photo, shown)
    changed = (covered != photo).any(axis=2)
    assert changed[2 * CELL : 3 * CELL, 3 * CELL : 4 * CELL].mean() > 0.8
    assert not changed[:, : 3 * CELL].any()


@pytest.mark.parametrize(("size", "expected"), [((1000, 500), (SIDE, SIDE // 2)), ((40, 80), (40, 80))])
def test_the_picture_keeps_the_photos_proportions(size, expected):
    heat = np.zeros((GRID, GRID))
    heat[0, 0], heat[-1, -1] = 2.0, -2.0
    body = base64.b64decode(lay_over(Image.new("RGB", size, "white"), heat))
    with Image.open(BytesIO(body)) as picture:
        assert (picture.format, picture.size) == ("PNG", expected)
        red, blue = picture.getpixel((1, 1)), picture.getpixel((expected[0] - 2, expected[1] - 2))
        middle = picture.getpixel((expected[0] // 2, expected[1] // 2))
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert min(middle) > 245


def test_a_photo_that_says_nothing_stays_grey(network):
    flat = Image.new("RGB", (64, 64), (200, 100, 50))
    heat = explain(network, np.asarray(flat))
    assert np.abs(heat).max() < 1e-6
