"""The check of MLflow at the start of a stack and of each run. Without an MLflow client, whose import is slow."""

import httpx

from include.errors import Unusable
from include.settings import Settings

SECONDS = 6
TRIES = 2
GET = "/api/2.0/mlflow/experiments/get-by-name"


def check_registry(settings: Settings) -> None:
    """MLflow answers, takes our login, and its experiment was not deleted. Takes at most some ten seconds.

    Raises Unusable, which says what is wrong and the cure.
    """
    url = settings.tracking_url
    try:
        answer = _ask(settings)
        body = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL):
        raise Unusable(f"no MLflow answers at {url}: start it, or set CAT_MLFLOW_URL to its address") from None
    except ValueError:
        body = None
    if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        cure = f"put the password of one of its users into {settings.secrets}"
        raise Unusable(f"MLflow at {url} refuses the login: {cure}")
    if not isinstance(body, dict) or not ("experiment" in body or "error_code" in body):
        raise Unusable(f"what answers at {url} is no MLflow: set CAT_MLFLOW_URL to its address")
    experiment = body.get("experiment", {})
    if experiment.get("lifecycle_stage") == "deleted":
        raise Unusable(_restore(settings, experiment["experiment_id"]))


def _ask(settings: Settings) -> httpx.Response:
    transport = httpx.HTTPTransport(retries=TRIES - 1)
    with httpx.Client(timeout=SECONDS, transport=transport, auth=settings.mlflow_login) as http:
        return http.get(settings.tracking_url + GET, params={"experiment_name": settings.question.name})


def _restore(settings: Settings, number: str) -> str:
    password = f"MLFLOW_TRACKING_PASSWORD=\"$(cat '{settings.secrets}/mlflow_pipeline_password')\""
    login = f"MLFLOW_TRACKING_USERNAME=pipeline {password} " if settings.mlflow_login else ""
    command = f"MLFLOW_TRACKING_URI={settings.tracking_url} {login}.venv/bin/mlflow experiments restore"
    return (
        f"the experiment {settings.question.name!r} of MLflow at {settings.tracking_url} was deleted: bring it back by "
        f"`{command} --experiment-id {number}`"
    )
