"""The page and its pictures, from an evaluation of drawn scores."""

import base64
import re
from dataclasses import asdict
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from include.evaluation.page import render_page, verdict_in_words
from include.evaluation.plots import draw_confusion, draw_precision_recall, draw_reliability, draw_slices
from include.evaluation.slices import Slice, slice_metrics
from include.records import DecisionRule
from tests.pictures import plain

RULE = DecisionRule(0.5, 0.2, 0.8, slope=0.9, intercept=-0.3)
CHOSEN = {"rule": "even_odds", "precision_floor": 0.8, "sure_from": 0.8}
CHOSEN |= {"photos": 7200, "cats": 1800, "scores": "out of fold"}
DOUBT = {"unsure": 0.21, "cats_denied": 0.06, "others_taken": 0.11}
NAMES = {"version": "7", "dataset": "<script>alert(1)</script>", "mlflow_run": "m1"}


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
    return slice_metrics(scores(), threshold=0.4, seed=0)


def pictures(slices: list[Slice], threshold: float = 0.4) -> dict[str, Figure]:
    is_cat, probability = (scores()["label"] == "cat").to_numpy(bool), scores()["probability"].to_numpy(float)
    return {
        "confusion": draw_confusion(is_cat, probability, threshold=threshold),
        "precision_recall": draw_precision_recall(is_cat, probability, threshold=threshold),
        "reliability": draw_reliability(is_cat, probability),
        "slices": draw_slices(slices),
    }


def mistakes(count: int) -> list[dict]:
    """Each beside a cat that is drawn, and an upload that is not."""
    teal = base64.b64encode(plain("teal")).decode()
    cat = {"key": "base/cats/1", "source": "cats", "label": "cat", "picture": teal}
    given = {"key": "uploads/u7/photo.jpg", "source": "uploads", "label": "not_cat", "picture": None, "photo_id": "u7"}
    wrong = {"key": "base/dogs/1", "source": "dogs", "label": "not_cat", "picture": teal, "probability": 0.93}
    return [wrong | {"neighbours": [cat, given]}] * count


def render(slices: list[Slice], *, shown: int = 8, wrong: int = 40, rule=RULE, chosen=CHOSEN) -> str:
    evaluation = NAMES | {"decision_rule": asdict(rule), "chosen": chosen, "doubt": DOUBT}
    return render_page(evaluation, slices, pictures=pictures(slices), mistakes=mistakes(shown), wrong=wrong)


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.S)).replace(" .", ".")


@pytest.fixture(scope="module")
def page(slices) -> str:
    return render(slices)


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
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_nothing_is_fetched_and_nothing_runs(page):
    read = Reader(page)
    assert len(read.sources) == 4 + 8 * 2
    assert all(source.startswith("data:image/") for source in read.sources)
    assert not {"script", "link", "iframe", "object"} & set(read.tags)
    assert "@import" not in page
    assert "url(" not in page
    assert read.open == []
    assert len(page) < 3_000_000


def test_every_picture_can_be_seen(page):
    kinds = re.findall(r'src="data:image/([a-z+]+);base64,([^"]+)"', page)
    assert sorted(kind for kind, _ in kinds) == [*["jpeg"] * 16, *["svg+xml"] * 4]
    for kind, body in kinds:
        content = base64.b64decode(body)
        if kind == "jpeg":
            assert Image.open(BytesIO(content)).size == (64, 48)
        else:
            assert b"<svg" in content


def test_it_begins_with_the_verdict(page, slices):
    verdict = verdict_in_words(slices[0], slices)
    assert text_of(page).index(verdict) < text_of(page).index("Metrics")
    recall = slices[0].figures["recall"]
    assert f"Of 100 cats this model finds {100 * recall.value:.0f} ({100 * recall.low:.0f} to" in verdict
    assert "weakest on: cats against dogs" in verdict


def test_every_metric_stands_with_its_interval_and_a_warning(page, slices):
    for metric in slices[0].figures.values():
        assert f"<b>{metric.value:.3f}</b>" in page
        assert f"{metric.low:.3f} to {metric.high:.3f}" in page
    assert "photos from elsewhere are usually harder" in text_of(page)


def test_each_error_stands_beside_the_photos_that_are_like_it(page):
    text = text_of(page)
    assert "The worst 8 of its 40 errors" in text
    assert text.count("dogs, P(cat) 0.93 cats: cat u7 uploads: not cat") == 8


@pytest.mark.parametrize(
    ("shown", "wrong", "heading"),
    [(0, 0, "It made no mistake on these photos."), (1, 1, "Its only error"), (3, 3, "Its 3 errors")],
)
def test_few_errors_are_no_empty_picture(slices, shown, wrong, heading):
    text = text_of(render(slices, shown=shown, wrong=wrong))
    assert heading in text
    assert "The worst" not in text


def test_it_says_how_scores_become_verdicts(page):
    text = text_of(page)
    for part in ("0.900 , -0.300", "0.500", "0.200 to 0.800", "7,200 photos of train and val, 1,800 of them cats"):
        assert part in text
    assert "fitted on the out-of-fold scores" in text
    assert "A slope below 1: the network was too sure of itself." in text
    assert "That is even odds" in text
    assert "less than 80 % probable" in text
    assert "On test 21 % of photos were unsure" in text


def test_a_threshold_for_precision_is_explained(slices):
    chosen = CHOSEN | {"rule": "recall_at_precision", "precision_floor": 0.95, "scores": "val"}
    rule = DecisionRule(0.7, 0.368, 0.903, slope=1.2, intercept=0.1)
    text = text_of(render(slices, rule=rule, chosen=chosen))
    assert "lowest threshold that is expected to reach a precision of 0.95" in text
    assert "It differs from one half: a photo that more probably shows a cat can be called none." in text
    assert "by less than a factor of 4" in text
    assert "scores of 7,200 photos of val," in text
    assert "out-of-fold" not in text


def test_without_a_slice_to_compare_the_verdict_is_the_first_sentence(slices):
    assert "weakest" not in verdict_in_words(slices[0], slices[:1])


@pytest.mark.parametrize("threshold", [0.4, 1.1])  # at 1.1 nothing is called a cat
def test_pictures_can_be_saved(slices, tmp_path, threshold):
    for name, figure in pictures(slices, threshold).items():
        figure.savefig(tmp_path / f"{name}.png")
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.convert("L").getextrema() == (0, 255)  # black lines on white
