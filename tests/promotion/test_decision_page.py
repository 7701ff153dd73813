"""The page of a decision: what it shows, and what it never shows."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.lake import layout
from include.lake.local import LocalStore
from include.promotion.decision_page import render_decision
from include.promotion.gate import decide
from include.question import NEGATIVE, POSITIVE, Question
from include.records import UPLOADS, VersionScores
from tests.pictures import plain
from tests.promotion.test_gate import COUNT, LIMITS, POSITIVES, RIGHT, SOUND, photos, scored

QUESTION = Question(noun="a <cat>")


@pytest.fixture
def test_photos(lake: LocalStore) -> pd.DataFrame:
    """Base photos, and the last one a user's."""
    sources = np.where(POSITIVES, "cats", "dogs")
    keys = [layout.base(source, f"{place:064x}") for place, source in enumerate(sources)]
    for key in keys:
        lake.write(key, plain((200, 0, 0)))
    keys[-1] = layout.upload_photo("secret-id")
    lake.write(keys[-1], plain((0, 0, 200)))
    labels = np.where(POSITIVES, POSITIVE, NEGATIVE)
    return pd.DataFrame({"key": keys, "source": [*sources[:-1], UPLOADS], "label": labels})


def page_of(
    lake: LocalStore, test: pd.DataFrame, challenger: VersionScores, champion: VersionScores, **limits: Any
) -> str:
    chosen = replace(LIMITS, **limits)
    decision = decide(photos(dogs=~POSITIVES), challenger, champion, champion, about_photos=SOUND, limits=chosen)
    scores = {each.version: each for each in (challenger, champion)}
    return render_decision(lake, decision, test, scores, QUESTION, run_url="http://airflow/run")


def lost(*rows: int) -> np.ndarray:
    probability = RIGHT.copy()
    probability[list(rows)] = 1 - probability[list(rows)]
    return probability


def test_it_counts_each_verdict_that_changed_both_ways(lake: LocalStore, test_photos: pd.DataFrame) -> None:
    page = page_of(lake, test_photos, scored(lost(1, 2)), scored(lost(3), "1"))
    assert "Right before and wrong now: 2, shown first." in page
    assert "Wrong before and right now: 1, shown first." in page
    assert page.count("another verdict") == 3
    assert "a &lt;cat&gt;: P 0.97 → 0.03" in page
    assert "wrong verdicts per 1,000 photos: 5.0 instead of 2.5 (2 and 1 of 400)" in page


def test_a_verdict_that_changed_by_the_threshold_alone_is_shown(lake: LocalStore, test_photos: pd.DataFrame) -> None:
    """The probability moved towards the truth, and the verdict became wrong all the same."""
    new, old = RIGHT.copy(), RIGHT.copy()
    new[200], old[200] = 0.35, 0.45  # a negative photo
    page = page_of(lake, test_photos, scored(new, threshold=0.3), scored(old, "1"))
    assert "Right before and wrong now: 1, shown first." in page
    assert "Wrong before and right now: 0, shown first." in page


def test_no_picture_shows_an_upload(lake: LocalStore, test_photos: pd.DataFrame) -> None:
    page = page_of(lake, test_photos, scored(lost(COUNT - 1)), scored(RIGHT, "1"))
    assert "secret-id" in page
    assert page.count("data:image/jpeg") == 0


@pytest.mark.parametrize(
    ("close_calls", "sentence"),
    [
        ("keep", "The champion stayed: CAT_GATE__CLOSE_CALLS was <code>keep</code>."),
        ("promote", "The gate let version 2 serve, because CAT_GATE__CLOSE_CALLS was <code>promote</code>."),
        ("ask", "A person was asked whether version 2 may serve"),
    ],
)
def test_it_says_what_followed_a_close_call(
    lake: LocalStore, test_photos: pd.DataFrame, close_calls: str, sentence: str
) -> None:
    page = page_of(lake, test_photos, scored(lost(1, 2)), scored(RIGHT, "1"), close_calls=close_calls)
    assert sentence in page
    assert '<a href="http://airflow/run">' in page
    assert "tells what followed. When this was decided" in page
    assert "the champion was version 1" in page
    assert "It cannot see a weakness on few photos." in page
