"""The logits of photos by heads that did not see them, and which photos share a fold."""

import keras
import numpy as np
import pandas as pd
import pytest

from include.backbone import FEATURES
from include.dataset.examples import Examples
from include.dataset.splits import FOLDS
from include.lake import layout
from include.training.head import fit_head, folds_of, out_of_fold_logits
from include.training.hyperparameters import Hyperparameters
from tests.models import CLASSES

ONE_HOT = np.eye(CLASSES, dtype=np.float32)


def examples_of(classes: np.ndarray) -> Examples:
    """Random embeddings, so that only a photo's own label could reveal its class."""
    embeddings = np.random.default_rng(0).random((len(classes), FEATURES)).astype(np.float16)
    return Examples(embeddings, ONE_HOT[classes], np.ones(len(classes), np.float32), classes == 0)


class Memory:
    """A head that answers with the labels of the photos it was fitted to, and with -1 for all others."""

    def __init__(self, examples: Examples) -> None:
        self.labels = dict(zip(map(bytes, examples.embeddings), examples.allowed, strict=True))

    def predict(self, embeddings: np.ndarray, **_: object) -> np.ndarray:
        return np.stack([self.labels.get(bytes(row), np.full(CLASSES, -1)) for row in embeddings])


def fit(examples: Examples) -> keras.Model:
    chosen = Hyperparameters(learning_rate=0.05, batch_size=16)
    return fit_head(examples, None, chosen, l2_penalty=0.001, epochs=3, seed=1)


def test_no_head_has_seen_the_photos_that_it_scores() -> None:
    examples, folds = examples_of(np.arange(40) % CLASSES), np.arange(40) % FOLDS
    np.testing.assert_array_equal(out_of_fold_logits(examples, folds, Memory), np.full((40, CLASSES), -1))


def test_each_head_has_seen_all_other_photos() -> None:
    """Every photo comes twice, in two folds: the head of one fold has seen the copy in the other."""
    once = examples_of(np.arange(20) % CLASSES)
    twice, folds = once.take(np.tile(np.arange(20), 2)), np.repeat([0, 3], 20)
    logits = out_of_fold_logits(twice, folds, Memory)
    np.testing.assert_array_equal(logits, twice.allowed)
    assert logits.dtype == np.float32


def test_a_photos_logits_do_not_depend_on_its_own_label() -> None:
    classes, folds = np.arange(60) % CLASSES, np.arange(60) % 2
    changed = classes.copy()
    changed[7] = (changed[7] + 1) % CLASSES
    before, after = (out_of_fold_logits(examples_of(given), folds, fit) for given in (classes, changed))
    same = (before == after).all(axis=1)
    np.testing.assert_array_equal(same, folds == folds[7])


@pytest.fixture
def photos() -> pd.DataFrame:
    """600 base photos, and 60 uploads of twelve visitors."""
    names = [f"{number:064x}" for number in range(660)]
    keys = [layout.base("cats", name) for name in names[:600]]
    keys += [layout.upload_photo(f"photo-{number}") for number in range(60)]
    return pd.DataFrame({"key": keys, "sha256": names})


@pytest.fixture
def sessions() -> pd.Series:
    return pd.Series({layout.upload_photo(f"photo-{number}"): f"visitor-{number % 12}" for number in range(60)})


def test_the_uploads_of_a_session_share_a_fold(photos: pd.DataFrame, sessions: pd.Series) -> None:
    folds = folds_of(photos, sessions)
    of_uploads = pd.Series(folds[600:]).groupby(np.arange(60) % 12)
    assert (of_uploads.nunique() == 1).all()
    assert len(set(folds[600:])) > 1


def test_an_upload_of_an_unknown_session_has_a_fold_of_its_own(photos: pd.DataFrame, sessions: pd.Series) -> None:
    assert set(folds_of(photos[600:], sessions.iloc[:0])) == set(range(FOLDS))


def test_folds_have_about_the_same_size(photos: pd.DataFrame, sessions: pd.Series) -> None:
    counts = np.bincount(folds_of(photos, sessions)[:600])
    assert len(counts) == FOLDS
    assert counts == pytest.approx(np.full(FOLDS, 120), abs=30)


def test_folds_are_fixed(photos: pd.DataFrame, sessions: pd.Series) -> None:
    """Another machine, another order and other photos beside them change nothing."""
    folds = folds_of(photos, sessions)
    assert folds[:12].tolist() == [1, 2, 1, 0, 2, 0, 2, 0, 0, 0, 2, 0]
    assert folds[600:612].tolist() == [2, 2, 3, 0, 2, 2, 0, 0, 3, 4, 4, 1]
    shuffled = photos.sample(frac=1, random_state=1)[:300]
    np.testing.assert_array_equal(folds_of(shuffled, sessions), folds[shuffled.index])
