"""The result of a run of ``retrain`` as one JSON in the lake."""

from dataclasses import asdict
from typing import Any

from include.dataset.manifest import read_report
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, write_json
from include.promotion.comparison import read_decision
from include.registry.versions import champion_version
from include.settings import Settings
from include.training.mlflow_runs import connect


def report(store: ObjectStore, run: str, settings: Settings) -> dict[str, Any]:
    """Task: combine dataset, evaluation and decision of the run, and the current champion."""
    evaluation, registered = read_json(store, layout.run_evaluation(run)), read_json(store, layout.run_version(run))
    dataset = read_report(store, evaluation["dataset"])
    result = {
        "run": run,
        "dataset": evaluation["dataset"],
        "images": dataset["images"],
        "statuses": dataset["statuses"],
        "version": registered["version"],
        "decision_rule": evaluation["decision_rule"],
        "test": evaluation["slices"]["base"],
        "sources": evaluation["sources"],
        "decision": asdict(read_decision(store, run)),
        "champion": champion_version(connect(settings)),
    }
    write_json(store, layout.run_report(run), result)
    return {name: result[name] for name in ("version", "dataset", "champion")}
