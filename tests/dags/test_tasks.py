"""Wrong input ends a task with one sentence and no stack trace; TensorFlow's chatter is no error."""

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from airflow.sdk import RetryAction

from cat_plugin import tasks
from cat_plugin.errors import RETRY_POLICY, WrongInput
from include.errors import BadParam, DatasetError, NotAPhoto, ServerError
from include.settings import ROOT

Run = Callable[..., str]


@pytest.mark.parametrize("error", [DatasetError("no cats"), BadParam("no param 'x'"), NotAPhoto("empty", "no bytes")])
def test_wrong_input_is_one_line_and_not_retried(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(WrongInput) as ended:
        tasks.one_sentence(fail)()
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", f"{type(error).__name__}: {error}")
    assert record.exc_info is None
    assert ended.value.__cause__ is None
    assert RETRY_POLICY.evaluate(ended.value, 1, 3).action == RetryAction.FAIL


def test_other_errors_rise_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ServerError("no answer")

    with pytest.raises(ServerError, match="no answer"):
        tasks.one_sentence(fail)()
    assert caplog.records == []


def test_what_a_function_returns_is_returned() -> None:
    def add(first: int, *, second: int) -> int:
        return first + second

    assert tasks.one_sentence(add)(1, second=2) == 3


FAIL = """
import os, sys
from airflow.sdk import dag
from airflow.dag_processing.dagbag import DagBag
from include.errors import DatasetError
import include.preflight

def fail(settings):
    raise DatasetError("the lake is on the moon")

include.preflight.check_places = fail
run = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags["retrain"].test(run_conf={CONF})
tries = {task.task_id: (task.state, task.try_number) for task in run.get_task_instances() if task.state == "failed"}
print("RESULT" + repr(tries))
"""


@pytest.mark.parametrize(
    ("conf", "sentence"),
    [
        ({}, "DatasetError: the lake is on the moon"),
        ({"epochs": 3.0}, "BadParam: the param epochs cannot be 3.0: Input should be a valid integer"),
        ({"epoch": 3}, "BadParam: there is no param 'epoch': did you mean epochs?"),
    ],
)
@pytest.mark.slow
def test_in_airflow_the_log_has_the_sentence_once(
    airflow_environment: dict[str, str], conf: dict[str, object], sentence: str
) -> None:
    environment = {**os.environ, **airflow_environment}
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, capture_output=True, check=True)
    code = FAIL.replace("{CONF}", json.dumps(conf))
    done = subprocess.run([sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-3000:]
    assert "RESULT{'collect.preflight': (" in output
    assert output.count(sentence) == 1
    assert "Traceback" not in output


IMPORT = """
import logging, sys
from include.quiet_import import QuietImport, import_tensorflow_quietly
logging.basicConfig(level="DEBUG", stream=sys.stdout, format="%(levelname)s %(message)s")
import_tensorflow_quietly()
import_tensorflow_quietly()
assert sum(isinstance(finder, QuietImport) for finder in sys.meta_path) == 1
import tensorflow
assert not any(isinstance(finder, QuietImport) for finder in sys.meta_path)
assert tensorflow.constant(2).numpy() == 2
sys.stderr.write("a line of our own\\n")
"""


@pytest.mark.slow
def test_an_import_of_tensorflow_writes_nothing_to_stderr() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "a line of our own\n"
    assert "oneDNN" in done.stdout, "and what it said is in the log, for who looks for it"
