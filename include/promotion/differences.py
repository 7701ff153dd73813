"""How much better one model is than another on the same photos, in sure errors per 1,000 of them. Pure."""

import numpy as np
from scipy.stats import norm, t

from include.evaluation.metrics import Bools, Floats
from include.records import Difference

PER = 1000  # photos
REACH = 1.96  # standard errors of a 95 % interval, for many photos
SELDOM = 0.9  # how often an equal challenger must pass, at least


def brier_losses(is_positive: Bools, probability: Floats) -> Floats:
    """The squared error of each P(positive), shape (photos,): 1 for a wrong verdict that was certain, 0 for a right one
    that was, 1/4 for an undecided one (Brier, Monthly Weather Review 78, 1950).
    """
    return np.asarray((probability - is_positive) ** 2)


def measure_difference(about: str, new: Floats, old: Floats, *, margin: float) -> Difference:
    """The losses of ``old`` minus those of ``new`` on the same photos, both of shape (photos,).

    The interval is Student's, over the differences of the single photos: what is hard for both models cancels out. It
    counts two more photos, one that the new model wins and one that it loses, both for certain. Without them it is too
    narrow where good models differ on a handful of photos; for differences of -1, 0 and 1 this is the interval of
    Bonett & Price, Journal of Educational and Behavioral Statistics 37, 2012.
    """
    differences = PER * (old - new)
    padded = np.append(differences, (PER, -PER))
    centre, error = float(padded.mean()), float(padded.std(ddof=1) / len(padded) ** 0.5)
    reach = error * float(t.ppf(0.975, len(padded) - 1))
    value = float(differences.mean())
    return Difference(about, len(differences), value, centre - reach, centre + reach, error, margin)


def padding_error(photos: int) -> float:
    """What the two more photos add to a standard error, in sure errors per 1,000 photos."""
    return float(2**0.5 * PER / (photos + 2))


def sure_errors_within(photos: int, margin: float) -> tuple[int, int]:
    """How many more photos a challenger that is otherwise equal may get surely wrong: so that it passes, and so that it
    is a close call.
    """

    def lose(count: int) -> Difference:
        return measure_difference("", (np.arange(photos) < count).astype(float), np.zeros(photos), margin=margin)

    undecided = int(margin * photos / PER)
    passes = [count for count in range(undecided + 1) if lose(count).low > -margin]
    return max(passes, default=0), undecided


def chance_to_pass(spread: float, photos: int, margin: float) -> float:
    """How often a challenger that is equal in truth is found so.

    ``spread`` is the standard error of the difference without the two more photos, in sure errors per 1,000 photos.
    """
    reach = REACH * float(np.hypot(spread, padding_error(photos)))
    return float(norm.cdf((margin - reach) / spread)) if spread > 0 else float(margin > reach)
