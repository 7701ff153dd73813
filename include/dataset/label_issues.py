"""Labels that are probably wrong, by a linear model of the embeddings that did not see the photo."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.splits import FOLDS, fold_of
from include.question import POSITIVE, Question
from include.records import LABELS, UPLOADS
from include.settings import Labels
from include.status import Status

INVERSE_REGULARISATION = 6.4  # scikit-learn's C for the sum over all photos: 0.001 at 6,400 photos, as for the head
MIN_PER_SOURCE = 20  # with fewer base photos no label is checked


def find_label_issues(
    photos: pd.DataFrame, embeddings: NDArray[np.float16], rules: Labels, question: Question
) -> pd.DataFrame:
    """The status and reason of photos whose label is probably wrong.

    Adds ``label_quality`` (P(label) by a model that did not see the photo; NaN: not checked) and ``label_issue`` (a
    base photo whose label is probably wrong, on whatever split). ``embeddings`` has a row for each photo without a
    status, in their order. Photos leave the train split only, and never against a review.
    """
    free = photos[photos["status"].isna()]
    base = (free["source"] != UPLOADS).to_numpy(bool)
    quality = pd.Series(np.nan, index=free.index)
    issue = pd.Series(False, index=free.index)
    if _enough(free[base], question):
        scaled = standardise(embeddings)
        quality[base] = label_quality(free[base], predict_out_of_fold(free, scaled, base, question))
        issue = (quality < rules.max_quality) & (free["label_origin"] != "reviewed")
        trusted = base & ~issue.to_numpy(bool) & (free["split"] == "train").to_numpy(bool)
        quality[~base] = label_quality(free[~base], predict_from_trusted(free, scaled, trusted, question, asked=~base))
    status = pd.Series(pd.NA, index=free.index, dtype="string")
    status = status.mask(issue & (free["split"] == "train"), Status.LABEL_ISSUE)
    status[~base] = _upload_statuses(free, base, quality, rules=rules)
    return photos.assign(
        status=photos["status"].fillna(status),
        reason=photos["reason"].fillna(_reasons(status, quality)),
        label_quality=quality.reindex(photos.index),
        label_issue=issue.reindex(photos.index, fill_value=False),
    )


def standardise(embeddings: NDArray[np.float16]) -> NDArray[np.float32]:
    """Each column with mean 0 and variance 1: float32, same shape. Memory holds one copy of the result's size."""
    scaled = embeddings.astype(np.float32)
    scaled -= scaled.mean(axis=0, dtype=np.float64)
    scaled /= np.sqrt(np.einsum("ij,ij->j", scaled, scaled) / len(scaled)) + 1e-6
    return scaled


def label_quality(photos: pd.DataFrame, positive: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(label) of each photo, from P(positive); both of shape (photos,)."""
    return np.where(photos["label"] == POSITIVE, positive, 1 - positive)


def predict_out_of_fold(
    photos: pd.DataFrame, scaled: NDArray[np.float32], base: NDArray[np.bool_], question: Question
) -> NDArray[np.float64]:
    """P(positive) of each base photo by a model that was fitted to the other folds; shape (base photos,).

    Folds are fixed by the photo's hash. This is the self-confidence of confident learning (Northcutt et al., JAIR
    2021).
    """
    fold = np.array([fold_of(name) for name in photos["sha256"]])
    positive = np.zeros(len(photos))
    for number in range(FOLDS):
        asked = base & (fold == number)
        positive[asked] = predict_from_trusted(photos, scaled, base & (fold != number), question, asked=asked)
    return positive[base]


def predict_from_trusted(
    photos: pd.DataFrame,
    scaled: NDArray[np.float32],
    trusted: NDArray[np.bool_],
    question: Question,
    *,
    asked: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """P(positive) of the ``asked`` photos by a model of the sources of the ``trusted`` base photos; bool (photos,).

    Photos weigh 1 or 0, so that no part of the embeddings is copied. A photo whose label a reviewer corrected has an
    unknown source and does not count.
    """
    from sklearn.linear_model import LogisticRegression

    if not asked.any():
        return np.empty(0)
    numbers = {source: number for number, source in enumerate(question.sources)}
    source = photos["source"].map(numbers).fillna(0).to_numpy(int)
    learns = trusted & (photos["label"] == photos["source"].map(question.label_of)).to_numpy(bool)
    model = LogisticRegression(C=INVERSE_REGULARISATION / learns.sum(), max_iter=300, tol=1e-3)
    model.fit(scaled, source, sample_weight=learns.astype(np.float32))
    return np.asarray(model.predict_proba(scaled[asked])[:, list(question.positive_classes)].sum(axis=1), np.float64)


def _upload_statuses(free: pd.DataFrame, base: NDArray[np.bool_], quality: pd.Series, *, rules: Labels) -> pd.Series:
    uploads = free[~base]
    checked = (uploads["label_origin"] != "reviewed") & (uploads["split"] == "train")
    status = pd.Series(pd.NA, index=uploads.index, dtype="string")
    bursts = _bursts(uploads[checked], rules).reindex(uploads.index, fill_value=False)
    status = status.mask(checked & bursts, Status.SESSION_BURST)
    status = status.mask(status.isna() & checked & (quality[~base] < rules.min_agreement), Status.DISAGREES_WITH_BASE)
    beyond = _beyond_share(free, uploads[checked & status.isna()], base, rules)
    return status.mask(status.isna() & checked & beyond, Status.TOO_LARGE_A_SHARE)


def _bursts(uploads: pd.DataFrame, rules: Labels) -> pd.Series:
    """Photos of a session that gave more than one person would in good faith."""
    return uploads.groupby("session")["key"].transform("size") > rules.max_per_session


def _beyond_share(free: pd.DataFrame, uploads: pd.DataFrame, base: NDArray[np.bool_], rules: Labels) -> pd.Series:
    """The last uploads by name, where unreviewed uploads would be too large a share of a class."""
    train = free.loc[base & (free["split"] == "train").to_numpy(bool), "label"]
    least, share = rules.min_allowance_per_class, rules.max_share_of_class
    room = {label: max(least, int(share * (train == label).sum())) for label in LABELS}
    place = uploads.sort_values("sha256").groupby("label").cumcount()
    beyond = place >= uploads["label"].map(room).reindex(place.index).astype(int)
    return beyond.reindex(free.index[~base], fill_value=False)


def _reasons(status: pd.Series, quality: pd.Series) -> pd.Series:
    """Why a label counts as an issue: how probable the model finds it."""
    by_model = status.isin([Status.LABEL_ISSUE, Status.DISAGREES_WITH_BASE])
    reasons = "P(label) is " + quality.map("{:.3f}".format).astype("string")
    return reasons.where(by_model, pd.NA).astype("string")


def _enough(base: pd.DataFrame, question: Question) -> bool:
    counts = base["source"].value_counts().reindex(list(question.sources), fill_value=0)
    return len(base) > 0 and counts.min() >= MIN_PER_SOURCE
