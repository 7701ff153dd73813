"""Where base photos come from: the folder that the settings name, or the drawn sample."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

from include.errors import BaseDataMissing
from include.images.photo_files import Skipped, read_or_skip, walk
from include.images.synthetic import draw_sample
from include.settings import SAMPLE

log = logging.getLogger(__name__)


def list_photos(base_data: str, source: str) -> list[Path]:
    """Every file of one source that may be a photo, in order: decoding finds out which are none, and reports them."""
    return walk(Path(base_data) / source, Skipped())


def check_sources(base_data: str, sources: Sequence[str]) -> None:
    """Log what is left out of the folders. Raises BaseDataMissing, which names all sources that have no photos."""
    if base_data == SAMPLE:
        return
    skipped = {source: Skipped() for source in sources}
    missing = [source for source in sources if not walk(Path(base_data) / source, skipped[source])]
    for source in sources:
        if skipped[source].count:
            log.warning("%s: left out: %s", source, skipped[source])
    if missing:
        raise BaseDataMissing(
            f"{base_data} has no photos of {', '.join(missing)}: CAT_BASE_DATA must be 'sample' or a folder that "
            "holds a folder with photos for each source of the question"
        )


def read_source(base_data: str, source: str, *, seed: int, skipped: Skipped) -> Iterator[bytes]:
    """The original bytes of every photo of one source, in a fixed order; raises BaseDataMissing.

    What is left out is added to ``skipped``.
    """
    if base_data == SAMPLE:
        yield from draw_sample(source, seed=seed)
        return
    folder, read = Path(base_data) / source, 0
    for path in walk(folder, skipped):
        body = read_or_skip(folder, path, skipped)
        if body is not None:
            read += 1
            yield body
    if not read:
        raise BaseDataMissing(f"{folder} has no photos that can be read; left out: {skipped}")
