"""Starts a process in the environment of Deepchecks, and brings back what it found."""

import json
import logging
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from include.errors import BadSetting
from include.settings import ROOT

log = logging.getLogger(__name__)

# No telemetry. One thread each: more of them only wait for each other while a machine is busy.
VARIABLES = ("DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY=True", "OMP_NUM_THREADS=1", "MPLBACKEND=Agg")
RESULT = "result.json"
PHOTOS, MODEL = "suite", "model_suite"  # the modules that can be started


class SuiteCrashed(Exception):
    """The process ended without a result; the message says how."""


def run_suite(suite: str, folder: Path, *, python: Path, seconds: float) -> dict[str, Any]:
    """Run a suite over a folder; its log lines become ours. Raises SuiteCrashed, and BadSetting without a python.

    ``suite`` is PHOTOS or MODEL; the module says what the folder must hold, and what the answer does.
    """
    if not python.exists():
        raise BadSetting(f"there is no {python}: run `make setup`, or set CAT_VALIDATION__PYTHON")
    command = ["env", *VARIABLES, str(python), "-m", f"include.data.validation.{suite}", str(folder)]
    with tempfile.TemporaryFile("w+") as complaints:
        code = _follow(command, complaints, seconds)
        complaints.seek(0)
        last = complaints.read().strip().rpartition("\n")[2][-300:]
    if code or not (folder / RESULT).exists():
        raise SuiteCrashed(f"the process ended with code {code} (its limit: {seconds:.0f} seconds): {last}")
    return dict(json.loads((folder / RESULT).read_text()))


def _follow(command: list[str], complaints: Any, seconds: float) -> int:
    """The exit code; a process that takes too long, or that we leave early, is killed."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True) as process:
        clock = threading.Timer(seconds, process.kill)
        clock.start()
        try:
            for line in process.stdout or ():
                log.info("%s", line.rstrip())
            return process.wait()
        finally:
            clock.cancel()
            process.kill()
