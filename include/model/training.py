"""The task that trains on a dataset version, and leaves the network in MLflow."""

import logging
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import keras
import mlflow
import pandas as pd

from include.backbone import VERSION, architecture
from include.data.dataset import read_manifest
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.progress import Progress
from include.model import distribution, feeding, fitting, jobs, network, resuming
from include.model import head as head_module
from include.model.checkpoints import Checkpoints, fingerprint
from include.model.examples import load_train_and_val
from include.model.fitting import fit
from include.model.head import fit_head, join
from include.model.hyperparameters import Hyperparameters, chosen_for
from include.model.jobs import TrainingJob, fine_tuning, from_scratch
from include.model.pixels import load_pixels
from include.model.tracking import attempt, finished_attempt, log_curves, log_epoch, log_validation
from include.records import RetrainParams
from include.settings import Settings

log = logging.getLogger(__name__)

NETWORK_FILE = "network/network.keras"  # inside the MLflow run
CODE = (architecture, network, head_module, jobs, feeding, distribution, resuming, fitting)
Curves = list[Mapping[str, float]]  # the losses of each epoch


@dataclass(frozen=True)
class Plan:
    """What a run trains on which photos: ``job`` on pixels, or the ``head`` alone; both when fine-tuning follows."""

    manifest: pd.DataFrame
    job: TrainingJob | None
    head: keras.Model | None = None
    curves: Curves = field(default_factory=list)
    chosen: Hyperparameters = Hyperparameters()


def train(store: ObjectStore, run: str, digest: str, params: RetrainParams) -> str:
    """Task: train on one dataset version; returns the id of the MLflow run that holds the network and its curves.

    A try that comes after a finished one returns what that one left. What is trained on pixels goes on from its last
    epoch; a head is fitted anew, in seconds. Raises AttemptSuperseded when a later try has taken over.
    """
    if done := finished_attempt(run, digest):
        log.info("MLflow run %s has trained this already", done)
        return done
    settings = Settings()
    plan = plan_training(store, run, read_manifest(store, digest), params, settings)
    if plan.job:
        return _train_on_pixels(store, run, digest, plan, plan.job, settings)
    with attempt(run, digest) as active:
        _log_recipe(store, digest, settings, plan)
        log_curves(active.info.run_id, plan.curves)
        _log_network(join(plan.head))
    return str(active.info.run_id)


def plan_training(
    store: ObjectStore, run: str, manifest: pd.DataFrame, params: RetrainParams, settings: Settings
) -> Plan:
    """What the settings and params ask for; a head is fitted already, for that takes seconds."""
    if settings.network == "scratch":
        return Plan(manifest, from_scratch(settings, epochs=params.epochs))
    chosen = chosen_for(store, run)
    head, curves = fit_default_head(store, manifest, chosen, settings, epochs=params.epochs)
    job = fine_tuning(head, settings, epochs=params.fine_tune_epochs) if params.fine_tune_epochs else None
    return Plan(manifest, job, head, curves, chosen)


def fit_default_head(
    store: ObjectStore, manifest: pd.DataFrame, chosen: Hyperparameters, settings: Settings, *, epochs: int
) -> tuple[keras.Model, Curves]:
    """The head of the dataset version, fitted on its train side and stopped by its val side; and its losses."""
    train, val = load_train_and_val(store, manifest, settings.feature_cache)
    curves: Curves = []

    def keep(epoch: int, losses: Mapping[str, float]) -> None:
        curves.append(dict(losses))
        log.info("epoch %d: %s", epoch + 1, ", ".join(f"{name} {value:.4f}" for name, value in losses.items()))

    penalty, seed = settings.l2_penalty, settings.seed
    return fit_head(train, val, chosen, l2_penalty=penalty, epochs=epochs, seed=seed, on_epoch=keep), curves


def _train_on_pixels(
    store: ObjectStore, run: str, digest: str, plan: Plan, job: TrainingJob, settings: Settings
) -> str:
    """Train epoch by epoch, and keep each."""
    pixels = load_pixels(store, plan.manifest, size=job.image_size)
    checkpoints = Checkpoints(state_folder(settings, digest, plan.chosen, job))
    begun = checkpoints.latest()
    done = begun.history if begun else ()
    progress = Progress(store, layout.progress(run, "train"), total=job.epochs, unit="epochs", done=len(done))
    with attempt(run, digest, resume=begun is not None) as active:

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
    return settings.home / "checkpoints" / fingerprint(parts, ("keras", "tensorflow"), CODE)


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
