"""Scores -> the decision rule: Platt scaling, the threshold, and the band of unsure verdicts. Data in, value out."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from include.evaluation.metrics import Bools, Floats, positive_log_odds
from include.records import DecisionRule, ThresholdRule

EVEN_ODDS = 0.5
NEARLY = 1e-7  # how close to 0 and 1 a probability may be where its log-odds are taken


def fit_decision_rule(
    is_positive: Bools,
    logits: NDArray[np.floating],
    positive_classes: tuple[int, ...],
    *,
    rule: ThresholdRule,
    precision_floor: float,
    sure_from: float,
) -> DecisionRule:
    """All that turns logits, shape (photos, classes), into verdicts; fit it on photos that the network did not learn.

    By the rule ``even_odds`` a photo is positive when that is more probable than not.
    """
    score = positive_log_odds(logits, positive_classes)
    slope, intercept = fit_platt_scaling(is_positive, score)
    probability = expit(slope * score + intercept)
    threshold = EVEN_ODDS if rule == "even_odds" else threshold_for_precision(probability, precision_floor)
    return DecisionRule(threshold, *unsure_band(threshold, sure_from), positive_classes, slope, intercept)


def fit_platt_scaling(is_positive: Bools, score: Floats) -> tuple[float, float]:
    """Slope and intercept that turn log-odds, shape (photos,), into those of calibrated probabilities.

    Labels count as nearly 1 and nearly 0, by how many there are, so that classes without an error between them do not
    make the model certain (Platt, 1999, section 2.2).
    """
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    target = np.where(is_positive, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    labels = np.repeat([True, False], len(score))
    fit = LogisticRegression(C=1e6, max_iter=1000).fit(
        np.tile(score, 2)[:, None], labels, sample_weight=np.concatenate([target, 1 - target])
    )
    return float(fit.coef_[0, 0]), float(fit.intercept_[0])


def threshold_for_precision(probability: Floats, precision_floor: float) -> float:
    """The lowest threshold that is expected to reach the floor, so that recall is highest; shape (photos,).

    Expected: photos count by their calibrated probabilities, not by their labels, which are few near the threshold.
    Where no threshold reaches the floor, the most precise one is taken. Of the range down to the next score the middle
    is taken.
    """
    steps = np.append(np.sort(probability)[::-1], 0.0)
    precision = np.cumsum(steps[:-1]) / np.arange(1, len(steps))
    ends = np.flatnonzero(np.diff(steps))  # photos with equal scores are positive together
    reaching = ends[precision[ends] >= precision_floor]
    last = int(reaching[-1] if len(reaching) else ends[0])
    return float((steps[last] + steps[last + 1]) / 2)


def unsure_band(threshold: float, sure_from: float) -> tuple[float, float]:
    """The probabilities around the threshold whose verdict is unsure: those within the odds of ``sure_from``.

    At a threshold of one half these are the verdicts that are less than ``sure_from`` probable.
    """
    cut, reach = logit(np.clip(threshold, NEARLY, 1 - NEARLY)), logit(sure_from)
    return float(expit(cut - reach)), float(expit(cut + reach))
