import mlflow
import pytest

from include.lake import layout
from include.training.mlflow_runs import connect, log_curves, log_validation, training_run


@pytest.fixture(autouse=True)
def tracking_server(mlflow_url, monkeypatch):
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test


def test_what_validation_found_lies_beside_the_run(lake):
    lake.write(layout.dataset_validation("d", "json"), b'{"passed": true}')
    lake.write(layout.dataset_validation("d", "html"), b"<p>fine</p>")
    with training_run("validated", "d") as active:
        log_validation(lake, "d")
        log_validation(lake, "of a version without findings")
    names = [file.path for file in connect().list_artifacts(active.info.run_id, "validation")]
    assert names == ["validation/validation.html", "validation/validation.json"]
    assert mlflow.artifacts.load_text(f"runs:/{active.info.run_id}/validation/validation.html") == "<p>fine</p>"


def points_of(run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in connect().get_metric_history(run_id, name)]


def test_curves_are_a_point_for_each_epoch():
    curves = [{"loss": 0.5, "val_loss": 0.6}, {"loss": 0.25, "val_loss": 0.5}]
    with training_run("curves", "d") as active:
        log_curves(active.info.run_id, curves)
        log_curves(active.info.run_id, curves[:1], prefix="head_")
    assert points_of(active.info.run_id, "loss") == [(0, 0.5), (1, 0.25)]
    assert points_of(active.info.run_id, "val_loss") == [(0, 0.6), (1, 0.5)]
    assert points_of(active.info.run_id, "head_loss") == [(0, 0.5)]


def test_curves_that_a_later_try_sends_again_add_no_point():
    curves = [{"loss": 0.5}, {"loss": 0.25}]
    with training_run("again", "d") as active:
        for _ in range(2):
            log_curves(active.info.run_id, curves)
    assert points_of(active.info.run_id, "loss") == [(0, 0.5), (1, 0.25)]


def test_a_network_without_epochs_has_no_curves():
    with training_run("none", "d") as active:
        log_curves(active.info.run_id, [])
    assert connect().get_run(active.info.run_id).data.metrics == {}
