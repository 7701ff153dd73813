"""How much better one model is than another on the same photos, in sure errors per 1,000 of them. Pure."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from include.records import Difference

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PER = 1000  # photos
COVERED = 0.95  # by an interval
ENOUGH = 3.3  # standard errors in a margin: with fewer, an equal challenger passes in less than nine of ten runs


def brier_losses(is_positive: Bools, probability: Floats) -> Floats:
    """The squared error of each P(positive), shape (photos,): 1 for a wrong verdict that was certain, 0 for a right one
    that was, 1/4 for an undecided one (Brier, Monthly Weather Review 78, 1950).
    """
    return np.asarray((probability - is_positive) ** 2)


def measure_difference(about: str, new: Floats, old: Floats, *, margin: float) -> Difference:
    """The losses of ``old`` minus those of ``new`` on the same photos, both of shape (photos,), at least two.

    The interval is Student's, over the differences of the single photos: what is hard for both models cancels out.
    """
    differences = PER * (old - new)
    value, error = float(differences.mean()), float(differences.std(ddof=1) / len(differences) ** 0.5)
    reach = error * float(t.ppf((1 + COVERED) / 2, len(differences) - 1))
    return Difference(about, len(differences), value, value - reach, value + reach, error, margin)
