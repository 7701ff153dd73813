"""What is trained on pixels, epoch by epoch: a network from scratch, or the backbone's upper blocks."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import keras

from include.backbone import SIZE
from include.backbone.architecture import UPPER
from include.model.head import join
from include.model.network import build_network
from include.settings import Settings

FINE_TUNE_RATE = 1e-4  # small steps: the upper blocks know much already
FINE_TUNE_BATCH = 32


@dataclass(frozen=True)
class TrainingJob:
    """``build`` gives the network as training begins. ``learning_rate`` is the highest one; it is reached after
    ``warm_up`` of all steps. ``augmentation`` is how far photos are changed: 0 leaves them as they are.
    """

    name: str
    build: Callable[[], keras.Model]
    image_size: int
    batch_size: int
    learning_rate: float
    epochs: int
    seed: int
    weight_decay: float = 0.02
    warm_up: float = 0.08
    augmentation: float = 1.0


def from_scratch(settings: Settings, *, epochs: int) -> TrainingJob:
    """The original's way: a small network that learns from the photos alone."""

    def build() -> keras.Model:
        keras.utils.set_random_seed(settings.seed)
        return build_network(image_size=settings.image_size)

    sizes = settings.image_size, settings.batch_size
    return TrainingJob("scratch", build, *sizes, settings.learning_rate, epochs, settings.seed)


def fine_tuning(head: keras.Model, settings: Settings, *, epochs: int) -> TrainingJob:
    """The backbone's last five blocks and the fitted head, together; the lower blocks stay as they are."""

    def build() -> keras.Model:
        network = join(head)
        trains = False
        for layer in network.layers:
            trains = trains or layer.name.startswith(UPPER)
            layer.trainable = trains
        return network

    weights = b"".join(values.tobytes() for values in head.get_weights())
    name = f"fine_tuning of {hashlib.sha256(weights).hexdigest()}"  # no checkpoint of another head is gone on from
    return TrainingJob(name, build, SIZE, FINE_TUNE_BATCH, FINE_TUNE_RATE, epochs, settings.seed)
