"""Scores -> figures with intervals. Data in, value out."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

from include.records import CAT, DecisionRule, Interval

RESAMPLES = 1000
TOGETHER = 100  # resamples at a time: memory stays flat however many photos there are
BINS = 10  # of the calibration error, with equally many photos in each
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Metrics = dict[str, Floats]  # each figure, once per row of weights


def positive_log_odds(logits: NDArray[np.floating]) -> Floats:
    """Log-odds of cat against all other kinds, shape (photos,), from logits (photos, kinds)."""
    exact = logits.astype(np.float64)
    return np.asarray(exact[:, CAT] - logsumexp(np.delete(exact, CAT, axis=1), axis=1))


def positive_probability(logits: NDArray[np.floating], rule: DecisionRule) -> Floats:
    """P(cat) as people see it, shape (photos,), from logits (photos, kinds)."""
    return np.asarray(expit(rule.slope * positive_log_odds(logits) + rule.intercept))


def compute_metrics(
    is_cat: Bools, probability: Floats, *, threshold: float, seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """The figures of one set of photos, each with its 95 % percentile bootstrap interval (Efron, 1979).

    A share of nothing (no cats, or nothing called a cat) counts as 0, so that an empty figure passes no floor. The
    calibration error is the root mean square over BINS; few photos make it large by chance alone, and value and
    interval are freed of that, by how much larger its square is in the resamples than in the sample (the debiased
    estimate of Kumar, Liang & Ma, NeurIPS 2019; bootstrap bias: Efron & Tibshirani, 1993, ch. 10).
    """
    figures = _all_metrics(is_cat, probability, threshold)
    found = {name: float(value[0]) for name, value in figures(np.ones((1, len(is_cat)))).items()}
    drawn = [figures(weights) for weights in bootstrap_weights(len(is_cat), seed=seed, resamples=resamples)]
    resampled = {name: np.concatenate([part[name] for part in drawn]) for name in found}
    squared, drawn_squared = found["calibration_error"], resampled["calibration_error"]
    by_chance = float(drawn_squared.mean()) - squared
    found["calibration_error"] = max(0.0, squared - by_chance) ** 0.5
    resampled["calibration_error"] = np.sqrt(np.maximum(0.0, drawn_squared - 2 * by_chance))
    return {name: _interval(value, resampled[name]) for name, value in found.items()}


def bootstrap_weights(photos: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Bootstrap resamples as weights: how often each photo was drawn, (up to TOGETHER, photos) at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, TOGETHER):
        yield rng.multinomial(photos, np.full(photos, 1 / photos), min(TOGETHER, resamples - start))


def average_precision(is_cat: Bools, probability: Floats, weights: NDArray[Any]) -> Floats:
    """Weighted average precision, once per row of ``weights`` (resamples, photos); as scikit-learn defines it."""
    hits, called = _cumulative_counts(is_cat, probability, weights)
    gained = np.diff(hits, axis=1, prepend=0) * hits / np.maximum(called, 1e-12)
    return np.asarray(np.minimum(1.0, gained.sum(axis=1) / np.maximum(hits[:, -1], 1e-12)))  # it may round above


def roc_auc(is_cat: Bools, probability: Floats, weights: NDArray[Any]) -> Floats:
    """Weighted area under the ROC curve, once per row of ``weights``; 0 where cats or others are missing."""
    hits, called = _cumulative_counts(is_cat, probability, weights)
    alarms = called - hits
    area = np.diff(alarms, axis=1, prepend=0) * (hits + np.hstack([np.zeros((len(hits), 1)), hits[:, :-1]])) / 2
    return np.asarray(area.sum(axis=1) / np.maximum(hits[:, -1] * alarms[:, -1], 1e-12))


def calibration_bins(probability: Floats, *, bins: int = BINS) -> list[NDArray[np.int64]]:
    """The photos by rising score, cut into bins of equally many; empty bins are left out."""
    order = np.argsort(probability, kind="stable")
    return [rows for rows in np.array_split(order, bins) if len(rows)]


def _all_metrics(is_cat: Bools, probability: Floats, threshold: float) -> Callable[[NDArray[Any]], Metrics]:
    """All figures of some photos, as a function of weights (resamples, photos)."""
    called, bins = probability >= threshold, calibration_bins(probability)

    def figures(weights: NDArray[Any]) -> Metrics:
        hits = weights[:, is_cat & called].sum(axis=1)
        precision = hits / np.maximum(weights[:, called].sum(axis=1), 1e-12)
        recall = hits / np.maximum(weights[:, is_cat].sum(axis=1), 1e-12)
        return {
            "precision": precision,
            "recall": recall,
            "f1": 2 * precision * recall / np.maximum(precision + recall, 1e-12),
            "average_precision": average_precision(is_cat, probability, weights),
            "roc_auc": roc_auc(is_cat, probability, weights),
            "calibration_error": _squared_calibration_error(is_cat, probability, weights, bins),
        }

    return figures


def _squared_calibration_error(
    is_cat: Bools, probability: Floats, weights: NDArray[Any], bins: list[NDArray[np.int64]]
) -> Floats:
    """Mean square of how far the share of cats in a photo's bin lies from what was said there."""
    excess = weights * (probability - is_cat)
    gaps = (excess[:, rows].sum(axis=1) ** 2 / np.maximum(weights[:, rows].sum(axis=1), 1e-12) for rows in bins)
    return np.asarray(sum(gaps) / weights.sum(axis=1))


def _cumulative_counts(is_cat: Bools, probability: Floats, weights: NDArray[Any]) -> tuple[Floats, Floats]:
    """Cats found, and photos called a cat, as the threshold falls; equal scores fall together."""
    order = np.argsort(-probability, kind="stable")
    ends = np.append(np.diff(probability[order]) != 0, True)
    hits = np.cumsum(weights[:, order] * is_cat[order], axis=1)[:, ends]
    return hits.astype(np.float64), np.cumsum(weights[:, order], axis=1)[:, ends].astype(np.float64)


def _interval(value: float, drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))
