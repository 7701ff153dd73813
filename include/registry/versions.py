"""MLflow's model registry: register a version once, and fetch one that can be trusted.

`python -m include.promotion.console` lists the versions, `... champion VERSION` makes one of them champion.
"""

import logging
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel
from mlflow.tracking import MlflowClient

from include.errors import ModelError
from include.lake import layout
from include.records import CONTRACT, DecisionRule
from include.registry.description import MODEL_DESCRIPTION
from include.registry.package import save_package, tree_sha256
from include.registry.package_check import check_package
from include.training.mlflow_runs import DATASET_TAG, RUN_TAG, connect

log = logging.getLogger(__name__)

MODEL = "are-you-a-cat"
ALIAS = "champion"
SUM_TAG = "sha256"
REPLACES_TAG = "replaces"  # on a version that became champion: what it replaced; empty for the first
REPLACED_BEFORE_TAG = "replaced_before"  # on one that became it again: what it replaced the times before, in order
CONTRACT_TAG = "contract"
NOBODY = "nobody"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what MLflow calls a version or alias that is not
ARTIFACT = "model"  # where a version's files lie in its MLflow run


def register(
    client: MlflowClient, network: Path, rule: DecisionRule, *, run: str, mlflow_run: str, dataset: str
) -> str:
    """Register the package of one ``retrain`` run; a second try gets the version that the first one made."""
    if found := version_of_run(client, run, dataset):
        return found
    with tempfile.TemporaryDirectory() as scratch:
        package = save_package(Path(scratch), network, rule)
        tags = {SUM_TAG: tree_sha256(package), CONTRACT_TAG: str(CONTRACT)} | _tags_of(run, dataset)
        place = f"{ARTIFACT}/{tags[SUM_TAG][:12]}"  # its own: a twin of this task must not write over what we summed
        client.log_artifacts(mlflow_run, str(package), place)
    with suppress(MlflowException):  # it is there already, or the next line tells what is wrong
        client.create_registered_model(MODEL, description=MODEL_DESCRIPTION)
    mlflow.register_model(f"runs:/{mlflow_run}/{place}", MODEL, tags=tags)  # tags and version in one step
    return _keep_lowest(client, run, dataset)


def version_of_run(client: MlflowClient, run: str, dataset: str) -> str | None:
    """The version that a ``retrain`` run registered for a dataset, if it did."""
    found = _versions_of_run(client, run, dataset)
    return str(found[0].version) if found else None


def fetch(client: MlflowClient, version: str, folder: Path) -> Path:
    """Download a version into ``folder`` and verify its sum and that it is but data, before anything in it is run.

    Raises ModelError.
    """
    stands = _version(client, version)
    contract, expected = stands.tags.get(CONTRACT_TAG), stands.tags.get(SUM_TAG)
    if contract != str(CONTRACT):
        raise ModelError(f"version {version} follows contract {contract}, and this code {CONTRACT}: run retrain once")
    path = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}", dst_path=str(folder)))
    found = tree_sha256(path)
    if found != expected:
        raise ModelError(f"the files of version {version} have the sum {found}, not {expected} as registered")
    check_package(path)
    return path


def load(path: Path, version: str) -> PyFuncModel:
    """Load the verified files of a version; its answers carry the version's number. Raises ModelError."""
    check_package(path)  # again: the last good copy comes from the disk, not from ``fetch``
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION.set(False)
    try:
        model = mlflow.pyfunc.load_model(str(path))
    except MemoryError:  # the machine, not the version: to be tried again
        raise
    except Exception as error:  # Keras and zipfile raise many kinds on a damaged network
        raise ModelError(f"version {version} cannot be loaded: {str(error)[:200]}") from error
    model.unwrap_python_model().model_version = str(version)
    return model


def champion_version(client: MlflowClient) -> str | None:
    """The version that the alias names, or none before the first."""
    try:
        return str(client.get_model_version_by_alias(MODEL, ALIAS).version)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None


def champion_dataset() -> str | None:
    """The digest of the dataset that the champion was trained on, or none before the first."""
    client = connect()
    version = champion_version(client)
    return _version(client, version).tags.get(DATASET_TAG) if version else None


def predecessor_of(client: MlflowClient, version: str) -> str | None:
    """What a version replaced when it became champion."""
    return _version(client, version).tags.get(REPLACES_TAG) or None


def promote(client: MlflowClient, version: str, *, replaces: str | None) -> None:
    """Move the alias; what it leaves is written down first, so that a kill between the two loses nothing."""
    _keep_older_record(client, version, replaces or "")
    client.set_model_version_tag(MODEL, version, REPLACES_TAG, replaces or "")
    client.set_registered_model_alias(MODEL, ALIAS, version)


def restore(client: MlflowClient, version: str | None) -> None:
    """Put the alias back, or take it away where there was none."""
    if version is None:
        client.delete_registered_model_alias(MODEL, ALIAS)
    else:
        client.set_registered_model_alias(MODEL, ALIAS, version)


def _keep_older_record(client: MlflowClient, version: str, replaces: str) -> None:
    """A version may become champion again: what it replaced earlier moves aside. Safe to repeat."""
    tags = _version(client, version).tags
    if tags.get(REPLACES_TAG, replaces) == replaces:
        return
    older, last = [name for name in tags.get(REPLACED_BEFORE_TAG, "").split(", ") if name], tags[REPLACES_TAG] or NOBODY
    if older[-1:] != [last]:
        client.set_model_version_tag(MODEL, version, REPLACED_BEFORE_TAG, ", ".join([*older, last]))


def set_description(client: MlflowClient, version: str, text: str) -> None:
    """Put a description, in Markdown, beside a version; one that is gone needs none."""
    try:
        client.update_model_version(MODEL, version, text)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise


def _version(client: MlflowClient, version: str) -> ModelVersion:
    try:
        return client.get_model_version(MODEL, version)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise  # the server, not the version: to be tried again
        raise ModelError(f"there is no version {version!r} of {MODEL}: {error.message}") from error


def _versions_of_run(client: MlflowClient, run: str, dataset: str) -> list[Any]:
    mine = _tags_of(run, dataset)
    versions = client.search_model_versions(f"name = '{MODEL}' and tags.`{RUN_TAG}` = '{mine[RUN_TAG]}'")
    fitting = [found for found in versions if mine.items() <= found.tags.items()]
    return sorted(fitting, key=lambda found: int(found.version))


def _tags_of(run: str, dataset: str) -> dict[str, str]:
    return {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset}


def _keep_lowest(client: MlflowClient, run: str, dataset: str) -> str:
    """A killed task may go on beside its second try: whoever comes last takes its own version away."""
    first, *others = _versions_of_run(client, run, dataset)
    for twin in others:
        log.warning("version %s is a twin of %s and goes", twin.version, first.version)
        with suppress(MlflowException):  # the twin may be taking it away at the same moment
            client.delete_model_version(MODEL, twin.version)
    return str(first.version)
