import logging
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

from include.errors import ModelError
from include.records import CONTRACT, DecisionRule
from include.registry import versions
from include.registry.package import tree_sha256
from include.registry.versions import ARTIFACT, MODEL, fetch, load, register, version_of_run
from include.training.mlflow_runs import DATASET_TAG, RUN_TAG, connect, training_run
from include.training.scratch_network import build_network
from tests.pictures import plain

RULE = DecisionRule(0.5, 0.4, 0.6)
DATASET = "d1"
BY_HAND = "manual__2026-01-01T00:00:00+00:00"


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("network") / "network.keras"
    build_network(image_size=32, filters=(4, 4, 4, 4)).save(path)
    return path


@pytest.fixture
def client(mlflow_url, monkeypatch) -> MlflowClient:
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    return connect()


@pytest.fixture
def enroll(client, network):
    """Register the version of a run, in an MLflow run of its own."""

    def enroll(run: str, dataset: str = DATASET) -> str:
        with training_run(run, dataset) as active:
            pass
        return register(client, network, RULE, run=run, mlflow_run=active.info.run_id, dataset=dataset)

    return enroll


def versions_of(client: MlflowClient, run: str) -> list[str]:
    found = client.search_model_versions(f"name = '{MODEL}'")
    return [str(version.version) for version in found if version.tags.get(RUN_TAG) == run]


def test_a_run_has_one_version_however_often_it_registers(client, enroll):
    version = enroll("often")
    assert enroll("often") == enroll("often") == version
    assert versions_of(client, "often") == [version]
    assert version_of_run(client, "often", DATASET) == version


def test_another_run_or_dataset_has_a_version_of_its_own(client, enroll):
    first, second, third = enroll("alone"), enroll("apart"), enroll("alone", "d2")
    assert len({first, second, third}) == 3
    assert version_of_run(client, "alone", "d2") == third
    assert version_of_run(client, "alone", "d3") is None


def test_a_version_says_where_it_comes_from(client, enroll, tmp_path):
    version = enroll(BY_HAND)
    tags = client.get_model_version(MODEL, version).tags
    assert (tags[RUN_TAG], tags[DATASET_TAG]) == ("manual__2026-01-01T00-00-00-00-00", DATASET)
    assert tags["contract"] == str(CONTRACT)
    assert tags["sha256"] == tree_sha256(fetch(client, version, tmp_path))


def overtaken(enroll, run: str, monkeypatch) -> tuple[str, str]:
    """Two tries of one task side by side: while one writes its package, the other registers from start to end."""
    save_package, others = versions.save_package, []

    def slowly(*given) -> Path:
        monkeypatch.setattr(versions, "save_package", save_package)
        others.append(enroll(run))
        return save_package(*given)

    monkeypatch.setattr(versions, "save_package", slowly)
    return enroll(run), others[0]


def test_of_two_tries_side_by_side_one_version_stays(client, enroll, monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "include"):
        mine, others = overtaken(enroll, "raced", monkeypatch)
    assert mine == others
    assert versions_of(client, "raced") == [mine]
    assert "is a twin of" in caplog.text


def test_the_version_that_stays_beside_a_twin_is_whole(client, network, monkeypatch, tmp_path):
    with training_run("shared", DATASET) as active:  # both tries follow one training, so they share its MLflow run
        pass
    where = {"mlflow_run": active.info.run_id, "dataset": DATASET}
    version, _ = overtaken(lambda run: register(client, network, RULE, run=run, **where), "shared", monkeypatch)
    assert fetch(client, version, tmp_path)


def test_a_loaded_version_answers_with_its_number(client, enroll, tmp_path):
    version = enroll("answers")
    model = load(fetch(client, version, tmp_path), version)
    photos = pd.DataFrame({"image": [plain(), b"%PDF-1.7 a document"]})
    assert list(model.predict(photos)["model_version"]) == [version, version]


def tamper(client: MlflowClient, version: str, file: Path, folder: str = "") -> None:
    """Put a file into the artifact store, into the folder of a version."""
    run = client.get_model_version(MODEL, version).run_id
    (place,) = (found.path for found in client.list_artifacts(run, ARTIFACT))
    client.log_artifact(run, str(file), f"{place}/{folder}".rstrip("/"))


@pytest.mark.parametrize(
    ("folder", "name", "text"),
    [
        ("artifacts", "decision_rule.json", '{"threshold": 0.0, "unsure_from": 0, "unsure_to": 0}'),
        ("", "entry.py", "raise SystemExit"),
        ("", "beside.py", "raise SystemExit"),
    ],
)
def test_changed_files_are_refused_before_they_are_run(client, enroll, tmp_path, folder, name, text):
    version = enroll(f"tampered-{name}")
    (tmp_path / name).write_text(text)
    tamper(client, version, tmp_path / name, folder)
    expected = client.get_model_version(MODEL, version).tags["sha256"]
    with pytest.raises(ModelError, match=f"sum .*, not {expected}"):
        fetch(client, version, tmp_path / "fetched")


def test_a_version_without_a_sum_is_refused(client, enroll, tmp_path):
    version = enroll("unsigned")
    client.delete_model_version_tag(MODEL, version, "sha256")
    with pytest.raises(ModelError, match="sum"):
        fetch(client, version, tmp_path)


def test_a_version_of_another_contract_is_refused_before_it_is_downloaded(client, enroll, tmp_path):
    version = enroll("of an older release")
    client.set_model_version_tag(MODEL, version, "contract", "2")
    with pytest.raises(ModelError, match=f"follows contract 2, and this code {CONTRACT}: run retrain once"):
        fetch(client, version, tmp_path)
    client.delete_model_version_tag(MODEL, version, "contract")
    with pytest.raises(ModelError, match="contract None"):
        fetch(client, version, tmp_path)
    assert not list(tmp_path.glob("MLmodel"))


@pytest.mark.parametrize("version", ["999999", "latest"])
def test_a_missing_version_is_named(client, enroll, tmp_path, version):
    enroll("there")
    with pytest.raises(ModelError, match=f"no version '{version}' of {MODEL}"):
        fetch(client, version, tmp_path)


def test_a_server_that_is_down_is_no_missing_version(monkeypatch, tmp_path):
    """It will come back: the task is to be retried, so this is not one of our own errors."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    nobody = "http://127.0.0.1:9"
    with pytest.raises(mlflow.exceptions.MlflowException, match="127.0.0.1"):
        fetch(MlflowClient(nobody, nobody), "1", tmp_path)


def test_the_champions_dataset_is_known_by_its_tag(client, enroll):
    version = enroll("dataset", "d7")
    versions.promote(client, version, replaces=None)
    assert versions.champion_dataset() == "d7"
    versions.restore(client, None)
    assert versions.champion_dataset() is None
