"""Limits for small samples, against real draws."""

import math

import numpy as np
import pytest
from scipy import stats

from include.validation.deepchecks_env import noise_limits

FIRST, SECOND, ROUNDS = 80, 640, 3000


def exceeds(limit: float, scores: list[float]) -> int:
    return sum(score > limit for score in scores)


def test_two_samples_of_one_kind_stay_below_every_limit():
    """Of 3,000 pairs 0.3 may lie beyond a limit; and half of the limit is not enough, so that it is no wide guess."""
    rng = np.random.default_rng(0)
    pairs = [(rng.random(FIRST), rng.random(SECOND)) for _ in range(ROUNDS)]
    drift = [stats.ks_2samp(*pair).statistic for pair in pairs]
    assert exceeds(noise_limits.ks(FIRST, SECOND), drift) <= 3 < exceeds(noise_limits.ks(FIRST, SECOND) / 2, drift)
    odd = [float((first < 0.05).mean()) for first, _ in pairs]
    assert exceeds(noise_limits.share(0.05, FIRST), odd) <= 3 < exceeds(noise_limits.share(0.05, FIRST) / 2, odd)
    labels = [abs((rng.random(FIRST) < 0.25).mean() - (rng.random(FIRST) < 0.25).mean()) for _ in range(ROUNDS)]
    cramers_v = [difference / (2 * math.sqrt(0.25 * 0.75)) for difference in labels]
    assert exceeds(noise_limits.cramers_v(FIRST, SECOND), cramers_v) <= 3 < exceeds(0.12, cramers_v)


def test_a_blind_classifier_stays_below_its_limit():
    rng = np.random.default_rng(0)
    each, limit = 24, noise_limits.domain_classifier(80, 640)
    drawn = rng.random((5000, each, 2))
    scores = [2 * stats.mannwhitneyu(*pair.T).statistic / each**2 - 1 for pair in drawn[:1000]]
    assert np.std(scores) * noise_limits.Z == pytest.approx(limit, rel=0.1)


def test_mean_pictures_of_one_kind_of_photo_stay_below_their_limit():
    rng = np.random.default_rng(0)
    photos = (rng.normal(120, 30, (400, 1)) + rng.normal(0, 50, (400, 64))).astype(np.float32)
    first, second = photos[:80], photos[80:]
    limit = noise_limits.mean_pictures(first, second)
    assert np.abs(first.mean(axis=0) - second.mean(axis=0)).mean() < limit
    assert limit < 25, "a fifth of the photos brighter by a quarter stands out"


def test_larger_samples_have_smaller_limits():
    for critical in (
        noise_limits.ks,
        noise_limits.cramers_v,
        noise_limits.domain_classifier,
        noise_limits.predictive_power,
    ):
        assert critical(800, 6400) < critical(80, 640)
