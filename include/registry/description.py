"""What a person reads beside a model and its versions in MLflow."""

from collections.abc import Mapping
from typing import Any

from include.pages.rendering import PAGES
from include.question import Question
from include.records import Decision


def describe_model(question: Question) -> str:
    """Markdown, beside the registered model."""
    return (
        f"Answers for a photo: {question.text} The alias `champion` names the version that serves. The DAG `retrain` "
        "moves it when a new version passes the gate; `cat-retrain promote VERSION` moves it by hand."
    )


def render_description(evaluation: Mapping[str, Any], decision: Decision, *, summary: str, page: str) -> str:
    """Markdown, beside a version: from the ``evaluation.json`` of its run, and the gate's decision.

    ``summary`` is the decision in one sentence, ``page`` the link to its page.
    """
    template = PAGES.get_template("description.md.j2")
    return template.render(evaluation=evaluation, decision=decision, summary=summary, page=page).strip()
