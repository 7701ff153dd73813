"""Where the model is weak: Deepchecks looks at the predictions that `evaluate` stored."""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from include.errors import BadSetting
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, read_table, write_json
from include.pages.rendering import PAGES
from include.records import SLICE_PROPERTIES
from include.settings import Settings, Validation
from include.training.mlflow_runs import connect
from include.validation.results import describe_result
from include.validation.runner import MODEL, SuiteCrashed, run_suite

log = logging.getLogger(__name__)

TOLD = {
    "weak segments": "photos with {subject} are judged right {score:.0%} less often than all photos,"
    " {limit:.0%} is allowed (CAT_VALIDATION__MAX_WEAKNESS, or chance)",
    "simple model comparison": "on test the model makes {score:.2f} times the errors of {subject},"
    " {limit:.2f} times is allowed (CAT_VALIDATION__MAX_ERROR_RATIO)",
    "prediction drift": "{subject} differs between val and test by {score:.3f},"
    " {limit:.3f} is allowed (CAT_VALIDATION__MAX_PREDICTION_DRIFT, or chance)",
}


def check_model(store: ObjectStore, run: str) -> dict[str, Any]:
    """Task: weak segments, a simple model, drift between val and test. It warns and stops nothing. Safe to repeat.

    Leaves `weaknesses.json` under the run, and the same with a page in MLflow. Returns the warnings.
    """
    evaluation = read_json(store, layout.run_json(run, "evaluation"))
    scores = read_table(store, layout.run_table(run, "scores"))
    named = {name: evaluation[name] for name in ("version", "dataset", "mlflow_run")}
    found = named | run_model_checks(
        scores, threshold=evaluation["decision_rule"]["threshold"], settings=Settings().validation
    )
    write_json(store, layout.run_json(run, "weaknesses"), found)
    client = connect()
    client.log_dict(found["mlflow_run"], found, "evaluation/weaknesses.json")
    client.log_text(found["mlflow_run"], render_page(found), "evaluation/weaknesses.html")
    told = warnings_of(found)
    for describe_warning in told:
        log.warning("%s", describe_warning)
    return {"version": found["version"], "warnings": told}


def run_model_checks(scores: pd.DataFrame, *, threshold: float, settings: Validation) -> dict[str, Any]:
    """What the process found, or how it crashed: a crash is a failed check.

    ``scores`` has a row for each photo of val and test: split, label, probability (P(cat)), and those of
    SLICE_PROPERTIES.
    """
    with tempfile.TemporaryDirectory() as scratch:
        write_predictions(Path(scratch), scores, threshold=threshold, limits=settings.limits)
        try:
            found = run_suite(MODEL, Path(scratch), python=settings.python, seconds=settings.seconds)
        except (SuiteCrashed, BadSetting) as error:
            return {"passed": False, "crash": str(error), "figures": [], "segments": []}
    return {"crash": None, **found}


def write_predictions(folder: Path, scores: pd.DataFrame, *, threshold: float, limits: dict[str, float]) -> None:
    """Fill the folder that the process reads. No key or name of a photo is in it."""
    table = scores[["split", "probability", *SLICE_PROPERTIES]].assign(
        is_cat=(scores["label"] == "cat").astype(int),
        says_cat=(scores["probability"] >= threshold).astype(int),
    )
    table.to_csv(folder / "predictions.csv", index=False)
    (folder / "request.json").write_text(json.dumps({"looks": list(SLICE_PROPERTIES), "limits": limits}))


def warnings_of(found: dict[str, Any]) -> list[str]:
    """A sentence for each figure beyond its limit, or for the crash; none of a model that passed."""
    if found["crash"]:
        return [f"the checks of the model crashed: {found['crash']}"]
    return [describe_warning(one) for one in found["figures"] if not one["passed"]]


def describe_warning(figure: dict[str, Any]) -> str:
    return describe_result(figure) if figure["score"] is None else TOLD[figure["check"]].format(**figure)


def render_page(found: dict[str, Any]) -> str:
    title = f"Weaknesses of version {found['version']}"
    told = [one[:1].upper() + one[1:] for one in warnings_of(found)]
    page = PAGES.get_template("weaknesses.html.j2")
    return page.render(title=title, found=found, warnings=told)
