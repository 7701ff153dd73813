"""Check a model: `python -m include.validation.deepchecks_env.model_suite FOLDER`, in the environment of Deepchecks.

FOLDER holds `predictions.csv`, a row for each photo of val and test (columns split, is_positive, predicted,
probability, and image properties), and `request.json`: `properties` (the columns with image properties) and `limits`.
The process writes `result.json`: whether all checks passed, every score with its limit, the weakest segments, the
accuracy on all photos (`right`), and the number of photos in each split.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import include.validation.deepchecks_env.offline  # noqa: F401  it blocks the network before deepchecks is imported

# isort: split

import deepchecks
import pandas as pd
from deepchecks.core import CheckResult

from include.validation.deepchecks_env import model_checks
from include.validation.deepchecks_env.condition import result_of
from include.validation.deepchecks_env.model_checks import Predictions

log = logging.getLogger("model suite")


def run(folder: Path) -> None:
    """Run all checks. Raises OSError, KeyError or ValueError for an incomplete folder."""
    request = json.loads((folder / "request.json").read_text())
    photos = Predictions(pd.read_csv(folder / "predictions.csv"), request["properties"])
    result = {"deepchecks": deepchecks.__version__, **check(photos, request["limits"])}
    for row in result["checks"]:
        log.info("%s: %s", row["check"], "passed" if row["passed"] else "failed")
    (folder / "result.json").write_text(json.dumps(result, allow_nan=False))


def check(photos: Predictions, limits: dict[str, float]) -> dict[str, Any]:
    """Look for weak segments in all photos, because a split is small; compare val with test in the other checks."""
    val, test = photos.on("val"), photos.on("test")
    weak_segments = model_checks.weak_segments_check(photos, limits)
    split_checks = model_checks.split_checks(val, test, limits)
    on_all = model_checks.run_check(weak_segments, photos)
    on_splits = model_checks.run_checks(split_checks, val, test)
    segments = result_of(weak_segments, on_all)
    results = list(weak_segments.results(segments, "all"))
    results += [result for check in split_checks for result in check.results(result_of(check, on_splits), "all")]
    return {
        "passed": all(suite.passed(fail_if_check_not_run=True) for suite in (on_all, on_splits)),
        "checks": results,
        "segments": model_checks.segments_of(segments.value) if isinstance(segments, CheckResult) else [],
        "right": float(photos.right.mean()),
        "photos": {"val": len(val.table), "test": len(test.table)},
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    run(Path(sys.argv[1]))
