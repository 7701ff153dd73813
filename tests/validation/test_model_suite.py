"""The process over drawn-up predictions, in its own environment: with a planted weakness, without one, with too few."""

import numpy as np
import pandas as pd
import pytest

from include.records import SLICE_PROPERTIES
from include.settings import Settings
from include.validation.deepchecks_env import noise_limits
from include.validation.model import write_predictions
from include.validation.runner import MODEL, run_suite

DARK = 100


def predictions(*, photos: int = 800, seed: int = 0, dark_at_random: bool = False) -> pd.DataFrame:
    """Scores of a model that is right of 93 of 100 photos; of dark ones, if it is planted, of every other."""
    rng = np.random.default_rng(seed)
    looks = {"brightness": rng.normal(120, 40, photos).clip(0, 255), "size": rng.lognormal(5.5, 0.5, photos)}
    table = pd.DataFrame(looks | {"sharpness": rng.lognormal(3, 0.6, photos)})
    is_cat = rng.random(photos) < 0.25
    blind = dark_at_random & (table["brightness"] < DARK).to_numpy()
    says_cat = is_cat ^ (rng.random(photos) < np.where(blind, 0.5, 0.07))
    sure = 0.5 + rng.beta(6, 2, photos) / 2
    return table.assign(
        split=np.where(np.arange(photos) % 2, "val", "test"),
        label=np.where(is_cat, "cat", "not_cat"),
        probability=np.where(says_cat, sure, 1 - sure),
    )


def suite(folder, scores: pd.DataFrame) -> dict:
    settings = Settings().validation
    write_predictions(folder, scores, threshold=0.5, limits=settings.limits)
    return run_suite(MODEL, folder, python=settings.python, seconds=600)


def told(found: dict) -> dict[str, list[dict]]:
    checks = {figure["check"] for figure in found["figures"]}
    return {name: [figure for figure in found["figures"] if figure["check"] == name] for name in checks}


def assert_clean(found: dict) -> None:
    assert found["passed"]
    assert all(figure["passed"] for figure in found["figures"])
    assert set(told(found)) == {"weak segments", "simple model comparison", "prediction drift"}
    assert all(figure["limit"] > 0 and figure["score"] is not None for figure in found["figures"])


def test_a_model_that_is_equally_good_everywhere_passes(tmp_path):
    found = suite(tmp_path, predictions())
    assert_clean(found)
    assert found["photos"] == {"val": 400, "test": 400}
    assert found["right"] == pytest.approx(0.93, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("photos", [160, 800])
def test_no_seed_makes_a_false_alarm(tmp_path, seed, photos):
    assert_clean(suite(tmp_path, predictions(seed=seed, photos=photos)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_weakness_is_found_with_every_seed(tmp_path, seed):
    found = suite(tmp_path, predictions(seed=seed, dark_at_random=True))
    assert any(not one["passed"] and "brightness" in one["subject"] for one in told(found)["weak segments"])


def test_with_too_few_photos_a_crashed_check_is_a_failed_check(tmp_path):
    scores = predictions(photos=40)
    found = suite(tmp_path, scores[(scores["split"] == "val") | (scores.index < 16)])  # 8 photos on test
    assert not found["passed"]
    (drift,) = told(found)["prediction drift"]
    assert "NotEnoughSamplesError" in drift["crash"]
    assert not drift["passed"]


def test_no_name_of_a_photo_reaches_the_process(tmp_path):
    scores = predictions(photos=20).assign(key="uploads/secret/photo.jpg", source="uploads")
    write_predictions(tmp_path, scores, threshold=0.5, limits={})
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert set(written) == {"split", "probability", "is_cat", "says_cat", *SLICE_PROPERTIES}
    assert (written["says_cat"] == (scores["probability"] >= 0.5)).all()


def test_only_shuffles_that_found_something_make_a_limit():
    assert noise_limits.of_shuffles([0.0] * 60) == 0
    assert noise_limits.of_shuffles([0.0] * 59 + [0.3]) == pytest.approx(0.3)
    some = [0.2, 0.3, 0.25, 0.0]
    assert noise_limits.of_shuffles(some) == pytest.approx(0.25 + noise_limits.Z * np.std([0.2, 0.3, 0.25]))
