"""Noise limits: the score that chance alone rarely exceeds at a given sample size (docs/adr/0012).

A check's limit is its setting, or the score that two samples of the same photos exceed with probability ALPHA if that
is higher. A small split therefore does not fail because it is small.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 1e-4  # a comparison has at most 28 scores: at most about one false alarm in 350 comparisons
Z = float(stats.norm.isf(ALPHA))


def ks(first: int, second: int) -> float:
    """Kolmogorov-Smirnov statistic of two samples (Smirnov 1948; Knuth, TAOCP 2, 3.3.1)."""
    return float(stats.kstwobign.isf(ALPHA)) * math.sqrt(1 / first + 1 / second)


def cramers_v(first: int, second: int) -> float:
    """Cramér's V of two classes in two samples, scaled to the smaller one: chi-squared with one degree of freedom."""
    return math.sqrt(stats.chi2.isf(ALPHA, 1) / (2 * min(first, second)))


def domain_classifier(first: int, second: int) -> float:
    """2 AUC - 1 of a classifier that guesses (Mann and Whitney 1947).

    Deepchecks reduces both samples to the size of the smaller one, and tests on 30 % of them.
    """
    each = 0.3 * min(first, second)
    return 2 * Z * math.sqrt((2 * each + 1) / (12 * each * each))


def predictive_power(first: int, second: int) -> float:
    """Difference of two predictive power scores.

    There is no formula, so it was measured: on 30 random samples each of 50 to 1,600 photos and of as many synthetic
    images, the score of a property had a standard deviation of at most 0.85 / sqrt(n), and no score was 5 standard
    deviations off the mean.
    """
    return 4.25 * math.sqrt(1 / first + 1 / second)


def share(expected: float, count: int) -> float:
    """Share of ``count`` photos that have a property with probability ``expected`` (binomial)."""
    return float(stats.binom.isf(ALPHA, count, expected)) / count


def of_shuffles(scores: Sequence[float]) -> float:
    """Score of a search where there is nothing to find: ``scores`` are those of shuffled photos, 0 for no result.

    Only shuffles with a result count: a search that rarely gives a false result gives one that is just as high.
    """
    positive = [score for score in scores if score > 0]
    return float(np.mean(positive) + Z * np.std(positive)) if positive else 0.0


def mean_pictures(first: NDArray[np.float32], second: NDArray[np.float32], *, rounds: int = 100) -> float:
    """Mean absolute difference of two mean images, by a permutation test (Good 2005) of ``rounds`` shuffles.

    Both samples have a row of grey values for each photo: float32 (photos, pixels).
    """
    photos = np.concatenate([first, second])
    rng = np.random.default_rng(0)
    weights = np.full((rounds, len(photos)), -1 / len(second), np.float32)
    for row in weights:
        row[rng.choice(len(photos), len(first), replace=False)] = 1 / len(first)
    differences = np.abs(weights @ photos).mean(axis=1)
    return float(differences.mean() + Z * differences.std())
