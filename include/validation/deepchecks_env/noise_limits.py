"""What chance alone can do to each score, so that a small side is not accused of being small.

A limit is the larger one of a setting and of the score that two samples of the same photos exceed once in 1 / ALPHA
times. Plain formulas, so that they can be looked up.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

ALPHA = 1e-4  # some twenty figures are judged in a comparison: about one false alarm in 500 runs, at the most
Z = float(stats.norm.isf(ALPHA))


def ks(first: int, second: int) -> float:
    """Kolmogorov-Smirnov statistic of two samples (Smirnov 1948; Knuth, TAOCP 2, 3.3.1)."""
    return float(stats.kstwobign.isf(ALPHA)) * math.sqrt(1 / first + 1 / second)


def cramers_v(first: int, second: int) -> float:
    """Cramér's V of two classes in two samples that are scaled to the smaller: chi squared of one degree of freedom."""
    return math.sqrt(stats.chi2.isf(ALPHA, 1) / (2 * min(first, second)))


def domain_classifier(first: int, second: int) -> float:
    """2 AUC - 1 of a classifier that knows nothing (Mann and Whitney 1947).

    Deepchecks makes both samples as large as the smaller, and tests on 30 % of them.
    """
    each = 0.3 * min(first, second)
    return 2 * Z * math.sqrt((2 * each + 1) / (12 * each * each))


def predictive_power(first: int, second: int) -> float:
    """Difference of two predictive power scores.

    Measured, as there is no formula: on 30 random samples each of 50 to 1,600 photos and of as many drawings, the score
    of a property varied with a standard deviation of at most 0.85 / sqrt(n), and no score lay 5 of them off the mean.
    """
    return 4.25 * math.sqrt(1 / first + 1 / second)


def share(expected: float, count: int) -> float:
    """Share of ``count`` photos with a trait that a share ``expected`` of all photos has (binomial)."""
    return float(stats.binom.isf(ALPHA, count, expected)) / count


def of_shuffles(scores: Sequence[float]) -> float:
    """What a search finds where nothing is: ``scores`` are of shuffled photos, 0 where it found nothing.

    Only the shuffles in which something was found count: a search that mostly finds nothing still errs by as much when
    it errs.
    """
    found = [score for score in scores if score > 0]
    return float(np.mean(found) + Z * np.std(found)) if found else 0.0


def mean_pictures(first: NDArray[np.float32], second: NDArray[np.float32], *, rounds: int = 100) -> float:
    """Mean absolute difference of two mean pictures, by a permutation test (Good 2005) of ``rounds`` shuffles.

    Both are grey photos as rows: float32 (photos, pixels).
    """
    everything = np.concatenate([first, second])
    rng = np.random.default_rng(0)
    weights = np.full((rounds, len(everything)), -1 / len(second), np.float32)
    for row in weights:
        row[rng.choice(len(everything), len(first), replace=False)] = 1 / len(first)
    found = np.abs(weights @ everything).mean(axis=1)
    return float(found.mean() + Z * found.std())
