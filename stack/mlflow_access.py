"""Who may do what in MLflow: the `authorization_function` of its server, on the laptop and in containers alike.

Two users: the pipeline writes, the reader reads. Where the reader has no password, reading needs no login. Nobody
chooses where artifacts lie: a folder of the project as an experiment's location would let uploads become code.
"""

import hmac
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, request
from mlflow.server.auth import make_basic_auth_response, store
from werkzeug.datastructures import Authorization

PIPELINE, READER = "pipeline", "reader"
# POST requests that read, by the end of their path; MLflow's GraphQL has queries only.
READING = ("/search", "/search-datasets", "/graphql", "/get-history-bulk-interval")
LOCATIONS = {"artifactlocation", "defaultartifactroot"}


def authorize() -> Authorization | Response:
    """MLflow's answer to a request that may not pass, or the user whom MLflow's own rules then see."""
    user = _user()
    if user is None or (user == READER and not _reads() and request.authorization is None):
        return make_basic_auth_response()
    if user == READER and not _reads():
        return Response("The reader may not write: log in as the pipeline.", 403)
    if _names_location(_body()) or _names_location(request.args.to_dict()):
        return Response("Artifact locations are not chosen by requests: leave artifact_location out.", 403)
    _make_known(user)
    return Authorization("basic", {"username": user, "password": ""})


def password_of(user: str) -> str | None:
    """From the file `mlflow_<user>_password` of the secrets; MLflow's server has no other setting of ours."""
    path = Path(os.environ["CAT_SECRETS_DIR"]) / f"mlflow_{user}_password"
    return path.read_text().strip() if path.is_file() else None


def _user() -> str | None:
    """Whose password was given; without one the reader, if he needs none."""
    given = request.authorization
    if given is None:
        return None if password_of(READER) else READER
    expected = password_of(str(given.username)) if given.username in (PIPELINE, READER) else None
    matches = expected and hmac.compare_digest(str(given.password).encode(), expected.encode())
    return given.username if matches else None


def _reads() -> bool:
    return request.method in ("GET", "HEAD", "OPTIONS") or request.method == "POST" and request.path.endswith(READING)


def _body() -> Any:
    """The JSON of a request, as MLflow reads it: whatever its content type, and JSON within a JSON string, too."""
    body = request.get_json(force=True, silent=True)
    try:
        return json.loads(body) if isinstance(body, str) else body
    except ValueError:
        return None


def _names_location(given: Any) -> bool:
    """At any depth, and in both spellings of MLflow's protocol: artifact_location and artifactLocation."""
    if isinstance(given, list):
        return any(map(_names_location, given))
    if not isinstance(given, dict):
        return False
    named = any(name.replace("_", "").lower() in LOCATIONS and value for name, value in given.items())
    return named or any(map(_names_location, given.values()))


@cache
def _make_known(user: str) -> None:
    """MLflow's rules look a user up in MLflow's own database; no password there opens anything."""
    if not store.has_user(user):
        store.create_user(user, os.urandom(24).hex(), is_admin=user == PIPELINE)
