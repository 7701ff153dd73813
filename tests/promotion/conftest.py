"""A real registry, a stand-in for the model server, and versions of the model, good and bad ones."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest

from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import write_json
from include.records import CloseCalls, Decision, DecisionRule, ModelVersion, Outcome, Result, Rule
from include.registry.versions import (
    ALIAS,
    CONTRACT_TAG,
    QUESTION_TAG,
    REFERENCE,
    champion_version,
    reference_version,
    register,
)
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect
from tests.models import QUESTION, add_version
from tests.registry.test_versions import tamper

RUN = "manual__2026-01-01T00:00:00+00:00"


RESULTS: dict[Outcome, Result] = {"better": "passed", "close call": "close call", "not better": "failed"}


class LiveStandIn:
    """Plays the /live of a model server: one that follows the alias, or one that does not.

    A real server needs a quarter of a minute to start, and always follows; tests/serving has the real one.
    """

    def __init__(self, client: Mlflow) -> None:
        self.client = client
        self.serves: ModelVersion | None = None  # none: it follows the alias
        self.when_polled: Callable[[], object] = lambda: None
        self.status = 200
        self.rejected: dict[ModelVersion, str] = {}

    def answer(self) -> dict[str, Any]:
        version = self.serves or champion_version(self.client)
        names = {"model_version": version.number, "sha256": version.sha256} if version else {}
        return names | {"rejected": {version.sha256: reason for version, reason in self.rejected.items()}}


@contextmanager
def answering(live: LiveStandIn) -> Iterator[str]:
    """Answer polls at the URL that is returned."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            live.when_polled()
            self.send_response(live.status)
            self.end_headers()
            self.wfile.write(json.dumps(live.answer()).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client(mlflow_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mlflow]:
    """The registry, without champion and reference before and after."""
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)  # MLflow sets it for its children; put back after the test
    client = connect(Settings())
    forget_aliases(client)
    yield client
    forget_aliases(client)


def forget_aliases(client: Mlflow) -> None:
    if champion_version(client):
        client.delete_registered_model_alias(client.name, ALIAS)
    if reference_version(client):
        client.delete_registered_model_alias(client.name, REFERENCE)


@pytest.fixture
def live(client: Mlflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveStandIn]:
    """A model server that follows the alias, unless a test says otherwise."""
    live = LiveStandIn(client)
    with answering(live) as url:
        monkeypatch.setenv("CAT_SERVER_URL", url)
        monkeypatch.setenv("CAT_DEPLOY_TIMEOUT_SECONDS", "1.2")
        yield live


@pytest.fixture
def old(client: Mlflow) -> ModelVersion:
    return add_version(run="old")


@pytest.fixture
def new(client: Mlflow) -> ModelVersion:
    return add_version(run="new")


@pytest.fixture
def other(client: Mlflow) -> ModelVersion:
    return add_version(run="other")


@pytest.fixture
def mlflow_run(client: Mlflow) -> str:
    with mlflow.start_run() as active:
        return str(active.info.run_id)


def decided(
    challenger: ModelVersion,
    predecessor: ModelVersion | None,
    *,
    outcome: Outcome = "better",
    close_calls: CloseCalls = "keep",
    next_reference: ModelVersion | None = None,
) -> Decision:
    """A decision of the gate, made by hand."""
    rules = (Rule("a rule", RESULTS[outcome], "by hand"),)
    moved = next_reference or challenger
    return Decision(outcome, close_calls, challenger, predecessor, None, moved, rules)


def write_decision(
    lake: ObjectStore, challenger: ModelVersion, predecessor: ModelVersion | None, **decision: Any
) -> None:
    """The gate's decision, as it lies in the lake."""
    write_json(lake, layout.run_decision(RUN), asdict(decided(challenger, predecessor, **decision)))


class Killed(BaseException):
    """Nothing catches it: what would have come after it never happens."""


@contextmanager
def killed_at(target: object, step: str) -> Iterator[None]:
    """The block must reach ``step`` of ``target``, and ends there."""

    def die(*_: object, **__: object) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(target, step, die)
        with pytest.raises(Killed):
            yield


def register_garbage(client: Mlflow, mlflow_run: str, folder: Path) -> ModelVersion:
    """The sum is right, but the network is not a network."""
    path, origin = folder / "network.keras", {"run": f"garbage-{mlflow_run}", "mlflow_run": mlflow_run, "dataset": "d1"}
    path.write_bytes(b"PK\x03\x04 half a file")
    return register(client, path, DecisionRule(0.5, 0.4, 0.6, (0,)), QUESTION, **origin)


def register_tampered(client: Mlflow, mlflow_run: str, folder: Path) -> ModelVersion:
    """A file was changed after the version was registered."""
    version = add_version(run=f"tampered-{mlflow_run}")
    (folder / "package_entry.py").write_text("raise SystemExit")
    tamper(client, version, folder / "package_entry.py")
    return version


def register_of_older_contract(client: Mlflow, mlflow_run: str, folder: Path) -> ModelVersion:
    version = add_version(run=f"older-{mlflow_run}")
    client.set_model_version_tag(client.name, version.number, CONTRACT_TAG, "3")
    return version


def register_of_another_question(client: Mlflow, mlflow_run: str, folder: Path) -> ModelVersion:
    version = add_version(run=f"question-{mlflow_run}")
    client.set_model_version_tag(client.name, version.number, QUESTION_TAG, "0" * 16)
    return version
