"""The product's own metrics of a model on photos that it did not learn from."""

from dataclasses import asdict
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from include.dataset.examples import is_positive
from include.evaluation.metrics import compute_metrics
from include.evaluation.slices import predicted_positive_rates
from include.settings import Settings

METRICS = ("precision", "recall", "average_precision", "roc_auc")


def model_metrics(photos: pd.DataFrame, probability: NDArray, *, threshold: float) -> dict[str, Any]:
    """METRICS with 95 % intervals, the number of ``photos``, and ``predicted_positive_rates`` by source.

    ``probability`` is P(positive), float64, shape (photos,).
    """
    metrics = compute_metrics(is_positive(photos), probability, threshold=threshold, seed=Settings().seed)
    rates = predicted_positive_rates(photos.assign(probability=probability), threshold=threshold)
    return {name: asdict(metrics[name]) for name in METRICS} | {
        "photos": len(photos),
        "predicted_positive_rates": rates,
    }
