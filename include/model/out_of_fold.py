"""What heads say of photos that they did not learn from: far more photos for the decision rule than val has."""

import hashlib
from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.model.examples import Examples
from include.model.head import score_features
from include.records import KINDS

FOLDS = 5


def out_of_fold(
    examples: Examples, folds: NDArray[np.int64], fit: Callable[[Examples], keras.Model]
) -> NDArray[np.float32]:
    """Logits of each photo by a head that was fitted to the other folds: float32 (photos, kinds)."""
    logits = np.zeros((len(examples), KINDS), np.float32)
    for number in np.unique(folds):
        head = fit(examples.take(folds != number))
        logits[folds == number] = score_features(head, examples.features[folds == number])
    return logits


def folds_of(photos: pd.DataFrame, sessions: pd.Series) -> NDArray[np.int64]:
    """The fold of each photo of a manifest, 0 to 4, fixed by a hash: of its session where it has one, else of its own.

    ``sessions`` gives the session of each upload by its key: photos that one visitor gave are much alike.
    """
    session_of = sessions.to_dict()
    groups = [session_of.get(key, sha256) for key, sha256 in zip(photos["key"], photos["sha256"], strict=True)]
    return np.array([int(hashlib.sha256(f"fold:{group}".encode()).hexdigest()[:8], 16) % FOLDS for group in groups])
