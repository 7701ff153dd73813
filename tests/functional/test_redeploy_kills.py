"""Killed between any two steps of `redeploy`: alias, live server and run agree in the end, and a good model serves."""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from include.errors import ServerError
from include.lake import layout
from include.lake.formats import read_json
from include.registry.versions import MODEL, REPLACES_TAG, SUM_TAG, champion_version, predecessor_of, restore
from include.serving.client import live, predict
from include.training.mlflow_runs import connect
from stack.demo import follow
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
    """The loop, its tasks' way to MLflow and to the model server, and what was served at each strike."""

    loop: Loop
    registry: Wire
    server: Wire
    run: str = ""  # the run of `retrain` whose challenger is NEW
    served: list[str] = field(default_factory=list)

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
        """The world as it was when the gate had just decided."""
        restore(connect(), OLD)
        connect().delete_model_version_tag(MODEL, NEW, REPLACES_TAG)
        self.wait_for(OLD)

    def redeploy(self) -> tuple[str, str, int]:
        """`redeploy` and what follows it, anew, to the end: the state of the run and of the task, and its tries."""
        before = self.task()["try_number"]
        task = {"dag_run_id": self.run, "task_ids": ["release.redeploy"], "include_downstream": True}
        clear = task | {"only_failed": False, "dry_run": False, "reset_dag_runs": True}
        self.loop.api._send("POST", "/dags/retrain/clearTaskInstances", json=clear)
        state = follow(self.loop.stack, self.loop.api, "retrain", self.run)
        return state, self.task()["state"], self.task()["try_number"] - before

    def task(self) -> dict:
        tasks = self.loop.api.tasks("retrain", self.run)
        return next(task for task in tasks if task["task_id"] == "release.redeploy")


@pytest.fixture(scope="module")
def world(own_environment, tmp_path_factory) -> Iterator[World]:
    """A running stack whose tasks reach both servers by wires, and in which NEW has replaced OLD once."""
    settings = quick_settings(tmp_path_factory.mktemp("stack"), "folder")
    with Wire(settings.tracking_url) as registry, Wire(settings.live_url) as server:
        os.environ.update(CAT_MLFLOW_URL=registry.url, CAT_SERVER_URL=server.url)
        with running_loop(local_settings()) as loop:
            loop.run("ingest_base_datasets")
            loop.run("retrain", **PARAMS)
            run, _ = loop.run("retrain", **PARAMS)
            yield World(loop, registry, server, run)


@pytest.fixture
def decided(world) -> Iterator[World]:
    world.go_back()
    yield world
    for wire in (world.registry, world.server):
        wire.strikes.clear()
    world.served.clear()


def sets_tag(line: str, body: bytes) -> bool:
    return line == SET_TAG and json.loads(body)["key"] == REPLACES_TAG


def moves_alias(line: str, body: bytes) -> bool:
    return line == SET_ALIAS and json.loads(body)["version"] == NEW


def undoes(line: str, body: bytes) -> bool:
    return line == SET_ALIAS and json.loads(body)["version"] == OLD


def looks(line: str, body: bytes) -> bool:
    return line == "GET /live"


def sees_it_live(line: str, body: bytes) -> bool:
    return looks(line, body) and json.loads(body).get("model_version") == NEW


def assert_replaced(world: World) -> None:
    """Alias, record, live server and the lake's report agree, and the new model answers."""
    report = read_json(world.loop.lake, layout.run_json(world.run, "report"))
    assert champion_version(connect()) == report["champion"] == world.live() == NEW
    assert predecessor_of(connect(), NEW) == OLD
    assert predict(world.server.target, [drawing("cats", 1)])[0].model_version == NEW


@pytest.mark.parametrize("step", ["before the tag", "tag to alias", "alias to wait", "waiting", "followed to end"])
def test_a_task_killed_between_two_steps_is_brought_to_its_end_by_the_next_try(decided, step):
    wire, strike = {
        "before the tag": (decided.registry, Strike("before", sets_tag, decided.kill_task)),
        "tag to alias": (decided.registry, Strike("after", sets_tag, decided.kill_task)),
        "alias to wait": (decided.registry, Strike("after", moves_alias, decided.kill_task)),
        "waiting": (decided.server, Strike("before", looks, decided.kill_task)),
        "followed to end": (decided.server, Strike("after", sees_it_live, decided.kill_task)),
    }[step]
    wire.strikes.append(strike)
    assert decided.redeploy() == ("success", "success", 2)
    assert strike.done
    assert_replaced(decided)
    assert set(decided.served) <= {OLD, NEW}


@pytest.mark.parametrize("name", ["model-server", "mlflow"])
def test_a_server_killed_while_redeploy_waits_comes_back_and_the_new_model_goes_live(decided, name):
    strike = Strike("before", looks, lambda: decided.kill_server(name))
    decided.server.strikes.append(strike)
    state, of_task, _ = decided.redeploy()
    assert (state, of_task, strike.done) == ("success", "success", True)
    assert_replaced(decided)


@pytest.fixture
def damaged(decided) -> World:
    """The files of NEW are no longer what was registered: the model server will refuse it."""
    files = decided.loop.stack.settings.home / "mlflow" / "artifacts"
    (package,) = (path.parent for path in files.rglob("MLmodel") if _is_of(path.parent, NEW))
    (package / "entry.py").write_text("raise SystemExit")
    return decided


def _is_of(package: Path, version: str) -> bool:
    return package.name == connect().get_model_version(MODEL, version).tags[SUM_TAG][:12]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_task_killed_around_its_undo_leaves_the_old_champion(damaged, when):
    strike = Strike(when, undoes, damaged.kill_task)
    damaged.registry.strikes.append(strike)
    assert damaged.redeploy() == ("failed", "failed", 2)
    assert strike.done
    assert "the model server refuses it" in "\n".join(
        damaged.loop.api.log_lines("retrain", damaged.run, damaged.task())
    )
    assert champion_version(connect()) == damaged.live() == OLD
    assert set(damaged.served) == {OLD}
