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

from include.configuration import read_settings
from include.errors import BadSetting
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.lake.opening import open_lake
from include.lake.s3 import S3Store, connect
from include.settings import ROOT, Settings
from tests.given_lake import borrowed, check_empty

BIN = Path(sys.executable).parent
FAKE_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


hypothesis.settings.register_profile("tests", deadline=None, max_examples=40, derandomize=True)
hypothesis.settings.load_profile("tests")
GIVEN_LAKE = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--lake-url", help="try this lake in place of a folder and moto: make test-lake")


def pytest_configure(config: pytest.Config) -> None:
    """The lake of --lake-url, with the endpoint of the environment, which no test sees."""
    if url := config.getoption("--lake-url"):
        try:
            config.stash[GIVEN_LAKE] = read_settings(lake_url=url)
        except BadSetting as error:
            raise pytest.UsageError(str(error)) from None
        check_empty(config.stash[GIVEN_LAKE])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test of ``store`` runs with a folder and with a bucket, or with the lake of --lake-url alone."""
    if "store" in metafunc.fixturenames:
        kinds = ["given"] if GIVEN_LAKE in metafunc.config.stash else ["folder", "s3"]
        metafunc.parametrize("store", kinds, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first: then two workers end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("functional") is None)


@pytest.fixture(autouse=True, scope="session")
def plain_environment(pytestconfig: pytest.Config) -> Iterator[None]:
    """No test sees a developer's own CAT_ settings or cloud credentials, nor touches their .local.

    The lake of --lake-url needs the credentials.
    """
    before, needs_credentials = dict(os.environ), GIVEN_LAKE in pytestconfig.stash
    for name in [name for name in os.environ if name.startswith("CAT_")]:
        del os.environ[name]
    if not needs_credentials:
        os.environ.pop("AWS_PROFILE", None)
        os.environ.update(FAKE_CREDENTIALS)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True, scope="session")
def no_power_cuts() -> Iterator[None]:
    """The lake waits for the disk at each write; tests that write thousands of photos do not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda number: None)
        yield


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
        cwd=ROOT,
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
    """The S3 server of the stack: it stands in for AWS, over real HTTP."""
    port = free_port()
    with server(
        ["python", "-m", "stack.s3_server", "-H", "127.0.0.1", "-p", str(port)], f"http://127.0.0.1:{port}"
    ) as url:
        yield url


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", f"{home}/artifacts"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with server(command, f"http://127.0.0.1:{port}/health", **quiet) as url:
        yield url.removesuffix("/health")


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ObjectStore]:
    """An empty lake, once as a folder and once as a bucket; or the lake of --lake-url, empty again afterwards."""
    if request.param == "given":
        with borrowed(open_lake(request.config.stash[GIVEN_LAKE])) as lake:
            yield lake
    elif request.param == "folder":
        yield LocalStore(tmp_path / "lake")
    else:
        bucket = S3Store(connect(request.getfixturevalue("s3_url")), f"lake-{uuid4().hex}")
        bucket.ensure_bucket()
        yield bucket


@pytest.fixture
def lake(tmp_path: Path) -> LocalStore:
    """An empty lake where its kind does not matter."""
    return LocalStore(tmp_path / "lake")
