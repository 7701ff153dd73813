"""An evaluation as one HTML file that a person reads: nothing is fetched from elsewhere, nothing runs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from include.model.slices import BASE, Slice
from include.records import Figures, Interval

TITLES = {
    "precision": ("Precision", "of the photos called a cat, the share that are cats"),
    "recall": ("Recall", "of the cats, the share that are found"),
    "f1": ("F1", "the harmonic mean of both"),
    "average_precision": ("Average precision", "precision over all thresholds, weighted by the recall gained"),
    "roc_auc": ("Area under the ROC curve", "how often a cat scores above another photo"),
    "calibration_error": (
        "Calibration error",
        "how far P(cat) lies from the true share of cats, root mean square",
    ),
}


@dataclass(frozen=True)
class Chosen:
    """How threshold, temperature and bounds were chosen, and on how many photos."""

    rule: str
    precision_floor: float
    coverage: float
    photos: int
    cats: int


@dataclass(frozen=True)
class Doubt:
    """Shares of the base photos of test: unsure ones, cats surely denied, others surely called a cat."""

    unsure: float
    cats_denied: float
    others_taken: float


def render_page(
    names: dict[str, str],
    figures: Figures,
    chosen: Chosen,
    doubt: Doubt,
    slices: Sequence[Slice],
    *,
    pictures: dict[str, Figure],
    mistakes: Figure,
    wrong: int,
) -> str:
    """The whole page; ``names`` are shown at its foot, ``wrong`` is how many base photos were judged wrong."""
    room = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    base = next(one for one in slices if one.by == BASE)
    rows = [(*TITLES[name], found) for name, found in base.figures.items()]
    return room.get_template("evaluation_page.html").render(
        verdict=tell(base, slices), rows=rows, base=base, doubt=asdict(doubt), chosen=asdict(chosen),
        figures=asdict(figures), names=names, wrong=wrong, mistakes=_embed(mistakes, "jpeg"),
        pictures={name: _embed(picture, "svg+xml") for name, picture in pictures.items()},
    )  # fmt: skip


def tell(base: Slice, slices: Sequence[Slice]) -> str:
    """The verdict in words: what it finds, what its calls are worth, and where it is weakest.

    Weakest by the area under the ROC curve: precision and F1 would also tell how rare cats are in a slice.
    """
    found = (
        f"Of 100 cats this model finds {_of_100(base.figures['recall'])}, "
        f"and of 100 photos that it calls a cat {_of_100(base.figures['precision'])} are cats."
    )
    others = [one for one in slices if one.by != BASE and not one.few]
    if not others:
        return found
    weakest = min(others, key=lambda one: one.figures["roc_auc"].value)
    area, whole = weakest.figures["roc_auc"].value, base.figures["roc_auc"].value
    return f"{found} It is weakest on: {weakest.about} (area under the ROC curve {area:.2f}, over all {whole:.2f})."


def _of_100(figure: Interval) -> str:
    told = f"{100 * figure.value:.0f}"
    return (
        told
        if figure.low is None or figure.high is None
        else f"{told} ({100 * figure.low:.0f} to {100 * figure.high:.0f})"
    )


def _embed(picture: Figure, kind: str) -> str:
    """A picture as a data URL."""
    file = io.BytesIO()
    picture.savefig(file, format=kind.partition("+")[0])
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
