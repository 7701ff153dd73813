"""Start the processes of the Procfile, keep them running, and leave none behind."""

import logging
import re
import shlex
import socket
import string
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, Protocol

import httpx

from include.errors import StackError
from include.serving.client import STARTING
from include.settings import LOOPBACK, ROOT, Settings
from stack.airflow_login import airflow_connection, tell_airflow
from stack.environment import has_own_s3, own_s3_url, stack_environment
from stack.logs import remove_old, rotate
from stack.processes import end_marked
from stack.secret_files import LOCAL, keep_secret
from stack.service import Service, State
from stack.session import interruptible, only_one, private_files, undisturbed

log = logging.getLogger(__name__)

MIGRATE = "airflow-migrate"  # makes the database that the other processes of Airflow need
KEEPS_CHILDREN = {"airflow-scheduler"}
QUICK = 2.0  # seconds for an answer to the question whether a server is ready


class Running(Protocol):
    """Servers that are started and looked after: processes of this machine, or containers."""

    @property
    def settings(self) -> Settings: ...

    def start(self) -> None: ...

    def check(self) -> None:
        """Look after what has died."""


class Stack:
    """The running processes, by their names in the Procfile. None of them ends because another one does."""

    def __init__(self, settings: Settings, commands: dict[str, str]) -> None:
        self.settings = settings
        self.commands = commands
        self.environment = stack_environment(settings)
        self.services = self._services()
        self._to_ask = cycle(self.services)
        self._states: dict[str, State] = {}

    @property
    def processes(self) -> dict[str, subprocess.Popen]:
        """Those that have been started and not been seen to end."""
        return {service.name: service.process for service in self.services if service.process}

    def start(self) -> None:
        self.check()

    def check(self) -> None:
        """Start what has ended, as soon as its pause is over; log the status when it changes."""
        for service in self.services:
            service.check(time.monotonic(), str(self.settings.home))
            rotate(self.log_file(service.name))
        next(self._to_ask).ask(time.monotonic())
        states = {service.name: service.state() for service in self.services}
        if states != self._states:
            self._states = states
            log.info("%s", self.status())

    def status(self) -> str:
        """One line: what is up, starting and failing, and why."""
        groups = {state: [each for each in self.services if each.state() == state] for state in State}
        names = {state: ", ".join(each.name for each in members) for state, members in groups.items()}
        failing = [f"{service.name} ({service.reason()})" for service in groups[State.FAILING]]
        names[State.FAILING] = ", ".join(failing)
        return "; ".join(f"{state}: {names[state]}" for state in State if names[state] and state != State.DONE)

    def stop(self) -> None:
        """Ask everything that carries our mark to end, then end it."""
        end_marked(str(self.settings.home))

    def log_file(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"

    def _services(self) -> list[Service]:
        migration = None
        if any(name.startswith("airflow") for name in self.commands):
            migration = self._service(MIGRATE, "airflow db migrate", once=True)
        services = [
            self._service(name, command, after=migration if name.startswith("airflow") else None)
            for name, command in self.commands.items()
        ]
        return [*services, migration] if migration else services

    def _service(self, name: str, command: str, **options: Any) -> Service:
        url = ready_url(self.settings, name)
        return Service(
            name,
            command,
            lambda: self._environment_of(name),
            self.log_file(name),
            (lambda: is_ready(url)) if url else None,
            keeps_children=name in KEEPS_CHILDREN,
            **options,
        )

    def _environment_of(self, name: str) -> dict[str, str]:
        """Only Airflow's processes need the password of its API."""
        return self.environment | (airflow_connection(self.settings) if name.startswith("airflow") else {})


@contextmanager
def running_stack(settings: Settings) -> Iterator[Stack]:
    """A stack to start, stopped at the end of the block, whatever ends it. Raises StackError."""
    commands = read_procfile(settings)
    with private_files(settings), only_one(settings), interruptible():
        for folder in ("logs", "mlflow", "airflow"):
            (settings.home / folder).mkdir(exist_ok=True)
        remove_old(settings.home / "airflow" / "logs")
        for name in LOCAL:
            keep_secret(settings.secrets, name)
        tell_airflow(settings)
        check_ports(settings, commands)
        stack = Stack(settings, commands)
        try:
            yield stack
        finally:
            with undisturbed():
                stack.stop()


def read_procfile(settings: Settings, path: Path = ROOT / "stack" / "Procfile") -> dict[str, str]:
    """Commands by name, with the environment's values in place; the S3 server only where the lake is there.

    The values are quoted: a path with a space or a quote in it stays one word.
    """
    environment = {name: shlex.quote(value) for name, value in stack_environment(settings).items()}
    lines = re.findall(r"^([\w-]+):\s*(.+)$", path.read_text(), re.MULTILINE)
    commands = {name: string.Template(command).substitute(environment) for name, command in lines}
    if not has_own_s3(settings):
        commands.pop("s3", None)
    return commands


def ready_url(settings: Settings, name: str) -> str | None:
    """What a process answers when it is ready; none for one that answers nobody."""
    return {
        "s3": own_s3_url(settings),
        "mlflow": f"http://{LOOPBACK}:{settings.mlflow_port}/health",
        "model-server": f"http://{LOOPBACK}:{settings.server_port}/health",
        "app": f"http://{settings.app_host}:{settings.app_port}/_stcore/health",
        "airflow-api": f"http://{LOOPBACK}:{settings.airflow_port}/api/v2/version",
    }.get(name)


def is_ready(url: str) -> bool:
    """Whether it answers anything but that it is starting: a busy server is ready."""
    try:
        answer = httpx.get(url, timeout=QUICK)
    except httpx.HTTPError:
        return False
    return not (answer.is_server_error and STARTING in answer.text)


def check_ports(settings: Settings, commands: dict[str, str]) -> None:
    """Raises StackError, naming the setting, for the first port that somebody else listens on."""
    for name in (field for field in type(settings).model_fields if field.endswith("_port")):
        if name == "s3_port" and "s3" not in commands:
            continue
        port, host = getattr(settings, name), settings.app_host if name == "app_port" else LOOPBACK
        if not _is_free(host, port):
            setting = f"CAT_{name.upper()}"
            raise StackError(f"port {port} of {host} is taken: end what listens there, or set {setting}")


def wait_until(ready: Callable[[], bool], stack: Running, *, what: str, seconds: float) -> None:
    """Poll until ``ready``, keeping the stack alive meanwhile; raises StackError."""
    end = time.monotonic() + seconds
    while not ready():
        stack.check()
        if time.monotonic() > end:
            raise StackError(f"{what} did not answer within {seconds:.0f} seconds; see {stack.settings.home / 'logs'}")
        time.sleep(0.5)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
