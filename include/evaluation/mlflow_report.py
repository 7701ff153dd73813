"""The evaluation as people see it in its MLflow run: metrics, tables, plots, and one page with all of it."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from include.dataset.examples import is_positive
from include.dataset.nearest_neighbours import with_neighbours
from include.evaluation import plots
from include.evaluation.page import render_page
from include.evaluation.slices import Slice
from include.lake.base import ObjectStore
from include.question import Question
from include.records import UPLOADS
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, log_curves

FOLDER = "evaluation"  # inside the MLflow run
MAX_ERRORS = 24


def log_evaluation_report(
    client: Mlflow,
    store: ObjectStore,
    evaluation: dict[str, Any],
    scores: pd.DataFrame,
    slices: list[Slice],
    *,
    train: pd.DataFrame,
    settings: Settings,
) -> None:
    """Log all of it; ``evaluation`` is stored in the lake as ``evaluation.json``. No picture shows an upload.

    ``train`` are the manifest's train photos: each of the worst errors stands beside its nearest ones. Safe to repeat.
    """
    mlflow_run, threshold = evaluation["mlflow_run"], evaluation["decision_rule"]["threshold"]
    base = base_of_test(scores)
    wrong, figures = errors_of(base, threshold), _plots(base, threshold, slices, settings.question)
    worst = with_neighbours(store, wrong.head(MAX_ERRORS), train, settings.embedding_cache)
    page = render_page(evaluation, slices, settings.question, plots=figures, errors=worst, error_count=len(wrong))
    for name, figure in figures.items():
        client.log_figure(mlflow_run, figure, f"{FOLDER}/{name}.png")
    client.log_text(mlflow_run, page, f"{FOLDER}/evaluation.html")
    client.log_dict(mlflow_run, evaluation, f"{FOLDER}/evaluation.json")
    _log_predictions(client, mlflow_run, scores)
    _log_metrics(client, mlflow_run, evaluation)


def base_of_test(scores: pd.DataFrame) -> pd.DataFrame:
    """The photos that plots and pages may show: no picture of an upload leaves its own folder."""
    return scores[(scores["split"] == "test") & (scores["source"] != UPLOADS)]


def errors_of(photos: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The photos with a wrong verdict, the most confident first."""
    positive = is_positive(photos)
    wrong = positive != (photos["probability"] >= threshold)
    quality = photos["probability"].where(positive, 1 - photos["probability"])  # P(label)
    return photos.assign(quality=quality)[wrong].sort_values("quality", kind="stable").drop(columns="quality")


def _plots(base: pd.DataFrame, threshold: float, slices: list[Slice], question: Question) -> dict[str, Figure]:
    positive, probability, noun = is_positive(base), base["probability"].to_numpy(float), question.noun
    return {
        "precision_recall": plots.draw_precision_recall(positive, probability, threshold=threshold),
        "reliability": plots.draw_reliability(positive, probability, noun=noun),
        "confusion": plots.draw_confusion(positive, probability, threshold=threshold, noun=noun),
        "slices": plots.draw_slices(slices),
    }


def _log_predictions(client: Mlflow, mlflow_run: str, scores: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "predictions.parquet"
        scores.to_parquet(path, index=False)
        client.log_artifact(mlflow_run, str(path), FOLDER)


def _log_metrics(client: Mlflow, mlflow_run: str, evaluation: dict[str, Any]) -> None:
    rule = evaluation["decision_rule"]
    values = {name: value for name, value in rule.items() if name != "positive_classes"}
    for name, interval in evaluation["slices"]["base"].items():
        for bound, value in interval.items():
            path = f"test/{name}" if bound == "value" else f"test interval/{name} {bound}"  # MLflow groups by them
            values[path] = value
    log_curves(client, mlflow_run, [values])
