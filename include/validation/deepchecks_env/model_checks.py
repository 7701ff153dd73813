"""The Deepchecks checks of a model's predictions, each with an explicit limit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from deepchecks.core import CheckResult, SuiteResult
from deepchecks.core.errors import DeepchecksProcessError
from deepchecks.tabular import Context, Dataset, Suite, checks

from include.validation.deepchecks_env import noise_limits
from include.validation.deepchecks_env.condition import Check

SEGMENT = 0.1  # smallest share of the photos in a segment; smaller ones are weak by chance
ROUNDS = 60  # shuffles, each of which takes a tenth of a second
NOWHERE = "no part of the photos"
METRIC = "balanced_accuracy"  # both labels count equally, however rare positive photos are


@dataclass(frozen=True)
class Predictions:
    """Predictions of a model, a row for each photo.

    Columns: `split`, `is_positive` and `predicted` (0 or 1), `probability` (P(positive)), and ``properties``.
    """

    table: pd.DataFrame
    properties: list[str]

    def on(self, split: str) -> "Predictions":
        """The predictions on one split."""
        return Predictions(self.table[self.table["split"] == split], self.properties)

    @property
    def right(self) -> pd.Series:
        """1.0 for a correct prediction, else 0.0: float64, shape (photos,)."""
        return (self.table["is_positive"] == self.table["predicted"]).astype(float)

    @property
    def of_both(self) -> np.ndarray:
        """P(negative) and P(positive): float64, shape (photos, 2)."""
        probability = self.table["probability"].to_numpy()
        return np.stack([1 - probability, probability], axis=1)

    def as_dataset(self) -> Dataset:
        return Dataset(
            self.table[[*self.properties, "is_positive"]],
            label="is_positive",
            label_type="binary",
            features=self.properties,
            cat_features=[],
        )


class WeakSegments(checks.WeakSegmentsPerformance):
    """Deepchecks raises an error if it finds no weak segments; here the list of segments is then empty."""

    def run_logic(self, context: Context, dataset_kind: Any) -> CheckResult:
        try:
            return super().run_logic(context, dataset_kind)
        except DeepchecksProcessError:
            return CheckResult({"weak_segments_list": pd.DataFrame(), "avg_score": None})


def weak_segments_check(photos: Predictions, limits: dict[str, float]) -> Check:
    """Weak segments: by how much the accuracy in a segment is below that of all photos, as a share of the latter.

    The limit is the setting, or the noise limit of searches over shuffled photos if that is higher.
    """
    right, dataset = photos.right, photos.as_dataset()
    rng = np.random.default_rng(0)
    shuffled = [pd.Series(rng.permutation(right), index=right.index) for _ in range(ROUNDS)]
    values = [_search(scores).run(dataset, with_display=False).value for scores in shuffled]
    noise_limit = noise_limits.of_shuffles([max(_weakness(value, right.mean()).values()) for value in values])
    limit = max(limits["max_weakness"], noise_limit)
    return Check("weak segments", _search(right), lambda value: _weakness(value, right.mean()), limit)


def split_checks(val: Predictions, test: Predictions, limits: dict[str, float]) -> list[Check]:
    """Compare the model with a decision tree on ``properties``, and its predictions on val with those on test.

    The limit of the first check has no noise limit: a model that may be no better than the tree should fail.
    """
    tree = "a tree of " + ", ".join(test.properties)
    max_drift = max(limits["max_prediction_drift"], noise_limits.ks(len(val.table), len(test.table)))
    return [
        Check(
            "simple model comparison",
            checks.SimpleModelComparison(strategy="tree", scorers=[METRIC]),
            lambda value: {tree: _errors_left(value["scores"][METRIC])},
            limits["max_error_ratio"],
        ),
        Check(
            "prediction drift",
            checks.PredictionDrift(drift_mode="proba"),
            lambda value: {"P(positive)": value["Drift score"]},
            max_drift,
        ),
    ]


def run_check(check: Check, photos: Predictions) -> SuiteResult:
    return Suite("All photos", check.with_condition()).run(photos.as_dataset(), with_display=False)


def run_checks(checks: list[Check], val: Predictions, test: Predictions) -> SuiteResult:
    """The simple model is fitted to val, and drift is measured from val to test."""
    suite = Suite("Val and test", *(check.with_condition() for check in checks))
    outputs = {
        "y_pred_train": val.table["predicted"].to_numpy(),
        "y_pred_test": test.table["predicted"].to_numpy(),
        "y_proba_train": val.of_both,
        "y_proba_test": test.of_both,
    }
    return suite.run(val.as_dataset(), test.as_dataset(), with_display=False, model_classes=[0, 1], **outputs)


def segments_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The weakest segments, worst first: their ranges, their number of photos, and their accuracy (``right``)."""
    return [
        {"about": _about(row), "photos": len(row["Samples in Segment"]), "right": float(row.iloc[0])}
        for _, row in value["weak_segments_list"].iterrows()
    ]


def _search(right: pd.Series) -> WeakSegments:
    return WeakSegments(score_per_sample=right, segment_minimum_size_ratio=SEGMENT)


def _weakness(value: dict[str, Any], mean: float) -> dict[str, float]:
    return {segment["about"]: 1 - segment["right"] / mean for segment in segments_of(value)} or {NOWHERE: 0.0}


def _about(segment: pd.Series) -> str:
    names = [name for name in ("Feature1", "Feature2") if segment[name]]
    return ", ".join(f"{segment[name]} {_range(*segment[f'{name} Range'])}" for name in names)


def _range(low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"up to {high:.3g}"
    return f"above {low:.3g}" + (f" and up to {high:.3g}" if np.isfinite(high) else "")


def _errors_left(scores: dict[str, float]) -> float:
    """Error of the model over that of the simple model; infinite if only the simple model is perfect."""
    model_error, simple_error = 1 - scores["Origin"], 1 - scores["Simple"]
    return float(np.divide(model_error, simple_error)) if model_error else 0.0
