"""What tuning may change of the network and its training, in one record that travels as JSON."""

from dataclasses import dataclass
from typing import Self

from include.records import JsonRecord
from include.settings import Settings


@dataclass(frozen=True)
class Hyperparameters(JsonRecord):
    """``filters`` and ``blocks`` are of the network from scratch; the others are of both networks.

    ``learning_rate`` is the highest one; it is reached after ``warm_up`` of all steps. ``augmentation`` is how far
    photos are changed: 0 leaves them as they are, 1 is the usual strength.
    """

    learning_rate: float
    filters: tuple[int, ...] = (32, 64, 128, 192)
    blocks: tuple[int, ...] = (2, 2, 1, 1)
    dropout: float = 0.3
    weight_decay: float = 0.02
    warm_up: float = 0.08
    augmentation: float = 1.0

    def __post_init__(self) -> None:
        for name in ("filters", "blocks"):  # JSON knows lists only
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Those that are used where nothing was tuned."""
        return cls(learning_rate=settings.learning_rate)
