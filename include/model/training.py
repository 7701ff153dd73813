"""Fit the network to a dataset version, and leave it in MLflow."""

import logging
import tempfile
from pathlib import Path

import keras
import mlflow
import pandas as pd

from include.data.dataset import read_manifest
from include.data.split import calibrates
from include.lake.base import ObjectStore
from include.model.feeding import ordered_batches, train_batches
from include.model.network import build_network, compile_network
from include.model.pixels import Pixels, load_pixels
from include.model.tracking import attempt, finished_attempt
from include.settings import Settings

log = logging.getLogger(__name__)

NETWORK_FILE = "network/network.keras"  # inside the MLflow run


def train(store: ObjectStore, run: str, digest: str, *, epochs: int) -> str:
    """Task: train on one dataset version; returns the id of the MLflow run that holds the network and its curves.

    A try that comes after a finished one returns what that one left; any other begins anew.
    """
    if done := finished_attempt(run, digest):
        log.info("MLflow run %s has trained this already", done)
        return done
    settings = Settings()
    manifest = read_manifest(store, digest)
    pixels = load_pixels(store, manifest, folder=cache_folder(settings), size=settings.image_size)
    with attempt(run, digest) as active:
        mlflow.tensorflow.autolog(log_models=False, checkpoint=False, log_datasets=False)
        mlflow.log_params({f"recipe_{name}": value for name, value in settings.recipe.items()})
        network = fit(pixels, manifest, epochs=epochs, settings=settings)
        _log_network(network)
    return str(active.info.run_id)


def fit(pixels: Pixels, manifest: pd.DataFrame, *, epochs: int, settings: Settings) -> keras.Model:
    """Train from scratch on the train side; the tuning half of val says when to stop. Same seed, same weights."""
    keras.utils.set_random_seed(settings.seed)
    learn = (manifest["side"] == "train").to_numpy(bool)
    watch = (manifest["side"] == "val").to_numpy(bool) & ~manifest["sha256"].map(calibrates).to_numpy(bool)
    steps = -(-int(learn.sum()) // settings.batch_size)
    network = build_network(image_size=settings.image_size)
    compile_network(network, learning_rate=settings.learning_rate, steps=steps * epochs)
    network.fit(
        train_batches(pixels.subset(learn), manifest[learn], batch_size=settings.batch_size, seed=settings.seed),
        epochs=epochs,
        steps_per_epoch=steps,
        validation_data=ordered_batches(pixels.subset(watch), manifest[watch]),
        callbacks=[_early_stopping(epochs), keras.callbacks.LambdaCallback(on_epoch_end=_tell(epochs))],
        shuffle=False,  # the batches come shuffled
        verbose=0,
    )
    return network


def cache_folder(settings: Settings) -> Path:
    return settings.pixel_cache


def _early_stopping(epochs: int) -> keras.callbacks.Callback:
    return keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=max(5, epochs // 3), start_from_epoch=epochs // 2, restore_best_weights=True
    )


def _tell(epochs: int):  # type: ignore[no-untyped-def]  # a Keras callback
    def tell(epoch: int, logs: dict[str, float]) -> None:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in logs.items())
        log.info("epoch %d of %d: %s", epoch + 1, epochs, figures)

    return tell


def _log_network(network: keras.Model) -> None:
    folder, _, name = NETWORK_FILE.rpartition("/")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / name
        network.save(path)
        mlflow.log_artifact(str(path), folder)
