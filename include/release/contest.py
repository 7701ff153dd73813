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

from include.data.dataset import read_manifest
from include.data.snapshot import finish_run
from include.errors import ModelError
from include.lake import layout
from include.lake.base import ObjectStore, keep_first, read_many
from include.lake.formats import read_json, to_json
from include.model.tracking import connect
from include.records import UPLOADS, Decision, RetrainParams, Scored
from include.release.describing import describe
from include.release.gate import decide
from include.release.registry import champion_version, explain, fetch, load, predecessor_of
from include.settings import Settings

log = logging.getLogger(__name__)

BATCH = 64


def hold_contest(store: ObjectStore, run: str, params: RetrainParams) -> Decision:
    """Task: the gate. The first decision of a run stands, however often the task is repeated."""
    key = layout.run_json(run, "decision")
    if not store.exists(key):
        found = _judge(store, run, params)
        keep_first(store, key, to_json(asdict(found)))
    decision = read_decision(store, run)
    _tell(store, run, decision)
    finish_run(store, run)
    return decision


def read_decision(store: ObjectStore, run: str) -> Decision:
    return Decision.of(read_json(store, layout.run_json(run, "decision")))


def refusals(store: ObjectStore, run: str) -> list[str]:
    """Task: why the champion stays; each rule that failed, with its figures."""
    failed = [f"{rule.name}: {rule.why}" for rule in read_decision(store, run).rules if not rule.passed]
    for reason in failed:
        log.info("refused: %s", reason)
    return failed


def score_version(client: MlflowClient, version: str, store: ObjectStore, keys: pd.Series) -> Scored:
    """P(cat) of the photos under ``keys`` by a registered version, through the pyfunc that is served.

    A version that is damaged, missing or of another contract has a ``problem``; what the network or the registry
    does to us rises and is retried.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            model = load(fetch(client, version, Path(scratch)), version)
        except ModelError as error:
            return Scored(version, np.empty(0), 0.0, problem=str(error))
        waiting, answers = iter(keys), []
        while some := list(islice(waiting, BATCH)):
            photos = pd.DataFrame({"image": list(read_many(store, some))})
            try:
                answers.append(model.predict(photos))
            except Exception as error:  # its files are here and verified: whatever it raises is its own fault
                return Scored(version, np.empty(0), 0.0, problem=f"it fails on photos: {str(error)[:200]}")
    said = pd.concat(answers)
    return Scored(version, said["probability"].to_numpy(float), float(said["threshold"].iloc[0]))


def _judge(store: ObjectStore, run: str, params: RetrainParams) -> Decision:
    evaluation = read_json(store, layout.run_json(run, "evaluation"))
    manifest = read_manifest(store, evaluation["dataset"])
    test = manifest[manifest["side"] == "test"]
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


def _tell(store: ObjectStore, run: str, decision: Decision) -> None:
    """The decision in the log and in MLflow, rule by rule."""
    log.info("version %s is %s", decision.challenger, "better" if decision.better else "refused")
    for rule in decision.rules:
        log.info("%s: %s: %s", rule.name, "passed" if rule.passed else "FAILED", rule.why)
    client, evaluation = connect(), read_json(store, layout.run_json(run, "evaluation"))
    client.log_text(evaluation["mlflow_run"], json.dumps(asdict(decision), indent=1), "evaluation/decision.json")
    client.set_tag(evaluation["mlflow_run"], "decision", "better" if decision.better else "refused")
    explain(client, decision.challenger, describe(evaluation, decision))
