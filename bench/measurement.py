"""One measurement in a child process of its own: its job, its result, its clocks and its peak memory."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from include.records import JsonRecord
from include.settings import ROOT, Network


@dataclass(frozen=True)
class Job(JsonRecord):
    """What a child process measures; ``scratch`` is a folder that it may fill."""

    name: str  # stands at the beginning of each line of progress
    lake: str  # a folder that `photos.make_lake` made
    scratch: str
    network: Network = "efficientnet_lite0"
    epochs: int = 0
    elsewhere: str = ""  # another such folder, with photos from other collections; empty if there are none
    synthetic: int = 0  # how many photos to make up

    @classmethod
    def from_argument(cls) -> Self:
        """The job of this child process: its only argument."""
        return cls.from_json(sys.argv[1].encode())

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the child process, which keeps all state of the product in the job's own folder."""
        settings = {"STATE_DIR": self.scratch, "NETWORK": self.network, "MLFLOW_URL": f"sqlite:///{self.scratch}/db"}
        return os.environ | {f"CAT_{name}": value for name, value in settings.items()}


class EpochClock:
    """``ends`` holds when each epoch ended, in seconds since this object was made."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ends: list[float] = []
        self._start = time.perf_counter()

    def end_epoch(self, average_precision: float) -> None:
        """Note the end of an epoch, and show its average precision on val."""
        self.ends.append(time.perf_counter() - self._start)
        say(
            f"{self.job.name}: epoch {len(self.ends)} of {self.job.epochs} ended at {self.ends[-1]:,.1f} s, "
            f"average precision on val {average_precision:.3f}"
        )


class Stopwatch:
    """``lap`` returns the seconds since the last lap, and shows what they were spent on."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._start = time.perf_counter()

    def lap(self, work: str) -> float:
        start, self._start = self._start, time.perf_counter()
        say(f"{self.job.name}: {work} took {self._start - start:,.1f} s")
        return self._start - start


def run(module: str, job: Job) -> dict[str, Any]:
    """Run ``module`` on the job in a new process; returns the JSON line that it prints, and shows its other lines.

    The messages of libraries are shown only when the process fails; then CalledProcessError is raised.
    """
    say(f"{job.name}: begins")
    Path(job.scratch).mkdir(parents=True, exist_ok=True)
    command, result = [sys.executable, "-m", module, job.to_json().decode()], {}
    with (
        tempfile.TemporaryFile("w+") as messages,
        subprocess.Popen(
            command, cwd=ROOT, env=job.environment, stdout=subprocess.PIPE, stderr=messages, text=True
        ) as child,
    ):
        for line in child.stdout or ():
            if line.startswith("{"):
                result = json.loads(line)
            else:
                say(line.rstrip())
        if child.wait():
            messages.seek(0)
            say(messages.read())
            raise subprocess.CalledProcessError(child.returncode, command)
    return result


def return_result(result: dict[str, Any]) -> None:
    """Hand the result of this child process to ``run`` in its parent."""
    say(json.dumps(result))


def say(line: str) -> None:
    """Show progress."""
    print(line, flush=True)


def peak_bytes() -> int:
    """The peak memory of this process.

    Linux counts in kilobytes, and begins with the memory of the parent, which must load neither photos nor TensorFlow.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
