"""What a run trains: a head on the embeddings; on pixels, a network from scratch or the backbone's upper blocks."""

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras
import pandas as pd

from include.backbone import SIZE
from include.backbone.architecture import UPPER
from include.dataset.examples import load_train_and_val
from include.lake.base import ObjectStore
from include.params import RetrainParams
from include.question import Question
from include.settings import Settings
from include.training.callbacks import check_finite
from include.training.head import build_served_network, fit_head
from include.training.hyperparameters import Hyperparameters
from include.training.scratch_network import build_network

log = logging.getLogger(__name__)

Curves = list[Mapping[str, float]]  # the losses of each epoch

FINE_TUNE_RATE = 1e-4  # small steps: the upper blocks know much already
FINE_TUNE_BATCH = 32


@dataclass(frozen=True)
class TrainingJob:
    """Training on pixels. ``build`` returns the network with its first weights.

    ``learning_rate`` is the peak, reached after the share ``warm_up`` of all steps. ``augmentation`` is how far photos
    are changed: 0 leaves them as they are.
    """

    name: str
    build: Callable[[], keras.Model]
    question: Question
    image_size: int
    batch_size: int
    learning_rate: float
    epochs: int
    seed: int
    weight_decay: float = 0.02
    warm_up: float = 0.08
    augmentation: float = 1.0
    cure: str = "lower CAT_LEARNING_RATE"  # of a training that diverges


def from_scratch(settings: Settings, *, epochs: int) -> TrainingJob:
    """The original's way: a small network that learns from the photos alone."""

    def build() -> keras.Model:
        keras.utils.set_random_seed(settings.seed)
        return build_network(image_size=settings.image_size, classes=len(settings.question.sources))

    sizes = settings.image_size, settings.batch_size
    return TrainingJob("scratch", build, settings.question, *sizes, settings.learning_rate, epochs, settings.seed)


def fine_tuning(head: keras.Model, settings: Settings, *, epochs: int) -> TrainingJob:
    """The backbone's last five blocks and the fitted head, together; the lower blocks stay frozen."""

    def build() -> keras.Model:
        network = build_served_network(head)
        trainable = False
        for layer in network.layers:
            trainable = trainable or layer.name.startswith(UPPER)
            layer.trainable = trainable
        return network

    weights = b"".join(values.tobytes() for values in head.get_weights())
    name = f"fine_tuning of {hashlib.sha256(weights).hexdigest()}"  # another head resumes no checkpoint of this one
    sizes, cure = (SIZE, FINE_TUNE_BATCH), "set the param fine_tune_epochs to 0"
    return TrainingJob(name, build, settings.question, *sizes, FINE_TUNE_RATE, epochs, settings.seed, cure=cure)


@dataclass(frozen=True)
class Plan:
    """What a run trains on which photos: ``job`` on pixels, or the ``head`` alone; both when fine-tuning follows."""

    manifest: pd.DataFrame
    job: TrainingJob | None
    head: keras.Model | None = None
    curves: Curves = field(default_factory=list)
    chosen: Hyperparameters = Hyperparameters()


def plan_training(
    store: ObjectStore, manifest: pd.DataFrame, chosen: Hyperparameters, params: RetrainParams, settings: Settings
) -> Plan:
    """What the settings and params ask for; a head is fitted here already, for that takes seconds."""
    if settings.network == "scratch":
        return Plan(manifest, from_scratch(settings, epochs=params.epochs))
    head, curves = fit_default_head(store, manifest, chosen, settings, epochs=params.epochs)
    job = fine_tuning(head, settings, epochs=params.fine_tune_epochs) if params.fine_tune_epochs else None
    return Plan(manifest, job, head, curves, chosen)


def fit_default_head(
    store: ObjectStore, manifest: pd.DataFrame, chosen: Hyperparameters, settings: Settings, *, epochs: int
) -> tuple[keras.Model, Curves]:
    """The head of the dataset version, fitted on its train split and stopped by its val split; and its losses."""
    train, val = load_train_and_val(store, manifest, settings.question, settings.embedding_cache)
    curves: Curves = []

    def keep(epoch: int, losses: Mapping[str, float]) -> None:
        check_finite(losses, epoch=epoch + 1, cure="lower CAT_L2_PENALTY")
        curves.append(dict(losses))
        log.info("epoch %d: %s", epoch + 1, ", ".join(f"{name} {value:.4f}" for name, value in losses.items()))

    penalty, seed = settings.l2_penalty, settings.seed
    return fit_head(train, val, chosen, l2_penalty=penalty, epochs=epochs, seed=seed, on_epoch=keep), curves
