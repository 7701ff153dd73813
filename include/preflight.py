"""The checks before a run: they take seconds, and tell what would otherwise end it after hours."""

import logging

from include.lake.faults import place_of
from include.lake.lake_check import check_lake
from include.registry.registry_check import check_registry
from include.settings import Settings

log = logging.getLogger(__name__)


def check_places(settings: Settings) -> None:
    """The lake and the registry can be used. Raises Unusable or UnsafeStore."""
    check_lake(settings)
    check_registry(settings)
    log.info("the lake %s and MLflow at %s can be used", place_of(settings), settings.tracking_url)
