"""What a run of ``retrain`` came to, as one JSON in the lake."""

from dataclasses import asdict
from typing import Any

from include.dataset.manifest import read_report
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, write_json
from include.promotion.comparison import read_decision
from include.registry.versions import champion_version
from include.training.mlflow_runs import connect


def report(store: ObjectStore, run: str) -> dict[str, Any]:
    """Task: gather dataset, evaluation and decision of the run, and who is champion now."""
    evaluation = read_json(store, layout.run_json(run, "evaluation"))
    dataset = read_report(store, evaluation["dataset"])
    told = {
        "run": run,
        "dataset": evaluation["dataset"],
        "images": dataset["images"],
        "statuses": dataset["statuses"],
        "version": evaluation["version"],
        "decision_rule": evaluation["decision_rule"],
        "test": evaluation["slices"]["base"],
        "sources": evaluation["sources"],
        "decision": asdict(read_decision(store, run)),
        "champion": champion_version(connect()),
    }
    write_json(store, layout.run_json(run, "report"), told)
    return {name: told[name] for name in ("version", "dataset", "champion")}
