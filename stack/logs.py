"""Logs that do not grow for ever."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

LARGEST = 10_000_000  # bytes of one log; as much again is kept of what came before
DAYS = 30  # after which Airflow's logs of tasks are removed


def rotate(log: Path) -> None:
    """Move a log that is full aside and begin it anew. Its writer, which appends, goes on writing to the same file.

    On a full disk nothing is kept of it: better no old lines than none at all.
    """
    with suppress(OSError):
        if log.stat().st_size <= LARGEST:
            return
        with suppress(OSError):
            shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)


def remove_old(folder: Path) -> None:
    """Remove files that nobody has written to for DAYS."""
    oldest = time.time() - DAYS * 24 * 3600
    for path in folder.rglob("*.log") if folder.is_dir() else ():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
