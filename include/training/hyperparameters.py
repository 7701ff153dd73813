"""What tuning may change of the head's training, in one record that travels as JSON."""

from dataclasses import asdict, dataclass

from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, write_json
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


def keep_chosen(store: ObjectStore, run: str, digest: str, chosen: Hyperparameters) -> None:
    """Keep what was chosen on the dataset version ``digest``."""
    write_json(store, layout.run_hyperparameters(run), {"dataset": digest, "hyperparameters": asdict(chosen)})


def read_chosen(store: ObjectStore, run: str, digest: str) -> Hyperparameters:
    """What the task `tune` chose for this run and dataset version; the defaults where it did not run.

    Raises DatasetError where it chose on another version.
    """
    key = layout.run_hyperparameters(run)
    if not store.exists(key):
        return Hyperparameters()
    kept = read_json(store, key)
    if kept.get("dataset") != digest:
        raise DatasetError(f"{key} was chosen on dataset {kept.get('dataset')}, not {digest}: clear the task tune")
    return Hyperparameters(**kept["hyperparameters"])
