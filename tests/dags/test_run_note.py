"""The note of a run, written by Airflow's REST API; the server here is a stand-in that keeps what it is sent."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from cat_plugin.run_note import LONGEST, set_run_note

RUN = "manual__2026-01-01T00:00:00+00:00"


class Api:
    """Plays Airflow's REST API."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any, str | None]] = []
        self.status = 200


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.requests.append((self.command, self.path, body, self.headers.get("Authorization")))
            self.send_response(api.status)
            self.end_headers()
            self.wfile.write(b'{"access_token": "t0k"}')

        do_POST = do_PATCH = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = SimpleNamespace(
        conn_type="http", host="127.0.0.1", port=server.server_port, login="admin", password="s3cret"
    )
    monkeypatch.setattr(Connection, "get", lambda name: found)
    yield api
    server.shutdown()
    server.server_close()


def test_it_logs_in_and_replaces_the_note(api: Api) -> None:
    set_run_note(RUN, "Version 2 is no worse.")
    login, note = api.requests
    assert login[:3] == ("POST", "/auth/token", {"username": "admin", "password": "s3cret"})
    path = "/api/v2/dags/retrain/dagRuns/manual__2026-01-01T00%3A00%3A00%2B00%3A00"
    assert note == ("PATCH", path, {"note": "Version 2 is no worse."}, "Bearer t0k")


def test_a_run_that_waits_says_so_and_a_long_note_is_cut(api: Api) -> None:
    set_run_note(RUN, "A close call.", waits=True)
    assert api.requests[-1][2]["note"].startswith("A close call. It waits for a person's answer under Required Actions")
    set_run_note(RUN, "long " * 1000)
    assert len(api.requests[-1][2]["note"]) == LONGEST


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_api_that_refuses_costs_only_the_note(api: Api, status: int, caplog: pytest.LogCaptureFixture) -> None:
    api.status = status
    set_run_note(RUN, "a note")
    assert "the run gets no note" in caplog.text
    assert "s3cret" not in caplog.text


def test_without_a_connection_there_is_no_note(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(name: str) -> None:
        raise AirflowNotFoundException(name)

    monkeypatch.setattr(Connection, "get", missing)
    with caplog.at_level(logging.INFO):
        set_run_note(RUN, "a note")
    assert "there is no connection airflow_api" in caplog.text


def test_a_store_of_secrets_that_fails_costs_only_the_note(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def denied(name: str) -> None:
        raise PermissionError("s3cret")

    monkeypatch.setattr(Connection, "get", denied)
    set_run_note(RUN, "a note")
    assert "the run gets no note: PermissionError" in caplog.text
    assert "s3cret" not in caplog.text
