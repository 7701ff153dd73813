"""A training whose loss is not finite ends at once, and leaves nothing that a later try would resume."""

from pathlib import Path

import numpy as np
import pytest

from include.errors import InputError, TrainingDiverged
from include.training.callbacks import CheckpointCallback, check_finite
from include.training.checkpoints import Checkpoint, Checkpoints


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_names_epoch_and_cure(loss: float) -> None:
    with pytest.raises(TrainingDiverged, match=r"epoch 3 .*lower CAT_LEARNING_RATE") as error:
        check_finite({"loss": 0.3, "val_loss": loss}, epoch=3, cure="lower CAT_LEARNING_RATE")
    assert isinstance(error.value, InputError)  # a retry would diverge again


def test_other_metrics_may_be_undefined() -> None:
    check_finite({"loss": 0.3, "val_average_precision": float("nan")}, epoch=1, cure="")


class Network:
    """Evaluates to one loss after another."""

    def __init__(self, *losses: float) -> None:
        self.losses = list(losses)

    def evaluate(self, *_: object, **__: object) -> dict[str, float]:
        return {"loss": self.losses.pop(0)}


def test_a_diverged_training_leaves_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    first = ({"loss": 0.5, "val_loss": 0.5},)
    checkpoints.save(Checkpoint([np.zeros(2)], [np.zeros(2)], first), best=1)
    callback = CheckpointCallback(checkpoints, None, epochs=4, history=first, cure="lower it")
    callback.set_model(Network(float("nan")))
    with pytest.raises(TrainingDiverged, match="epoch 2"):
        callback.on_epoch_end(1, {"loss": 0.4})
    assert checkpoints.latest() is None
    assert Checkpoints(tmp_path).latest() is None
