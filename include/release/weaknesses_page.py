"""What Deepchecks found of a model, in words: sentences that warn, and a small page of HTML."""

from typing import Any

from include.data.pages import PAGES
from include.data.validation.findings import say

TOLD = {
    "weak segments": "photos with {subject} are judged right {score:.0%} less often than all photos,"
    " {limit:.0%} is allowed (CAT_VALIDATION__MAX_WEAKNESS, or chance)",
    "simple model comparison": "on test the model makes {score:.2f} times the errors of {subject},"
    " {limit:.2f} times is allowed (CAT_VALIDATION__MAX_ERROR_RATIO)",
    "prediction drift": "{subject} differs between val and test by {score:.3f},"
    " {limit:.3f} is allowed (CAT_VALIDATION__MAX_PREDICTION_DRIFT, or chance)",
}
EXPLAINED = {
    "weak segments": "by how much less often these photos are judged right, as a share of how often all are",
    "simple model comparison": "errors on test as a share of those of a tree that sees no picture; each label counts"
    " half",
    "prediction drift": "Kolmogorov-Smirnov distance of P(cat) between val and test: 0 the same, 1 no overlap",
}


def warnings_of(found: dict[str, Any]) -> list[str]:
    """A sentence for each figure beyond its limit, or for the crash; none of a model that passed."""
    if found["crash"]:
        return [f"the checks of the model crashed: {found['crash']}"]
    return [sentence(one) for one in found["figures"] if not one["passed"]]


def sentence(figure: dict[str, Any]) -> str:
    return say(figure) if figure["score"] is None else TOLD[figure["check"]].format(**figure)


def draw_weaknesses(found: dict[str, Any]) -> str:
    title = f"Weaknesses of version {found['version']}"
    told = [one[:1].upper() + one[1:] for one in warnings_of(found)]
    page = PAGES.get_template("weaknesses.html.j2")
    return page.render(title=title, found=found, warnings=told, explained=EXPLAINED)
