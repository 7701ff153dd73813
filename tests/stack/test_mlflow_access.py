"""Who may do what in MLflow, asked of its real server: with open reading, as on the laptop, and with closed reading."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.settings import ROOT, Settings
from include.training.mlflow_runs import connect
from stack.secret_files import keep_secret
from tests.conftest import free_port, server

API = "/api/2.0/mlflow"
ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/1/run/artifacts/note.txt"
WRITES = [
    ("POST", f"{API}/experiments/create", {"name": "mine"}),
    ("POST", f"{API}/experiments/delete", {"experiment_id": "0"}),
    ("POST", f"{API}/runs/create", {"experiment_id": "0"}),
    ("POST", f"{API}/registered-models/create", {"name": "mine"}),
    ("POST", f"{API}/registered-models/alias", {"name": "are-you-a-cat", "alias": "champion", "version": "1"}),
    ("POST", "/api/2.0/mlflow/users/create", {"username": "me", "password": "longer than twelve"}),
    ("PATCH", "/api/2.0/mlflow/users/update-admin", {"username": "reader", "is_admin": True}),
    ("PUT", ARTIFACT, {}),
    ("DELETE", ARTIFACT, {}),
    ("POST", "/ajax-api/3.0/jobs/", {}),
    ("POST", "/v1/traces", {}),
]
READS = [
    ("POST", f"{API}/experiments/search", {"max_results": 10}),
    ("POST", f"{API}/runs/search", {"experiment_ids": ["0"]}),
    ("GET", f"{API}/registered-models/search", None),
    ("GET", f"{API}/experiments/get?experiment_id=0", None),
    ("GET", "/", None),
]


@dataclass(frozen=True)
class Access:
    """A running server, and the logins of its users."""

    url: str
    secrets: Path
    open: bool

    def ask(self, user: str | None, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        login = (user, (self.secrets / f"mlflow_{user}_password").read_text()) if user else None
        return httpx.request(method, self.url + path, json=body, auth=login, timeout=60, **options)

    def experiments(self) -> list[str]:
        answer = self.ask("pipeline", "POST", f"{API}/experiments/search", {"max_results": 100, "view_type": "ALL"})
        return sorted(experiment["name"] for experiment in answer.json()["experiments"])


@pytest.fixture(scope="module", params=["open reading", "closed reading"])
def access(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    home, url = tmp_path_factory.mktemp("mlflow"), f"http://127.0.0.1:{free_port()}"
    keep_secret(home / "secrets", "mlflow_pipeline_password")
    if request.param == "closed reading":
        keep_secret(home / "secrets", "mlflow_reader_password")
    command = ["python", "-m", "stack.mlflow_server", "--port", url.rpartition(":")[2], "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # as in the stack
    with server(command, f"{url}/health", CAT_SECRETS_DIR=str(home / "secrets"), **quiet):
        yield Access(url, home / "secrets", request.param == "open reading")


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_only_the_pipeline_writes(access: Access, method: str, path: str, body: Any) -> None:
    before = access.experiments()
    assert access.ask(None, method, path, body).status_code == 401
    if not access.open:
        assert access.ask("reader", method, path, body).status_code == 403
    assert access.experiments() == before


@pytest.mark.parametrize(("method", "path", "body"), READS)
def test_reading_is_open_where_the_reader_has_no_password(access: Access, method: str, path: str, body: Any) -> None:
    assert access.ask(None, method, path, body).status_code == (200 if access.open else 401)
    assert access.ask("pipeline", method, path, body).status_code == 200
    if not access.open:
        assert access.ask("reader", method, path, body).status_code == 200


@pytest.mark.parametrize(
    "name", ["artifact_location", "artifactLocation", "Artifact_Location", "default_artifact_root"]
)
@pytest.mark.parametrize("where", ["file:///tmp", str(ROOT / "dags"), "s3://other/bucket", "mlflow-artifacts:/1"])
def test_nobody_chooses_where_artifacts_lie(access: Access, name: str, where: str) -> None:
    """Not even the pipeline: an experiment in a folder of the project would let an upload become code."""
    body = {"name": f"in {where}", name: where}
    before, path = access.experiments(), f"{API}/experiments/create"
    forms: list[dict[str, Any]] = [
        {"json": body},
        {"json": json.dumps(body)},  # JSON within a JSON string, which MLflow reads, too
        {"content": json.dumps(body), "headers": {"Content-Type": "text/plain"}},
        {"content": json.dumps(body)},
    ]
    for user in ["pipeline"] if access.open else ["pipeline", "reader"]:
        login = (user, (access.secrets / f"mlflow_{user}_password").read_text())
        for form in forms:
            answer = httpx.post(access.url + path, auth=login, timeout=60, **form)
            assert answer.status_code == 403, answer.text
    assert access.experiments() == before


def test_an_upload_stays_in_the_store_of_the_server(access: Access) -> None:
    assert access.ask("pipeline", "PUT", ARTIFACT, {"a": 1}).status_code == 200
    outside = [
        "..%2F..%2F..%2Fdags%2Fevil.py",
        "%2Ftmp%2Fevil.py",
        "a/..%2F..%2F..%2Fevil.py",
        "file:%2F%2F%2Ftmp%2Fevil",
    ]
    for path in outside:
        url = f"{access.url}/api/2.0/mlflow-artifacts/artifacts/{path}"
        login = ("pipeline", (access.secrets / "mlflow_pipeline_password").read_text())
        assert httpx.put(url, content=b"code", auth=login).status_code >= 400, path


@pytest.mark.parametrize("login", [("pipeline", "wrong"), ("pipeline", ""), ("admin", "password1234"), ("", "")])
def test_wrong_logins_are_refused(access: Access, login: tuple[str, str]) -> None:
    answer = httpx.get(f"{access.url}{READS[2][1]}", auth=login, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")


def test_health_needs_no_login(access: Access) -> None:
    assert httpx.get(f"{access.url}/health").status_code == 200


def test_our_client_shows_the_login_of_the_secrets(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # put back afterwards
    client = connect(Settings(mlflow_url=access.url, secrets_dir=access.secrets))
    experiment = client.create_experiment("by the client")
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "kept", "note.txt")
    assert [file.path for file in client.list_artifacts(run)] == ["note.txt"]
    client.delete_experiment(experiment)


def test_without_the_password_of_the_pipeline_it_does_not_start(tmp_path: Path) -> None:
    environment = {**os.environ, "CAT_SECRETS_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "stack.mlflow_server"]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "mlflow_pipeline_password is missing" in ended.stderr
