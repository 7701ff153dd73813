"""The process: `python -m include.validation.deepchecks_env.data_suite FOLDER`, in the environment of Deepchecks.

FOLDER holds `pixels.npy`, uint8 (pictures, size, size, 3), and `request.json`: `labels` (the words), `sides` (of each
its `rows` in the pixels and its `labels`, as numbers of words), `comparisons` (name, reference, new) and `limits`. The
process leaves `result.json`: for each comparison whether it passed, every figure with its limit, and the numbers behind
the plots.
"""

import json
import logging
import sys
from pathlib import Path
from typing import Any

import include.validation.deepchecks_env.offline  # noqa: F401  it shuts the network before deepchecks comes

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

MIN_GROUP = 10  # photos of one label; below it Deepchecks computes no drift


def run(folder: Path) -> None:
    """Every comparison that the request asks for; raises what a torn folder raises."""
    request = json.loads((folder / "request.json").read_text())
    pixels = np.load(folder / "pixels.npy", mmap_mode="r")
    parts = {name: _part(pixels, split) for name, split in request["splits"].items()}
    found = {}
    for one in request["comparisons"]:
        found[one["name"]] = compare(parts[one["reference"]], parts[one["new"]], request["labels"], request["limits"])
        log.info("%s: %s", one["name"], "passed" if found[one["name"]]["passed"] else "failed")
    result = {"deepchecks": deepchecks.__version__, "torch": torch.__version__, "comparisons": found}
    draft = folder / "result.draft"
    draft.write_text(json.dumps(result, allow_nan=False))
    draft.rename(folder / "result.json")


def compare(first: Part, second: Part, names: list[str], limits: dict[str, float]) -> dict[str, Any]:
    """All checks over all photos, and the drift of the properties within each label."""
    checks = data_checks.data_checks(first, second, limits)
    found = data_checks.run_checks(checks, first, second, names)
    passed = [found.passed(fail_if_check_not_run=True)]
    figures = [figure for judge in checks for figure in judge.figures(result_of(judge, found), "all")]
    for number, name in enumerate(names):
        within = first.only(number), second.only(number)
        if min(len(part.rows) for part in within) < MIN_GROUP:
            continue
        judge = data_checks.property_drift_check(*within, limits)
        of_label = data_checks.run_checks([judge], *within, names)
        passed.append(of_label.passed(fail_if_check_not_run=True))
        figures += judge.figures(result_of(judge, of_label), name)
    return {
        "passed": all(passed) and all(figure["passed"] for figure in figures),
        "figures": figures,
        "outliers": data_checks.outlying(found),
        "plots": _plots(first, second, names),
    }


def _part(pixels: NDArray[np.uint8], split: dict[str, list[int]]) -> Part:
    rows = np.array(split["rows"], np.int64)
    return Part(np.asarray(pixels[rows]), np.array(split["labels"], np.int64), rows)


def _plots(first: Part, second: Part, names: list[str]) -> dict[str, Any]:
    """Histograms of every property, of all photos and by label; mean grey pictures, 0 to 255."""
    measured = property_values(first.pixels), property_values(second.pixels)
    histograms: dict[str, dict[str, Any]] = {one["name"]: {} for one in PROPERTIES}
    for group, number in (("all", None), *((name, number) for number, name in enumerate(names))):
        chosen = [_members(part, number) for part in (first, second)]
        if all(some.any() for some in chosen):
            for name in histograms:
                histograms[name][group] = histogram(measured[0][name][chosen[0]], measured[1][name][chosen[1]])
    return {"histograms": histograms, "means": {"reference": _mean_picture(first), "new": _mean_picture(second)}}


def _members(part: Part, label: int | None) -> NDArray[np.bool_]:
    return np.ones(len(part.rows), bool) if label is None else part.labels == label


def _mean_picture(part: Part) -> list[list[int]]:
    mean = grey(part.pixels).mean(axis=0).reshape(part.pixels.shape[1:3])
    return list(mean.round().astype(int).tolist())


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    run(Path(sys.argv[1]))
