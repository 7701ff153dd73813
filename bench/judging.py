"""How good a model is on photos that it did not learn from, by the product's own metrics."""

from dataclasses import asdict
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from include.model.evaluation import measure
from include.model.slices import called_cat
from include.settings import Settings

METRICS = ("precision", "recall", "average_precision", "roc_auc")


def judge(photos: pd.DataFrame, probability: NDArray, *, threshold: float) -> dict[str, Any]:
    """METRICS with their 95 % intervals, and under ``called_cat`` of each source its photos and the share called a cat.

    ``probability`` is P(cat), float64, shape (photos,).
    """
    is_cat = (photos["label"] == "cat").to_numpy(bool)
    metrics = measure(is_cat, probability, threshold=threshold, seed=Settings().seed)
    shares = called_cat(photos.assign(probability=probability), threshold=threshold)
    return {name: asdict(metrics[name]) for name in METRICS} | {"photos": len(photos), "called_cat": shares}
