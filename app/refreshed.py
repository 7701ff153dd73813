"""A value that a thread refreshes, so that no page waits for a lake or server that hangs."""

import logging
import time
from collections.abc import Callable
from threading import Event, Lock, Thread
from typing import Generic, TypeVar

Value = TypeVar("Value")
log = logging.getLogger(__name__)


class Refreshed(Generic[Value]):
    """The last value of ``read``, at most ``seconds`` old where ``read`` keeps up."""

    def __init__(self, read: Callable[[], Value], *, seconds: float) -> None:
        self._read, self._seconds = read, seconds
        self._value: Value | None = None
        self._read_at, self._lock, self._known = float("-inf"), Lock(), Event()

    def get(self, *, wait: float = 0.0) -> Value | None:
        """The last value, after at most ``wait`` seconds for a first one; none while there is none."""
        if time.monotonic() - self._read_at > self._seconds and self._lock.acquire(blocking=False):
            Thread(target=self._refresh, daemon=True).start()
        self._known.wait(wait)
        return self._value

    def _refresh(self) -> None:
        try:
            self._value = self._read()
        except Exception as error:  # the last value stays
            log.warning("cannot be read now: %s", str(error)[:200])
        finally:
            self._read_at = time.monotonic()
            self._known.set()
            self._lock.release()
