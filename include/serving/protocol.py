"""MLflow's scoring protocol for photos: what a request holds is counted before any of it is built.

Two of MLflow's forms are read, `dataframe_split` and `dataframe_records`; the others would hand the model a photo as
text. A table is answered as MLflow answers it.
"""

import base64
import json
import re
from dataclasses import dataclass
from email.message import Message
from io import StringIO
from typing import Any

import pandas as pd
from mlflow.pyfunc.scoring_server import predictions_to_json

from include.registry.package import EXPLAIN

IMAGE = "image"
EXAMPLE = '{"dataframe_split": {"columns": ["image"], "data": [["<base64>"]]}}'
OTHER_FORMS = ("inputs", "instances")
VALUES_PER_PHOTO, OTHER_VALUES = 8, 100  # of JSON, at most: a row, its cell, its index, and room for columns
ASKS_TO_EXPLAIN = re.compile(rb'"%s"\s*:\s*true' % EXPLAIN.encode())


class RequestRejected(Exception):
    """An answer to the caller in place of a verdict; ``retry_after``: in how many seconds to try again."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.retry_after = status, retry_after


@dataclass(frozen=True)
class Batch:
    """The photos of a request, and whether each verdict comes with an explanation."""

    photos: list[bytes]
    explain: bool


def check_content_type(value: str | None) -> None:
    """Raises RequestRejected for all but JSON. Pages of other sites can send anything else without being asked."""
    header = Message()
    header["content-type"] = value or ""
    charset = header.get_content_charset("utf-8")
    if value is None or header.get_content_type() != "application/json" or charset != "utf-8":
        raise RequestRejected(415, f"send the header Content-Type: application/json, and {EXAMPLE}")


def asks_to_explain(body: bytes) -> bool:
    """Whether a request asks for explanations, without reading it as JSON: a photo in base64 has no quotes."""
    return ASKS_TO_EXPLAIN.search(body) is not None


def read_batch(body: bytes, *, max_batch: int, max_explained: int) -> Batch:
    """Read a request. Raises RequestRejected, with 413 for too many photos and 400 for what cannot be read."""
    _count_values(body, max_batch)
    request = _parse(body)
    cells = _cells(request)
    explain = _read_params(request.get("params"))
    if len(cells) > max_batch:
        raise RequestRejected(413, f"{len(cells)} photos at once; at most {max_batch}")
    if explain and len(cells) > max_explained:
        raise RequestRejected(413, f"{len(cells)} photos to explain at once; at most {max_explained}")
    return Batch([_photo(cell) for cell in cells], explain)


def write_table(table: pd.DataFrame) -> str:
    """A table as MLflow's server answers it: an object per row, under `predictions`."""
    text = StringIO()
    predictions_to_json(table, text)
    return text.getvalue()


def _count_values(body: bytes, max_batch: int) -> None:
    """Every value of JSON follows a comma or a bracket, and base64 has neither."""
    values = sum(body.count(sign) for sign in (b",", b"[", b"{"))
    if values > max_batch * VALUES_PER_PHOTO + OTHER_VALUES:
        raise RequestRejected(413, f"at most {max_batch} photos at once; this request has {values:,} values")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body.decode())
    except (ValueError, RecursionError):  # no text, no JSON, a number of 5,000 digits, deeper than Python reads
        raise _unreadable("this is not JSON") from None
    if not isinstance(request, dict):
        raise _unreadable("this is no JSON object")
    return request


def _cells(request: dict[str, Any]) -> list[Any]:
    """What stands in the column of the photos. Raises RequestRejected."""
    if others := [form for form in OTHER_FORMS if form in request]:
        raise _unreadable(f"{others[0]!r} is not read here")
    forms = [form for form in READERS if form in request]
    if len(forms) != 1:
        raise _unreadable(f"one of {', '.join(READERS)} is needed")
    try:
        return READERS[forms[0]](request[forms[0]])
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        raise _unreadable(f"{forms[0]} has no whole column {IMAGE!r}") from None


def _split(table: Any) -> list[Any]:
    place, rows = table["columns"].index(IMAGE), table["data"]
    if any(len(row) != len(table["columns"]) for row in rows):
        raise ValueError("a ragged table")
    return [row[place] for row in rows]


def _records(rows: Any) -> list[Any]:
    return [row[IMAGE] for row in rows]


READERS = {"dataframe_split": _split, "dataframe_records": _records}


def _read_params(params: Any) -> bool:
    """Raises RequestRejected for another type; as with MLflow, params that the model does not have are ignored."""
    if params is None:
        return False
    explain = params.get(EXPLAIN, False) if isinstance(params, dict) else None
    if not isinstance(explain, bool):
        raise _unreadable(f'params are an object, and {EXPLAIN} is true or false: {{"params": {{"{EXPLAIN}": true}}}}')
    return explain


def _photo(cell: Any) -> bytes:
    try:
        return base64.decodebytes(cell.encode("ascii"))  # as MLflow does: line breaks are ignored
    except (AttributeError, ValueError):
        raise _unreadable("a photo is a text in base64") from None


def _unreadable(problem: str) -> RequestRejected:
    return RequestRejected(400, f"{problem}; send JSON like {EXAMPLE}")
