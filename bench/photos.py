"""The photos that all recipes see, where they lie: a manifest whose keys are paths, split by the product's rule."""

import hashlib
from pathlib import Path

import pandas as pd

from include.data import split
from include.errors import BaseDataMissing, DatasetError, NotAPhoto
from include.images.decoding import decode
from include.images.synthetic import draw_sample
from include.records import SOURCES, label_of

COLUMNS = ["key", "source", "sha256"]


def draw_photos(folder: Path, *, per_source: int) -> None:
    """Fill a folder with drawings, as a person would fill it with photos."""
    for source in SOURCES:
        (folder / source).mkdir(parents=True)
        for number, body in enumerate(draw_sample(source, count=per_source)):
            (folder / source / f"{number:05}.jpg").write_bytes(body)


def list_photos(folder: Path, *, per_source: int, seed: int) -> pd.DataFrame:
    """The manifest of at most ``per_source`` photos of each source, in the order of their keys.

    Of exact copies one is taken; what does not decode is left out. Raises BaseDataMissing where a source is empty.
    """
    rows = [(path, source) for source in SOURCES for path in _files(folder / source)]
    named = [(path.relative_to(folder).as_posix(), source, _sha256(path)) for path, source in rows]
    photos = pd.DataFrame(named, columns=COLUMNS).drop_duplicates("sha256").sort_values("key", ignore_index=True)
    sides = photos["sha256"].map(split.bucket).map(split.side_of)
    labels = photos["source"].map(label_of)
    chosen = choose(
        photos.assign(side=sides, label=labels, kind=photos["source"], weight=1.0), per_source=per_source, seed=seed
    )
    return chosen[[_is_photo(folder / key) for key in chosen["key"]]].reset_index(drop=True)


def choose(photos: pd.DataFrame, *, per_source: int, seed: int) -> pd.DataFrame:
    """The photos that a run with ``images_per_source`` would use; a larger number is a superset."""
    unknown = pd.Series(pd.NA, index=photos.index, dtype="string")
    fates = split.sample(photos.assign(fate=unknown), images_per_source=per_source, seed=seed)["fate"]
    return photos[fates == split.USED].reset_index(drop=True)


def check_sides(photos: pd.DataFrame) -> None:
    """Before hours are spent: raises DatasetError where a side cannot train or judge."""
    half = photos["sha256"].map(split.calibrates).map({True: " (calibration)", False: " (tuning)"})
    parts = photos["side"] + half.where(photos["side"] == "val", "")
    for part in ("train", "val (tuning)", "val (calibration)", "test"):
        labels = photos.loc[parts == part, "label"]
        if labels.nunique() < 2:
            raise DatasetError(f"{part} has {len(labels)} photos and not both labels: raise --photos-per-source")


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        raise BaseDataMissing(f"no photos in {folder}: --photos must be a folder with {', '.join(SOURCES)} in it")
    return files


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_photo(path: Path) -> bool:
    try:
        decode(path.read_bytes())
    except NotAPhoto:
        return False
    return True
