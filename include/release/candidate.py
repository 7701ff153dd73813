"""From a trained network to an evaluated, registered challenger."""

import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.data.dataset import read_manifest
from include.data.facts import read_facts
from include.data.split import calibrates
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json, write_table
from include.model.calibration import choose_figures
from include.model.evaluation import cat_probability
from include.model.evaluation_page import Chosen, Doubt
from include.model.network import load_network
from include.model.packaging import is_unsure
from include.model.pixels import load_pixels
from include.model.scoring import score
from include.model.slices import Slice, called_cat, measure_slices
from include.model.tracking import connect
from include.model.training import NETWORK_FILE
from include.records import LOOKS, UPLOADS, Figures
from include.release.exhibit import exhibit
from include.release.registry import register
from include.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """The photos of val and test: their rows of the manifest and how they look, and the network's logits."""

    table: pd.DataFrame
    logits: np.ndarray


def evaluate(store: ObjectStore, run: str, digest: str, mlflow_run: str) -> dict[str, Any]:
    """Task: choose the threshold on half of val, measure on test, register the model. Safe to repeat.

    Returns the version and the figures of the base part of the test side; all figures go to the lake and to MLflow.
    """
    settings, client = Settings(), connect()
    with tempfile.TemporaryDirectory() as scratch:
        network = Path(client.download_artifacts(mlflow_run, NETWORK_FILE, scratch))
        held_out = score_held_out(store, digest, network, settings)
        figures, chosen = choose(held_out, settings)
        version = register(client, network, figures, run=run, mlflow_run=mlflow_run, dataset=digest)
    client.update_run(mlflow_run, name=f"version {version}")
    probability = cat_probability(held_out.logits, temperature=figures.temperature)
    scores = held_out.table.assign(probability=probability)
    test = scores[scores["side"] == "test"]
    slices = measure_slices(test, threshold=figures.threshold, seed=settings.seed)
    named = {"version": version, "mlflow_run": mlflow_run, "dataset": digest}
    found = {**named, "figures": asdict(figures), "chosen": asdict(chosen), **_tell(test, slices, figures)}
    exhibit(client, store, found, scores, slices)
    write_table(store, layout.run_table(run, "scores"), scores)
    write_json(store, layout.run_json(run, "evaluation"), found)
    return {"version": version, "threshold": figures.threshold, **found["slices"]["base"]}


def score_held_out(store: ObjectStore, digest: str, network: Path, settings: Settings) -> HeldOut:
    manifest = read_manifest(store, digest)
    held_out = manifest[manifest["side"] != "train"].reset_index(drop=True)
    pixels = load_pixels(store, held_out, folder=settings.pixel_cache, size=settings.image_size)
    table = held_out.join(_looks(store, held_out))
    return HeldOut(table, score(load_network(str(network)), pixels, held_out))


def _looks(store: ObjectStore, photos: pd.DataFrame) -> pd.DataFrame:
    """Facts of the original photos, by which slices are cut; ``size`` is the side of a square with as many pixels."""
    keys = photos.loc[photos["source"] == UPLOADS, "key"]
    facts = read_facts(store, pd.DataFrame({"photo_id": [layout.photo_id_of(key) for key in keys]}))
    known = facts.set_index("key").loc[photos["key"], ["width", "height", "brightness", "sharpness"]].astype("float64")
    known["size"] = np.sqrt(known["width"] * known["height"])
    return known[list(LOOKS)].reset_index(drop=True)


def choose(held_out: HeldOut, settings: Settings) -> tuple[Figures, Chosen]:
    """The figures of the verdict, from the calibration half of val, and how they were chosen."""
    table = held_out.table
    half = ((table["side"] == "val") & table["sha256"].map(calibrates)).to_numpy(bool)
    is_cat = (table["label"] == "cat").to_numpy(bool)[half]
    rules = {"precision_floor": settings.precision_floor, "coverage": settings.coverage}
    figures = choose_figures(is_cat, held_out.logits[half], rule=settings.threshold_rule, **rules)
    return figures, Chosen(settings.threshold_rule, photos=len(is_cat), cats=int(is_cat.sum()), **rules)


def _tell(test: pd.DataFrame, slices: list[Slice], figures: Figures) -> dict[str, Any]:
    """What was found on the test side, as JSON."""
    return {
        "slices": {one.name: {name: asdict(figure) for name, figure in one.figures.items()} for one in slices},
        "about": {
            one.name: {"by": one.by, "about": one.about, "photos": one.photos, "cats": one.cats} for one in slices
        },
        "sources": called_cat(test, threshold=figures.threshold),
        "doubt": asdict(_doubt(test[test["source"] != UPLOADS], figures)),
        "histogram": _histogram(test),
    }


def _doubt(base: pd.DataFrame, figures: Figures) -> Doubt:
    probability, cat = base["probability"].to_numpy(float), (base["label"] == "cat").to_numpy(bool)
    said_cat, sure = probability >= figures.threshold, ~is_unsure(probability, figures)
    return Doubt(
        unsure=float(1 - sure.mean()),
        cats_denied=float((sure & ~said_cat)[cat].mean()),
        others_taken=float((sure & said_cat)[~cat].mean()),
    )


def _histogram(test: pd.DataFrame, *, bins: int = 20) -> dict[str, list[float]]:
    """How many photos of each label got which P(cat)."""
    edges = np.linspace(0, 1, bins + 1)
    counts = {str(label): np.histogram(part["probability"], edges)[0].tolist() for label, part in test.groupby("label")}
    return {"edges": edges.tolist(), **counts}
