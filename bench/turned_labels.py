"""Labels turned at random: how many of them the label checks doubt, and how many of those they doubt were turned."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.lakes import check, move, sound_keys
from include.data.labels import DOUBTED
from include.lake import layout
from include.lake.local import LocalStore
from include.records import SOURCES
from include.settings import Settings


def measure_labels(store: LocalStore, settings: Settings, *, share: float, cache: Path) -> dict[str, Any]:
    """Turn this share of the labels of the train side, in the lake itself, so that the extractor learns them as well.

    Returns what ``judge`` says of the train side.
    """
    turned = turn(store, share=share, seed=settings.seed)
    photos = check(store, settings, cache=cache)
    return judge(photos[photos["side"] == "train"], turned)


def turn(store: LocalStore, *, share: float, seed: int) -> set[str]:
    """Cats go to another source, and photos of other sources to the cats; returns the new keys."""
    draw = np.random.default_rng(seed)
    train = sound_keys(store, "train")
    others = [source for source in SOURCES if source != "cats"]
    chosen = draw.choice(train, round(share * len(train)), replace=False)
    to = {key: "cats" if layout.parse_base(key).source != "cats" else str(draw.choice(others)) for key in chosen}
    return {move(store, str(key), source) for key, source in to.items()}


def judge(train: pd.DataFrame, turned: set[str]) -> dict[str, Any]:
    """``train`` has columns key, fate and label_quality; photos that were not judged (copies, poor ones) do not count.

    Returns how many labels were ``turned``, the share of them that is ``in_worst_tenth`` of what is believed, how many
    labels were ``left_out``, and the share of those that was ``really_turned``.
    """
    judged = train.dropna(subset="label_quality").sort_values("label_quality", kind="stable")
    worst = judged.head(len(judged) // 10)
    mine = judged["key"].isin(turned)
    left_out = judged[judged["fate"] == DOUBTED]["key"].isin(turned)
    return {
        "turned": int(mine.sum()),
        "in_worst_tenth": float(worst["key"].isin(turned).sum() / max(1, mine.sum())),
        "left_out": len(left_out),
        "really_turned": float(left_out.mean()) if len(left_out) else 0.0,
    }
