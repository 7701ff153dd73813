"""How a recipe does on the test side, by the product's own figures."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from include.model.evaluation import measure
from include.settings import Settings

FIGURES = ("precision", "recall", "average_precision")


def judge(test: pd.DataFrame, probability: np.ndarray, *, threshold: float) -> dict[str, Any]:
    """Figures with their 95 % intervals; ``probability`` is P(cat), float64, shape (photos of test,)."""
    is_cat = (test["label"] == "cat").to_numpy(bool)
    found = measure(is_cat, probability, threshold=threshold, seed=Settings().seed)
    return {"tested_on": len(test), "threshold": threshold} | {name: asdict(found[name]) for name in FIGURES}
