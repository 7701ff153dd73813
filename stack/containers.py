"""The stack of docker-compose.yaml, as `make demo DOCKER=1` drives it from outside: by its ports on loopback."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from include.configuration import read_settings
from include.errors import StackError
from include.settings import LOOPBACK, ROOT, SAMPLE, Settings
from stack.secret_files import FOLDER

PHOTOS = "/photos"  # where the containers see the folder of base photos


class Containers:
    """The services of docker-compose.yaml. The engine starts again what dies."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def start(self) -> None:
        compose("up", "--detach", environment=_photos(self.settings))

    def check(self) -> None:
        """The engine does it."""


def container_settings(base_data: str | None) -> Settings:
    """How this machine sees the services: on loopback, with the secrets of `make secrets`. Raises StackError."""
    if not FOLDER.is_dir():
        raise StackError(f"there is no {FOLDER}: run make secrets")
    given = {"base_data": base_data} if base_data else {}
    settings = read_settings(**given, secrets_dir=FOLDER)
    places = {"lake_url": settings.lake_url or "s3://cat-lake", "mlflow_url": "", "server_url": ""}
    endpoint = settings.s3_endpoint_url or f"http://{LOOPBACK}:{settings.s3_port}"
    return settings.model_copy(update=places | {"s3_endpoint_url": endpoint})


def outside_environment(settings: Settings) -> dict[str, str]:
    """What a process outside the containers needs to use the lake and the model server as those inside do."""
    names = {"AWS_ACCESS_KEY_ID": "s3_access_key", "AWS_SECRET_ACCESS_KEY": "s3_secret_key"}
    found = {variable: str(settings.secret(name)) for variable, name in names.items()}
    region = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
    return found | {"AWS_DEFAULT_REGION": region, "CAT_SECRETS_DIR": str(settings.secrets)}


@contextmanager
def running_containers(settings: Settings) -> Iterator[Containers]:
    """Containers to start; they are stopped at the end of the block, and their volumes stay."""
    try:
        yield Containers(settings)
    finally:
        compose("stop")


def compose(*arguments: str, environment: dict[str, str] | None = None) -> None:
    """Compose v2 where the engine has it, else docker-compose. Raises StackError."""
    command = [*compose_program(), *arguments]
    if subprocess.run(command, cwd=ROOT, env=os.environ | (environment or {})).returncode:
        raise StackError(f"`{' '.join(command)}` failed; see what it wrote")


def compose_program() -> list[str]:
    docker = shutil.which("docker")
    if docker and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        return [docker, "compose"]
    if old := shutil.which("docker-compose"):
        return [old]
    raise StackError("there is no docker compose: install Docker Engine with Compose v2, or docker-compose 1.29")


def _photos(settings: Settings) -> dict[str, str]:
    if settings.base_data == SAMPLE:
        return {}
    return {"CAT_BASE_DATA": PHOTOS, "CAT_PHOTOS": settings.base_data}
