"""Labels that are probably wrong, by what a linear model of the features says that did not see the photo."""

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.splits import FOLDS, fold_of
from include.records import LABELS, SOURCES, UPLOADS, label_of
from include.settings import Labels

log = logging.getLogger(__name__)

DOUBTED = "label doubted"
BURST = "burst from one session: waiting for review"
DISAGREES = "label disagrees with the base photos: waiting for review"
TOO_MANY = "too large a share of its class: waiting for review"
INVERSE_PENALTY = 6.4  # scikit-learn's C for the sum over all photos: C = 0.001 at 6,400 of them, as the head has it
MIN_PER_SOURCE = 20  # below it nothing can be said of a base set


def find_label_issues(photos: pd.DataFrame, features: NDArray[np.float16], rules: Labels) -> pd.DataFrame:
    """Fates of doubted photos; adds ``label_quality`` (P(label) by a model that did not see the photo; NaN: not judged)
    and ``suspect`` (a base photo whose label is likely wrong, on whatever side).

    ``features`` has a row for each photo without a fate, in their order. Automatic drops touch the train split only;
    what a person reviewed is believed.
    """
    free = photos[photos["status"].isna()]
    base = (free["source"] != UPLOADS).to_numpy(bool)
    quality = pd.Series(np.nan, index=free.index)
    label_issue = pd.Series(False, index=free.index)
    if _enough(free[base]):
        scaled = standardise(features)
        quality[base] = label_quality(free[base], out_of_fold(free, scaled, base))
        reviewed = free["label_origin"] == "reviewed"
        label_issue = (quality < rules.max_quality) & ~reviewed
        trusted = base & ~label_issue.to_numpy(bool) & (free["split"] == "train").to_numpy(bool)
        quality[~base] = label_quality(free[~base], predict_from_trusted(free, scaled, trusted, asked=~base))
    status = pd.Series(pd.NA, index=free.index, dtype="string")
    status = status.mask(label_issue & (free["split"] == "train"), DOUBTED)
    status[~base] = _upload_statuses(free, base, quality, rules=rules)
    return photos.assign(
        status=photos["status"].fillna(status),
        label_quality=quality.reindex(photos.index),
        label_issue=label_issue.reindex(photos.index, fill_value=False),
    )


def standardise(features: NDArray[np.float16]) -> NDArray[np.float32]:
    """Each column with mean 0 and variance 1: float32, of the same shape. Only the result has its size in memory."""
    scaled = features.astype(np.float32)
    scaled -= scaled.mean(axis=0, dtype=np.float64)
    scaled /= np.sqrt(np.einsum("ij,ij->j", scaled, scaled) / len(scaled)) + 1e-6
    return scaled


def label_quality(photos: pd.DataFrame, cat: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(label) of each photo, from P(cat); both of shape (photos,)."""
    return np.where(photos["label"] == "cat", cat, 1 - cat)


def out_of_fold(photos: pd.DataFrame, scaled: NDArray[np.float32], base: NDArray[np.bool_]) -> NDArray[np.float64]:
    """P(cat) of each base photo by a model of the sources that was fitted to the other folds; shape (base photos,).

    Folds are fixed by the photo's hash. The self-confidence of confident learning (Northcutt et al., JAIR 2021).
    """
    fold = np.array([fold_of(name) for name in photos["sha256"]])
    cat = np.zeros(len(photos))
    for number in range(FOLDS):
        asked = base & (fold == number)
        cat[asked] = predict_from_trusted(photos, scaled, base & (fold != number), asked=asked)
    return cat[base]


def predict_from_trusted(
    photos: pd.DataFrame, scaled: NDArray[np.float32], trusted: NDArray[np.bool_], *, asked: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """P(cat) of the photos that are ``asked`` by a model of the sources of the ``trusted`` base photos; bool (photos,).

    Photos weigh 1 or 0, so that no part of the features is copied. Where a reviewer corrected the source's label,
    nobody knows the true source: such a photo teaches nothing.
    """
    from sklearn.linear_model import LogisticRegression

    if not asked.any():
        return np.empty(0)
    source = photos["source"].map({name: number for number, name in enumerate(SOURCES)}).fillna(0).to_numpy(int)
    learns = trusted & (photos["label"] == photos["source"].map(label_of)).to_numpy(bool)
    model = LogisticRegression(C=INVERSE_PENALTY / learns.sum(), max_iter=300, tol=1e-3)
    model.fit(scaled, source, sample_weight=learns.astype(np.float32))
    return np.asarray(model.predict_proba(scaled[asked])[:, SOURCES.index("cats")], np.float64)


def _upload_statuses(free: pd.DataFrame, base: NDArray[np.bool_], quality: pd.Series, *, rules: Labels) -> pd.Series:
    given = free[~base]
    judged = (given["label_origin"] != "reviewed") & (given["split"] == "train")
    status = pd.Series(pd.NA, index=given.index, dtype="string")
    status = status.mask(judged & _bursts(given[judged], rules).reindex(given.index, fill_value=False), BURST)
    status = status.mask(status.isna() & judged & (quality[~base] < rules.min_agreement), DISAGREES)
    return status.mask(
        status.isna() & judged & _beyond_share(free, given[judged & status.isna()], base, rules), TOO_MANY
    )


def _bursts(given: pd.DataFrame, rules: Labels) -> pd.Series:
    """Photos of a session that gave more than one person would in good faith."""
    return given.groupby("session")["key"].transform("size") > rules.max_per_session


def _beyond_share(free: pd.DataFrame, given: pd.DataFrame, base: NDArray[np.bool_], rules: Labels) -> pd.Series:
    """Those that come last, by name, where unreviewed uploads would make too much of a class."""
    train = free.loc[base & (free["split"] == "train").to_numpy(bool), "label"]
    room = {
        name: max(rules.min_allowance_per_class, int(rules.max_share_of_class * (train == name).sum()))
        for name in LABELS
    }
    place = given.sort_values("sha256").groupby("label").cumcount()
    beyond = place >= given["label"].map(room).reindex(place.index).astype(int)
    return beyond.reindex(free.index[~base], fill_value=False)


def _enough(base: pd.DataFrame) -> bool:
    return len(base) > 0 and base["source"].value_counts().reindex(list(SOURCES), fill_value=0).min() >= MIN_PER_SOURCE
