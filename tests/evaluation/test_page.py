"""The page and its plots, from an evaluation of simulated scores."""

import base64
import re
from dataclasses import asdict
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from include.evaluation.page import render_page, summarize
from include.evaluation.plots import draw_confusion, draw_precision_recall, draw_reliability, draw_slices
from include.evaluation.slices import Slice, slice_metrics
from include.pages.images import data_url
from include.question import NEGATIVE, POSITIVE, Question
from include.records import DecisionRule
from tests.models import QUESTION
from tests.pictures import plain

RULE = DecisionRule(0.5, 0.2, 0.8, (0,), slope=0.9, intercept=-0.3)
CHOSEN: dict[str, object] = {"rule": "even_odds", "precision_floor": 0.8, "sure_from": 0.8}
CHOSEN |= {"photos": 7200, "positives": 1800, "scores": "out of fold"}
UNCERTAINTY = {"unsure": 0.21, "sure_false_negatives": 0.06, "sure_false_positives": 0.11}
NAMES = {"dataset": "<script>alert(1)</script>", "mlflow_run": "m1"}


def scores(count: int = 200) -> pd.DataFrame:
    """Cats are separated from selfies well, from dogs hardly."""
    rng = np.random.default_rng(5)
    source = np.tile(["cats", "dogs", "selfies", "cats"], count // 4)
    middle = pd.Series(source).map({"cats": 0.6, "dogs": 0.5, "selfies": 0.1}).to_numpy(float)
    properties = {name: rng.random(count) for name in ("brightness", "size", "sharpness")}
    label = [QUESTION.label_of(name) for name in source]
    probability = np.clip(rng.normal(middle, 0.2), 0, 1)
    return pd.DataFrame({"source": source, "label": label, "probability": probability} | properties)


@pytest.fixture(scope="module")
def slices() -> list[Slice]:
    return slice_metrics(scores(), QUESTION, threshold=0.4, seed=0)


def plots(slices: list[Slice], threshold: float = 0.4) -> dict[str, Figure]:
    photos = scores()
    positive, probability = (photos["label"] == POSITIVE).to_numpy(bool), photos["probability"].to_numpy(float)
    return {
        "confusion": draw_confusion(positive, probability, threshold=threshold, noun="a cat"),
        "precision_recall": draw_precision_recall(positive, probability, threshold=threshold),
        "reliability": draw_reliability(positive, probability, noun="a cat"),
        "slices": draw_slices(slices),
    }


def errors(count: int) -> list[dict]:
    """Each beside a base photo, which is shown, and an upload, which is not."""
    teal = data_url(plain("teal"), "image/jpeg")
    cat = {"key": "base/cats/1", "source": "cats", "label": POSITIVE, "picture": teal}
    upload = {"key": "uploads/u7/photo.jpg", "source": "uploads", "label": NEGATIVE, "picture": None, "photo_id": "u7"}
    wrong = {"key": "base/dogs/1", "source": "dogs", "label": NEGATIVE, "picture": teal, "probability": 0.93}
    return [wrong | {"neighbours": [cat, upload]}] * count


def render(
    slices: list[Slice],
    *,
    shown: int = 8,
    wrong: int = 40,
    rule: DecisionRule = RULE,
    chosen: dict[str, object] = CHOSEN,
    question: Question = QUESTION,
) -> str:
    evaluation = NAMES | {"decision_rule": asdict(rule), "chosen": chosen, "uncertainty": UNCERTAINTY}
    return render_page(evaluation, slices, question, plots=plots(slices), errors=errors(shown), error_count=wrong)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)).replace(" .", ".")


@pytest.fixture(scope="module")
def page(slices: list[Slice]) -> str:
    return render(slices)


class Reader(HTMLParser):
    """What a browser would fetch or run, and which tags stay open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    read = Reader(page)
    assert len(read.sources) == 4 + 8 * 2
    assert all(source.startswith("data:image/") for source in read.sources)
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert "@import" not in page
    assert "url(" not in page
    assert read.open == []
    assert len(page) < 3_000_000


def test_every_picture_can_be_decoded(page: str) -> None:
    pictures = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert sorted(name for name, _ in pictures) == [*["jpeg"] * 16, *["svg+xml"] * 4]
    for name, body in pictures:
        content = base64.b64decode(body)
        if name == "jpeg":
            assert Image.open(BytesIO(content)).size == (64, 48)
        else:
            assert b"<svg" in content


def test_it_begins_with_the_summary(page: str, slices: list[Slice]) -> None:
    summary = summarize(slices[0], slices, QUESTION)
    assert text_of(page).index(summary) < text_of(page).index("Metrics")
    recall = slices[0].metrics["recall"]
    assert recall.low is not None
    assert f"Of 100 photos of a cat, this model finds {100 * recall.value:.0f} ({100 * recall.low:.0f} to" in summary
    assert "weakest on: cats against dogs" in summary


def test_another_question_has_its_own_words(slices: list[Slice]) -> None:
    question = Question(noun="a pet", text="Are you a pet?")
    text = text_of(render(slices, question=question))
    assert "Are you a pet? Evaluation" in text
    assert "Of 100 photos of a pet, this model finds" in text
    assert "cats: a pet u7 uploads: not a pet" in text


def test_every_metric_is_shown_with_its_interval_and_a_warning(page: str, slices: list[Slice]) -> None:
    for metric in slices[0].metrics.values():
        assert f"<b>{metric.value:.3f}</b>" in page
        assert f"{metric.low:.3f} to {metric.high:.3f}" in page
    assert "photos from elsewhere are usually harder" in text_of(page)


def test_each_error_stands_beside_the_photos_that_are_like_it(page: str) -> None:
    text = text_of(page)
    assert "The worst 8 of its 40 errors" in text
    assert text.count("dogs, P(positive) 0.93 cats: a cat u7 uploads: not a cat") == 8


@pytest.mark.parametrize(
    ("shown", "wrong", "heading"),
    [(0, 0, "It made no error on these photos."), (1, 1, "Its only error"), (3, 3, "Its 3 errors")],
)
def test_few_errors_have_their_own_heading(slices: list[Slice], shown: int, wrong: int, heading: str) -> None:
    text = text_of(render(slices, shown=shown, wrong=wrong))
    assert heading in text
    assert "The worst" not in text


def test_it_explains_how_scores_become_verdicts(page: str) -> None:
    text = text_of(page)
    for part in ("0.900 , -0.300", "0.500", "0.200 to 0.800", "7,200 photos of train and val, 1,800 of them positive"):
        assert part in text
    assert "fitted on the out-of-fold scores" in text
    assert "A slope below 1: the network was overconfident." in text
    assert "That is even odds" in text
    assert "less than 80 % probable" in text
    assert "On test 21 % of photos were unsure" in text


def test_a_threshold_for_precision_is_explained(slices: list[Slice]) -> None:
    chosen = CHOSEN | {"rule": "recall_at_precision", "precision_floor": 0.95, "scores": "val"}
    rule = DecisionRule(0.7, 0.368, 0.903, (0,), slope=1.2, intercept=0.1)
    text = text_of(render(slices, rule=rule, chosen=chosen))
    assert "lowest threshold that is expected to reach a precision of 0.95" in text
    assert "It differs from one half: a photo that is more probably positive can be called negative." in text
    assert "by less than a factor of 4" in text
    assert "scores of 7,200 photos of val," in text
    assert "out-of-fold" not in text


def test_without_a_slice_to_compare_the_summary_names_no_weakness(slices: list[Slice]) -> None:
    assert "weakest" not in summarize(slices[0], slices[:1], QUESTION)


@pytest.mark.parametrize("threshold", [0.4, 1.1])  # at 1.1 nothing is predicted positive
def test_plots_can_be_saved(slices: list[Slice], tmp_path: Path, threshold: float) -> None:
    for name, figure in plots(slices, threshold).items():
        figure.savefig(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.convert("L").getextrema() == (0, 255)  # black lines on white
