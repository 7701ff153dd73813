"""The manifest as a table: its columns, its digest, and what makes it unusable."""

import pandas as pd
import pytest

from include.dataset.manifest import MANIFEST, check_splits, digest_of, read_manifest, read_report, to_manifest
from include.errors import DatasetError
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.status import Status
from tests.pictures import QUESTION


def photo(key: str, source: str, label: str, *, split: str = "train", status: str = Status.USED) -> dict[str, object]:
    origin = {"label_origin": "source", "cluster": key, "reason": None}
    return {"key": key, "sha256": key, "source": source, "label": label, "split": split, "status": status, **origin}


def manifest_of(*photos: dict[str, object]) -> pd.DataFrame:
    return to_manifest(pd.DataFrame(photos), QUESTION)


def test_a_manifest_has_the_used_photos_by_key_and_its_own_columns_only() -> None:
    left_out = photo("a", "cats", "positive", status=Status.NEAR_DUPLICATE)
    manifest = manifest_of(photo("c", "cats", "positive"), left_out, photo("b", "dogs", "negative"))
    assert list(manifest.columns) == MANIFEST
    assert manifest["key"].tolist() == ["b", "c"]


def test_the_class_is_the_source_unless_nobody_knows_it() -> None:
    manifest = manifest_of(
        photo("a", "dogs", "negative"),
        photo("b", "dogs", "positive"),  # a reviewer corrected its label
        photo("c", "uploads", "negative"),
    )
    assert manifest["class_name"].tolist() == ["dogs", "unknown", "unknown"]


def test_the_digest_knows_every_column_and_no_order() -> None:
    one, two = photo("a", "cats", "positive"), photo("b", "dogs", "negative")
    digest = digest_of(manifest_of(one, two))
    assert digest_of(manifest_of(two, one)) == digest
    manifest = manifest_of(one, two)
    for column in MANIFEST:
        other = manifest.assign(**{column: [2.0, 1.0] if column == "weight" else ["x", "y"]})
        assert digest_of(other) != digest, column


@pytest.mark.parametrize("lacks", ["train", "val", "test"])
def test_a_split_without_both_labels_is_named(lacks: str) -> None:
    photos = [photo(f"c {split}", "cats", "positive", split=split) for split in ("train", "val", "test")]
    photos += [photo(f"d {split}", "dogs", "negative", split=split) for split in ("train", "val", "test")]
    check_splits(manifest_of(*photos))
    with pytest.raises(DatasetError, match=f"{lacks} has 1 photos and not both labels: raise images_per_source"):
        check_splits(manifest_of(*(one for one in photos if one["key"] != f"d {lacks}")))


def test_a_version_that_is_not_there_is_named(lake: LocalStore) -> None:
    for read in (read_manifest, read_report):
        with pytest.raises(DatasetError, match="there is no dataset 'abc'"):
            read(lake, "abc")


def test_a_manifest_of_older_code_is_not_read(lake: LocalStore) -> None:
    manifest = manifest_of(photo("a", "cats", "positive"))
    write_table(lake, layout.manifest("d"), manifest.rename(columns={"split": "side", "class_name": "kind"}))
    with pytest.raises(DatasetError, match="dataset d was made by an older version of this code: run retrain once"):
        read_manifest(lake, "d")
