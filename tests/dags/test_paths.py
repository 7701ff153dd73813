"""Every path through `retrain`, run by Airflow itself: trigger rules, branch and run state.

The functions below the tasks are replaced by ones that return at once: what they do has tests of its own, and the
whole DAG runs unchanged in tests/functional. Each case parses the DAG anew, because `dag.test()` leaks params.
"""

import json
import os
import subprocess
import sys
from itertools import product

import pytest

from include.settings import ROOT

SHARDS = (0, 1, 3)
ENDS = ("better", "not better", "redeploy fails")

WALK = """
import json, os, sys
from importlib import import_module
from airflow.dag_processing.dagbag import DagBag
from include.errors import ModelError
from include.records import Decision, ModelVersion

NEW, OLD = ModelVersion("2", "a sum"), ModelVersion("1", "another")

def answer(place, result):
    module, _, name = place.rpartition(".")
    def run(*args, **kwargs):
        if isinstance(result, Exception):
            raise result
        return result
    setattr(import_module(module), name, run)

def walk(shards, end):
    answer("include.ingestion.snapshot.snapshot_base", "key")
    answer("include.ingestion.snapshot.snapshot_uploads", "key")
    answer("include.promotion.cleared.check_champion_unmoved", None)
    answer("include.ingestion.snapshot.anything_new", end != "nothing new")
    answer("include.dataset.facts.list_new_images", [f"shard {number}" for number in range(shards)])
    answer("include.dataset.facts.describe", {"described": 1})
    for name in ("deduplicate", "check_labels", "sample"):
        answer(f"include.dataset.steps.{name}", "key")
    answer("include.dataset.publish.publish", "digest")
    answer("include.validation.data.validate", {"test": "passed"})
    answer("include.registry.versions.champion_dataset", None)
    answer("include.tuning.tune.tune", {"learning_rate": 0.001})
    answer("include.training.train.train", "mlflow run")
    answer("include.promotion.evaluate.evaluate", {"threshold": 0.5})
    answer("include.promotion.register.register_version", "2")
    answer("include.validation.model.check_model", {"warnings": ["weak"]})
    answer("include.promotion.comparison.compare_and_decide", Decision(end != "not better", NEW, OLD, ()))
    answer("include.promotion.comparison.failed_rules", ["too bad"])
    failure = ModelError("the server rejects it")
    answer("include.promotion.deploy.redeploy", failure if end == "redeploy fails" else {"version": "2"})
    answer("include.promotion.run_report.report", {"version": "2"})
    dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["retrain"]
    for task in dag.tasks:
        task.outlets = []  # dag.test() fails on asset outlets, see apache/airflow#51644
    run = dag.test()
    return run.state, sorted((task.task_id, task.map_index, task.state) for task in run.get_task_instances())

print("RESULT" + json.dumps([walk(*case) for case in json.loads(sys.argv[1])]))
"""

CASES = [*product(SHARDS, ENDS), (0, "nothing new")]
Task = tuple[str, int, str]  # id, map index, state
Walked = dict[tuple[int, str], tuple[str, list[Task]]]


@pytest.fixture(scope="module")
def walked(airflow_environment: dict[str, str]) -> Walked:
    """The states of the run and of its tasks, for each case."""
    environment = {**os.environ, **airflow_environment}
    for command in (["-m", "airflow", "db", "migrate"], ["-c", WALK, json.dumps(CASES)]):
        done = subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
    results = json.loads(done.stdout.partition("RESULT")[2])
    return {case: (state, tasks) for case, (state, tasks) in zip(CASES, results, strict=True)}


def states(tasks: list[Task]) -> dict[str, str]:
    return {task: state for task, _, state in tasks}


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("end", ENDS)
def test_the_run_ends_as_its_decision_says(walked: Walked, shards: int, end: str) -> None:
    state, tasks = walked[shards, end]
    found = states(tasks)
    for task in ("train.evaluate", "train.register", "train.check_model", "release.gate"):
        assert found[task] == "success"
    ends = {name.removeprefix("release."): found[name] for name in found if name.startswith("release.")}
    del ends["gate"]
    assert (state, ends) == {
        "better": ("success", {"redeploy": "success", "keep_champion": "skipped", "report": "success"}),
        "not better": ("success", {"redeploy": "skipped", "keep_champion": "success", "report": "success"}),
        "redeploy fails": ("failed", {"redeploy": "failed", "keep_champion": "skipped", "report": "upstream_failed"}),
    }[end]


@pytest.mark.parametrize("shards", SHARDS)
def test_describe_runs_once_per_shard_and_none_skips_nothing_else(walked: Walked, shards: int) -> None:
    _, tasks = walked[shards, "better"]
    described = [state for task, _, state in tasks if task == "collect.describe"]
    assert described == (["success"] * shards or ["skipped"])
    assert states(tasks)["check.deduplicate"] == "success"


def test_nothing_new_skips_all_the_rest_and_is_no_failure(walked: Walked) -> None:
    state, tasks = walked[0, "nothing new"]
    assert state == "success"
    done = {task for task, _, found in tasks if found == "success"}
    assert done == {"collect.snapshot_base", "collect.snapshot_uploads", "collect.anything_new"}
    assert {found for task, _, found in tasks if task not in done} == {"skipped"}
