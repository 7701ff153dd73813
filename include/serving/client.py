"""The way in for the app, the DAGs and the command line: photo bytes to verdicts."""

import base64
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import httpx

from include.errors import NoModelYet, ServerError
from include.records import Verdict

ENVELOPE = 1_000  # bytes of a request that are no photos; more than enough for the JSON around a batch
TIMEOUT = 60.0  # seconds; an answer takes milliseconds, unless a new model is loaded beside it


def predict(url: str, photos: Sequence[bytes], *, explain: bool = False) -> list[Verdict]:
    """One verdict per photo, in order. Raises NoModelYet before the first champion, else ServerError.

    With ``explain`` each has a picture of what spoke for it; the server takes only a few photos at once then.
    """
    rows = [[base64.b64encode(photo).decode()] for photo in photos]
    body = {"dataframe_split": {"columns": ["image"], "data": rows}, "params": {"explain": explain}}
    answer = _send("POST", f"{url}/invocations", json=body)
    names = [field.name for field in fields(Verdict)]
    try:
        return [Verdict(**{name: row[name] for name in names}) for row in answer["predictions"]]
    except (KeyError, TypeError) as error:
        raise ServerError(f"what answers at {url} is not our model server: {str(answer)[:200]}") from error


def bytes_of_photos(request_bytes: int) -> int:
    """How many bytes of photos fit into a request: they travel as base64, four bytes for three."""
    return max(request_bytes - ENVELOPE, 0) * 3 // 4


def live(url: str) -> dict[str, Any]:
    """What the server serves: model_version, dataset, since. Raises NoModelYet or ServerError."""
    return dict(_send("GET", f"{url}/live"))


def _send(method: str, url: str, **options: Any) -> Any:
    try:
        response = httpx.request(method, url, timeout=TIMEOUT, **options)
    except httpx.HTTPError as error:
        problem = f"the model server at {url} does not answer ({type(error).__name__})"
        raise ServerError(f"{problem}: is it running?") from error
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise NoModelYet(f"the model server at {url} has no model yet: run the DAG retrain")
    if not response.is_success:
        raise ServerError(f"the model server at {url} answered {response.status_code}: {response.text[:200]}")
    try:
        return response.json()
    except ValueError as error:
        raise ServerError(f"what answers at {url} is no model server: {response.text[:200]}") from error
