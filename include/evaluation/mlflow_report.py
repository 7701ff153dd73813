"""What an evaluation shows to people, in its MLflow run: metrics, tables, pictures, and one page with all of it."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from include.dataset.nearest_neighbours import with_neighbours
from include.evaluation import plots
from include.evaluation.page import render_page
from include.evaluation.slices import Slice
from include.lake.base import ObjectStore
from include.records import UPLOADS

FOLDER = "evaluation"  # inside the MLflow run
WORST = 24


def log_evaluation_report(
    client: MlflowClient,
    store: ObjectStore,
    found: dict[str, Any],
    scores: pd.DataFrame,
    slices: list[Slice],
    *,
    train: pd.DataFrame,
    cache: Path,
) -> None:
    """Log all of it; ``found`` is what the lake gets as ``evaluation.json``. No picture shows an upload.

    ``train`` are the photos of the manifest that trained, and ``cache`` is this machine's folder of features: each of
    the worst errors stands beside the training photos that are most like it. Safe to repeat.
    """
    mlflow_run, threshold = found["mlflow_run"], found["decision_rule"]["threshold"]
    base = base_of_test(scores)
    wrong, pictures = mistakes_of(base, threshold), _draw(base, threshold, slices)
    worst = with_neighbours(store, wrong.head(WORST), train, cache)
    page = render_page(found, slices, pictures=pictures, mistakes=worst, wrong=len(wrong))
    for name, picture in pictures.items():
        client.log_figure(mlflow_run, picture, f"{FOLDER}/{name}.png")
    client.log_text(mlflow_run, page, f"{FOLDER}/evaluation.html")
    client.log_dict(mlflow_run, found, f"{FOLDER}/evaluation.json")
    _log_predictions(client, mlflow_run, scores)
    _log_metrics(client, mlflow_run, found)


def base_of_test(scores: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, and all that may be shown: no picture of an upload leaves the folder that it was given into."""
    return scores[(scores["split"] == "test") & (scores["source"] != UPLOADS)]


def mistakes_of(photos: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The photos that were judged wrong, the surest first."""
    is_cat = photos["label"] == "cat"
    wrong = is_cat != (photos["probability"] >= threshold)
    doubt = photos["probability"].where(is_cat, 1 - photos["probability"])  # P of what it truly is
    return photos.assign(doubt=doubt)[wrong].sort_values("doubt", kind="stable").drop(columns="doubt")


def _draw(base: pd.DataFrame, threshold: float, slices: list[Slice]) -> dict[str, Figure]:
    is_cat, probability = (base["label"] == "cat").to_numpy(bool), base["probability"].to_numpy(float)
    return {
        "precision_recall": plots.draw_precision_recall(is_cat, probability, threshold=threshold),
        "reliability": plots.draw_reliability(is_cat, probability),
        "confusion": plots.draw_confusion(is_cat, probability, threshold=threshold),
        "slices": plots.draw_slices(slices),
    }


def _log_predictions(client: MlflowClient, mlflow_run: str, scores: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "predictions.parquet"
        scores.to_parquet(path, index=False)
        client.log_artifact(mlflow_run, str(path), FOLDER)


def _log_metrics(client: MlflowClient, mlflow_run: str, found: dict[str, Any]) -> None:
    """All at the time when the run began: MLflow keeps a point that it is given again only once."""
    values = dict(found["decision_rule"])
    for name, interval in found["slices"]["base"].items():
        for bound, value in interval.items():
            place = f"test/{name}" if bound == "value" else f"test interval/{name} {bound}"  # MLflow groups by them
            values[place] = value
    began = client.get_run(mlflow_run).info.start_time
    client.log_batch(mlflow_run, [Metric(name, value, began, step=0) for name, value in values.items()])
