"""What all DAGs share, read from the settings while a DAG file is parsed."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import Asset, Param
from pendulum import datetime

from cat_plugin.errors import RETRY_POLICY, on_failure
from include.configuration import read_settings
from include.params import Params

SETTINGS = read_settings()
START = datetime(2025, 1, 1, tz="UTC")
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "are-you-a-cat",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "execution_timeout": timedelta(minutes=30),
    "retry_policy": RETRY_POLICY,
}
DAG_ARGS: dict[str, Any] = {
    "start_date": START,
    "catchup": False,
    "max_active_runs": 1,
    "default_args": DEFAULT_ARGS,
    "on_failure_callback": on_failure,
}
# Of the tasks that run a network over many photos. Only Celery has queues; a worker on one machine takes all tasks.
TRAINING_QUEUE = "training"
# Training is long, so it meets more restarts of machines than other tasks; a try that finished is never repeated.
TRAINING_ARGS: dict[str, Any] = {"execution_timeout": timedelta(hours=6), "retries": 5, "queue": TRAINING_QUEUE}
# Events may be lost or doubled: whoever gets one asks the registry. https://github.com/apache/airflow/issues/56050
CHAMPION = Asset(f"{SETTINGS.question.name}/champion")


def run_url(run_id: str) -> str:
    """Where a person finds a run of ``retrain``."""
    return f"{SETTINGS.airflow_page}/dags/retrain/runs/{quote(run_id)}"


def form(params: Params) -> dict[str, Param]:
    """The form of a DAG in the Airflow UI, with these params filled in."""
    schemas = params.schemas()
    return {name: Param(value, **schemas[name]) for name, value in asdict(params).items()}  # type: ignore[call-overload]


RETRAIN_PARAMS = form(SETTINGS.retrain_params)
