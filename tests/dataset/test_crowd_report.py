"""What is said of crowds in the log, in the report and to the gate."""

import logging

import pandas as pd
import pytest

from include.dataset.crowd_report import MAX_LINES, Crowd, list_crowds, log_crowds, splits_apart
from include.status import Status


def photos(*rows: tuple[str, str | None, str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["key", "crowd", "split", "status"]).astype("string")


def test_crowds_are_listed_the_largest_first_with_what_stays() -> None:
    table = photos(
        ("a", "x", "train", Status.NEAR_DUPLICATE),
        ("b", "x", "test", Status.USED),
        ("c", "y", "train", Status.UPLOAD_IN_CROWD),
        ("d", "y", "val", Status.CONFLICTING_LABELS),
        ("e", "y", "val", Status.NOT_SAMPLED),
        ("f", None, "val", Status.USED),
    )
    assert list_crowds(table) == [Crowd("y", 3, 0, None, "c"), Crowd("x", 2, 1, "test", "b")]


def test_before_the_sample_is_taken_photos_without_a_status_stay() -> None:
    table = photos(("a", "x", "val", None), ("b", "x", "test", None), ("c", "x", "train", Status.NEAR_DUPLICATE))
    assert list_crowds(table) == [Crowd("x", 3, 2, "test, val", "a")]


def test_the_log_says_what_stays_of_each_crowd_and_counts_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    crowds = [Crowd("x", 60, 1, "test", "a"), Crowd("y", 50, 0, None, "b")]
    crowds += [Crowd("z", 21, 1, "train", "c")] * MAX_LINES
    with caplog.at_level(logging.WARNING):
        log_crowds(crowds)
    assert len(caplog.messages) == MAX_LINES + 1
    assert caplog.messages[0] == "crowd of 60 near-duplicates, such as a; photos that stay: 1, on test"
    assert caplog.messages[1] == "crowd of 50 near-duplicates, such as b; photos that stay: none"
    assert caplog.messages[-1] == "2 more crowds of 42 near-duplicates; photos that stay: 2"


def test_without_crowds_the_log_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    log_crowds([])
    assert not caplog.messages


def manifest(**splits: list[str]) -> pd.DataFrame:
    rows = [(cluster, split) for cluster, members in splits.items() for split in members]
    return pd.DataFrame(rows, columns=["cluster", "split"])


def test_the_gate_hears_that_no_cluster_is_on_two_splits() -> None:
    table = manifest(a=["test", "test"], b=["train"])
    said = "every cluster of near-duplicates is on one split"
    assert splits_apart(table, {}) == (True, said)
    assert splits_apart(table, {"crowds": []}) == (True, said)
    crowds = [{"photos": 60, "stay": 2}, {"photos": 25, "stay": 1}]
    assert splits_apart(table, {"crowds": crowds}) == (True, f"{said}; crowds: 2, their 85 photos count as 3")


def test_the_gate_hears_which_cluster_is_on_two_splits() -> None:
    passed, reason = splits_apart(manifest(a=["train"], b=["train", "test"], c=["val", "train"]), {"crowds": []})
    assert not passed
    assert reason == "clusters of near-duplicates on more than one split: 2; the first, b, is on test and train"
