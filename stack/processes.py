"""Processes of the stack: started in sessions of their own, found by the mark in their environment, and ended.

Airflow's tasks make process groups of their own, so ending our children's groups is not enough: every process of the
stack carries a mark, and at the end whatever still carries it is ended too.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil

from include.settings import DRAIN_SECONDS, ROOT
from stack.environment import MARK

GRACE = DRAIN_SECONDS + 5.0  # seconds between asking a process to end and ending it
FULL = 1_000_000  # bytes; with less room than that a process could not say why it ended


def spawn(command: list[str], environment: dict[str, str], output: IO[bytes]) -> subprocess.Popen:
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


def end_marked(mark: str) -> None:
    """End every process with this mark: children that were started meanwhile are found in the next round."""
    for ask in (True, False, False):
        victims = marked(mark)
        for process in victims:
            _send(process, signal.SIGTERM if ask else signal.SIGKILL)
        psutil.wait_procs(victims, timeout=GRACE)


def kill_groups(mark: str, groups: Collection[int]) -> None:
    """Kill what is left of these process groups; only our own: an old number may be another's by now."""
    victims = [process for process in marked(mark) if _group(process) in groups]
    for process in victims:
        _send(process, signal.SIGKILL)
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


def why_it_ended(output: Path) -> str:
    """What its log says last, unless it could not be written."""
    if shutil.disk_usage(output.parent).free < FULL:
        return f"the disk of {output.parent} is full"
    return last_line(output)


def last_line(path: Path) -> str:
    """Of a log; empty where there is none."""
    with suppress(OSError):
        lines = path.read_bytes()[-2000:].decode(errors="replace").split("\n")
        return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
    return ""


def _group(process: psutil.Process) -> int | None:
    with suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return None


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.Error):
        process.send_signal(number)
