"""The checks before a run: they take seconds, and tell what would otherwise end it after hours."""

import logging
import os

from include.errors import BadSetting
from include.lake.faults import place_of
from include.lake.lake_check import check_lake
from include.registry.registry_check import check_registry
from include.settings import Settings

log = logging.getLogger(__name__)


def check_places(settings: Settings) -> None:
    """The lake, the registry and Deepchecks' environment can be used. Raises BadSetting, Unusable or UnsafeStore."""
    check_validation_python(settings)
    check_lake(settings)
    check_registry(settings)
    log.info("the lake %s and MLflow at %s can be used", place_of(settings), settings.tracking_url)


def check_validation_python(settings: Settings) -> None:
    """Raises BadSetting where the data checks could not start."""
    python = settings.validation.python
    if not os.access(python, os.X_OK):
        raise BadSetting(
            f"CAT_VALIDATION__PYTHON={python} is no program: run make setup, or set it to the Python of an environment "
            "with include/validation/deepchecks_env/requirements.txt"
        )
