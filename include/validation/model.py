"""The task `check_model`: where the model is weak, by Deepchecks on the stored predictions."""

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from include.dataset.examples import is_positive
from include.errors import BadSetting, ChecksCrashed
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table, write_json
from include.pages.rendering import PAGES
from include.records import SLICE_PROPERTIES
from include.settings import Settings, Validation
from include.training.mlflow_runs import connect
from include.training.run_results import read_results
from include.validation.results import describe_check
from include.validation.runner import MODEL_SUITE, run_suite

log = logging.getLogger(__name__)

WARNINGS = {
    "weak segments": "verdicts on photos with {subject} are right {score:.0%} less often than on all photos,"
    " {limit:.0%} is allowed (CAT_VALIDATION__MAX_WEAKNESS, or chance)",
    "simple model comparison": "on test the model makes {score:.2f} times the errors of {subject},"
    " {limit:.2f} times is allowed (CAT_VALIDATION__MAX_ERROR_RATIO)",
    "prediction drift": "{subject} differs between val and test by {score:.3f},"
    " {limit:.3f} is allowed (CAT_VALIDATION__MAX_PREDICTION_DRIFT, or chance)",
}


def check_model(store: ObjectStore, run: str, settings: Settings) -> dict[str, Any]:
    """Task: weak segments, a simple model, drift between val and test. It warns and stops nothing. Safe to repeat.

    Writes `model_checks.json` under the run, and the same with a page to MLflow. Returns the warnings.
    """
    evaluation, version = read_results(store, run)
    scores, threshold = read_table(store, layout.run_scores(run)), evaluation["decision_rule"]["threshold"]
    named = {"version": version.number} | {name: evaluation[name] for name in ("dataset", "mlflow_run")}
    result = named | run_model_checks(scores, threshold=threshold, settings=settings.validation)
    write_json(store, layout.run_model_checks(run), result)
    client = connect(settings)
    client.log_dict(result["mlflow_run"], result, "evaluation/model_checks.json")
    client.log_text(result["mlflow_run"], render_page(result), "evaluation/model_checks.html")
    warnings = warnings_of(result)
    for warning in warnings:
        log.warning("%s", warning)
    return {"version": result["version"], "warnings": warnings}


def run_model_checks(scores: pd.DataFrame, *, threshold: float, settings: Validation) -> dict[str, Any]:
    """The result of the process, or its crash, which counts as a failed check.

    ``scores`` has a row for each photo of val and test: split, label, probability, and those of SLICE_PROPERTIES.
    """
    with tempfile.TemporaryDirectory() as scratch:
        write_predictions(Path(scratch), scores, threshold=threshold, limits=settings.limits)
        try:
            result = run_suite(MODEL_SUITE, Path(scratch), python=settings.python, seconds=settings.seconds)
        except (ChecksCrashed, BadSetting) as error:
            return {"passed": False, "crash": str(error), "checks": [], "segments": []}
    return {"crash": None, **result}


def write_predictions(folder: Path, scores: pd.DataFrame, *, threshold: float, limits: dict[str, float]) -> None:
    """Fill the folder that the process reads. No key or name of a photo is in it."""
    table = scores[["split", "probability", *SLICE_PROPERTIES]].assign(
        is_positive=is_positive(scores).astype(int),
        predicted=(scores["probability"] >= threshold).astype(int),
    )
    table.to_csv(folder / "predictions.csv", index=False)
    (folder / "request.json").write_text(json.dumps({"properties": list(SLICE_PROPERTIES), "limits": limits}))


def warnings_of(result: dict[str, Any]) -> list[str]:
    """A sentence for each score beyond its limit, or for the crash; none of a model that passed."""
    if result["crash"]:
        return [f"the checks of the model crashed: {result['crash']}"]
    return [describe_warning(check) for check in result["checks"] if not check["passed"]]


def describe_warning(check: dict[str, Any]) -> str:
    return describe_check(check) if check["score"] is None else WARNINGS[check["check"]].format(**check)


def render_page(result: dict[str, Any]) -> str:
    """The page as text."""
    title = f"Model checks of version {result['version']}"
    warnings = [warning[:1].upper() + warning[1:] for warning in warnings_of(result)]
    return PAGES.get_template("model_checks.html.j2").render(title=title, result=result, warnings=warnings)
