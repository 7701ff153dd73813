"""The task that trains on a dataset version, and leaves the network in MLflow."""

import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import keras
import mlflow

from include.backbone import VERSION
from include.dataset.manifest import read_manifest
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.progress import Progress
from include.records import RetrainParams
from include.settings import Settings
from include.training.checkpoints import Checkpoints
from include.training.fingerprint import fingerprint
from include.training.fit import fit
from include.training.head import build_served_network
from include.training.hyperparameters import Hyperparameters
from include.training.mlflow_runs import finished_training_run, log_curves, log_epoch, log_validation, training_run
from include.training.pixel_cache import load_pixels
from include.training.plan import Plan, TrainingJob, plan_training

log = logging.getLogger(__name__)

NETWORK_FILE = "network/network.keras"  # inside the MLflow run
CODE = ("callbacks", "distribution", "fit", "head", "input_pipeline", "losses", "plan", "scratch_network")
CODE_OF_TRAINING = ("include.backbone.architecture", *(f"include.training.{name}" for name in CODE))


def train(store: ObjectStore, run: str, digest: str, params: RetrainParams) -> str:
    """Task: train on one dataset version; returns the id of the MLflow run that holds the network and its curves.

    A try that comes after a finished one returns what that one left. What is trained on pixels goes on from its last
    epoch; a head is fitted anew, in seconds. Raises AttemptSuperseded when a later try has taken over.
    """
    if done := finished_training_run(run, digest):
        log.info("MLflow run %s has trained this already", done)
        return done
    settings = Settings()
    plan = plan_training(store, run, read_manifest(store, digest), params, settings)
    if plan.job:
        return _train_on_pixels(store, run, digest, plan, plan.job, settings)
    with training_run(run, digest) as active:
        _log_recipe(store, digest, settings, plan)
        log_curves(active.info.run_id, plan.curves)
        _log_network(build_served_network(plan.head))
    return str(active.info.run_id)


def _train_on_pixels(
    store: ObjectStore, run: str, digest: str, plan: Plan, job: TrainingJob, settings: Settings
) -> str:
    """Train epoch by epoch, and keep each."""
    pixels = load_pixels(store, plan.manifest, size=job.image_size)
    checkpoints = Checkpoints(state_folder(settings, digest, plan.chosen, job))
    begun = checkpoints.latest()
    done = begun.history if begun else ()
    progress = Progress(store, layout.progress(run, "train"), total=job.epochs, unit="epochs", done=len(done))
    with training_run(run, digest, resume=begun is not None) as active:

        def tell(epoch: int, losses: Mapping[str, float]) -> None:
            log_epoch(active.info.run_id, epoch, losses)
            progress.advance()

        for epoch, losses in enumerate(done):
            log_epoch(active.info.run_id, epoch, losses)  # a killed try may have kept what it did not send
        _autolog()
        _log_recipe(store, digest, settings, plan)
        if not begun:
            log_curves(active.info.run_id, plan.curves, prefix="head_")
        trained = fit(pixels, plan.manifest, job, checkpoints=checkpoints, tell=tell)
        checkpoints.confirm()
        _log_network(trained)
    checkpoints.clear()
    return str(active.info.run_id)


def state_folder(settings: Settings, digest: str, chosen: Hyperparameters, job: TrainingJob) -> Path:
    """Where the checkpoints of one training lie."""
    parts = [digest, settings.recipe, VERSION, job.name, job.epochs, asdict(chosen)]
    return settings.home / "checkpoints" / fingerprint(parts, packages=("keras", "tensorflow"), code=CODE_OF_TRAINING)


def _log_recipe(store: ObjectStore, digest: str, settings: Settings, plan: Plan) -> None:
    mlflow.log_params({f"recipe_{name}": value for name, value in settings.recipe.items()})
    if plan.head:
        mlflow.log_params(asdict(plan.chosen))
    log_validation(store, digest)


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
