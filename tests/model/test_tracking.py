import mlflow

from include.lake import layout
from include.model.tracking import attempt, connect, log_validation


def test_what_validation_found_lies_beside_the_run(lake, mlflow_url, monkeypatch):
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    lake.write(layout.dataset_validation("d", "json"), b'{"passed": true}')
    lake.write(layout.dataset_validation("d", "html"), b"<p>fine</p>")
    with attempt("validated", "d") as active:
        log_validation(lake, "d")
        log_validation(lake, "of a version without findings")
    names = [file.path for file in connect().list_artifacts(active.info.run_id, "validation")]
    assert names == ["validation/validation.html", "validation/validation.json"]
    assert mlflow.artifacts.load_text(f"runs:/{active.info.run_id}/validation/validation.html") == "<p>fine</p>"
