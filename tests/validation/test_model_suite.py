"""The process on simulated predictions, in its own environment: with a planted weakness, without, and with too few."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.question import NEGATIVE, POSITIVE
from include.records import SLICE_PROPERTIES
from include.settings import Settings
from include.validation.model import write_predictions
from include.validation.runner import MODEL_SUITE, run_suite

DARK = 100


def predictions(*, photos: int = 800, seed: int = 0, dark_at_random: bool = False) -> pd.DataFrame:
    """Scores of a model that is right on 93 of 100 photos; of dark ones, with ``dark_at_random``, on every other."""
    rng = np.random.default_rng(seed)
    properties = {"brightness": rng.normal(120, 40, photos).clip(0, 255), "size": rng.lognormal(5.5, 0.5, photos)}
    table = pd.DataFrame(properties | {"sharpness": rng.lognormal(3, 0.6, photos)})
    is_positive = rng.random(photos) < 0.25
    at_random = dark_at_random & (table["brightness"] < DARK).to_numpy()
    predicted = is_positive ^ (rng.random(photos) < np.where(at_random, 0.5, 0.07))
    sure = 0.5 + rng.beta(6, 2, photos) / 2
    return table.assign(
        split=np.where(np.arange(photos) % 2, "val", "test"),
        label=np.where(is_positive, POSITIVE, NEGATIVE),
        probability=np.where(predicted, sure, 1 - sure),
    )


def run_on(scores: pd.DataFrame, folder: Path) -> dict[str, Any]:
    settings = Settings().validation
    write_predictions(folder, scores, threshold=0.5, limits=settings.limits)
    return run_suite(MODEL_SUITE, folder, python=settings.python, seconds=600)


def by_name(result: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    names = {check["check"] for check in result["checks"]}
    return {name: [check for check in result["checks"] if check["check"] == name] for name in names}


def assert_clean(result: dict[str, Any]) -> None:
    assert result["passed"]
    assert all(check["passed"] for check in result["checks"])
    assert set(by_name(result)) == {"weak segments", "simple model comparison", "prediction drift"}
    assert all(check["limit"] > 0 and check["score"] is not None for check in result["checks"])


@pytest.mark.slow
def test_a_model_that_is_equally_good_everywhere_passes(tmp_path: Path) -> None:
    result = run_on(predictions(), tmp_path)
    assert_clean(result)
    assert result["photos"] == {"val": 400, "test": 400}
    assert result["right"] == pytest.approx(0.93, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("photos", [160, 800])
def test_no_seed_raises_a_false_alarm(tmp_path: Path, seed: int, photos: int) -> None:
    assert_clean(run_on(predictions(seed=seed, photos=photos), tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_weakness_is_found_with_every_seed(tmp_path: Path, seed: int) -> None:
    result = run_on(predictions(seed=seed, dark_at_random=True), tmp_path)
    segments = by_name(result)["weak segments"]
    assert any(not segment["passed"] and "brightness" in segment["subject"] for segment in segments)


@pytest.mark.slow
def test_with_too_few_photos_a_crashed_check_is_a_failed_check(tmp_path: Path) -> None:
    scores = predictions(photos=40)
    result = run_on(scores[(scores["split"] == "val") | (scores.index < 16)], tmp_path)  # 8 photos on test
    assert not result["passed"]
    (drift,) = by_name(result)["prediction drift"]
    assert "NotEnoughSamplesError" in drift["crash"]
    assert not drift["passed"]


def test_no_name_of_a_photo_reaches_the_process(tmp_path: Path) -> None:
    scores = predictions(photos=20).assign(key="uploads/secret/photo.jpg", source="uploads")
    write_predictions(tmp_path, scores, threshold=0.5, limits={})
    written = pd.read_csv(tmp_path / "predictions.csv")
    assert set(written) == {"split", "probability", "is_positive", "predicted", *SLICE_PROPERTIES}
    assert (written["is_positive"] == (scores["label"] == POSITIVE)).all()
    assert (written["predicted"] == (scores["probability"] >= 0.5)).all()
