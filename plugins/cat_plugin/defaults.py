"""What every DAG of the house has in common, read from the settings while a DAG file is parsed."""

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param
from pendulum import datetime

from include.records import RetrainParams
from include.settings import Settings

SETTINGS = Settings()
START = datetime(2025, 1, 1, tz="UTC")
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "are-you-a-cat",
    "retries": 2,
    "retry_delay": timedelta(seconds=10),
    "execution_timeout": timedelta(minutes=30),
}
# Training is long, so it meets more restarts of machines than other tasks; a try that finished is never repeated.
TRAINING_ARGS: dict[str, Any] = {"execution_timeout": timedelta(hours=6), "retries": 5}
# Only a doorbell: who hears it asks the registry what is true. https://github.com/apache/airflow/issues/56050
CHAMPION = Asset("are-you-a-cat/champion")

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
        "description": "How many photos of cats, dogs, selfies and misc each, over train, val and test together.",
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
