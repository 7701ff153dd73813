"""Challenger against champion: both scored afresh on one manifest's test photos, and the decision stored."""

import json
import logging
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from include.dataset.examples import is_positive
from include.dataset.manifest import read_manifest
from include.errors import ModelError
from include.ingestion.snapshot import mark_decided
from include.lake import layout
from include.lake.base import ObjectStore, chunks, create_or_read, read_many
from include.lake.formats import read_json, to_json
from include.promotion.gate import decide
from include.question import Question
from include.records import UPLOADS, Decision, RetrainParams, VersionScores
from include.registry.description import render_description
from include.registry.versions import champion_version, download_and_verify, load, predecessor_of, set_description
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect

log = logging.getLogger(__name__)

BATCH = 64


def compare_and_decide(store: ObjectStore, run: str, params: RetrainParams, settings: Settings) -> Decision:
    """Task: the gate. The first decision of a run stands, however often the task is repeated."""
    key = layout.run_decision(run)
    if not store.exists(key):
        create_or_read(store, key, to_json(asdict(_compare(store, run, params, settings))))
    decision = read_decision(store, run)
    _publish_decision(store, run, decision, connect(settings))
    mark_decided(store, run)
    return decision


def read_decision(store: ObjectStore, run: str) -> Decision:
    return Decision.of(read_json(store, layout.run_decision(run)))


def failed_rules(store: ObjectStore, run: str) -> list[str]:
    """Task: why the champion stays: each rule that failed, with its metrics."""
    reasons = [f"{rule.name}: {rule.reason}" for rule in read_decision(store, run).rules if not rule.passed]
    for reason in reasons:
        log.info("not better: %s", reason)
    return reasons


def score_version(
    client: Mlflow, version: str, question: Question, store: ObjectStore, keys: pd.Series
) -> VersionScores:
    """P(positive) of the photos under ``keys`` by a registered version, through the pyfunc that is served.

    A version that is damaged, missing or of another contract has a ``problem``; errors of network and registry rise.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = load(download_and_verify(client, version, Path(scratch), question), version)
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


def _compare(store: ObjectStore, run: str, params: RetrainParams, settings: Settings) -> Decision:
    client, registered = connect(settings), read_json(store, layout.run_version(run))
    manifest = read_manifest(store, registered["dataset"])
    test = manifest[manifest["split"] == "test"]
    champion = champion_version(client)
    if champion and champion == registered["version"]:  # a cleared run: compare it with what it replaced
        champion = predecessor_of(client, champion)

    def score(version: str) -> VersionScores:
        return score_version(client, version, settings.question, store, test["key"])

    return decide(
        is_positive(test),
        (test["source"] != UPLOADS).to_numpy(bool),
        score(registered["version"]),
        score(champion) if champion else None,
        min_precision=params.min_precision,
        min_recall=params.min_recall,
        seed=settings.seed,
    )


def _publish_decision(store: ObjectStore, run: str, decision: Decision, client: Mlflow) -> None:
    """The decision in the log and in MLflow, rule by rule."""
    outcome = "better" if decision.better else "not better"
    log.info("version %s is %s", decision.challenger, outcome)
    for rule in decision.rules:
        log.info("%s: %s: %s", rule.name, "passed" if rule.passed else "FAILED", rule.reason)
    evaluation = read_json(store, layout.run_evaluation(run))
    client.log_text(evaluation["mlflow_run"], json.dumps(asdict(decision), indent=1), "evaluation/decision.json")
    client.set_tag(evaluation["mlflow_run"], "decision", outcome)
    set_description(client, decision.challenger, render_description(evaluation, decision))
