"""HTTP client of the model server, for the app, the DAGs and the command line."""

import base64
import time
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from include.errors import BadSetting, NoModelYet, ServerBusy, ServerError, ServerStarting
from include.records import Verdict

ENVELOPE = 1_000  # bytes of a request around its photos; more than enough for the JSON of a batch
Headers = Mapping[str, str]
NO_HEADERS: Headers = {}
TIMEOUT = 60.0  # seconds; an answer takes milliseconds, but longer while the server loads a new model
PATIENCE = 20.0  # seconds, in which a request that a busy server sends away is sent again
STARTING = "starting"  # the server's word for it


VERDICTS = TypeAdapter(list[Verdict])


def predict(
    url: str,
    photos: Sequence[bytes],
    *,
    explain: bool = False,
    headers: Headers = NO_HEADERS,
    timeout: float = TIMEOUT,
    patience: float = PATIENCE,
) -> list[Verdict]:
    """One verdict per photo, in order. Raises NoModelYet before the first champion, ServerStarting, BadSetting for a
    wrong token, ServerBusy, ServerError for any other failure.

    With ``explain`` each verdict has a heat map; the server then accepts only a few photos per request. ``headers``
    are ``Settings.server_headers``, ``timeout`` is in seconds. While the server is busy the request is sent again, for
    ``patience`` seconds.
    """
    rows = [[base64.b64encode(photo).decode()] for photo in photos]
    body = {"dataframe_split": {"columns": ["image"], "data": rows}, "params": {"explain": explain}}
    answer = _send("POST", f"{url}/invocations", headers, timeout, patience=patience, json=body)
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


def _send(method: str, url: str, headers: Headers, timeout: float, *, patience: float = 0.0, **options: Any) -> Any:
    end = time.monotonic() + patience
    while pause := _pause(response := _send_once(method, url, headers, timeout, options)):
        if time.monotonic() + pause > end:
            raise ServerBusy(f"the model server at {url} is busy ({response.text[:200]}): try again in {pause:.0f} s")
        time.sleep(pause)
    return _read(url, response)


def _send_once(method: str, url: str, headers: Headers, timeout: float, options: dict[str, Any]) -> httpx.Response:
    try:
        return _http().request(method, url, timeout=timeout, headers=headers, **options)
    except httpx.HTTPError as error:
        problem = f"the model server at {url} does not answer ({type(error).__name__})"
        raise ServerError(f"{problem}: is it running?") from error


def _pause(response: httpx.Response) -> float:
    """In how many seconds a busy server wants to be asked again; 0 where it is not busy."""
    busy = response.status_code in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
    wanted = response.headers.get("retry-after", "")
    return float(wanted) if busy and wanted.isdigit() else 0.0


def _read(url: str, response: httpx.Response) -> Any:
    """The answer as JSON, or the error that stands for its status."""
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        if STARTING in response.text:
            raise ServerStarting(f"the model server at {url} is starting: try again in a few seconds")
        raise NoModelYet(f"the model server at {url} has no model yet: run the DAG retrain")
    if response.status_code == httpx.codes.UNAUTHORIZED:
        raise BadSetting(f"the model server at {url} wants another token: put its own into the file server_token")
    if not response.is_success:
        raise ServerError(f"the model server at {url} answered {response.status_code}: {response.text[:200]}")
    try:
        return response.json()
    except ValueError as error:
        raise ServerError(f"what answers at {url} is no model server: {response.text[:200]}") from error
