"""TensorFlow tells of CPUs and GPUs on stderr while it is imported, and Airflow marks whatever a task and its processes
write there as an error. No setting of TensorFlow stops these lines: they come before it reads any.
"""

import importlib.util
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

log = logging.getLogger(__name__)

NAME = "tensorflow"
# Lines of information and warnings as absl writes them, its note before the first one, and what follows a long one.
CHATTER = re.compile(r"[IW]\d{4} |WARNING: All log messages before absl|To enable the following instructions")


class QuietImport(MetaPathFinder):
    """Stands before all other finders until TensorFlow is imported for the first time."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != NAME:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(NAME)
        if spec and spec.loader:
            spec.loader.exec_module = _quietly(spec.loader.exec_module)  # type: ignore[method-assign, assignment]
        return spec


def import_tensorflow_quietly() -> None:
    """From now on. Nothing is imported here."""
    if NAME not in sys.modules and not any(isinstance(finder, QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietImport())


def _quietly(load: Callable[[ModuleType], None]) -> Callable[[ModuleType], None]:
    def run(module: ModuleType) -> None:
        with _stderr_as_lines() as lines:
            load(module)
        for line in lines:
            log.debug("%s", line) if CHATTER.match(line) else sys.stderr.write(f"{line}\n")

    return run


@contextmanager
def _stderr_as_lines() -> Iterator[list[str]]:
    """What this process writes to stderr within the block, by whatever library; complete at its end."""
    lines, before = list[str](), os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            lines += file.read().splitlines()
