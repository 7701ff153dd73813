"""How errors end a task, and who hears of a failed run."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest

from cat_plugin import errors
from include.errors import DatasetError
from tests.conftest import free_port

FAILED = {
    "dag_run": SimpleNamespace(dag_id="retrain", run_id="manual__1"),
    "dag": SimpleNamespace(dag_id="retrain"),
    "run_id": "manual__1",
    "reason": "task_failure",
}
MINIMAL = {name: FAILED[name] for name in ("dag", "run_id", "reason")}  # all that Airflow has where no task began
MESSAGE = "retrain: the run manual__1 failed (task_failure)"


@pytest.mark.parametrize(
    ("error", "try_number", "raised"),
    [
        (ConnectionError("the network"), 2, "ConnectionError"),
        (ConnectionError("the network"), 3, "AirflowSkipException"),
        (DatasetError("the cure"), 1, "AirflowSkipException"),
    ],
)
def test_a_task_that_only_informs_is_retried_and_then_skipped(
    monkeypatch: pytest.MonkeyPatch, error: Exception, try_number: int, raised: str
) -> None:
    @errors.skip_on_error
    def breaks() -> None:
        raise error

    this = SimpleNamespace(try_number=try_number, max_tries=2)
    monkeypatch.setattr(errors, "get_current_context", lambda: {"ti": this})
    with pytest.raises(Exception, match=str(error)) as caught:
        breaks()
    assert caught.type.__name__ == raised


class Webhook(HTTPServer):
    """Keeps the messages that it gets, and answers with ``status``."""

    def __init__(self, status: int = 200) -> None:
        messages: list[tuple[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                messages.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Tests are quiet."""

        super().__init__(("127.0.0.1", 0), Handler)
        self.messages = messages
        self.url = f"http://127.0.0.1:{self.server_port}/hook"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def webhook(request: pytest.FixtureRequest) -> Iterator[Webhook]:
    """A webhook that answers with the status that the test gives as its param, or 200."""
    server = Webhook(getattr(request, "param", 200))
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(params=[FAILED, MINIMAL], ids=["full", "minimal"])
def context(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What Airflow gives to the callback of a failed run."""
    given: dict[str, Any] = request.param
    return given


def test_a_failed_run_is_logged_and_posted_to_the_webhook(
    context: dict[str, Any], webhook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAT_ALERT_WEBHOOK", webhook.url)
    errors.on_failure(context)
    assert [(record.levelname, record.getMessage()) for record in errors_of(caplog)] == [("ERROR", MESSAGE)]
    assert webhook.messages == [("/hook", {"text": MESSAGE})]


def test_without_a_webhook_a_failed_run_is_only_logged(
    context: dict[str, Any], webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    errors.on_failure(context)
    assert [record.getMessage() for record in errors_of(caplog)] == [MESSAGE]
    assert webhook.messages == []


@pytest.mark.parametrize("webhook", [500], indirect=True)
def test_a_webhook_that_answers_with_an_error_raises_nothing(
    webhook: Webhook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAT_ALERT_WEBHOOK", webhook.url)
    errors.on_failure(FAILED)
    assert len(webhook.messages) == 1
    assert "HTTPStatusError" in caplog.text


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/hook", "no url at all", "http://[::1"])
def test_a_dead_webhook_raises_nothing(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CAT_ALERT_WEBHOOK", url.format(port=free_port()))
    errors.on_failure(FAILED)
    levels = [record.levelname for record in errors_of(caplog)]
    assert levels == ["ERROR", "WARNING"]


def errors_of(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The records of our own logger."""
    return [record for record in caplog.records if record.name == errors.__name__]
