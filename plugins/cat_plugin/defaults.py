"""What all DAGs share, read from the settings while a DAG file is parsed."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from airflow.sdk import Asset, Param
from pendulum import datetime

from cat_plugin.errors import RETRY_POLICY, on_failure
from include.records import RetrainParams
from include.settings import Settings

SETTINGS = Settings()
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


_DEFAULTS = RetrainParams(
    images_per_source=SETTINGS.images_per_source,
    epochs=SETTINGS.epochs,
    min_precision=SETTINGS.min_precision,
    min_recall=SETTINGS.min_recall,
)
_SCHEMAS: dict[str, dict[str, Any]] = {
    "images_per_source": {
        "type": "integer",
        "minimum": 10,
        "title": "Images per source",
        "description": f"Photos of each of {', '.join(SETTINGS.question.sources)}, over train, val and test together.",
    },
    "epochs": {"type": "integer", "minimum": 1, "maximum": 1000, "title": "Epochs", "description": "At most."},
    "min_precision": {"type": "number", "minimum": 0, "maximum": 1, "title": "Minimum precision"},
    "min_recall": {"type": "number", "minimum": 0, "maximum": 1, "title": "Minimum recall"},
    "fine_tune_epochs": {
        "type": "integer",
        "minimum": 0,
        "maximum": 100,
        "title": "Epochs of fine-tuning",
        "description": "Train the backbone's upper blocks for so many epochs after the head: minutes each. 0: none.",
    },
    "force": {"type": "boolean", "title": "Train even when nothing is new"},
}
RETRAIN_PARAMS = {name: Param(default, **_SCHEMAS[name]) for name, default in asdict(_DEFAULTS).items()}
