"""The margin that a test split holds, told before training."""

import logging

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import DatasetError
from include.lake import layout
from include.lake.formats import write_table
from include.lake.local import LocalStore
from include.promotion.margin import (
    STANDARD_ERRORS,
    check_test_split,
    expected_error,
    margin_for,
    photos_needed,
    smallest_margin,
)
from include.settings import Gate, Settings
from include.status import Status

RUN = "run"


def split_of(lake: LocalStore, test: int) -> None:
    statuses = [Status.USED, Status.NOT_SAMPLED] * (test // 2) + [Status.LABEL_ISSUE] * 5 + [Status.USED] * 50
    splits = ["test"] * (test // 2 * 2 + 5) + ["train"] * 50
    photos = pd.DataFrame({"status": statuses, "split": splits})
    write_table(lake, layout.run_page(RUN, "statuses.parquet"), photos)


def test_the_default_is_four_standard_errors_of_an_equal_challenger() -> None:
    """0.03 is the standard deviation over photos: of 900 photos 1 in 1,000, so that 4 in 1,000 are the margin."""
    assert margin_for(900, Settings()) == pytest.approx(4)
    assert margin_for(900, Settings(gate=Gate(margin=7))) == 7
    assert margin_for(900, Settings(network="scratch")) > margin_for(900, Settings())


@given(st.integers(1, 10**6))
def test_four_times_the_photos_halve_the_margin(photos: int) -> None:
    settings = Settings()
    assert smallest_margin(photos, settings) == pytest.approx(2 * smallest_margin(4 * photos, settings))
    assert smallest_margin(photos, settings) == STANDARD_ERRORS * expected_error(photos, settings)
    assert photos_needed(smallest_margin(photos, settings), settings) == photos


@pytest.mark.parametrize(("margin", "fits"), [(None, True), (4.0, True), (3.4, True), (3.2, False), (0.5, False)])
def test_a_split_too_small_for_a_margin_is_refused_with_the_cure(
    lake: LocalStore, margin: float | None, fits: bool
) -> None:
    split_of(lake, 900)
    settings = Settings(gate=Gate(margin=margin))
    if fits:
        assert check_test_split(lake, RUN, settings) == margin_for(900, settings)
        return
    needed = photos_needed(float(margin or 0), settings)
    message = (
        f"the lake has 900 test photos, and needs {needed:,}: ingest more base photos, or set CAT_GATE__MARGIN to 4.0"
    )
    with pytest.raises(DatasetError, match=message):
        check_test_split(lake, RUN, settings)


def test_a_split_that_tells_little_is_told(lake: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    split_of(lake, 4)
    with caplog.at_level(logging.INFO):
        assert check_test_split(lake, RUN, Settings()) == pytest.approx(60)
    assert "the lake has 4 test photos: too few to tell much about a model" in caplog.text
