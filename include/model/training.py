"""The task that trains on a dataset version, and leaves the network in MLflow."""

import logging
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

import keras
import mlflow

from include.data.dataset import read_manifest
from include.lake.base import ObjectStore
from include.model.checkpoints import Checkpoints
from include.model.fitting import fit
from include.model.hyperparameters import chosen_for
from include.model.pixels import load_pixels
from include.model.starting import starting_point
from include.model.state import state_folder
from include.model.tracking import attempt, finished_attempt, log_epoch, log_validation
from include.settings import Settings

log = logging.getLogger(__name__)

NETWORK_FILE = "network/network.keras"  # inside the MLflow run


def train(store: ObjectStore, run: str, digest: str, *, epochs: int) -> str:
    """Task: train on one dataset version; returns the id of the MLflow run that holds the network and its curves.

    A try that comes after a finished one returns what that one left; any other goes on from its last epoch. Raises
    AttemptSuperseded when a later try has taken over.
    """
    if done := finished_attempt(run, digest):
        log.info("MLflow run %s has trained this already", done)
        return done
    settings = Settings()
    hyperparameters = chosen_for(store, run, settings)
    manifest = read_manifest(store, digest)
    pixels = load_pixels(store, manifest, folder=settings.pixel_cache, size=settings.image_size)
    start = starting_point(store, settings)
    checkpoints = Checkpoints(state_folder(settings, digest, hyperparameters, start, epochs=epochs))
    begun = checkpoints.latest()
    with attempt(run, digest, resume=begun is not None) as active:
        tell = partial(log_epoch, active.info.run_id)
        for epoch, figures in enumerate(begun.history if begun else ()):
            tell(epoch, figures)  # a killed try may have kept what it did not send
        _autolog()
        mlflow.log_params({f"recipe_{name}": value for name, value in settings.recipe.items()})
        mlflow.log_dict(asdict(hyperparameters), "hyperparameters.json")
        log_validation(store, digest)
        trained = fit(
            pixels,
            manifest,
            epochs=epochs,
            settings=settings,
            hyperparameters=hyperparameters,
            checkpoints=checkpoints,
            start=start,
            tell=tell,
        )
        checkpoints.confirm()
        _log_network(trained)
    checkpoints.clear()
    return str(active.info.run_id)


def _autolog() -> None:
    """MLflow keeps optimizer, summary and TensorBoard's logs by itself. The curves are ours (``log_epoch``): a killed
    process leaves some of autologging's points unsent, and a stale one would send them twice.
    """
    mlflow.tensorflow.autolog(
        log_models=False, checkpoint=False, log_datasets=False, log_every_epoch=False, log_every_n_steps=sys.maxsize
    )


def _log_network(trained: keras.Model) -> None:
    folder, _, name = NETWORK_FILE.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        trained.save(path)
        mlflow.log_artifact(str(path), folder)
