"""Starts the processes of a search for hyperparameters, and gathers what they found."""

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from os import getpid
from pathlib import Path

from keras_tuner.engine.trial import Trial

from include.errors import TuningError
from include.lake.base import ObjectStore
from include.model.hyperparameters import Hyperparameters
from include.model.search import NOTHING_LEFT, declare
from include.model.starting import starting_point
from include.model.state import search_folder, state_folder
from include.model.trials import log_trials
from include.settings import ROOT, Settings

log = logging.getLogger(__name__)


def find_best(store: ObjectStore, digest: str, *, minutes: float, epochs: int, settings: Settings) -> Hyperparameters:
    """Search so long, from where the last search of these photos was left; raises TuningError when no trial ends."""
    start = starting_point(store, settings)
    folder = search_folder(settings, digest, start, epochs=epochs)
    deadline = time.time() + 60 * minutes
    command = [sys.executable, "-m", "include.model.search", digest, f"--epochs={epochs}", f"--deadline={deadline}"]
    command.append(f"--parent={getpid()}")
    with _workers(command, settings) as workers, ThreadPoolExecutor(len(workers)) as pool:
        for count in pool.map(_work, workers):
            log.info("%d trials were run", count)
    trials = read_trials(folder)
    ended = sorted((trial for trial in trials if trial.status == "COMPLETED"), key=lambda trial: trial.score)
    if not ended:
        raise TuningError(f"no trial ended within {minutes:g} minutes: raise tune_minutes, or set it to 0")
    log_trials(digest, folder.name, trials)
    best = declare(ended[0].hyperparameters)
    log.info("best of %d trials: %s", len(trials), best)
    losers = {declare(trial.hyperparameters) for trial in trials} - {best}
    for one in losers:  # training goes on from the checkpoints of the best one
        shutil.rmtree(state_folder(settings, digest, one, start, epochs=epochs), ignore_errors=True)
    return best


def read_trials(folder: Path) -> list[Trial]:
    """All trials of a search, in the order in which they began."""
    return [Trial.load(str(path)) for path in sorted(folder.glob("trial_*/trial.json"))]


@contextmanager
def _workers(command: list[str], settings: Settings) -> Iterator[list[list[str]]]:
    """The command of each worker; of several, beside keras-tuner's chief, which ends with this block."""
    if settings.tuner_workers == 1:
        yield [command]
        return
    names = ["chief", *(f"worker{number}" for number in range(settings.tuner_workers))]
    place = [f"KERASTUNER_ORACLE_IP={settings.host}", f"KERASTUNER_ORACLE_PORT={settings.tuner_port}"]
    chief, *workers = [["env", f"KERASTUNER_TUNER_ID={name}", *place, *command] for name in names]
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(chief, cwd=ROOT, stdout=subprocess.DEVNULL))
        stack.callback(process.terminate)
        yield workers


def _work(command: list[str]) -> int:
    """One trial after another until none is left, each in a process of its own, which gives its memory back:
    https://github.com/keras-team/keras-tuner/issues/395. Returns how many there were."""
    count = 0
    while True:
        ended = subprocess.run([*command, "--trials=1"], cwd=ROOT, capture_output=True, text=True)
        if ended.returncode == NOTHING_LEFT:
            return count
        if ended.returncode:
            last = ended.stderr.strip().rpartition("\n")[2][-300:]
            raise TuningError(f"a trial's process ended with code {ended.returncode}: {last}; clear the task to go on")
        count += 1
        log.info("a trial has ended; %d by this worker", count)
