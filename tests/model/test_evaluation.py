from dataclasses import asdict

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from include.model.evaluation import called_cat, cat_probability, choose_figures, measure, measure_slices, score
from include.model.network import build_network
from include.model.pixels import Pixels
from include.model.plots import draw_confusion, draw_precision_recall
from include.records import Interval

NOTHING = Interval(0, 0, 0)
CERTAIN = Interval(1, 1, 1)


def bools(text: str) -> np.ndarray:
    """``"c..c"``: two cats around two others."""
    return np.array([letter == "c" for letter in text])


def random_case(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    is_cat = rng.random(count) < 0.3
    return is_cat, np.clip(rng.normal(0.35 + 0.3 * is_cat, 0.2), 0, 1).round(2)


@pytest.mark.parametrize(
    ("photos", "probability", "threshold"),
    [
        ("..cc", [0.1, 0.2, 0.8, 0.9], 0.5),  # any threshold from 0.2 to 0.8 is perfect
        ("c.c.", [0.9, 0.2, 0.8, 0.1], 0.5),  # in whatever order they come
        (".c", [0.4, 0.6], 0.5),
        ("cc", [0.6, 0.8], 0.3),  # no other photo below: the range ends at 0
        (".c.c", [0.1, 0.35, 0.4, 0.8], 0.225),  # one false alarm costs less than one missed cat
        ("c...c", [0.1, 0.5, 0.5, 0.5, 0.9], 0.7),  # and three cost more
    ],
)
def test_the_threshold_has_the_best_f1_and_lies_between_the_photos(photos, probability, threshold):
    figures = choose_figures(bools(photos), np.array(probability), band=0.1)
    assert asdict(figures) == {"threshold": pytest.approx(threshold), "band": 0.1, "temperature": 1.0}


def test_perfect_scores_are_certain():
    found = measure(bools("cc.."), np.array([0.9, 0.8, 0.2, 0.1]), threshold=0.5, seed=0, resamples=50)
    assert list(found) == ["precision", "recall", "f1", "average_precision"]
    assert found["precision"].value == found["recall"].value == found["average_precision"].value == 1
    many = measure(bools("c." * 50), np.tile([0.9, 0.1], 50), threshold=0.5, seed=0, resamples=50)
    assert set(many.values()) == {CERTAIN}


def test_scores_that_say_nothing_are_worth_the_share_of_cats():
    found = measure(bools("c..." * 25), np.full(100, 0.5), threshold=0.5, seed=0, resamples=200)
    assert found["precision"].value == found["average_precision"].value == 0.25
    assert found["recall"] == CERTAIN
    assert found["f1"].value == pytest.approx(0.4)
    assert 0.1 < found["precision"].low < 0.25 < found["precision"].high < 0.4


def test_nothing_called_a_cat_counts_as_nothing():
    found = measure(bools("c." * 20), np.tile([0.4, 0.1], 20), threshold=0.5, seed=0, resamples=50)
    assert found["precision"] == found["recall"] == found["f1"] == NOTHING
    assert found["average_precision"].value == 1  # needs no threshold


def test_without_cats_every_figure_is_nothing():
    assert set(measure(bools("...."), np.full(4, 0.9), threshold=0.5, seed=0, resamples=50).values()) == {NOTHING}


def test_figures_are_those_of_sklearn():
    is_cat, probability = random_case()
    said = probability >= 0.5
    found = measure(is_cat, probability, threshold=0.5, seed=0, resamples=10)
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        {
            "precision": precision_score(is_cat, said),
            "recall": recall_score(is_cat, said),
            "f1": f1_score(is_cat, said),
            "average_precision": average_precision_score(is_cat, probability),
        }
    )


def test_a_figure_lies_inside_its_interval_which_narrows_with_more_photos():
    is_cat, probability = random_case()
    few = measure(is_cat, probability, threshold=0.5, seed=0, resamples=200)
    many = measure(np.tile(is_cat, 9), np.tile(probability, 9), threshold=0.5, seed=0, resamples=200)
    for name, figure in few.items():
        assert 0 <= figure.low < figure.value < figure.high <= 1
        assert many[name].value == pytest.approx(figure.value)
        assert many[name].high - many[name].low == pytest.approx((figure.high - figure.low) / 3, rel=0.35)


def test_the_seed_settles_the_intervals():
    is_cat, probability = random_case()
    one, same, other = (measure(is_cat, probability, threshold=0.5, seed=seed, resamples=50) for seed in (1, 1, 2))
    assert one == same
    assert one != other
    assert one["f1"].value == other["f1"].value


@pytest.fixture
def test_side() -> tuple[pd.DataFrame, np.ndarray]:
    """Both cats are called cats, both dogs too; of the uploads, one cat is missed."""
    source = ["cats", "cats", "dogs", "dogs", "misc", "misc", "uploads", "uploads"]
    label = ["cat", "cat", "not_cat", "not_cat", "not_cat", "not_cat", "cat", "cat"]
    table = pd.DataFrame({"source": source, "label": label}, index=range(20, 28))
    return table, np.array([0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.9, 0.1])


def test_slices_are_the_base_the_cats_against_each_source_and_uploads(test_side):
    table, probability = test_side
    slices = measure_slices(table, probability, threshold=0.5, seed=0)
    assert set(slices) == {"base", "cats_vs_dogs", "cats_vs_misc", "uploads"}
    assert {name: row["precision"].value for name, row in slices.items()} == {
        "base": 0.5,
        "cats_vs_dogs": 0.5,
        "cats_vs_misc": 1,
        "uploads": 1,
    }
    assert {name: row["recall"].value for name, row in slices.items()} == {
        "base": 1,
        "cats_vs_dogs": 1,
        "cats_vs_misc": 1,
        "uploads": 0.5,
    }


def test_a_slice_without_photos_is_left_out(test_side):
    table, probability = test_side
    assert set(measure_slices(table[:2], probability[:2], threshold=0.5, seed=0)) == {"base"}


def test_per_source_the_share_that_is_called_a_cat(test_side):
    table, probability = test_side
    assert called_cat(table, probability, threshold=0.7) == {
        "cats": {"photos": 2, "called_cat": 1.0},
        "dogs": {"photos": 2, "called_cat": 0.5},
        "misc": {"photos": 2, "called_cat": 0.0},
        "uploads": {"photos": 2, "called_cat": 0.5},
    }


def test_probability_is_the_share_of_the_cats_in_a_softmax():
    shares = np.array([[0.64, 0.16, 0.16, 0.04], [0.25, 0.25, 0.25, 0.25], [0.04, 0.16, 0.16, 0.64]])
    logits = np.log(shares).astype(np.float32)
    np.testing.assert_allclose(cat_probability(logits), [0.64, 0.25, 0.04], rtol=1e-6)
    # a temperature of 2 takes square roots: of 0.8, 0.4, 0.4 and 0.2 the first has 4 / 9
    np.testing.assert_allclose(cat_probability(logits, temperature=2), [4 / 9, 1 / 4, 1 / 9], rtol=1e-6)
    assert cat_probability(logits).dtype == np.float64


def test_large_logits_do_not_overflow():
    sure = np.array([[5000, 0, 0, 0], [-5000, 0, 0, 0]], np.float32)
    np.testing.assert_array_equal(cat_probability(sure), [1, 0])


def test_scores_come_in_the_order_of_the_manifest():
    photos = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
    manifest = pd.DataFrame({"kind": "cats", "label": "cat", "weight": 1.0}, index=range(5))
    pixels = Pixels([photos], np.stack([np.zeros(5, int), np.arange(5)], axis=1), 32)
    keras.utils.set_random_seed(0)
    network = build_network(image_size=32, filters=(16, 16, 16, 16))
    scores = score(network, pixels, manifest)
    assert len(set(scores)) == 5
    turned = Pixels(pixels.shards, pixels.places[::-1], 32)
    np.testing.assert_allclose(score(network, turned, manifest), scores[::-1], rtol=1e-5)


@pytest.mark.parametrize("draw", [draw_confusion, draw_precision_recall])
@pytest.mark.parametrize("threshold", [0.5, 0.99])  # at 0.99 nothing is called a cat
def test_pictures_can_be_saved(draw, threshold, tmp_path):
    is_cat, probability = random_case()
    draw(is_cat, np.minimum(probability, 0.98), threshold=threshold).savefig(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.format == "PNG"
        assert picture.convert("L").getextrema() == (0, 255)  # black lines on white
