"""Labels flipped at random: how many of them the label checks find, and how many other labels they take for wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.lakes import check, intact_keys, move
from bench.question import QUESTION
from include.lake import layout
from include.lake.local import LocalStore
from include.settings import Settings
from include.status import Status

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3)  # of P(label): values that `max_quality` could have
(CATS,) = QUESTION.positive


def measure_flipped_labels(
    store: LocalStore, settings: Settings, *, share: float, seed: int, known: set[str]
) -> dict[str, Any]:
    """Flip this share of the labels of the train split in the lake itself; returns the results of ``count_issues``
    and, under ``thresholds``, those of ``count_at_threshold``.
    """
    flipped = flip_labels(store, share=share, seed=seed)
    photos = check(store, settings)
    train = photos[photos["split"] == "train"]
    by_threshold = [count_at_threshold(train, flipped, threshold) for threshold in THRESHOLDS]
    return count_issues(train, flipped, known) | {"thresholds": by_threshold}


def keys_with_issues(store: LocalStore, settings: Settings) -> set[str]:
    """The photos that the label checks leave out of the lake as it is."""
    photos = check(store, settings)
    return set(photos.loc[photos["status"] == Status.LABEL_ISSUE, "key"])


def flip_labels(store: LocalStore, *, share: float, seed: int) -> set[str]:
    """Move cats to another source, and photos of other sources to the cats; returns their new keys."""
    draw = np.random.default_rng(seed)
    train = intact_keys(store, "train")
    chosen = draw.choice(train, round(share * len(train)), replace=False)
    new_sources = {
        key: CATS if layout.parse_base(key).source != CATS else str(draw.choice(QUESTION.negative_sources))
        for key in chosen
    }
    return {move(store, str(key), source) for key, source in new_sources.items()}


def count_issues(train: pd.DataFrame, flipped: set[str], known: set[str]) -> dict[str, Any]:
    """``train`` has the columns key, status and label_quality; photos whose label was not checked do not count.

    Returns the number of ``flipped`` labels, the share of them ``in_lowest_tenth`` of P(label), and the number of
    label ``issues``; of these the ``flipped_issues``, and of the others the ``known_issues``: those in ``known``.
    """
    checked = train.dropna(subset="label_quality").sort_values("label_quality", kind="stable")
    lowest = checked.head(len(checked) // 10)
    is_flipped = checked["key"].isin(flipped)
    issues = checked.loc[checked["status"] == Status.LABEL_ISSUE, "key"]
    return {
        "flipped": int(is_flipped.sum()),
        "in_lowest_tenth": float(lowest["key"].isin(flipped).sum() / max(1, is_flipped.sum())),
        "issues": len(issues),
        "flipped_issues": int(issues.isin(flipped).sum()),
        "known_issues": int((issues.isin(known) & ~issues.isin(flipped)).sum()),
    }


def count_at_threshold(train: pd.DataFrame, flipped: set[str], threshold: float) -> dict[str, float]:
    """Three counts of ``count_issues``, if each label with a lower P(label) were an issue."""
    checked = train.dropna(subset="label_quality")
    is_flipped, is_issue = checked["key"].isin(flipped), checked["label_quality"] < threshold
    return {
        "threshold": threshold,
        "flipped": int(is_flipped.sum()),
        "issues": int(is_issue.sum()),
        "flipped_issues": int((is_issue & is_flipped).sum()),
    }


def sum_draws(draws: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """The counts at each threshold, summed over all draws."""
    rows = pd.DataFrame([row for draw in draws for row in draw["thresholds"]])
    return list(rows.groupby("threshold", as_index=False).sum().to_dict("records"))
