"""What the explanation is compared with: SHAP's partition explainer. shap is no dependency of the project.

Owen values over a tree of ever smaller regions, where a region is hidden behind the photo's blurred self (Lundberg &
Lee, NeurIPS 2017; Owen, 1977).
"""

import os

import numpy as np
from numpy.typing import NDArray

from bench.covering import Photo, blur, cover
from include.backbone.features import Graph
from include.evaluation.metrics import positive_log_odds
from include.registry.explanation import Explainer

os.environ.setdefault("NUMBA_DISABLE_JIT", "1")  # shap compiles for half a minute what runs in milliseconds
import shap  # noqa: E402  # it reads that while it is imported

BATCH = 32


def explain_by_partition(score: Graph, *, grid: int, evaluations: int) -> Explainer:
    """Photo -> what each of grid x grid regions adds to the log-odds of cat, from so many looks of the network."""

    def explain(photo: Photo) -> NDArray[np.float64]:
        explainer = shap.PartitionExplainer(lambda photos: positive_log_odds(score(photos)), _Regions(photo, grid))
        values = explainer(photo[None], max_evals=evaluations, batch_size=BATCH, silent=True).values
        return np.asarray(values, np.float64).reshape(grid, grid)

    return explain


class _Regions(shap.maskers.Masker):
    """Hides regions of one photo; what shap calls a masker."""

    immutable_outputs = True

    def __init__(self, photo: Photo, grid: int) -> None:
        self.grid, self.shape, self.blurred = grid, (1, grid * grid), blur(photo)
        self.clustering = shap.maskers.Image(0, shape=(grid, grid, 1)).clustering

    def mask_shapes(self, _: Photo) -> list[tuple[int, int]]:
        return [(self.grid, self.grid)]

    def __call__(self, mask: NDArray[np.bool_], photo: Photo) -> tuple[Photo]:
        return (cover(photo, self.blurred, ~mask.reshape(self.grid, self.grid))[None],)
