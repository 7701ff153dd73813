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
from stack.airflow_api import ENDED
from stack.launcher import marked
from tests.functional.conftest import quick_settings

pytestmark = [pytest.mark.functional, pytest.mark.slow]


def wait_for_training(api, run: str) -> None:
    while not any(t["task_id"] == "train.train" and t["state"] == "running" for t in api.tasks("retrain", run)):
        time.sleep(0.5)
    time.sleep(8)  # into TensorFlow's own work


def runner_of_the_task(home: str) -> psutil.Process:
    """The process that runs the only running task; its parent supervises it."""
    found = [p for p in marked(home) if p.cmdline()[:1] and p.cmdline()[0].startswith("airflow worker -- 01")]
    assert len(found) == 1
    return found[0]


def scheduler(home: str) -> psutil.Process:
    return next(p for p in marked(home) if p.cmdline()[-2:][-1] == "scheduler")


VICTIMS = {
    "task": runner_of_the_task,
    "supervisor": lambda home: runner_of_the_task(home).parent(),
    "scheduler": scheduler,
}


@pytest.mark.parametrize("loop", ["folder"], indirect=True)
def test_killed_in_training_the_run_ends_well_with_one_model(loop):
    loop.run("ingest_base_datasets")
    for number, victim in enumerate(VICTIMS, start=1):
        run = loop.api.trigger("retrain", {"force": True})
        loop.api.unpause("retrain")
        wait_for_training(loop.api, run)
        VICTIMS[victim](str(loop.stack.settings.home)).kill()
        while loop.api.run_state("retrain", run) not in ENDED:
            loop.stack.check()
            time.sleep(1)
        assert loop.api.run_state("retrain", run) == "success", victim
        assert len(connect().search_model_versions(f"name = '{registry.MODEL}'")) == number, victim
        assert read_json(loop.lake, layout.run_json(run, "report"))["version"] == str(number)


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
