"""The task `evaluate`: from a trained network to its decision rule and its metrics on test."""

import tempfile
from dataclasses import asdict
from typing import Any

import pandas as pd

from include.dataset.examples import is_positive
from include.dataset.manifest import read_manifest
from include.evaluation.calibration import fit_decision_rule
from include.evaluation.metrics import positive_probability
from include.evaluation.mlflow_report import log_evaluation_report
from include.evaluation.predict import Logits, check_finite, is_frozen, predict_holdout, predict_out_of_fold
from include.evaluation.slice_properties import read_slice_properties
from include.evaluation.slices import Slice, predicted_positive_rates, slice_metrics
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json, write_table
from include.params import RetrainParams
from include.records import UPLOADS, DecisionRule
from include.settings import Settings
from include.training.fingerprint import training_digest
from include.training.hyperparameters import Hyperparameters, read_chosen
from include.training.mlflow_runs import check_training, connect, download_network
from include.training.safe_keras import load_network

ABOUT_SLICE = ("by", "about", "photos", "positives")


def evaluate(
    store: ObjectStore, run: str, digest: str, mlflow_run: str, params: RetrainParams, settings: Settings
) -> dict[str, Any]:
    """Task: fit the decision rule, and measure on test. Safe to repeat.

    Returns the threshold and the metrics of the base photos of test; all metrics go to the lake and to MLflow. Raises
    ModelError where the network was made from something else than the task `train` would make it from now, or where
    its scores are not finite.
    """
    client, manifest, question = connect(settings), read_manifest(store, digest), settings.question
    chosen = read_chosen(store, run, digest)
    check_training(client, mlflow_run, training_digest(digest, chosen, params, settings))
    with tempfile.TemporaryDirectory() as scratch:
        network = load_network(str(download_network(client, mlflow_run, scratch)))
    holdout = predict_holdout(store, manifest, network, settings, params)
    check_finite(holdout)
    rule, fitted = fit_rule(store, run, manifest, holdout, chosen, settings, params)
    scores = holdout.photos.assign(probability=positive_probability(holdout.values, rule))
    scores = scores.join(read_slice_properties(store, scores))
    test = scores[scores["split"] == "test"]
    slices = slice_metrics(test, question, threshold=rule.threshold, seed=settings.seed)
    evaluation: dict[str, Any] = {"mlflow_run": mlflow_run, "dataset": digest, "network": settings.network}
    evaluation |= {"decision_rule": asdict(rule), "chosen": fitted} | _test_metrics(test, slices, rule)
    train = manifest[manifest["split"] == "train"]
    log_evaluation_report(client, store, evaluation, scores, slices, train=train, settings=settings)
    write_table(store, layout.run_scores(run), scores)
    write_json(store, layout.run_evaluation(run), evaluation)
    return {"threshold": rule.threshold, **evaluation["slices"]["base"]}


def fit_rule(
    store: ObjectStore,
    run: str,
    manifest: pd.DataFrame,
    holdout: Logits,
    chosen: Hyperparameters,
    settings: Settings,
    params: RetrainParams,
) -> tuple[DecisionRule, dict[str, Any]]:
    """The decision rule, and how it was fitted: the settings, how many photos, and which scores.

    For a frozen backbone these are the out-of-fold scores of train and val, for five heads cost seconds; for a network
    that learned from pixels those of val.
    """
    frozen = is_frozen(settings, params)
    logits = holdout.of("val")
    if frozen:
        logits = predict_out_of_fold(store, run, manifest, chosen, settings, params)
    positive = is_positive(logits.photos)
    options: dict[str, Any] = {"rule": settings.threshold_rule, "precision_floor": settings.precision_floor}
    options |= {"sure_from": settings.sure_from}
    rule = fit_decision_rule(positive, logits.values, settings.question.positive_classes, **options)
    counts = {"photos": len(positive), "positives": int(positive.sum())}
    return rule, options | counts | {"scores": "out of fold" if frozen else "val"}


def _test_metrics(test: pd.DataFrame, slices: list[Slice], rule: DecisionRule) -> dict[str, Any]:
    """The metrics of the test split, as JSON."""
    return {
        "slices": {part.name: {name: asdict(metric) for name, metric in part.metrics.items()} for part in slices},
        "about": {part.name: {name: getattr(part, name) for name in ABOUT_SLICE} for part in slices},
        "sources": predicted_positive_rates(test, threshold=rule.threshold),
        "uncertainty": _uncertainty(test[test["source"] != UPLOADS], rule),
    }


def _uncertainty(base: pd.DataFrame, rule: DecisionRule) -> dict[str, float]:
    """Shares of the base photos of test: unsure ones; of the positive and negative photos those surely wrong."""
    probability, positive = base["probability"].to_numpy(float), is_positive(base)
    predicted, sure = rule.is_positive(probability), ~rule.is_unsure(probability)
    return {
        "unsure": float(1 - sure.mean()),
        "sure_false_negatives": float((sure & ~predicted)[positive].mean()),
        "sure_false_positives": float((sure & predicted)[~positive].mean()),
    }
