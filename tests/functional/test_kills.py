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
from include.model.tracking import connect
from include.release import registry
from include.serving.client import live
from include.settings import ROOT
from stack.demo import follow
from stack.launcher import Stack, marked
from tests.functional.conftest import quick_settings

pytestmark = [pytest.mark.functional, pytest.mark.slow]


def wait_for_training(api, run: str) -> None:
    while not any(t["task_id"] == "train.train" and t["state"] == "running" for t in api.tasks("retrain", run)):
        time.sleep(0.5)
    time.sleep(8)  # into TensorFlow's own work


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
    return [found.version for found in connect().search_model_versions(f"name = '{registry.MODEL}'")]


@pytest.mark.parametrize("loop", ["folder"], indirect=True)
@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_in_training_the_run_ends_well_with_one_model(loop, victim):
    loop.run("ingest_base_datasets")
    before = versions()
    run = loop.api.trigger("retrain", {"force": True})
    loop.api.unpause("retrain")
    wait_for_training(loop.api, run)
    VICTIMS[victim](loop.stack).kill()
    assert follow(loop.stack, loop.api, "retrain", run) == "success"
    made = read_json(loop.lake, layout.run_json(run, "report"))["version"]
    assert sorted(versions()) == sorted([*before, made])
    assert made not in before


@pytest.mark.parametrize("loop", ["folder"], indirect=True)
def test_a_refused_model_leaves_the_champion_serving(loop):
    champion = live(loop.stack.settings.live_url)["model_version"]
    run, states = loop.run("retrain", force=True, epochs=1, min_precision=1.0, min_recall=1.0)
    assert (states["release.keep_champion"], states["release.redeploy"]) == ("success", "skipped")
    decision = read_json(loop.lake, layout.run_json(run, "decision"))
    assert not decision["better"]
    assert live(loop.stack.settings.live_url)["model_version"] == champion


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_in_training_the_demo_leaves_no_process(tmp_path, monkeypatch, number):
    settings = quick_settings(tmp_path, "folder")
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
