"""From a trained network to an evaluated, registered challenger."""

import logging
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.data.dataset import read_manifest
from include.data.facts import read_facts
from include.data.features import read_features
from include.data.snapshot import read_snapshot
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json, write_table
from include.model.calibration import fit_decision_rule
from include.model.evaluation import cat_probability
from include.model.examples import Examples, load_examples
from include.model.fitting import score
from include.model.head import fit_head, folds_of, head_of, out_of_fold, score_features
from include.model.hyperparameters import chosen_for
from include.model.network import load_network
from include.model.packaging import is_unsure
from include.model.pixels import load_pixels
from include.model.slices import Slice, called_cat, measure_slices
from include.model.tracking import connect
from include.model.training import NETWORK_FILE
from include.records import LOOKS, UPLOADS, DecisionRule, RetrainParams
from include.release.exhibit import exhibit
from include.release.registry import register
from include.settings import Settings

log = logging.getLogger(__name__)

ABOUT = ("by", "about", "photos", "cats")  # of a slice


@dataclass(frozen=True)
class Scores:
    """Photos of a manifest, and the logits that a network gave them: float32 (photos, kinds)."""

    photos: pd.DataFrame
    logits: NDArray[np.float32]


def evaluate(store: ObjectStore, run: str, digest: str, mlflow_run: str, params: RetrainParams) -> dict[str, Any]:
    """Task: fit the decision rule, measure on test, register the model. Safe to repeat.

    Returns the version and the metrics of the base part of the test side; all metrics go to the lake and to MLflow.
    """
    settings, client, manifest = Settings(), connect(), read_manifest(store, digest)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(client.download_artifacts(mlflow_run, NETWORK_FILE, scratch))
        network = load_network(str(path))
        held_out = score_held_out(store, manifest, network, settings, params)
        rule, chosen = choose_rule(store, run, manifest, held_out, settings, params)
        version = register(client, path, rule, run=run, mlflow_run=mlflow_run, dataset=digest)
    client.update_run(mlflow_run, name=f"version {version}")
    scores = held_out.photos.assign(probability=cat_probability(held_out.logits, rule))
    scores = scores.join(_looks(store, scores))
    test = scores[scores["side"] == "test"]
    slices = measure_slices(test, threshold=rule.threshold, seed=settings.seed)
    named = {"version": version, "mlflow_run": mlflow_run, "dataset": digest, "network": settings.network}
    found: dict[str, Any] = named | {"decision_rule": asdict(rule), "chosen": chosen}
    found |= _tell(test, slices, rule)
    train = manifest[manifest["side"] == "train"]
    exhibit(client, store, found, scores, slices, train=train, cache=settings.feature_cache)
    write_table(store, layout.run_table(run, "scores"), scores)
    write_json(store, layout.run_json(run, "evaluation"), found)
    return {"version": version, "threshold": rule.threshold, **found["slices"]["base"]}


def is_frozen(settings: Settings, params: RetrainParams) -> bool:
    """Whether the model is a head on the backbone as it came: its scores follow from the features alone."""
    return settings.network != "scratch" and not params.fine_tune_epochs


def score_held_out(
    store: ObjectStore, manifest: pd.DataFrame, network: keras.Model, settings: Settings, params: RetrainParams
) -> Scores:
    """What the network says of val and test."""
    photos = manifest[manifest["side"] != "train"].reset_index(drop=True)
    if is_frozen(settings, params):
        features = read_features(store, photos["key"], settings.feature_cache)
        return Scores(photos, score_features(head_of(network), features))
    pixels = load_pixels(store, photos, size=int(network.input_shape[1]))
    return Scores(photos, score(network, pixels, photos))


def choose_rule(
    store: ObjectStore,
    run: str,
    manifest: pd.DataFrame,
    held_out: Scores,
    settings: Settings,
    params: RetrainParams,
) -> tuple[DecisionRule, dict[str, Any]]:
    """The decision rule, and how it was fitted: the settings, how many photos, and whose scores ("out of fold", "val").

    For a frozen backbone these are all photos of train and val, out of fold, for five heads cost seconds; for a network
    that learned from pixels val alone.
    """
    frozen = is_frozen(settings, params)
    if frozen:
        scores = score_out_of_fold(store, run, manifest[manifest["side"] != "test"], settings, params)
    else:
        val = (held_out.photos["side"] == "val").to_numpy(bool)
        scores = Scores(held_out.photos[val], held_out.logits[val])
    is_cat = (scores.photos["label"] == "cat").to_numpy(bool)
    named: dict[str, Any] = {"rule": settings.threshold_rule, "precision_floor": settings.precision_floor}
    named |= {"sure_from": settings.sure_from}
    about = {"photos": len(is_cat), "cats": int(is_cat.sum()), "scores": "out of fold" if frozen else "val"}
    return fit_decision_rule(is_cat, scores.logits, **named), named | about


def score_out_of_fold(
    store: ObjectStore, run: str, photos: pd.DataFrame, settings: Settings, params: RetrainParams
) -> Scores:
    """What heads with the run's hyperparameters say of photos that they did not learn from."""
    _, uploads = read_snapshot(store, run)
    examples, chosen = load_examples(store, photos, settings.feature_cache), chosen_for(store, run)

    def fit(part: Examples) -> keras.Model:
        return fit_head(part, None, chosen, l2_penalty=settings.l2_penalty, epochs=params.epochs, seed=settings.seed)

    return Scores(photos, out_of_fold(examples, folds_of(photos, uploads.set_index("key")["session"]), fit))


def _looks(store: ObjectStore, photos: pd.DataFrame) -> pd.DataFrame:
    """Facts of the original photos, by which slices are cut; ``size`` is the side of a square with as many pixels."""
    keys = photos.loc[photos["source"] == UPLOADS, "key"]
    facts = read_facts(store, pd.DataFrame({"photo_id": [layout.photo_id_of(key) for key in keys]}))
    known = facts.set_index("key").loc[photos["key"], ["width", "height", "brightness", "sharpness"]].astype("float64")
    known["size"] = np.sqrt(known["width"] * known["height"])
    return known[list(LOOKS)].reset_index(drop=True)


def _tell(test: pd.DataFrame, slices: list[Slice], rule: DecisionRule) -> dict[str, Any]:
    """What was found on the test side, as JSON."""
    return {
        "slices": {part.name: {name: asdict(metric) for name, metric in part.figures.items()} for part in slices},
        "about": {part.name: {name: getattr(part, name) for name in ABOUT} for part in slices},
        "sources": called_cat(test, threshold=rule.threshold),
        "doubt": _doubt(test[test["source"] != UPLOADS], rule),
    }


def _doubt(base: pd.DataFrame, rule: DecisionRule) -> dict[str, float]:
    """Shares of the base photos of test: unsure ones, cats surely denied, others surely called a cat."""
    probability, cat = base["probability"].to_numpy(float), (base["label"] == "cat").to_numpy(bool)
    said_cat, sure = probability >= rule.threshold, ~is_unsure(probability, rule)
    denied, taken = (sure & ~said_cat)[cat], (sure & said_cat)[~cat]
    return {"unsure": float(1 - sure.mean()), "cats_denied": float(denied.mean()), "others_taken": float(taken.mean())}
