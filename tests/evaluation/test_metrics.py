"""Metrics of known answers, and against scikit-learn's."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score, roc_auc_score

from include.evaluation.metrics import (
    average_precision,
    bootstrap_weights,
    class_probabilities,
    compute_metrics,
    positive_log_odds,
    positive_probability,
    roc_auc,
)
from include.records import DecisionRule, Interval

RULE = DecisionRule(0.5, 0.4, 0.6, (0,))
NOTHING = Interval(0, 0, 0)
CERTAIN = Interval(1, 1, 1)


def bools(text: str) -> np.ndarray:
    """``"p..p"``: two positive photos around two negative ones."""
    return np.array([letter == "p" for letter in text])


def random_case(count: int = 120) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    is_positive = rng.random(count) < 0.3
    return is_positive, np.clip(rng.normal(0.35 + 0.3 * is_positive, 0.2), 0, 1).round(2)


def bounds_of(metric: Interval) -> tuple[float, float]:
    assert metric.low is not None
    assert metric.high is not None
    return metric.low, metric.high


def test_perfect_scores_are_certain() -> None:
    found = compute_metrics(bools("pp.."), np.array([0.9, 0.8, 0.2, 0.1]), threshold=0.5, seed=0, resamples=50)
    assert list(found) == ["precision", "recall", "f1", "average_precision", "roc_auc", "calibration_error"]
    assert found["precision"].value == found["recall"].value == found["average_precision"].value == 1
    many = compute_metrics(bools("p." * 50), np.tile([1.0, 0.0], 50), threshold=0.5, seed=0, resamples=50)
    assert many.pop("calibration_error") == NOTHING
    assert set(many.values()) == {CERTAIN}


def test_constant_scores_have_the_precision_of_the_share_of_positives() -> None:
    found = compute_metrics(bools("p..." * 25), np.full(100, 0.5), threshold=0.5, seed=0, resamples=200)
    assert found["precision"].value == found["average_precision"].value == 0.25
    assert found["recall"] == CERTAIN
    assert found["f1"].value == pytest.approx(0.4)
    low, high = bounds_of(found["precision"])
    assert 0.1 < low < 0.25 < high < 0.4


def test_without_predicted_positives_precision_and_recall_are_zero() -> None:
    found = compute_metrics(bools("p." * 20), np.tile([0.4, 0.1], 20), threshold=0.5, seed=0, resamples=50)
    assert found["precision"] == found["recall"] == found["f1"] == NOTHING
    assert found["average_precision"].value == 1  # needs no threshold


def test_without_positives_every_metric_is_zero() -> None:
    found = compute_metrics(bools("...."), np.full(4, 0.9), threshold=0.5, seed=0, resamples=50)
    assert found.pop("calibration_error").value == pytest.approx(0.9)
    assert set(found.values()) == {NOTHING}


def test_metrics_equal_those_of_sklearn() -> None:
    is_positive, probability = random_case()
    predicted = probability >= 0.5
    found = compute_metrics(is_positive, probability, threshold=0.5, seed=0, resamples=10)
    del found["calibration_error"]
    assert {name: interval.value for name, interval in found.items()} == pytest.approx(
        {
            "precision": precision_score(is_positive, predicted),
            "recall": recall_score(is_positive, predicted),
            "f1": f1_score(is_positive, predicted),
            "average_precision": average_precision_score(is_positive, probability),
            "roc_auc": roc_auc_score(is_positive, probability),
        }
    )


@pytest.mark.parametrize("ties", [1, 2, 17])
@pytest.mark.parametrize(("ours", "sklearns"), [(average_precision, average_precision_score), (roc_auc, roc_auc_score)])
def test_the_area_of_every_resample_equals_that_of_sklearn(ours: Callable, sklearns: Callable, ties: int) -> None:
    """Also where many photos share a score: at one decimal there are at most eleven scores."""
    rng = np.random.default_rng(ties)
    is_positive, probability = rng.random(200) < 0.3, rng.random(200).round(ties)
    weights = np.concatenate(list(bootstrap_weights(200, seed=0, resamples=120)))
    found = ours(is_positive, probability, weights)
    expected = [sklearns(is_positive, probability, sample_weight=weight) for weight in weights]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_resamples_without_positives_count_as_zero() -> None:
    weights = np.array([[0, 0, 2, 2], [1, 1, 1, 1]])
    assert list(average_precision(bools("pp.."), np.array([0.9, 0.8, 0.2, 0.1]), weights)) == [0, 1]


@pytest.mark.parametrize(("excess", "expected"), [(0.0, 0.0), (0.15, 0.15)])
def test_the_calibration_error_is_the_excess_of_the_scores(excess: float, expected: float) -> None:
    """Freed of chance: ten bins of thirty photos each would show 0.08 for scores that are exactly right."""
    errors = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        true = rng.uniform(0.1, 0.8, 300)
        measured = compute_metrics(rng.random(300) < true, true + excess, threshold=0.5, seed=seed, resamples=200)
        errors.append(measured["calibration_error"])
    assert np.mean([error.value for error in errors]) == pytest.approx(expected, abs=0.035)
    assert sum(low <= expected <= high for low, high in map(bounds_of, errors)) >= 18


def test_a_metric_lies_inside_its_interval_which_narrows_with_more_photos() -> None:
    is_positive, probability = random_case()
    few = compute_metrics(is_positive, probability, threshold=0.5, seed=0, resamples=200)
    many = compute_metrics(np.tile(is_positive, 9), np.tile(probability, 9), threshold=0.5, seed=0, resamples=200)
    for name, metric in few.items():
        low, high = bounds_of(metric)
        assert 0 <= low < metric.value < high <= 1
        if name == "calibration_error":
            continue  # copies of the same photos are no new evidence: their chance errors stay
        assert many[name].value == pytest.approx(metric.value)
        narrow_low, narrow_high = bounds_of(many[name])
        assert narrow_high - narrow_low == pytest.approx((high - low) / 3, rel=0.35)


def test_the_seed_determines_the_intervals() -> None:
    is_positive, probability = random_case()
    first, same, other = (
        compute_metrics(is_positive, probability, threshold=0.5, seed=seed, resamples=50) for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other
    assert first["f1"].value == other["f1"].value


SHARES = np.array([[0.64, 0.16, 0.16, 0.04], [0.25, 0.25, 0.25, 0.25], [0.04, 0.16, 0.16, 0.64]])
LOGITS = np.log(SHARES).astype(np.float32)


@pytest.mark.parametrize("positives", [(0,), (3,), (0, 3), (1, 2), (0, 1, 2)], ids=str)
def test_the_log_odds_are_those_of_the_positive_classes_against_all_others(positives: tuple[int, ...]) -> None:
    share = SHARES[:, positives].sum(axis=1)
    expected = np.log(share / (1 - share))
    np.testing.assert_allclose(positive_log_odds(LOGITS, positives), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(positive_log_odds(LOGITS + 7, positives), expected, rtol=1e-5, atol=2e-6)


def test_the_log_odds_of_two_positive_classes_have_known_values() -> None:
    """0.64 + 0.04 against 0.16 + 0.16 are odds of 17 to 8; equal shares are even odds."""
    np.testing.assert_allclose(positive_log_odds(LOGITS, (0, 3)), np.log([17 / 8, 1, 17 / 8]), rtol=1e-5, atol=1e-6)


def test_the_probability_of_two_positive_classes_is_their_sum() -> None:
    rule = DecisionRule(0.5, 0.4, 0.6, (0, 1))
    np.testing.assert_allclose(positive_probability(LOGITS, rule), [0.8, 0.5, 0.2], rtol=1e-5)


@pytest.mark.parametrize(
    ("slope", "intercept", "odds"),
    [(1, 0, 16 / 9), (2, 0, (16 / 9) ** 2), (0.5, 0, 4 / 3), (1, np.log(3), 16 / 3), (2, -np.log(2), 128 / 81)],
)
def test_the_probability_has_the_odds_that_the_rule_makes_of_them(slope: float, intercept: float, odds: float) -> None:
    rule = DecisionRule(0.5, 0.4, 0.6, (0,), slope, intercept)
    probability = positive_probability(LOGITS[:1], rule)
    assert probability.dtype == np.float64
    assert probability == pytest.approx(odds / (1 + odds), rel=1e-6)


def test_without_scaling_the_probability_is_the_share_of_the_class_in_a_softmax() -> None:
    np.testing.assert_allclose(positive_probability(LOGITS, RULE), [0.64, 0.25, 0.04], rtol=1e-6)


def test_large_logits_do_not_overflow() -> None:
    sure = np.array([[5000, 0, 0, 0], [-5000, 0, 0, 0], [0, 5000, -5000, 0]], np.float32)
    np.testing.assert_array_equal(positive_probability(sure, DecisionRule(0.5, 0.4, 0.6, (0,), 3.0, 1.0)), [1, 0, 0])


def test_class_probabilities_add_up_to_one_and_to_the_probability_of_positive() -> None:
    logits = np.random.default_rng(5).normal(scale=4, size=(50, 4))
    rule = DecisionRule(0.5, 0.4, 0.6, (0, 2), slope=0.7, intercept=0.3)
    shares = class_probabilities(logits, rule)
    assert shares.sum(axis=1) == pytest.approx(np.ones(50))
    assert shares[:, [0, 2]].sum(axis=1) == pytest.approx(positive_probability(logits, rule))
    assert shares[:, 1] / shares[:, 3] == pytest.approx(np.exp(logits[:, 1] - logits[:, 3]))


def test_without_scaling_class_probabilities_are_the_softmax() -> None:
    logits = np.log([[8.0, 4.0, 2.0, 2.0]])
    rule = DecisionRule(0.5, 0.4, 0.6, (0,))
    assert class_probabilities(logits, rule) == pytest.approx(np.array([[0.5, 0.25, 0.125, 0.125]]))
