"""What surrounds a running stack: one for each home, private files, and signals that end it in order."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from include.errors import StackError
from include.settings import Settings
from stack.processes import end_marked

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def private_files(settings: Settings) -> Iterator[None]:
    """What the stack writes, visitors' photos and passwords among it, is for its owner alone."""
    before = os.umask(0o077)
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        settings.home.chmod(0o700)  # one that an older version made is open to all
        yield
    finally:
        os.umask(before)


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """One stack per home; what one that was killed left behind is ended first. Raises StackError."""
    with (settings.home / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StackError(f"a stack is running already on {settings.home}: end it with Ctrl-C") from None
        end_marked(str(settings.home))
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP all end the block the way Ctrl-C does, also where a shell had SIGINT ignored."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """A second Ctrl-C does not stop the stopping; it takes a few seconds."""
    with _handling(signal.SIG_IGN):
        yield


@contextmanager
def _handling(handler: Callable[[int, object], None] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
