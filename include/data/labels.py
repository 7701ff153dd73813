"""Labels that are probably wrong: those of base sets by confident learning, those of users by a stricter bar."""

import hashlib
import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.records import LABELS, SOURCES, UPLOADS, label_of
from include.settings import Labels

log = logging.getLogger(__name__)

DOUBTED = "label doubted"
BURST = "burst from one session: waiting for review"
DISAGREES = "label disagrees with its neighbours: waiting for review"
TOO_MANY = "too large a share of its class: waiting for review"
FOLDS = 5
TRUST = 16  # how far the regression follows the photos, all together; found on 5 % of labels turned at random
MIN_PER_SOURCE = 20  # below it nothing can be said of a base set


def check_labels(photos: pd.DataFrame, features: NDArray[np.float32], rules: Labels) -> pd.DataFrame:
    """Fates of doubted photos, with ``why``; adds ``label_quality`` (0 to 1, how far the label is believed; NaN: not
    judged) and ``suspect`` (a base photo that is likely wrong, on whatever side).

    ``features`` has a row for each photo without a fate, in their order. Automatic drops touch the train side only;
    what a person reviewed is believed.
    """
    free = photos[photos["fate"].isna()]
    base = (free["source"] != UPLOADS).to_numpy(bool)
    quality = pd.Series(np.nan, index=free.index)
    suspect = pd.Series(False, index=free.index)
    if _enough(free[base]):
        quality[base], suspect[base] = judge_base(free[base], features[base], max_quality=rules.max_quality)
    fate = pd.Series(pd.NA, index=free.index, dtype="string")
    fate = fate.mask(suspect & (free["side"] == "train"), DOUBTED)
    fate[~base] = _judge_uploads(free, features, base, trusted=base & ~suspect.to_numpy(bool), rules=rules)
    return photos.assign(
        fate=photos["fate"].fillna(fate),
        label_quality=quality.reindex(photos.index),
        suspect=suspect.reindex(photos.index, fill_value=False),
    )


def judge_base(
    base: pd.DataFrame, features: NDArray[np.float32], *, max_quality: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """How far each base photo's label is believed, and whether it is likely wrong; both of shape (photos,).

    Confident learning (Northcutt et al., JAIR 2021, as in cleanlab) on probabilities of a logistic regression that
    did not see the photo: five folds, fixed by the photo's hash. Of what it finds only labels that are believed less
    than ``max_quality`` count: that a photo is hard does not make its label wrong.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    given = (base["label"] == "cat").to_numpy(int)
    cat = out_of_fold(base, features)
    said = np.column_stack([1 - cat, cat])
    quality = get_label_quality_scores(given, said, method="self_confidence")
    wrong = find_label_issues(given, said, filter_by="both", n_jobs=1)
    return quality, wrong & (quality < max_quality) & (base["label_origin"] != "reviewed").to_numpy(bool)


def out_of_fold(base: pd.DataFrame, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """P(cat) of each photo by a model of the sources that was fitted to the other folds; shape (photos,)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaled = StandardScaler().fit_transform(features.astype(np.float64))
    source = base["source"].map(SOURCES.index).to_numpy(int)
    fold = np.array(
        [int(hashlib.sha256(f"fold:{name}".encode()).hexdigest()[:8], 16) % FOLDS for name in base["sha256"]]
    )
    as_given = (base["label"] == base["source"].map(label_of)).to_numpy(bool)  # else a person said otherwise
    cat = np.zeros(len(base))
    for number in range(FOLDS):
        learn = as_given & (fold != number)
        model = LogisticRegression(C=TRUST / learn.sum(), max_iter=300, tol=1e-3).fit(scaled[learn], source[learn])
        cat[fold == number] = model.predict_proba(scaled[fold == number])[:, SOURCES.index("cats")]
    return cat


def agreement(
    labels: NDArray,
    features: NDArray[np.float32],
    *,
    known: NDArray[np.float32],
    known_labels: NDArray,
    neighbours: int,
) -> NDArray[np.float64]:
    """Of each photo the share of its nearest known photos with the same label, by the cosine; shape (photos,)."""
    nearest = np.argsort(-(features @ known.T), axis=1, kind="stable")[:, :neighbours]
    return np.asarray((known_labels[nearest] == labels[:, None]).mean(axis=1))


def _judge_uploads(
    free: pd.DataFrame,
    features: NDArray[np.float32],
    base: NDArray[np.bool_],
    *,
    trusted: NDArray[np.bool_],
    rules: Labels,
) -> pd.Series:
    given = free[~base]
    judged = (given["label_origin"] != "reviewed") & (given["side"] == "train")
    fate = pd.Series(pd.NA, index=given.index, dtype="string")
    fate = fate.mask(judged & _bursts(given[judged], rules).reindex(given.index, fill_value=False), BURST)
    learned = trusted & (free["side"] == "train").to_numpy(bool)
    if learned.sum() >= rules.neighbours and len(given):
        label = free["label"].to_numpy(object)
        share = agreement(
            label[~base],
            features[~base],
            known=features[learned],
            known_labels=label[learned],
            neighbours=rules.neighbours,
        )
        fate = fate.mask(fate.isna() & judged & (share < rules.min_agreement), DISAGREES)
    return fate.mask(fate.isna() & judged & _beyond_share(free, given[judged & fate.isna()], base, rules), TOO_MANY)


def _bursts(given: pd.DataFrame, rules: Labels) -> pd.Series:
    """Photos of a session that gave more than one person would in good faith."""
    return given.groupby("session")["key"].transform("size") > rules.max_per_session


def _beyond_share(free: pd.DataFrame, given: pd.DataFrame, base: NDArray[np.bool_], rules: Labels) -> pd.Series:
    """Those that come last, by name, where unreviewed uploads would make too much of a class."""
    train = free[base & (free["side"] == "train").to_numpy(bool)]
    room = {
        label: max(rules.free_per_class, int(rules.max_share_of_class * (train["label"] == label).sum()))
        for label in LABELS
    }
    place = given.sort_values("sha256").groupby("label").cumcount()
    beyond = place >= given["label"].map(room).reindex(place.index).astype(int)
    return beyond.reindex(free.index[~base], fill_value=False)


def _enough(base: pd.DataFrame) -> bool:
    return len(base) > 0 and base["source"].value_counts().reindex(list(SOURCES), fill_value=0).min() >= MIN_PER_SOURCE
