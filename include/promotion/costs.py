"""What the verdicts of model versions cost: seconds and memory, each version in a process of its own.

python -m include.promotion.costs PACKAGE   is such a process: it answers each path of a photo on a line of its input
with a line, the seconds that the verdict took; and the end of its input with its peak memory in bytes.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from include.errors import TransientError
from include.quiet_import import import_tensorflow_quietly
from include.records import Cost
from include.settings import ROOT

TRIES = 3  # of each photo, the fastest counts: other work on the machine must not decide
SLOWEST = 0.95  # the quantile
Process = subprocess.Popen[str]


def measure_costs(packages: Sequence[Path], photos: Sequence[bytes]) -> list[Cost]:
    """The cost of each package, the verified files of a version; they take turns on each photo.

    Raises TransientError where a process ends early, such as for want of memory, or gives no number.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        processes = [stack.enter_context(_running(package)) for package in packages]
        seconds = np.zeros((len(packages), len(photos), TRIES))
        for place, photo in enumerate(photos):
            path = folder / str(place)
            path.write_bytes(photo)
            for attempt in range(TRIES):
                seconds[:, place, attempt] = [_ask(process, f"{path}\n") for process in processes]
        slowest = np.quantile(seconds.min(axis=2), SLOWEST, axis=1)
        return [Cost(float(p95), _end(process)) for p95, process in zip(slowest, processes, strict=True)]


@contextmanager
def _running(package: Path) -> Iterator[Process]:
    command = [sys.executable, "-m", "include.promotion.costs", str(package)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, bufsize=1) as process:
        try:
            yield process
        finally:
            process.kill()
            with suppress(OSError):  # what was written to it and not read
                _pipe(process.stdin).close()


def _ask(process: Process, line: str) -> float:
    return _number(process, lambda pipe: pipe.write(line))


def _end(process: Process) -> int:
    return int(_number(process, lambda pipe: pipe.close()))


def _number(process: Process, write: Callable[[IO[str]], object]) -> float:
    """The number on the next line that the process answers to what is written to it."""
    try:
        write(_pipe(process.stdin))
        return float(_pipe(process.stdout).readline())
    except (OSError, ValueError) as error:
        code = process.poll()
        process.kill()
        problem = f"the process that measures a model gave no number (exit code {code})"
        raise TransientError(f"{problem}; the lines above say why, -9 means that memory ran out") from error


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None  # it was asked for
    return pipe


def _peak_bytes() -> int:
    """Of this process alone: the usual ru_maxrss of a young process holds the peak of the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) * 1024


def _answer_lines(package: Path, answers: IO[str]) -> None:
    import pandas as pd

    from include.registry.versions import load

    model: Any = load(package, "measured")
    for line in sys.stdin:
        photo = pd.DataFrame({"image": [Path(line.rstrip("\n")).read_bytes()]})
        began = time.perf_counter()
        model.predict(photo)
        answers.write(f"{time.perf_counter() - began}\n")
    answers.write(f"{_peak_bytes()}\n")


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "w", buffering=1)
    import_tensorflow_quietly()
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    _answer_lines(Path(sys.argv[1]), own)
