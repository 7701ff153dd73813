"""Paired differences in sure errors per 1,000 photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_rel

from include.promotion.differences import brier_losses, chance_to_pass, measure_difference, padding_error

LOSSES = arrays(float, 30, elements=st.floats(0, 1))


def test_losses_of_sure_undecided_and_right_verdicts() -> None:
    losses = brier_losses(np.array([True, True, True, False]), np.array([0.0, 0.5, 1.0, 0.5]))
    assert losses.tolist() == [1, 0.25, 0, 0.25]


def test_one_sure_error_in_a_hundred_photos_are_ten_in_a_thousand() -> None:
    difference = measure_difference("all", np.zeros(100), np.eye(1, 100)[0], margin=3)
    assert (difference.about, difference.photos, difference.value, difference.margin) == ("all", 100, 10, 3)


@given(LOSSES, LOSSES)
def test_the_interval_is_that_of_a_paired_t_test_with_two_more_photos(new: np.ndarray, old: np.ndarray) -> None:
    difference = measure_difference("all", new, old, margin=1)
    expected = ttest_rel([*old, 1, 0], [*new, 0, 1]).confidence_interval(0.95)
    assert (difference.low, difference.high) == pytest.approx((1000 * expected.low, 1000 * expected.high))
    assert difference.low <= difference.value <= difference.high


@given(st.integers(0, 30), st.integers(0, 30))
def test_of_sure_verdicts_it_is_the_adjusted_interval_of_bonett_and_price(won: int, lost: int) -> None:
    """Their equation: (n + 2) photos, and one more of each kind of disagreement."""
    photos = 2000
    old, new = np.zeros(photos), np.zeros(photos)
    old[:won], new[won : won + lost] = 1, 1
    difference = measure_difference("all", new, old, margin=1)
    gained, given_up = (won + 1) / (photos + 2), (lost + 1) / (photos + 2)
    centre = gained - given_up
    error = ((gained + given_up - centre**2) / (photos + 2)) ** 0.5
    assert difference.standard_error == pytest.approx(1000 * error, rel=1e-3)
    assert difference.low == pytest.approx(1000 * (centre - 1.96 * error), rel=1e-2, abs=1e-2)
    assert difference.high == pytest.approx(1000 * (centre + 1.96 * error), rel=1e-2, abs=1e-2)


def test_a_model_that_lost_one_photo_of_many_is_not_proven_equal() -> None:
    """With the plain interval one lost photo of 700 shows as 1.4 and at most 4.2 in 1,000, however it came about."""
    losses = np.zeros(700)
    assert measure_difference("all", np.eye(1, 700)[0], losses, margin=1).low < -6


@given(st.floats(0.01, 5), st.integers(50, 5000), st.floats(0.1, 20))
def test_a_wider_margin_lets_an_equal_challenger_pass_more_often(spread: float, photos: int, margin: float) -> None:
    less, more = (chance_to_pass(spread, photos, bound) for bound in (margin, 1.5 * margin))
    assert 0 <= less <= more <= 1
    assert chance_to_pass(0.0, photos, margin) == float(margin > 1.96 * padding_error(photos))


@given(LOSSES, LOSSES)
def test_turned_round_it_is_the_same_with_the_other_sign(new: np.ndarray, old: np.ndarray) -> None:
    there, back = measure_difference("", new, old, margin=1), measure_difference("", old, new, margin=1)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


@given(LOSSES)
def test_a_model_beside_itself_shows_no_difference(losses: np.ndarray) -> None:
    difference = measure_difference("", losses, losses, margin=1)
    assert difference.value == 0
    assert difference.low == -difference.high
    assert difference.standard_error == pytest.approx(padding_error(30), rel=0.05)
