"""Scores of the calibration half of val -> temperature, threshold, and the bounds of "unsure". Data in, value out."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from include.model.evaluation import Bools, Floats, cat_probability
from include.records import Figures, ThresholdRule

LOG_TEMPERATURES = (-3.0, 3.0)  # 0.05 to 20: what lies outside comes from a handful of photos, not from the network
NEARLY = 1e-7  # how close to 0 and 1 a probability may be where its logarithm is taken


def choose_figures(
    is_cat: Bools, logits: NDArray[np.floating], *, rule: ThresholdRule, precision_floor: float, coverage: float
) -> Figures:
    """All that turns logits, shape (photos, kinds), into verdicts; from photos that neither trained nor will judge."""
    temperature = fit_temperature(is_cat, logits)
    probability = cat_probability(logits, temperature=temperature)
    low, high = unsure_bounds(is_cat, probability, coverage=coverage)
    threshold = choose_threshold(is_cat, probability, rule=rule, precision_floor=precision_floor)
    return Figures(threshold=threshold, unsure_from=low, unsure_to=high, temperature=temperature)


def fit_temperature(is_cat: Bools, logits: NDArray[np.floating]) -> float:
    """The divisor of the logits that makes the labels most likely (temperature scaling, Guo et al., ICML 2017)."""

    def surprise(log_temperature: float) -> float:
        probability = cat_probability(logits, temperature=float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(np.where(is_cat, probability, 1 - probability), NEARLY)).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=LOG_TEMPERATURES, method="bounded").x))


def choose_threshold(is_cat: Bools, probability: Floats, *, rule: ThresholdRule, precision_floor: float) -> float:
    """The threshold with the best expected F1, or with the highest recall of those expected to reach the floor.

    Expected: photos count by a logistic fit of their labels to their score (Platt, 1999), not by the labels, which
    are few: the threshold then moves much less from one draw of photos to another (docs/adr). Where no threshold
    reaches the floor, the most precise one is taken. Of the range down to the next score the middle is taken.
    """
    score = _log_odds(probability)[:, None]
    chance = LogisticRegression(C=1e6).fit(score, is_cat).predict_proba(score)[:, 1]
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.diff(probability[order]) != 0, True)
    called = np.arange(1, len(order) + 1)[ends]
    hits = np.cumsum(chance[order])[ends]
    steps = np.append(probability[order][ends], 0.0)
    best = _best(hits, called, chance.sum(), rule, precision_floor)
    return float((steps[best] + steps[best + 1]) / 2)


def unsure_bounds(is_cat: Bools, probability: Floats, *, coverage: float) -> tuple[float, float]:
    """Between these two a photo may be either: of all cats at most ``1 - coverage`` lie below, of all others above.

    Split conformal prediction for each class by itself (Vovk, 2012): it holds for any network and any share of cats,
    as long as new cats look like these cats, and new others like these others.
    """
    return _tail(probability[is_cat], coverage), 1 - _tail(1 - probability[~is_cat], coverage)


def _best(hits: Floats, called: NDArray[np.int64], cats: float, rule: ThresholdRule, precision_floor: float) -> int:
    if rule == "best_f1":
        return int(np.argmax(2 * hits / (called + cats)))
    precision = hits / called
    reaching = np.flatnonzero(precision >= precision_floor)
    return int(reaching[-1]) if len(reaching) else int(np.argmax(precision))


def _tail(values: Floats, coverage: float) -> float:
    """The value that a new one falls below with a chance of at most ``1 - coverage``; 0 where too few are known."""
    place = int(np.floor((1 - coverage) * (len(values) + 1) + 1e-9))
    return float(np.sort(values)[place - 1]) if place else 0.0


def _log_odds(probability: Floats) -> Floats:
    return np.asarray(logit(np.clip(probability, NEARLY, 1 - NEARLY)))
