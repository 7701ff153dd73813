"""MLflow's protocol as our server reads it: counted before it is built, and refused with the cure."""

import base64
import json
import tracemalloc
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.serving.protocol import (
    RequestRejected,
    asks_to_explain,
    check_content_type,
    read_batch,
    write_table,
)

PHOTO = base64.b64encode(b"a photo").decode()


def read(request: Any, *, max_batch: int = 64, max_explained: int = 4) -> Any:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return read_batch(body, max_batch=max_batch, max_explained=max_explained)


def split(*photos: Any, **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": ["image"], "data": [[photo] for photo in photos]}, **more}


FORMS = {
    "split": split(PHOTO, PHOTO),
    "split with an index": {"dataframe_split": {"index": [3, 4], "columns": ["image"], "data": [[PHOTO], [PHOTO]]}},
    "another column": {"dataframe_split": {"columns": ["name", "image"], "data": [["a", PHOTO], ["b", PHOTO]]}},
    "records": {"dataframe_records": [{"image": PHOTO}, {"image": PHOTO, "name": "b"}]},
    "line breaks": split(f"{PHOTO[:4]}\n{PHOTO[4:]}", PHOTO),
    "params": split(PHOTO, PHOTO, params={"explain": False}),
}


@pytest.mark.parametrize("request_", FORMS.values(), ids=FORMS)
def test_both_forms_are_read(request_: dict[str, Any]) -> None:
    batch = read(request_)
    assert (batch.photos, batch.explain) == ([b"a photo"] * 2, False)


@pytest.mark.parametrize("form", ["inputs", "instances"])
@pytest.mark.parametrize("rows", [[PHOTO], [[PHOTO]], [{"image": PHOTO}], {"image": [PHOTO]}])
def test_forms_that_hand_over_text_are_refused_with_the_cure(form: str, rows: Any) -> None:
    with pytest.raises(
        RequestRejected, match=f"'{form}' is not read here; send JSON like .*dataframe_split"
    ) as refused:
        read({form: rows})
    assert refused.value.status == 400


HUGE = 100_000
FLOODS = {
    "split": split(*["aGk="] * HUGE),
    "records": {"dataframe_records": [{"image": "aGk="}] * HUGE},
    "inputs": {"inputs": ["aGk="] * HUGE},
    "instances": {"instances": [{"image": "aGk="}] * HUGE},
    "columns": {"dataframe_split": {"columns": ["image"] * HUGE, "data": [["aGk="] * HUGE]}},
    "params": split(PHOTO, params={str(number): 1 for number in range(HUGE)}),
    "nothing of it": {str(number): {} for number in range(HUGE)},
    "deeply nested": b"[" * HUGE,
    "nested objects": b'{"a":' * HUGE,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_values_are_counted_before_they_are_built(flood: Any) -> None:
    body = flood if isinstance(flood, bytes) else json.dumps(flood).encode()
    tracemalloc.start()
    with pytest.raises(RequestRejected, match="at most 64 photos at once; this request has") as refused:
        read_batch(body, max_batch=64, max_explained=4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused.value.status == 413
    assert peak < 100_000, "bytes"


@pytest.mark.parametrize(
    ("photos", "explain", "fits"), [(16, False, True), (17, False, False), (4, True, True), (5, True, False)]
)
@pytest.mark.parametrize("form", ["split", "records"])
def test_one_photo_too_many_is_told_exactly(photos: int, explain: bool, fits: bool, form: str) -> None:
    rows = {"dataframe_records": [{"image": PHOTO}] * photos} if form == "records" else split(*[PHOTO] * photos)
    request = rows | {"params": {"explain": explain}}
    if fits:
        assert len(read(request, max_batch=16).photos) == photos
        return
    with pytest.raises(RequestRejected, match=f"{photos} photos.* at once; at most {4 if explain else 16}") as refused:
        read(request, max_batch=16)
    assert refused.value.status == 413


UNREADABLE = {
    "garbage": b"{not json",
    "nothing": b"",
    "no text": b"\xff\xfe",
    "nested beyond what Python reads": b'{"a":' * 300 + b"1",
    "a number of 5,000 digits": b'{"a":' + b"9" * 5000 + b"}",
    "a list": [split(PHOTO)],
    "no form": {"photos": []},
    "two forms": split(PHOTO) | {"dataframe_records": []},
    "a form of text": {"dataframe_split": "image"},
    "no rows": {"dataframe_split": {"columns": ["image"]}},
    "no column": {"dataframe_split": {"columns": ["photo"], "data": [[PHOTO]]}},
    "a ragged table": {"dataframe_split": {"columns": ["image"], "data": [[PHOTO], [PHOTO, PHOTO]]}},
    "a row that is a number": {"dataframe_split": {"columns": ["image"], "data": [5]}},
    "a record without the column": {"dataframe_records": [{"photo": PHOTO}]},
    "a record that is a list": {"dataframe_records": [[PHOTO]]},
    "records in an object": {"dataframe_records": {"image": PHOTO}},
    "a number": split(5),
    "null": split(None),
    "not base64": split("a"),
    "not ASCII": split("Ärger"),
    "params of a list": split(PHOTO, params=["explain"]),
    "explain loudly": split(PHOTO, params={"explain": "loudly"}),
    "explain 1": split(PHOTO, params={"explain": 1}),
}


@pytest.mark.parametrize("request_", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_with_an_example(request_: Any) -> None:
    with pytest.raises(RequestRejected, match="send JSON like|params are an object") as refused:
        read(request_)
    assert refused.value.status == 400


NAMES = st.sampled_from(["image", "columns", "data"])


def status_of(request: Any) -> int:
    try:
        read(request)
    except RequestRejected as refused:
        return refused.status
    return 200


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_body_raises_anything_else(body: bytes) -> None:
    for request in (body, b'{"dataframe_split": ' + body + b"}", b'{"dataframe_records": ' + body + b"}"):
        assert status_of(request) in (200, 400, 413)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
        max_leaves=8,
    ),
    st.sampled_from(["dataframe_split", "dataframe_records", "inputs", "params"]),
)
def test_no_json_raises_anything_else(value: Any, key: str) -> None:
    assert status_of({key: value}) in (200, 400)


def test_whether_to_explain_is_seen_without_reading_json() -> None:
    for body in (json.dumps(split(PHOTO, params={"explain": True})).encode(), b'{"params":{"explain"\n:true}}'):
        assert asks_to_explain(body)
    for body in (json.dumps(split(PHOTO, params={"explain": False})).encode(), b"", b'{"explains": true}'):
        assert not asks_to_explain(body)


@pytest.mark.parametrize(
    "value", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_json_is_what_it_takes(value: str) -> None:
    check_content_type(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "text/plain",
        "text/csv",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "json",
    ],
)
def test_what_a_page_of_another_site_can_send_unasked_is_refused(value: str | None) -> None:
    """Browsers send these types without asking this server first; JSON needs a permission that it never gives."""
    with pytest.raises(RequestRejected, match="Content-Type: application/json") as refused:
        check_content_type(value)
    assert refused.value.status == 415


def test_a_table_is_answered_as_mlflow_does() -> None:
    table = pd.DataFrame({"probability": [0.5, None], "error": [None, "not_an_image"]}, dtype=object)
    assert json.loads(write_table(table)) == {
        "predictions": [{"probability": 0.5, "error": None}, {"probability": None, "error": "not_an_image"}]
    }
