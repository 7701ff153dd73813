"""Progress of a long task: a line in its log, and an object in the lake that the demo reads."""

import logging
import time

from include.lake.base import ObjectStore
from include.lake.formats import write_json

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds


class Progress:
    """Counts finished units; the object under ``key`` is {"done": int, "total": int, "unit": str}.

    The object is written at once, because an earlier try of the task may have left one. An error while writing fails
    the task, like any other write to the lake.
    """

    def __init__(self, store: ObjectStore, key: str, *, total: int, unit: str, done: int = 0) -> None:
        self.store, self.key, self.unit = store, key, unit
        self.done, self.total = done, total
        self._write()

    def advance(self, count: int = 1) -> None:
        """Count ``count`` more units as done; log and write at most every INTERVAL seconds, and at the end."""
        self.done += count
        if self.done >= self.total or time.monotonic() - self._written >= INTERVAL:
            self._write()

    def _write(self) -> None:
        log.info("%d of %d %s", self.done, self.total, self.unit)
        write_json(self.store, self.key, {"done": self.done, "total": self.total, "unit": self.unit})
        self._written = time.monotonic()
