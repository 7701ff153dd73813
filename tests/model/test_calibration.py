"""Threshold, temperature and the bounds of "unsure", on photos whose truth is known."""

import numpy as np
import pytest

from include.model.calibration import choose_figures, choose_threshold, fit_temperature, unsure_bounds
from include.model.evaluation import cat_probability
from include.model.packaging import is_unsure
from include.records import Figures

F1 = {"rule": "best_f1", "precision_floor": 0.8}


def world(count: int, *, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits that are right about their own certainty but for a factor."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4))
    is_cat = rng.random(count) < cat_probability(logits)
    return is_cat, sharpness * logits


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_what_made_the_network_too_sure_or_not_sure_enough(sharpness):
    is_cat, logits = world(20_000, seed=1, sharpness=sharpness)
    assert fit_temperature(is_cat, logits) == pytest.approx(sharpness, rel=0.05)


def test_the_threshold_lies_where_the_best_f1_is():
    """Of calibrated scores the best threshold is half of the best F1 (Lipton et al., 2014)."""
    is_cat, logits = world(20_000, seed=2)
    probability = cat_probability(logits)
    threshold = choose_threshold(is_cat, probability, **F1)
    grid = np.linspace(0.02, 0.98, 97)
    assert threshold == pytest.approx(max(f1_scores(is_cat, probability, grid)) / 2, abs=0.03)


def f1_scores(is_cat: np.ndarray, probability: np.ndarray, thresholds: np.ndarray) -> list[float]:
    called = [probability >= threshold for threshold in thresholds]
    return [float(2 * (is_cat & some).sum() / (is_cat.sum() + some.sum())) for some in called]


def best_f1_of_the_labels(is_cat: np.ndarray, probability: np.ndarray) -> float:
    """The plain way: the threshold with the best F1 on just these photos."""
    f1 = [
        2 * (is_cat & (probability >= one)).sum() / (is_cat.sum() + (probability >= one).sum()) for one in probability
    ]
    return float(probability[np.argmax(f1)])


def test_the_threshold_moves_less_than_that_of_the_labels_alone():
    drawn = [world(350, seed=seed) for seed in range(40)]
    scored = [(is_cat, cat_probability(logits)) for is_cat, logits in drawn]
    ours = [choose_threshold(*one, **F1) for one in scored]
    plain = [best_f1_of_the_labels(*one) for one in scored]
    assert np.std(ours) < np.std(plain) / 2
    assert np.mean(ours) == pytest.approx(np.mean(plain), abs=0.05)


def test_the_threshold_lies_between_the_photos():
    is_cat, probability = np.array([False, False, True, True]), np.array([0.1, 0.2, 0.8, 0.9])
    assert choose_threshold(is_cat, probability, **F1) == pytest.approx(0.5)


@pytest.mark.parametrize("floor", [0.7, 0.9])
def test_recall_at_a_precision_floor_goes_as_low_as_the_floor_allows(floor):
    is_cat, logits = world(20_000, seed=3)
    probability = cat_probability(logits)
    threshold = choose_threshold(is_cat, probability, rule="recall_at_precision", precision_floor=floor)
    assert is_cat[probability >= threshold].mean() == pytest.approx(floor, abs=0.02)


def test_a_floor_that_nothing_reaches_gives_the_most_precise_threshold():
    probability = np.linspace(0.1, 0.6, 200)
    is_cat = np.random.default_rng(0).random(200) < probability
    threshold = choose_threshold(is_cat, probability, rule="recall_at_precision", precision_floor=0.99)
    assert threshold > 0.59


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_new_photos_are_surely_wrong_no_more_often_than_promised(coverage):
    """Averaged over calibration sets, as the guarantee is meant; also where cats become rare."""
    denied, taken = [], []
    for seed in range(60):
        is_cat, logits = world(200, seed=seed)
        low, high = unsure_bounds(is_cat, cat_probability(logits), coverage=coverage)
        new, scores = world(2000, seed=1000 + seed)
        kept = ~new | (np.random.default_rng(seed).random(len(new)) < 0.2)  # most of the new cats stay away
        new, probability = new[kept], cat_probability(scores)[kept]
        figures = Figures(0.4, low, high)
        sure = ~is_unsure(probability, figures)
        denied.append((sure & (probability < 0.4))[new].mean())
        taken.append((sure & (probability >= 0.4))[~new].mean())
    assert 0 < np.mean(denied) < 1 - coverage + 0.015
    assert 0 < np.mean(taken) < 1 - coverage + 0.015


def test_with_too_few_photos_everything_is_unsure():
    low, high = unsure_bounds(
        np.array([True] * 3 + [False] * 3), np.array([0.7, 0.8, 0.9, 0.1, 0.2, 0.3]), coverage=0.9
    )
    assert (low, high) == (0, 1)


def test_a_bound_is_a_photo_with_the_tenth_part_beyond_it():
    values = np.arange(1, 20) / 20
    low, high = unsure_bounds(np.repeat([True, False], 19), np.tile(values, 2), coverage=0.9)
    assert low == pytest.approx(0.1)  # the second of 19: a new one falls below with a chance of 2 / 20
    assert high == pytest.approx(0.9)


def test_a_network_that_says_nothing_still_gets_figures():
    is_cat = np.arange(60) % 3 == 0
    figures = choose_figures(is_cat, np.zeros((60, 4)), coverage=0.9, **F1)
    assert figures.threshold == pytest.approx(0.125)  # below the one score that there is
    assert (figures.unsure_from, figures.unsure_to) == (0.25, 0.25)


def test_the_order_of_the_photos_does_not_matter():
    is_cat, logits = world(300, seed=5)
    turned = choose_figures(is_cat[::-1], logits[::-1], coverage=0.9, **F1)
    assert turned.threshold == pytest.approx(choose_figures(is_cat, logits, coverage=0.9, **F1).threshold, abs=1e-6)
