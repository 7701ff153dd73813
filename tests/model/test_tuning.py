"""A search in real processes, over networks of 32 px: what it leaves, and what a kill costs."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from include.errors import TuningError
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.model import search, tracking, workers
from include.model.hyperparameters import Hyperparameters, chosen_for, last_best
from include.model.search import NOTHING_LEFT, declare, values_of
from include.model.starting import RANDOM
from include.model.state import search_folder, state_folder
from include.model.tuning import tune
from include.model.workers import read_trials
from include.records import label_of
from include.settings import ROOT, Settings
from tests.conftest import free_port
from tests.pictures import fill_base

DIGEST = "d1"


@pytest.fixture
def place(mlflow_url, tmp_path, monkeypatch) -> LocalStore:
    """A lake with one small dataset version, and the settings that its processes read."""
    monkeypatch.setenv("CAT_MLFLOW_URL", mlflow_url)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_url)
    monkeypatch.setenv("CAT_LAKE_URL", f"file://{tmp_path}/lake")
    monkeypatch.setenv("CAT_IMAGE_SIZE", "32")
    monkeypatch.setenv("CAT_BATCH_SIZE", "16")
    lake = LocalStore(tmp_path / "lake")
    fill_base(lake, per_source=10)
    photos = pd.DataFrame([layout.parse_base(key)._asdict() | {"key": key} for key in lake.keys(layout.BASE)])
    photos = photos.assign(kind=photos["source"], label=photos["source"].map(label_of), weight=1.0)
    photos["side"] = ["val" if number % 3 == 0 else "train" for number in range(len(photos))]
    write_table(lake, layout.manifest(DIGEST), photos)
    return lake


def trials(epochs: int) -> list:
    return read_trials(search_folder(Settings(), DIGEST, RANDOM, epochs=epochs))


def checkpoints_of(trial, epochs: int) -> list[str]:
    """By their folders: opening them would take the training over from the trial that runs."""
    folder = state_folder(Settings(), DIGEST, declare(trial.hyperparameters), RANDOM, epochs=epochs)
    return [path.name for path in folder.glob("attempt-*/epoch-*")]


def test_values_and_hyperparameters_are_two_spellings_of_one_thing():
    import keras_tuner

    space = keras_tuner.HyperParameters()
    chosen = Hyperparameters(learning_rate=0.001, dropout=0.1, warm_up=0.1)
    declare(space)
    space.values = values_of(chosen)
    assert declare(space) == chosen


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """A process per trial spends most of its time on importing TensorFlow; the slow tests start real ones."""

    def work(command: list[str]) -> int:
        assert search.main([part for part in command[3:] if not part.startswith("--parent")]) == NOTHING_LEFT
        return 0

    monkeypatch.setattr(workers, "_work", work)


def test_without_minutes_the_last_best_values_are_used(place):
    tune(place, "r1", DIGEST, minutes=0, epochs=2)
    assert chosen_for(place, "r1", Settings()) == Hyperparameters.of(Settings())


def test_a_search_leaves_its_best_values_and_is_not_made_twice(place, in_this_process):
    tune(place, "r1", DIGEST, minutes=10, epochs=2)
    ended = trials(2)
    assert len(ended) == 2
    assert {trial.status for trial in ended} == {"COMPLETED"}
    assert declare(ended[0].hyperparameters) == Hyperparameters.of(Settings()), "known values come first"

    best = min(ended, key=lambda trial: trial.score)
    chosen = chosen_for(place, "r1", Settings())
    assert chosen == declare(best.hyperparameters) == last_best(place, Settings())
    assert checkpoints_of(best, 2), "training goes on from the best trial"
    (loser,) = [trial for trial in ended if trial is not best]
    assert not state_folder(Settings(), DIGEST, declare(loser.hyperparameters), RANDOM, epochs=2).exists()

    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    name = search_folder(Settings(), DIGEST, RANDOM, epochs=2).name
    runs = client.search_runs([experiment], f"tags.search = '{name}'")
    assert sorted(run.data.tags.get("trial", "") for run in runs) == ["", "0000", "0001"]
    (parent,) = [run for run in runs if "trial" not in run.data.tags]
    assert [file.path for file in client.list_artifacts(parent.info.run_id, "tuning")] == ["tuning/trials.png"]

    times = {
        path: path.stat().st_mtime_ns for path in search_folder(Settings(), DIGEST, RANDOM, epochs=2).glob("trial_*/*")
    }
    tune(place, "r2", DIGEST, minutes=10, epochs=2)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert chosen_for(place, "r2", Settings()) == chosen
    assert len(client.search_runs([experiment], f"tags.search = '{name}'")) == 3, "nothing is logged twice"


def test_a_search_without_time_says_so(place, in_this_process):
    with pytest.raises(TuningError, match="tune_minutes"):
        tune(place, "r1", DIGEST, minutes=1e-9, epochs=2)


@pytest.mark.slow
def test_a_trial_that_cannot_run_stops_the_task_with_its_reason(place):
    place.write(layout.manifest(DIGEST), b"no table")
    with pytest.raises(TuningError, match="ended with code 1"):
        tune(place, "r1", DIGEST, minutes=10, epochs=2)


@pytest.mark.slow
def test_a_killed_search_repeats_no_finished_trial(place):
    """With kill -9 of the task: its trial ends with it, and the next try runs that one again."""
    program = f"import sys; from tests.model.test_tuning import search_here; search_here({str(place.root)!r})"
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL) as task:
        while len(trials(4)) < 2:  # the second has just begun; what is so small ends soon
            assert task.poll() is None, "it ended before it could be killed"
            time.sleep(0.2)
        task.kill()
    before = {trial.trial_id: trial.status for trial in trials(4)}
    assert before == {"0000": "COMPLETED", "0001": "RUNNING"}
    first = search_folder(Settings(), DIGEST, RANDOM, epochs=4) / "trial_0000" / "trial.json"
    ended = first.stat().st_mtime_ns
    tune(place, "r1", DIGEST, minutes=10, epochs=4)
    assert first.stat().st_mtime_ns == ended
    assert {trial.status for trial in trials(4)} == {"COMPLETED"}


def search_here(lake: str) -> None:
    tune(LocalStore(Path(lake)), "r1", DIGEST, minutes=10, epochs=4)


@pytest.mark.slow
def test_two_workers_share_one_search(place, monkeypatch):
    monkeypatch.setenv("CAT_TUNER_WORKERS", "2")
    monkeypatch.setenv("CAT_TUNER_PORT", str(free_port()))
    counted = []
    work = workers._work
    monkeypatch.setattr(workers, "_work", lambda command: counted.append(work(command)) or counted[-1])
    tune(place, "r1", DIGEST, minutes=10, epochs=4)
    assert len(counted) == 2
    assert sum(counted) == len(trials(4))
    assert all(counted), "both of them ran trials"
    states = json.loads((search_folder(Settings(), DIGEST, RANDOM, epochs=4) / "oracle.json").read_text())
    assert len(states["end_order"]) == len(trials(4))
