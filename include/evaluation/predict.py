"""The logits that an evaluation needs: of val and test by the network, of train and val out of fold."""

from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.dataset.embeddings import read_embeddings
from include.dataset.examples import Examples, load_examples
from include.errors import ModelError
from include.ingestion.snapshot import read_snapshot
from include.lake.base import ObjectStore
from include.params import RetrainParams
from include.settings import Settings
from include.training.fit import score
from include.training.head import extract_head, fit_head, folds_of, out_of_fold_logits, score_embeddings
from include.training.hyperparameters import Hyperparameters
from include.training.pixel_cache import load_pixels


@dataclass(frozen=True)
class Logits:
    """Photos of a manifest, and their logits: float32 (photos, classes)."""

    photos: pd.DataFrame
    values: NDArray[np.float32]

    def of(self, split: str) -> "Logits":
        rows = (self.photos["split"] == split).to_numpy(bool)
        return Logits(self.photos[rows], self.values[rows])


def check_finite(logits: Logits) -> None:
    """Raises ModelError where a photo has a score that is not a finite number."""
    broken = int((~np.isfinite(logits.values)).any(axis=1).sum())
    if broken:
        problem = f"the network has no finite score for {broken} of {len(logits.photos)} photos"
        raise ModelError(f"{problem}: lower CAT_LEARNING_RATE, or CAT_L2_PENALTY, and clear the task train")


def is_frozen(settings: Settings, params: RetrainParams) -> bool:
    """Whether the model is a head on the unchanged backbone: its scores follow from the embeddings alone."""
    return settings.network != "scratch" and not params.fine_tune_epochs


def predict_holdout(
    store: ObjectStore, manifest: pd.DataFrame, network: keras.Model, settings: Settings, params: RetrainParams
) -> Logits:
    """The network's logits of val and test."""
    photos = manifest[manifest["split"] != "train"].reset_index(drop=True)
    if is_frozen(settings, params):
        embeddings = read_embeddings(store, photos["key"], settings.embedding_cache)
        return Logits(photos, score_embeddings(extract_head(network), embeddings))
    pixels = load_pixels(store, photos, size=int(network.input_shape[1]))
    return Logits(photos, score(network, pixels, photos, settings.question))


def predict_out_of_fold(
    store: ObjectStore,
    run: str,
    manifest: pd.DataFrame,
    chosen: Hyperparameters,
    settings: Settings,
    params: RetrainParams,
) -> Logits:
    """The logits of train and val, each photo by a head with the chosen hyperparameters that did not see its fold."""
    photos = manifest[manifest["split"] != "test"]
    _, uploads = read_snapshot(store, run)
    examples = load_examples(store, photos, settings.question, settings.embedding_cache)
    penalty, seed = settings.l2_penalty, settings.seed

    def fit(part: Examples) -> keras.Model:
        return fit_head(part, None, chosen, l2_penalty=penalty, epochs=params.epochs, seed=seed)

    return Logits(photos, out_of_fold_logits(examples, folds_of(photos, uploads.set_index("key")["session"]), fit))
