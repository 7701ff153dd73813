"""The local stack, whole and real: Airflow's scheduler, MLflow and an S3 server, on free ports."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from include.lake.base import ObjectStore
from include.lake.opening import open_lake
from include.settings import Settings
from include.training.mlflow_runs import Mlflow, connect
from stack.airflow_api import AirflowApi
from stack.airflow_login import airflow_password
from stack.demo import follow, run_dag, start_all
from stack.environment import local_settings
from stack.launcher import Stack, running_stack
from stack.processes import marked
from tests.conftest import free_port

QUICK = {"CAT_TUNE_TRIALS": "3", "CAT_IMAGES_PER_SOURCE": "120", "CAT_MIN_PRECISION": "0", "CAT_MIN_RECALL": "0"}


@dataclass(frozen=True)
class Loop:
    """A running stack with its API and its lake."""

    stack: Stack
    api: AirflowApi
    lake: ObjectStore

    def run(self, dag: str, **params: Any) -> tuple[str, dict[str, str]]:
        """One run to its end, which must be a success; returns its id and the states of its tasks."""
        run, state = run_dag(self.stack, self.api, dag, **params)
        states = self.states(dag, run)
        assert state == "success", states
        return run, states

    def run_to_failure(self, dag: str, **params: Any) -> tuple[dict[str, Any], str]:
        """One run to its end, which must be a failure; returns the failed task and its log."""
        run, state = run_dag(self.stack, self.api, dag, **params)
        assert state == "failed", self.states(dag, run)
        failed = next(task for task in self.api.tasks(dag, run) if task["state"] == "failed")
        return failed, "\n".join(self.api.log_lines(dag, run, failed))

    def clear(self, dag: str, run: str, **tasks: Any) -> str:
        """Clear a run, or only some ``task_ids`` of it, and follow it to its end; returns its state."""
        clear = {"dag_run_id": run, "only_failed": False, "dry_run": False, "reset_dag_runs": True} | tasks
        self.api._send("POST", f"/dags/{dag}/clearTaskInstances", json=clear)
        return follow(self.stack, self.api, dag, run)

    def states(self, dag: str, run: str) -> dict[str, str]:
        return {task["task_id"]: task["state"] for task in self.api.tasks(dag, run)}

    @property
    def live_url(self) -> str:
        return self.stack.settings.live_url

    @property
    def client(self) -> Mlflow:
        return connect(self.stack.settings)

    def versions(self) -> list[str]:
        """The registered versions, the newest first."""
        client = self.client
        return [version.version for version in client.search_model_versions(f"name = '{client.name}'")]


def quick_settings(state_dir: Path, lake: str, **environment: str) -> Settings:
    """Settings with free ports, in the environment of this process too: tests read lake and registry as tasks do."""
    ports = {f"CAT_{name}_PORT": str(free_port()) for name in ("AIRFLOW", "MLFLOW", "S3", "SERVER", "APP")}
    os.environ.update(QUICK | ports | {"CAT_STATE_DIR": str(state_dir)} | environment)
    return local_settings(lake=lake)


@pytest.fixture(scope="module")
def own_environment() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextmanager
def running_loop(settings: Settings) -> Iterator[Loop]:
    with running_stack(settings) as stack:
        api = AirflowApi(settings.airflow_page, airflow_password(settings))
        start_all(stack, api)
        yield Loop(stack, api, open_lake(settings))
    assert marked(str(settings.home)) == []


@pytest.fixture(scope="module")
def loop(
    request: pytest.FixtureRequest, own_environment: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Loop]:
    """A test may ask for other settings, by the names of the environment, and for another ``lake``."""
    asked = {"lake": "s3"} | getattr(request, "param", {})
    settings = quick_settings(tmp_path_factory.mktemp("stack"), **asked)
    with running_loop(settings) as loop:
        yield loop
