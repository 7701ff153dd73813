"""By how much a challenger may be worse: the margin of the gate, and the test split that it needs."""

import logging
from bisect import bisect_left

import numpy as np
from scipy.stats import norm

from include.errors import DatasetError
from include.lake.base import ObjectStore
from include.promotion.differences import PER, REACH, SELDOM, padding_error
from include.promotion.gate_photos import list_test_photos
from include.settings import Network, Settings

log = logging.getLogger(__name__)

# The standard deviation, over photos, of the difference in squared error between two models that are about equally good
# but learned from different photos: docs/gate.md. Of `scratch`: from `python -m bench.gate --scratch 1 2`.
SPREAD: dict[Network, float] = {"efficientnet_lite0": 0.022, "scratch": 0.12}
MOST = 10**9  # photos that a split may need
LARGE = 50  # sure errors per 1,000 photos: with such a margin "not worse" says little
OFTEN = 0.98  # how often an equal challenger passes by the default margin


def margin_for(photos: int, settings: Settings) -> float:
    """In sure errors per 1,000 photos: the setting, else the smallest that this many test photos can hold."""
    return settings.gate.margin or smallest_margin(photos, settings)


def smallest_margin(photos: int, settings: Settings, *, passes: float = OFTEN) -> float:
    """The margin by which an equal challenger passes so often: four standard errors of the difference, or more.

    It must exceed what the interval reaches, and what chance does to the difference.
    """
    spread = float(PER * SPREAD[settings.network] / max(1, photos) ** 0.5)
    reach = REACH * float(np.hypot(spread, padding_error(photos)))
    return reach + float(norm.ppf(passes)) * spread


def photos_needed(margin: float, settings: Settings) -> int:
    """How many test photos make this margin large enough."""
    return bisect_left(range(MOST), True, key=lambda photos: smallest_margin(photos, settings, passes=SELDOM) <= margin)


def check_test_split(store: ObjectStore, run: str, settings: Settings) -> float:
    """The margin of the run, before anything is trained. Raises DatasetError where its test split is too small for it.

    An equal challenger would be refused by chance alone too often.
    """
    photos = len(list_test_photos(store, run))
    margin = margin_for(photos, settings)
    about = f"the gate's margin is {margin:.1f} sure errors per 1,000 photos, the lake has {photos:,} test photos"
    if margin < smallest_margin(photos, settings, passes=SELDOM):
        needed, smallest = photos_needed(margin, settings), smallest_margin(photos, settings)
        cure = f"ingest more base photos, or set CAT_GATE__MARGIN to {smallest:.1f}, or leave it empty"
        raise DatasetError(f"{about}, and needs {needed:,}: {cure}")
    if margin > LARGE:
        log.warning("%s: too few to tell much about a model; ingest more base photos", about)
    else:
        log.info("%s", about)
    return margin
