"""Whether each split still has photos of both labels: told as soon as it can be known, with what took the others."""

from collections.abc import Set

import pandas as pd

from include.dataset.splits import bucket, split_of_bucket
from include.errors import DatasetError
from include.ingestion.snapshot import read_snapshot
from include.lake.base import ObjectStore
from include.lake.formats import read_table
from include.question import Question
from include.records import LABELS, SPLITS
from include.status import Status


def check_snapshot(store: ObjectStore, run: str, question: Question) -> None:
    """Check the photos of a run before they are read: the split of a base photo follows from its name.

    Labels that users gave may fill a split, so these are not asked for. Raises DatasetError.
    """
    base, uploads = read_snapshot(store, run)
    split = base["sha256"].map(lambda name: split_of_bucket(bucket(name)))
    answered = {(split, str(label)) for label in uploads["label"].dropna() for split in SPLITS}
    _check(base.assign(split=split, status=pd.NA, reason=pd.NA), question, besides=answered)


def check_table(store: ObjectStore, key: str, question: Question) -> str:
    """Check what a task left under ``key``; returns the key. Raises DatasetError."""
    _check(read_table(store, key), question)
    return key


def _check(photos: pd.DataFrame, question: Question, *, besides: Set[tuple[str, str]] = frozenset()) -> None:
    """Raises DatasetError, which names each split that lacks a label, and what became of its photos.

    ``photos`` has the columns source, split, label, status and reason; a photo without a status is free. Pairs of
    split and label in ``besides`` are not missing.
    """
    is_free = photos["status"].isna() | (photos["status"] == Status.USED).fillna(False)
    left = besides | set(photos.loc[is_free, ["split", "label"]].itertuples(index=False, name=None))
    missing = [(split, label) for split in SPLITS for label in LABELS if (split, label) not in left]
    if missing:
        faults = [_describe(photos, split, label, question) for split, label in missing]
        raise DatasetError(f"{'; '.join(faults)}. Ingest more photos{_or_more(photos)}")


def _describe(photos: pd.DataFrame, split: str, label: str, question: Question) -> str:
    """Such as "train has no photos of a cat (label positive): of 48, 40 are quarantined (not_an_image: ...), ..."."""
    sources = ", ".join(source for source in question.sources if question.label_of(source) == label)
    about = f"{split} has no photos of {question.words_for(label)} (label {label}, from {sources})"
    of_label = photos[photos["label"] == label]
    here = of_label[of_label["split"] == split]
    if here.empty:
        return f"{about}: the lake has {len(of_label)} of them, and none falls on {split}"
    taken = [f"{count} are {status}{_reason(here, status)}" for status, count in here["status"].value_counts().items()]
    return f"{about}: of {len(here)}, {', '.join(taken)}"


def _reason(photos: pd.DataFrame, status: object) -> str:
    """The commonest reason of photos with this status, in brackets."""
    reasons = photos.loc[photos["status"] == status, "reason"].dropna()
    return f" ({reasons.value_counts().index[0]})" if len(reasons) else ""


def _or_more(photos: pd.DataFrame) -> str:
    return ", or raise images_per_source" if (photos["status"] == Status.NOT_SAMPLED).any() else ""
