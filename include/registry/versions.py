"""MLflow's model registry: register a version once, and fetch one that can be trusted."""

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

from include.errors import ModelError
from include.lake import layout
from include.question import Question
from include.records import CONTRACT, DecisionRule
from include.registry.description import describe_model
from include.registry.package import save_package, tree_sha256
from include.registry.package_check import check_package
from include.training.mlflow_runs import DATASET_TAG, RUN_TAG, Mlflow

log = logging.getLogger(__name__)

ALIAS = "champion"
SUM_TAG = "sha256"
REPLACES_TAG = "replaces"  # on a version that became champion: what it replaced; empty for the first
REPLACED_BEFORE_TAG = "replaced_before"  # on one that became it again: what it replaced the times before, in order
CONTRACT_TAG = "contract"
QUESTION_TAG = "question"  # the digest of the question that a version answers
NONE = "none"
ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # what MLflow calls a version or alias that is not
ARTIFACT = "model"  # where a version's files lie in its MLflow run


def register(
    client: Mlflow, network: Path, rule: DecisionRule, question: Question, *, run: str, mlflow_run: str, dataset: str
) -> str:
    """Register the package of one ``retrain`` run; a retry returns the version that the first try registered."""
    if version := version_of_run(client, run, dataset):
        return version
    with tempfile.TemporaryDirectory() as scratch:
        package = save_package(Path(scratch), network, rule)
        tags = {SUM_TAG: tree_sha256(package), CONTRACT_TAG: str(CONTRACT), QUESTION_TAG: question.digest}
        tags |= _tags_of(run, dataset)
        path = f"{ARTIFACT}/{tags[SUM_TAG][:12]}"  # its own: a twin of this task must not overwrite what we summed
        client.log_artifacts(mlflow_run, str(package), path)
    with suppress(MlflowException):  # it exists already, or the next line says what is wrong
        client.create_registered_model(client.name, description=describe_model(question))
    mlflow.register_model(f"runs:/{mlflow_run}/{path}", client.name, tags=tags)  # tags and version in one step
    return _keep_lowest(client, run, dataset)


def version_of_run(client: Mlflow, run: str, dataset: str) -> str | None:
    """The version that a ``retrain`` run registered for a dataset, if it did."""
    versions = _versions_of_run(client, run, dataset)
    return str(versions[0].version) if versions else None


def download_and_verify(client: Mlflow, version: str, folder: Path, question: Question) -> Path:
    """Download a version into ``folder`` and verify its sum and that it is only data, before anything in it runs.

    Raises ModelError.
    """
    registered = _version(client, version)
    contract, expected = registered.tags.get(CONTRACT_TAG), registered.tags.get(SUM_TAG)
    if contract != str(CONTRACT):
        raise ModelError(f"version {version} follows contract {contract}, and this code {CONTRACT}: run retrain once")
    if registered.tags.get(QUESTION_TAG) != question.digest:
        raise ModelError(f"version {version} answers another question than {question.text!r}: run retrain once")
    path = Path(mlflow.artifacts.download_artifacts(f"models:/{client.name}/{version}", dst_path=str(folder)))
    actual = tree_sha256(path)
    if actual != expected:
        raise ModelError(f"the files of version {version} have the sum {actual}, not {expected} as registered")
    check_package(path)
    return path


def load(path: Path, version: str) -> PyFuncModel:
    """Load the verified files of a version; its answers carry the version's number. Raises ModelError."""
    check_package(path)  # again: the last good copy comes from the disk, not from the registry
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION.set(False)
    try:
        model = mlflow.pyfunc.load_model(str(path))
    except MemoryError:  # the machine, not the version: to be tried again
        raise
    except Exception as error:  # Keras and zipfile raise many kinds on a damaged network
        raise ModelError(f"version {version} cannot be loaded: {str(error)[:200]}") from error
    model.unwrap_python_model().model_version = str(version)
    return model


def champion_version(client: Mlflow) -> str | None:
    """The version that the alias names, or none before the first."""
    try:
        return str(client.get_model_version_by_alias(client.name, ALIAS).version)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None


def champion_dataset(client: Mlflow) -> str | None:
    """The digest of the dataset that the champion was trained on, or none before the first."""
    version = champion_version(client)
    return _version(client, version).tags.get(DATASET_TAG) if version else None


def predecessor_of(client: Mlflow, version: str) -> str | None:
    """What a version replaced when it became champion."""
    return _version(client, version).tags.get(REPLACES_TAG) or None


def promote(client: Mlflow, version: str, *, replaces: str | None) -> None:
    """Move the alias; what it leaves is written down first, so that a kill between the two loses nothing."""
    _keep_older_record(client, version, replaces or "")
    client.set_model_version_tag(client.name, version, REPLACES_TAG, replaces or "")
    client.set_registered_model_alias(client.name, ALIAS, version)


def roll_back_alias(client: Mlflow, version: str | None) -> None:
    """Put the alias back, or take it away where there was none."""
    if version is None:
        client.delete_registered_model_alias(client.name, ALIAS)
    else:
        client.set_registered_model_alias(client.name, ALIAS, version)


def _keep_older_record(client: Mlflow, version: str, replaces: str) -> None:
    """A version may become champion again: what it replaced earlier moves aside. Safe to repeat."""
    tags = _version(client, version).tags
    if tags.get(REPLACES_TAG, replaces) == replaces:
        return
    older, last = [name for name in tags.get(REPLACED_BEFORE_TAG, "").split(", ") if name], tags[REPLACES_TAG] or NONE
    if older[-1:] != [last]:
        client.set_model_version_tag(client.name, version, REPLACED_BEFORE_TAG, ", ".join([*older, last]))


def set_description(client: Mlflow, version: str, text: str) -> None:
    """Put a description, in Markdown, beside a version; one that is gone needs none."""
    try:
        client.update_model_version(client.name, version, text)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise


def _version(client: Mlflow, version: str) -> ModelVersion:
    try:
        return client.get_model_version(client.name, version)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise  # the server, not the version: to be tried again
        raise ModelError(f"there is no version {version!r} of {client.name}: {error.message}") from error


def _versions_of_run(client: Mlflow, run: str, dataset: str) -> list[Any]:
    mine = _tags_of(run, dataset)
    versions = client.search_model_versions(f"name = '{client.name}' and tags.`{RUN_TAG}` = '{mine[RUN_TAG]}'")
    matching = [version for version in versions if mine.items() <= version.tags.items()]
    return sorted(matching, key=lambda version: int(version.version))


def _tags_of(run: str, dataset: str) -> dict[str, str]:
    return {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset}


def _keep_lowest(client: Mlflow, run: str, dataset: str) -> str:
    """A killed task may still run beside its second try: the later one deletes its own version."""
    first, *others = _versions_of_run(client, run, dataset)
    for twin in others:
        log.warning("deleting version %s: a duplicate of %s from the same run", twin.version, first.version)
        with suppress(MlflowException):  # the twin may be taking it away at the same moment
            client.delete_model_version(client.name, twin.version)
    return str(first.version)
