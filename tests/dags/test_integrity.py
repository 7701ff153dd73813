"""House rules over every DAG, and what parsing one may cost."""

import json
from collections.abc import Callable
from typing import Any

import pytest

DESCRIBE = """
import json
from airflow.dag_processing.dagbag import DagBag
from include import errors
bag = DagBag(__import__("os").environ["AIRFLOW__CORE__DAGS_FOLDER"])
ERRORS = (errors.DatasetError("a"), errors.ModelError("a"), errors.NotAPhoto("a", "b"), OSError("a"), MemoryError(),
          errors.ServerError("a"), errors.NotDeployed("a"), errors.ChecksCrashed("a"), ConnectionError("a"))
def decide(task):  # what its retry policy does after each error
    return {type(error).__name__: task.retry_policy.evaluate(error, 1, task.retries).action.value for error in ERRORS}
def describe(dag):
    return {
        "doc": dag.doc_md, "tags": sorted(dag.tags), "active": dag.max_active_runs, "catchup": dag.catchup,
        "schedule": "the champion moved" if isinstance(dag.schedule, list) else dag.schedule,
        "callback": getattr(dag.on_failure_callback, "__qualname__", None),
        "params": {name: [dag.params[name], dag.params.get_param(name).schema] for name in dag.params},
        "tasks": {task.task_id: {
            "retries": task.retries, "delay": task.retry_delay.total_seconds(),
            "timeout": task.execution_timeout and task.execution_timeout.total_seconds(),
            "rule": str(getattr(task.trigger_rule, "value", task.trigger_rule)),
            "upstream": sorted(task.upstream_task_ids), "pool": task.pool, "after": decide(task)}
            for task in dag.tasks},
    }
print("RESULT" + json.dumps({"errors": bag.import_errors, "dags": {d.dag_id: describe(d) for d in bag.dags.values()}}))
"""

WATCH_PARSING = """
import sys, socket
from airflow.sdk import dag, task, task_group  # loaded on demand, with what they need
import croniter, pendulum, include.settings, include.lake.opening, cat_plugin.defaults, cat_plugin.errors
before = set(sys.modules)
touched = []
def watch(event, args):
    if event.startswith(("socket.connect", "subprocess", "os.mkdir", "os.rename", "os.remove", "sqlite3")):
        touched.append(event)
    if event == "open" and not str(args[0]).endswith((".py", ".pyc")) and "__pycache__" not in str(args[0]):
        touched.append(f"open {args[0]}")
sys.addaudithook(watch)
import runpy
for path in sys.argv[1:] or __import__("glob").glob(__import__("os").environ["AIRFLOW__CORE__DAGS_FOLDER"] + "/*.py"):
    runpy.run_path(path)
heavy = {"tensorflow", "keras", "keras_tuner", "mlflow", "boto3", "sklearn", "deepchecks", "matplotlib"}
print("RESULT" + __import__("json").dumps({"heavy": sorted(heavy & set(sys.modules)), "touched": touched}))
"""


Run = Callable[..., str]


def result(output: str) -> Any:
    return json.loads(output.partition("RESULT")[2])


@pytest.fixture(scope="module")
def bag(run_python: Run) -> dict[str, Any]:
    return result(run_python(DESCRIBE))


@pytest.fixture(scope="module")
def set_otherwise(run_python: Run) -> dict[str, Any]:
    """The same DAGs under other settings."""
    chosen = {"CAT_RETRAIN_SCHEDULE": "@weekly", "CAT_INGEST_SCHEDULE": "@monthly", "CAT_NETWORK": "scratch"}
    chosen |= {"CAT_GATE__CLOSE_CALLS": "ask"}
    return result(run_python(DESCRIBE, **chosen))["dags"]


def test_every_dag_file_parses(bag: dict[str, Any]) -> None:
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {"ingest_base_datasets", "retrain", "predict_batch"}


def test_every_dag_documents_what_starts_it_what_it_leaves_and_what_to_do(bag: dict[str, Any]) -> None:
    for name, dag in bag["dags"].items():
        for heading in ("**Starts:**", "**Leaves:**", "**If it fails:**"):
            assert heading in dag["doc"], f"{name} lacks {heading}"


def test_every_dag_keeps_the_house_rules(bag: dict[str, Any]) -> None:
    for name, dag in bag["dags"].items():
        assert dag["tags"], name
        assert dag["active"] == 1, name
        assert dag["catchup"] is False, name
        for task, rules in dag["tasks"].items():
            assert rules["retries"] >= 1, task
            assert rules["delay"] <= 60, task
            assert rules["timeout"], task
            assert rules["rule"] != "all_done", f"{task} would turn a failed run green"


def test_every_task_fails_at_once_on_wrong_input_and_retries_after_all_else(bag: dict[str, Any]) -> None:
    """`default` is Airflow's own rule: the task's retries."""
    final = dict.fromkeys(("DatasetError", "ModelError", "NotAPhoto"), "fail")
    retried = ("OSError", "MemoryError", "ServerError", "NotDeployed", "ChecksCrashed", "ConnectionError")
    for name, dag in bag["dags"].items():
        for task, rules in dag["tasks"].items():
            assert rules["after"] == final | dict.fromkeys(retried, "default"), f"{name}: {task}"


def test_somebody_hears_of_every_failed_run(bag: dict[str, Any]) -> None:
    assert {name: dag["callback"] for name, dag in bag["dags"].items()} == dict.fromkeys(bag["dags"], "on_failure")


def test_no_dag_is_scheduled_unless_the_settings_say_so(bag: dict[str, Any], set_otherwise: dict[str, Any]) -> None:
    scheduled = {name: dag["schedule"] for name, dag in bag["dags"].items()}
    assert scheduled.pop("predict_batch") == "the champion moved"
    assert set(scheduled.values()) == {None}
    assert set_otherwise["retrain"]["schedule"] == "@weekly"
    assert set_otherwise["ingest_base_datasets"]["schedule"] == "@monthly"


def test_retrain_is_the_picture_of_the_architecture(bag: dict[str, Any]) -> None:
    upstream = {task: rules["upstream"] for task, rules in bag["dags"]["retrain"]["tasks"].items()}
    assert upstream == {
        "collect.preflight": [],
        "collect.snapshot_base": ["collect.preflight"],
        "collect.snapshot_uploads": ["collect.preflight"],
        "collect.anything_new": ["collect.snapshot_base", "collect.snapshot_uploads"],
        "collect.list_new_images": ["collect.anything_new"],
        "collect.describe": ["collect.list_new_images"],
        "check.deduplicate": ["collect.describe"],
        "check.check_labels": ["check.deduplicate"],
        "check.sample": ["check.check_labels"],
        "check.validate": ["check.sample"],
        "check.publish_dataset": ["check.validate"],
        "train.tune": ["check.publish_dataset"],
        "train.train": ["check.publish_dataset", "train.tune"],
        "train.evaluate": ["check.publish_dataset", "train.train"],
        "train.register": ["train.evaluate"],
        "train.check_model": ["train.register"],
        "release.gate": ["train.register"],
        "release.redeploy": ["release.gate"],
        "release.keep_champion": ["release.gate"],
        "release.report": ["release.keep_champion", "release.redeploy"],
    }
    rules = {task: found["rule"] for task, found in bag["dags"]["retrain"]["tasks"].items()}
    assert rules["check.deduplicate"] == "none_failed"
    assert rules["release.report"] == "none_failed_min_one_success"


def test_a_person_is_asked_only_by_setting(set_otherwise: dict[str, Any]) -> None:
    tasks = set_otherwise["retrain"]["tasks"]
    upstream = {task.removeprefix("release."): rules["upstream"] for task, rules in tasks.items() if "release" in task}
    assert upstream == {
        "gate": ["train.register"],
        "ask_person": ["release.gate"],
        "follow_answer": ["release.ask_person"],
        "redeploy": ["release.follow_answer", "release.gate"],
        "keep_champion": ["release.follow_answer", "release.gate"],
        "report": ["release.keep_champion", "release.redeploy"],
    }
    for task in ("redeploy", "keep_champion"):
        assert tasks[f"release.{task}"]["rule"] == "none_failed_min_one_success"
    assert tasks["release.ask_person"]["retries"] >= 1, "an answer in the first second fails the task"


def test_ingest_reads_all_sources_before_the_lake_follows_the_folder(bag: dict[str, Any]) -> None:
    tasks = bag["dags"]["ingest_base_datasets"]["tasks"]
    assert {task: rules["upstream"] for task, rules in tasks.items()} == {
        "claim_lake": [],
        "ingest": ["claim_lake"],
        "follow_folder": ["ingest"],
    }
    assert tasks["follow_folder"]["rule"] == "all_success"


def test_ingest_takes_nothing_away_unless_it_is_asked_to(bag: dict[str, Any]) -> None:
    params = bag["dags"]["ingest_base_datasets"]["params"]
    assert {name: (value, schema["type"]) for name, (value, schema) in params.items()} == {"follow": (False, "boolean")}
    assert params["follow"][1]["title"] == "Take moved and deleted photos over"


def test_the_form_of_retrain_is_typed(bag: dict[str, Any], set_otherwise: dict[str, Any]) -> None:
    params = bag["dags"]["retrain"]["params"]
    assert {name: (value, schema["type"]) for name, (value, schema) in params.items()} == {
        "images_per_source": (2000, "integer"),
        "epochs": (20, "integer"),
        "min_precision": (0.7, "number"),
        "min_recall": (0.7, "number"),
        "fine_tune_epochs": (0, "integer"),
        "force": (False, "boolean"),
    }
    assert all(schema["title"] for _, schema in params.values())
    assert set_otherwise["retrain"]["params"]["epochs"][0] == 10, "as the network from scratch has it"


def test_predict_batch_can_be_sent_with_an_empty_folder(bag: dict[str, Any]) -> None:
    value, schema = bag["dags"]["predict_batch"]["params"]["folder"]
    assert value is None
    assert set(schema["type"]) == {"string", "null"}, "a type of text alone makes the form want one"


RETRY_AFTER_MIDNIGHT = """
import datetime, json, os
from types import SimpleNamespace
from airflow.dag_processing.dagbag import DagBag
import include.lake.lake_check, include.serving.batch
days = []
include.serving.batch.predict_batch = lambda *given, day, **options: days.append(day)
include.lake.lake_check.check_lake = lambda settings: None
run = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["predict_batch"].get_task("predict").python_callable
run_after = datetime.datetime(2026, 1, 1, 23, 59, 50, tzinfo=datetime.timezone.utc)  # each try begins after that day
for number in (1, 2):
    run(run_id="r", params={"folder": ""}, dag_run=SimpleNamespace(run_after=run_after))
print("RESULT" + json.dumps(days))
"""


def test_a_retry_of_predict_batch_after_midnight_writes_the_day_of_the_run(run_python: Run) -> None:
    assert result(run_python(RETRY_AFTER_MIDNIGHT)) == ["2026-01-01"] * 2


def test_parsing_imports_nothing_heavy_and_touches_nothing(run_python: Run) -> None:
    assert result(run_python(WATCH_PARSING)) == {"heavy": [], "touched": []}


def test_what_moves_the_alias_shares_one_slot(bag: dict[str, Any]) -> None:
    pools = {task: rules["pool"] for task, rules in bag["dags"]["retrain"]["tasks"].items()}
    assert pools.pop("release.redeploy") == "champion"
    assert set(pools.values()) == {"default_pool"}
