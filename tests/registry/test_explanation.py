"""A network that only looks at red must be explained by what is red."""

import base64
from collections.abc import Sequence
from io import BytesIO

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image
from scipy.special import logsumexp

from include.backbone import FEATURES, SIZE
from include.backbone.features import freeze_outputs
from include.errors import ModelError
from include.registry.explanation import (
    SIDE,
    class_shares,
    heat_map,
    linear_part,
    log_odds_shares,
    overlay_heat_map,
    smooth,
    with_feature_map,
)
from include.training.head import build_served_network
from include.training.losses import HEAD, POOL
from include.training.scratch_network import build_network
from tests.models import CLASSES

PLACES, CELL = 8, 8  # of the feature map along each edge; pixels of a place
POSITIVES = (0,)


def mean_colours(*, mean: float = 0.3, between: layers.Layer | None = None) -> keras.Model:
    """The feature map is the mean colour of each place, then come a head's layers; P(positive) rises with red."""
    photo = keras.Input((PLACES * CELL, PLACES * CELL, 3), dtype="uint8")
    x = layers.AveragePooling2D(CELL)(layers.Rescaling(1 / 255)(photo))
    x = layers.GlobalAveragePooling2D(name=POOL)(x)
    x = layers.Normalization(mean=[mean] * 3, variance=[0.04] * 3, name="standardise")(x)
    x = (between or layers.Dropout(0.5))(x)
    network = keras.Model(photo, layers.Dense(CLASSES, name=HEAD)(x))
    kernel = np.tile([[0, 0.5, -0.5, 1]], (3, 1))
    kernel[:, 0] = (4, -2, -2)
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


def explain(network: keras.Model, photo: np.ndarray, positives: Sequence[int] = POSITIVES) -> np.ndarray:
    _, feature_maps = freeze_outputs(with_feature_map(network))(photo[None])
    return heat_map(feature_maps[0], linear_part(network), positives)


def log_odds(logits: np.ndarray, positives: Sequence[int] = POSITIVES) -> float:
    return float(logsumexp(logits[list(positives)]) - logsumexp(np.delete(logits, positives)))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A red rectangle on noisy grey, which the network ignores."""
    picture = noise(PLACES * CELL)[..., :1].repeat(3, axis=2)
    picture[16:32, 16:48] = (255, 0, 0)
    return picture


@pytest.fixture(scope="module")
def heat(photo: np.ndarray) -> np.ndarray:
    return explain(mean_colours(), photo)


def test_red_places_speak_for_positive_where_positive_means_red(heat: np.ndarray) -> None:
    red = np.zeros((PLACES, PLACES), bool)
    red[2:4, 2:6] = True
    assert heat.shape == (PLACES, PLACES)
    assert heat[red].min() > max(0, heat[~red].max())
    assert heat[:, 7].max() < heat[red].min() / 5


@pytest.mark.parametrize("positives", [(0,), (0, 2)], ids=["one positive class", "two positive classes"])
@pytest.mark.parametrize(
    "network",
    [mean_colours(), build_network(image_size=96, filters=(8, 8, 8, 8)), default_network()],
    ids=["mean colours", "scratch", "default"],
)
def test_the_shares_add_up_to_the_log_odds_beyond_those_of_an_average_photo(
    network: keras.Model, positives: tuple[int, ...]
) -> None:
    photo, part = noise(network.input_shape[1]), linear_part(network)
    scored, feature_maps = freeze_outputs(with_feature_map(network))(photo[None])
    logits, feature_map = scored[0].astype(float), feature_maps[0]
    np.testing.assert_allclose(logits, np.asarray(network(photo[None], training=False))[0], atol=1e-4)
    np.testing.assert_allclose(class_shares(feature_map, part).sum(axis=(0, 1)) + part.average, logits, atol=1e-4)
    difference = log_odds(logits, positives) - log_odds(part.average, positives)
    total = heat_map(feature_map, part, positives).sum()
    assert total == pytest.approx(difference, rel=5e-3, abs=5e-3)  # a sum of 32 steps


def test_the_default_network_has_seven_by_seven_places() -> None:
    assert explain(default_network(), noise(SIZE)).shape == (7, 7)


def test_an_average_photo_is_the_one_that_the_head_was_standardised_by() -> None:
    grey = np.full((PLACES * CELL, PLACES * CELL, 3), 51, np.uint8)
    assert np.abs(explain(mean_colours(mean=0.2), grey)).max() < 1e-6


def test_each_negative_class_counts_by_its_probability() -> None:
    """Two negative classes, each likely because of one place: both places speak against positive, and equally."""
    shares = np.zeros((1, 3, CLASSES))
    shares[0, 0, 1] = shares[0, 1, 2] = 4.0
    shares[0, 2, 0] = 2.0
    first, second, positive = log_odds_shares(shares, np.zeros(CLASSES), POSITIVES)[0]
    assert first == pytest.approx(second)
    assert first < -1
    assert positive == pytest.approx(2)


def test_each_of_two_positive_classes_counts_by_its_probability() -> None:
    """Three classes, two of them positive; of one place that raises the first of the two the answer is an integral."""
    shares = np.zeros((1, 2, 3))
    shares[0, 0, 0], shares[0, 1, 1] = 3.0, 2.0
    raising, lowering = log_odds_shares(shares, np.zeros(3), (0, 2))[0]
    assert raising == pytest.approx(np.log((1 + np.exp(3)) / 2), abs=1e-2)
    assert lowering == pytest.approx(-2)


def test_where_the_log_odds_are_linear_the_shares_are_exact() -> None:
    """Classes of a group that move together: the log-odds of the groups are a sum over the places."""
    gains = np.random.default_rng(5).normal(0, 2, (2, 3))
    shares = np.stack([gains, -gains, gains, -gains], axis=-1)  # positive classes 0 and 2
    average = np.array([0.3, -0.2, 1.0, 0.5])
    found = log_odds_shares(shares, average, (0, 2))
    np.testing.assert_allclose(found, 2 * gains, rtol=1e-12)
    total = average + shares.sum(axis=(0, 1))
    assert found.sum() == pytest.approx(log_odds(total, (0, 2)) - log_odds(average, (0, 2)), rel=1e-12)


@pytest.mark.parametrize("positives", [(0,), (0, 3)], ids=["one positive class", "two positive classes"])
def test_the_shares_are_close_to_shapley_values(positives: tuple[int, ...]) -> None:
    """All orders of three places: no share is far from the mean of what the place adds in them."""
    orders = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
    shares, average = np.random.default_rng(4).normal(0, 1, (1, 3, CLASSES)), np.array([0.0, 1, 0, -1])
    shapley = np.zeros(3)
    for order in orders:
        seen = average.copy()
        for place in order:
            before, seen = log_odds(seen, positives), seen + shares[0, place]
            shapley[place] += (log_odds(seen, positives) - before) / len(orders)
    np.testing.assert_allclose(log_odds_shares(shares, average, positives)[0], shapley, atol=0.1)


def test_smoothing_spreads_a_place_over_its_neighbours_and_keeps_the_sum() -> None:
    heat = np.zeros((4, 5))
    heat[1, 2] = heat[3, 4] = 16
    smoothed = smooth(heat)
    assert smoothed[:3, 1:4].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 2]]
    assert smoothed[3, 4] == 9
    assert smoothed.sum() == 32


def test_the_map_depends_on_the_weights() -> None:
    """The sanity check of Adebayo et al. (NeurIPS 2018): many saliency maps look the same for random weights."""
    rng, photo, network = np.random.default_rng(3), noise(PLACES * CELL), mean_colours()
    heat, similarity = explain(network, photo), []
    for _ in range(20):
        network.layers[-1].set_weights([rng.normal(size=(3, CLASSES)), np.zeros(CLASSES)])
        similarity.append(abs(np.corrcoef(explain(network, photo).ravel(), heat.ravel())[0, 1]))
    assert np.mean(similarity) < 0.6  # of random directions among three colours: a half


def test_the_same_photo_has_the_same_map(photo: np.ndarray, heat: np.ndarray) -> None:
    np.testing.assert_array_equal(explain(mean_colours(), photo), heat)


def test_a_network_with_other_layers_is_rejected_by_their_name() -> None:
    whole, photo = mean_colours(), keras.Input((8, 8, 3), dtype="uint8")
    with pytest.raises(ModelError, match=f"'{POOL}'"):
        linear_part(keras.Sequential([photo, layers.Flatten(), layers.Dense(CLASSES)]))
    with pytest.raises(ModelError, match=f"'{HEAD}'"):
        linear_part(keras.Model(whole.input, layers.Softmax()(whole.output)))
    with pytest.raises(ModelError, match="'bent'"):
        linear_part(mean_colours(between=layers.ReLU(name="bent")))


@pytest.mark.parametrize(("size", "expected"), [((1000, 500), (SIDE, SIDE // 2)), ((40, 80), (40, 80))])
def test_the_picture_keeps_the_photos_proportions(size: tuple[int, int], expected: tuple[int, int]) -> None:
    heat = np.zeros((PLACES, PLACES))
    heat[0, 0], heat[-1, -1] = 2.0, -2.0
    body = base64.b64decode(overlay_heat_map(Image.new("RGB", size, "white"), heat))
    with Image.open(BytesIO(body)) as picture:
        assert (picture.format, picture.size) == ("PNG", expected)
        pixels = np.asarray(picture).astype(int)
    red, blue, middle = pixels[1, 1], pixels[-2, -2], pixels[expected[1] // 2, expected[0] // 2]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert min(middle) > 245


def test_an_empty_map_leaves_the_photo_grey() -> None:
    body = base64.b64decode(overlay_heat_map(Image.new("RGB", (64, 64), (200, 100, 50)), np.zeros((7, 7))))
    with Image.open(BytesIO(body)) as picture:
        red, green, blue = np.asarray(picture)[30, 30]
    assert red == green == blue
