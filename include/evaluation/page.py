"""An evaluation as one HTML file for people: it fetches nothing and runs nothing."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from include.evaluation.plots import to_data_url
from include.evaluation.slices import BASE, Slice
from include.pages.rendering import PAGES
from include.question import Question
from include.records import Interval


def render_page(
    evaluation: Mapping[str, Any],
    slices: Sequence[Slice],
    question: Question,
    *,
    plots: Mapping[str, Figure],
    errors: Sequence[dict[str, Any]],
    error_count: int,
) -> str:
    """The page of what is stored as ``evaluation.json``; ``error_count`` is the number of wrong base photos of test.

    ``errors`` are the worst of these: records of ``nearest_neighbours.with_neighbours``, with source and probability.
    """
    base = next(part for part in slices if part.by == BASE)
    return PAGES.get_template("evaluation.html.j2").render(
        title=f"{question.text} Evaluation of the training on dataset {evaluation['dataset'][:12]}",
        question=question,
        summary=summarize(base, slices, question),
        base=base,
        evaluation=evaluation,
        error_count=error_count,
        errors=errors,
        plots={name: to_data_url(plot) for name, plot in plots.items()},
    )


def summarize(base: Slice, slices: Sequence[Slice], question: Question) -> str:
    """Recall and precision in words, and the weakest slice.

    Weakest by the area under the ROC curve: precision and F1 also depend on how rare positive photos are in a slice.
    """
    noun = question.noun
    summary = (
        f"Of 100 photos of {noun}, this model finds {_of_100(base.metrics['recall'])}. "
        f"Of 100 photos that it calls {noun}, {_of_100(base.metrics['precision'])} are."
    )
    others = [part for part in slices if part.by != BASE and not part.few]
    if not others:
        return summary
    weakest = min(others, key=lambda part: part.metrics["roc_auc"].value)
    area, overall = weakest.metrics["roc_auc"].value, base.metrics["roc_auc"].value
    if area >= overall:
        return summary
    return f"{summary} It is weakest on: {weakest.about} (area under the ROC curve {area:.3f}, overall {overall:.3f})."


def _of_100(metric: Interval) -> str:
    value = f"{100 * metric.value:.0f}"
    if metric.low is None or metric.high is None:
        return value
    return f"{value} ({100 * metric.low:.0f} to {100 * metric.high:.0f})"
