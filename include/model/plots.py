"""Pictures of an evaluation; none of them shows a photo."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay

NAMES = ["not a cat", "cat"]


def draw_confusion(is_cat: NDArray[np.bool_], probability: NDArray[np.float64], *, threshold: float) -> Figure:
    figure, axes = _sheet("Confusion matrix, test side")
    ConfusionMatrixDisplay.from_predictions(
        is_cat, probability >= threshold, display_labels=NAMES, cmap="Blues", colorbar=False, ax=axes
    )
    return figure


def draw_precision_recall(is_cat: NDArray[np.bool_], probability: NDArray[np.float64], *, threshold: float) -> Figure:
    """The curve, with the model's own threshold as a dot on it."""
    figure, axes = _sheet("Precision and recall, test side")
    PrecisionRecallDisplay.from_predictions(is_cat, probability, name="P(cat)", ax=axes)
    called = probability >= threshold
    hits = (is_cat & called).sum()
    axes.plot(hits / max(is_cat.sum(), 1), hits / max(called.sum(), 1), "o", label=f"threshold {threshold:.2f}")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision")
    axes.legend(loc="lower left")
    return figure


def _sheet(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
