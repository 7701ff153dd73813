"""Where base photos come from: the folder that the settings name, or the drawn sample."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from include.errors import BaseDataMissing
from include.files import visible_files
from include.images.synthetic import draw_sample
from include.settings import SAMPLE


def list_photos(base_data: str, source: str) -> list[Path]:
    """Every file of one source but hidden ones, in order: decoding finds out which are no photos, and reports them."""
    return visible_files(Path(base_data) / source)


def check_sources(base_data: str, sources: Sequence[str]) -> None:
    """Raises BaseDataMissing, which names all sources that have no photos."""
    missing = [source for source in sources if base_data != SAMPLE and not list_photos(base_data, source)]
    if missing:
        raise BaseDataMissing(
            f"{base_data} has no photos of {', '.join(missing)}: CAT_BASE_DATA must be 'sample' or a folder that "
            "holds a folder with photos for each source of the question"
        )


def read_source(base_data: str, source: str, *, seed: int) -> Iterator[bytes]:
    """The original bytes of every photo of one source, in a fixed order; raises BaseDataMissing."""
    if base_data == SAMPLE:
        yield from draw_sample(source, seed=seed)
        return
    check_sources(base_data, [source])
    for path in list_photos(base_data, source):
        yield path.read_bytes()
