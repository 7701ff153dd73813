"""Perceptual hashes of 64 bits, for all eight orientations of a photo: rotated, mirrored, or both.

The hash is that of the library imagehash (``phash``): for each of the 8 x 8 lowest DCT coefficients of the photo at
32 x 32 pixels, whether it exceeds their median. One DCT gives all eight orientations: a mirror image changes the signs
of coefficients, a transpose swaps the axes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32  # pixels
LOW = 8  # frequencies of each axis
ORIENTATIONS = 8  # four mirror images, and the same after a transpose
CENTRE_CROPS = (1.0, 0.92, 0.84)  # the whole photo, and two crops: their sides as shares of the photo's
DOUBT = 0.08  # below this margin two orientations may both be the upright one (docs/adr/0013)

_FREQUENCY, _PIXEL = np.arange(LOW)[:, None], np.arange(SIDE)[None]
_COSINES = np.cos(np.pi * _FREQUENCY * (2 * _PIXEL + 1) / (2 * SIDE))
_ODD = (-1.0) ** np.arange(LOW)
_FLIPS = np.stack([np.outer(rows, columns) for rows in (_ODD**0, _ODD) for columns in (_ODD**0, _ODD)])
_UPPER = np.triu_indices(LOW, 1)


class Hashes(NamedTuple):
    """``codes``: uint8 (crops, orientations, 8), the hashes. ``upright``: bool (crops, orientations), whether an
    orientation may be the upright one, as ``_upright`` defines it.
    """

    codes: NDArray[np.uint8]
    upright: NDArray[np.bool_]


def perceptual_hashes(grey: Image.Image) -> Hashes:
    """The hashes of a greyscale photo and of its centre crops, each in all eight orientations."""
    pixels = np.stack([_resize_crop(grey, share) for share in CENTRE_CROPS])
    low = _COSINES @ pixels @ _COSINES.T
    oriented = np.concatenate([low[:, None] * _FLIPS, low.swapaxes(1, 2)[:, None] * _FLIPS], axis=1)
    flat = oriented.reshape(len(CENTRE_CROPS), ORIENTATIONS, LOW * LOW)
    return Hashes(np.packbits(flat > np.median(flat, axis=2, keepdims=True), axis=2), _upright(oriented))


def turn(pictures: NDArray, number: NDArray[np.int64]) -> NDArray:
    """Square images (n, size, size), each brought into its orientation ``number`` (n,), 0 to 7 as in ``Hashes``."""
    per_image = (slice(None), None, None)
    turned = np.where((number >= 4)[per_image], pictures.swapaxes(1, 2), pictures)
    turned = np.where((number // 2 % 2 == 1)[per_image], turned[:, ::-1], turned)
    return np.where((number % 2 == 1)[per_image], turned[:, :, ::-1], turned)


def _resize_crop(grey: Image.Image, share: float) -> NDArray[np.float64]:
    left, top = (length * (1 - share) / 2 for length in grey.size)
    box = (left, top, grey.width - left, grey.height - top)
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box), np.float64)


def _upright(oriented: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The orientations in which a photo is lighter at the top and on the left, with more detail across than down.

    Near-duplicates agree on this in any orientation, so one comparison replaces eight. Where one of the three
    differences is within DOUBT of zero, both orientations count as upright.
    """
    coefficients = oriented.copy()
    coefficients[..., 0, 0] = 0
    norm = np.sqrt((coefficients**2).sum((-2, -1))) + 1e-9
    magnitude = np.abs(coefficients)
    difference = (magnitude[..., *_UPPER] - magnitude.swapaxes(-1, -2)[..., *_UPPER]).sum(-1)
    detail = difference / (magnitude.sum((-2, -1)) + 1e-9)
    light = np.minimum(coefficients[..., 0, 1], coefficients[..., 1, 0]) / norm
    return np.asarray(np.minimum(light, detail) > -DOUBT)
