"""Kills between any two steps of `redeploy`: in the end alias, live server and run agree, and a good model serves."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from include.errors import ServerError
from include.lake import layout
from include.lake.formats import read_json
from include.registry.versions import (
    REPLACES_TAG,
    SUM_TAG,
    champion_version,
    find_version,
    predecessor_of,
    roll_back_alias,
)
from include.serving.client import live, predict
from include.training.mlflow_runs import Mlflow
from stack.environment import local_settings
from stack.launcher import wait_until
from tests.functional.conftest import Loop, quick_settings, running_loop
from tests.functional.test_kills import runner_of_the_task
from tests.functional.wire import Strike, Wire
from tests.pictures import drawing

pytestmark = [pytest.mark.functional, pytest.mark.slow]

PARAMS = {"force": True, "epochs": 1, "images_per_source": 40}
SET_TAG, SET_ALIAS = "POST /api/2.0/mlflow/model-versions/set-tag", "POST /api/2.0/mlflow/registered-models/alias"
OLD, NEW = "1", "2"


@dataclass
class World:
    """The loop, the wires from its tasks to MLflow and to the model server, and what was served at each strike."""

    loop: Loop
    registry: Wire
    server: Wire
    run: str = ""  # the run of `retrain` whose challenger is NEW
    served: list[str] = field(default_factory=list)

    @property
    def client(self) -> Mlflow:
        return self.loop.client

    def kill_task(self) -> None:
        runner_of_the_task(self.loop.stack).kill()
        self.served.append(predict(self.server.target, [drawing("cats", 1)])[0].model_version)

    def kill_server(self, name: str) -> None:
        os.killpg(self.loop.stack.processes[name].pid, signal.SIGKILL)

    def live(self) -> str | None:
        try:
            return str(live(self.server.target)["model_version"])
        except ServerError:  # it may be starting again
            return None

    def wait_for(self, version: str) -> None:
        wait_until(lambda: self.live() == version, self.loop.stack, what=f"version {version}", seconds=180)

    def go_back(self) -> None:
        """Back to the moment after the gate's decision."""
        roll_back_alias(self.client, find_version(self.client, OLD))
        self.client.delete_model_version_tag(self.client.name, NEW, REPLACES_TAG)
        self.wait_for(OLD)

    def redeploy(self) -> tuple[str, str, int]:
        """Run `redeploy` and what follows it again; returns the state of the run and of the task, and its tries."""
        before = self.task()["try_number"]
        state = self.loop.clear("retrain", self.run, task_ids=["release.redeploy"], include_downstream=True)
        return state, self.task()["state"], self.task()["try_number"] - before

    def task(self) -> dict[str, Any]:
        tasks = self.loop.api.tasks("retrain", self.run)
        return next(task for task in tasks if task["task_id"] == "release.redeploy")


@pytest.fixture(scope="module")
def world(own_environment: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A running stack whose tasks reach both servers through wires, and in which NEW has replaced OLD once."""
    settings = quick_settings(tmp_path_factory.mktemp("stack"), "folder")
    with Wire(settings.tracking_url) as registry, Wire(settings.live_url) as server:
        os.environ.update(CAT_MLFLOW_URL=registry.url, CAT_SERVER_URL=server.url)
        with running_loop(local_settings()) as loop:
            loop.run("ingest_base_datasets")
            loop.run("retrain", **PARAMS)
            run, _ = loop.run("retrain", **PARAMS)
            yield World(loop, registry, server, run)


@pytest.fixture
def decided(world: World) -> Iterator[World]:
    world.go_back()
    yield world
    for wire in (world.registry, world.server):
        wire.strikes.clear()
    world.served.clear()


def sets_tag(line: str, body: bytes) -> bool:
    return line == SET_TAG and json.loads(body)["key"] == REPLACES_TAG


def moves_alias(line: str, body: bytes) -> bool:
    return line == SET_ALIAS and json.loads(body)["version"] == NEW


def rolls_back(line: str, body: bytes) -> bool:
    return line == SET_ALIAS and json.loads(body)["version"] == OLD


def polls(line: str, body: bytes) -> bool:
    return line == "GET /live"


def sees_it_live(line: str, body: bytes) -> bool:
    return polls(line, body) and json.loads(body).get("model_version") == NEW


def assert_replaced(world: World) -> None:
    """Alias, record, live server and the lake's report agree, and the new model answers."""
    report = read_json(world.loop.lake, layout.run_report(world.run))
    champion = champion_version(world.client)
    assert champion is not None
    assert champion.number == report["champion"] == world.live() == NEW
    assert predecessor_of(world.client, champion) == find_version(world.client, OLD)
    assert predict(world.server.target, [drawing("cats", 1)])[0].model_version == NEW


@pytest.mark.parametrize("step", ["before the tag", "tag to alias", "alias to wait", "waiting", "followed to end"])
def test_a_task_killed_between_two_steps_is_completed_by_the_next_try(decided: World, step: str) -> None:
    wire, strike = {
        "before the tag": (decided.registry, Strike("before", sets_tag, decided.kill_task)),
        "tag to alias": (decided.registry, Strike("after", sets_tag, decided.kill_task)),
        "alias to wait": (decided.registry, Strike("after", moves_alias, decided.kill_task)),
        "waiting": (decided.server, Strike("before", polls, decided.kill_task)),
        "followed to end": (decided.server, Strike("after", sees_it_live, decided.kill_task)),
    }[step]
    wire.strikes.append(strike)
    assert decided.redeploy() == ("success", "success", 2)
    assert strike.done
    assert_replaced(decided)
    assert set(decided.served) <= {OLD, NEW}


@pytest.mark.parametrize("name", ["model-server", "mlflow"])
def test_a_server_killed_while_redeploy_waits_is_started_again_and_serves_the_new_model(
    decided: World, name: str
) -> None:
    strike = Strike("before", polls, lambda: decided.kill_server(name))
    decided.server.strikes.append(strike)
    run_state, task_state, _ = decided.redeploy()
    assert (run_state, task_state, strike.done) == ("success", "success", True)
    assert_replaced(decided)


@pytest.fixture
def damaged(decided: World) -> World:
    """The files of NEW are no longer what was registered: the model server will reject it."""
    files: Path = decided.loop.stack.settings.home / "mlflow" / "artifacts"
    name = decided.client.get_model_version(decided.client.name, NEW).tags[SUM_TAG][:12]
    (package,) = (path.parent for path in files.rglob("MLmodel") if path.parent.name == name)
    (package / "package_entry.py").write_text("raise SystemExit")
    return decided


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_killed_around_its_roll_back_leaves_the_old_champion(
    damaged: World, when: Literal["before", "after"]
) -> None:
    strike = Strike(when, rolls_back, damaged.kill_task)
    damaged.registry.strikes.append(strike)
    assert damaged.redeploy() == ("failed", "failed", 2)
    assert strike.done
    log = "\n".join(damaged.loop.api.log_lines("retrain", damaged.run, damaged.task()))
    assert "the model server rejects it" in log
    assert str(champion_version(damaged.client)) == damaged.live() == OLD
    assert set(damaged.served) == {OLD}
