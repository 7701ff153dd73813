"""Noise limits of small samples, against simulated ones."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from include.validation.deepchecks_env import noise_limits

FIRST, SECOND, ROUNDS = 80, 640, 3000


def exceeds(limit: float, scores: Sequence[float]) -> int:
    return sum(score > limit for score in scores)


def test_two_samples_of_one_population_stay_below_every_limit() -> None:
    """Of 3,000 pairs 0.3 may exceed a limit; and half of the limit is exceeded, so that no limit is too wide."""
    rng = np.random.default_rng(0)
    pairs = [(rng.random(FIRST), rng.random(SECOND)) for _ in range(ROUNDS)]
    drift = [stats.ks_2samp(*pair).statistic for pair in pairs]
    assert exceeds(noise_limits.ks(FIRST, SECOND), drift) <= 3 < exceeds(noise_limits.ks(FIRST, SECOND) / 2, drift)
    rare, limit = [float((first < 0.05).mean()) for first, _ in pairs], noise_limits.share(0.05, FIRST)
    assert exceeds(limit, rare) <= 3 < exceeds(limit / 2, rare)
    labels = [abs((rng.random(FIRST) < 0.25).mean() - (rng.random(FIRST) < 0.25).mean()) for _ in range(ROUNDS)]
    cramers_v = [difference / (2 * math.sqrt(0.25 * 0.75)) for difference in labels]
    assert exceeds(noise_limits.cramers_v(FIRST, SECOND), cramers_v) <= 3 < exceeds(0.12, cramers_v)


def test_a_guessing_classifier_stays_below_its_limit() -> None:
    rng = np.random.default_rng(0)
    each, limit = 24, noise_limits.domain_classifier(80, 640)
    drawn = rng.random((5000, each, 2))
    scores = [2 * stats.mannwhitneyu(*pair.T).statistic / each**2 - 1 for pair in drawn[:1000]]
    assert np.std(scores) * noise_limits.Z == pytest.approx(limit, rel=0.1)


def test_mean_pictures_of_one_population_stay_below_their_limit() -> None:
    rng = np.random.default_rng(0)
    photos = (rng.normal(120, 30, (400, 1)) + rng.normal(0, 50, (400, 64))).astype(np.float32)
    first, second = photos[:80], photos[80:]
    limit = noise_limits.mean_pictures(first, second)
    assert np.abs(first.mean(axis=0) - second.mean(axis=0)).mean() < limit
    assert limit < 25, "a fifth of the photos brighter by a quarter stands out"


def test_larger_samples_have_smaller_limits() -> None:
    for limit in (
        noise_limits.ks,
        noise_limits.cramers_v,
        noise_limits.domain_classifier,
        noise_limits.predictive_power,
    ):
        assert limit(800, 6400) < limit(80, 640)


def test_only_shuffles_with_a_result_make_a_limit() -> None:
    assert noise_limits.of_shuffles([0.0] * 60) == 0
    assert noise_limits.of_shuffles([0.0] * 59 + [0.3]) == pytest.approx(0.3)
    some = [0.2, 0.3, 0.25, 0.0]
    assert noise_limits.of_shuffles(some) == pytest.approx(0.25 + noise_limits.Z * np.std([0.2, 0.3, 0.25]))


def test_where_nothing_may_exceed_no_share_is_allowed() -> None:
    assert noise_limits.share(0, 80) == 0
