"""The system of docker-compose.yaml on a real engine, in a folder of its own: `make test-compose`."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from include.lake.base import ObjectStore
from include.lake.opening import open_lake
from include.settings import ROOT, Settings
from stack.airflow_api import AirflowApi
from stack.containers import compose_program, outside_environment
from stack.demo import follow
from tests.compose.images import docker, image_variables
from tests.conftest import free_port

PROJECT = "cattest"
INITS = ("lake-init", "airflow-init")
QUICK = {"CAT_IMAGES_PER_SOURCE": "120", "CAT_MIN_PRECISION": "0", "CAT_MIN_RECALL": "0"}


@dataclass
class System:
    """The containers, and what a test asks them from outside."""

    folder: Path
    environment: dict[str, str]
    settings: Settings
    figures: dict[str, Any] = field(default_factory=dict)

    def compose(self, *arguments: str, **options: Any) -> str:
        command = [*compose_program(), *arguments]
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True, **options
        )
        assert ended.returncode == 0, f"{command} ended with {ended.returncode}: {ended.stdout}"
        return ended.stdout

    def run(self, *command: str, **options: Any) -> str:
        """A command of the project in its folder."""
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.PIPE, text=True, **options
        ).stdout

    def up(self) -> float:
        """Until every container is healthy or has ended well; returns the seconds."""
        began = time.monotonic()
        self.compose("up", "--detach")
        self.wait_until_healthy()
        return time.monotonic() - began

    def containers(self) -> dict[str, dict[str, Any]]:
        """Docker's description of each, by service."""
        found = docker("ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}").split()
        described = json.loads(docker("inspect", *found)) if found else []
        named = {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in described}
        return {service: each for service, each in named.items() if not each["Config"]["Labels"].get("one-off")}

    def wait_until_healthy(self, *, seconds: float = 600) -> None:
        end = time.monotonic() + seconds
        while unhealthy := {service: _state(each) for service, each in self.containers().items() if not _is_well(each)}:
            assert time.monotonic() < end, unhealthy
            time.sleep(2)

    def kill(self, service: str) -> None:
        """As a crash: the engine must start it again. (`docker kill` counts as a wish.)"""
        os.kill(self.containers()[service]["State"]["Pid"], 9)

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.settings.airflow_page, str(self.settings.secret("airflow_admin_password")))

    @property
    def lake(self) -> ObjectStore:
        return open_lake(self.settings)

    def check(self) -> None:
        """The engine looks after its containers."""

    def start(self) -> None:
        self.up()

    def status(self) -> str:
        return str({service: _state(each) for service, each in self.containers().items()})

    def follow(self, dag: str, **params: Any) -> str:
        """Trigger a run and follow it; returns its id."""
        api = self.api
        api.unpause(dag)
        run = api.trigger(dag, params)
        assert follow(self, api, dag, run) == "success", api.tasks(dag, run)
        return run

    def live(self) -> dict[str, Any]:
        return httpx.get(f"{self.settings.live_url}/live", headers=self.settings.server_headers, timeout=30).json()


def _state(container: dict[str, Any]) -> str:
    state = container["State"]
    return f"{state['Status']} {state.get('Health', {}).get('Status', '')} {state['ExitCode']}"


def _is_well(container: dict[str, Any]) -> bool:
    state = container["State"]
    if container["Config"]["Labels"]["com.docker.compose.service"] in INITS:
        return state["Status"] == "exited" and state["ExitCode"] == 0
    return state.get("Health", {}).get("Status") == "healthy"


def _checkout(folder: Path) -> None:
    """What git knows of the project, and nothing else."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("compose") / "a checkout"
    folder.mkdir()
    _checkout(folder)
    ports = {f"CAT_{name}_PORT": str(free_port()) for name in ("AIRFLOW", "MLFLOW", "S3", "SERVER", "APP")}
    pages = {"CAT_AIRFLOW_URL": f"http://127.0.0.1:{ports['CAT_AIRFLOW_PORT']}"}
    pages |= {"CAT_MLFLOW_PAGE_URL": f"http://127.0.0.1:{ports['CAT_MLFLOW_PORT']}"}
    own = QUICK | ports | pages | image_variables() | {"COMPOSE_PROJECT_NAME": PROJECT}
    environment = os.environ | own
    system = System(folder, environment, Settings())
    system.run("make", "secrets")
    (folder / ".env").write_text((folder / ".env").read_text() + "".join(f"{n}={v}\n" for n, v in QUICK.items()))
    os.environ.update(ports | {"CAT_SECRETS_DIR": str(folder / "secrets"), "CAT_LAKE_URL": "s3://cat-lake"})
    os.environ["CAT_S3_ENDPOINT_URL"] = f"http://127.0.0.1:{ports['CAT_S3_PORT']}"
    system.settings = Settings()
    os.environ.update(outside_environment(system.settings))
    system.compose("down", "--volumes", "--remove-orphans")
    try:
        yield system
    finally:
        if not os.environ.get("KEEP"):
            system.compose("down", "--volumes", "--remove-orphans")
