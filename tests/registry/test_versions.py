"""The registry: one version for each run, and only trusted ones are fetched."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from include.errors import ModelError
from include.question import Question
from include.records import CONTRACT, DecisionRule, ModelVersion
from include.registry import versions
from include.registry.package import save_package, tree_sha256
from include.registry.versions import (
    ARTIFACT,
    QUESTION_TAG,
    download_and_verify,
    find_version,
    load,
    register,
    version_of,
)
from include.settings import Settings
from include.training.mlflow_runs import DATASET_TAG, RUN_TAG, Mlflow, connect, training_run
from include.training.scratch_network import build_network
from tests.models import QUESTION
from tests.pictures import plain

RULE = DecisionRule(0.5, 0.4, 0.6, QUESTION.positive_classes)
DATASET = "d1"
BY_HAND = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.keras"
    build_network(image_size=32, filters=(4, 4, 4, 4)).save(path)
    return path


@pytest.fixture
def client(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    return connect(Settings(mlflow_url=mlflow_url))


@pytest.fixture
def enroll(client: Mlflow, network: Path) -> Callable[..., ModelVersion]:
    """Register the version of a run, from one MLflow run for each run and dataset unless a test names another."""
    trained: dict[tuple[str, str], str] = {}

    def train(run: str, dataset: str) -> str:
        with training_run(client, run, dataset) as active:
            return str(active.info.run_id)

    def enroll(run: str, dataset: str = DATASET, mlflow_run: str = "", rule: DecisionRule = RULE) -> ModelVersion:
        if (run, dataset) not in trained:
            trained[run, dataset] = train(run, dataset)
        origin = {"run": run, "mlflow_run": mlflow_run or trained[run, dataset], "dataset": dataset}
        return register(client, network, rule, QUESTION, **origin)

    return enroll


def versions_of(client: Mlflow, run: str) -> list[str]:
    registered = client.search_model_versions(f"name = '{client.name}'")
    return [str(version.version) for version in registered if version.tags.get(RUN_TAG) == run]


def test_a_run_has_one_version_however_often_it_registers(client: Mlflow, enroll: Callable[..., ModelVersion]) -> None:
    version = enroll("often")
    assert enroll("often") == enroll("often") == version
    assert versions_of(client, "often") == [version.number]


def test_another_run_or_dataset_has_a_version_of_its_own(client: Mlflow, enroll: Callable[..., ModelVersion]) -> None:
    first, second, third = enroll("alone"), enroll("apart"), enroll("alone", "d2")
    assert len({first, second, third}) == 3
    of_run = {RUN_TAG: "alone"}
    assert version_of(client, of_run | {DATASET_TAG: "d2"}) == third
    assert version_of(client, of_run | {DATASET_TAG: "d3"}) is None


def test_the_tags_of_a_version_name_its_origin(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path
) -> None:
    version = enroll(BY_HAND)
    tags = client.get_model_version(client.name, version.number).tags
    assert (tags[RUN_TAG], tags[DATASET_TAG]) == ("manual__2026-01-01T00=3A00=3A00=2B00=3A00", DATASET)
    assert tags["contract"] == str(CONTRACT)
    assert tags["question"] == QUESTION.digest
    assert tags["sha256"] == tree_sha256(download_and_verify(client, version, tmp_path, QUESTION))


def overtaken(
    enroll: Callable[[str], ModelVersion], run: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModelVersion, ModelVersion]:
    """Two tries of one task side by side: while one writes its package, the other registers from start to end."""
    others = []

    def slowly(*given: Any) -> Path:
        monkeypatch.setattr(versions, "save_package", save_package)
        others.append(enroll(run))
        return save_package(*given)

    monkeypatch.setattr(versions, "save_package", slowly)
    return enroll(run), others[0]


def test_of_two_tries_side_by_side_one_version_stays(
    client: Mlflow,
    enroll: Callable[..., ModelVersion],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "include"):
        first, second = overtaken(enroll, "raced", monkeypatch)
    assert first == second
    assert versions_of(client, "raced") == [first.number]
    assert "a duplicate of" in caplog.text


def test_the_version_that_stays_after_a_twin_was_removed_is_intact(
    client: Mlflow, network: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with training_run(
        client, "shared", DATASET
    ) as active:  # both tries follow one training, so they share its MLflow run
        pass
    origin = {"mlflow_run": active.info.run_id, "dataset": DATASET}

    def enroll(run: str) -> ModelVersion:
        return register(client, network, RULE, QUESTION, run=run, **origin)

    version, _ = overtaken(enroll, "shared", monkeypatch)
    assert download_and_verify(client, version, tmp_path, QUESTION)


def test_a_loaded_version_answers_with_its_number(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path
) -> None:
    version = enroll("answers")
    model = load(download_and_verify(client, version, tmp_path, QUESTION), version.number)
    photos = pd.DataFrame({"image": [plain(), b"%PDF-1.7 a document"]})
    assert list(model.predict(photos)["model_version"]) == [version.number, version.number]


def test_loading_a_version_leaves_its_files_as_they_were(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python keeps the byte code of what it imports beside it: a copy with a file more would not count as whole."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    version = enroll("answers")
    path = download_and_verify(client, version, tmp_path, QUESTION)
    for _ in range(2):
        load(path, version.number)
        assert tree_sha256(path) == version.sha256
    assert sys.dont_write_bytecode is False


def tamper(client: Mlflow, version: ModelVersion, file: Path, folder: str = "") -> None:
    """Put a file into the artifact store, into the folder of a version."""
    run = str(client.get_model_version(client.name, version.number).run_id)
    (package,) = (artifact.path for artifact in client.list_artifacts(run, ARTIFACT))
    client.log_artifact(run, str(file), f"{package}/{folder}".rstrip("/"))


@pytest.mark.parametrize(
    ("folder", "name", "text"),
    [
        ("artifacts", "decision_rule.json", '{"threshold": 0.0, "unsure_from": 0, "unsure_to": 0}'),
        ("", "package_entry.py", "raise SystemExit"),
        ("", "beside.py", "raise SystemExit"),
    ],
)
def test_changed_files_are_rejected_before_they_are_run(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path, folder: str, name: str, text: str
) -> None:
    version = enroll(f"tampered-{name}")
    (tmp_path / name).write_text(text)
    tamper(client, version, tmp_path / name, folder)
    expected = client.get_model_version(client.name, version.number).tags["sha256"]
    with pytest.raises(ModelError, match=f"sum .*, not {expected}"):
        download_and_verify(client, version, tmp_path / "fetched", QUESTION)


def test_a_version_without_a_sum_is_rejected(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path
) -> None:
    version = enroll("unsigned")
    client.delete_model_version_tag(client.name, version.number, "sha256")
    with pytest.raises(ModelError, match="sum"):
        download_and_verify(client, version, tmp_path, QUESTION)


def test_a_version_of_an_older_contract_is_rejected_before_it_is_downloaded(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path
) -> None:
    version = enroll("of an older release")
    client.set_model_version_tag(client.name, version.number, "contract", "3")
    with pytest.raises(
        ModelError, match=rf"^version \d+ follows contract 3, and this code {CONTRACT}: run retrain once$"
    ):
        download_and_verify(client, version, tmp_path, QUESTION)
    client.delete_model_version_tag(client.name, version.number, "contract")
    with pytest.raises(ModelError, match="contract None"):
        download_and_verify(client, version, tmp_path, QUESTION)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "question", [Question(positive=("cats", "dogs")), Question(name="other")], ids=["positive sources", "name"]
)
def test_a_version_of_another_question_is_rejected_before_it_is_downloaded(
    client: Mlflow, enroll: Callable[..., ModelVersion], tmp_path: Path, question: Question
) -> None:
    version = enroll("of another question")
    client.set_model_version_tag(client.name, version.number, QUESTION_TAG, question.digest)
    with pytest.raises(
        ModelError, match=r"^version \d+ answers another question than 'Are you a cat\?': run retrain once$"
    ):
        download_and_verify(client, version, tmp_path, QUESTION)
    client.delete_model_version_tag(client.name, version.number, QUESTION_TAG)
    with pytest.raises(ModelError, match="another question"):
        download_and_verify(client, version, tmp_path, QUESTION)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("version", ["999999", "latest"])
def test_a_missing_version_is_named(client: Mlflow, enroll: Callable[..., ModelVersion], version: str) -> None:
    enroll("there")
    with pytest.raises(ModelError, match=f"no version '{version}' of {client.name}"):
        find_version(client, version)


def test_a_server_that_is_down_is_not_a_missing_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It will come back: the task must be retried, so this is no ModelError."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = "http://127.0.0.1:9"
    with pytest.raises(mlflow.exceptions.MlflowException, match="127.0.0.1"):
        download_and_verify(Mlflow(nobody, QUESTION.name), ModelVersion("1", ""), tmp_path, QUESTION)


def test_the_dataset_of_the_champion_is_read_from_its_tag(client: Mlflow, enroll: Callable[..., ModelVersion]) -> None:
    version = enroll("dataset", "d7")
    versions.promote(client, version, replaces=None)
    assert versions.champion_dataset(client) == "d7"
    versions.roll_back_alias(client, None)
    assert versions.champion_dataset(client) is None
