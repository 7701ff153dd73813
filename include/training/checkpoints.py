"""Checkpoints of a training: a folder per epoch on the local disk, from which a killed training resumes.

A checkpoint is written to a draft folder, synced, and renamed: it is complete or absent. Each attempt at a training
takes a higher number than all before it, and moves their checkpoints into a folder of its own. A stale process
therefore writes where nobody reads, and learns from the numbers that it is superseded. There is no lock, because a
suspended process could hold it for ever.
"""

import json
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from include.errors import AttemptSuperseded
from include.files import sync

KEPT = 2  # the latest checkpoints; the best one is kept as well

Arrays = Sequence[NDArray]
History = tuple[dict[str, float], ...]  # the metrics of each epoch, in order
ENDED_AT = "ended_at"  # one of the metrics: milliseconds since 1970


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``len(history)`` epochs; arrays in the order of the network's and the optimizer's variables.

    ``weights`` also holds the states of the network's random generators.
    """

    weights: Arrays
    optimizer: Arrays
    history: History


class Checkpoints:
    """The checkpoints of one training. Creating this object starts an attempt, which supersedes all before it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        earlier = _numbers(root, "attempt")
        self.number = next(number for number in count(max(earlier, default=0) + 1) if _claim(root, number))
        self.folder = _numbered_folder(root, "attempt", self.number)
        for number in earlier:
            self._move_from(_numbered_folder(root, "attempt", number))

    def confirm(self) -> None:
        """Raise AttemptSuperseded if a later attempt has started."""
        if self.number != max(_numbers(self.root, "attempt"), default=0):
            raise AttemptSuperseded(
                f"another process has taken over the training in {self.root.name}; this one stops. Nothing "
                "needs to be done: the result of the other process counts"
            )

    def save(self, checkpoint: Checkpoint, *, best: int) -> None:
        """Write a checkpoint; delete all but the last two and that of epoch ``best``, from 1.

        Raises AttemptSuperseded.
        """
        self.confirm()
        draft, target = self.folder / "draft", _numbered_folder(self.folder, "epoch", len(checkpoint.history))
        with suppress(FileNotFoundError):  # a later attempt has removed the folder; ``confirm`` reports it
            draft.mkdir(exist_ok=True)
            _write(draft / "weights.npz", checkpoint.weights)
            _write(draft / "optimizer.npz", checkpoint.optimizer)
            (draft / "history.json").write_text(json.dumps(checkpoint.history))
            sync(draft / "history.json")
        self.confirm()
        shutil.rmtree(target, ignore_errors=True)  # a damaged checkpoint that was skipped
        draft.rename(target)
        sync(self.folder)
        for epoch in self.epochs()[:-KEPT]:
            if epoch != best:
                shutil.rmtree(_numbered_folder(self.folder, "epoch", epoch), ignore_errors=True)

    def epochs(self) -> list[int]:
        """The number of finished epochs of each checkpoint, in ascending order."""
        return _numbers(self.folder, "epoch")

    def latest(self) -> Checkpoint | None:
        """The latest checkpoint that can be read, if any; damaged ones are skipped. Raises AttemptSuperseded."""
        for epoch in reversed(self.epochs()):
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
                return self.read(epoch)
        return None

    def read(self, epoch: int) -> Checkpoint:
        """The checkpoint after ``epoch`` epochs. Raises AttemptSuperseded."""
        self.confirm()
        folder = _numbered_folder(self.folder, "epoch", epoch)
        history = json.loads((folder / "history.json").read_text())
        return Checkpoint(_read(folder / "weights.npz"), _read(folder / "optimizer.npz"), tuple(history))

    def clear(self) -> None:
        """Delete all checkpoints. The attempt's empty folder stays, so that its number is not reused.

        Raises AttemptSuperseded.
        """
        self.confirm()
        for path in self.folder.iterdir():
            shutil.rmtree(path)

    def _move_from(self, other: Path) -> None:
        for epoch in _numbers(other, "epoch"):
            with suppress(OSError):  # a concurrent attempt has moved it; the higher number will win
                _numbered_folder(other, "epoch", epoch).rename(_numbered_folder(self.folder, "epoch", epoch))
        shutil.rmtree(other, ignore_errors=True)


def _numbered_folder(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:04}"


def _numbers(folder: Path, name: str) -> list[int]:
    """The numbers of all subfolders of this name, ascending; none if another process removes ``folder``."""
    with suppress(FileNotFoundError):
        matches = (re.fullmatch(rf"{name}-(\d+)", path.name) for path in folder.glob(f"{name}-*"))
        return sorted(int(match[1]) for match in matches if match)
    return []


def _claim(root: Path, number: int) -> bool:
    """Claim an attempt number; only one of several processes can create its folder and gets True."""
    try:
        _numbered_folder(root, "attempt", number).mkdir()
    except FileExistsError:
        return False
    return True


def _write(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, *arrays)
    sync(path)


def _read(path: Path) -> Arrays:
    with path.open("rb") as file, np.load(file) as arrays:  # its checksums reveal damage; no pickles are read
        return [arrays[f"arr_{index}"] for index in range(len(arrays))]
