"""`.env.example` names every setting and its default."""

import re

import pytest
from pydantic import BaseModel

from include.settings import ROOT, Settings

# Given there in place of "not set", or of a path that differs from one machine to another.
EXAMPLES = {
    "CAT_STATE_DIR",
    "CAT_SECRETS_DIR",
    "CAT_S3_ENDPOINT_URL",
    "CAT_ALERT_WEBHOOK",
    "CAT_GATE__MARGIN",
    "CAT_INGEST_SCHEDULE",
    "CAT_RETRAIN_SCHEDULE",
    "CAT_VALIDATION__PYTHON",
}


def defaults(settings: BaseModel, prefix: str = "CAT_") -> dict[str, str]:
    """Every setting as a variable, with a variable for each setting of a group."""
    values: dict[str, str] = {}
    for field in type(settings).model_fields:
        value, name = getattr(settings, field), prefix + field.upper()
        values |= defaults(value, f"{name}__") if isinstance(value, BaseModel) else {name: _text(value)}
    return values


def _text(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def test_every_setting_is_in_the_example_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Settings.model_config, "env_file", None)  # a developer's own .env
    text = (ROOT / ".env.example").read_text()
    listed = dict(re.findall(r"^#(CAT_\w+)=(.*)$", text, re.MULTILINE))
    expected = defaults(Settings())
    assert sorted(listed) == sorted(expected)
    assert {name for name in expected if not _equal(listed[name], expected[name])} <= EXAMPLES


def _equal(listed: str, default: str) -> bool:
    """Numbers by their value: 12 and 12.0 are one."""
    try:
        return float(listed) == float(default)
    except ValueError:
        return listed == default
