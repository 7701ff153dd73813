"""The launcher with small processes instead of Airflow: it keeps alive what it starts, and ends it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from include.errors import StackError
from include.question import Question
from include.settings import DRAIN_SECONDS, LOOPBACK, ROOT, Settings
from stack import launcher, logs, processes, service
from stack.environment import local_settings, stack_environment
from stack.launcher import Stack, check_ports, read_procfile, running_stack
from stack.processes import marked
from stack.service import PAUSES, State
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
    monkeypatch.setattr(processes, "GRACE", 1.0)
    found = local_settings()
    (found.home / "logs").mkdir(parents=True)
    return found


def stack_of(settings: Settings, **commands: str) -> Stack:
    return Stack(settings, commands)


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen"
        time.sleep(0.05)


def check_until(stack: Stack, condition: Callable[[], bool]) -> None:
    def holds() -> bool:
        stack.check()
        return condition()

    wait_for(holds)


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


def test_all_that_was_started_ends(settings: Settings) -> None:
    stack = stack_of(settings, plain=SLEEPER, stubborn=STUBBORN)
    stack.start()
    wait_for(lambda: len(marked(str(settings.home))) == 3)
    stack.stop()
    assert marked(str(settings.home)) == []


def test_what_dies_is_started_again(settings: Settings) -> None:
    stack = stack_of(settings, plain=SLEEPER)
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


def test_the_children_of_a_killed_server_are_ended_before_it_starts_again(settings: Settings) -> None:
    """MLflow's server is such a pair: what is started again would find the port taken, and end."""
    stack = stack_of(settings, pair=f"{ORPHANING} {settings.mlflow_port}")
    stack.start()
    wait_for(lambda: len(marked(str(settings.home))) == 2)
    first = {process.pid for process in marked(str(settings.home))}
    stack.processes["pair"].kill()
    stack.processes["pair"].wait()
    stack.check()
    wait_for(lambda: len(marked(str(settings.home))) == 2)
    assert not first & {process.pid for process in marked(str(settings.home))}
    assert stack.processes["pair"].poll() is None
    stack.stop()


def test_the_children_of_a_killed_scheduler_bring_their_tasks_to_an_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "KEEPS_CHILDREN", {"pair"})
    stack = stack_of(settings, pair=f"{ORPHANING} {settings.mlflow_port}")
    stack.start()
    wait_for(lambda: len(marked(str(settings.home))) == 2)
    stack.processes["pair"].kill()
    stack.processes["pair"].wait()
    (child,) = marked(str(settings.home))
    stack.check()
    assert child.is_running()
    stack.processes["pair"].wait()  # the port is taken, so it ends; its pause is over after a second
    check_until(stack, lambda: not child.is_running())
    stack.stop()


BROKEN = f"{sys.executable} -c 'raise SystemExit(\"no database\")'"


def test_what_keeps_dying_is_tried_for_ever_and_ends_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PAUSES", (0, 0, 0, 0.01))
    stack = stack_of(settings, live=SLEEPER, broken=BROKEN)
    stack.start()
    live, tries = stack.processes["live"].pid, set[int]()

    def has_died_often() -> bool:
        stack.check()
        tries.update(process.pid for name, process in stack.processes.items() if name == "broken")
        return len(tries) > 12

    wait_for(has_died_often)
    assert stack.processes["live"].pid == live
    assert "failing: broken (ended with 1: no database" in stack.status()
    stack.stop()


def test_a_full_disk_is_the_reason_for_a_log_that_could_not_be_written(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stood in for: to fill a disk of one's own takes the rights to mount one."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    monkeypatch.setattr(service, "PAUSES", (0, 60))
    stack = stack_of(settings, broken=BROKEN)
    check_until(stack, lambda: "failing" in stack.status())
    assert f"broken (ended with 1: the disk of {settings.home / 'logs'} is full; started again" in stack.status()


def test_the_pauses_between_tries_grow_and_end_with_a_minute(settings: Settings) -> None:
    """As on a full disk: nothing can be started, and once there is room it is."""
    stack = stack_of(settings, broken=BROKEN)
    (broken,) = stack.services
    began, now = list[float](), 0.0
    while len(began) < len(PAUSES) + 3:
        broken.check(now, "mark")
        if broken.process:
            began.append(now)
            broken.process.wait()
            broken.check(now, "mark")
            if broken.process:  # it was started again at once
                began.append(now)
                broken.process.wait()
        now += 1.0
    gaps = [later - earlier for earlier, later in zip(began, began[1:], strict=False)]
    assert gaps == sorted(gaps)
    assert gaps[0] <= 1
    assert gaps[-1] == PAUSES[-1]


def test_a_process_that_cannot_even_be_started_is_tried_again(settings: Settings) -> None:
    stack = stack_of(settings, absent="/no/such/program")
    stack.check()
    assert "failing: absent (cannot be started: No such file or directory" in stack.status()


def test_what_has_run_for_a_while_has_recovered(settings: Settings) -> None:
    stack = stack_of(settings, plain=SLEEPER)
    (plain,) = stack.services
    plain.check(0.0, "mark")
    assert plain.state() == State.STARTING
    plain.ask(1.0)
    assert plain.state() == State.STARTING
    plain.ask(service.SETTLED + 1)
    assert plain.state() == State.UP
    stack.stop()


def test_a_server_that_runs_and_does_not_answer_is_failing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [True]
    monkeypatch.setattr(launcher, "is_ready", lambda url: answers[0])
    stack = stack_of(settings, mlflow=SLEEPER)
    stack.check()
    assert stack.status() == "up: mlflow"
    answers[0] = False
    for _ in range(service.SILENCES):
        stack.check()
    assert stack.status() == "failing: mlflow (does not answer)"
    stack.stop()


def test_airflow_waits_for_its_database_and_what_serves_does_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The migration fails first, as it does on a full disk."""
    program = tmp_path / "airflow"
    program.write_text(f"#!/bin/sh\ntest -e {tmp_path}/room || {{ echo no space left; exit 1; }}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stack = stack_of(settings, live=SLEEPER, **{"airflow-api": SLEEPER})
    stack.environment["PATH"] = f"{tmp_path}:/bin:/usr/bin"
    check_until(stack, lambda: "airflow-migrate (ended with 1: no space left" in stack.status())
    assert set(stack.processes) == {"live"} | set(stack.processes) & {launcher.MIGRATE}
    (tmp_path / "room").touch()
    check_until(stack, lambda: "airflow-api" in stack.processes)
    stack.stop()


def test_a_full_log_begins_anew_and_its_writer_goes_on(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LARGEST", 1000)
    stack = stack_of(settings, chatty=f"{sys.executable} -uc 'while True: print(\"a line\" * 9, flush=True)'")
    log = stack.log_file("chatty")
    stack.check()
    wait_for(lambda: log.stat().st_size > 1000)
    stack.check()
    size = log.stat().st_size
    wait_for(lambda: log.stat().st_size > size)
    assert log.with_name("chatty.log.1").read_text().startswith("a line")
    stack.stop()
    assert "\x00" not in log.read_text(), "it does not go on at its old place in the file"


def test_old_logs_of_tasks_are_removed(tmp_path: Path) -> None:
    for name, days in (("old.log", logs.DAYS + 1), ("new.log", logs.DAYS - 1)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, time.time() - days * 24 * 3600))
    logs.remove_old(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new.log"]


def test_what_the_stack_writes_is_for_its_owner_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a home that an older version left open to all."""
    settings.home.chmod(0o755)
    writing = f'{sys.executable} -c \'open("{settings.home}/photo", "w"); import time; time.sleep(600)\''
    monkeypatch.setattr(launcher, "read_procfile", lambda _: {"plain": writing})
    with running_stack(settings) as stack:
        stack.start()
        wait_for((settings.home / "photo").exists)
        modes = {path: path.stat().st_mode & 0o077 for path in (settings.home, *settings.home.rglob("*"))}
    assert (settings.home / "airflow").is_dir()
    assert not {path: mode for path, mode in modes.items() if mode and path.name != "logs"}


def test_the_launcher_waits_longer_than_the_model_server_lets_requests_end() -> None:
    assert processes.GRACE > DRAIN_SECONDS


RUN_STACK = """
import sys, time
from stack import launcher, processes
from stack.environment import local_settings
launcher.read_procfile = lambda settings: {"plain": sys.argv[1]}
processes.GRACE = 1.0
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
    processes.end_marked(str(settings.home))


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
