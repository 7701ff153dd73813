"""One measurement in a child process of its own: its job, its result, and what it may use of the clock."""

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
    """What a child measures; ``scratch`` is a folder for it to fill."""

    name: str  # lines of progress begin with it
    lake: str  # a folder by `photos.place`
    scratch: str
    network: Network = "efficientnet_lite0"
    epochs: int = 0
    elsewhere: str = ""  # another such folder: photos from other sources; empty where none were given
    synthetic: int = 0  # how many photos to make up

    @classmethod
    def mine(cls) -> Self:
        """The job of this child: its one argument."""
        return cls.from_json(sys.argv[1].encode())

    @property
    def environment(self) -> dict[str, str]:
        """The settings of the child: what the product keeps, it keeps in the job's own folder."""
        settings = {"STATE_DIR": self.scratch, "NETWORK": self.network, "MLFLOW_URL": f"sqlite:///{self.scratch}/db"}
        return os.environ | {f"CAT_{name}": value for name, value in settings.items()}


class Curve:
    """When each epoch ended, in seconds since the making of this object; says how good it was on val."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.ends: list[float] = []
        self._began = time.perf_counter()

    def add(self, average_precision: float) -> None:
        self.ends.append(time.perf_counter() - self._began)
        say(
            f"{self.job.name}: epoch {len(self.ends)} of {self.job.epochs} ended at {self.ends[-1]:,.1f} s, "
            f"average precision on val {average_precision:.3f}"
        )


class Stopwatch:
    """``lap`` gives the seconds since the last lap, and says what they were spent on."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._began = time.perf_counter()

    def lap(self, work: str) -> float:
        began, self._began = self._began, time.perf_counter()
        say(f"{self.job.name}: {work} took {self._began - began:,.1f} s")
        return self._began - began


def run(module: str, job: Job) -> dict[str, Any]:
    """Run ``module`` on the job, in a new process; returns its one JSON line, and shows the other lines.

    What libraries write about themselves is shown only when the child fails; then CalledProcessError is raised.
    """
    say(f"{job.name}: begins")
    Path(job.scratch).mkdir(parents=True, exist_ok=True)
    command, result = [sys.executable, "-m", module, job.to_json().decode()], {}
    with (
        tempfile.TemporaryFile("w+") as noise,
        subprocess.Popen(
            command, cwd=ROOT, env=job.environment, stdout=subprocess.PIPE, stderr=noise, text=True
        ) as child,
    ):
        for line in child.stdout or ():
            if line.startswith("{"):
                result = json.loads(line)
            else:
                say(line.rstrip())
        if child.wait():
            noise.seek(0)
            say(noise.read())
            raise subprocess.CalledProcessError(child.returncode, command)
    return result


def give(result: dict[str, Any]) -> None:
    """The child's answer to ``run``."""
    say(json.dumps(result))


def say(line: str) -> None:
    """Progress, for people."""
    print(line, flush=True)


def peak_bytes() -> int:
    """The most memory that this process ever held.

    Linux counts in kilobytes, and begins with what the parent held: that one must load neither photos nor TensorFlow.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
