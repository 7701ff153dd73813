"""Runs a suite of Deepchecks as a process in its own environment, and reads its result."""

import json
import logging
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from include.errors import BadSetting, ChecksCrashed
from include.settings import ROOT

log = logging.getLogger(__name__)

# No telemetry. One thread each: more of them only wait for each other while a machine is busy.
VARIABLES = ("DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY=True", "OMP_NUM_THREADS=1", "MPLBACKEND=Agg")
RESULT = "result.json"
DATA_SUITE, MODEL_SUITE = "data_suite", "model_suite"  # the modules that can be started


def run_suite(suite: str, folder: Path, *, python: Path, seconds: float) -> dict[str, Any]:
    """Run a suite over a folder; its log lines become ours. Raises ChecksCrashed, and BadSetting without a python.

    ``suite`` is DATA_SUITE or MODEL_SUITE; the docstring of the module says what the folder and the result hold.
    """
    if not python.exists():
        raise BadSetting(f"there is no {python}: run `make setup`, or set CAT_VALIDATION__PYTHON")
    command = ["env", *VARIABLES, str(python), "-m", f"include.validation.deepchecks_env.{suite}", str(folder)]
    with tempfile.TemporaryFile("w+") as stderr:
        code = _follow(command, stderr, seconds)
        stderr.seek(0)
        last = stderr.read().strip().rpartition("\n")[2][-300:]
    if code or not (folder / RESULT).exists():
        raise ChecksCrashed(f"the process ended with code {code} (its limit: {seconds:.0f} seconds): {last}")
    return dict(json.loads((folder / RESULT).read_text()))


def _follow(command: list[str], stderr: Any, seconds: float) -> int:
    """The exit code; a process that takes too long, or that we leave early, is killed."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        clock = threading.Timer(seconds, process.kill)
        clock.start()
        try:
            for line in process.stdout or ():
                log.info("%s", line.rstrip())
            return process.wait()
        finally:
            clock.cancel()
            process.kill()
