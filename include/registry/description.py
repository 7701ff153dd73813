"""What a person reads beside a model version in MLflow: its dataset, its metrics, and what the gate said of it."""

from collections.abc import Mapping
from typing import Any

from include.pages.rendering import PAGES
from include.records import Decision

MODEL_DESCRIPTION = (
    "Says of a photo whether it shows a cat. The alias `champion` names the version that serves; the DAG `retrain` "
    "moves it when a new version passes the gate, and `python -m include.promotion.console` by hand."
)


def render_description(evaluation: Mapping[str, Any], decision: Decision) -> str:
    """Markdown, from the ``evaluation.json`` of a run and its decision."""
    return PAGES.get_template("description.md.j2").render(evaluation=evaluation, decision=decision).strip()
