"""The checks of a model's predictions, and the explicit condition that each of them must meet."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from deepchecks.core import CheckResult, SuiteResult
from deepchecks.core.errors import DeepchecksProcessError
from deepchecks.tabular import Context, Dataset, Suite, checks

from include.validation.deepchecks_env import noise_limits
from include.validation.deepchecks_env.condition import Check

SEGMENT = 0.1  # share of the photos that a segment has at least; what is smaller is weak by chance
ROUNDS = 60  # shuffles, a tenth of a second each
NOWHERE = "no part of the photos"
METRIC = "balanced_accuracy"  # each label counts half: cats are a quarter of the photos


@dataclass(frozen=True)
class Predictions:
    """A row for each photo: `is_cat` and `says_cat` (0 or 1), `probability` (P(cat)), and the columns of ``looks``."""

    table: pd.DataFrame
    looks: list[str]

    def on(self, split: str) -> "Predictions":
        return Predictions(self.table[self.table["split"] == split], self.looks)

    @property
    def right(self) -> pd.Series:
        """1.0 where the photo was judged right, else 0.0."""
        return (self.table["is_cat"] == self.table["says_cat"]).astype(float)

    @property
    def of_both(self) -> np.ndarray:
        """P(not a cat) and P(cat): (photos, 2)."""
        probability = self.table["probability"].to_numpy()
        return np.stack([1 - probability, probability], axis=1)

    def as_dataset(self) -> Dataset:
        return Dataset(
            self.table[[*self.looks, "is_cat"]],
            label="is_cat",
            label_type="binary",
            features=self.looks,
            cat_features=[],
        )


class WeakSegments(checks.WeakSegmentsPerformance):
    """Deepchecks raises where no cut through the photos parts good from bad; here that is a list without segments."""

    def run_logic(self, context: Context, dataset_kind: Any) -> CheckResult:
        try:
            return super().run_logic(context, dataset_kind)
        except DeepchecksProcessError:
            return CheckResult({"weak_segments_list": pd.DataFrame(), "avg_score": None})


def weak_segments_check(photos: Predictions, limits: dict[str, float]) -> Check:
    """Where the model is weak: by how much less often photos are judged right there, as a share of all."""
    right, dataset = photos.right, photos.as_dataset()
    rng = np.random.default_rng(0)
    shuffled = [pd.Series(rng.permutation(right), index=right.index) for _ in range(ROUNDS)]
    found = [_search(scores).run(dataset, with_display=False).value for scores in shuffled]
    by_chance = noise_limits.of_shuffles([max(_weakness(value, right.mean()).values()) for value in found])
    limit = max(limits["max_weakness"], by_chance)
    return Check("weak segments", _search(right), lambda value: _weakness(value, right.mean()), limit)


def split_checks(val: Predictions, test: Predictions, limits: dict[str, float]) -> list[Check]:
    """Is the model better than a tree that knows only ``looks``, and does it say the same of val as of test.

    The first limit needs nothing for chance: a model that cannot be told from such a tree shall be told.
    """
    tree = "a tree of " + ", ".join(test.looks)
    drift = max(limits["max_prediction_drift"], noise_limits.ks(len(val.table), len(test.table)))
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
            lambda value: {"P(cat)": value["Drift score"]},
            drift,
        ),
    ]


def run_check(judge: Check, photos: Predictions) -> SuiteResult:
    return Suite("All photos", judge.with_condition()).run(photos.as_dataset(), with_display=False)


def run_checks(checks: list[Check], val: Predictions, test: Predictions) -> SuiteResult:
    """Val is the side that a simple model learns from, and that drift is measured against."""
    suite = Suite("Val and test", *(judge.with_condition() for judge in checks))
    said = {
        "y_pred_train": val.table["says_cat"].to_numpy(),
        "y_pred_test": test.table["says_cat"].to_numpy(),
        "y_proba_train": val.of_both,
        "y_proba_test": test.of_both,
    }
    return suite.run(val.as_dataset(), test.as_dataset(), with_display=False, model_classes=[0, 1], **said)


def segments_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """The weakest segments, worst first: what they are, how many photos, and the share that is judged right."""
    return [
        {"about": _about(row), "photos": len(row["Samples in Segment"]), "right": float(row.iloc[0])}
        for _, row in value["weak_segments_list"].iterrows()
    ]


def _search(right: pd.Series) -> WeakSegments:
    return WeakSegments(score_per_sample=right, segment_minimum_size_ratio=SEGMENT)


def _weakness(value: dict[str, Any], mean: float) -> dict[str, float]:
    return {one["about"]: 1 - one["right"] / mean for one in segments_of(value)} or {NOWHERE: 0.0}


def _about(segment: pd.Series) -> str:
    names = [name for name in ("Feature1", "Feature2") if segment[name]]
    return ", ".join(f"{segment[name]} {_range(*segment[f'{name} Range'])}" for name in names)


def _range(low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"up to {high:.3g}"
    return f"above {low:.3g}" + (f" and up to {high:.3g}" if np.isfinite(high) else "")


def _errors_left(scores: dict[str, float]) -> float:
    """0 a perfect model, 1 no better than the simple one; infinite where only the simple one is perfect."""
    of_model, of_simple = 1 - scores["Origin"], 1 - scores["Simple"]
    return float(np.divide(of_model, of_simple)) if of_model else 0.0
