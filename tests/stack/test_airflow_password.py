"""Airflow's password is known before Airflow starts, and only Airflow's processes get it."""

import json
from pathlib import Path

import pytest

from include.settings import Settings
from stack.airflow_api import PASSWORDS
from stack.airflow_password import airflow_connection, keep_password
from stack.environment import stack_environment


def test_it_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    password = keep_password(tmp_path / "airflow")
    assert len(password) >= 12
    assert keep_password(tmp_path / "airflow") == password
    path = tmp_path / "airflow" / PASSWORDS
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {"admin": password}
    assert [found.name for found in path.parent.iterdir()] == [PASSWORDS], "nothing half written is left"


def test_a_password_that_airflow_made_is_kept(tmp_path: Path) -> None:
    (tmp_path / PASSWORDS).write_text('{"admin": "of before"}')
    assert keep_password(tmp_path) == "of before"


def test_the_connection_names_the_local_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state_dir=tmp_path, airflow_port=8081)
    (settings.home / "airflow").mkdir(parents=True)
    (settings.home / "airflow" / PASSWORDS).write_text('{"admin": "a/b@c"}')
    connection = {"AIRFLOW_CONN_AIRFLOW_API": "http://admin:a%2Fb%40c@127.0.0.1:8081"}
    assert airflow_connection(settings) == connection
    assert not connection.keys() & stack_environment(settings).keys()
