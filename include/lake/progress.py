"""How far a long task is: a line in its log, and an object that the demo and others may read."""

import logging
import time

from include.lake.base import ObjectStore
from include.lake.formats import write_json

log = logging.getLogger(__name__)

INTERVAL = 5.0  # seconds


class Progress:
    """Counts what is done of ``total``; the object under ``key`` is {"done": int, "total": int, "unit": str}.

    The object is written at once, for it may still hold what an earlier try of the task left. A write that fails fails
    the task, as all its writes to the lake do.
    """

    def __init__(self, store: ObjectStore, key: str, *, total: int, unit: str, done: int = 0) -> None:
        self.store, self.key, self.unit = store, key, unit
        self.done, self.total = done, total
        self._write()

    def advance(self, count: int = 1) -> None:
        """Add to what is done; log and object follow every few seconds, and at the end."""
        self.done += count
        if self.done >= self.total or time.monotonic() - self._written >= INTERVAL:
            self._write()

    def _write(self) -> None:
        log.info("%d of %d %s", self.done, self.total, self.unit)
        write_json(self.store, self.key, {"done": self.done, "total": self.total, "unit": self.unit})
        self._written = time.monotonic()
