"""The task `register`: from an evaluated network to a model version, the challenger."""

import tempfile

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json
from include.records import DecisionRule
from include.registry.versions import register
from include.settings import Settings
from include.training.mlflow_runs import connect, download_network
from include.training.run_results import keep_version


def register_version(store: ObjectStore, run: str, settings: Settings) -> str:
    """Task: register the evaluated network with its decision rule; returns the version's number. Safe to repeat."""
    client, evaluation = connect(settings), read_json(store, layout.run_evaluation(run))
    mlflow_run, rule = evaluation["mlflow_run"], DecisionRule.of(evaluation["decision_rule"])
    origin = {"run": run, "mlflow_run": mlflow_run, "dataset": evaluation["dataset"]}
    with tempfile.TemporaryDirectory() as scratch:
        network = download_network(client, mlflow_run, scratch)
        version = register(client, network, rule, settings.question, **origin)
    client.update_run(mlflow_run, name=f"version {version.number}")
    keep_version(store, run, version, evaluation)
    return version.number
