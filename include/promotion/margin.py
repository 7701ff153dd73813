"""By how much a challenger may be worse: the margin of the gate, and the test split that it needs."""

import logging

from include.errors import DatasetError
from include.lake.base import ObjectStore
from include.promotion.differences import ENOUGH, PER
from include.promotion.gate_photos import list_test_photos
from include.settings import Network, Settings

log = logging.getLogger(__name__)

STANDARD_ERRORS = 4  # in a margin, of the difference to an equal challenger: nearly all of these pass (docs/gate.md)
# The standard deviation, over photos, of the difference in squared error between two models that are about equally good
# but learned from different photos: docs/gate.md.
SPREAD: dict[Network, float] = {"efficientnet_lite0": 0.03, "scratch": 0.2}
LARGE = 50  # sure errors per 1,000 photos: with such a margin "not worse" says little


def margin_for(photos: int, settings: Settings) -> float:
    """In sure errors per 1,000 photos: the setting, else the smallest that this many test photos can hold."""
    return settings.gate.margin or smallest_margin(photos, settings)


def smallest_margin(photos: int, settings: Settings) -> float:
    """The margin that this many test photos hold well."""
    return STANDARD_ERRORS * expected_error(photos, settings)


def expected_error(photos: int, settings: Settings) -> float:
    """The standard error of the difference to an equal challenger, in sure errors per 1,000 photos."""
    return float(PER * SPREAD[settings.network] / max(1, photos) ** 0.5)


def photos_needed(margin: float, settings: Settings) -> int:
    """How many test photos hold this margin well."""
    return round((STANDARD_ERRORS * PER * SPREAD[settings.network] / margin) ** 2)


def check_test_split(store: ObjectStore, run: str, settings: Settings) -> float:
    """The margin of the run, before anything is trained. Raises DatasetError where its test split is too small for it.

    An equal challenger would be refused by chance alone too often.
    """
    photos = len(list_test_photos(store, run))
    margin = margin_for(photos, settings)
    about = f"the gate's margin is {margin:.1f} sure errors per 1,000 photos, the lake has {photos:,} test photos"
    if margin < ENOUGH * expected_error(photos, settings):
        needed, smallest = photos_needed(margin, settings), smallest_margin(photos, settings)
        cure = f"ingest more base photos, or set CAT_GATE__MARGIN to {smallest:.1f}, or leave it empty"
        raise DatasetError(f"{about}, and needs {needed:,}: {cure}")
    if margin > LARGE:
        log.warning("%s: too few to tell much about a model; ingest more base photos", about)
    else:
        log.info("%s", about)
    return margin
