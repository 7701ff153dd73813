"""The process: `python -m include.validation.deepchecks_env.model_suite FOLDER`, in the environment of Deepchecks.

FOLDER holds `predictions.csv`, a row for each photo that did not train (columns side, is_cat, says_cat, probability,
and facts of the photo), and `request.json`: `looks` (the columns with facts) and `limits`. The process leaves
`result.json`: whether all passed, every figure with its limit, and the weakest segments.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import include.validation.deepchecks_env.offline  # noqa: F401  it shuts the network before deepchecks comes

# isort: split

import deepchecks
import pandas as pd
from deepchecks.core import CheckResult

from include.validation.deepchecks_env import model_checks
from include.validation.deepchecks_env.condition import result_of
from include.validation.deepchecks_env.model_checks import Predictions

log = logging.getLogger("model suite")


def run(folder: Path) -> None:
    """All checks; raises what a torn folder raises."""
    request = json.loads((folder / "request.json").read_text())
    photos = Predictions(pd.read_csv(folder / "predictions.csv"), request["looks"])
    result = {"deepchecks": deepchecks.__version__, **check(photos, request["limits"])}
    for figure in result["figures"]:
        log.info("%s: %s", figure["check"], "passed" if figure["passed"] else "failed")
    (folder / "result.json").write_text(json.dumps(result, allow_nan=False))


def check(photos: Predictions, limits: dict[str, float]) -> dict[str, Any]:
    """Segments are sought in all photos, for a side is small; the other checks compare val with test."""
    val, test = photos.on("val"), photos.on("test")
    segments, splits = model_checks.weak_segments_check(photos, limits), model_checks.split_checks(val, test, limits)
    found, compared = model_checks.run_check(segments, photos), model_checks.run_checks(splits, val, test)
    sought = result_of(segments, found)
    figures = list(segments.figures(sought, "all"))
    figures += [figure for judge in splits for figure in judge.figures(result_of(judge, compared), "all")]
    return {
        "passed": all(one.passed(fail_if_check_not_run=True) for one in (found, compared)),
        "figures": figures,
        "segments": model_checks.segments_of(sought.value) if isinstance(sought, CheckResult) else [],
        "right": float(photos.right.mean()),
        "photos": {"val": len(val.table), "test": len(test.table)},
    }


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    run(Path(sys.argv[1]))
