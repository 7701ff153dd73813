"""Start the processes of the Procfile, keep them running, and leave none behind.

Airflow's tasks make process groups of their own, so ending our children's groups is not enough: every process of the
stack carries a mark in its environment, and at the end whatever still carries it is ended too.
"""

import fcntl
import logging
import os
import re
import shlex
import signal
import socket
import string
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

import psutil

from include.errors import StackError
from include.settings import DRAIN_SECONDS, LOOPBACK, ROOT, Settings
from stack.airflow_login import airflow_connection, tell_airflow
from stack.environment import MARK, has_own_s3, stack_environment
from stack.secret_files import LOCAL, keep_secret

log = logging.getLogger(__name__)

GRACE = DRAIN_SECONDS + 5.0  # seconds between asking a process to end and ending it
RESTARTS = 5  # of one process within
RESTART_WINDOW = 120.0  # seconds


class Running(Protocol):
    """Servers that are started and looked after: processes of this machine, or containers."""

    @property
    def settings(self) -> Settings: ...

    def start(self) -> None: ...

    def check(self) -> None:
        """Look after what has died; raises StackError for what keeps dying."""


class Stack:
    """The running processes, by their names in the Procfile."""

    def __init__(self, settings: Settings, commands: dict[str, str]) -> None:
        self.settings = settings
        self.commands = commands
        self.environment = stack_environment(settings)
        self.processes: dict[str, subprocess.Popen] = {}
        self.deaths: dict[str, list[float]] = {name: [] for name in commands}
        self.dead: dict[str, list[int]] = {name: [] for name in commands}

    def start(self) -> None:
        run_to_end(["airflow", "db", "migrate"], self.environment, self.log_file("airflow-migrate"))
        for name in self.commands:
            self._start(name)

    def check(self) -> None:
        """Start again what has died; raises StackError for what keeps dying."""
        for name, process in self.processes.items():
            if process.poll() is None:
                continue
            log.warning("%s ended with %s; starting it again", name, process.returncode)
            self._count_death(name)
            self._end_orphans(name, process.pid)
            self._start(name)

    def stop(self) -> None:
        """Ask everything that carries our mark to end, then end it."""
        end_marked(str(self.settings.home))

    def log_file(self, name: str) -> Path:
        return self.settings.home / "logs" / f"{name}.log"

    def _start(self, name: str) -> None:
        with self.log_file(name).open("ab") as output:
            # only Airflow's processes need the password of its API
            secret = airflow_connection(self.settings) if name.startswith("airflow") else {}
            self.processes[name] = _spawn(shlex.split(self.commands[name]), self.environment | secret, output)

    def _end_orphans(self, name: str, dead: int) -> None:
        """What died twice may find its port held by children that its first death left: they end.

        Not at the first death: the supervisors of running tasks bring their work to its end without a scheduler.
        """
        self.dead[name].append(dead)
        if len(self.deaths[name]) > 1:
            for process in marked(str(self.settings.home)):  # only our own: an old number may be another's by now
                with suppress(ProcessLookupError):
                    if os.getpgid(process.pid) in self.dead[name]:
                        _send(process, signal.SIGKILL)
            self.dead[name].clear()

    def _count_death(self, name: str) -> None:
        now = time.monotonic()
        self.deaths[name] = [at for at in self.deaths[name] if now - at < RESTART_WINDOW] + [now]
        if len(self.deaths[name]) > RESTARTS:
            raise StackError(f"{name} keeps ending; the end of its log:\n{tail(self.log_file(name))}")


@contextmanager
def running_stack(settings: Settings) -> Iterator[Stack]:
    """A stack to start, stopped at the end of the block, whatever ends it. Raises StackError."""
    commands = read_procfile(settings)
    for folder in ("logs", "mlflow", "airflow"):
        (settings.home / folder).mkdir(parents=True, exist_ok=True)
    for name in LOCAL:
        keep_secret(settings.secrets, name)
    tell_airflow(settings)
    stack = Stack(settings, commands)
    with _only_one(settings), _interruptible():
        check_ports(settings, commands)
        try:
            yield stack
        finally:
            with _undisturbed():
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


def run_to_end(command: list[str], environment: dict[str, str], output: Path) -> None:
    with output.open("ab") as file:
        code = _spawn(command, environment, file).wait()
    if code:
        raise StackError(f"`{' '.join(command)}` ended with {code}:\n{tail(output)}")


def end_marked(mark: str) -> None:
    """End every process with this mark: children that were started meanwhile are found in the next round."""
    for ask in (True, False, False):
        victims = marked(mark)
        for process in victims:
            _send(process, signal.SIGTERM if ask else signal.SIGKILL)
        psutil.wait_procs(victims, timeout=GRACE)


def marked(mark: str) -> list[psutil.Process]:
    """All processes but ourselves that carry the mark."""
    processes = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                processes.append(process)
        except (psutil.Error, OSError):
            continue  # gone meanwhile, or another user's
    return processes


def tail(path: Path, lines: int = 15) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _spawn(command: list[str], environment: dict[str, str], output: IO[bytes]) -> subprocess.Popen:
    """In a session of its own: a Ctrl-C at the terminal is ours to pass on."""
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        return


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """One stack per home; what one that was killed left behind is ended first."""
    with (settings.home / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"a stack is running already on {settings.home}: end it with Ctrl-C") from None
        end_marked(str(settings.home))
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP all end the block the way Ctrl-C does, also where a shell had SIGINT ignored."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not stop the stopping; it takes a few seconds."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
