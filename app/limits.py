"""How many requests are made in a minute."""

import time
from collections import deque
from collections.abc import Callable
from threading import Lock

WINDOW = 60.0  # seconds


class RateLimit:
    """At most ``most`` requests in any minute; threads may share it."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._times, self._lock = deque[float](), Lock()

    def allows(self) -> bool:
        """Count a request, unless it is one too many."""
        with self._lock:
            now = self._clock()
            while self._times and self._times[0] <= now - WINDOW:
                self._times.popleft()
            if len(self._times) >= self._most:
                return False
            self._times.append(now)
            return True
