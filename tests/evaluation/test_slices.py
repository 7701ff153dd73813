"""Metrics of parts of the test split: by source, by image property, and of uploads."""

import numpy as np
import pandas as pd
import pytest

from include.evaluation.slices import predicted_positive_rates, slice_metrics
from include.question import NEGATIVE, POSITIVE, Question
from include.records import Interval
from tests.models import QUESTION


@pytest.fixture
def photos() -> pd.DataFrame:
    """Cats and dogs are all predicted positive; of the uploads, which are positive, one is missed."""
    source = ["cats", "cats", "dogs", "dogs", "misc", "misc", "uploads", "uploads"]
    label = [*[POSITIVE] * 2, *[NEGATIVE] * 4, *[POSITIVE] * 2]
    properties = {"brightness": 0.5, "size": 100.0, "sharpness": 0.1}
    probability = [0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.9, 0.1]
    return pd.DataFrame(
        {"source": source, "label": label, "probability": probability} | properties, index=range(20, 28)
    )


def many(count: int = 90) -> pd.DataFrame:
    """Bright photos have right verdicts, dark ones random verdicts."""
    rng = np.random.default_rng(0)
    is_positive, brightness = np.arange(count) % 2 == 0, np.linspace(0, 1, count)
    probability = np.where(brightness > 1 / 3, is_positive * 0.8 + 0.1, rng.random(count))
    return pd.DataFrame(
        {
            "source": np.where(is_positive, "cats", "dogs"),
            "label": np.where(is_positive, POSITIVE, NEGATIVE),
            "probability": probability,
            "brightness": brightness,
            "size": np.where(np.arange(count) < 5, 10.0, 300.0),
            "sharpness": rng.random(count),
        }
    )


def test_slices_are_the_base_the_positives_against_each_negative_source_and_uploads(photos: pd.DataFrame) -> None:
    slices = {part.name: part for part in slice_metrics(photos, QUESTION, threshold=0.5, seed=0)}
    named = ("base", "against_dogs", "against_misc", "uploads")
    assert [slices[name].metrics["precision"].value for name in named] == [0.5, 0.5, 1, 1]
    assert [slices[name].metrics["recall"].value for name in named] == [1, 1, 1, 0.5]
    assert [(slices[name].photos, slices[name].positives) for name in named] == [(6, 2), (4, 2), (4, 2), (2, 2)]


def test_a_slice_without_photos_is_left_out(photos: pd.DataFrame) -> None:
    names = {part.name for part in slice_metrics(photos[:2], QUESTION, threshold=0.5, seed=0)}
    assert not {"uploads", "against_dogs"} & names


def test_thirds_are_named_and_find_where_the_model_is_weak() -> None:
    slices = {part.name: part for part in slice_metrics(many(), QUESTION, threshold=0.5, seed=0)}
    assert slices["brightness_dark"].about == "dark (brightness below 0.333)"
    assert [slices[f"brightness_{name}"].photos for name in ("dark", "medium_bright", "bright")] == [30, 30, 30]
    assert slices["brightness_bright"].metrics["f1"] == Interval(1, 1, 1)
    assert slices["brightness_dark"].metrics["f1"].value < 0.8


def test_equal_photos_fall_into_one_third() -> None:
    sizes = [part for part in slice_metrics(many(), QUESTION, threshold=0.5, seed=0) if part.by == "size"]
    assert [part.photos for part in sizes] == [5, 85]


def test_a_slice_of_few_photos_is_marked_and_has_no_intervals() -> None:
    slices = {part.name: part for part in slice_metrics(many(), QUESTION, threshold=0.5, seed=0)}
    small = slices["size_small"]
    assert small.few
    assert small.photos == 5
    assert {(metric.low, metric.high) for metric in small.metrics.values()} == {(None, None)}
    assert not slices["size_large"].few
    assert slices["size_large"].metrics["recall"].low is not None


def test_predicted_positive_rates_are_counted_per_source(photos: pd.DataFrame) -> None:
    assert predicted_positive_rates(photos, threshold=0.7) == {
        "cats": {"photos": 2, "predicted_positive": 1.0},
        "dogs": {"photos": 2, "predicted_positive": 0.5},
        "misc": {"photos": 2, "predicted_positive": 0.0},
        "uploads": {"photos": 2, "predicted_positive": 0.5},
    }


def test_with_two_positive_sources_both_stand_against_each_negative_one(photos: pd.DataFrame) -> None:
    question = Question(positive=("cats", "misc"))
    relabelled = photos.assign(label=photos["label"].mask(photos["source"] == "misc", POSITIVE))
    slices = {part.name: part for part in slice_metrics(relabelled, question, threshold=0.5, seed=0)}
    assert "against_misc" not in slices
    assert (slices["against_dogs"].photos, slices["against_dogs"].positives) == (6, 4)
    assert slices["against_dogs"].about == "cats and misc against dogs"
    assert slices["against_dogs"].metrics["recall"].value == 0.5
