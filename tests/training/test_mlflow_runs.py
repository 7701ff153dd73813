"""One MLflow run for each training: its curves, and the data checks beside it."""

import mlflow
import pytest

from include.lake import layout
from include.lake.local import LocalStore
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect, log_curves, log_validation, training_run


@pytest.fixture
def client(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Mlflow:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    return connect(Settings(mlflow_url=mlflow_url))


def test_the_results_of_the_data_checks_are_logged_with_the_run(client: Mlflow, lake: LocalStore) -> None:
    lake.write(layout.dataset_validation("d"), b'{"passed": true}')
    lake.write(layout.dataset_validation_page("d"), b"<p>fine</p>")
    with training_run(client, "validated", "d") as active:
        log_validation(lake, "d")
        log_validation(lake, "of a version that was not checked")
    names = [file.path for file in client.list_artifacts(active.info.run_id, "validation")]
    assert names == ["validation/validation.html", "validation/validation.json"]
    assert mlflow.artifacts.load_text(f"runs:/{active.info.run_id}/validation/validation.html") == "<p>fine</p>"


def points_of(client: Mlflow, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in client.get_metric_history(run_id, name)]


def test_curves_have_a_point_for_each_epoch(client: Mlflow) -> None:
    curves = [{"loss": 0.5, "val_loss": 0.6}, {"loss": 0.25, "val_loss": 0.5}]
    with training_run(client, "curves", "d") as active:
        log_curves(client, active.info.run_id, curves)
        log_curves(client, active.info.run_id, curves[:1], prefix="head_")
    assert points_of(client, active.info.run_id, "loss") == [(0, 0.5), (1, 0.25)]
    assert points_of(client, active.info.run_id, "val_loss") == [(0, 0.6), (1, 0.5)]
    assert points_of(client, active.info.run_id, "head_loss") == [(0, 0.5)]


def test_curves_that_a_later_try_sends_again_add_no_point(client: Mlflow) -> None:
    curves = [{"loss": 0.5}, {"loss": 0.25}]
    with training_run(client, "again", "d") as active:
        for _ in range(2):
            log_curves(client, active.info.run_id, curves)
    assert points_of(client, active.info.run_id, "loss") == [(0, 0.5), (1, 0.25)]


def test_a_network_without_epochs_has_no_curves(client: Mlflow) -> None:
    with training_run(client, "none", "d") as active:
        log_curves(client, active.info.run_id, [])
    assert client.get_run(active.info.run_id).data.metrics == {}
