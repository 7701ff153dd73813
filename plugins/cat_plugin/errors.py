"""How errors end a task, and who hears of a failed run."""

import functools
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule, get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from include.errors import BadSetting, InputError

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")


class WrongInput(SystemExit):
    """How a task ends after an InputError was logged: Airflow logs no stack trace of an exit."""


# Wrong input stays wrong: such a task fails at once. All other errors use the task's retries.
RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(
            exception=[InputError, WrongInput], action=RetryAction.FAIL, reason="wrong input: a retry cannot help"
        )
    ]
)


def skip_on_error(function: Callable[P, R]) -> Callable[P, R]:
    """Below ``@task``, for what only informs: where no retry is left, or none can help, an error skips the task."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            this = get_current_context()["ti"]
            if not isinstance(error, InputError) and this.try_number <= this.max_tries:
                raise
            raise AirflowSkipException(f"{type(error).__name__}: {error}") from error

    return run


def on_failure(context: dict[str, Any]) -> None:
    """Callback of a failed DAG run: a log line, and a message to the webhook of ``CAT_ALERT_WEBHOOK`` if it is set.

    The body is {"text": ...}, as Slack and Mattermost accept it. A webhook that fails costs only its message.
    """
    from include.configuration import read_settings

    message = f"{context['dag'].dag_id}: the run {context['run_id']} failed ({context.get('reason', 'see its tasks')})"
    log.error("%s", message)
    try:
        webhook = read_settings().alert_webhook
    except BadSetting as error:
        log.warning("%s", error)
        return
    if webhook:
        import httpx

        try:
            httpx.post(webhook, json={"text": message}, timeout=10).raise_for_status()
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("the webhook does not take the message: %s", type(error).__name__)
