"""MLflow's tracking server: one experiment, and one run for every training that began."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import mlflow
from mlflow.entities import Metric, Run
from mlflow.environment_variables import (
    MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD,
    MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD,
    MLFLOW_TRACKING_PASSWORD,
    MLFLOW_TRACKING_USERNAME,
)
from mlflow.tracking import MlflowClient

from include.errors import AttemptSuperseded, ModelError
from include.lake import layout
from include.lake.base import ObjectStore
from include.settings import Settings
from include.training.checkpoints import ENDED_AT

RUN_TAG = "retrain_run"  # the Airflow run that an MLflow run belongs to
DATASET_TAG = "dataset"
MADE_FROM_TAG = "made_from"  # the digest of all that a network, or a model version, was made from
NETWORK_FILE = "network/network.keras"  # inside the MLflow run
EXPERIMENT_DESCRIPTION = (  # stands above the runs
    "Runs of the tasks `train` and `tune` of the DAG `retrain`. A run is named after the version that it registered; "
    "its tag `decision` holds the gate's decision."
)


class Mlflow(MlflowClient):
    """A client that knows the ``name`` of our experiment and registered model."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, url)
        self.url, self.name = url, name


def connect(settings: Settings) -> Mlflow:
    """A client of the tracking server and registry that the settings name, with the login that they give.

    MLflow has no other way to take a login than by the environment. Artifacts go through the server: by itself MLflow
    sends clients to its bucket, which they may not reach.
    """
    for multipart in (MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD, MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD):
        multipart.set(False)
    if login := settings.mlflow_login:
        MLFLOW_TRACKING_USERNAME.set(login[0])
        MLFLOW_TRACKING_PASSWORD.set(login[1])
    mlflow.set_tracking_uri(settings.tracking_url)
    mlflow.set_registry_uri(settings.tracking_url)
    return Mlflow(settings.tracking_url, settings.question.name)


@contextmanager
def training_run(client: Mlflow, run: str, dataset: str, *, made_from: str = "", resume: bool = False) -> Iterator[Run]:
    """An MLflow run, finished at the end of the block or failed if it raises.

    With ``resume`` the last unfinished run of an earlier try, of what is made from the same, continues; other open runs
    are closed.
    """
    mlflow.set_experiment(client.name)
    mlflow.set_experiment_tag("mlflow.note.content", EXPERIMENT_DESCRIPTION)
    tags = {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset, MADE_FROM_TAG: made_from}
    unfinished = [*_runs_with(client, tags, "FAILED"), *_runs_with(client, tags, "RUNNING")]
    resumed = unfinished[-1] if resume and unfinished else None
    for open_run in _runs_with(client, {name: tags[name] for name in (RUN_TAG, DATASET_TAG)}, "RUNNING"):
        if resumed is None or open_run.info.run_id != resumed.info.run_id:
            client.set_terminated(open_run.info.run_id, "KILLED")
    start = {"run_id": resumed.info.run_id} if resumed else {"run_name": f"dataset {dataset[:8]}", "tags": tags}
    with mlflow.start_run(**start) as active:
        try:
            yield active
        except AttemptSuperseded:
            # The run belongs to another process by now: keep its status, which leaving this block would overwrite.
            mlflow.end_run(client.get_run(active.info.run_id).info.status)
            raise


def log_epoch(client: Mlflow, run_id: str, epoch: int, metrics: Mapping[str, float]) -> None:
    """Send the metrics of one epoch. A second send, by a later or a stale try, adds nothing: MLflow's database keeps a
    point once by its name, step, time and value.
    """
    values = {name: value for name, value in metrics.items() if name != ENDED_AT}
    client.log_batch(run_id, _points(values, at=int(metrics[ENDED_AT]), step=epoch))


def log_curves(client: Mlflow, run_id: str, curves: Sequence[Mapping[str, float]], *, prefix: str = "") -> None:
    """Send the metrics of all epochs at once, at the time when the run began, so that a second send adds nothing."""
    began = client.get_run(run_id).info.start_time
    epochs = ({prefix + name: loss for name, loss in losses.items()} for losses in curves)
    points = [point for epoch, losses in enumerate(epochs) for point in _points(losses, at=began, step=epoch)]
    client.log_batch(run_id, points)


def _points(values: Mapping[str, float], *, at: int, step: int) -> list[Metric]:
    return [Metric(name, float(value), at, step) for name, value in values.items()]


def log_validation(store: ObjectStore, dataset: str) -> None:
    """Log the results of the data checks as artifacts of the active run, where there are any."""
    pages = {"json": layout.dataset_validation(dataset), "html": layout.dataset_validation_page(dataset)}
    for suffix, key in pages.items():
        if store.exists(key):
            mlflow.log_text(store.read(key).decode(), f"validation/validation.{suffix}")


def download_network(client: Mlflow, run_id: str, folder: str) -> Path:
    """The path of a run's trained network, a ``.keras`` file, in ``folder``."""
    return Path(client.download_artifacts(run_id, NETWORK_FILE, folder))


def finished_training_run(client: Mlflow, run: str, dataset: str, *, made_from: str) -> str | None:
    """The id of the MLflow run in which an earlier try of the same task finished the same training, if there is one."""
    tags = {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset, MADE_FROM_TAG: made_from}
    done = _runs_with(client, tags, "FINISHED")
    return done[0].info.run_id if done else None


def is_made_from(client: Mlflow, run_id: str, made_from: str) -> bool:
    """Whether the network of a run was made from what has this digest."""
    return bool(client.get_run(run_id).data.tags.get(MADE_FROM_TAG) == made_from)


def check_training(client: Mlflow, run_id: str, made_from: str) -> None:
    """Raises ModelError where the network of a run was made from something else."""
    if not is_made_from(client, run_id, made_from):
        raise ModelError(
            f"the network of MLflow run {run_id} was trained with other settings, params, photos or code than those of "
            "now: clear the task train"
        )


def _runs_with(client: Mlflow, tags: Mapping[str, str], status: str) -> list[Run]:
    """The runs with all of these tags, the oldest first."""
    experiment = client.get_experiment_by_name(client.name)
    if experiment is None:
        return []
    has_tags = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    query = f"{has_tags} and attributes.status = '{status}'"
    return list(client.search_runs([experiment.experiment_id], query, order_by=["attributes.start_time ASC"]))
