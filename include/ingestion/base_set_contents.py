"""Whether a folder is the base set that a lake holds: decided by the photos, because a path says nothing of them."""

import hashlib
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from include.images.photo_files import Skipped, read_or_skip

ENOUGH = 200  # photos: their share in the lake is then off by MARGIN once in 10^10 times (Hoeffding)
MARGIN = 0.25


def holds_same_photos(folder: Path, files: Sequence[Path], held: Collection[str]) -> bool:
    """Whether at least half of the ``held`` photos are among the files, or at least half of the files' photos are held.

    ``held`` has the sha256 of the bytes of each photo. The files are read in an order that is mixed, and the same
    wherever ``folder`` stands; reading ends as soon as the share of held ones is clear.
    """
    needed = min(len(held), len(files)) / (2 * len(files))
    names, hits = set[str](), 0
    for path in sorted(files, key=lambda path: hashlib.sha256(os.fsencode(path.relative_to(folder))).digest()):
        body = read_or_skip(folder, path, Skipped())
        if body is None:
            continue
        name = hashlib.sha256(body).hexdigest()
        hits += name not in names and name in held
        names.add(name)
        share = hits / len(names)
        if len(names) >= ENOUGH and abs(share - needed) >= MARGIN:
            return share > needed
    return 2 * hits >= min(len(held), len(names))
