"""A network that only looks at red must be explained by what is red."""

import base64
from io import BytesIO

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from scipy.special import logsumexp

from include.backbone import FEATURES, SIZE
from include.backbone.features import freeze
from include.errors import ModelError
from include.records import CAT, CLASSES
from include.registry.explanation import SIDE, class_shares, explain_by, lay_over, linear_part, log_odds_shares, smooth
from include.training.head import build_served_network
from include.training.losses import HEAD, POOL
from include.training.scratch_network import build_network

PLACES, CELL = 8, 8  # of the feature map along each side; pixels of a place


def mean_colours(*, mean: float = 0.3, between: layers.Layer | None = None) -> keras.Model:
    """The feature map is the mean colour of each place, then come a head's layers; P(cat) rises with red."""
    photo = keras.Input((PLACES * CELL, PLACES * CELL, 3), dtype="uint8")
    x = layers.AveragePooling2D(CELL)(layers.Rescaling(1 / 255)(photo))
    x = layers.GlobalAveragePooling2D(name=POOL)(x)
    x = layers.Normalization(mean=[mean] * 3, variance=[0.04] * 3, name="standardise")(x)
    x = (between or layers.Dropout(0.5))(x)
    network = keras.Model(photo, layers.Dense(CLASSES, name=HEAD)(x))
    kernel = np.tile([[0, 0.5, -0.5, 1]], (3, 1))
    kernel[:, CAT] = (4, -2, -2)
    network.layers[-1].set_weights([kernel, np.array([0.5, 0, 0.2, -0.4])])
    return network


def default_network() -> keras.Model:
    """The backbone under a head of random weights."""
    rng = np.random.default_rng(2)
    features = keras.Input((FEATURES,))
    x = layers.Normalization(mean=rng.random(FEATURES), variance=0.1 + rng.random(FEATURES), name="standardise")(
        features
    )
    head = keras.Model(features, layers.Dense(CLASSES, name=HEAD)(layers.Dropout(0.1)(x)))
    head.layers[-1].set_weights([rng.normal(0, 0.05, (FEATURES, CLASSES)), rng.normal(size=CLASSES)])
    return build_served_network(head)


def noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def log_odds(logits: np.ndarray) -> float:
    return float(logits[CAT] - logsumexp(np.delete(logits, CAT)))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A red square on a noisy grey ground, which the network does not care for."""
    ground = noise(PLACES * CELL)[..., :1].repeat(3, axis=2)
    ground[16:32, 16:48] = (255, 0, 0)
    return ground


@pytest.fixture(scope="module")
def heat(photo) -> np.ndarray:
    return explain_by(mean_colours())(photo)


def test_what_is_red_speaks_for_a_cat_that_is_red(heat):
    red = np.zeros((PLACES, PLACES), bool)
    red[2:4, 2:6] = True
    assert heat.shape == (PLACES, PLACES)
    assert heat[red].min() > max(0, heat[~red].max())
    assert heat[:, 7].max() < heat[red].min() / 5


@pytest.mark.parametrize(
    "network",
    [mean_colours(), build_network(image_size=96, filters=(8, 8, 8, 8)), default_network()],
    ids=["mean colours", "scratch", "default"],
)
def test_the_shares_add_up_to_what_the_photo_gains_over_an_average_one(network):
    photo, part = noise(network.input_shape[1]), linear_part(network)
    logits = np.asarray(network(photo[None], training=False))[0].astype(float)
    feature_map = freeze(keras.Model(network.input, network.get_layer(POOL).input))(photo[None])[0]
    np.testing.assert_allclose(class_shares(feature_map, part).sum(axis=(0, 1)) + part.average, logits, atol=1e-4)
    assert explain_by(network)(photo).sum() == pytest.approx(
        log_odds(logits) - log_odds(part.average), rel=5e-3, abs=5e-3
    )  # a sum of 32 steps


def test_the_default_network_has_seven_by_seven_places():
    assert explain_by(default_network())(noise(SIZE)).shape == (7, 7)


def test_an_average_photo_is_the_one_that_the_head_was_standardised_by():
    grey = np.full((PLACES * CELL, PLACES * CELL, 3), 51, np.uint8)
    assert np.abs(explain_by(mean_colours(mean=0.2))(grey)).max() < 1e-6


def test_every_other_kind_counts_by_how_likely_it_is():
    """Two kinds besides cat, each likely because of one place: both places speak against a cat, and alike."""
    shares = np.zeros((1, 3, CLASSES))
    shares[0, 0, 1] = shares[0, 1, 2] = 4.0
    shares[0, 2, CAT] = 2.0
    dog, selfie, cat = log_odds_shares(shares, np.zeros(CLASSES))[0]
    assert dog == pytest.approx(selfie)
    assert dog < -1
    assert cat == pytest.approx(2)


def test_the_shares_are_those_of_shapley():
    """Of three places all orders can be walked: no share is far from the mean of what the place adds in them."""
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    shares, average = np.random.default_rng(4).normal(0, 1, (1, 3, CLASSES)), np.array([0.0, 1, 0, -1])
    shapley = np.zeros(3)
    for order in orders:
        seen = average.copy()
        for place in order:
            before, seen = log_odds(seen), seen + shares[0, place]
            shapley[place] += (log_odds(seen) - before) / len(orders)
    np.testing.assert_allclose(log_odds_shares(shares, average)[0], shapley, atol=0.1)


def test_smoothing_spreads_a_place_over_its_neighbours_and_keeps_the_sum():
    heat = np.zeros((4, 5))
    heat[1, 2] = heat[3, 4] = 16
    smoothed = smooth(heat)
    assert smoothed[:3, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 2]]
    assert smoothed[3, 4] == 9
    assert smoothed.sum() == 32


def test_the_map_depends_on_the_weights():
    """The sanity check of Adebayo et al. (NeurIPS 2018): many saliency maps look the same for random weights."""
    rng, photo, network = np.random.default_rng(3), noise(PLACES * CELL), mean_colours()
    heat, similarity = explain_by(network)(photo), []
    for _ in range(20):
        network.layers[-1].set_weights([rng.normal(size=(3, CLASSES)), np.zeros(CLASSES)])
        similarity.append(abs(np.corrcoef(explain_by(network)(photo).ravel(), heat.ravel())[0, 1]))
    assert np.mean(similarity) < 0.6  # of random directions among three colours: a half


def test_the_same_photo_has_the_same_map(photo, heat):
    np.testing.assert_array_equal(explain_by(mean_colours())(photo), heat)


def test_a_network_with_other_layers_is_refused_by_their_name():
    whole = mean_colours()
    with pytest.raises(ModelError, match="'pool'"):
        explain_by(keras.Sequential([keras.Input((8, 8, 3), dtype="uint8"), layers.Flatten(), layers.Dense(CLASSES)]))
    with pytest.raises(ModelError, match="'kinds'"):
        explain_by(keras.Model(whole.input, layers.Softmax()(whole.output)))
    with pytest.raises(ModelError, match="'bent'"):
        explain_by(mean_colours(between=layers.ReLU(name="bent")))


@pytest.mark.parametrize(("size", "expected"), [((1000, 500), (SIDE, SIDE // 2)), ((40, 80), (40, 80))])
def test_the_picture_keeps_the_photos_proportions(size, expected):
    heat = np.zeros((PLACES, PLACES))
    heat[0, 0], heat[-1, -1] = 2.0, -2.0
    body = base64.b64decode(lay_over(Image.new("RGB", size, "white"), heat))
    with Image.open(BytesIO(body)) as picture:
        assert (picture.format, picture.size) == ("PNG", expected)
        red, blue = picture.getpixel((1, 1)), picture.getpixel((expected[0] - 2, expected[1] - 2))
        middle = picture.getpixel((expected[0] // 2, expected[1] // 2))
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert min(middle) > 245


def test_a_map_of_nothing_leaves_the_photo_grey():
    body = base64.b64decode(lay_over(Image.new("RGB", (64, 64), (200, 100, 50)), np.zeros((7, 7))))
    red, green, blue = Image.open(BytesIO(body)).getpixel((30, 30))
    assert red == green == blue
