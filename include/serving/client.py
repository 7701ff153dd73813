"""HTTP client of the model server, for the app, the DAGs and the command line."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from include.errors import BadSetting, NoModelYet, ServerError
from include.records import Verdict

ENVELOPE = 1_000  # bytes of a request around its photos; more than enough for the JSON of a batch
Headers = Mapping[str, str]
NO_HEADERS: Headers = {}
TIMEOUT = 60.0  # seconds; an answer takes milliseconds, but longer while the server loads a new model


VERDICTS = TypeAdapter(list[Verdict])


def predict(
    url: str,
    photos: Sequence[bytes],
    *,
    explain: bool = False,
    headers: Headers = NO_HEADERS,
    timeout: float = TIMEOUT,
) -> list[Verdict]:
    """One verdict per photo, in order. Raises NoModelYet before the first champion, BadSetting for a wrong token,
    ServerError for any other failure.

    With ``explain`` each verdict has a heat map; the server then accepts only a few photos per request. ``headers``
    are ``Settings.server_headers``, ``timeout`` is in seconds.
    """
    rows = [[base64.b64encode(photo).decode()] for photo in photos]
    body = {"dataframe_split": {"columns": ["image"], "data": rows}, "params": {"explain": explain}}
    answer = _send("POST", f"{url}/invocations", headers, timeout, json=body)
    try:
        verdicts = VERDICTS.validate_python(answer["predictions"])
        if len(verdicts) != len(photos) or not all(map(_is_sound, verdicts)):
            raise ValueError(f"{len(verdicts)} verdicts about {len(photos)} photos")
    except (KeyError, TypeError, ValidationError, ValueError) as error:
        raise ServerError(f"what answers at {url} is not our model server: {str(answer)[:200]}") from error
    return verdicts


def _is_sound(verdict: Verdict) -> bool:
    """A probability with a verdict, or an error; NaN is neither."""
    if verdict.probability is None:
        return verdict.error is not None
    return 0 <= verdict.probability <= 1 and verdict.is_positive is not None and verdict.unsure is not None


def bytes_of_photos(request_bytes: int) -> int:
    """How many bytes of photos fit into a request: base64 takes four bytes for three."""
    return max(request_bytes - ENVELOPE, 0) * 3 // 4


def live(url: str, *, headers: Headers = NO_HEADERS, timeout: float = TIMEOUT) -> dict[str, Any]:
    """What the server serves: model_version, sha256, dataset, since, rejected. Raises NoModelYet or ServerError."""
    answer = _send("GET", f"{url}/live", headers, timeout)
    if not isinstance(answer, dict):
        raise ServerError(f"what answers at {url} is not our model server: {str(answer)[:200]}")
    return answer


@cache
def _http() -> httpx.Client:
    """One for the process, whose threads may share it: to make one takes 20 ms.

    It gives up idle connections before a server does, which would end requests that were just sent.
    """
    return httpx.Client(limits=httpx.Limits(keepalive_expiry=1))


def _send(method: str, url: str, headers: Headers, timeout: float, **options: Any) -> Any:
    try:
        response = _http().request(method, url, timeout=timeout, headers=headers, **options)
    except httpx.HTTPError as error:
        problem = f"the model server at {url} does not answer ({type(error).__name__})"
        raise ServerError(f"{problem}: is it running?") from error
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        raise NoModelYet(f"the model server at {url} has no model yet: run the DAG retrain")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise BadSetting(f"the model server at {url} wants another token: put its own into the file server_token")
    if not response.is_success:
        raise ServerError(f"the model server at {url} answered {response.status_code}: {response.text[:200]}")
    try:
        return response.json()
    except ValueError as error:
        raise ServerError(f"what answers at {url} is no model server: {response.text[:200]}") from error
