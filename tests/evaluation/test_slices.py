import numpy as np
import pandas as pd
import pytest

from include.evaluation.slices import predicted_positive_rates, slice_metrics
from include.records import Interval


@pytest.fixture
def test_side() -> pd.DataFrame:
    """Both cats are called cats, both dogs too; of the uploads, one cat is missed."""
    source = ["cats", "cats", "dogs", "dogs", "misc", "misc", "uploads", "uploads"]
    label = ["cat", "cat", "not_cat", "not_cat", "not_cat", "not_cat", "cat", "cat"]
    looks = {"brightness": 0.5, "size": 100.0, "sharpness": 0.1}
    probability = [0.9, 0.8, 0.7, 0.6, 0.2, 0.1, 0.9, 0.1]
    return pd.DataFrame({"source": source, "label": label, "probability": probability} | looks, index=range(20, 28))


def many(count: int = 90) -> pd.DataFrame:
    """Bright photos are judged right, dark ones at random."""
    rng = np.random.default_rng(0)
    is_cat, brightness = np.arange(count) % 2 == 0, np.linspace(0, 1, count)
    probability = np.where(brightness > 1 / 3, is_cat * 0.8 + 0.1, rng.random(count))
    return pd.DataFrame(
        {
            "source": np.where(is_cat, "cats", "dogs"),
            "label": np.where(is_cat, "cat", "not_cat"),
            "probability": probability,
            "brightness": brightness,
            "size": np.where(np.arange(count) < 5, 10.0, 300.0),
            "sharpness": rng.random(count),
        }
    )


def test_slices_are_the_base_the_cats_against_each_source_and_uploads(test_side):
    slices = {one.name: one for one in slice_metrics(test_side, threshold=0.5, seed=0)}
    named = ("base", "cats_vs_dogs", "cats_vs_misc", "uploads")
    assert [slices[name].figures["precision"].value for name in named] == [0.5, 0.5, 1, 1]
    assert [slices[name].figures["recall"].value for name in named] == [1, 1, 1, 0.5]
    assert [(slices[name].photos, slices[name].cats) for name in named] == [(6, 2), (4, 2), (4, 2), (2, 2)]


def test_a_slice_without_photos_is_left_out(test_side):
    names = {one.name for one in slice_metrics(test_side[:2], threshold=0.5, seed=0)}
    assert not {"uploads", "cats_vs_dogs"} & names


def test_thirds_are_named_and_find_where_the_model_is_weak():
    slices = {one.name: one for one in slice_metrics(many(), threshold=0.5, seed=0)}
    assert slices["brightness_dark"].about == "dark (brightness below 0.333)"
    assert [slices[f"brightness_{name}"].photos for name in ("dark", "middling", "bright")] == [30, 30, 30]
    assert slices["brightness_bright"].figures["f1"] == Interval(1, 1, 1)
    assert slices["brightness_dark"].figures["f1"].value < 0.8


def test_equal_photos_fall_into_one_third():
    sizes = [one for one in slice_metrics(many(), threshold=0.5, seed=0) if one.by == "size"]
    assert [one.photos for one in sizes] == [5, 85]


def test_few_photos_say_so_and_have_no_interval():
    slices = {one.name: one for one in slice_metrics(many(), threshold=0.5, seed=0)}
    small = slices["size_small"]
    assert small.few
    assert small.photos == 5
    assert {(figure.low, figure.high) for figure in small.figures.values()} == {(None, None)}
    assert not slices["size_large"].few
    assert slices["size_large"].figures["recall"].low is not None


def test_per_source_the_share_that_is_called_a_cat(test_side):
    assert predicted_positive_rates(test_side, threshold=0.7) == {
        "cats": {"photos": 2, "predicted_positive_rates": 1.0},
        "dogs": {"photos": 2, "predicted_positive_rates": 0.5},
        "misc": {"photos": 2, "predicted_positive_rates": 0.0},
        "uploads": {"photos": 2, "predicted_positive_rates": 0.5},
    }
