"""From a trained network to an evaluated, registered challenger."""

import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from include.data.dataset import read_manifest
from include.data.split import calibrates
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json, write_table
from include.model import evaluation, plots
from include.model.network import load_network
from include.model.pixels import load_pixels
from include.model.tracking import connect
from include.model.training import NETWORK_FILE, cache_folder
from include.records import UPLOADS, Figures
from include.release.registry import register
from include.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Scores:
    """P(cat) of the photos of val and test, beside their rows of the manifest."""

    manifest: pd.DataFrame
    probability: np.ndarray

    def of(self, rows: pd.Series) -> "Scores":
        return Scores(self.manifest[rows], self.probability[rows.to_numpy(bool)])

    @property
    def is_cat(self) -> np.ndarray:
        return np.asarray(self.manifest["label"] == "cat", bool)


def evaluate(store: ObjectStore, run: str, digest: str, mlflow_run: str) -> dict[str, Any]:
    """Task: choose the threshold on half of val, measure on test, register the model. Safe to repeat.

    Returns the version and the figures of the base part of the test side; all figures go to the lake and to MLflow.
    """
    settings, client = Settings(), connect()
    with tempfile.TemporaryDirectory() as scratch:
        network = Path(client.download_artifacts(mlflow_run, NETWORK_FILE, scratch))
        scores = score_held_out(store, digest, network, settings)
        figures = _choose(scores, settings)
        version = register(client, network, figures, run=run, mlflow_run=mlflow_run, dataset=digest)
    client.update_run(mlflow_run, name=f"version {version}")
    found = _measure(scores, figures, settings.seed) | {"version": version, "mlflow_run": mlflow_run, "dataset": digest}
    _show(client, mlflow_run, scores, figures, found["slices"]["base"])
    write_table(store, layout.run_table(run, "scores"), scores.manifest.assign(probability=scores.probability))
    write_json(store, layout.run_json(run, "evaluation"), found)
    return {"version": version, "threshold": figures.threshold, **found["slices"]["base"]}


def score_held_out(store: ObjectStore, digest: str, network: Path, settings: Settings) -> Scores:
    manifest = read_manifest(store, digest)
    held_out = manifest[manifest["side"] != "train"].reset_index(drop=True)
    pixels = load_pixels(store, held_out, folder=cache_folder(settings), size=settings.image_size)
    return Scores(held_out, evaluation.score(load_network(str(network)), pixels, held_out))


def _choose(scores: Scores, settings: Settings) -> Figures:
    half = scores.of((scores.manifest["side"] == "val") & scores.manifest["sha256"].map(calibrates))
    return evaluation.choose_figures(half.is_cat, half.probability, band=settings.unsure_band)


def _measure(scores: Scores, figures: Figures, seed: int) -> dict[str, Any]:
    test = scores.of(scores.manifest["side"] == "test")
    slices = evaluation.measure_slices(test.manifest, test.probability, threshold=figures.threshold, seed=seed)
    return {
        "figures": asdict(figures),
        "slices": {name: {key: asdict(value) for key, value in row.items()} for name, row in slices.items()},
        "sources": evaluation.called_cat(test.manifest, test.probability, threshold=figures.threshold),
    }


def _show(client: mlflow.MlflowClient, mlflow_run: str, scores: Scores, figures: Figures, base: dict) -> None:
    test = scores.of((scores.manifest["side"] == "test") & (scores.manifest["source"] != UPLOADS))
    for name, draw in (("confusion", plots.draw_confusion), ("precision_recall", plots.draw_precision_recall)):
        picture = draw(test.is_cat, test.probability, threshold=figures.threshold)
        client.log_figure(mlflow_run, picture, f"evaluation/{name}.png")
    client.log_metric(mlflow_run, "threshold", figures.threshold)
    for name, interval in base.items():
        for bound, value in interval.items():
            place = f"test/{name}" if bound == "value" else f"test interval/{name} {bound}"  # MLflow groups by them
            client.log_metric(mlflow_run, place, value)
