"""One measurement in a child process of its own: what it is told, what it tells, what it may use of the clock."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Self

from include.records import JsonRecord
from include.settings import ROOT


@dataclass(frozen=True)
class Job(JsonRecord):
    """What a child measures: folders and files as text; ``scratch`` is a folder for it to fill."""

    name: str  # what lines of progress begin with
    photos: str
    manifest: str
    scratch: str
    epochs: int
    network: str

    @classmethod
    def mine(cls) -> Self:
        """The job of this child; its one argument."""
        return cls.from_json(sys.argv[1].encode())


class Curve:
    """Average precision on val after each epoch, and when that was: seconds since this object was made."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.epochs: list[dict[str, float]] = []
        self._began = time.perf_counter()

    def add(self, average_precision: float) -> None:
        seconds = time.perf_counter() - self._began
        self.epochs.append({"seconds": seconds, "average_precision": float(average_precision)})
        say(
            f"{self.job.name}: epoch {len(self.epochs)} of {self.job.epochs} ended at {seconds:,.1f} s, "
            f"average precision on val {average_precision:.3f}"
        )


def run(module: str, job: Job) -> dict[str, Any]:
    """Run ``module`` on the job, in a new process; returns its one JSON line, and shows the other lines.

    What libraries say of themselves is shown only when the child fails; then CalledProcessError is raised.
    """
    say(f"{job.name}: begins")
    command, found = [sys.executable, "-m", module, job.to_json().decode()], {}
    with (
        tempfile.TemporaryFile("w+") as noise,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=noise, text=True) as child,
    ):
        for line in child.stdout or ():
            if line.startswith("{"):
                found = json.loads(line)
            else:
                say(line.rstrip())
        if child.wait():
            noise.seek(0)
            say(noise.read())
            raise subprocess.CalledProcessError(child.returncode, command)
    return found


def tell(found: dict[str, Any]) -> None:
    """The child's answer to ``run``."""
    say(json.dumps(found))


def say(line: str) -> None:
    """Progress, for people."""
    print(line, flush=True)


def peak_bytes() -> int:
    """The most memory that this process ever held.

    Linux counts in kilobytes, and begins with what the parent held: that one must load neither photos nor TensorFlow.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
