"""The loss and the metric of every network here, and the names of the two layers that each of them ends in."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

POOL, HEAD = "pool", "classes"  # every network ends in a pooled feature map and a linear layer
EXCLUDED = -1e9  # a logit that no softmax gives weight


@keras.saving.register_keras_serializable(package="cat")
def partial_label_loss(allowed: Any, logits: Any) -> Any:
    """-log of the probability of all classes that the label allows; float32, shape (batch,).

    ``allowed`` is 1 for each class that a photo may have, shape (batch, classes). With one allowed class this is
    cross-entropy; with a user's "no" it is -log(1 - P(positive)) (partial labels, Cour et al., JMLR 2011).
    """
    inside = ops.where(allowed > 0, logits, EXCLUDED)
    return ops.logsumexp(logits, axis=-1) - ops.logsumexp(inside, axis=-1)


@keras.saving.register_keras_serializable(package="cat")
class PositiveAveragePrecision(keras.metrics.AUC):
    """Area under the precision-recall curve of P(positive), the sum over the ``positive`` classes."""

    def __init__(self, positive: Sequence[int] = (0,), name: str = "average_precision", **options: Any) -> None:
        super().__init__(name=name, **({"curve": "PR"} | options))
        self.positive = list(positive)

    def update_state(self, allowed: Any, logits: Any, sample_weight: Any = None) -> None:
        probability = ops.sum(ops.take(ops.softmax(logits), self.positive, axis=1), axis=1)
        super().update_state(ops.take(allowed, self.positive[0], axis=1), probability, sample_weight)
