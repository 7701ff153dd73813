"""The login of Airflow's one local user, known before Airflow starts: tasks use it to write the notes of runs."""

import json
from urllib.parse import quote

from include.settings import LOOPBACK, Settings
from stack.airflow_api import USER
from stack.secret_files import keep_secret, write_secret

PASSWORD = "airflow_admin_password"
PASSWORDS = "simple_auth_manager_passwords.json.generated"  # where Airflow's SimpleAuthManager keeps its own


def airflow_password(settings: Settings) -> str:
    """In containers that of `make secrets`; the local stack makes its own."""
    return keep_secret(settings.secrets, PASSWORD)


def airflow_connection(settings: Settings) -> dict[str, str]:
    """Airflow's connection to its own REST API, for `cat_plugin.run_note`, as a variable of the environment."""
    login = f"{USER}:{quote(airflow_password(settings), safe='')}"
    return {"AIRFLOW_CONN_AIRFLOW_API": f"http://{login}@{LOOPBACK}:{settings.airflow_port}"}


def tell_airflow(settings: Settings) -> None:
    """Put the password where Airflow looks for it."""
    write_secret(settings.home / "airflow" / PASSWORDS, json.dumps({USER: airflow_password(settings)}))
