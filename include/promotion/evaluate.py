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

from include.dataset.embeddings import read_embeddings
from include.dataset.examples import Examples, load_examples
from include.dataset.facts import read_facts
from include.dataset.manifest import read_manifest
from include.evaluation.calibration import fit_decision_rule
from include.evaluation.metrics import positive_probability
from include.evaluation.mlflow_report import log_evaluation_report
from include.evaluation.slices import Slice, predicted_positive_rates, slice_metrics
from include.ingestion.snapshot import read_snapshot
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json, write_table
from include.records import SLICE_PROPERTIES, UPLOADS, DecisionRule, RetrainParams
from include.registry.package import is_unsure
from include.registry.versions import register
from include.settings import Settings
from include.training.fit import score
from include.training.head import extract_head, fit_head, folds_of, out_of_fold, score_features
from include.training.hyperparameters import chosen_for
from include.training.mlflow_runs import connect
from include.training.pixel_cache import load_pixels
from include.training.safe_keras import load_network
from include.training.train import NETWORK_FILE

log = logging.getLogger(__name__)

ABOUT = ("by", "about", "photos", "cats")  # of a slice


@dataclass(frozen=True)
class HeldOutScores:
    """Photos of a manifest, and the logits that a network gave them: float32 (photos, kinds)."""

    photos: pd.DataFrame
    logits: NDArray[np.float32]


def evaluate(store: ObjectStore, run: str, digest: str, mlflow_run: str, params: RetrainParams) -> dict[str, Any]:
    """Task: fit the decision rule, measure on test, register the model. Safe to repeat.

    Returns the version and the metrics of the base part of the test split; all metrics go to the lake and to MLflow.
    """
    settings, client, manifest = Settings(), connect(), read_manifest(store, digest)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(client.download_artifacts(mlflow_run, NETWORK_FILE, scratch))
        network = load_network(str(path))
        held_out = score_held_out(store, manifest, network, settings, params)
        rule, chosen = fit_rule(store, run, manifest, held_out, settings, params)
        version = register(client, path, rule, run=run, mlflow_run=mlflow_run, dataset=digest)
    client.update_run(mlflow_run, name=f"version {version}")
    scores = held_out.photos.assign(probability=positive_probability(held_out.logits, rule))
    scores = scores.join(_slice_properties(store, scores))
    test = scores[scores["split"] == "test"]
    slices = slice_metrics(test, threshold=rule.threshold, seed=settings.seed)
    named = {"version": version, "mlflow_run": mlflow_run, "dataset": digest, "network": settings.network}
    found: dict[str, Any] = named | {"decision_rule": asdict(rule), "chosen": chosen}
    found |= _test_metrics(test, slices, rule)
    train = manifest[manifest["split"] == "train"]
    log_evaluation_report(client, store, found, scores, slices, train=train, cache=settings.embedding_cache)
    write_table(store, layout.run_table(run, "scores"), scores)
    write_json(store, layout.run_json(run, "evaluation"), found)
    return {"version": version, "threshold": rule.threshold, **found["slices"]["base"]}


def is_frozen(settings: Settings, params: RetrainParams) -> bool:
    """Whether the model is a head on the backbone as it came: its scores follow from the features alone."""
    return settings.network != "scratch" and not params.fine_tune_epochs


def score_held_out(
    store: ObjectStore, manifest: pd.DataFrame, network: keras.Model, settings: Settings, params: RetrainParams
) -> HeldOutScores:
    """What the network says of val and test."""
    photos = manifest[manifest["split"] != "train"].reset_index(drop=True)
    if is_frozen(settings, params):
        features = read_embeddings(store, photos["key"], settings.embedding_cache)
        return HeldOutScores(photos, score_features(extract_head(network), features))
    pixels = load_pixels(store, photos, size=int(network.input_shape[1]))
    return HeldOutScores(photos, score(network, pixels, photos))


def fit_rule(
    store: ObjectStore,
    run: str,
    manifest: pd.DataFrame,
    held_out: HeldOutScores,
    settings: Settings,
    params: RetrainParams,
) -> tuple[DecisionRule, dict[str, Any]]:
    """The decision rule, and how it was fitted: the settings, how many photos, and whose scores ("out of fold", "val").

    For a frozen backbone these are all photos of train and val, out of fold, for five heads cost seconds; for a network
    that learned from pixels val alone.
    """
    frozen = is_frozen(settings, params)
    if frozen:
        scores = score_out_of_fold(store, run, manifest[manifest["split"] != "test"], settings, params)
    else:
        val = (held_out.photos["split"] == "val").to_numpy(bool)
        scores = HeldOutScores(held_out.photos[val], held_out.logits[val])
    is_cat = (scores.photos["label"] == "cat").to_numpy(bool)
    named: dict[str, Any] = {"rule": settings.threshold_rule, "precision_floor": settings.precision_floor}
    named |= {"sure_from": settings.sure_from}
    about = {"photos": len(is_cat), "cats": int(is_cat.sum()), "scores": "out of fold" if frozen else "val"}
    return fit_decision_rule(is_cat, scores.logits, **named), named | about


def score_out_of_fold(
    store: ObjectStore, run: str, photos: pd.DataFrame, settings: Settings, params: RetrainParams
) -> HeldOutScores:
    """What heads with the run's hyperparameters say of photos that they did not learn from."""
    _, uploads = read_snapshot(store, run)
    examples, chosen = load_examples(store, photos, settings.embedding_cache), chosen_for(store, run)

    def fit(part: Examples) -> keras.Model:
        return fit_head(part, None, chosen, l2_penalty=settings.l2_penalty, epochs=params.epochs, seed=settings.seed)

    return HeldOutScores(photos, out_of_fold(examples, folds_of(photos, uploads.set_index("key")["session"]), fit))


def _slice_properties(store: ObjectStore, photos: pd.DataFrame) -> pd.DataFrame:
    """Facts of the original photos, by which slices are cut; ``size`` is the side of a square with as many pixels."""
    keys = photos.loc[photos["source"] == UPLOADS, "key"]
    facts = read_facts(store, pd.DataFrame({"photo_id": [layout.photo_id_of(key) for key in keys]}))
    known = facts.set_index("key").loc[photos["key"], ["width", "height", "brightness", "sharpness"]].astype("float64")
    known["size"] = np.sqrt(known["width"] * known["height"])
    return known[list(SLICE_PROPERTIES)].reset_index(drop=True)


def _test_metrics(test: pd.DataFrame, slices: list[Slice], rule: DecisionRule) -> dict[str, Any]:
    """What was found on the test split, as JSON."""
    return {
        "slices": {part.name: {name: asdict(metric) for name, metric in part.figures.items()} for part in slices},
        "about": {part.name: {name: getattr(part, name) for name in ABOUT} for part in slices},
        "sources": predicted_positive_rates(test, threshold=rule.threshold),
        "doubt": _uncertainty(test[test["source"] != UPLOADS], rule),
    }


def _uncertainty(base: pd.DataFrame, rule: DecisionRule) -> dict[str, float]:
    """Shares of the base photos of test: unsure ones, cats surely denied, others surely called a cat."""
    probability, cat = base["probability"].to_numpy(float), (base["label"] == "cat").to_numpy(bool)
    said_cat, sure = probability >= rule.threshold, ~is_unsure(probability, rule)
    denied, taken = (sure & ~said_cat)[cat], (sure & said_cat)[~cat]
    return {"unsure": float(1 - sure.mean()), "cats_denied": float(denied.mean()), "others_taken": float(taken.mean())}
