"""Shared fixtures: lakes of both kinds, and servers that are real, on free ports, and ended."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import hypothesis
import pytest

from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.lake.s3 import S3Store, connect

BIN = Path(sys.executable).parent
FAKE_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


hypothesis.settings.register_profile("tests", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: then two workers end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("functional") is None)


@pytest.fixture(autouse=True, scope="session")
def plain_environment() -> Iterator[None]:
    """No test sees a developer's own CAT_ settings or cloud credentials, nor touches their .local."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith(("CAT_", "AWS_PROFILE"))]:
        del os.environ[name]
    os.environ.update(FAKE_CREDENTIALS)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAT_STATE_DIR", str(tmp_path / "state"))


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(command: list[str], url: str, **environment: str) -> Iterator[str]:
    """A real server in a process of its own, ready at ``url`` and ended afterwards."""
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(600):
            if _answers(url):
                break
            time.sleep(0.2)
        else:
            raise TimeoutError(f"{command[0]} did not answer at {url}")
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code < 500
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """moto's S3 server: it stands in for AWS, over real HTTP."""
    port = free_port()
    with server(["moto_server", "-H", "127.0.0.1", "-p", str(port)], f"http://127.0.0.1:{port}") as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with server(command, f"http://127.0.0.1:{port}/health", **quiet) as url:
        yield url.removesuffix("/health")


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty lake, once as a folder and once as a bucket."""
    if request.param == "folder":
        return LocalStore(tmp_path / "lake")
    bucket = S3Store(connect(request.getfixturevalue("s3_url")), f"lake-{uuid4().hex}")
    bucket.ensure_bucket()
    return bucket


@pytest.fixture
def lake(tmp_path: Path) -> LocalStore:
    """An empty lake where its kind does not matter."""
    return LocalStore(tmp_path / "lake")
