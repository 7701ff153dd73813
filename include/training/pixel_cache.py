"""Manifest -> decoded pixels in a temporary file on the local disk, for networks that train on pixels."""

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.images.decoding import decode_pixels
from include.lake.base import ObjectStore, read_many


@dataclass(frozen=True)
class Pixels:
    """Photos of a manifest, in its order, read from disk on demand, so that memory use stays flat.

    ``file`` is an unnamed temporary file of uint8 (photos, size, size, 3); ``rows`` are the rows of these photos in it.
    """

    file: IO[bytes]
    rows: NDArray[np.int64]
    size: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The photos at these places: uint8 (len(places), size, size, 3)."""
        count = self.size * self.size * 3
        bodies = [os.pread(self.file.fileno(), count, int(row) * count) for row in self.rows[places]]
        return np.frombuffer(b"".join(bodies), np.uint8).reshape(-1, self.size, self.size, 3)

    def subset(self, chosen: NDArray[np.bool_]) -> "Pixels":
        """The photos where ``chosen``, bool (photos,), is true; they share the file."""
        return Pixels(self.file, self.rows[chosen], self.size)


def load_pixels(store: ObjectStore, manifest: pd.DataFrame, *, size: int) -> Pixels:
    """Read and decode every photo of the manifest once, at ``size`` pixels. Raises ObjectNotFound or NotAPhoto."""
    with ExitStack() as on_error:
        file = on_error.enter_context(tempfile.TemporaryFile())
        for body in read_many(store, manifest["key"]):
            file.write(decode_pixels(body, size).tobytes())
        file.flush()
        on_error.pop_all()  # it stays open as long as the pixels are used
    return Pixels(file, np.arange(len(manifest)), size)
