"""The password of Airflow's one local user, known before Airflow starts: tasks use it to write the notes of runs."""

import json
import os
import secrets
from pathlib import Path
from urllib.parse import quote

from include.settings import Settings
from stack.airflow_api import PASSWORDS, USER, read_password


def airflow_connection(settings: Settings) -> dict[str, str]:
    """Airflow's connection to its own REST API, for `cat_plugin.run_note`, as a variable of the environment."""
    login = f"{USER}:{quote(keep_password(settings.home / 'airflow'), safe='')}"
    return {"AIRFLOW_CONN_AIRFLOW_API": f"http://{login}@{settings.host}:{settings.airflow_port}"}


def keep_password(airflow_home: Path) -> str:
    """The password that Airflow keeps there, or a new one where Airflow will find it."""
    path = airflow_home / PASSWORDS
    if not path.exists():
        airflow_home.mkdir(parents=True, exist_ok=True)
        whole = path.with_suffix(".new")  # a kill must not leave half a file
        with os.fdopen(os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({USER: secrets.token_urlsafe(12)}, file)
        whole.replace(path)
    return read_password(airflow_home)
