"""The thread that brings the lake what is in the spool, as soon as the lake can take it."""

import logging
from collections.abc import Callable
from threading import Event, Thread

from include.ingestion.spool import Spool
from include.lake.base import ObjectStore

log = logging.getLogger(__name__)

PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds after a failure: twice as many after each further one
GRACE = 5.0  # seconds for a send to end: a lake that hangs must not hold up the end of the app


class SpoolSender:
    """Sends when told to, and once at the start: a process before this one may have left something."""

    def __init__(self, spool: Spool, open_store: Callable[[], ObjectStore]) -> None:
        self._spool, self._open = spool, open_store
        self._wake, self._ended = Event(), False
        self._thread = Thread(target=self._run, name="spool", daemon=True)

    def start(self) -> None:
        self._wake.set()
        self._thread.start()

    def notify(self) -> None:
        """There is something to send."""
        self._wake.set()

    def stop(self) -> None:
        """Let the file that is being sent end, if the lake takes it soon; what remains stays for the next process."""
        self._ended = True
        self._wake.set()
        self._thread.join(GRACE)

    def _run(self) -> None:
        failures = 0
        while not self._ended:
            self._wake.wait(min(PAUSE * 2**failures, LONGEST_PAUSE) if failures else None)
            self._wake.clear()
            failures = 0 if self._ended or self._sends() else min(failures + 1, 10)

    def _sends(self) -> bool:
        try:
            self._spool.send(self._open())
        except Exception as error:  # whatever the lake or the disk has: the thread must live to try again
            log.warning("%d uploads and answers wait for the lake: %s", self._spool.waiting(), str(error)[:200])
            return False
        return True
