"""The Deepchecks checks that compare two samples of photos, each with an explicit limit."""

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

FAR_OUT = 3.0  # interquartile ranges beyond a quartile: "far out" in Tukey, Exploratory Data Analysis, 1977


@dataclass(frozen=True)
class Part:
    """A sample: pixels, uint8 (photos, size, size, 3), label indices, and rows in `pixels.npy`, int64 (photos,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]

    def only(self, label: int) -> "Part":
        """The photos with this label."""
        chosen = self.labels == label
        return Part(self.pixels[chosen], self.labels[chosen], self.rows[chosen])

    def as_vision_data(self, names: list[str]) -> VisionData:
        """One batch, in a list that each check can read again; ImagePropertyOutliers mixes up names across batches."""
        batch = {
            "images": list(self.pixels),
            "labels": self.labels.tolist(),
            "image_identifiers": [str(row) for row in self.rows],
        }
        return VisionData([batch], "classification", label_map=dict(enumerate(names)), reshuffle_data=False)


def data_checks(first: Part, second: Part, limits: dict[str, float]) -> list[Check]:
    """The checks of one comparison. Each limit is the setting, or the noise limit of these sample sizes if higher."""
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
            lambda value: {name: len(result["outliers_identifiers"]) / sizes[1] for name, result in value.items()},
            noise_limits.share(limits["max_outliers"], sizes[1]),
        ),
    ]


def property_drift_check(first: Part, second: Part, limits: dict[str, float]) -> Check:
    """The drift of each image property between two samples."""
    limit = max(limits["max_property_drift"], noise_limits.ks(len(first.rows), len(second.rows)))
    return Check("image property drift", checks.ImagePropertyDrift(image_properties=PROPERTIES), _drift, limit)


def run_checks(checks: list[Check], first: Part, second: Part, names: list[str]) -> SuiteResult:
    """Run all checks on both samples; outliers are looked for in the second. ``names`` are the labels by index."""
    suite = Suite("Data checks", *(check.with_condition() for check in checks))
    data = [part.as_vision_data(names) for part in (first, second)]
    with joblib.parallel_config(backend="sequential"):  # no worker processes, which would import everything again
        return suite.run(*data, with_display=False, run_single_dataset="Test")


def outlying(suite_result: SuiteResult) -> dict[str, list[int]]:
    """The rows of the outliers, by property; empty if the check crashed."""
    results = [result for result in suite_result.results if isinstance(result.check, checks.ImagePropertyOutliers)]
    properties = [item for result in results if isinstance(result, CheckResult) for item in result.value.items()]
    return {name: [int(row) for row in outliers["outliers_identifiers"]] for name, outliers in properties}


def _label_drift(value: dict[str, dict[str, Any]]) -> dict[str, float]:
    (score,) = _drift(value).values()  # labels of a classification have a single property, their class
    return {"labels": score}


def _drift(value: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {name: result["Drift score"] for name, result in value.items()}
