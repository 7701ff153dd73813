"""The photos that all recipes see: a manifest, split by the product's rule, and a lake that holds nothing else."""

import hashlib
from pathlib import Path

import pandas as pd

from include.dataset import splits
from include.errors import BaseDataMissing, DatasetError, NotAPhoto
from include.images.decoding import decode
from include.images.synthetic import draw_sample
from include.lake import layout
from include.records import SOURCES, SPLITS, label_of

COLUMNS = ["path", "source", "sha256"]
MANIFEST = "photos.parquet"  # beside the photos of a lake


def draw_photos(folder: Path, *, per_source: int) -> None:
    """Fill a folder with drawings, as a person would fill it with photos."""
    for source in SOURCES:
        (folder / source).mkdir(parents=True)
        for number, body in enumerate(draw_sample(source, count=per_source)):
            (folder / source / f"{number:05}.jpg").write_bytes(body)


def list_photos(folder: Path, *, per_source: int, seed: int) -> pd.DataFrame:
    """The manifest of at most ``per_source`` photos of each source, in the order of their keys, and their ``path``.

    Of exact copies one is taken; what does not decode is left out. Raises BaseDataMissing where a source is empty.
    """
    rows = [(str(path), source, _sha256(path)) for source in SOURCES for path in _files(folder / source)]
    photos = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates("sha256")
    photos["key"] = [layout.base(*name) for name in zip(photos["source"], photos["sha256"], strict=True)]
    photos["split"] = photos["sha256"].map(splits.bucket).map(splits.split_of)
    photos = photos.assign(label=photos["source"].map(label_of), kind=photos["source"], weight=1.0)
    chosen = choose(photos.sort_values("key", ignore_index=True), per_source=per_source, seed=seed)
    return chosen[[_is_photo(Path(path)) for path in chosen["path"]]].reset_index(drop=True)


def choose(photos: pd.DataFrame, *, per_source: int, seed: int) -> pd.DataFrame:
    """The photos that a run with ``images_per_source`` would use; a larger number is a superset."""
    unknown = pd.Series(pd.NA, index=photos.index, dtype="string")
    statuses = splits.sample(photos.assign(status=unknown), images_per_source=per_source, seed=seed)["status"]
    return photos[statuses == splits.USED].reset_index(drop=True)


def check_sides(photos: pd.DataFrame) -> None:
    """Before hours are spent: raises DatasetError where a side cannot train or judge."""
    for split in SPLITS:
        labels = photos.loc[photos["split"] == split, "label"]
        if labels.nunique() < 2:
            raise DatasetError(f"{split} has {len(labels)} photos and not both labels: raise --photos-per-source")


def place(photos: pd.DataFrame, lake: Path) -> Path:
    """Make a lake that holds these photos, as links to their files, and their manifest."""
    for key, path in zip(photos["key"], photos["path"], strict=True):
        target = lake / key
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    photos.to_parquet(lake / MANIFEST)
    return lake


def read_manifest(lake: str) -> pd.DataFrame:
    return pd.read_parquet(Path(lake) / MANIFEST)


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
