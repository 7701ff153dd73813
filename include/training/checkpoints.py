"""What a killed training goes on from: one folder per epoch, on this machine's disk.

A checkpoint is written beside its place, synced, and renamed: it is whole or absent. Each attempt at one training takes
a higher number than all before it and a folder of its own, into which it moves what they left. So a process that comes
back writes where nobody reads, and learns from the numbers that it has lost. No lock is needed, which a process that
stands still could hold for ever.
"""

import json
import os
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

KEPT = 2  # the last ones; the best one stays as well

Arrays = Sequence[NDArray]
History = tuple[dict[str, float], ...]  # the figures of each epoch, in order
ENDED_AT = "ended_at"  # among them, in milliseconds since 1970


@dataclass(frozen=True)
class Checkpoint:
    """The state after ``len(history)`` epochs; arrays in the order of the network's and the optimizer's variables."""

    weights: Arrays
    optimizer: Arrays
    history: History


class Checkpoints:
    """The checkpoints of one training. Making this object takes them over from whoever held them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        earlier = _numbered(root, "attempt")
        self.number = next(number for number in count(max(earlier, default=0) + 1) if _took(root, number))
        self.folder = _place(root, "attempt", self.number)
        for number in earlier:
            self._move_from(_place(root, "attempt", number))

    def confirm(self) -> None:
        """Raises AttemptSuperseded if somebody has taken over."""
        if self.number != max(_numbered(self.root, "attempt"), default=0):
            raise AttemptSuperseded(
                f"another process has taken over the training in {self.root.name}; this one stops, and needs no cure: "
                "the other one's result counts"
            )

    def save(self, checkpoint: Checkpoint, *, best: int) -> None:
        """Put it in its place, and drop all but the last two and that of epoch ``best`` (from 1)."""
        self.confirm()
        draft, place = self.folder / "draft", _place(self.folder, "epoch", len(checkpoint.history))
        with suppress(FileNotFoundError):  # whoever takes over removes this folder; the next lines tell
            draft.mkdir(exist_ok=True)
            _write(draft / "weights.npz", checkpoint.weights)
            _write(draft / "optimizer.npz", checkpoint.optimizer)
            (draft / "history.json").write_text(json.dumps(checkpoint.history))
            _sync(draft / "history.json")
        self.confirm()
        shutil.rmtree(place, ignore_errors=True)  # where a torn one was passed over
        draft.rename(place)
        _sync(self.folder)
        for epoch in self.epochs()[:-KEPT]:
            if epoch != best:
                shutil.rmtree(_place(self.folder, "epoch", epoch), ignore_errors=True)

    def epochs(self) -> list[int]:
        """How many epochs each checkpoint holds, in order."""
        return _numbered(self.folder, "epoch")

    def latest(self) -> Checkpoint | None:
        """The last one; one that a broken disk has torn is passed over."""
        for epoch in reversed(self.epochs()):
            with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):
                return self.read(epoch)
        return None

    def read(self, epoch: int) -> Checkpoint:
        """The one after ``epoch`` epochs; raises AttemptSuperseded if somebody has taken over."""
        self.confirm()
        place = _place(self.folder, "epoch", epoch)
        history = json.loads((place / "history.json").read_text())
        return Checkpoint(_read(place / "weights.npz"), _read(place / "optimizer.npz"), tuple(history))

    def clear(self) -> None:
        """The training is done and its result kept elsewhere. The number stays taken, so that no stale one wins."""
        self.confirm()
        for path in self.folder.iterdir():
            shutil.rmtree(path)

    def _move_from(self, other: Path) -> None:
        for epoch in _numbered(other, "epoch"):
            with suppress(OSError):  # another attempt that starts now has it; the higher number will win
                _place(other, "epoch", epoch).rename(_place(self.folder, "epoch", epoch))
        shutil.rmtree(other, ignore_errors=True)


def _place(folder: Path, name: str, number: int) -> Path:
    return folder / f"{name}-{number:04}"


def _numbered(folder: Path, name: str) -> list[int]:
    """The numbers of all folders of this name, in order; none where somebody takes the folder away meanwhile."""
    with suppress(FileNotFoundError):
        found = (re.fullmatch(rf"{name}-(\d+)", path.name) for path in folder.glob(f"{name}-*"))
        return sorted(int(match[1]) for match in found if match)
    return []


def _took(root: Path, number: int) -> bool:
    """Whether this number was free: of several processes one makes the folder."""
    try:
        _place(root, "attempt", number).mkdir()
    except FileExistsError:
        return False
    return True


def _write(path: Path, arrays: Arrays) -> None:
    with path.open("wb") as file:
        np.savez(file, *arrays)
    _sync(path)


def _read(path: Path) -> Arrays:
    with path.open("rb") as file, np.load(file) as arrays:  # a zip, whose sums tell what is torn; it reads no pickles
        return [arrays[f"arr_{place}"] for place in range(len(arrays))]


def _sync(path: Path) -> None:
    """Make a file's bytes, or the names in a folder, last through a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
