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
from include.promotion.differences import chance_to_pass
from include.promotion.margin import SPREAD, check_test_split, margin_for, photos_needed, smallest_margin
from include.settings import Gate, Settings
from include.status import Status

RUN = "run"


def split_of(lake: LocalStore, test: int) -> None:
    statuses = [Status.USED, Status.NOT_SAMPLED] * (test // 2) + [Status.LABEL_ISSUE] * 5 + [Status.USED] * 50
    splits = ["test"] * (test // 2 * 2 + 5) + ["train"] * 50
    photos = pd.DataFrame({"status": statuses, "split": splits})
    write_table(lake, layout.run_page(RUN, "statuses.parquet"), photos)


def test_the_default_follows_from_the_number_of_photos() -> None:
    """Of 10,000 photos: 0.22 is the standard error of an equal challenger, and the interval adds 0.14."""
    assert margin_for(10_000, Settings()) == pytest.approx(
        1.96 * (0.22**2 + 0.1414**2) ** 0.5 + 2.054 * 0.22, abs=0.001
    )
    assert margin_for(900, Settings(gate=Gate(margin=7))) == 7
    assert margin_for(900, Settings(network="scratch")) > margin_for(900, Settings())


@given(st.integers(1, 10**6))
def test_it_is_at_least_four_standard_errors_and_an_equal_challenger_passes(photos: int) -> None:
    settings = Settings()
    margin, spread = smallest_margin(photos, settings), 1000 * SPREAD["efficientnet_lite0"] / photos**0.5
    assert margin >= 4 * spread
    assert chance_to_pass(spread, photos, margin) == pytest.approx(0.98)
    assert smallest_margin(photos + 1, settings) < margin
    assert photos_needed(margin, settings) <= photos
    needed = photos_needed(margin / 2, settings)
    assert (
        smallest_margin(needed, settings, passes=0.9) <= margin / 2 < smallest_margin(needed - 1, settings, passes=0.9)
    )


@pytest.mark.parametrize(("margin", "fits"), [(None, True), (5.0, True), (4.4, True), (4.2, False), (0.5, False)])
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
        f"the lake has 900 test photos, and needs {needed:,}: ingest more base photos, or set CAT_GATE__MARGIN to 4.9"
    )
    with pytest.raises(DatasetError, match=message):
        check_test_split(lake, RUN, settings)


def test_a_split_that_tells_little_is_told(lake: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    split_of(lake, 4)
    with caplog.at_level(logging.INFO):
        assert check_test_split(lake, RUN, Settings()) > 400
    assert "the lake has 4 test photos: too few to tell much about a model" in caplog.text
