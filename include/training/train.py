"""The task that trains on a dataset version, and leaves the network in MLflow."""

import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import keras
import mlflow

from include.dataset.manifest import read_manifest
from include.errors import BadSetting
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import json_sha256
from include.lake.progress import Progress
from include.params import RetrainParams
from include.settings import Settings
from include.training.checkpoints import Checkpoints
from include.training.fingerprint import training_digest
from include.training.fit import fit
from include.training.head import build_served_network
from include.training.hyperparameters import read_chosen
from include.training.mlflow_runs import (
    NETWORK_FILE,
    Mlflow,
    connect,
    finished_training_run,
    log_curves,
    log_epoch,
    log_validation,
    training_run,
)
from include.training.pixel_cache import load_pixels
from include.training.plan import Plan, TrainingJob, plan_training

log = logging.getLogger(__name__)


def train(store: ObjectStore, run: str, digest: str, params: RetrainParams, settings: Settings) -> str:
    """Task: train on one dataset version; returns the id of the MLflow run that holds the network and its curves.

    A retry after a finished try returns that try's run, if all that it was made from is still the same. Training on
    pixels resumes after its last epoch; a head is fitted anew, in seconds. Raises AttemptSuperseded when a later try
    has taken over.
    """
    client, chosen = connect(settings), read_chosen(store, run, digest)
    made_from = training_digest(digest, chosen, params, settings)
    if done := finished_training_run(client, run, digest, made_from=made_from):
        log.info("MLflow run %s has finished this training already", done)
        return done
    manifest = read_manifest(store, digest)
    log.info("training %s on %s photos", settings.network, manifest["split"].value_counts().to_dict())
    plan = plan_training(store, manifest, chosen, params, settings)
    if plan.job:
        return _train_on_pixels(store, client, run, digest, made_from, plan, plan.job, settings)
    with training_run(client, run, digest, made_from=made_from) as active:
        _log_recipe(store, digest, settings, plan)
        log_curves(client, active.info.run_id, plan.curves)
        _log_network(build_served_network(plan.head))
    return str(active.info.run_id)


def join_training(store: ObjectStore, run: str, digest: str, params: RetrainParams, settings: Settings) -> None:
    """A further worker of a training whose first worker is the task; it keeps neither checkpoints nor the network.

    Each worker finds the others in ``TF_CONFIG`` and reads the same lake. Raises BadSetting where nothing is trained on
    pixels: a head needs no second machine.
    """
    chosen = read_chosen(store, run, digest)
    plan = plan_training(store, read_manifest(store, digest), chosen, params, settings)
    if plan.job is None:
        raise BadSetting("a head alone needs no further worker: set --fine-tune-epochs, or CAT_NETWORK=scratch")
    pixels = load_pixels(store, plan.manifest, size=plan.job.image_size)
    fit(pixels, plan.manifest, plan.job, checkpoints=None)


def _train_on_pixels(
    store: ObjectStore,
    client: Mlflow,
    run: str,
    digest: str,
    made_from: str,
    plan: Plan,
    job: TrainingJob,
    settings: Settings,
) -> str:
    """Train epoch by epoch, with a checkpoint after each."""
    pixels = load_pixels(store, plan.manifest, size=job.image_size)
    checkpoints = Checkpoints(state_folder(settings, made_from, job))
    latest = checkpoints.latest()
    done = latest.history if latest else ()
    progress = Progress(store, layout.progress(run, "train"), total=job.epochs, unit="epochs", done=len(done))
    with training_run(client, run, digest, made_from=made_from, resume=latest is not None) as active:
        run_id = str(active.info.run_id)

        def on_epoch(epoch: int, losses: Mapping[str, float]) -> None:
            log_epoch(client, run_id, epoch, losses)
            progress.advance()

        for epoch, losses in enumerate(done):
            log_epoch(client, run_id, epoch, losses)  # a killed try may have saved an epoch that it did not send
        _autolog()
        _log_recipe(store, digest, settings, plan)
        if not latest:
            log_curves(client, run_id, plan.curves, prefix="head_")
        trained = fit(pixels, plan.manifest, job, checkpoints=checkpoints, on_epoch=on_epoch)
        checkpoints.confirm()
        _log_network(trained)
    checkpoints.clear()
    return run_id


def state_folder(settings: Settings, made_from: str, job: TrainingJob) -> Path:
    """Where the checkpoints of one training lie; ``job`` names the head that fine-tuning begins with."""
    return settings.home / "checkpoints" / json_sha256([made_from, job.name])[:32]


def _log_recipe(store: ObjectStore, digest: str, settings: Settings, plan: Plan) -> None:
    mlflow.log_params({f"recipe_{name}": value for name, value in settings.recipe.items()})
    if plan.head:
        mlflow.log_params(asdict(plan.chosen))
    log_validation(store, digest)


def _autolog() -> None:
    """MLflow logs optimizer, summary and TensorBoard's files by itself. The curves are ours (``log_epoch``): a killed
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
