"""Labels turned at random: how many of them the label checks leave out, and how many labels they leave out wrongly."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.lakes import check, move, sound_keys
from include.dataset.label_issues import DOUBTED
from include.lake import layout
from include.lake.local import LocalStore
from include.records import SOURCES
from include.settings import Settings

THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.3)  # of P(label): what `max_quality` might be


def measure_labels(
    store: LocalStore, settings: Settings, *, share: float, seed: int, known: set[str]
) -> dict[str, Any]:
    """Turn this share of the labels of the train split in the lake itself; returns what ``judge`` says of that side."""
    turned = turn(store, share=share, seed=seed)
    photos = check(store, settings)
    train = photos[photos["split"] == "train"]
    return judge(train, turned, known) | {"thresholds": [judge_threshold(train, turned, low) for low in THRESHOLDS]}


def doubted(store: LocalStore, settings: Settings) -> set[str]:
    """The photos of the lake as it is that the label checks leave out."""
    photos = check(store, settings)
    return set(photos.loc[photos["status"] == DOUBTED, "key"])


def turn(store: LocalStore, *, share: float, seed: int) -> set[str]:
    """Cats go to another source, and photos of other sources to the cats; returns the new keys."""
    draw = np.random.default_rng(seed)
    train = sound_keys(store, "train")
    others = [source for source in SOURCES if source != "cats"]
    chosen = draw.choice(train, round(share * len(train)), replace=False)
    to = {key: "cats" if layout.parse_base(key).source != "cats" else str(draw.choice(others)) for key in chosen}
    return {move(store, str(key), source) for key, source in to.items()}


def judge(train: pd.DataFrame, turned: set[str], known: set[str]) -> dict[str, Any]:
    """``train`` has columns key, fate and label_quality; photos that were not judged (copies, poor ones) do not count.

    Returns how many labels were ``turned``, the share of them ``in_worst_tenth`` of P(label), and how many labels were
    ``left_out``; of those the number ``really_turned``, and of the others those ``known``: doubted before any was
    turned.
    """
    judged = train.dropna(subset="label_quality").sort_values("label_quality", kind="stable")
    worst = judged.head(len(judged) // 10)
    of_turned = judged["key"].isin(turned)
    left_out = judged.loc[judged["status"] == DOUBTED, "key"]
    return {
        "turned": int(of_turned.sum()),
        "in_worst_tenth": float(worst["key"].isin(turned).sum() / max(1, of_turned.sum())),
        "left_out": len(left_out),
        "really_turned": int(left_out.isin(turned).sum()),
        "known": int((left_out.isin(known) & ~left_out.isin(turned)).sum()),
    }


def judge_threshold(train: pd.DataFrame, turned: set[str], threshold: float) -> dict[str, float]:
    """What a rule would do that leaves out each label with a lower P(label): the three counts of ``judge``."""
    judged = train.dropna(subset="label_quality")
    of_turned, left_out = judged["key"].isin(turned), judged["label_quality"] < threshold
    return {
        "threshold": threshold,
        "turned": int(of_turned.sum()),
        "left_out": int(left_out.sum()),
        "really_turned": int((left_out & of_turned).sum()),
    }


def pool(draws: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """The sums of all draws for each threshold."""
    rows = pd.DataFrame([row for draw in draws for row in draw["thresholds"]])
    return list(rows.groupby("threshold", as_index=False).sum().to_dict("records"))
