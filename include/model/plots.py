"""Pictures of an evaluation; but for the worst errors none of them shows a photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import ConfusionMatrixDisplay, PrecisionRecallDisplay

from include.model.evaluation import Bools, Floats, calibration_bins
from include.model.slices import BASE, Slice

NAMES = ["not a cat", "cat"]
BLUE, ORANGE, GREY = "#1f5fa8", "#d9822b", "#8a8f98"
SHOWN = {"precision": BLUE, "recall": ORANGE}  # of a slice
COLUMNS = 6  # of the sheet of errors


@dataclass(frozen=True)
class Mistake:
    """A photo that was judged wrong, and what was said of it."""

    photo: Image.Image
    source: str
    probability: float


def draw_confusion(is_cat: Bools, probability: Floats, *, threshold: float) -> Figure:
    figure, axes = _sheet("What was called what")
    ConfusionMatrixDisplay.from_predictions(
        is_cat, probability >= threshold, labels=[False, True], display_labels=NAMES, cmap="Blues", colorbar=False,
        ax=axes,
    )  # fmt: skip
    axes.set(xlabel="Said", ylabel="True")
    return figure


def draw_precision_recall(is_cat: Bools, probability: Floats, *, threshold: float) -> Figure:
    """The curve, with the model's own threshold as a dot on it."""
    figure, axes = _sheet("Precision against recall")
    PrecisionRecallDisplay.from_predictions(
        is_cat, probability, name="all thresholds", ax=axes, curve_kwargs={"color": BLUE}
    )
    called = probability >= threshold
    hits = (is_cat & called).sum()
    place = hits / max(is_cat.sum(), 1), hits / max(called.sum(), 1)
    axes.plot(*place, "o", color=ORANGE, label=f"threshold {threshold:.2f}")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Recall: cats that are found", ylabel="Precision: calls that hold")
    axes.legend(loc="lower left")
    return figure


def draw_reliability(is_cat: Bools, probability: Floats) -> Figure:
    """What was said against what was so, in bins of equally many photos (Murphy & Winkler, 1977); below, how often."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True, height_ratios=[3, 1])
    bins = calibration_bins(probability)
    said = [probability[rows].mean() for rows in bins]
    upper.plot([0, 1], [0, 1], "--", color=GREY, label="as said")
    upper.plot(said, [is_cat[rows].mean() for rows in bins], "o-", color=BLUE, label="a tenth of the photos each")
    upper.set(title="Does it know how sure it is?", ylabel="Share of cats", ylim=(-0.02, 1.02))
    upper.legend(loc="upper left")
    for chosen, colour, name in ((~is_cat, GREY, NAMES[0]), (is_cat, ORANGE, NAMES[1])):
        lower.hist(probability[chosen], bins=np.linspace(0, 1, 21), color=colour, alpha=0.7, label=name)
    lower.set(xlabel="P(cat)", ylabel="Photos")
    lower.legend(loc="upper center")
    return figure


def draw_slices(slices: Sequence[Slice]) -> Figure:
    """Precision and recall of each slice, as dots with their intervals; the lines are those of all base photos."""
    figure = Figure(figsize=(9, 0.8 + 0.42 * len(slices)), layout="constrained")
    axes = figure.subplots()
    for shift, (name, colour) in zip((-0.13, 0.13), SHOWN.items(), strict=True):
        for row, one in enumerate(slices):
            found, label = one.figures[name], name if not row else None
            if found.low is not None and found.high is not None:
                axes.plot([found.low, found.high], [row + shift] * 2, color=colour, linewidth=2)
            axes.plot(found.value, row + shift, "o", color=colour, fillstyle="none" if one.few else "full", label=label)
            if one.by == BASE:
                axes.axvline(found.value, color=colour, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(slices)), [f"{one.about}  ({_told(one)})" for one in slices])
    axes.invert_yaxis()
    axes.set(xlim=(-0.02, 1.02))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


def draw_mistakes(mistakes: Sequence[Mistake]) -> Figure:
    """The photos on one sheet, the worst first, each with its source and P(cat)."""
    rows = max(1, -(-len(mistakes) // COLUMNS))
    figure = Figure(figsize=(2 * COLUMNS, 2.2 * rows), layout="constrained")
    for axes in figure.subplots(rows, COLUMNS, squeeze=False).flat:
        axes.axis("off")
    for axes, mistake in zip(figure.axes, mistakes, strict=False):
        axes.imshow(np.asarray(mistake.photo))
        axes.set_title(f"{mistake.source}, P(cat) {mistake.probability:.2f}", fontsize=9)
    return figure


def _told(one: Slice) -> str:
    return f"{one.photos} photos, {one.cats} cats" + (", too few" if one.few else "")


def _sheet(title: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes
