"""Challenger against champion: both scored afresh on one manifest's test photos, and the decision stored."""

import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.dataset.crowd_report import splits_apart
from include.dataset.examples import is_positive
from include.dataset.manifest import read_manifest
from include.dataset.publish import read_published, rules
from include.errors import BadRecord, ModelError
from include.ingestion.snapshot import mark_decided
from include.lake import layout
from include.lake.base import ObjectStore, chunks, create_or_read, read_many
from include.lake.formats import read_json, to_json, write_json
from include.promotion.gate import decide
from include.question import Question
from include.records import UPLOADS, Decision, ModelVersion, RetrainParams, Rule, VersionScores
from include.registry.description import render_description
from include.registry.versions import champion_version, download_and_verify, load, predecessor_of, set_description
from include.settings import Settings
from include.training.fingerprint import fingerprint, training_digest
from include.training.hyperparameters import read_chosen
from include.training.mlflow_runs import Mlflow, connect, is_made_from
from include.training.run_results import read_results

log = logging.getLogger(__name__)

BATCH = 64
ONE_SPLIT = "each picture is on one split"
CODE = ("include.promotion.gate", "include.evaluation.metrics")  # that decides


def compare_and_decide(store: ObjectStore, run: str, params: RetrainParams, settings: Settings) -> Decision:
    """Task: the gate. It decides once about a challenger by the same rules, however often the task is repeated."""
    client, (evaluation, challenger) = connect(settings), read_results(store, run)
    published = read_published(store, run, evaluation["dataset"])
    floors = [params.min_precision, params.min_recall]
    made_from = [challenger.sha256, evaluation["dataset"], settings.seed, *floors]
    key = layout.decision(run, fingerprint(made_from, packages=(), code=CODE))
    if not store.exists(key):
        decision = _compare(store, client, published, challenger, params, settings)
        create_or_read(store, key, to_json(asdict(decision)))
    decision = Decision.of(read_json(store, key))
    write_json(store, layout.run_decision(run), asdict(decision))
    _publish_decision(client, evaluation, decision)
    if _of_these_inputs(store, client, published, evaluation["mlflow_run"], params, settings):
        mark_decided(store, run, params, settings)
    return decision


def read_decision(store: ObjectStore, run: str) -> Decision:
    """What the gate decided last about the run. Raises ObjectNotFound before it did, BadRecord for older code's."""
    try:
        return Decision.of(read_json(store, layout.run_decision(run)))
    except TypeError as error:
        raise BadRecord(
            f"the run {run!r} was decided by an older version of this code: trigger retrain again"
        ) from error


def failed_rules(store: ObjectStore, run: str) -> list[str]:
    """Task: why the champion stays: each rule that failed, with its metrics."""
    reasons = [f"{rule.name}: {rule.reason}" for rule in read_decision(store, run).rules if not rule.passed]
    for reason in reasons:
        log.info("not better: %s", reason)
    return reasons


def score_version(
    client: Mlflow, version: ModelVersion, question: Question, store: ObjectStore, keys: pd.Series
) -> VersionScores:
    """P(positive) of the photos under ``keys`` by a registered version, through the pyfunc that is served.

    A version that is damaged, missing or of another contract has a ``problem``; errors of network and registry rise.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = load(download_and_verify(client, version, Path(scratch), question), version.number)
        except ModelError as error:
            return VersionScores(version, np.empty(0), 0.0, problem=str(error))
        answers = []
        for batch in chunks(keys, BATCH):
            photos = pd.DataFrame({"image": list(read_many(store, batch))})
            try:
                answers.append(model.predict(photos))
            except Exception as error:  # its files are here and verified: whatever it raises is its own fault
                return VersionScores(version, np.empty(0), 0.0, problem=f"it fails on photos: {str(error)[:200]}")
    answer = pd.concat(answers)
    return VersionScores(version, answer["probability"].to_numpy(float), float(answer["threshold"].iloc[0]))


def _compare(
    store: ObjectStore,
    client: Mlflow,
    published: dict[str, Any],
    challenger: ModelVersion,
    params: RetrainParams,
    settings: Settings,
) -> Decision:
    manifest = read_manifest(store, published["digest"])
    test = manifest[manifest["split"] == "test"]
    champion = champion_version(client)
    if champion == challenger:  # a cleared run: compare it with what it replaced
        champion = predecessor_of(client, challenger)

    def score(version: ModelVersion) -> VersionScores:
        return score_version(client, version, settings.question, store, test["key"])

    return decide(
        is_positive(test),
        (test["source"] != UPLOADS).to_numpy(bool),
        score(challenger),
        score(champion) if champion else None,
        about_photos=Rule(ONE_SPLIT, *splits_apart(manifest, published)),
        min_precision=params.min_precision,
        min_recall=params.min_recall,
        seed=settings.seed,
    )


def _publish_decision(client: Mlflow, evaluation: dict[str, Any], decision: Decision) -> None:
    """The decision in the log and in MLflow, rule by rule."""
    outcome = "better" if decision.better else "not better"
    log.info("version %s is %s", decision.challenger, outcome)
    for rule in decision.rules:
        log.info("%s: %s: %s", rule.name, "passed" if rule.passed else "FAILED", rule.reason)
    client.log_text(evaluation["mlflow_run"], json.dumps(asdict(decision), indent=1), "evaluation/decision.json")
    client.set_tag(evaluation["mlflow_run"], "decision", outcome)
    set_description(client, decision.challenger, render_description(evaluation, decision))


def _of_these_inputs(
    store: ObjectStore,
    client: Mlflow,
    published: dict[str, Any],
    mlflow_run: str,
    params: RetrainParams,
    settings: Settings,
) -> bool:
    """Whether the challenger is what these params and settings make of the run's photos.

    It is not when they changed on the way and only some tasks were cleared: the next run must then train.
    """
    dataset, run = published["digest"], published["run"]
    by_these_rules = rules(settings, params.images_per_source).items() <= published.items()
    made_from = training_digest(dataset, read_chosen(store, run, dataset), params, settings)
    same = by_these_rules and is_made_from(client, mlflow_run, made_from)
    if not same:
        log.warning("settings or params changed during this run: its photos count as new for the next one")
    return same
