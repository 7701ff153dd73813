"""The result of a run of ``retrain`` as one JSON in the lake."""

import logging
from dataclasses import asdict
from typing import Any

from include.dataset.publish import read_published
from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json
from include.promotion.close_calls import read_answer
from include.promotion.comparison import read_decision
from include.promotion.gate_words import describe_run
from include.registry.versions import champion_version, registered_at
from include.settings import Settings
from include.training.mlflow_runs import connect
from include.training.run_results import read_results

log = logging.getLogger(__name__)


def report(store: ObjectStore, run: str, settings: Settings) -> dict[str, Any]:
    """Task: combine dataset, evaluation and decision of the run, and the current champion.

    Raises DatasetError where these are not of the same version.
    """
    evaluation, version = read_results(store, run)
    decision, dataset = read_decision(store, run), read_published(store, run, evaluation["dataset"])
    if decision.challenger != version:
        raise DatasetError(f"the gate did not decide about version {version} but another: clear the task gate")
    client = connect(settings)
    champion = champion_version(client)
    result = {
        "run": run,
        "dataset": evaluation["dataset"],
        "images": dataset["images"],
        "statuses": dataset["statuses"],
        "version": version.number,
        "sha256": version.sha256,
        "registered_at": registered_at(client, version),
        "decision_rule": evaluation["decision_rule"],
        "test": evaluation["slices"]["base"],
        "sources": evaluation["sources"],
        "decision": asdict(decision),
        "summary": describe_run(decision, read_answer(store, run, decision)),
        "champion": champion and champion.number,
    }
    key = write_json(store, layout.run_report(run), result)
    log.info("%s; champion: version %s; written to %s", result["summary"], result["champion"], key)
    return {name: result[name] for name in ("version", "dataset", "champion")}
