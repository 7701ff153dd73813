"""Waiting for what another process does in its own time."""

import time
from collections.abc import Callable
from typing import Any


def until(holds: Callable[[], Any], *, within: float = 90) -> Any:
    """Poll until something holds; the limit only ends a test that would never end."""
    end = time.monotonic() + within
    while not (found := holds()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)
    return found
