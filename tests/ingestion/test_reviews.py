import subprocess
import sys

import pytest

from include.errors import BadRecord, PreconditionFailed
from include.ingestion.reviews import read_records, save_review
from include.lake import layout
from include.lake.local import LocalStore
from include.records import Review
from include.settings import ROOT


def say(tmp_path, *words: str) -> subprocess.CompletedProcess:
    import os

    return subprocess.run(
        [sys.executable, "-m", "include.ingestion.reviews", *words],
        cwd=ROOT,
        env={**os.environ, "CAT_LAKE_URL": f"file://{tmp_path / 'lake'}"},
        capture_output=True,
        text=True,
    )


def test_a_review_by_hand_is_final(tmp_path):
    assert say(tmp_path, "p1", "relabel", "--by", "ann", "--label", "not_cat").returncode == 0
    store = LocalStore(tmp_path / "lake")
    review = read_records(store, Review, [layout.review("p1")])["p1"]
    assert (review.verdict, review.label, review.by) == ("relabel", "not_cat", "ann")
    again = say(tmp_path, "p1", "drop", "--by", "bob")
    assert (again.returncode, again.stderr.splitlines()[-1]) == (
        1,
        "photo p1 was reviewed before, and a review is final",
    )


def test_relabel_without_a_label_is_told_in_a_sentence(tmp_path):
    done = say(tmp_path, "p1", "relabel", "--by", "ann")
    assert done.returncode == 1
    assert "label" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_review_is_refused(lake):
    save_review(lake, Review("p", "keep", "ann", "2026-01-01T00:00:00+00:00"))
    with pytest.raises(PreconditionFailed):
        save_review(lake, Review("p", "drop", "bob", "2026-01-01T00:00:00+00:00"))


def test_a_record_that_cannot_be_read_is_one_photos_problem(lake):
    lake.write(layout.review("bad"), b"no json")
    save_review(lake, Review("good", "keep", "ann", "2026-01-01T00:00:00+00:00"))
    found = read_records(lake, Review, [layout.review("bad"), layout.review("good")])
    assert isinstance(found["bad"], BadRecord)
    assert found["good"].verdict == "keep"
