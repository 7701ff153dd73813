"""The pairs of near-duplicates of a lake: kept in the lake, so that only new photos are compared."""

import logging

import numpy as np
import pandas as pd

from include.dataset.facts import read_thumbnails, unpack_hashes
from include.dataset.near_duplicates import find_pairs
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_table, write_table
from include.settings import NearDuplicates

log = logging.getLogger(__name__)

NO_PAIRS = pd.DataFrame({"first": [], "second": [], "similarity": []}).astype({"first": "string", "second": "string"})


def update_pairs(store: ObjectStore, facts: pd.DataFrame, rules: NearDuplicates) -> pd.DataFrame:
    """All pairs of equal pictures among these photos: columns first, second (keys), similarity (0 to 1).

    ``facts`` has a row per photo with its hashes. Whoever was compared before is compared with new photos only.
    """
    facts = facts[facts["codes"].notna()].sort_values("key", ignore_index=True)
    kept = layout.near_duplicates(f"{rules.max_distance}-{rules.min_similarity}")
    known = read_table(store, kept) if store.exists(kept) else NO_PAIRS
    new = ~facts["key"].isin(known["first"]).to_numpy(bool)
    if new.any():
        known = pd.concat([known, _alone(facts["key"][new]), _compare(store, facts, new, rules)], ignore_index=True)
        write_table(store, kept, known)
    pairs = known.dropna(subset="second")
    here = pairs["first"].isin(facts["key"]) & pairs["second"].isin(facts["key"])
    log.info("%d new photos compared with %d; %d pairs in all", new.sum(), len(facts), here.sum())
    return pairs[here].sort_values(["first", "second"], ignore_index=True)


def _compare(store: ObjectStore, facts: pd.DataFrame, new: np.ndarray, rules: NearDuplicates) -> pd.DataFrame:
    codes, upright = unpack_hashes(facts)
    return find_pairs(
        facts["key"].to_numpy(),
        codes,
        upright,
        lambda rows: read_thumbnails(store, facts.iloc[rows]),
        new=new,
        max_distance=rules.max_distance,
        min_similarity=rules.min_similarity,
    )


def _alone(keys: pd.Series) -> pd.DataFrame:
    """A photo without a partner: how the table remembers that it was compared."""
    return pd.DataFrame({"first": keys, "second": pd.NA, "similarity": np.nan})
