"""The page and its pictures, from an evaluation of drawn scores."""

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from include.model.evaluation_page import Chosen, Doubt, render_page, tell
from include.model.plots import (
    Mistake,
    draw_confusion,
    draw_mistakes,
    draw_precision_recall,
    draw_reliability,
    draw_slices,
)
from include.model.slices import Slice, measure_slices
from include.records import Figures

FIGURES = Figures(0.4, 0.2, 0.7, temperature=1.3)


def scores(count: int = 200) -> pd.DataFrame:
    """Cats are told from selfies well, from dogs hardly."""
    rng = np.random.default_rng(5)
    source = np.tile(["cats", "dogs", "selfies", "cats"], count // 4)
    middle = pd.Series(source).map({"cats": 0.6, "dogs": 0.5, "selfies": 0.1}).to_numpy(float)
    looks = {name: rng.random(count) for name in ("brightness", "size", "sharpness")}
    label = np.where(source == "cats", "cat", "not_cat")
    probability = np.clip(rng.normal(middle, 0.2), 0, 1)
    return pd.DataFrame({"source": source, "label": label, "probability": probability} | looks)


@pytest.fixture(scope="module")
def slices() -> list[Slice]:
    return measure_slices(scores(), threshold=0.4, seed=0)


def pictures(slices: list[Slice], threshold: float = 0.4) -> dict[str, Figure]:
    is_cat, probability = (scores()["label"] == "cat").to_numpy(bool), scores()["probability"].to_numpy(float)
    return {
        "confusion": draw_confusion(is_cat, probability, threshold=threshold),
        "precision_recall": draw_precision_recall(is_cat, probability, threshold=threshold),
        "reliability": draw_reliability(is_cat, probability),
        "slices": draw_slices(slices),
    }


@pytest.fixture(scope="module")
def page(slices) -> str:
    photos = [Mistake(Image.new("RGB", (60, 40), "teal"), "dogs", 0.9)] * 8
    names = {"version": "7", "dataset": "<script>alert(1)</script>"}
    chosen = Chosen("best_f1", 0.8, 0.9, photos=350, cats=88)
    doubt = Doubt(unsure=0.21, cats_denied=0.06, others_taken=0.11)
    sheet = draw_mistakes(photos)
    return render_page(names, FIGURES, chosen, doubt, slices, pictures=pictures(slices), mistakes=sheet, wrong=40)


class Reader(HTMLParser):
    """What a browser would fetch or run, and which tags are left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_is_fetched_and_nothing_runs(page):
    read = Reader(page)
    assert len(read.sources) == 5
    assert all(source.startswith("data:image/") for source in read.sources)
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert "@import" not in page
    assert "url(" not in page
    assert read.open == []
    assert len(page) < 3_000_000


def test_every_picture_can_be_seen(page):
    kinds = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert sorted(kind for kind, _ in kinds) == ["jpeg", *["svg+xml"] * 4]
    for kind, body in kinds:
        text = base64.b64decode(body)
        if kind == "jpeg":
            assert Image.open(BytesIO(text)).size > (500, 200)
        else:
            assert b"<svg" in text


def test_it_begins_with_the_verdict(page, slices):
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S))
    verdict = tell(slices[0], slices)
    assert text.index(verdict) < text.index("Figures")
    found = slices[0].figures["recall"]
    assert f"Of 100 cats this model finds {100 * found.value:.0f} ({100 * found.low:.0f} to" in verdict
    assert "weakest on: cats against dogs" in verdict


def test_every_figure_stands_with_its_interval(page, slices):
    for found in slices[0].figures.values():
        assert f"<b>{found.value:.3f}</b>" in page
        assert f"{found.low:.3f} to {found.high:.3f}" in page


def test_it_says_how_scores_become_verdicts(page):
    for told in ("1.300", "0.400", "0.200 to 0.700", "350 photos", "best expected F1", "21 % of photos were unsure"):
        assert told in page
    assert "The worst of its 40 errors" in page


def test_without_a_slice_to_compare_the_verdict_is_the_first_sentence(slices):
    assert "weakest" not in tell(slices[0], slices[:1])


@pytest.mark.parametrize("threshold", [0.4, 1.1])  # at 1.1 nothing is called a cat
def test_pictures_can_be_saved(slices, tmp_path, threshold):
    for name, figure in pictures(slices, threshold).items():
        figure.savefig(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.convert("L").getextrema() == (0, 255)  # black lines on white


def test_a_sheet_without_mistakes_is_empty():
    assert len(draw_mistakes([]).axes) == 6
