"""Airflow's password is known before Airflow starts, and only Airflow's processes get it."""

import json
from pathlib import Path

import pytest

from include.settings import Settings
from stack.airflow_login import PASSWORDS, airflow_connection, airflow_password, tell_airflow
from stack.environment import stack_environment


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path, airflow_port=8081)


def test_it_is_made_once_and_airflow_finds_it(settings: Settings) -> None:
    password = airflow_password(settings)
    assert airflow_password(settings) == password
    tell_airflow(settings)
    path = settings.home / "airflow" / PASSWORDS
    assert json.loads(path.read_text()) == {"admin": password}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in path.parent.iterdir()] == [PASSWORDS], "nothing half written is left"


def test_a_changed_secret_is_the_new_password(settings: Settings) -> None:
    tell_airflow(settings)
    (settings.secrets / "airflow_admin_password").write_text("another\n")
    tell_airflow(settings)
    assert json.loads((settings.home / "airflow" / PASSWORDS).read_text()) == {"admin": "another"}


def test_the_connection_names_the_local_api(settings: Settings) -> None:
    settings.secrets.mkdir(parents=True)
    (settings.secrets / "airflow_admin_password").write_text("a/b@c")
    connection = {"AIRFLOW_CONN_AIRFLOW_API": "http://admin:a%2Fb%40c@127.0.0.1:8081"}
    assert airflow_connection(settings) == connection
    assert not connection.keys() & stack_environment(settings).keys()
