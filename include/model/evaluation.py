"""Scores -> threshold -> figures with intervals. Data in, value out."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve

from include.model.feeding import ordered_batches
from include.model.network import CAT
from include.model.pixels import Pixels
from include.records import UPLOADS, Figures, Interval

RESAMPLES = 1000
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def score(network: keras.Model, pixels: Pixels, manifest: pd.DataFrame) -> Floats:
    """P(cat) of every photo of the manifest, in its order; float64, shape (photos,)."""
    logits = network.predict(ordered_batches(pixels, manifest), verbose=0)
    return cat_probability(logits)


def cat_probability(logits: NDArray[np.floating], *, temperature: float = 1.0) -> Floats:
    """Softmax over the kinds, shape (photos, kinds), of which the cats' share counts."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(weights[:, CAT] / weights.sum(axis=1))


def choose_figures(is_cat: Bools, probability: Floats, *, band: float) -> Figures:
    """The threshold with the best F1 on photos that neither trained nor will judge the model.

    Of the range between that score and the next lower one the middle is taken: new photos fall beside the old ones.
    """
    precision, recall, thresholds = precision_recall_curve(is_cat, probability)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f1[:-1]))
    below = thresholds[best - 1] if best else 0.0
    return Figures(threshold=float((thresholds[best] + below) / 2), band=band)


def measure(
    is_cat: Bools, probability: Floats, *, threshold: float, seed: int, resamples: int = RESAMPLES
) -> dict[str, Interval]:
    """Precision, recall, F1 and average precision, each with its 95 % percentile bootstrap interval (Efron, 1979).

    A share of nothing (no cats, or nothing called a cat) counts as 0, so that an empty figure passes no floor.
    """
    draws = np.random.default_rng(seed).multinomial(len(is_cat), np.full(len(is_cat), 1 / len(is_cat)), resamples)
    found = _figures(is_cat, probability, threshold, np.ones(len(is_cat)))
    drawn = [_figures(is_cat, probability, threshold, counts) for counts in draws]
    return {name: _interval(value, [figures[name] for figures in drawn]) for name, value in found.items()}


def measure_slices(
    test: pd.DataFrame, probability: Floats, *, threshold: float, seed: int
) -> dict[str, dict[str, Interval]]:
    """The figures of ``base`` (what floors are judged on), of the cats against each other source, and of uploads.

    Photos of one source have one label, so precision needs the cats beside them.
    """
    is_cat = (test["label"] == "cat").to_numpy(bool)
    return {
        name: measure(is_cat[rows], probability[rows], threshold=threshold, seed=seed)
        for name, rows in _slices(test["source"].to_numpy()).items()
        if rows.any()
    }


def called_cat(test: pd.DataFrame, probability: Floats, *, threshold: float) -> dict[str, dict[str, float]]:
    """Per source: how many photos, and the share of them that is called a cat (recall for cats, else false alarms)."""
    said = pd.Series(probability >= threshold, index=test.index).groupby(test["source"])
    return {str(source): {"photos": len(rows), "called_cat": float(rows.mean())} for source, rows in said}


def _slices(source: NDArray[Any]) -> Mapping[str, Bools]:
    from_base = source != UPLOADS
    others = sorted(set(source[from_base]) - {"cats"})
    against = {f"cats_vs_{other}": (source == "cats") | (source == other) for other in others}
    return {"base": from_base, **against, UPLOADS: ~from_base}


def _figures(is_cat: Bools, probability: Floats, threshold: float, weight: NDArray[Any]) -> dict[str, float]:
    called = probability >= threshold
    hits = float(weight[is_cat & called].sum())
    precision = hits / max(float(weight[called].sum()), 1e-12)
    recall = hits / max(float(weight[is_cat].sum()), 1e-12)
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / max(precision + recall, 1e-12),
        "average_precision": _average_precision(is_cat, probability, weight),
    }


def _average_precision(is_cat: Bools, probability: Floats, weight: NDArray[Any]) -> float:
    if not weight[is_cat].sum():
        return 0.0
    return min(1.0, float(average_precision_score(is_cat, probability, sample_weight=weight)))  # it may round above


def _interval(value: float, drawn: list[float]) -> Interval:
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(value, float(low), float(high))
