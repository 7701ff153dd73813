"""Our own suite: which checks of Deepchecks are made, and the explicit condition that each of them must meet."""

from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from deepchecks.core import CheckResult, SuiteResult
from deepchecks.vision import Suite, VisionData, checks
from numpy.typing import NDArray

from include.validation.deepchecks_env import noise_limits
from include.validation.deepchecks_env.condition import Check
from include.validation.deepchecks_env.image_properties import PROPERTIES, grey

FAR_OUT = 3.0  # times the interquartile range beyond the quartiles: "far out" by Tukey, Exploratory Data Analysis, 1977


@dataclass(frozen=True)
class Part:
    """Pictures of one side: uint8 (pictures, size, size, 3), the numbers of their labels, their rows in the folder."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]

    def only(self, label: int) -> "Part":
        chosen = self.labels == label
        return Part(self.pixels[chosen], self.labels[chosen], self.rows[chosen])

    def as_vision_data(self, names: list[str]) -> VisionData:
        """A list of one batch: each check reads it anew, and ImagePropertyOutliers mixes up names over several."""
        batch = {
            "images": list(self.pixels),
            "labels": self.labels.tolist(),
            "image_identifiers": [str(row) for row in self.rows],
        }
        return VisionData([batch], "classification", label_map=dict(enumerate(names)), reshuffle_data=False)


def data_checks(first: Part, second: Part, limits: dict[str, float]) -> list[Check]:
    """The checks of one comparison. A limit is the setting, or what chance alone does to samples of this size."""
    sizes = len(first.rows), len(second.rows)
    shuffled = noise_limits.mean_pictures(grey(first.pixels), grey(second.pixels))
    return [
        Check(
            "label drift",
            checks.LabelDrift(),
            _label_drift,
            max(limits["max_label_drift"], noise_limits.cramers_v(*sizes)),
        ),
        property_drift_check(first, second, limits),
        Check(
            "image dataset drift",
            checks.ImageDatasetDrift(image_properties=PROPERTIES),
            lambda value: {"all properties": value["domain_classifier_drift_score"]},
            max(limits["max_dataset_drift"], noise_limits.domain_classifier(*sizes)),
        ),
        Check(
            "property-label correlation change",
            checks.PropertyLabelCorrelationChange(image_properties=PROPERTIES, per_class=False),
            lambda value: {name: abs(change) for name, change in value["train-test difference"].items()},
            max(limits["max_correlation_change"], noise_limits.predictive_power(*sizes)),
        ),
        Check(
            "heat map comparison",
            checks.HeatmapComparison(),
            lambda value: {"grey values": float(value["diff"].mean())},
            max(limits["max_heatmap_difference"], shuffled),
        ),
        Check(
            "outliers",
            checks.ImagePropertyOutliers(image_properties=PROPERTIES, iqr_scale=FAR_OUT),
            lambda value: {name: len(found["outliers_identifiers"]) / sizes[1] for name, found in value.items()},
            noise_limits.share(limits["max_outliers"], sizes[1]),
        ),
    ]


def property_drift_check(first: Part, second: Part, limits: dict[str, float]) -> Check:
    limit = max(limits["max_property_drift"], noise_limits.ks(len(first.rows), len(second.rows)))
    return Check("image property drift", checks.ImagePropertyDrift(image_properties=PROPERTIES), _drift, limit)


def run_checks(checks: list[Check], first: Part, second: Part, names: list[str]) -> SuiteResult:
    """All checks over both parts; the outliers are those of the second."""
    suite = Suite("Are you a cat?", *(judge.with_condition() for judge in checks))
    data = [part.as_vision_data(names) for part in (first, second)]
    with joblib.parallel_config(backend="sequential"):  # else it starts workers that import everything once more
        return suite.run(*data, with_display=False, run_single_dataset="Test")


def outlying(found: SuiteResult) -> dict[str, list[int]]:
    """The rows of the pictures that lie far out, by property; nothing where the check crashed."""
    results = [one for one in found.results if isinstance(one.check, checks.ImagePropertyOutliers)]
    values = [one.value for one in results if isinstance(one, CheckResult)]
    return {name: [int(row) for row in one["outliers_identifiers"]] for value in values for name, one in value.items()}


def _label_drift(value: dict[str, dict[str, Any]]) -> dict[str, float]:
    (score,) = _drift(value).values()  # a classification has one property of labels: their shares
    return {"labels": score}


def _drift(value: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {name: found["Drift score"] for name, found in value.items()}
