"""MLflow's tracking server: one experiment, and one run for every attempt at training."""

from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from include.lake import layout
from include.settings import Settings

EXPERIMENT = "are-you-a-cat"
RUN_TAG = "retrain_run"  # the Airflow run that an MLflow run belongs to
DATASET_TAG = "dataset"
ABOUT = (  # stands above the runs
    "One run for each attempt of the DAG `retrain` at training. A run that was evaluated bears the name of its "
    "version; the tag `decision` tells what the gate made of it."
)


def connect(settings: Settings | None = None) -> MlflowClient:
    """A client of the tracking server that the settings name; tracking and registry alike."""
    url = (settings or Settings()).tracking_url
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    return MlflowClient(url, url)


@contextmanager
def attempt(run: str, dataset: str) -> Iterator[Run]:
    """A new MLflow run, finished at the end of the block or failed if it raises; earlier ones left open are closed."""
    client = connect()
    mlflow.set_experiment(EXPERIMENT)
    mlflow.set_experiment_tag("mlflow.note.content", ABOUT)
    for left_open in _runs_of(client, run, dataset, "RUNNING"):
        client.set_terminated(left_open.info.run_id, "KILLED")
    tags = {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset}
    with mlflow.start_run(run_name=f"dataset {dataset[:8]}", tags=tags) as active:
        yield active


def finished_attempt(run: str, dataset: str) -> str | None:
    """The id of the MLflow run in which an earlier try of the same task trained to the end, if there is one."""
    done = _runs_of(connect(), run, dataset, "FINISHED")
    return done[0].info.run_id if done else None


def _runs_of(client: MlflowClient, run: str, dataset: str, status: str) -> list[Run]:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        return []
    mine = f"tags.{RUN_TAG} = '{layout.run_name(run)}' and tags.{DATASET_TAG} = '{dataset}'"
    query = f"{mine} and attributes.status = '{status}'"
    return list(client.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"]))
