"""Manifest -> decoded pixels on this machine's disk, for what is trained on pixels."""

import os
import tempfile
from dataclasses import dataclass
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.images.decoding import decode_pixels
from include.lake.base import ObjectStore, read_many


@dataclass(frozen=True)
class Pixels:
    """The photos of a manifest, in its order, read from disk when asked for: memory stays flat.

    ``file`` has no name and ends with this process; a row of it is a photo, uint8 (size, size, 3).
    """

    file: IO[bytes]
    rows: NDArray[np.int64]
    size: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 (places, size, size, 3)."""
        count = self.size * self.size * 3
        bodies = [os.pread(self.file.fileno(), count, int(row) * count) for row in self.rows[places]]
        return np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, self.size, self.size, 3)

    def subset(self, chosen: NDArray[np.bool_]) -> "Pixels":
        return Pixels(self.file, self.rows[chosen], self.size)


def load_pixels(store: ObjectStore, manifest: pd.DataFrame, *, size: int) -> Pixels:
    """Read and decode every photo of the manifest once. Raises ObjectNotFound, NotAPhoto."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # it stays open as long as the pixels are used
    for body in read_many(store, manifest["key"]):
        file.write(decode_pixels(body, size).tobytes())
    file.flush()
    return Pixels(file, np.arange(len(manifest)), size)
