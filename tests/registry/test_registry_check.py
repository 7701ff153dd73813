"""MLflow is asked at the start: whatever is wrong with it is told in one sentence with the cure."""

import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from include.errors import BadSetting, Unusable
from include.preflight import check_places
from include.question import Question
from include.registry.registry_check import check_registry
from include.settings import Settings, Validation
from include.training.mlflow_runs import connect
from tests.conftest import free_port


class Page(BaseHTTPRequestHandler):
    server: "Site"

    def do_GET(self) -> None:
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""


class Site(ThreadingHTTPServer):
    """Answers every GET with the same status and body."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.status, self.body = status, body


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Iterator[Settings]:
    with Site(*request.param) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield Settings(mlflow_url=f"http://127.0.0.1:{site.server_port}")
        site.shutdown()


def refusal(settings: Settings) -> str:
    with pytest.raises(Unusable) as caught:
        check_registry(settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ((200, b"<html>Welcome</html>"), "is no MLflow: set CAT_MLFLOW_URL to its address"),
        ((404, b"not found"), "is no MLflow: set CAT_MLFLOW_URL"),
        ((200, b"[1]"), "is no MLflow: set CAT_MLFLOW_URL"),
        ((401, b"who are you?"), "refuses the login: put the password of one of its users into"),
        ((403, b'{"error_code": "PERMISSION_DENIED"}'), "refuses the login"),
    ],
    indirect=["settings"],
)
def test_what_answers_otherwise_is_told(settings: Settings, cure: str) -> None:
    sentence = refusal(settings)
    assert cure in sentence
    assert settings.tracking_url in sentence


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_an_address_where_nothing_answers_is_told(host: str) -> None:
    url = f"http://{host}:{free_port()}"
    assert (
        refusal(Settings(mlflow_url=url))
        == f"no MLflow answers at {url}: start it, or set CAT_MLFLOW_URL to its address"
    )


def test_before_a_run_all_places_are_tried(mlflow_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = Settings(mlflow_url=mlflow_url, lake_url=tmp_path.as_uri(), validation=Validation(python=sys.executable))
    with caplog.at_level("INFO"):
        check_places(settings)
    assert caplog.messages[-1:] == [f"the lake {settings.lake} and MLflow at {mlflow_url} can be used"]
    for python in (tmp_path / "gone", tmp_path):
        missing = settings.model_copy(update={"validation": Validation(python=python / "python")})
        with pytest.raises(BadSetting, match="CAT_VALIDATION__PYTHON=.* is no program: run make setup"):
            check_places(missing)
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="a part of its path is a file"):
        check_places(settings.model_copy(update={"lake_url": (tmp_path / "file/lake").as_uri()}))


def test_an_experiment_that_was_deleted_is_told_with_the_command_that_restores_it(
    mlflow_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(mlflow_url=mlflow_url, question=Question(name="deleted-and-restored"))
    check_registry(settings)  # before the first run there is none
    client = connect(settings)
    number = client.create_experiment(client.name)
    check_registry(settings)
    client.delete_experiment(number)
    sentence = refusal(settings)
    assert "the experiment 'deleted-and-restored'" in sentence
    assert f"mlflow experiments restore --experiment-id {number}`" in sentence
    client.restore_experiment(number)
    check_registry(settings)
