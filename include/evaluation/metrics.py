"""Scores -> metrics with 95 % intervals."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

from include.records import DecisionRule, Interval

RESAMPLES = 1000
TOGETHER = 100  # resamples at a time: memory stays flat however many photos there are
BINS = 10  # of the calibration error, with equally many photos in each
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Metrics = dict[str, Floats]  # each metric, once per row of weights


def positive_log_odds(logits: NDArray[np.floating], positive_classes: Sequence[int]) -> Floats:
    """Log-odds of the positive classes against all others, shape (photos,), from logits (photos, classes)."""
    exact, positive = logits.astype(np.float64), np.isin(np.arange(logits.shape[1]), positive_classes)
    return np.asarray(np.logaddexp.reduce(exact[:, positive], 1) - np.logaddexp.reduce(exact[:, ~positive], 1))


def positive_probability(logits: NDArray[np.floating], rule: DecisionRule) -> Floats:
    """P(positive) as people see it, shape (photos,), from logits (photos, classes)."""
    return np.asarray(expit(rule.slope * positive_log_odds(logits, rule.positive_classes) + rule.intercept))


def class_probabilities(logits: NDArray[np.floating], rule: DecisionRule) -> Floats:
    """P(class), shape (photos, classes), from logits of that shape. The positive classes add up to P(positive).

    Within the positive classes, and within the others, each has its share by their softmax.
    """
    exact, probability = logits.astype(np.float64), positive_probability(logits, rule)[:, None]
    positive = np.isin(np.arange(logits.shape[1]), rule.positive_classes)
    shares = np.empty_like(exact)
    for classes, whole in ((positive, probability), (~positive, 1 - probability)):
        shares[:, classes] = whole * softmax(exact[:, classes], axis=1)
    return shares


def compute_metrics(
    is_positive: Bools, probability: Floats, *, threshold: float, seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """The metrics of a set of photos, each with its 95 % percentile bootstrap interval (Efron, 1979).

    A share of nothing (no positive photos, or none predicted) counts as 0, so that it passes no floor. The
    calibration error is the root mean square over BINS; few photos make it large by chance alone, and value and
    interval are freed of that, by how much larger its square is in the resamples than in the sample (the debiased
    estimate of Kumar, Liang & Ma, NeurIPS 2019; bootstrap bias: Efron & Tibshirani, 1993, ch. 10).
    """
    metrics = _all_metrics(is_positive, probability, threshold)
    values = {name: float(value[0]) for name, value in metrics(np.ones((1, len(is_positive)))).items()}
    drawn = [metrics(weights) for weights in bootstrap_weights(len(is_positive), seed=seed, resamples=resamples)]
    resampled = {name: np.concatenate([part[name] for part in drawn]) for name in values}
    squared, drawn_squared = values.pop("calibration_error"), resampled.pop("calibration_error")
    intervals = {name: _interval(value, resampled[name]) for name, value in values.items()}
    return intervals | {"calibration_error": _debiased(squared, drawn_squared)}


def calibration_error(is_positive: Bools, probability: Floats, *, seed: int, resamples: int = RESAMPLES) -> Interval:
    """The calibration error alone, as in ``compute_metrics``."""
    bins = calibration_bins(probability)
    weights = bootstrap_weights(len(is_positive), seed=seed, resamples=resamples)
    drawn = np.concatenate([_squared_calibration_error(is_positive, probability, part, bins) for part in weights])
    whole = np.ones((1, len(is_positive)))
    return _debiased(float(_squared_calibration_error(is_positive, probability, whole, bins)[0]), drawn)


def bootstrap_weights(photos: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Bootstrap resamples as weights: how often each photo was drawn, (up to TOGETHER, photos) at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, TOGETHER):
        yield rng.multinomial(photos, np.full(photos, 1 / photos), min(TOGETHER, resamples - start))


def average_precision(is_positive: Bools, probability: Floats, weights: NDArray[Any]) -> Floats:
    """Weighted average precision, once per row of ``weights`` (resamples, photos); as scikit-learn defines it."""
    hits, predicted = _cumulative_counts(is_positive, probability, weights)
    gained = np.diff(hits, axis=1, prepend=0) * hits / np.maximum(predicted, 1e-12)
    return np.asarray(np.minimum(1.0, gained.sum(axis=1) / np.maximum(hits[:, -1], 1e-12)))  # it may round above


def roc_auc(is_positive: Bools, probability: Floats, weights: NDArray[Any]) -> Floats:
    """Weighted area under the ROC curve, once per row of ``weights``; 0 where one of the labels is missing."""
    hits, predicted = _cumulative_counts(is_positive, probability, weights)
    alarms = predicted - hits
    area = np.diff(alarms, axis=1, prepend=0) * (hits + np.hstack([np.zeros((len(hits), 1)), hits[:, :-1]])) / 2
    return np.asarray(area.sum(axis=1) / np.maximum(hits[:, -1] * alarms[:, -1], 1e-12))


def calibration_bins(probability: Floats, *, bins: int = BINS) -> list[NDArray[np.int64]]:
    """The photos by rising score, cut into bins of equally many; empty bins are left out."""
    order = np.argsort(probability, kind="stable")
    return [rows for rows in np.array_split(order, bins) if len(rows)]


def _all_metrics(is_positive: Bools, probability: Floats, threshold: float) -> Callable[[NDArray[Any]], Metrics]:
    """All metrics of some photos, as a function of weights (resamples, photos)."""
    predicted, bins = probability >= threshold, calibration_bins(probability)

    def metrics(weights: NDArray[Any]) -> Metrics:
        hits = weights[:, is_positive & predicted].sum(axis=1)
        precision = hits / np.maximum(weights[:, predicted].sum(axis=1), 1e-12)
        recall = hits / np.maximum(weights[:, is_positive].sum(axis=1), 1e-12)
        return {
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / np.maximum(precision + recall, 1e-12),
            "average_precision": average_precision(is_positive, probability, weights),
            "roc_auc": roc_auc(is_positive, probability, weights),
            "calibration_error": _squared_calibration_error(is_positive, probability, weights, bins),
        }

    return metrics


def _squared_calibration_error(
    is_positive: Bools, probability: Floats, weights: NDArray[Any], bins: list[NDArray[np.int64]]
) -> Floats:
    """Mean square of how far the share of positive photos in a bin lies from the mean P(positive) there."""
    excess = weights * (probability - is_positive)
    gaps = (excess[:, rows].sum(axis=1) ** 2 / np.maximum(weights[:, rows].sum(axis=1), 1e-12) for rows in bins)
    return np.asarray(sum(gaps) / weights.sum(axis=1))


def _cumulative_counts(is_positive: Bools, probability: Floats, weights: NDArray[Any]) -> tuple[Floats, Floats]:
    """True positives and predicted positives as the threshold falls; equal scores fall together."""
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.diff(probability[order]) != 0, True)
    hits = np.cumsum(weights[:, order] * is_positive[order], axis=1)[:, ends]
    return hits.astype(np.float64), np.cumsum(weights[:, order], axis=1)[:, ends].astype(np.float64)


def _debiased(squared: float, drawn_squared: Floats) -> Interval:
    by_chance = float(drawn_squared.mean()) - squared
    drawn = np.sqrt(np.maximum(0.0, drawn_squared - 2 * by_chance))
    return _interval(max(0.0, squared - by_chance) ** 0.5, drawn)


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))
