"""Every path through `retrain`, run by Airflow itself: trigger rules, branch and run state. And `ingest_base_datasets`.

The functions below the tasks of `retrain` are replaced by ones that return at once: what they do has tests of its own,
and the whole DAG runs unchanged in tests/functional. Each case parses the DAG anew, because `dag.test()` leaks params.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from include.lake import layout
from include.lake.local import LocalStore
from include.settings import ROOT

SHARDS = (0, 1, 3)
ENDS = ("better", "not better", "redeploy fails", "a person promotes", "a person keeps")
TOO_SMALL = "test split too small"

WALK = """
import json, os, sys
from importlib import import_module
from airflow.dag_processing.dagbag import DagBag
from include.errors import DatasetError, ModelError
from include.records import KEEP, PROMOTE, Answer, Decision, ModelVersion, Rule
from airflow.providers.standard.operators.hitl import HITLOperator

NEW, OLD = ModelVersion("2", "a sum"), ModelVersion("1", "another")

def decide(end):
    outcome = end if end == "not better" else "close call" if "a person" in end else "better"
    result = {"not better": "failed", "better": "passed"}.get(outcome, outcome)
    return Decision(outcome, "ask", NEW, OLD, None, NEW, (Rule("a rule", result, "by hand"),))

def answer(place, result):
    module, _, name = place.rpartition(".")
    def run(*args, **kwargs):
        if isinstance(result, Exception):
            raise result
        return result
    setattr(import_module(module), name, run)

def walk(shards, end):
    answer("include.preflight.check_places", None)
    answer("include.dataset.label_counts.check_snapshot", None)
    answer("include.dataset.label_counts.check_table", "key")
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
    too_small = DatasetError("the lake has 20 test photos")
    answer("include.promotion.margin.check_test_split", too_small if end == "test split too small" else 4.0)
    answer("include.promotion.comparison.compare_and_decide", decide(end))
    # nobody can answer in dag.test(); tests/functional/test_gate_runs.py does, by REST
    HITLOperator.execute = lambda self, context: {"chosen_options": [PROMOTE if end == "a person promotes" else KEEP]}
    promotes = end == "a person promotes"
    given = Answer(promotes, True, "a sum", "another", "ann", "", "today")
    answer("include.promotion.close_calls.take_answer", (decide(end), given))
    answer("include.promotion.publish_decision.decision_url", "http://mlflow/page")
    answer("include.promotion.close_calls.failed_rules", ["too bad"])
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

CASES = [*((1, end) for end in ENDS), (0, "better"), (3, "better"), (0, "nothing new"), (0, TOO_SMALL)]
Task = tuple[str, int, str]  # id, map index, state
Walked = dict[tuple[int, str], tuple[str, list[Task]]]


Run = Callable[..., str]


@pytest.fixture(scope="module")
def run_airflow(airflow_environment: dict[str, str]) -> Run:
    """Run Python beside a migrated database; returns what it prints."""

    def run(*arguments: str, **extra: str) -> str:
        environment = {**os.environ, **airflow_environment, **extra}
        done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    run("-m", "airflow", "db", "migrate")
    return run


@pytest.fixture(scope="module")
def walked(run_airflow: Run) -> Walked:
    """The states of the run and of its tasks, for each case, with a person to ask: that graph has all paths."""
    ask = {"CAT_GATE__CLOSE_CALLS": "ask"}
    results = json.loads(run_airflow("-c", WALK, json.dumps(CASES), **ask).partition("RESULT")[2])
    return {case: (state, tasks) for case, (state, tasks) in zip(CASES, results, strict=True)}


def states(tasks: list[Task]) -> dict[str, str]:
    return {task: state for task, _, state in tasks}


@pytest.mark.parametrize("end", ENDS)
def test_the_run_ends_as_its_decision_says(walked: Walked, end: str) -> None:
    state, tasks = walked[1, end]
    found = states(tasks)
    for task in ("train.evaluate", "train.register", "train.check_model", "release.gate"):
        assert found[task] == "success"
    names = ("ask_person", "follow_answer", "redeploy", "keep_champion", "report")
    assert (state, *(found[f"release.{name}"] for name in names)) == {
        "better": ("success", "skipped", "skipped", "success", "skipped", "success"),
        "not better": ("success", "skipped", "skipped", "skipped", "success", "success"),
        "redeploy fails": ("failed", "skipped", "skipped", "failed", "skipped", "upstream_failed"),
        "a person promotes": ("success", "success", "success", "success", "skipped", "success"),
        "a person keeps": ("success", "success", "success", "skipped", "success", "success"),
    }[end]


@pytest.mark.parametrize("shards", SHARDS)
def test_describe_runs_once_per_shard_and_none_skips_nothing_else(walked: Walked, shards: int) -> None:
    _, tasks = walked[shards, "better"]
    described = [state for task, _, state in tasks if task == "collect.describe"]
    assert described == (["success"] * shards or ["skipped"])
    assert states(tasks)["check.deduplicate"] == "success"


def test_a_test_split_too_small_for_the_margin_fails_before_anything_is_trained(walked: Walked) -> None:
    state, tasks = walked[0, TOO_SMALL]
    found = states(tasks)
    assert (state, found["check.publish_dataset"]) == ("failed", "failed")
    assert found["train.tune"] == found["train.train"] == found["release.gate"] == "upstream_failed"


def test_nothing_new_skips_all_the_rest_and_is_no_failure(walked: Walked) -> None:
    state, tasks = walked[0, "nothing new"]
    assert state == "success"
    done = {task for task, _, found in tasks if found == "success"}
    assert done == {"collect.preflight", "collect.snapshot_base", "collect.snapshot_uploads", "collect.anything_new"}
    assert {found for task, _, found in tasks if task not in done} == {"skipped"}


INGEST = """
import json, os, sys
from airflow.dag_processing.dagbag import DagBag
dag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["ingest_base_datasets"]
run = dag.test(run_conf=json.loads(sys.argv[1]))
states = sorted((task.task_id, task.map_index, task.state) for task in run.get_task_instances())
print("RESULT" + json.dumps([run.state, states, run.get_task_instance("follow_folder").xcom_pull("follow_folder")]))
"""
INGESTED = [
    ["claim_lake", -1, "success"],
    ["follow_folder", -1, "success"],
    *(["ingest", number, "success"] for number in range(4)),
]


@pytest.mark.slow
def test_ingest_follows_the_folder_where_it_is_asked_to(run_airflow: Run, tmp_path: Path) -> None:
    """One photo moves and one is deleted; without the param they are told, with it the lake takes them over."""
    photos, lake = tmp_path / "photos", LocalStore(tmp_path / "lake")
    for source in ("cats", "dogs", "selfies", "misc"):
        (photos / source).mkdir(parents=True)
        for number in range(4):
            (photos / source / f"{number}.jpg").write_text(f"{source} {number}")

    def ingest(**conf: bool) -> dict:
        settings = {"CAT_BASE_DATA": str(photos), "CAT_LAKE_URL": f"file://{lake.root}"}
        state, tasks, told = json.loads(run_airflow("-c", INGEST, json.dumps(conf), **settings).partition("RESULT")[2])
        assert (state, tasks) == ("success", INGESTED)
        return told

    assert ingest()["new"] == 16
    (photos / "cats/0.jpg").rename(photos / "dogs/moved.jpg")
    (photos / "cats/1.jpg").unlink()
    told = ingest(follow=False)
    assert (told["moved"], told["gone"], told["taken_away"]) == (1, 1, 0)
    assert len(list(lake.keys(layout.BASE))) == 17
    assert ingest(follow=True)["taken_away"] == 2
    assert len(list(lake.keys(layout.BASE))) == 15
    assert len(list(lake.keys(layout.TOMBSTONES))) == 2
