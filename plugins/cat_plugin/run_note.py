"""A sentence as the note of a run, where the maintainer sees it in the list of runs.

A task has no right of its own to write one, so it needs a connection to Airflow's REST API. Without the connection
there is no note; whatever goes wrong costs only the note.
"""

import logging
from urllib.parse import quote

import httpx

log = logging.getLogger(__name__)

CONNECTION = "airflow_api"  # host with scheme and port, login and password of a user who may edit runs
WAITS = "It waits for a person's answer under Required Actions, and the next run waits meanwhile."
LONGEST = 1000  # characters, by Airflow's own limit


def set_run_note(run_id: str, note: str, *, waits: bool = False, dag_id: str = "retrain") -> None:
    """Replace the note of a run of ``dag_id``."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    text = f"{note} {WAITS}" if waits else note
    try:
        api = Connection.get(CONNECTION)
        url = f"{api.conn_type}://{api.host}:{api.port}"
        _patch(url, {"username": api.login, "password": api.password}, f"/dags/{dag_id}/dagRuns/{quote(run_id)}", text)
    except AirflowNotFoundException:
        log.info("there is no connection %s: the run gets no note", CONNECTION)
    except Exception as error:  # the name alone: a message may hold the password
        log.warning("the run gets no note: %s", type(error).__name__)


def _patch(url: str, user: dict[str, str | None], path: str, note: str) -> None:
    with httpx.Client(base_url=url, timeout=20) as http:
        token = http.post("/auth/token", json=user).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        http.patch(f"/api/v2{path}", json={"note": note[:LONGEST]}, headers=headers).raise_for_status()
