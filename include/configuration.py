"""The one check of all settings, by every command and server that starts: each fault is told in a sentence."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource, SettingsError

from include.errors import BadSetting
from include.settings import Settings

PREFIX = "CAT_"
# Variables that are no settings: of docker-compose.yaml, and what the local stack gives its processes.
OF_COMPOSE = {
    *("CAT_AIRFLOW_IMAGE", "CAT_APP_IMAGE", "CAT_MLFLOW_IMAGE", "CAT_POSTGRES_IMAGE", "CAT_PYTHON_IMAGE"),
    *("CAT_REDIS_IMAGE", "CAT_S3_IMAGE", "CAT_SERVER_IMAGE"),
    *("CAT_MLFLOW_ARTIFACTS", "CAT_MLFLOW_HOSTS", "CAT_PHOTOS", "CAT_UID"),
}
OF_THE_STACK = {"CAT_STACK", "CAT_HOME"}
FOLLOWS = "default_factory_not_called"  # no fault of its own, but of another setting
SECRET = {"CAT_ALERT_WEBHOOK"}  # a value that no message shows


def read_settings(**given: Any) -> Settings:
    """The settings of the environment and of ``.env``, with those ``given`` over them.

    Raises BadSetting, which names each variable that is no setting, and each value that cannot work, with the cure.
    """
    faults = [_unknown(name) for name in sorted(given_names() - OF_COMPOSE - OF_THE_STACK - set(known_names()))]
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults += [_cannot_work(wrong) for wrong in error.errors() if wrong["type"] != FOLLOWS]
    except SettingsError as error:
        field = re.findall(r'field "(\w+)"', str(error))
        name = PREFIX + (field[0] if field else "").upper()
        faults.append(f"{name} is a group: set {name}__... one by one, as .env.example shows them, or give it as JSON")
    except (OSError, UnicodeDecodeError) as error:
        faults.append(f".env cannot be read: {error}")
    if faults:
        raise BadSetting("; ".join(faults) + " (.env.example explains all settings)")
    return settings


def settings_or_exit() -> Settings:
    """The settings for a process of their own. Raises SystemExit with a sentence where one cannot work."""
    try:
        return read_settings()
    except BadSetting as error:
        raise SystemExit(str(error)) from None


def known_names(model: type[BaseModel] = Settings, prefix: str = PREFIX) -> Iterator[str]:
    """Every setting as a variable; a group has a name of its own, for JSON, and one for each setting in it."""
    for name, field in model.model_fields.items():
        yield prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from known_names(field.annotation, f"{prefix}{name.upper()}__")


def given_names() -> set[str]:
    """The names of environment and ``.env`` that are meant for this project."""
    try:
        variables = [*EnvSettingsSource(Settings).env_vars, *DotEnvSettingsSource(Settings).env_vars]
    except (OSError, UnicodeDecodeError):  # Settings says so
        return set()
    return {name.upper() for name in variables if name.upper().startswith(PREFIX)}


def _unknown(name: str) -> str:
    close = get_close_matches(name, list(known_names()), n=1, cutoff=0.7)
    return f"{name} is no setting: " + (f"did you mean {close[0]}?" if close else "take it away")


def _cannot_work(wrong: ErrorDetails) -> str:
    reason = wrong["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    if wrong["type"] == "string_pattern_mismatch":
        reason = "it should have small letters, digits, - and _ only"
    if not wrong["loc"]:  # about several settings, which the reason names
        return reason
    name = PREFIX + "__".join(part.upper() for part in wrong["loc"] if isinstance(part, str))
    value = wrong["input"]
    shown = "" if name in SECRET or not isinstance(value, str | int | float) else f"={value}"
    return f"{name}{shown} cannot work: {reason}"
