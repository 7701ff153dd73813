import pytest

from include.errors import BadRecord, PreconditionFailed
from include.ingestion.reviews import read_records, reviewed_label, save_review
from include.lake import layout
from include.lake.local import LocalStore
from include.records import Review


def test_a_second_review_is_refused(lake: LocalStore) -> None:
    save_review(lake, Review("p", "keep", "ann", "2026-01-01T00:00:00+00:00"))
    with pytest.raises(PreconditionFailed):
        save_review(lake, Review("p", "drop", "bob", "2026-01-01T00:00:00+00:00"))


def test_a_record_that_cannot_be_read_is_one_photos_problem(lake: LocalStore) -> None:
    lake.write(layout.review("bad"), b"no json")
    save_review(lake, Review("good", "keep", "ann", "2026-01-01T00:00:00+00:00"))
    found = read_records(lake, Review, [layout.review("bad"), layout.review("good")])
    bad, good = found["bad"], found["good"]
    assert isinstance(bad, BadRecord)
    assert isinstance(good, Review)
    assert good.verdict == "keep"


def test_a_label_is_that_of_its_origin_until_a_person_reviews_it() -> None:
    keep, relabel = (
        Review("p", verdict, "ann", "2026-01-01T00:00:00+00:00", "negative") for verdict in ("keep", "relabel")
    )
    assert reviewed_label("positive", "user", None)["label_origin"] == "user"
    assert reviewed_label("positive", "user", keep) == {
        "label": "positive",
        "label_origin": "reviewed",
        "review": "keep",
        "problem": None,
    }
    assert reviewed_label("positive", "source", relabel)["label"] == "negative"
    broken = reviewed_label("positive", "user", BadRecord("not a review"))
    assert (broken["problem"], broken["label_origin"]) == ("not a review", "user")
