"""The launcher with small processes instead of Airflow: it keeps alive what it starts, and ends it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psutil
import pytest

from include.errors import StackError
from include.question import Question
from include.settings import DRAIN_SECONDS, LOOPBACK, ROOT, Settings
from stack import launcher
from stack.environment import local_settings, stack_environment
from stack.launcher import Stack, check_ports, marked, read_procfile, running_stack
from tests.conftest import free_port

SLEEPER = f"{sys.executable} -c 'import time; time.sleep(600)'"
# A child in a session of its own that ignores SIGTERM and hides its title: the worst that a task does.
STUBBORN = f"""{sys.executable} -c '
import os, signal, time
from setproctitle import setproctitle
if os.fork() == 0:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    setproctitle("a title that is much longer than the arguments of this process ever were " * 5)
time.sleep(600)'"""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in ("airflow_port", "mlflow_port", "s3_port", "server_port", "app_port"):
        monkeypatch.setenv(f"CAT_{name.upper()}", str(free_port()))
    monkeypatch.setattr(launcher, "GRACE", 1.0)
    found = local_settings()
    (found.home / "logs").mkdir(parents=True)
    return found


def stack_of(settings: Settings, monkeypatch: pytest.MonkeyPatch, **commands: str) -> Stack:
    monkeypatch.setattr(launcher, "run_to_end", lambda *_: None)  # no database to migrate here
    return Stack(settings, commands)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


def test_the_procfile_starts_the_s3_server_only_where_the_lake_is_there(settings: Settings) -> None:
    assert set(read_procfile(settings)) == {
        "mlflow",
        "model-server",
        "app",
        "airflow-api",
        "airflow-scheduler",
        "airflow-processor",
    }
    with_s3 = read_procfile(local_settings(lake="s3"))
    assert with_s3["s3"] == f"python -m stack.s3_server -H 127.0.0.1 -p {settings.s3_port}"


def test_every_server_binds_to_loopback(settings: Settings) -> None:
    commands = read_procfile(local_settings(lake="s3"))
    assert all(" 127.0.0.1 " in f"{commands[name]} " for name in ("s3", "mlflow", "app", "airflow-api"))
    assert "--host" not in commands["model-server"], "it binds to loopback by itself"
    assert stack_environment(settings)["AIRFLOW__API__HOST"] == "127.0.0.1"


def test_the_app_alone_may_listen_elsewhere(settings: Settings) -> None:
    commands = read_procfile(settings.model_copy(update={"app_host": "0.0.0.0"}))
    assert [name for name, command in commands.items() if "0.0.0.0" in command] == ["app"]


def test_a_port_in_use_is_reported_with_its_setting(settings: Settings) -> None:
    with closing(socket.socket()) as taken:
        taken.bind((LOOPBACK, settings.mlflow_port))
        taken.listen()
        with pytest.raises(StackError, match=f"{settings.mlflow_port}.*CAT_MLFLOW_PORT"):
            check_ports(settings, read_procfile(settings))
    check_ports(settings, read_procfile(settings))


def test_a_port_in_use_that_the_stack_does_not_use_does_not_stop_it(settings: Settings) -> None:
    with closing(socket.socket()) as taken:
        taken.bind((LOOPBACK, settings.s3_port))
        taken.listen()
        check_ports(settings, read_procfile(settings))
        with_s3 = local_settings(lake="s3")
        with pytest.raises(StackError, match=f"{settings.s3_port}.*CAT_S3_PORT"):
            check_ports(with_s3, read_procfile(with_s3))


def test_processes_of_the_stack_have_the_same_settings(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the nested ones: a group of settings travels as one JSON object."""
    question = Question(name="owls", sources=("owls", "crows"), positive=("owls",), noun="an owl", text="An owl?")
    given = settings.model_copy(update={"question": question, "sure_from": 0.75})
    for name, value in stack_environment(given).items():
        if name.startswith("CAT_"):
            monkeypatch.setenv(name, value)
    assert Settings() == given.model_copy(update={"secrets_dir": given.secrets})


def test_all_that_was_started_ends(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_of(settings, monkeypatch, plain=SLEEPER, stubborn=STUBBORN)
    stack.start()
    wait_for(lambda: len(marked(str(settings.home))) == 3)
    stack.stop()
    assert marked(str(settings.home)) == []


def test_what_dies_is_started_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = stack_of(settings, monkeypatch, plain=SLEEPER)
    stack.start()
    first = stack.processes["plain"]
    first.kill()
    first.wait()
    stack.check()
    assert stack.processes["plain"].pid != first.pid
    assert psutil.pid_exists(stack.processes["plain"].pid)
    stack.stop()


ORPHANING = f"""{sys.executable} -c '
import os, socket, sys, time
server = socket.socket()
try:
    server.bind(("127.0.0.1", int(sys.argv[1])))
except OSError:
    sys.exit(0)
server.listen()
os.fork()
time.sleep(600)'"""


def test_a_port_that_the_child_of_a_killed_process_holds_is_freed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's server is such a pair: what is started again finds the port taken, and ends."""
    stack = stack_of(settings, monkeypatch, pair=f"{ORPHANING} {settings.mlflow_port}")
    stack.start()
    wait_for(lambda: len(marked(str(settings.home))) == 2)
    stack.processes["pair"].kill()
    stack.processes["pair"].wait()
    stack.check()  # the orphan holds the port
    stack.processes["pair"].wait()
    stack.check()
    wait_for(lambda: len(marked(str(settings.home))) == 2)
    assert stack.processes["pair"].poll() is None
    stack.stop()


def test_what_keeps_dying_is_given_up_with_the_end_of_its_log(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = stack_of(settings, monkeypatch, broken=f"{sys.executable} -c 'raise SystemExit(\"no database\")'")
    stack.start()

    def keep_checking() -> None:
        for _ in range(launcher.RESTARTS + 2):
            stack.processes["broken"].wait()
            stack.check()

    with pytest.raises(StackError, match="no database"):
        keep_checking()


def test_the_launcher_waits_longer_than_the_model_server_lets_requests_end() -> None:
    assert launcher.GRACE > DRAIN_SECONDS


RUN_STACK = """
import sys, time
from stack import launcher
from stack.environment import local_settings
launcher.run_to_end = lambda *_: None
launcher.read_procfile = lambda settings: {"plain": sys.argv[1]}
launcher.GRACE = 1.0
with launcher.running_stack(local_settings()) as stack:
    stack.start()
    print("started", flush=True)
    time.sleep(600)
"""


Launch = Callable[..., subprocess.Popen[bytes]]


def read_line(process: subprocess.Popen[bytes]) -> None:
    """Wait until the launcher has started its process."""
    assert process.stdout
    process.stdout.readline()


@pytest.fixture
def launched(settings: Settings) -> Iterator[Launch]:
    """A launcher in a process of its own that runs one stubborn process."""

    def launch(**options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", RUN_STACK, STUBBORN],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            **options,
        )

    yield launch
    launcher.end_marked(str(settings.home))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_any_signal_to_end_leaves_no_process(settings: Settings, launched: Launch, number: signal.Signals) -> None:
    with launched(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)) as process:
        read_line(process)
        wait_for(lambda: len(marked(str(settings.home))) == 2)
        process.send_signal(number)
        process.wait(timeout=60)
    assert marked(str(settings.home)) == []


def test_a_killed_launcher_is_cleaned_up_by_the_next(
    settings: Settings, launched: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with launched() as process:
        read_line(process)
        with pytest.raises(StackError, match="running already"), running_stack(settings):
            pass
        process.kill()
    wait_for(lambda: len(marked(str(settings.home))) == 2)
    monkeypatch.setattr(launcher, "check_ports", lambda *_: None)
    with running_stack(settings):
        assert marked(str(settings.home)) == []
