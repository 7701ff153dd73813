"""A decision of the gate as one HTML page, for the person who has to answer a close call or wants to know why."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from include.dataset.examples import is_positive
from include.evaluation.plots import BLUE, GREY, ORANGE, to_data_url
from include.lake.base import ObjectStore
from include.pages.images import add_pictures, small_pictures
from include.pages.rendering import PAGES
from include.promotion.differences import brier_losses
from include.promotion.gate_words import summarize
from include.question import Question
from include.records import Comparison, Decision, ModelVersion, VersionScores

SHOWN = 12  # photos, each way
SMALLEST = 0.02  # change of the squared error of a photo that is worth showing where the verdict is the same


def render_decision(
    store: ObjectStore,
    decision: Decision,
    test: pd.DataFrame,
    scores: Mapping[ModelVersion, VersionScores],
    question: Question,
    *,
    run_url: str = "",
) -> str:
    """``test`` has the photos of ``scores``, in their order, with the columns key, source and label.

    No picture shows an upload: its photo_id stands in its place.
    """
    challenger = scores[decision.challenger]
    compared = [
        {"comparison": each, "plot": to_data_url(draw_differences(each))}
        | _changes(store, test, challenger, scores[each.against])
        for each in decision.comparisons
    ]
    return PAGES.get_template("decision.html.j2").render(
        title=f"{question.text} The gate's decision about version {decision.challenger}",
        decision=decision,
        summary=summarize(decision),
        compared=compared,
        question=question,
        run_url=run_url,
        today=datetime.now(UTC).date().isoformat(),
    )


def draw_differences(comparison: Comparison) -> Figure:
    """Each difference as a dot with its interval; to the left of its orange tick lies more than its margin."""
    rows = (comparison.overall, *comparison.slices)
    figure = Figure(figsize=(9, 0.9 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, part in enumerate(rows):
        axes.plot([part.low, part.high], [place] * 2, color=BLUE, linewidth=2)
        axes.plot(part.value, place, "o", color=BLUE)
        axes.plot(-part.margin, place, "|", color=ORANGE, markersize=12, markeredgewidth=2)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [f"{part.about}  ({part.photos:,})" for part in rows])
    axes.invert_yaxis()
    axes.set_xlabel("sure errors fewer per 1,000 photos; to the right the challenger is better")
    axes.grid(axis="x", alpha=0.3)
    return figure


def _changes(store: ObjectStore, test: pd.DataFrame, new: VersionScores, old: VersionScores) -> dict[str, Any]:
    """The photos on which the challenger is better, and those on which it is worse.

    Those whose verdict is another come first, and all of them count; then those whose P(positive) changed most.
    """
    positive = is_positive(test)
    right, before = ((scores.probability >= scores.threshold) == positive for scores in (new, old))
    gain = brier_losses(positive, old.probability) - brier_losses(positive, new.probability)
    photos = test.assign(gain=gain, new=new.probability, old=old.probability, flipped=right != before)
    won, lost = right & ~before, before & ~right
    better, worse = (gain >= SMALLEST) & (right == before), (gain <= -SMALLEST) & (right == before)
    return {
        "better": _shown(store, photos[won | better], ascending=False),
        "worse": _shown(store, photos[lost | worse], ascending=True),
    }


def _shown(store: ObjectStore, photos: pd.DataFrame, *, ascending: bool) -> dict[str, Any]:
    ordered = photos.sort_values(["flipped", "gain"], ascending=[False, ascending], kind="stable").head(SHOWN)
    records: Sequence[dict[str, Any]] = add_pictures(ordered, small_pictures(store, ordered["key"]))
    return {"photos": records, "count": len(photos), "flipped": int(photos["flipped"].sum())}
