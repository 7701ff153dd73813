"""What an evaluation shows to people, in its MLflow run: metrics, tables, pictures, and one page with all of it."""

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from mlflow.tracking import MlflowClient

from include.images.decoding import decode
from include.lake.base import ObjectStore
from include.model import plots
from include.model.evaluation_page import Chosen, Doubt, render_page
from include.model.slices import Slice
from include.records import UPLOADS, Figures

FOLDER = "evaluation"  # inside the MLflow run
WORST = 24
SIDE = 220  # of a photo on the sheet of errors, in pixels


def exhibit(
    client: MlflowClient, store: ObjectStore, found: dict[str, Any], scores: pd.DataFrame, slices: list[Slice]
) -> None:
    """Log all of it; ``found`` is what the lake gets as ``evaluation.json``. No picture shows an upload."""
    mlflow_run, figures = found["mlflow_run"], Figures(**found["figures"])
    base = base_of_test(scores)
    wrong = mistakes_of(base, figures.threshold)
    sheet = plots.draw_mistakes(_read(store, wrong.head(WORST)))
    pictures = _draw(base, figures, slices)
    page = render_page(
        {"version": found["version"], "dataset": found["dataset"], "MLflow run": mlflow_run},
        figures, Chosen(**found["chosen"]), Doubt(**found["doubt"]), slices,
        pictures=pictures, mistakes=sheet, wrong=len(wrong),
    )  # fmt: skip
    for name, picture in (*pictures.items(), ("worst_errors", sheet)):
        client.log_figure(mlflow_run, picture, f"{FOLDER}/{name}.png")
    client.log_text(mlflow_run, page, f"{FOLDER}/evaluation.html")
    client.log_dict(mlflow_run, found, f"{FOLDER}/evaluation.json")
    _log_predictions(client, mlflow_run, scores)
    _log_metrics(client, mlflow_run, found)


def base_of_test(scores: pd.DataFrame) -> pd.DataFrame:
    """What is drawn, and all that may be shown: no picture of an upload leaves the folder that it was given into."""
    return scores[(scores["side"] == "test") & (scores["source"] != UPLOADS)]


def mistakes_of(photos: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """The photos that were judged wrong, the surest first."""
    is_cat = photos["label"] == "cat"
    wrong = is_cat != (photos["probability"] >= threshold)
    doubt = photos["probability"].where(is_cat, 1 - photos["probability"])  # P of what it truly is
    return photos.assign(doubt=doubt)[wrong].sort_values("doubt", kind="stable").drop(columns="doubt")


def _draw(base: pd.DataFrame, figures: Figures, slices: list[Slice]) -> dict[str, Figure]:
    is_cat, probability = (base["label"] == "cat").to_numpy(bool), base["probability"].to_numpy(float)
    return {
        "precision_recall": plots.draw_precision_recall(is_cat, probability, threshold=figures.threshold),
        "reliability": plots.draw_reliability(is_cat, probability),
        "confusion": plots.draw_confusion(is_cat, probability, threshold=figures.threshold),
        "slices": plots.draw_slices(slices),
    }


def _read(store: ObjectStore, photos: pd.DataFrame) -> list[plots.Mistake]:
    found = []
    for row in photos.to_dict("records"):
        photo = decode(store.read(row["key"]), draft=SIDE)
        photo.thumbnail((SIDE, SIDE))
        found.append(plots.Mistake(photo, row["source"], row["probability"]))
    return found


def _log_predictions(client: MlflowClient, mlflow_run: str, scores: pd.DataFrame) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "predictions.parquet"
        scores.to_parquet(path, index=False)
        client.log_artifact(mlflow_run, str(path), FOLDER)


def _log_metrics(client: MlflowClient, mlflow_run: str, found: dict[str, Any]) -> None:
    for name, value in found["figures"].items():
        client.log_metric(mlflow_run, name, value)
    for name, interval in found["slices"]["base"].items():
        for bound, value in interval.items():
            place = f"test/{name}" if bound == "value" else f"test interval/{name} {bound}"  # MLflow groups by them
            client.log_metric(mlflow_run, place, value)
