"""Paired differences in sure errors per 1,000 photos."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ttest_rel

from include.promotion.differences import brier_losses, measure_difference

LOSSES = arrays(float, 30, elements=st.floats(0, 1))


def test_losses_of_sure_undecided_and_right_verdicts() -> None:
    losses = brier_losses(np.array([True, True, True, False]), np.array([0.0, 0.5, 1.0, 0.5]))
    assert losses.tolist() == [1, 0.25, 0, 0.25]


def test_one_sure_error_in_a_hundred_photos_are_ten_in_a_thousand() -> None:
    new, old = np.zeros(100), np.eye(1, 100)[0]
    difference = measure_difference("all", new, old, margin=3)
    assert (difference.photos, difference.value, difference.margin) == (100, 10, 3)
    assert difference.standard_error == pytest.approx(10)


@given(LOSSES, LOSSES)
def test_the_interval_is_that_of_a_paired_t_test(new: np.ndarray, old: np.ndarray) -> None:
    difference = measure_difference("all", new, old, margin=1)
    if np.ptp(old - new) > 1e-6:
        expected = ttest_rel(1000 * old, 1000 * new).confidence_interval(0.95)
        assert (difference.low, difference.high) == pytest.approx(tuple(expected), abs=1e-6)
    assert difference.low <= difference.value <= difference.high


@given(LOSSES, LOSSES)
def test_turned_round_it_is_the_same_with_the_other_sign(new: np.ndarray, old: np.ndarray) -> None:
    there, back = measure_difference("", new, old, margin=1), measure_difference("", old, new, margin=1)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


@given(LOSSES)
def test_a_model_beside_itself_shows_no_difference(losses: np.ndarray) -> None:
    difference = measure_difference("", losses, losses, margin=1)
    assert (difference.low, difference.value, difference.high) == (0, 0, 0)
