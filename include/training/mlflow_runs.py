"""MLflow's tracking server: one experiment, and one run for every training that got somewhere."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import mlflow
from mlflow.entities import Metric, Run
from mlflow.tracking import MlflowClient

from include.errors import AttemptSuperseded
from include.lake import layout
from include.lake.base import ObjectStore
from include.settings import Settings
from include.training.checkpoints import ENDED_AT

EXPERIMENT = "are-you-a-cat"
RUN_TAG = "retrain_run"  # the Airflow run that an MLflow run belongs to
DATASET_TAG = "dataset"
EXPERIMENT_DESCRIPTION = (  # stands above the runs
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
def training_run(run: str, dataset: str, *, resume: bool = False) -> Iterator[Run]:
    """An MLflow run, finished at the end of the block or failed if it raises.

    With ``resume`` the last one that an earlier try did not finish goes on; those left open are closed otherwise.
    """
    client = connect()
    mlflow.set_experiment(EXPERIMENT)
    mlflow.set_experiment_tag("mlflow.note.content", EXPERIMENT_DESCRIPTION)
    unfinished = [*_runs_of(client, run, dataset, "FAILED"), *_runs_of(client, run, dataset, "RUNNING")]
    resumed = unfinished.pop() if resume and unfinished else None
    for left_open in unfinished:
        if left_open.info.status == "RUNNING":
            client.set_terminated(left_open.info.run_id, "KILLED")
    tags = {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset}
    known = {"run_id": resumed.info.run_id} if resumed else {"run_name": f"dataset {dataset[:8]}", "tags": tags}
    with mlflow.start_run(**known) as active:
        try:
            yield active
        except AttemptSuperseded:
            # The run is another's by now: it ends as it stands, for leaving this block ends it with some status.
            mlflow.end_run(client.get_run(active.info.run_id).info.status)
            raise


def log_epoch(run_id: str, epoch: int, figures: Mapping[str, float]) -> None:
    """Send the points of one epoch. Sent again, by a later try or by a stale one, they are the same points: MLflow's
    database knows a point by its name, step, time and value, and keeps it once.
    """
    values = {name: value for name, value in figures.items() if name != ENDED_AT}
    connect().log_batch(run_id, _points(values, at=int(figures[ENDED_AT]), step=epoch))


def log_curves(run_id: str, curves: Sequence[Mapping[str, float]], *, prefix: str = "") -> None:
    """Send the points of all epochs at once; sent again they are the same points, for their time is the run's start."""
    client = connect()
    began = client.get_run(run_id).info.start_time
    epochs = ({prefix + name: loss for name, loss in losses.items()} for losses in curves)
    points = [point for epoch, losses in enumerate(epochs) for point in _points(losses, at=began, step=epoch)]
    client.log_batch(run_id, points)


def _points(values: Mapping[str, float], *, at: int, step: int) -> list[Metric]:
    return [Metric(name, float(value), at, step) for name, value in values.items()]


def log_validation(store: ObjectStore, dataset: str) -> None:
    """Put what was found about the photos beside the active run's other artifacts, where it was looked at."""
    for kind in ("json", "html"):
        key = layout.dataset_validation(dataset, kind)
        if store.exists(key):
            mlflow.log_text(store.read(key).decode(), f"validation/validation.{kind}")


def finished_training_run(run: str, dataset: str) -> str | None:
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
