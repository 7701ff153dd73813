"""Small registered model versions, made without training: the network only looks at colour. And pixels in memory."""

import tempfile
from pathlib import Path

import keras
import mlflow
import numpy as np

from include.lake import layout
from include.question import Question
from include.records import DecisionRule, ModelVersion
from include.registry import versions
from include.settings import Settings
from include.training import mlflow_runs
from include.training.losses import HEAD, POOL
from include.training.mlflow_runs import DATASET_TAG, RUN_TAG
from include.training.pixel_cache import Pixels

QUESTION = Question()
CLASSES = len(QUESTION.sources)


def as_pixels(photos: np.ndarray) -> Pixels:
    """uint8 (n, size, size, 3), as if they had been decoded."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # it stays open as long as the pixels are used
    file.write(photos.tobytes())
    file.flush()
    return Pixels(file, np.arange(len(photos)), photos.shape[1])


def red_network(*, sign: float = 1.0, size: int = 32) -> keras.Model:
    """P(positive) rises with the red of a photo, and falls with it where ``sign`` is -1."""
    photo = keras.Input((size, size, 3), dtype="uint8")
    x = keras.layers.Rescaling(1 / 255)(photo)
    x = keras.layers.GlobalAveragePooling2D(name=POOL)(x)
    network = keras.Model(photo, keras.layers.Dense(CLASSES, name=HEAD)(x))
    kernel = np.zeros((3, CLASSES), np.float32)
    kernel[:, 0] = (12 * sign, -6 * sign, -6 * sign)
    network.set_weights([kernel, np.zeros(CLASSES, np.float32)])
    return network


def add_version(*, sign: float = 1.0, run: str = "r1", dataset: str = "d1") -> ModelVersion:
    """Register a version in the tracking server that the settings name; the one of a run is made once."""
    settings = Settings()
    client = mlflow_runs.connect(settings)
    if found := versions.version_of(client, {RUN_TAG: layout.run_name(run), DATASET_TAG: dataset}):
        return found
    mlflow.set_experiment(client.name)
    with mlflow.start_run() as active, tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "network.keras"
        red_network(sign=sign).save(path)
        rule = DecisionRule(0.5, 0.4, 0.6, settings.question.positive_classes)
        mlflow_run = active.info.run_id
        return versions.register(client, path, rule, settings.question, run=run, mlflow_run=mlflow_run, dataset=dataset)
