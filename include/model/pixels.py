"""Manifest -> decoded pixels, each photo decoded once and for all.

Base photos are kept on this machine's disk in shards named by the first two digits of their sha256: a file of rows
that only grows, and an index that is renamed into place after them. Uploads are kept inside their own folder in the
lake, so that forgetting a photo forgets its pixels.
"""

import json
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from include.images import decoding
from include.lake import layout
from include.lake.base import ObjectStore, read_many
from include.records import UPLOADS

log = logging.getLogger(__name__)

Decode = Callable[[bytes, int], NDArray[np.uint8]]


@dataclass(frozen=True)
class Rows:
    """Photos in a file, read when asked for: mapped pages would count as memory of this process, and add up."""

    file: Path
    size: int

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        count = self.size * self.size * 3
        return np.fromfile(self.file, np.uint8, count, offset=row * count).reshape(self.size, self.size, 3)


@dataclass(frozen=True)
class Pixels:
    """The photos of a manifest, in its order, read from disk when asked for."""

    shards: Sequence[Rows | NDArray[np.uint8]]
    places: NDArray[np.int64]  # (photos, 2): shard, row
    size: int

    def __len__(self) -> int:
        return len(self.places)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 (rows, size, size, 3)."""
        batch = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for place, (shard, row) in enumerate(self.places[rows]):
            batch[place] = self.shards[shard][row]
        return batch

    def subset(self, chosen: NDArray[np.bool_]) -> "Pixels":
        return Pixels(self.shards, self.places[chosen], self.size)


def load_pixels(
    store: ObjectStore, manifest: pd.DataFrame, *, folder: Path, size: int, decode: Decode = decoding.decode_pixels
) -> Pixels:
    """Pixels of every photo of the manifest; decodes only those that no earlier call decoded."""
    folder = folder / cache_version(size)
    folder.mkdir(parents=True, exist_ok=True)
    places = np.zeros((len(manifest), 2), np.int64)
    shards: list[Rows | NDArray[np.uint8]] = []
    for name, rows in _by_shard(manifest).items():
        members = manifest.iloc[rows]
        shard: Rows | NDArray[np.uint8]
        if name == UPLOADS:
            shard, found = _load_uploads(store, members, size, decode)
        else:
            shard, found = _load_shard(store, members, folder / name, size, decode)
        places[rows, 0], places[rows, 1] = len(shards), found
        shards.append(shard)
    return Pixels(shards, places, size)


def cache_version(size: int) -> str:
    return f"v{decoding.VERSION}-{size}"


def _by_shard(manifest: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    names = manifest["sha256"].str[:2].mask(manifest["source"] == UPLOADS, UPLOADS)
    return {str(name): np.asarray(rows) for name, rows in names.groupby(names).indices.items()}


def _load_shard(
    store: ObjectStore, members: pd.DataFrame, path: Path, size: int, decode: Decode
) -> tuple[Rows, list[int]]:
    rows_file, index_file = path.with_suffix(".rgb"), path.with_suffix(".json")
    with FileLock(path.with_suffix(".lock")):
        index = _read_index(index_file, rows_file, size * size * 3)
        new = members[~members["sha256"].isin(list(index))].drop_duplicates("sha256")
        if len(new):
            with _after_last_row(rows_file, len(index) * size * size * 3) as rows:
                for body in read_many(store, new["key"]):
                    rows.write(decode(body, size).tobytes())
                rows.flush()
                os.fsync(rows.fileno())  # an index must never outlive its rows
            index |= {name: len(index) + place for place, name in enumerate(new["sha256"])}
            _replace(index_file, json.dumps(index))
    return Rows(rows_file, size), [index[name] for name in members["sha256"]]


def _read_index(index_file: Path, rows_file: Path, row_bytes: int) -> dict[str, int]:
    """Where each photo stands in the rows; nothing where rows that it names are lost."""
    index: dict[str, int] = json.loads(index_file.read_text()) if index_file.exists() else {}
    complete = rows_file.exists() and rows_file.stat().st_size >= len(index) * row_bytes
    return index if complete else {}


def _after_last_row(path: Path, end: int):  # type: ignore[no-untyped-def]  # a binary file
    """The file, open for appending at ``end``: what a killed writer left behind its last indexed row is cut off."""
    rows = path.open("r+b" if path.exists() else "w+b")
    rows.truncate(end)
    rows.seek(end)
    return rows


def _replace(path: Path, text: str) -> None:
    draft = path.with_suffix(f".{os.getpid()}.draft")
    draft.write_text(text)
    draft.replace(path)


def _load_uploads(
    store: ObjectStore, members: pd.DataFrame, size: int, decode: Decode
) -> tuple[NDArray[np.uint8], list[int]]:
    """Uploads' pixels from the lake into a nameless file that ends with this process."""
    row_bytes = size * size * 3
    with tempfile.TemporaryFile() as rows:
        for key in members["key"]:
            rows.write(_upload_pixels(store, key, size, decode))
        rows.flush()
        shard = np.memmap(rows, np.uint8, mode="r", shape=(rows.tell() // row_bytes, size, size, 3))
    return shard, list(range(len(members)))


def _upload_pixels(store: ObjectStore, key: str, size: int, decode: Decode) -> bytes:
    cached = layout.upload_pixels(layout.photo_id_of(key), cache_version(size))
    if store.exists(cached):
        return store.read(cached)
    pixels = decode(store.read(key), size).tobytes()
    store.write(cached, pixels)
    return pixels
