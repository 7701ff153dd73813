from pathlib import Path

import pytest

from include.configuration import read_settings
from include.errors import BadSetting
from include.lake.local import LocalStore
from include.lake.opening import open_lake
from include.lake.s3 import S3Store
from include.settings import Settings


def test_the_url_chooses_the_store(tmp_path: Path) -> None:
    folder = open_lake(Settings(lake_url=f"file://{tmp_path}"))
    bucket = open_lake(Settings(lake_url="s3://photos"))
    assert isinstance(folder, LocalStore)
    assert folder.root == tmp_path
    assert isinstance(bucket, S3Store)
    assert bucket.bucket == "photos"


def test_each_base_set_has_a_home_of_its_own(tmp_path: Path) -> None:
    one, two = (Settings(base_data=str(tmp_path / name / "base"), state_dir=tmp_path) for name in "ab")
    assert one.home.name.startswith("base-")
    assert len({one.home, two.home, Settings(state_dir=tmp_path).home}) == 3


@pytest.mark.parametrize("url", ["ftp://x", "s3://", "/a/folder", "file://"])
def test_other_urls_are_refused_by_name(url: str) -> None:
    with pytest.raises(BadSetting, match="^CAT_LAKE_URL=.* cannot work: "):
        read_settings(lake_url=url)
