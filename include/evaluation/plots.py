"""Plots of an evaluation; none of them shows a photo."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay

from include.evaluation.metrics import Bools, Floats, calibration_bins
from include.evaluation.slices import BASE, Slice
from include.pages.images import data_url

BLUE, ORANGE, GREY = "#1f5fa8", "#d9822b", "#8a8f98"
SHOWN = {"precision": BLUE, "recall": ORANGE}  # of a slice


def to_data_url(plot: Figure) -> str:
    """A plot as an HTML page carries it: SVG in a data URL."""
    file = io.BytesIO()
    plot.savefig(file, format="svg")
    return data_url(file.getvalue(), "image/svg+xml")


def draw_confusion(is_positive: Bools, probability: Floats, *, threshold: float, noun: str) -> Figure:
    figure, axes = _sheet("Confusion matrix")
    ConfusionMatrixDisplay.from_predictions(
        is_positive, probability >= threshold, labels=[False, True], display_labels=[f"not {noun}", noun], cmap="Blues",
        colorbar=False,
        ax=axes,
    )  # fmt: skip
    axes.set(xlabel="Predicted", ylabel="True")
    return figure


def draw_precision_recall(is_positive: Bools, probability: Floats, *, threshold: float) -> Figure:
    """The curve, with the model's own threshold as a dot on it."""
    figure, axes = _sheet("Precision-recall curve")
    PrecisionRecallDisplay.from_predictions(
        is_positive, probability, name="all thresholds", ax=axes, curve_kwargs={"color": BLUE}
    )
    predicted = probability >= threshold
    hits = int((is_positive & predicted).sum())
    place = hits / max(int(is_positive.sum()), 1), hits / max(int(predicted.sum()), 1)
    axes.plot(*place, "o", color=ORANGE, label=f"threshold {threshold:.2f}")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Recall", ylabel="Precision")
    axes.legend(loc="lower left")
    return figure


def draw_reliability(is_positive: Bools, probability: Floats, *, noun: str) -> Figure:
    """The share of positive photos against P(positive), in equally filled bins (Murphy & Winkler, 1977)."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    bins = calibration_bins(probability)
    predicted = [probability[rows].mean() for rows in bins]
    upper.plot([0, 1], [0, 1], "--", color=GREY, label="perfectly calibrated")
    upper.plot(
        predicted, [is_positive[rows].mean() for rows in bins], "o-", color=BLUE, label="a tenth of the photos each"
    )
    upper.set(title="Reliability diagram", ylabel="Share of positive photos", ylim=(-0.02, 1.02))
    upper.legend(loc="upper left")
    for chosen, colour, name in ((~is_positive, GREY, f"not {noun}"), (is_positive, ORANGE, noun)):
        lower.hist(probability[chosen], bins=np.linspace(0, 1, 21), color=colour, alpha=0.7, label=name)
    lower.set(xlabel="P(positive)", ylabel="Photos")
    lower.legend(loc="upper center")
    return figure


def draw_slices(slices: Sequence[Slice]) -> Figure:
    """Precision and recall of each slice, as dots with their intervals; the lines are those of all base photos."""
    figure = Figure(figsize=(9, 0.8 + 0.42 * len(slices)), layout="constrained")
    axes = figure.subplots()
    for shift, (name, colour) in zip((-0.13, 0.13), SHOWN.items(), strict=True):
        for row, part in enumerate(slices):
            metric, label = part.metrics[name], name if not row else None
            if metric.low is not None and metric.high is not None:
                axes.plot([metric.low, metric.high], [row + shift] * 2, color=colour, linewidth=2)
            style = "none" if part.few else "full"
            axes.plot(metric.value, row + shift, "o", color=colour, fillstyle=style, label=label)
            if part.by == BASE:
                axes.axvline(metric.value, color=colour, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(slices)), [f"{part.about}  ({_size(part)})" for part in slices])
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def _size(part: Slice) -> str:
    return f"{part.photos} photos, {part.positives} positive" + (", too few" if part.few else "")


def _sheet(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
