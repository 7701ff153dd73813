"""How good a model is on photos that it did not learn from, by the product's own metrics."""

from dataclasses import asdict
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from include.evaluation.metrics import compute_metrics
from include.evaluation.slices import predicted_positive_rates
from include.settings import Settings

METRICS = ("precision", "recall", "average_precision", "roc_auc")


def judge(photos: pd.DataFrame, probability: NDArray, *, threshold: float) -> dict[str, Any]:
    """METRICS with 95 % intervals; and ``predicted_positive_rates``: per source its photos and the share called a cat.

    ``probability`` is P(cat), float64, shape (photos,).
    """
    is_cat = (photos["label"] == "cat").to_numpy(bool)
    metrics = compute_metrics(is_cat, probability, threshold=threshold, seed=Settings().seed)
    shares = predicted_positive_rates(photos.assign(probability=probability), threshold=threshold)
    return {name: asdict(metrics[name]) for name in METRICS} | {
        "photos": len(photos),
        "predicted_positive_rates": shares,
    }
