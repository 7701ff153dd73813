"""Check photos: `python -m include.validation.deepchecks_env.data_suite FOLDER`, in the environment of Deepchecks.

FOLDER holds `pixels.npy`, uint8 (photos, size, size, 3), and `request.json`: `labels` (names), `groups` (for each its
`rows` in the pixels and its `labels`, as indices of names), `comparisons` (name, reference, new) and `limits`. The
process writes `result.json`: for each comparison whether it passed, every score with its limit, the rows of the
outliers, and the data of the plots.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import include.validation.deepchecks_env.offline  # noqa: F401  it blocks the network before deepchecks is imported

# isort: split

import deepchecks
import numpy as np
import torch
from numpy.typing import NDArray

from include.validation.deepchecks_env import data_checks
from include.validation.deepchecks_env.condition import result_of
from include.validation.deepchecks_env.data_checks import Part
from include.validation.deepchecks_env.image_properties import PROPERTIES, grey, histogram, property_values

log = logging.getLogger("suite")

MIN_GROUP = 10  # photos of a label; with fewer Deepchecks computes no drift


def run(folder: Path) -> None:
    """Run all comparisons of the request. Raises OSError, KeyError or ValueError for an incomplete folder."""
    request = json.loads((folder / "request.json").read_text())
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    parts = {name: _part(pixels, split) for name, split in request["groups"].items()}
    comparisons = {}
    for asked in request["comparisons"]:
        name, first, second = asked["name"], parts[asked["reference"]], parts[asked["new"]]
        comparisons[name] = compare(first, second, request["labels"], request["limits"])
        log.info("%s: %s", name, "passed" if comparisons[name]["passed"] else "failed")
    result = {"deepchecks": deepchecks.__version__, "torch": torch.__version__, "comparisons": comparisons}
    draft = folder / "result.draft"
    draft.write_text(json.dumps(result, allow_nan=False))
    draft.rename(folder / "result.json")


def compare(first: Part, second: Part, names: list[str], limits: dict[str, float]) -> dict[str, Any]:
    """Run all checks on all photos, and the drift of the image properties for each label."""
    checks = data_checks.data_checks(first, second, limits)
    suite_result = data_checks.run_checks(checks, first, second, names)
    passed = [suite_result.passed(fail_if_check_not_run=True)]
    results = [result for check in checks for result in check.results(result_of(check, suite_result), "all")]
    for label, name in enumerate(names):
        parts = first.only(label), second.only(label)
        if min(len(part.rows) for part in parts) < MIN_GROUP:
            continue
        check = data_checks.property_drift_check(*parts, limits)
        label_result = data_checks.run_checks([check], *parts, names)
        passed.append(label_result.passed(fail_if_check_not_run=True))
        results += check.results(result_of(check, label_result), name)
    return {
        "passed": all(passed) and all(result["passed"] for result in results),
        "checks": results,
        "outliers": data_checks.outlying(suite_result),
        "plots": _plots(first, second, names),
    }


def _part(pixels: NDArray[np.uint8], split: dict[str, list[int]]) -> Part:
    rows = np.array(split["rows"], np.int64)
    return Part(np.asarray(pixels[rows]), np.array(split["labels"], np.int64), rows)


def _plots(first: Part, second: Part, names: list[str]) -> dict[str, Any]:
    """Histograms of every property, for all photos and by label; mean greyscale images, 0 to 255."""
    values = property_values(first.pixels), property_values(second.pixels)
    histograms: dict[str, dict[str, Any]] = {prop["name"]: {} for prop in PROPERTIES}
    for group, label in (("all", None), *((name, label) for label, name in enumerate(names))):
        members = [_members(part, label) for part in (first, second)]
        if all(mask.any() for mask in members):
            for name in histograms:
                histograms[name][group] = histogram(values[0][name][members[0]], values[1][name][members[1]])
    return {"histograms": histograms, "means": {"reference": _mean_image(first), "new": _mean_image(second)}}


def _members(part: Part, label: int | None) -> NDArray[np.bool_]:
    return np.ones(len(part.rows), bool) if label is None else part.labels == label


def _mean_image(part: Part) -> list[list[int]]:
    mean = grey(part.pixels).mean(axis=0).reshape(part.pixels.shape[1:3])
    return list(mean.round().astype(int).tolist())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    run(Path(sys.argv[1]))
