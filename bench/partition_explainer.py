"""SHAP's partition explainer, which the product's explanation is compared with. The project does not depend on shap.

Owen values over a tree of ever smaller regions, where a region is hidden behind the photo's blurred self (Lundberg &
Lee, NeurIPS 2017; Owen, 1977).
"""

import os

import numpy as np
from numpy.typing import NDArray

from bench.occlusion import Photo, blur, occlude
from bench.question import QUESTION
from bench.shares import Explainer
from include.backbone.features import Graph
from include.evaluation.metrics import positive_log_odds

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # shap would compile for half a minute what runs in milliseconds
import shap  # noqa: E402  # its import reads that variable

BATCH = 32


def explain_by_partition(score: Graph, *, grid: int, evaluations: int) -> Explainer:
    """The function from a photo to what each of grid x grid regions adds to the log-odds of cat.

    It runs the network at most ``evaluations`` times.
    """

    def log_odds(photos: NDArray[np.uint8]) -> NDArray[np.float64]:
        return positive_log_odds(score(photos), QUESTION.positive_classes)

    def explain(photo: Photo) -> NDArray[np.float64]:
        explainer = shap.PartitionExplainer(log_odds, _Regions(photo, grid))
        values = explainer(photo[None], max_evals=evaluations, batch_size=BATCH, silent=True).values
        return np.asarray(values, np.float64).reshape(grid, grid)

    return explain


class _Regions(shap.maskers.Masker):
    """Hides regions of one photo: a masker, as shap calls it."""

    immutable_outputs = True

    def __init__(self, photo: Photo, grid: int) -> None:
        self.grid, self.shape, self.blurred = grid, (1, grid * grid), blur(photo)
        self.clustering = shap.maskers.Image(0, shape=(grid, grid, 1)).clustering

    def mask_shapes(self, _: Photo) -> list[tuple[int, int]]:
        return [(self.grid, self.grid)]

    def __call__(self, mask: NDArray[np.bool_], photo: Photo) -> tuple[Photo]:
        return (occlude(photo, self.blurred, ~mask.reshape(self.grid, self.grid))[None],)
