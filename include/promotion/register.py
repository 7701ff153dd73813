"""The task `register`: from an evaluated network to a model version, the challenger."""

import tempfile

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, write_json
from include.records import DecisionRule
from include.registry.versions import register
from include.settings import Settings
from include.training.mlflow_runs import connect, download_network


def register_version(store: ObjectStore, run: str, settings: Settings) -> str:
    """Task: register the evaluated network with its decision rule; returns the version. Safe to repeat."""
    client, evaluation = connect(settings), read_json(store, layout.run_evaluation(run))
    mlflow_run, rule = evaluation["mlflow_run"], DecisionRule.of(evaluation["decision_rule"])
    with tempfile.TemporaryDirectory() as scratch:
        network = download_network(client, mlflow_run, scratch)
        names = {"run": run, "mlflow_run": mlflow_run, "dataset": evaluation["dataset"]}
        version = register(client, network, rule, settings.question, **names)
    client.update_run(mlflow_run, name=f"version {version}")
    write_json(store, layout.run_version(run), {"version": version, **names})
    return version
