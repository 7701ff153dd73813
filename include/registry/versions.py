"""MLflow's model registry: register a version once, and fetch one that can be trusted."""

import logging
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import mlflow
from mlflow.entities.model_registry import ModelVersion as Registered
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel

from include.errors import ModelError
from include.lake import layout
from include.lake.formats import json_sha256
from include.question import Question
from include.records import CONTRACT, DecisionRule, ModelVersion
from include.registry.description import describe_model
from include.registry.package import save_package, tree_sha256
from include.registry.package_check import check_package
from include.training.mlflow_runs import DATASET_TAG, MADE_FROM_TAG, RUN_TAG, Mlflow

log = logging.getLogger(__name__)

ALIAS = "champion"
REFERENCE = "reference"  # the alias of the best proven version: no later champion may be worse than this one
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
) -> ModelVersion:
    """Register the package of one ``retrain`` run; a retry returns the version that the first try registered."""
    origin = _origin(run, dataset, mlflow_run, rule)
    if version := version_of(client, origin):
        return version
    with tempfile.TemporaryDirectory() as scratch:
        package = save_package(Path(scratch), network, rule)
        tags = {SUM_TAG: tree_sha256(package), CONTRACT_TAG: str(CONTRACT), QUESTION_TAG: question.digest}
        tags |= origin
        path = f"{ARTIFACT}/{tags[SUM_TAG][:12]}"  # its own: a twin of this task must not overwrite what we summed
        client.log_artifacts(mlflow_run, str(package), path)
    with suppress(MlflowException):  # it exists already, or the next line says what is wrong
        client.create_registered_model(client.name, description=describe_model(question))
    with redirect_stderr(StringIO()):  # MLflow writes there what it did, and Airflow would mark it as an error
        mlflow.register_model(f"runs:/{mlflow_run}/{path}", client.name, tags=tags)  # tags and version in one step
    version = _keep_lowest(client, origin)
    log.info("registered version %s, with the sum %s", version.number, version.sha256[:12])
    return version


def download_and_verify(client: Mlflow, version: ModelVersion, folder: Path, question: Question) -> Path:
    """Download a version into ``folder`` and verify its sum and that it is only data, before anything in it runs.

    Raises ModelError, also where the registry has another version under this number by now.
    """
    number, tags = version.number, _registered(client, version.number).tags
    if tags.get(CONTRACT_TAG) != str(CONTRACT):
        follows = f"version {number} follows contract {tags.get(CONTRACT_TAG)}"
        raise ModelError(f"{follows}, and this code {CONTRACT}: run retrain once")
    if tags.get(QUESTION_TAG) != question.digest:
        raise ModelError(f"version {number} answers another question than {question.text!r}: run retrain once")
    path = Path(mlflow.artifacts.download_artifacts(f"models:/{client.name}/{number}", dst_path=str(folder)))
    actual = tree_sha256(path)
    if not actual == version.sha256 == tags.get(SUM_TAG):
        raise ModelError(f"the files of version {number} have the sum {actual}, not {version.sha256} as registered")
    check_package(path)
    return path


def load(path: Path, number: str) -> PyFuncModel:
    """Load the verified files of a version; its answers carry the version's number. Raises ModelError."""
    from include.backbone import features  # noqa: F401  TensorFlow, whose byte code is to be kept

    check_package(path)  # again: the last good copy comes from the disk, not from the registry
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION.set(False)
    try:
        with _leaving_no_byte_code():
            # Without its warnings, which take a second: `check_package` and the contract say whether a version fits.
            model = mlflow.pyfunc.load_model(str(path), suppress_warnings=True)
    except MemoryError:  # the machine, not the version: to be tried again
        raise
    except Exception as error:  # Keras and zipfile raise many kinds on a damaged network
        raise ModelError(f"version {number} cannot be loaded: {str(error)[:200]}") from error
    model.unwrap_python_model().model_version = number
    return model


@contextmanager
def _leaving_no_byte_code() -> Iterator[None]:
    """That of the entry file would lie beside it, as one file more than the version has."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def find_version(client: Mlflow, number: str) -> ModelVersion:
    """The version that has this number now. Raises ModelError where there is none."""
    return identify(_registered(client, number))


def registered_as(client: Mlflow, number: str) -> ModelVersion | None:
    """The version that has this number now, if there is one."""
    with suppress(ModelError):
        return find_version(client, number)
    return None


def identify(registered: Registered) -> ModelVersion:
    """What a version of MLflow's registry is; one without a sum is none of ours, and is refused before it is loaded."""
    return ModelVersion(str(registered.version), registered.tags.get(SUM_TAG, ""))


def champion_version(client: Mlflow) -> ModelVersion | None:
    """The version that serves, or none before the first."""
    return _version_at(client, ALIAS)


def registered_at(client: Mlflow, version: ModelVersion) -> str:
    """When a version entered the registry, right after its training: ISO 8601 in UTC. Raises ModelError."""
    milliseconds = _registered(client, version.number).creation_timestamp
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")


def reference_version(client: Mlflow) -> ModelVersion | None:
    """The best proven version, or none before the first."""
    return _version_at(client, REFERENCE)


def set_reference(client: Mlflow, version: ModelVersion) -> None:
    client.set_registered_model_alias(client.name, REFERENCE, version.number)


def _version_at(client: Mlflow, alias: str) -> ModelVersion | None:
    """The version that the alias names, if there is one."""
    try:
        return identify(client.get_model_version_by_alias(client.name, alias))
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise
        return None


def champion_dataset(client: Mlflow) -> str | None:
    """The digest of the dataset that the champion was trained on, or none before the first."""
    version = champion_version(client)
    return _registered(client, version.number).tags.get(DATASET_TAG) if version else None


def predecessor_of(client: Mlflow, version: ModelVersion) -> ModelVersion | None:
    """What a version replaced when it became champion; none for the first one, and where that is gone."""
    replaced = _registered(client, version.number).tags.get(REPLACES_TAG)
    return registered_as(client, replaced) if replaced else None


def promote(client: Mlflow, version: ModelVersion, *, replaces: ModelVersion | None) -> None:
    """Move the alias; what it leaves is written down first, so that a kill between the two loses nothing."""
    before = replaces.number if replaces else ""
    _keep_older_record(client, version.number, before)
    client.set_model_version_tag(client.name, version.number, REPLACES_TAG, before)
    client.set_registered_model_alias(client.name, ALIAS, version.number)


def roll_back_alias(client: Mlflow, version: ModelVersion | None) -> None:
    """Put the alias back, or take it away where there was none."""
    if version is None:
        client.delete_registered_model_alias(client.name, ALIAS)
    else:
        client.set_registered_model_alias(client.name, ALIAS, version.number)


def _keep_older_record(client: Mlflow, version: str, replaces: str) -> None:
    """A version may become champion again: what it replaced earlier moves aside. Safe to repeat."""
    tags = _registered(client, version).tags
    if tags.get(REPLACES_TAG, replaces) == replaces:
        return
    older, last = [name for name in tags.get(REPLACED_BEFORE_TAG, "").split(", ") if name], tags[REPLACES_TAG] or NONE
    if older[-1:] != [last]:
        client.set_model_version_tag(client.name, version, REPLACED_BEFORE_TAG, ", ".join([*older, last]))


def set_description(client: Mlflow, version: ModelVersion, text: str) -> None:
    """Put a description, in Markdown, beside a version; one that is gone needs none."""
    with _unless_gone():
        client.update_model_version(client.name, version.number, text)


def tag_version(client: Mlflow, version: ModelVersion, tags: Mapping[str, str]) -> None:
    """Tag a version; one that is gone needs no tags."""
    with _unless_gone():
        for name, value in tags.items():
            client.set_model_version_tag(client.name, version.number, name, value)


def untag_version(client: Mlflow, version: ModelVersion, names: Sequence[str]) -> None:
    """Take tags away from a version that may not have them, or be gone."""
    with _unless_gone():
        for name in {*names} & set(client.get_model_version(client.name, version.number).tags):
            client.delete_model_version_tag(client.name, version.number, name)


@contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise


def _registered(client: Mlflow, number: str) -> Registered:
    try:
        return client.get_model_version(client.name, number)
    except MlflowException as error:
        if error.error_code not in ABSENT:
            raise  # the server, not the version: to be tried again
        raise ModelError(f"there is no version {number!r} of {client.name}: {error.message}") from error


def _origin(run: str, dataset: str, mlflow_run: str, rule: DecisionRule) -> dict[str, str]:
    """The tags that say what a version was made from, for which run."""
    made_from = json_sha256({"mlflow_run": mlflow_run, "rule": asdict(rule), "contract": CONTRACT})
    return {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset, MADE_FROM_TAG: made_from}


def version_of(client: Mlflow, origin: Mapping[str, str]) -> ModelVersion | None:
    """The version that was registered with these tags of ``_origin``, the first of several; none if there is none."""
    versions = _versions_of(client, origin)
    return identify(versions[0]) if versions else None


def _versions_of(client: Mlflow, origin: Mapping[str, str]) -> list[Registered]:
    of_run = f"name = '{client.name}' and tags.`{RUN_TAG}` = '{origin[RUN_TAG]}'"
    matching = [version for version in client.search_model_versions(of_run) if origin.items() <= version.tags.items()]
    return sorted(matching, key=lambda version: int(version.version))


def _keep_lowest(client: Mlflow, origin: Mapping[str, str]) -> ModelVersion:
    """A killed task may still run beside its second try: the later one deletes its own version."""
    first, *others = _versions_of(client, origin)
    for twin in others:
        log.warning("deleting version %s: a duplicate of %s from the same run", twin.version, first.version)
        with suppress(MlflowException):  # the twin may be taking it away at the same moment
            client.delete_model_version(client.name, twin.version)
    return identify(first)
