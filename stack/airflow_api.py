"""Airflow's REST API, as far as the demo and the functional tests use it."""

import time
from typing import Any

import httpx

USER = "admin"
ENDED = {"success", "failed"}


class AirflowApi:
    """A logged-in client. Airflow's first answers can be slow: requests wait for up to a minute."""

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self.password = password
        self.http = httpx.Client(base_url=url, timeout=60)
        self.token_until = 0.0

    def is_healthy(self) -> bool:
        """Whether database, scheduler and DAG processor all report well."""
        try:
            health = self.http.get("/api/v2/monitor/health", timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))

    def has_dag(self, dag: str) -> bool:
        return self._send("GET", f"/dags/{dag}", allow_missing=True) is not None

    def ensure_pool(self, name: str, *, slots: int) -> None:
        if self._send("GET", f"/pools/{name}", allow_missing=True) is None:
            self._send("POST", "/pools", json={"name": name, "slots": slots})

    def unpause(self, dag: str) -> None:
        self._send("PATCH", f"/dags/{dag}", json={"is_paused": False})

    def trigger(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a run; returns its id."""
        return str(self._send("POST", f"/dags/{dag}/dagRuns", json={"logical_date": None, "conf": conf})["dag_run_id"])

    def runs(self, dag: str) -> list[dict[str, Any]]:
        """The last runs, the newest first."""
        return list(self._send("GET", f"/dags/{dag}/dagRuns", params={"order_by": "-run_after"})["dag_runs"])

    def run_state(self, dag: str, run: str) -> str:
        return str(self._send("GET", f"/dags/{dag}/dagRuns/{run}")["state"])

    def fail_run(self, dag: str, run: str) -> None:
        self._send("PATCH", f"/dags/{dag}/dagRuns/{run}", json={"state": "failed"})

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """All task instances, in the order in which they started."""
        tasks_of_run = self._send("GET", f"/dags/{dag}/dagRuns/{run}/taskInstances", params={"limit": 1000})[
            "task_instances"
        ]
        return sorted(tasks_of_run, key=lambda task: (task["start_date"] or "9", task["task_id"], task["map_index"]))

    def log_lines(self, dag: str, run: str, task: dict[str, Any]) -> list[str]:
        path = f"/dags/{dag}/dagRuns/{run}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        answer = self._send("GET", path, params={"map_index": task["map_index"], "full_content": True})
        return [_plain(event) for event in answer["content"]]

    def _send(self, method: str, path: str, *, allow_missing: bool = False, **options: Any) -> Any:
        if time.monotonic() > self.token_until:
            self._log_in()
        response = self.http.request(method, f"/api/v2{path}", **options)
        if allow_missing and response.status_code == httpx.codes.NOT_FOUND:
            return None
        response.raise_for_status()
        return response.json()

    def _log_in(self) -> None:
        answer = self.http.post("/auth/token", json={"username": USER, "password": self.password})
        answer.raise_for_status()
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self.token_until = time.monotonic() + 600


def _plain(event: Any) -> str:
    if not isinstance(event, dict):
        return str(event)
    details = [f"{error['exc_type']}: {error['exc_value']}" for error in event.get("error_detail") or []]
    return " ".join([str(event.get("event", "")), *details])
