"""The test split in slices: where a model may be weak although its overall metrics look good."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.examples import is_positive
from include.evaluation.metrics import Bools, Floats, compute_metrics
from include.question import Question
from include.records import SLICE_PROPERTIES, UPLOADS, Interval

FEW = 10  # positive or negative photos: with fewer, an interval would suggest knowledge that is not there
BASE = "base"


@dataclass(frozen=True)
class Slice:
    """Some photos of the test split; ``few`` marks those with too few photos for intervals."""

    by: str
    name: str
    about: str
    photos: int
    positives: int
    few: bool
    metrics: dict[str, Interval]


def slice_metrics(test: pd.DataFrame, question: Question, *, threshold: float, seed: int) -> list[Slice]:
    """The metrics of the base photos (on which the floors count), and of every slice that has photos.

    Slices are by source (all positive photos against one negative source: photos of one source have one label, so
    precision needs the others), the users' photos, and those of SLICE_PROPERTIES, cut into thirds. ``test`` has the
    columns label, source, probability, and those of SLICE_PROPERTIES.
    """
    positive, probability = is_positive(test), test["probability"].to_numpy(float)
    return [
        _slice(by, name, about, positive[rows], probability[rows], threshold, seed)
        for by, name, about, rows in (*_by_source(test, question), *cut_by_property(test))
        if rows.any()
    ]


def predicted_positive_rates(test: pd.DataFrame, *, threshold: float) -> dict[str, dict[str, float]]:
    """Per source: how many photos, and the share predicted positive (recall, or the false positive rate)."""
    predicted = (test["probability"] >= threshold).groupby(test["source"])
    return {str(source): {"photos": len(rows), "predicted_positive": float(rows.mean())} for source, rows in predicted}


def _slice(by: str, name: str, about: str, positive: Bools, probability: Floats, threshold: float, seed: int) -> Slice:
    positives = int(positive.sum())
    few = name != BASE and min(positives, len(positive) - positives) < FEW
    metrics = compute_metrics(positive, probability, threshold=threshold, seed=seed)
    if few:
        metrics = {metric: Interval(interval.value, None, None) for metric, interval in metrics.items()}
    return Slice(by, name, about, len(positive), positives, few, metrics)


def _by_source(test: pd.DataFrame, question: Question) -> Iterator[tuple[str, str, str, Bools]]:
    source: NDArray[Any] = test["source"].to_numpy(str)
    positive = np.isin(source, question.positive)
    yield BASE, BASE, "all base photos", source != UPLOADS
    for other in question.negative_sources:
        if (source == other).any():
            yield (
                "source",
                f"against_{other}",
                f"{' and '.join(question.positive)} against {other}",
                (positive | (source == other)),
            )
    yield UPLOADS, UPLOADS, "users' photos, reviewed", source == UPLOADS


def cut_by_property(test: pd.DataFrame) -> Iterator[tuple[str, str, str, Bools]]:
    """The thirds of the photos by each of SLICE_PROPERTIES, a column each: property, name, description, rows."""
    for by, names in SLICE_PROPERTIES.items():
        value = test[by].to_numpy(float)
        low, high = np.quantile(value, [1 / 3, 2 / 3])
        thirds = (value < low, (value >= low) & (value < high), value >= high)
        bounds = (f"below {low:.3g}", f"{low:.3g} to {high:.3g}", f"{high:.3g} and above")
        for name, bound, rows in zip(names, bounds, thirds, strict=True):
            yield by, f"{by}_{name.replace(' ', '_')}", f"{name} ({by} {bound})", rows
