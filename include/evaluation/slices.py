"""The test split by what its photos are: figures where a model may be weak while the whole looks well."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.evaluation.metrics import Bools, Floats, compute_metrics
from include.records import SLICE_PROPERTIES, UPLOADS, Interval

FEW = 10  # cats or others: with fewer, an interval would only look like knowledge
BASE = "base"


@dataclass(frozen=True)
class Slice:
    """Some photos of the test split; ``few`` says that there are too few for intervals."""

    by: str
    name: str
    about: str
    photos: int
    cats: int
    few: bool
    figures: dict[str, Interval]


def slice_metrics(test: pd.DataFrame, *, threshold: float, seed: int) -> list[Slice]:
    """The figures of the base photos (what floors are judged on), and of every slice that has photos.

    Slices are by source (the cats against each other source: photos of one source have one label, so precision needs
    the cats beside them), the users' photos, and those of SLICE_PROPERTIES, cut into thirds. ``test`` has the columns
    label,
    source, probability, and those of SLICE_PROPERTIES.
    """
    is_cat, probability = (test["label"] == "cat").to_numpy(bool), test["probability"].to_numpy(float)
    return [
        _measure(by, name, about, is_cat[rows], probability[rows], threshold, seed)
        for by, name, about, rows in (*_by_source(test), *_by_looks(test))
        if rows.any()
    ]


def predicted_positive_rates(test: pd.DataFrame, *, threshold: float) -> dict[str, dict[str, float]]:
    """Per source: how many photos, and the share of them that is called a cat (recall for cats, else false alarms)."""
    said = (test["probability"] >= threshold).groupby(test["source"])
    return {str(source): {"photos": len(rows), "predicted_positive_rates": float(rows.mean())} for source, rows in said}


def _measure(by: str, name: str, about: str, is_cat: Bools, probability: Floats, threshold: float, seed: int) -> Slice:
    cats = int(is_cat.sum())
    few = name != BASE and min(cats, len(is_cat) - cats) < FEW
    found = compute_metrics(is_cat, probability, threshold=threshold, seed=seed)
    figures = {key: Interval(one.value, None, None) for key, one in found.items()} if few else found
    return Slice(by, name, about, len(is_cat), cats, few, figures)


def _by_source(test: pd.DataFrame) -> Iterator[tuple[str, str, str, Bools]]:
    source: NDArray[Any] = test["source"].to_numpy(str)
    from_base = source != UPLOADS
    yield BASE, BASE, "all base photos", from_base
    for other in sorted(set(source[from_base]) - {"cats"}):
        yield "source", f"cats_vs_{other}", f"cats against {other}", (source == "cats") | (source == other)
    yield UPLOADS, UPLOADS, "users' photos, reviewed", ~from_base


def _by_looks(test: pd.DataFrame) -> Iterator[tuple[str, str, str, Bools]]:
    for by, names in SLICE_PROPERTIES.items():
        value = test[by].to_numpy(float)
        low, high = np.quantile(value, [1 / 3, 2 / 3])
        thirds = (value < low, (value >= low) & (value < high), value >= high)
        bounds = (f"below {low:.3g}", f"{low:.3g} to {high:.3g}", f"from {high:.3g} on")
        for name, bound, rows in zip(names, bounds, thirds, strict=True):
            yield by, f"{by}_{name}", f"{name} ({by} {bound})", rows
