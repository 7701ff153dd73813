"""MLflow and the model server as real processes that a test may kill and start again."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from include.records import Verdict
from include.registry.versions import ALIAS, find_version
from include.serving import client
from include.serving.client import predict
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect
from tests.conftest import BIN, free_port
from tests.models import add_version
from tests.waiting import until

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
LIMITS = {
    "CAT_MAX_REQUEST_BYTES": "1000000",
    "CAT_MAX_BATCH": "16",
    "CAT_LIMITS__SLOW_WAITING": "2",
    "CAT_LIMITS__HEADER_SECONDS": "2",
    "CAT_LIMITS__BODY_SECONDS": "3",
    "CAT_LIMITS__CONNECTIONS": "40",
    "CAT_LIMITS__REQUEST_PIXELS": "20000000",
}


@dataclass
class Killable:
    """A server in a process group of its own: it can be killed with all its children."""

    command: list[str]
    url: str
    log: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def start(self) -> None:
        """Start it, if it does not run, and wait until it answers."""
        if not self.runs:
            self.launch()
        until(lambda: self.answers() or not self.runs)
        assert self.runs, self.output

    def launch(self) -> None:
        """Start it without waiting; its log begins anew."""
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(BIN / self.command[0]), *self.command[1:]],
                env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def answers(self) -> bool:
        try:
            return httpx.get(self.url, timeout=5).is_success
        except httpx.HTTPError:
            return False

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(timeout=60)


@dataclass
class Served:
    """Both servers, and what tests ask them; they call versions by their numbers."""

    mlflow: Killable
    model: Killable
    url: str
    client: Mlflow
    at_first: dict[str, httpx.Response]  # what it answered before there was any version
    versions: dict[str, str] = field(default_factory=dict)

    def version(self, name: str, *, sign: float = 1.0) -> str:
        """A registered version that is made once; with ``sign`` -1 all photos but red ones are positive."""
        if name not in self.versions:
            self.mlflow.start()  # a test before may have killed it
            self.versions[name] = str(add_version(sign=sign, run=name, dataset=f"dataset-{name}"))
        return self.versions[name]

    def sum_of(self, number: str) -> str:
        return find_version(self.client, number).sha256

    def point(self, version: str) -> None:
        """Move the alias, without waiting."""
        self.client.set_registered_model_alias(self.client.name, ALIAS, version)

    def live(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/live", timeout=30).json()

    def serve(self, version: str) -> None:
        """Both servers run, and this version is champion and live."""
        self.mlflow.start()
        self.model.start()
        self.point(version)
        self.wait_for(version)

    def wait_for(self, version: str) -> None:
        until(lambda: self.live().get("model_version") == version)

    def predict(self, *photos: bytes) -> list[Verdict]:
        return predict(self.url, photos)


def answer_with(monkeypatch: pytest.MonkeyPatch, response: httpx.Response) -> None:
    """Whatever our client asks, this is what the server says."""
    monkeypatch.setattr(client, "_http", lambda: SimpleNamespace(request=lambda *_, **__: response))


def first_answers(url: str) -> dict[str, httpx.Response]:
    body = {"dataframe_split": {"columns": ["image"], "data": [["aGk="]]}}
    answers = {path: httpx.get(url + path) for path in ("/ping", "/live", "/version", "/metrics")}
    return answers | {"/invocations": httpx.post(f"{url}/invocations", json=body)}


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry without any version, and a model server that follows it."""
    home, (tracking, serving) = tmp_path_factory.mktemp("served"), (free_port(), free_port())
    tracking_url, url = f"http://127.0.0.1:{tracking}", f"http://127.0.0.1:{serving}"
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(tracking), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"]
    own = {"CAT_STATE_DIR": str(home / "state"), "CAT_MLFLOW_URL": tracking_url, "CAT_SERVER_PORT": str(serving)}
    mlflow = Killable(command, f"{tracking_url}/health", home / "mlflow.log", QUIET)
    model = Killable(["python", "-m", "include.serving.server"], f"{url}/ping", home / "server.log", own | LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CAT_MLFLOW_URL", tracking_url)
        patch.setenv("CAT_SERVER_URL", url)
        patch.setenv("MLFLOW_TRACKING_URI", tracking_url)  # MLflow sets it for its children; put back afterwards
        try:
            mlflow.launch()
            model.launch()
            mlflow.start()
            model.start()
            yield Served(mlflow, model, url, connect(Settings()), first_answers(url))
        finally:
            model.kill()
            mlflow.kill()


@pytest.fixture(scope="package")
def red(served: Served) -> str:
    """A version to which red photos are positive."""
    return served.version("red", sign=1)


@pytest.fixture(scope="package")
def blue(served: Served) -> str:
    """A version to which all photos but red ones are positive."""
    return served.version("blue", sign=-1)


@pytest.fixture
def champion(served: Served, red: str) -> str:
    """Both servers run and serve this version."""
    served.serve(red)
    return red
