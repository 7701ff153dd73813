"""Platt scaling, the threshold and the unsure band, on simulated photos."""

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit

from include.evaluation.calibration import (
    fit_decision_rule,
    fit_platt_scaling,
    threshold_for_precision,
    unsure_band,
)
from include.evaluation.metrics import positive_log_odds, positive_probability
from include.records import DecisionRule

POSITIVES = (0,)  # of four classes
EVEN_ODDS: dict[str, Any] = {"rule": "even_odds", "precision_floor": 0.8, "sure_from": 0.8}
AT_PRECISION = EVEN_ODDS | {"rule": "recall_at_precision"}
RULES = pytest.mark.parametrize("options", [EVEN_ODDS, AT_PRECISION], ids=["even_odds", "recall_at_precision"])


def world(count: int, *, seed: int, slope: float = 1.0, intercept: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits whose log-odds are right about them once they are scaled by slope and intercept."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 4)).astype(np.float32)
    is_positive = rng.random(count) < expit(slope * positive_log_odds(logits, POSITIVES) + intercept)
    return is_positive, logits


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.5, 1.0), (2.0, -1.5)])
def test_slope_and_intercept_of_simulated_photos_are_recovered(slope: float, intercept: float) -> None:
    is_positive, logits = world(40_000, seed=1, slope=slope, intercept=intercept)
    fitted = fit_platt_scaling(is_positive, positive_log_odds(logits, POSITIVES))
    assert fitted == pytest.approx((slope, intercept), rel=0.04, abs=0.05)


def test_labels_that_the_scores_separate_do_not_make_it_certain() -> None:
    """Two scores and two parameters: the fit is exact, so the probabilities are Platt's targets."""
    is_positive = np.repeat([True, False], [30, 8])
    slope, intercept = fit_platt_scaling(is_positive, np.where(is_positive, 5.0, -3.0))
    assert expit(5 * slope + intercept) == pytest.approx(31 / 32, abs=1e-4)
    assert expit(-3 * slope + intercept) == pytest.approx(1 / 10, abs=1e-4)


@pytest.mark.parametrize("share", [0, 1])
def test_photos_of_one_label_alone_still_give_a_finite_rule(share: int) -> None:
    _, logits = world(50, seed=1)
    rule = fit_decision_rule(np.full(50, bool(share)), logits, POSITIVES, **EVEN_ODDS)
    probability = positive_probability(logits, rule)
    assert np.isfinite([rule.slope, rule.intercept]).all()
    assert probability == pytest.approx(np.full(50, (1 + 50 * share) / 52), abs=0.02)


def test_by_even_odds_a_photo_is_positive_when_that_is_more_probable_than_not() -> None:
    is_positive, logits = world(4000, seed=2, slope=0.7, intercept=-1)
    rule = fit_decision_rule(is_positive, logits, POSITIVES, **EVEN_ODDS)
    assert rule.threshold == 0.5
    predicted = rule.is_positive(positive_probability(logits, rule))
    np.testing.assert_array_equal(predicted, rule.slope * positive_log_odds(logits, POSITIVES) + rule.intercept >= 0)
    assert 100 < predicted.sum() < 3900
    assert is_positive[predicted].mean() > 0.5 > is_positive[~predicted].mean()


@pytest.mark.parametrize(
    ("floor", "threshold"),
    [
        (0.99, 0.85),  # nothing reaches it: the most precise one
        (0.9, 0.85),
        (0.85, 0.7),
        (0.7, 0.45),  # 0.77 of three, 0.65 of all four
        (0.6, 0.15),  # all photos
    ],
)
def test_the_threshold_for_a_precision_is_the_lowest_that_is_expected_to_reach_it(
    floor: float, threshold: float
) -> None:
    assert threshold_for_precision(np.array([0.3, 0.9, 0.6, 0.8]), floor) == pytest.approx(threshold)


def test_photos_with_the_same_score_are_positive_together() -> None:
    """Of one 0.9 and one 0.5 the precision would be 0.7, but with the first 0.5 comes the second."""
    assert threshold_for_precision(np.array([0.9, 0.5, 0.5, 0.1]), 0.65) == pytest.approx(0.7)
    assert threshold_for_precision(np.array([0.9, 0.5, 0.5, 0.1]), 0.63) == pytest.approx(0.3)


@pytest.mark.parametrize("floor", [0.7, 0.9])
def test_the_precision_floor_holds_on_other_photos_without_a_loss_of_recall(floor: float) -> None:
    rule = fit_decision_rule(*world(20_000, seed=3), POSITIVES, **(AT_PRECISION | {"precision_floor": floor}))
    is_positive, logits = world(20_000, seed=4)
    predicted = rule.is_positive(positive_probability(logits, rule))
    assert is_positive[predicted].mean() == pytest.approx(floor, abs=0.02)


@pytest.mark.parametrize(
    ("threshold", "sure_from", "band"),
    [
        (0.5, 0.8, (0.2, 0.8)),
        (0.5, 0.9, (0.1, 0.9)),
        (0.9, 0.8, (9 / 13, 36 / 37)),  # odds of 9, divided and multiplied by 4
        (0.2, 0.75, (1 / 13, 3 / 7)),
        (0.4, 0.5, (0.4, 0.4)),
    ],
)
def test_the_unsure_band_has_the_same_width_in_odds_on_both_sides(
    threshold: float, sure_from: float, band: tuple[float, float]
) -> None:
    assert unsure_band(threshold, sure_from) == pytest.approx(band)


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_threshold_at_the_end_of_the_scale_has_a_band_too(threshold: float) -> None:
    low, high = unsure_band(threshold, 0.8)
    assert 0 < low < high < 1


@RULES
def test_a_verdict_can_be_unsure_on_either_side_of_the_threshold(options: dict[str, Any]) -> None:
    is_positive, logits = world(4000, seed=5)
    rule = fit_decision_rule(is_positive, logits, POSITIVES, **options)
    probability = positive_probability(logits, rule)
    unsure, predicted = rule.is_unsure(probability), rule.is_positive(probability)
    assert rule.unsure_from < rule.threshold < rule.unsure_to
    for verdict in (predicted, ~predicted):
        assert 0 < unsure[verdict].mean() < 1
    assert logit(rule.unsure_to) - logit(rule.threshold) == pytest.approx(np.log(4))


@RULES
def test_the_probability_rises_with_the_score_and_is_calibrated(options: dict[str, Any]) -> None:
    is_positive, logits = world(20_000, seed=6, slope=0.6, intercept=0.5)
    probability = positive_probability(logits, fit_decision_rule(is_positive, logits, POSITIVES, **options))
    by_score = np.argsort(positive_log_odds(logits, POSITIVES))
    assert (np.diff(probability[by_score]) >= 0).all()
    for part in np.array_split(by_score, 8):
        assert probability[part].mean() == pytest.approx(is_positive[part].mean(), abs=0.035)


@RULES
def test_a_network_without_any_knowledge_still_gets_a_rule(options: dict[str, Any]) -> None:
    is_positive = np.arange(60) % 3 == 0
    rule = fit_decision_rule(is_positive, np.zeros((60, 4), np.float32), POSITIVES, **options)
    assert isinstance(rule, DecisionRule)
    assert positive_probability(np.zeros((1, 4)), rule)[0] == pytest.approx(1 / 3, abs=0.02)
    assert 0 < rule.unsure_from <= rule.threshold <= rule.unsure_to < 1


@RULES
def test_the_order_of_the_photos_does_not_matter(options: dict[str, Any]) -> None:
    is_positive, logits = world(300, seed=7)
    first, reversed_order = (
        fit_decision_rule(is_positive[::step], logits[::step], POSITIVES, **options) for step in (1, -1)
    )
    for name in ("threshold", "unsure_from", "unsure_to", "slope", "intercept"):
        assert getattr(first, name) == pytest.approx(getattr(reversed_order, name), abs=1e-3), name


def test_the_rule_of_two_positive_classes_is_fitted_to_their_sum() -> None:
    positives, rng = (0, 2), np.random.default_rng(8)
    logits = rng.normal(0, 2, (20_000, 4)).astype(np.float32)
    is_positive = rng.random(20_000) < expit(0.5 * positive_log_odds(logits, positives) - 1)
    rule = fit_decision_rule(is_positive, logits, positives, **EVEN_ODDS)
    assert rule.positive_classes == positives
    assert (rule.slope, rule.intercept) == pytest.approx((0.5, -1), abs=0.05)


def test_a_rule_survives_its_trip_through_json() -> None:
    rule = DecisionRule(0.4, 0.3, 0.55, (0, 2), slope=0.9, intercept=-0.2)
    parsed = DecisionRule.of(json.loads(json.dumps(asdict(rule))))
    assert parsed == rule
    assert parsed.positive_classes == (0, 2)
    assert hash(parsed) == hash(rule)
    plain = json.loads(json.dumps(asdict(DecisionRule(0.5, 0.4, 0.6, (1,)))))
    del plain["slope"], plain["intercept"]
    assert DecisionRule.of(plain) == DecisionRule(0.5, 0.4, 0.6, (1,), slope=1, intercept=0)
