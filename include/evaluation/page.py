"""An evaluation as one HTML file that a person reads: nothing is fetched from elsewhere, nothing runs."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from include.evaluation.slices import BASE, Slice
from include.pages.rendering import PAGES
from include.records import Interval


def render_page(
    evaluation: Mapping[str, Any],
    slices: Sequence[Slice],
    *,
    pictures: Mapping[str, Figure],
    mistakes: Sequence[dict[str, Any]],
    wrong: int,
) -> str:
    """The whole page of what is kept as ``evaluation.json``; ``wrong`` is how many base photos were judged wrong.

    ``mistakes`` are the worst of these: records as ``neighbours.with_neighbours`` makes them, with source, probability.
    """
    base = next(part for part in slices if part.by == BASE)
    return PAGES.get_template("evaluation.html.j2").render(
        title=f"Are you a cat? Evaluation of version {evaluation['version']}",
        verdict=verdict_in_words(base, slices),
        base=base,
        evaluation=evaluation,
        wrong=wrong,
        mistakes=mistakes,
        pictures={name: _embed(picture) for name, picture in pictures.items()},
    )


def verdict_in_words(base: Slice, slices: Sequence[Slice]) -> str:
    """The verdict in words: what it finds, what its calls are worth, and where it is weakest.

    Weakest by the area under the ROC curve: precision and F1 would also tell how rare cats are in a slice.
    """
    verdict = (
        f"Of 100 cats this model finds {_of_100(base.figures['recall'])}, "
        f"and of 100 photos that it calls a cat {_of_100(base.figures['precision'])} are cats."
    )
    others = [part for part in slices if part.by != BASE and not part.few]
    if not others:
        return verdict
    weakest = min(others, key=lambda part: part.figures["roc_auc"].value)
    area, whole = weakest.figures["roc_auc"].value, base.figures["roc_auc"].value
    return f"{verdict} It is weakest on: {weakest.about} (area under the ROC curve {area:.3f}, over all {whole:.3f})."


def _of_100(metric: Interval) -> str:
    value = f"{100 * metric.value:.0f}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value} ({100 * metric.low:.0f} to {100 * metric.high:.0f})"


def _embed(picture: Figure) -> str:
    """A picture as a data URL."""
    file = io.BytesIO()
    picture.savefig(file, format="svg")
    return f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
