"""Uploads with wrong labels: what they cost a model, and whether the gate would promote that model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.lakes import RUN, check, copy, intact_keys
from bench.measurement import say
from bench.question import QUESTION
from include.dataset.crowd_report import splits_apart
from include.dataset.embeddings import read_embeddings
from include.dataset.examples import is_positive
from include.dataset.manifest import to_manifest
from include.errors import DatasetError
from include.evaluation.metrics import positive_probability
from include.evaluation.predict import Logits
from include.ingestion.uploads import photo_id_of, save_feedback, save_upload
from include.lake import layout
from include.lake.local import LocalStore
from include.promotion.comparison import ONE_SPLIT, limits_of
from include.promotion.evaluate import fit_rule
from include.promotion.gate import decide
from include.promotion.gate_photos import GatePhotos
from include.records import (
    LABELS,
    UPLOADS,
    DecisionRule,
    ModelVersion,
    Rule,
    UploadRecord,
    VersionScores,
)
from include.settings import Settings
from include.status import Status
from include.training.head import score_embeddings
from include.training.hyperparameters import Hyperparameters
from include.training.plan import fit_default_head

PER_SESSION = 5  # photos of one visitor
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)  # of P(label): values that `min_agreement` could have
Origin = Literal["correct", "flipped", "flood"]  # a visitor's label, correct or flipped; or one of the session `flood`
Counts = dict[str, int]  # the number of uploads of each origin


@dataclass(frozen=True)
class Upload:
    """A photo that a user gives, with an answer."""

    photo: bytes
    session: str
    answer: str
    origin: Origin


@dataclass(frozen=True)
class Trained:
    """A model, the manifest of its dataset, and the embeddings of its test photos.

    ``used`` counts the uploads that trained it, ``by_threshold`` those that would have by each of THRESHOLDS.
    """

    head: keras.Model
    rule: DecisionRule
    manifest: pd.DataFrame
    embeddings: NDArray[np.float16]
    used: Counts
    by_threshold: dict[float, Counts]

    @property
    def test(self) -> pd.DataFrame:
        return self.manifest[self.manifest["split"] == "test"]


def withdraw_photos(store: LocalStore, *, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Take photos of the train split out of a collected lake, to upload them later; returns label and bytes of each.

    Raises DatasetError if the lake has too few.
    """
    train = intact_keys(store, "train")
    if len(train) < count:
        raise DatasetError(f"the train split has {len(train)} photos, and {count} are to be uploaded: ask for fewer")
    keys = [str(key) for key in np.random.default_rng(seed).choice(train, count, replace=False)]
    photos = [(QUESTION.label_of(layout.parse_base(key).source), store.read(key)) for key in keys]
    for key in keys:
        store.delete(key)
    return photos


def make_uploads(photos: list[tuple[str, bytes]], *, flood: int, flipped: float, seed: int) -> list[Upload]:
    """The last ``flood`` photos come from one session that flips every label; visitors flip a share of the others."""
    of_visitors = len(photos) - flood
    rows = np.random.default_rng(seed).choice(of_visitors, round(flipped * of_visitors), replace=False)
    flipped_rows = set(rows.tolist())
    uploads = []
    for row, (label, photo) in enumerate(photos):
        origin: Origin = "flood" if row >= of_visitors else "flipped" if row in flipped_rows else "correct"
        session = "flood" if origin == "flood" else f"visitor {row // PER_SESSION}"
        uploads.append(Upload(photo, session, label if origin == "correct" else _flip(label), origin))
    return uploads


def measure_poisoning(
    base: LocalStore,
    photos: list[tuple[str, bytes]],
    settings: Settings,
    *,
    flood: int,
    flipped: float,
    seeds: Sequence[int],
    folder: Path,
) -> list[dict[str, Any]]:
    """The champion learns from visitors' correct labels only; for each seed a challenger learns from other uploads.

    ``folder`` is for the lakes. Returns for each seed the ``difference`` on all test photos, the gate's ``outcome``,
    and the uploads by origin: all that were ``uploaded``, those ``used``, and ``by_threshold`` those that would have
    been used.
    """
    correct = make_uploads(photos[: len(photos) - flood], flood=0, flipped=0, seed=0)
    champion = _train(copy(base, folder / "correct"), correct, settings)
    results = []
    for seed in seeds:
        uploads = make_uploads(photos, flood=flood, flipped=flipped, seed=seed)
        challenger = _train(copy(base, folder / f"seed {seed}"), uploads, settings)
        counts = {"uploaded": count(uploads), "used": challenger.used, "by_threshold": challenger.by_threshold}
        results.append(_compare(challenger, champion, settings) | counts)
    return results


def count_used(photos: pd.DataFrame, uploads: dict[str, Upload], threshold: float) -> Counts:
    """The uploads that would train if ``min_agreement`` were ``threshold``.

    ``photos`` has the columns key, status and label_quality; ``uploads`` are by photo_id. Uploads that another rule
    excludes stay out.
    """
    free = photos["status"].isin([Status.USED, Status.DISAGREES_WITH_BASE]) & ~(photos["label_quality"] < threshold)
    return count([uploads[layout.photo_id_of(key)] for key in photos.loc[free, "key"]])


def count(uploads: Sequence[Upload]) -> Counts:
    return {origin: sum(upload.origin == origin for upload in uploads) for origin in get_args(Origin)}


def _train(store: LocalStore, uploads: list[Upload], settings: Settings) -> Trained:
    """The model that `retrain` would make of the lake and the uploads, with the default hyperparameters."""
    by_id = {_save(store, upload): upload for upload in uploads}
    photos = check(store, settings)
    manifest, uploaded = to_manifest(photos, QUESTION), photos[photos["source"] == UPLOADS]
    say(f"training on {(manifest['split'] == 'train').sum():,} photos")
    params = settings.retrain_params
    head, _ = fit_default_head(store, manifest, Hyperparameters(), settings, epochs=params.epochs)
    test = manifest[manifest["split"] == "test"]
    embeddings = read_embeddings(store, test["key"], settings.embedding_cache)
    logits = Logits(test, score_embeddings(head, embeddings))
    rule, _ = fit_rule(store, RUN, manifest, logits, Hyperparameters(), settings, params)
    keys = uploaded.loc[uploaded["status"] == Status.USED, "key"]
    used = count([by_id[layout.photo_id_of(key)] for key in keys])
    by_threshold = {threshold: count_used(uploaded, by_id, threshold) for threshold in THRESHOLDS}
    return Trained(head, rule, manifest, embeddings, used, by_threshold)


def _compare(challenger: Trained, champion: Trained, settings: Settings) -> dict[str, Any]:
    """Both on the challenger's test photos, as the gate does it; without slices, latency and memory."""
    test, embeddings = challenger.test, challenger.embeddings
    photos = GatePhotos(is_positive(test), (test["source"] != UPLOADS).to_numpy(bool), {})
    new, old = _score("2", challenger, embeddings), _score("1", champion, embeddings)
    apart, reason = splits_apart(challenger.manifest, {})
    about = Rule(ONE_SPLIT, "passed" if apart else "failed", reason)
    limits = limits_of(settings.retrain_params, settings, photos=len(test))
    decision = decide(photos, new, old, old, about_photos=about, limits=limits)
    return {"difference": decision.comparisons[0].overall, "outcome": decision.outcome}


def _score(version: str, model: Trained, embeddings: NDArray[np.float16]) -> VersionScores:
    probability = positive_probability(score_embeddings(model.head, embeddings), model.rule)
    return VersionScores(ModelVersion(version, version), probability, model.rule.threshold)


def _save(store: LocalStore, upload: Upload) -> str:
    """Store an upload as the app does; returns its photo_id."""
    photo_id = photo_id_of(store, upload.session, upload.photo)
    record = UploadRecord(photo_id, "2026-01-01T00:00:00+00:00", upload.session, 1, "", None)
    save_upload(store, upload.photo, record)
    save_feedback(store, photo_id, upload.answer)
    return photo_id


def _flip(label: str) -> str:
    return next(other for other in LABELS if other != label)
