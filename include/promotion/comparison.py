"""Challenger against champion: both scored afresh on one manifest's test photos, and the decision put on record."""

import json
import logging
import tempfile
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient

from include.dataset.manifest import read_manifest
from include.errors import ModelError
from include.ingestion.snapshot import finish_run
from include.lake import layout
from include.lake.base import ObjectStore, create_or_read, read_many
from include.lake.formats import read_json, to_json
from include.promotion.gate import decide
from include.records import UPLOADS, Decision, RetrainParams, VersionScores
from include.registry.description import render_description
from include.registry.versions import champion_version, fetch, load, predecessor_of, set_description
from include.settings import Settings
from include.training.mlflow_runs import connect

log = logging.getLogger(__name__)

BATCH = 64


def compare_and_decide(store: ObjectStore, run: str, params: RetrainParams) -> Decision:
    """Task: the gate. The first decision of a run stands, however often the task is repeated."""
    key = layout.run_json(run, "decision")
    if not store.exists(key):
        found = _compare(store, run, params)
        create_or_read(store, key, to_json(asdict(found)))
    decision = read_decision(store, run)
    _publish_decision(store, run, decision)
    finish_run(store, run)
    return decision


def read_decision(store: ObjectStore, run: str) -> Decision:
    return Decision.of(read_json(store, layout.run_json(run, "decision")))


def failed_rules(store: ObjectStore, run: str) -> list[str]:
    """Task: why the champion stays; each rule that failed, with its figures."""
    failed = [f"{rule.name}: {rule.reason}" for rule in read_decision(store, run).rules if not rule.passed]
    for reason in failed:
        log.info("refused: %s", reason)
    return failed


def score_version(client: MlflowClient, version: str, store: ObjectStore, keys: pd.Series) -> VersionScores:
    """P(cat) of the photos under ``keys`` by a registered version, through the pyfunc that is served.

    A version that is damaged, missing or of another contract has a ``problem``; what the network or the registry
    does to us rises and is retried.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = load(fetch(client, version, Path(scratch)), version)
        except ModelError as error:
            return VersionScores(version, np.empty(0), 0.0, problem=str(error))
        waiting, answers = iter(keys), []
        while some := list(islice(waiting, BATCH)):
            photos = pd.DataFrame({"image": list(read_many(store, some))})
            try:
                answers.append(model.predict(photos))
            except Exception as error:  # its files are here and verified: whatever it raises is its own fault
                return VersionScores(version, np.empty(0), 0.0, problem=f"it fails on photos: {str(error)[:200]}")
    said = pd.concat(answers)
    return VersionScores(version, said["probability"].to_numpy(float), float(said["threshold"].iloc[0]))


def _compare(store: ObjectStore, run: str, params: RetrainParams) -> Decision:
    evaluation = read_json(store, layout.run_json(run, "evaluation"))
    manifest = read_manifest(store, evaluation["dataset"])
    test = manifest[manifest["split"] == "test"]
    client = connect()
    champion = champion_version(client)
    if champion and champion == evaluation["version"]:  # a cleared run: it is compared with what it replaced
        champion = predecessor_of(client, champion)
    return decide(
        (test["label"] == "cat").to_numpy(bool),
        (test["source"] != UPLOADS).to_numpy(bool),
        score_version(client, evaluation["version"], store, test["key"]),
        score_version(client, champion, store, test["key"]) if champion else None,
        min_precision=params.min_precision,
        min_recall=params.min_recall,
        seed=Settings().seed,
    )


def _publish_decision(store: ObjectStore, run: str, decision: Decision) -> None:
    """The decision in the log and in MLflow, rule by rule."""
    log.info("version %s is %s", decision.challenger, "better" if decision.better else "refused")
    for rule in decision.rules:
        log.info("%s: %s: %s", rule.name, "passed" if rule.passed else "FAILED", rule.reason)
    client, evaluation = connect(), read_json(store, layout.run_json(run, "evaluation"))
    client.log_text(evaluation["mlflow_run"], json.dumps(asdict(decision), indent=1), "evaluation/decision.json")
    client.set_tag(evaluation["mlflow_run"], "decision", "better" if decision.better else "refused")
    set_description(client, decision.challenger, render_description(evaluation, decision))
