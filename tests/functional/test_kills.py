"""A killed process is started again, an interrupted demo ends, and neither makes a second model."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from include.lake import layout
from include.lake.formats import read_json
from include.registry.versions import ALIAS, REFERENCE
from include.serving.client import live, predict
from include.settings import ROOT
from stack.airflow_api import ENDED, AirflowApi
from stack.demo import follow
from stack.launcher import Stack
from stack.processes import marked
from tests.functional.conftest import Loop, quick_settings
from tests.pictures import add_base, drawing

pytestmark = [pytest.mark.functional, pytest.mark.slow]


def wait_into(api: AirflowApi, run: str, task: str, *, seconds: float) -> None:
    """Wait until a task has been running for some seconds, or has ended already."""
    begun = {"running", *ENDED}
    while not any(each["task_id"] == task and each["state"] in begun for each in api.tasks("retrain", run)):
        time.sleep(0.2)
    time.sleep(seconds)


@pytest.fixture
def serving(loop: Loop) -> Loop:
    """The loop, with base photos in its lake and a champion that is live."""
    loop.run("ingest_base_datasets")
    if not loop.versions():
        loop.run("retrain")
    return loop


def runners(stack: Stack) -> list[psutil.Process]:
    """The processes that run tasks; their parents supervise them."""
    return [process for process in marked(str(stack.settings.home)) if _runs_a_task(process)]


def _runs_a_task(process: psutil.Process) -> bool:
    try:
        return process.cmdline()[0].startswith("airflow worker -- 01")
    except (psutil.Error, IndexError):  # it has ended
        return False


def runner_of_the_task(stack: Stack) -> psutil.Process:
    """The process that runs the only running task."""
    (runner,) = runners(stack)
    return runner


def kill_if_it_runs(stack: Stack) -> None:
    """Kill the process of the only running task; on a fast machine the task may have ended before its kill."""
    running = runners(stack)
    if len(running) == 1:
        with suppress(psutil.NoSuchProcess):
            running[0].kill()


def tasks_with_several_tries(loop: Loop, run: str) -> int:
    return len({task["task_id"] for task in loop.api.tasks("retrain", run) if task["try_number"] > 1})


VICTIMS = {
    "task": runner_of_the_task,
    "supervisor": lambda stack: runner_of_the_task(stack).parent(),
    "scheduler": lambda stack: psutil.Process(stack.processes["airflow-scheduler"].pid),
}


FOLDER = pytest.mark.parametrize("loop", [{"lake": "folder"}], indirect=True, ids=["default"])
SCRATCH = pytest.mark.parametrize(
    "loop", [{"lake": "folder", "CAT_NETWORK": "scratch", "CAT_EPOCHS": "6"}], indirect=True, ids=["scratch"]
)


@SCRATCH
@pytest.mark.parametrize("victim", VICTIMS)
def test_after_a_kill_in_training_the_run_succeeds_with_one_model(loop: Loop, victim: str) -> None:
    """A network from scratch trains long enough to be killed in the middle; it resumes after its last epoch."""
    loop.run("ingest_base_datasets")
    before = loop.versions()
    run = loop.api.trigger("retrain", {"force": True})
    loop.api.unpause("retrain")
    wait_into(loop.api, run, "train.train", seconds=8)  # into the work of TensorFlow
    VICTIMS[victim](loop.stack).kill()
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    made = read_json(loop.lake, layout.run_report(run))["version"]
    assert sorted(loop.versions()) == sorted([*before, made])
    assert made not in before


@FOLDER
def test_fine_tuning_ends_with_a_live_model(serving: Loop) -> None:
    """Without a champion: one epoch on a few drawings is no match for the head alone, and the gate would say so."""
    loop = serving
    for alias in (ALIAS, REFERENCE):
        loop.client.delete_registered_model_alias(loop.client.name, alias)
    run, _ = loop.run("retrain", force=True, fine_tune_epochs=1)
    report = read_json(loop.lake, layout.run_report(run))
    assert report["decision"]["outcome"] == "better", report["decision"]
    assert live(loop.live_url)["model_version"] == report["version"]
    assert share_of_right_verdicts(loop.live_url) >= 0.6  # one epoch on a few drawings cannot promise all


def share_of_right_verdicts(url: str) -> float:
    """On 20 drawn cats and 20 other drawings."""
    cats = [drawing("cats", number) for number in range(20)]
    others = [drawing(source, number) for number in range(7) for source in ("dogs", "selfies", "misc")][:20]
    verdicts = [verdict.is_positive for verdict in predict(url, [*cats, *others])]
    return (verdicts[:20].count(True) + verdicts[20:].count(False)) / 40


@FOLDER
def test_after_kills_from_describe_to_register_the_run_makes_one_model(serving: Loop) -> None:
    loop, before = serving, serving.versions()
    for number in range(400):
        add_base(loop.lake, "cats", drawing("cats", 3000 + number))
    run = loop.api.trigger("retrain", {})
    seconds = {"describe": 11, "tune": 11, "train": 9, "evaluate": 12, "register": 3}  # behind the import of TensorFlow
    for name in ("collect.describe", "train.tune", "train.train", "train.evaluate", "train.register"):
        wait_into(loop.api, run, name, seconds=seconds[name.rpartition(".")[2]])
        kill_if_it_runs(loop.stack)
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    report = read_json(loop.lake, layout.run_report(run))
    assert sorted(loop.versions()) == sorted([*before, report["version"]])
    assert tasks_with_several_tries(loop, run) >= 3, "most kills met their task"
    assert loop.clear("retrain", run) == "success"
    assert sorted(loop.versions()) == sorted([*before, report["version"]]), "nothing is made a second time"
    assert read_json(loop.lake, layout.run_report(run)) == report


@FOLDER
def test_kills_inside_check_change_no_digest(serving: Loop) -> None:
    """The tasks of the group are killed in one run; models were promoted since the first run."""
    loop = serving
    first, _ = loop.run("retrain", force=True)
    run = loop.api.trigger("retrain", {"force": True})
    for name, seconds in (("deduplicate", 1), ("check_labels", 1), ("sample", 1), ("validate", 4)):
        wait_into(loop.api, run, f"check.{name}", seconds=seconds)
        kill_if_it_runs(loop.stack)
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    assert tasks_with_several_tries(loop, run) >= 3, "most kills met their task"
    digests = [read_json(loop.lake, layout.run_report(each))["dataset"] for each in (first, run)]
    assert digests[0] == digests[1]


@FOLDER
def test_a_model_that_is_not_better_leaves_the_champion_serving(serving: Loop) -> None:
    """A model of drawings makes no errors, so some base photos get the wrong label."""
    loop = serving
    champion = live(loop.live_url)["model_version"]
    for number in range(40):
        add_base(loop.lake, "cats", drawing("selfies", number))
    run, states = loop.run("retrain", force=True, min_precision=1.0, min_recall=1.0)
    assert (states["release.keep_champion"], states["release.redeploy"]) == ("success", "skipped")
    decision = read_json(loop.lake, layout.run_decision(run))
    assert decision["outcome"] == "not better"
    assert live(loop.live_url)["model_version"] == champion


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_training_the_demo_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    settings = quick_settings(tmp_path, "folder")
    monkeypatch.setenv("CAT_NETWORK", "scratch")
    monkeypatch.setenv("CAT_EPOCHS", "50")
    command = [sys.executable, "-m", "stack.demo", "--once"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "train.train" in line:
                break
        time.sleep(8)
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(timeout=120) == 130
    assert marked(str(settings.home)) == []
