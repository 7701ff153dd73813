"""The photos that all recipes get: a manifest, split by the product's rule, and a lake that holds only these photos."""

import hashlib
from pathlib import Path

import pandas as pd

from bench.question import QUESTION, SOURCES
from include.dataset import splits
from include.errors import BaseDataMissing, DatasetError, NotAPhoto
from include.images.decoding import decode
from include.images.photo_files import Skipped, walk
from include.images.synthetic import draw_sample
from include.lake import layout
from include.records import SPLITS
from include.status import Status

COLUMNS = ["path", "source", "sha256"]
MANIFEST = "photos.parquet"  # in the folder of a lake


def draw_photos(folder: Path, *, per_source: int) -> None:
    """Fill a folder with drawings, as a person would fill it with photos."""
    for source in SOURCES:
        (folder / source).mkdir(parents=True)
        for number, body in enumerate(draw_sample(source, count=per_source)):
            (folder / source / f"{number:05}.jpg").write_bytes(body)


def list_photos(folder: Path, *, per_source: int, seed: int) -> pd.DataFrame:
    """The manifest of at most ``per_source`` photos of each source, by key, with the ``path`` of each photo.

    Leaves out exact duplicates and files that do not decode. Raises BaseDataMissing for an empty source.
    """
    rows = [(str(path), source, _sha256(path)) for source in SOURCES for path in _files(folder / source)]
    photos = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates("sha256")
    photos["key"] = [layout.base(*name) for name in zip(photos["source"], photos["sha256"], strict=True)]
    photos["split"] = photos["sha256"].map(splits.bucket).map(splits.split_of_bucket)
    photos["label"] = photos["source"].map(QUESTION.label_of)
    photos = photos.assign(class_name=photos["source"], label_origin="source", cluster=photos["sha256"], weight=1.0)
    photos = sample(photos.sort_values("key", ignore_index=True), per_source=per_source, seed=seed)
    return photos[[_is_photo(Path(path)) for path in photos["path"]]].reset_index(drop=True)


def sample(photos: pd.DataFrame, *, per_source: int, seed: int) -> pd.DataFrame:
    """The photos that a run with this ``images_per_source`` would use; a larger number gives a superset."""
    unknown = pd.Series(pd.NA, index=photos.index, dtype="string")
    statuses = splits.sample(photos.assign(status=unknown), images_per_source=per_source, seed=seed)["status"]
    return photos[statuses == Status.USED].reset_index(drop=True)


def check_splits(photos: pd.DataFrame) -> None:
    """Raises DatasetError, before hours are spent, if a split can neither train nor measure a model."""
    for split in SPLITS:
        labels = photos.loc[photos["split"] == split, "label"]
        if labels.nunique() < 2:
            raise DatasetError(f"{split} has {len(labels)} photos and not both labels: raise --photos-per-source")


def make_lake(photos: pd.DataFrame, folder: Path) -> Path:
    """Make a lake of these photos, as links to their files, with their manifest; returns its folder."""
    for key, path in zip(photos["key"], photos["path"], strict=True):
        link = folder / key
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    photos.to_parquet(folder / MANIFEST)
    return folder


def read_manifest(lake: str) -> pd.DataFrame:
    return pd.read_parquet(Path(lake) / MANIFEST)


def _files(folder: Path) -> list[Path]:
    files = walk(folder, Skipped())
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
