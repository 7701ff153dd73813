"""How errors end a task."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.errors import CatError

P = ParamSpec("P")
R = TypeVar("R")


def no_retry_on_input_error(function: Callable[P, R]) -> Callable[P, R]:
    """Below ``@task``: a CatError is about the input, so no retry can help; its sentence ends the task at once."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except CatError as error:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error

    return run


def skip_on_error(function: Callable[P, R]) -> Callable[P, R]:
    """Below ``@task``, for what only informs: where no retry is left, or none can help, an error skips the task."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            this = get_current_context()["ti"]
            if not isinstance(error, CatError) and this.try_number <= this.max_tries:
                raise
            raise AirflowSkipException(f"{type(error).__name__}: {error}") from error

    return run
