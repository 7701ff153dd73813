"""Keys of runs: two Airflow run ids never share one."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import InvalidKey
from include.lake import layout
from include.lake.base import check_key

PRINTABLE = [chr(code) for code in range(33, 127)]
FOLDED = st.text(st.sampled_from("~:+=%3AaZ09-_. é"), min_size=1, max_size=12)  # what a key may not hold, and its code


def test_no_two_ids_share_a_name() -> None:
    ids = {"".join(letters) for letters in product(PRINTABLE, repeat=2)} - {".."}
    names = {layout.run_name(run) for run in ids}
    assert len(names) == len(ids)


@given(FOLDED, FOLDED)
def test_ids_that_differ_have_names_that_differ(one: str, other: str) -> None:
    try:
        assert (layout.run_name(one) == layout.run_name(other)) == (one == other)
    except InvalidKey:
        assert {one, other} & {".", ".."}


@pytest.mark.parametrize("run", ["a/b", "a\\b", "manual__2026-01-01T00:00:00+00:00", "ä", "x" * 200])
def test_every_id_is_one_part_of_a_key(run: str) -> None:
    assert check_key(layout.run_decision(run)).count("/") == 2


def test_an_ordinary_id_stays_readable() -> None:
    assert layout.run_name("manual__1") == "manual__1"
    assert layout.run_name("2026-01-01T00:00") == "2026-01-01T00=3A00"


@pytest.mark.parametrize("run", ["", ".", "..", "x" * 201])
def test_an_id_that_cannot_be_a_key_is_rejected(run: str) -> None:
    with pytest.raises(InvalidKey, match="cannot name a run"):
        layout.run_decision(run)
