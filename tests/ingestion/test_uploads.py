import random

import pytest

from include.errors import BadRecord, NotAPhoto, PreconditionFailed
from include.ingestion.reviews import Row, save_review
from include.ingestion.uploads import collect_uploads, fingerprint, lake_secret, photo_id_of, save_feedback
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.local import LocalStore
from include.records import Feedback, Review, Tombstone, UploadRecord
from tests.pictures import give, plain


def rows(store: ObjectStore) -> dict[str, Row]:
    return {str(row["photo_id"]): row for row in collect_uploads(store)}


def review(photo_id: str, verdict: str, label: str | None = None) -> Review:
    return Review(photo_id, verdict, "ann", "2026-01-02T00:00:00+00:00", label)


def test_the_last_answer_counts(store: ObjectStore) -> None:
    give(store, "p1", plain(), "positive")
    save_feedback(store, "p1", "negative")
    assert rows(store)["p1"]["label"] == "negative"
    assert rows(store)["p1"]["label_origin"] == "user"


def test_neither_and_silence_are_no_labels(lake: LocalStore) -> None:
    give(lake, "p1", plain(), "neither")
    give(lake, "p2", plain("blue"), None)
    assert [row["label"] for row in collect_uploads(lake)] == [None, None]


def test_a_photo_without_its_record_does_not_exist_yet(lake: LocalStore) -> None:
    lake.write(layout.upload_photo("half"), plain())
    save_feedback(lake, "half", "positive")
    assert collect_uploads(lake) == []


def test_a_lost_photo_costs_its_upload_until_it_is_back(store: ObjectStore, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(4):
        give(store, f"p{number}", plain(), "positive")
    photo = store.read(layout.upload_photo("p1"))
    for lost in ("p1", "p3"):
        store.delete(layout.upload_photo(lost))
    assert list(rows(store)) == ["p0", "p2"]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warning.startswith("2 uploads have a record and no photo, such as uploads/p1/photo.jpg")
    store.write(layout.upload_photo("p1"), photo)
    assert list(rows(store)) == ["p0", "p1", "p2"]


def test_random_uploads_count_when_record_and_photo_are_there(
    lake: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    """40 uploads with neighbouring ids, of which parts come and go: 12 times."""
    rng = random.Random(1)
    ids = [f"{stem}{end}" for stem in "abcd" for end in ("", "-", "-1", "0", "é", "_", "a", "A", "zz", "~")]
    bodies = {photo_id: UploadRecord(photo_id, "t", "s", 1, "1", 0.5).to_json() for photo_id in ids}
    for _ in range(12):
        for photo_id in rng.sample(ids, 12):
            for key, body in (
                (layout.upload_photo(photo_id), b"x"),
                (layout.upload_record(photo_id), bodies[photo_id]),
            ):
                lake.write(key, body) if rng.random() < 0.6 else lake.delete(key)
            lake.write(layout.upload_facts(photo_id), b"{}")
        recorded = {photo_id for photo_id in ids if lake.exists(layout.upload_record(photo_id))}
        whole = {photo_id for photo_id in recorded if lake.exists(layout.upload_photo(photo_id))}
        caplog.clear()
        assert [row["photo_id"] for row in collect_uploads(lake)] == sorted(whole, key=lambda name: f"{name}/".encode())
        told = [record.args for record in caplog.records if record.levelname == "WARNING"]
        assert [args[0] for args in told if isinstance(args, tuple)] == [len(recorded - whole)] * (recorded > whole)


def test_a_tombstone_hides_an_upload(lake: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    give(lake, "p1", plain(), "positive")
    give(lake, "p2", plain("blue"), "positive")
    key = layout.upload_photo("p1")
    lake.write(layout.tombstone(key), Tombstone(key, "taken back", "2026-01-02T00:00:00+00:00").to_json())
    assert list(rows(lake)) == ["p2"]
    lake.delete(key)
    assert list(rows(lake)) == ["p2"]
    assert not caplog.records, "such a photo is not lost"


@pytest.mark.parametrize(
    ("verdict", "label", "expected"),
    [("keep", None, "positive"), ("relabel", "negative", "negative"), ("drop", None, "positive")],
)
def test_a_review_is_the_last_word(lake: LocalStore, verdict: str, label: str | None, expected: str) -> None:
    give(lake, "p1", plain(), "positive")
    save_review(lake, review("p1", verdict, label))
    row = rows(lake)["p1"]
    assert (row["label"], row["label_origin"], row["review"]) == (expected, "reviewed", verdict)
    with pytest.raises(PreconditionFailed):
        save_review(lake, review("p1", "drop"))


def test_a_record_that_cannot_be_read_costs_its_photo_only(lake: LocalStore) -> None:
    give(lake, "good", plain(), "positive")
    give(lake, "odd", plain("blue"), "positive")
    lake.write(layout.feedback("odd"), b'{"photo_id": "odd", "answer": "dog", "answered_at": "now"}')
    assert rows(lake)["good"]["label"] == "positive"
    assert "answer 'dog' is not one of positive, negative, neither" in str(rows(lake)["odd"]["problem"])


def test_a_document_is_refused_before_anything_is_stored(lake: LocalStore) -> None:
    with pytest.raises(NotAPhoto):
        give(lake, "p1", b"%PDF-1.7", "positive")
    assert list(lake.keys("")) == []


def test_fingerprints_need_the_lakes_secret(store: ObjectStore) -> None:
    secret = lake_secret(store)
    assert secret == lake_secret(store)
    assert len(secret) == 32
    assert fingerprint(secret, "ab") == fingerprint(secret, "ab") != fingerprint(b"another", "ab")


def test_one_photo_of_one_session_has_one_id(lake: LocalStore) -> None:
    assert photo_id_of(lake, "s1", b"photo") == photo_id_of(lake, "s1", b"photo")
    assert len({photo_id_of(lake, session, photo) for session in "ab" for photo in (b"1", b"2")}) == 4


def test_records_survive_newer_writers() -> None:
    body = UploadRecord("p", "t", "s", 1, "7", 0.5).to_json().replace(b"{", b'{"from_the_future": 1, ', 1)
    assert UploadRecord.from_json(body).model_version == "7"
    for broken in (b"", b"[]", b"{}", b'{"photo_id": 1}'):
        with pytest.raises(BadRecord):
            Feedback.from_json(broken)
