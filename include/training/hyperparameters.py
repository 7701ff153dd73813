"""What tuning may change of the head's training, in one record that travels as JSON."""

from dataclasses import dataclass

from include.lake import layout
from include.lake.base import ObjectStore
from include.records import JsonRecord


@dataclass(frozen=True)
class Hyperparameters(JsonRecord):
    """The defaults are used where nothing else is better by more than a standard error.

    ``positive_weight`` is the weight of a positive photo; a negative one weighs 1.
    """

    learning_rate: float = 1e-2
    batch_size: int = 256
    label_smoothing: float = 0.0
    input_dropout: float = 0.0
    positive_weight: float = 1.0


def read_chosen(store: ObjectStore, run: str) -> Hyperparameters:
    """What the task `tune` chose for this run; the defaults where it did not run."""
    key = layout.run_hyperparameters(run)
    return Hyperparameters.from_json(store.read(key)) if store.exists(key) else Hyperparameters()
