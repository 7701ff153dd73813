"""Airflow's task decorators, for functions that may meet wrong input: it ends a task with one sentence in its log.

Airflow logs every exception with its stack trace, which tells nothing about wrong input, but an exit without one.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

from airflow.sdk import task as airflow_task

from cat_plugin.errors import WrongInput
from include.errors import InputError
from include.quiet_import import import_tensorflow_quietly

log = logging.getLogger(__name__)


def one_sentence(function: Callable[..., Any]) -> Callable[..., Any]:
    """Log an InputError as one line, and end the task. All other errors rise as they are."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        import_tensorflow_quietly()
        try:
            return function(*args, **kwargs)
        except InputError as error:
            log.error("%s: %s", type(error).__name__, error)
            raise WrongInput(1) from None

    return run


def _with_sentence(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """The decorator, with or without options, around a function of which ``one_sentence`` takes care."""

    def decorate(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is not None:
            return decorator(one_sentence(function))
        return lambda function: decorator(**options)(one_sentence(function))

    return decorate


task = _with_sentence(airflow_task)
branch = _with_sentence(airflow_task.branch)
short_circuit = _with_sentence(airflow_task.short_circuit)
