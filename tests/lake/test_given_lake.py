"""`make test-lake`: somebody's own lake is tried, never harmed, and left as it was."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.lake.s3 import S3Store, connect
from include.settings import ROOT, Settings
from tests.given_lake import borrowed, check_empty
from tests.lake.proxy import Faults, proxy


def try_lake(url: str, *, only: str = "create or claimed", **environment: str) -> tuple[int, str]:
    """Exit code and output of pytest, as the Makefile calls it, on a few tests of the suite."""
    command = ["-m", "pytest", "tests/lake/test_store_contract.py", "--lake-url", url, "-k", only]
    given = {**os.environ, **environment}
    done = subprocess.run([sys.executable, *command], cwd=ROOT, env=given, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_lake_that_holds_anything_is_refused(tmp_path: Path) -> None:
    settings = Settings(lake_url=f"file://{tmp_path}/lake")
    check_empty(settings)
    LocalStore(tmp_path / "lake").write("base/cats/1", b"precious")
    with pytest.raises(pytest.UsageError, match="lake is not empty, it holds 'base/cats/1': name an empty folder"):
        check_empty(settings)


def test_a_lake_that_cannot_be_listed_is_told_in_one_sentence(s3_url: str) -> None:
    settings = Settings(lake_url="s3://no-such-bucket", s3_endpoint_url=s3_url)
    with pytest.raises(pytest.UsageError, match=f"{settings.lake} cannot be listed: .*NoSuchBucket"):
        check_empty(settings)


def test_only_what_a_test_wrote_is_deleted(store: ObjectStore) -> None:
    """Even what somebody else writes meanwhile stays, and what a test wrote before it failed goes."""
    other, faulty = copy.copy(store), pytest.raises(ZeroDivisionError)
    with faulty, borrowed(store) as lent:
        lent.write("mine", b"x")
        lent.create("created/mine", b"x")
        other.write("precious", b"x")
        raise ZeroDivisionError
    assert list(other.keys("")) == ["precious"]


@pytest.mark.slow
def test_a_folder_is_tried_and_left_empty(tmp_path: Path) -> None:
    code, output = try_lake(f"file://{tmp_path}/lake")
    assert code == 0, output
    assert not list((tmp_path / "lake").iterdir())


@pytest.mark.slow
def test_a_lake_that_holds_anything_is_refused_and_left_alone(tmp_path: Path) -> None:
    LocalStore(tmp_path).write("base/cats/1", b"precious")
    code, output = try_lake(f"file://{tmp_path}")
    assert code != 0
    assert f"ERROR: the folder {tmp_path} is not empty, it holds 'base/cats/1': name an empty folder" in output
    assert list(LocalStore(tmp_path).keys("")) == ["base/cats/1"]


@pytest.mark.slow
def test_what_is_no_lake_is_told_in_one_sentence() -> None:
    code, output = try_lake("ftp://somewhere")
    assert code != 0
    assert "CAT_LAKE_URL=ftp://somewhere cannot work: it is neither file:///folder nor s3://bucket" in output
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize(("forgets", "code"), [((), 0), (("if-none-match",), 1)])
def test_a_bucket_is_tried_with_the_endpoint_of_the_environment(
    s3_url: str, forgets: tuple[str, ...], code: int
) -> None:
    bucket = S3Store(connect(s3_url), f"mine-{uuid4().hex}")
    bucket.ensure_bucket()
    with proxy(s3_url, Faults(forgets=forgets)) as url:
        found, output = try_lake(f"s3://{bucket.bucket}", CAT_S3_ENDPOINT_URL=url)
    assert found == code, output
    assert ("UnsafeStore" in output) == (code == 1)
    assert list(bucket.keys("")) == []
