"""The loss and the metric of every network here, and the names of the two layers that each of them ends in."""

from typing import Any

import keras
from keras import ops

from include.records import CAT

POOL, HEAD = "pool", "kinds"  # the last two kinds of layers of every network: pooled feature map, then linear
OUTSIDE = -1e9  # a logit that no softmax gives weight


@keras.saving.register_keras_serializable(package="cat")
def partial_label_loss(allowed: Any, logits: Any) -> Any:
    """-log of the probability of all kinds that the label allows; float32, shape (batch,).

    ``allowed`` is 1 for each kind that a photo may be, shape (batch, kinds). With one allowed kind this is
    cross-entropy; with a user's "not a cat" it is -log(1 - P(cat)) (partial labels, Cour et al., JMLR 2011).
    """
    inside = ops.where(allowed > 0, logits, OUTSIDE)
    return ops.logsumexp(logits, axis=-1) - ops.logsumexp(inside, axis=-1)


@keras.saving.register_keras_serializable(package="cat")
class PositiveAveragePrecision(keras.metrics.AUC):
    """Area under the precision-recall curve of P(cat)."""

    def __init__(self, name: str = "average_precision", **options: Any) -> None:
        super().__init__(name=name, **({"curve": "PR"} | options))

    def update_state(self, allowed: Any, logits: Any, sample_weight: Any = None) -> None:
        super().update_state(allowed[:, CAT], ops.softmax(logits)[:, CAT], sample_weight)
