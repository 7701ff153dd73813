"""MLflow's model registry: register a version once, and fetch one that can be trusted."""

import logging
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.tracking import MlflowClient

from include.errors import ModelError
from include.lake import layout
from include.model.packaging import CONTRACT, save_package, tree_sha256
from include.model.tracking import DATASET_TAG, RUN_TAG
from include.records import Figures

log = logging.getLogger(__name__)

MODEL = "are-you-a-cat"
SUM_TAG = "sha256"
CONTRACT_TAG = "contract"
ARTIFACT = "model"  # where a version's files lie in its MLflow run


def register(client: MlflowClient, network: Path, figures: Figures, *, run: str, mlflow_run: str, dataset: str) -> str:
    """Register the package of one ``retrain`` run; a second try gets the version that the first one made."""
    if found := version_of_run(client, run, dataset):
        return found
    with tempfile.TemporaryDirectory() as scratch:
        package = save_package(Path(scratch), network, figures)
        tags = {
            SUM_TAG: tree_sha256(package),
            CONTRACT_TAG: str(CONTRACT),
            RUN_TAG: layout.run_name(run),
            DATASET_TAG: dataset,
        }
        client.log_artifacts(mlflow_run, str(package), ARTIFACT)
    mlflow.register_model(f"runs:/{mlflow_run}/{ARTIFACT}", MODEL, tags=tags)  # tags and version in one step
    return _keep_lowest(client, run, dataset)


def version_of_run(client: MlflowClient, run: str, dataset: str) -> str | None:
    """The version that a ``retrain`` run registered for a dataset, if it did."""
    found = _versions_of_run(client, run, dataset)
    return str(found[0].version) if found else None


def fetch(client: MlflowClient, version: str, folder: Path) -> Path:
    """Download a version into ``folder`` and verify it, before anything in it is read or run; raises ModelError."""
    stands = _version(client, version)
    contract, expected = stands.tags.get(CONTRACT_TAG), stands.tags.get(SUM_TAG)
    if contract != str(CONTRACT):
        raise ModelError(f"version {version} follows contract {contract!r}; this code knows {CONTRACT}: update it")
    path = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}", dst_path=str(folder)))
    found = tree_sha256(path)
    if found != expected:
        raise ModelError(f"the files of version {version} have the sum {found}, not {expected} as registered")
    return path


def load(path: Path, version: str) -> PyFuncModel:
    """Load the verified files of a version; its answers carry the version's number."""
    model = mlflow.pyfunc.load_model(str(path))
    model.unwrap_python_model().model_version = str(version)
    return model


def _version(client: MlflowClient, version: str) -> ModelVersion:
    try:
        return client.get_model_version(MODEL, version)
    except MlflowException as error:
        raise ModelError(f"there is no version {version!r} of {MODEL}: {error.message}") from error


def _versions_of_run(client: MlflowClient, run: str, dataset: str) -> list[Any]:
    mine = {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset}
    versions = client.search_model_versions(f"name = '{MODEL}' and tags.`{RUN_TAG}` = '{mine[RUN_TAG]}'")
    fitting = [found for found in versions if mine.items() <= found.tags.items()]
    return sorted(fitting, key=lambda found: int(found.version))


def _keep_lowest(client: MlflowClient, run: str, dataset: str) -> str:
    """A killed task may go on beside its second try: whoever comes last takes its own version away."""
    first, *others = _versions_of_run(client, run, dataset)
    for twin in others:
        log.warning("version %s is a twin of %s and goes", twin.version, first.version)
        client.delete_model_version(MODEL, twin.version)
    return str(first.version)
