"""What a photo looks like in 64 bits, whichever way it is turned: perceptual hashes under all eight symmetries.

The hash is that of the library imagehash (``phash``): the signs of the lowest 8 x 8 cosine frequencies of the photo at
32 x 32, against their median. One transform gives all eight: a mirror changes signs, a transpose swaps the axes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 32
LOW = 8
ORIENTATIONS = 8  # four flips, and the same after a transpose
CENTRE_CROPS = (1.0, 0.92, 0.84)  # the whole photo, and its middle as a crop would leave it: sides as shares
DOUBT = 0.08  # how far from even a photo must be for its upright turn to be sure (docs/adr/0013)

_FREQUENCY, _PLACE = np.arange(LOW)[:, None], np.arange(SIDE)[None]
_COSINES = np.cos(np.pi * _FREQUENCY * (2 * _PLACE + 1) / (2 * SIDE))
_ODD = (-1.0) ** np.arange(LOW)
_FLIPS = np.stack([np.outer(rows, columns) for rows in (_ODD**0, _ODD) for columns in (_ODD**0, _ODD)])
_UPPER = np.triu_indices(LOW, 1)


class Hashes(NamedTuple):
    """``codes``: uint8 (middles, turns, 8). ``upright``: bool (middles, turns), which may be the upright turn."""

    codes: NDArray[np.uint8]
    upright: NDArray[np.bool_]


def perceptual_hashes(grey: Image.Image) -> Hashes:
    """The hashes of a grey photo and of its middles, each in all eight turns."""
    pixels = np.stack([_squeeze(grey, share) for share in CENTRE_CROPS])
    low = _COSINES @ pixels @ _COSINES.T
    turned = np.concatenate([low[:, None] * _FLIPS, low.swapaxes(1, 2)[:, None] * _FLIPS], axis=1)
    flat = turned.reshape(len(CENTRE_CROPS), ORIENTATIONS, LOW * LOW)
    return Hashes(np.packbits(flat > np.median(flat, axis=2, keepdims=True), axis=2), _upright(turned))


def turn(pictures: NDArray, number: NDArray[np.int64]) -> NDArray:
    """Each square picture, shape (n, side, side), in its turn 0 to 7: the pixels whose hash is ``codes[number]``."""
    several = (slice(None), None, None)
    turned = np.where((number >= 4)[several], pictures.swapaxes(1, 2), pictures)
    turned = np.where((number // 2 % 2 == 1)[several], turned[:, ::-1], turned)
    return np.where((number % 2 == 1)[several], turned[:, :, ::-1], turned)


def _squeeze(grey: Image.Image, share: float) -> NDArray[np.float64]:
    across, down = (side * (1 - share) / 2 for side in grey.size)
    box = (across, down, grey.width - across, grey.height - down)
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.LANCZOS, box=box), np.float64)


def _upright(turned: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The turns in which a photo is lighter above and on the left, and has more detail across than down.

    Near-duplicates agree on it, whichever way they are turned, so that one comparison does for eight. Where a
    photo is nearly even in one of the three, both turns are named.
    """
    waves = turned.copy()
    waves[..., 0, 0] = 0
    norm = np.sqrt((waves**2).sum((-2, -1))) + 1e-9
    size = np.abs(waves)
    detail = (size[..., *_UPPER] - size.swapaxes(-1, -2)[..., *_UPPER]).sum(-1) / (size.sum((-2, -1)) + 1e-9)
    return np.asarray(np.minimum(np.minimum(waves[..., 0, 1], waves[..., 1, 0]) / norm, detail) > -DOUBT)
