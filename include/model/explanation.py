"""Why a photo is called a cat: SHAP values of its regions, and a heat map laid over it.

shap's partition explainer: Owen values over a tree of ever smaller regions, where a
region is hidden behind the photo's blurred self (Lundberg & Lee, NeurIPS 2017; Owen, 1977).
"""

import base64
import io

import numba
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.special import logsumexp

from include.model.scoring import Scorer
from include.records import CAT

# shap compiles for half a minute what runs over 64 regions in milliseconds (numba makes its settings as it starts)
setattr(numba.config, "DISABLE_JIT", True)  # noqa: B010

import shap  # noqa: E402  # it reads that while it is imported

GRID = 8  # regions along each side
EVALUATIONS = 512  # looks of the network at one photo
BATCH = 32  # always as many photos at once, so that no batch has a shape of its own to prepare
BLUR = 1 / 6  # how far the blur of a hidden region reaches, as a share of the side: beyond the region itself
SIDE = 384  # the longer side of the picture, in pixels
FOR_CAT, AGAINST = np.array([214, 39, 40]), np.array([31, 119, 180])
STRENGTH = 0.7  # how much of the photo the strongest colour hides


def explain(scorer: Scorer, photo: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much each region adds to the log-odds of "cat": float64, shape (GRID, GRID); the photo is (size, size, 3)."""
    explainer = shap.PartitionExplainer(lambda photos: _log_odds(scorer, photos), _Regions(photo))
    found = explainer(photo[None], max_evals=EVALUATIONS, batch_size=BATCH, silent=True)
    return np.asarray(found.values, np.float64).reshape(GRID, GRID)


def cover(photo: NDArray[np.uint8], shown: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The photo with blur over all regions but those ``shown``, bool (GRID, GRID)."""
    return np.where(_spread(shown, len(photo)), photo, _blur(photo))


def lay_over(photo: Image.Image, heat: NDArray[np.float64]) -> str:
    """The photo in grey, red where a region speaks for a cat and blue where against: a PNG as base64."""
    small = photo.copy()
    small.thumbnail((SIDE, SIDE))
    scaled = Image.fromarray((heat / max(np.abs(heat).max(), 1e-12)).astype(np.float32))
    warmth = np.clip(np.asarray(scaled.resize(small.size, Image.Resampling.BICUBIC)), -1, 1)[..., None]
    veil = STRENGTH * np.abs(warmth)
    grey = np.asarray(small.convert("L"), float)[..., None]
    mixed = (1 - veil) * grey + veil * np.where(warmth > 0, FOR_CAT, AGAINST)
    file = io.BytesIO()
    Image.fromarray(mixed.round().astype(np.uint8)).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


class _Regions(shap.maskers.Masker):
    """Hides regions of one photo; what shap calls a masker."""

    immutable_outputs = True

    def __init__(self, photo: NDArray[np.uint8]) -> None:
        self.shape = (1, GRID * GRID)
        self.clustering = shap.maskers.Image(0, shape=(GRID, GRID, 1)).clustering
        self._blurred = _blur(photo)

    def mask_shapes(self, _: NDArray[np.uint8]) -> list[tuple[int, int]]:
        return [(GRID, GRID)]

    def __call__(self, mask: NDArray[np.bool_], photo: NDArray[np.uint8]) -> tuple[NDArray[np.uint8]]:
        shown = _spread(mask.reshape(GRID, GRID), len(photo))
        return (np.where(shown, photo, self._blurred)[None],)


def _spread(regions: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """One value per region -> one per pixel, (size, size, 1)."""
    place = np.arange(size) * GRID // size
    return np.asarray(regions[np.ix_(place, place)][..., None])


def _blur(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    reach = max(1, round(BLUR * len(photo)))
    return np.asarray(Image.fromarray(photo).filter(ImageFilter.BoxBlur(reach)))


def _log_odds(scorer: Scorer, photos: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of "cat" against all other kinds, shape (photos,)."""
    batch = np.zeros((BATCH, *photos.shape[1:]), np.uint8)
    batch[: len(photos)] = photos
    logits = np.asarray(scorer(batch), np.float64)[: len(photos)]
    return np.asarray(logits[:, CAT] - logsumexp(np.delete(logits, CAT, axis=1), axis=1))
