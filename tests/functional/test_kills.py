"""What is killed comes back, what is interrupted ends, and neither makes a second model."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from include.lake import layout
from include.lake.formats import read_json
from include.registry.versions import MODEL
from include.serving.client import live, predict
from include.settings import ROOT
from include.training.mlflow_runs import connect
from stack.demo import follow
from stack.launcher import Stack, marked
from tests.functional.conftest import quick_settings
from tests.pictures import add_base, drawing

pytestmark = [pytest.mark.functional, pytest.mark.slow]


def wait_into(api, run: str, task: str, *, seconds: float) -> None:
    while not any(t["task_id"] == task and t["state"] == "running" for t in api.tasks("retrain", run)):
        time.sleep(0.2)
    time.sleep(seconds)


@pytest.fixture
def serving(loop):
    """The loop, with base photos in its lake and a champion that is live."""
    loop.run("ingest_base_datasets")
    if not versions():
        loop.run("retrain")
    return loop


def runner_of_the_task(stack: Stack) -> psutil.Process:
    """The process that runs the only running task; its parent supervises it."""
    processes = marked(str(stack.settings.home))
    found = [p for p in processes if p.cmdline()[:1] and p.cmdline()[0].startswith("airflow worker -- 01")]
    assert len(found) == 1
    return found[0]


VICTIMS = {
    "task": runner_of_the_task,
    "supervisor": lambda stack: runner_of_the_task(stack).parent(),
    "scheduler": lambda stack: psutil.Process(stack.processes["airflow-scheduler"].pid),
}


def versions() -> list[str]:
    return [found.version for found in connect().search_model_versions(f"name = '{MODEL}'")]


FOLDER = pytest.mark.parametrize("loop", [{"lake": "folder"}], indirect=True, ids=["default"])
SCRATCH = pytest.mark.parametrize(
    "loop", [{"lake": "folder", "CAT_NETWORK": "scratch", "CAT_EPOCHS": "6"}], indirect=True, ids=["scratch"]
)


@SCRATCH
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_in_training_the_run_ends_well_with_one_model(loop, victim):
    """A network from scratch trains long enough to be met in the middle; it goes on from its last epoch."""
    loop.run("ingest_base_datasets")
    before = versions()
    run = loop.api.trigger("retrain", {"force": True})
    loop.api.unpause("retrain")
    wait_into(loop.api, run, "train.train", seconds=8)  # into TensorFlow's own work
    VICTIMS[victim](loop.stack).kill()
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    made = read_json(loop.lake, layout.run_json(run, "report"))["version"]
    assert sorted(versions()) == sorted([*before, made])
    assert made not in before


@FOLDER
def test_fine_tuning_ends_with_a_live_model(serving):
    loop = serving
    run, _ = loop.run("retrain", force=True, fine_tune_epochs=1)
    report = read_json(loop.lake, layout.run_json(run, "report"))
    assert report["decision"]["better"], report["decision"]
    assert live(loop.stack.settings.live_url)["model_version"] == report["version"]
    assert predict(loop.stack.settings.live_url, [drawing("cats", 1)])[0].is_cat


@FOLDER
def test_killed_in_describe_tune_train_and_evaluate_the_run_makes_one_model(serving):
    loop, before = serving, versions()
    for number in range(400):
        add_base(loop.lake, "cats", drawing("cats", 3000 + number))
    run = loop.api.trigger("retrain", {})
    for name, seconds in (("collect.describe", 11), ("train.tune", 11), ("train.train", 9), ("train.evaluate", 12)):
        wait_into(loop.api, run, name, seconds=seconds)  # behind the import of TensorFlow
        runner_of_the_task(loop.stack).kill()
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    made = read_json(loop.lake, layout.run_json(run, "report"))["version"]
    assert sorted(versions()) == sorted([*before, made])
    tries = {task["task_id"]: task["try_number"] for task in loop.api.tasks("retrain", run)}
    assert sum(count > 1 for count in tries.values()) >= 3, "nearly every kill met its task"


@FOLDER
def test_kills_inside_check_change_no_digest(serving):
    """Every task of the group is killed once in one run; models were promoted since the first run."""
    loop = serving
    first, _ = loop.run("retrain", force=True)
    run = loop.api.trigger("retrain", {"force": True})
    for name, seconds in (("deduplicate", 1), ("check_labels", 1), ("split", 1), ("validate", 4)):
        wait_into(loop.api, run, f"check.{name}", seconds=seconds)
        runner_of_the_task(loop.stack).kill()
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    tries = {task["task_id"]: task["try_number"] for task in loop.api.tasks("retrain", run)}
    assert sum(count > 1 for count in tries.values()) >= 3, "nearly every kill met its task"
    digests = [read_json(loop.lake, layout.run_json(one, "report"))["dataset"] for one in (first, run)]
    assert digests[0] == digests[1]


@FOLDER
def test_a_refused_model_leaves_the_champion_serving(serving):
    """No model of drawings makes a mistake, so some base photos get the wrong label."""
    loop = serving
    champion = live(loop.stack.settings.live_url)["model_version"]
    for number in range(40):
        add_base(loop.lake, "cats", drawing("selfies", number))
    run, states = loop.run("retrain", force=True, min_precision=1.0, min_recall=1.0)
    assert (states["release.keep_champion"], states["release.redeploy"]) == ("success", "skipped")
    decision = read_json(loop.lake, layout.run_json(run, "decision"))
    assert not decision["better"]
    assert live(loop.stack.settings.live_url)["model_version"] == champion


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_training_the_demo_leaves_no_process(tmp_path, monkeypatch, number):
    settings = quick_settings(tmp_path, "folder")
    monkeypatch.setenv("CAT_NETWORK", "scratch")
    monkeypatch.setenv("CAT_EPOCHS", "50")
    command = [sys.executable, "-m", "stack.demo", "--once"]
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    ) as demo:
        for line in demo.stdout:
            if "train.train" in line:
                break
        time.sleep(8)
        demo.send_signal(number)
        demo.stdout.read()
        assert demo.wait(timeout=120) == 130
    assert marked(str(settings.home)) == []
