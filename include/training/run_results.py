"""What a run found out about its model: the evaluation, and the version that was registered from it."""

from typing import Any

from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import json_sha256, read_json, write_json
from include.records import ModelVersion


def keep_version(store: ObjectStore, run: str, version: ModelVersion, evaluation: dict[str, Any]) -> None:
    """Keep the version that was registered from this evaluation of the run."""
    made_from = {name: evaluation[name] for name in ("dataset", "mlflow_run")} | {"evaluation": json_sha256(evaluation)}
    kept = {"version": version.number, "sha256": version.sha256, "run": run} | made_from
    write_json(store, layout.run_version(run), kept)


def read_results(store: ObjectStore, run: str) -> tuple[dict[str, Any], ModelVersion]:
    """The evaluation of the run, and the version that was registered from it.

    Raises ObjectNotFound before the task `register`, DatasetError where one was made anew without the other.
    """
    evaluation, kept = read_json(store, layout.run_evaluation(run)), read_json(store, layout.run_version(run))
    if kept.get("evaluation") != json_sha256(evaluation):
        raise DatasetError(f"version {kept['version']} was registered from another evaluation: clear the task register")
    return evaluation, ModelVersion(kept["version"], kept["sha256"])
