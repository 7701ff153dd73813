"""Uploads with wrong labels: what a model loses by them, and whether the gate would let it pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.lakes import RUN, check, copy, sound_keys
from bench.measuring import say
from include.dataset.examples import load_examples
from include.dataset.label_issues import DISAGREES
from include.dataset.manifest import to_manifest
from include.dataset.splits import USED
from include.errors import DatasetError
from include.evaluation.metrics import positive_probability
from include.ingestion.uploads import photo_id_of, save_feedback, save_upload
from include.lake import layout
from include.lake.local import LocalStore
from include.promotion.evaluate import HeldOutScores, fit_rule
from include.promotion.gate import decide, difference
from include.records import LABELS, UPLOADS, DecisionRule, RetrainParams, UploadRecord, VersionScores, label_of
from include.settings import Settings
from include.training.head import score_features
from include.training.hyperparameters import Hyperparameters
from include.training.plan import fit_default_head

PER_SESSION = 5  # photos of one visitor
THRESHOLDS = (0.1, 0.2, 0.3, 0.5)  # of P(label): what `min_agreement` might be
Kind = Literal["right", "turned", "flood"]  # what is true of a label: a visitor's, or one of the session that floods
Counts = dict[str, int]  # how many gifts of each kind


@dataclass(frozen=True)
class Gift:
    """A photo that is given, and what is said of it."""

    photo: bytes
    session: str
    answer: str
    kind: Kind


@dataclass(frozen=True)
class Trained:
    """A model; the test photos of its dataset and their features; the gifts that trained it, and that would have
    trained it with other THRESHOLDS.
    """

    head: keras.Model
    rule: DecisionRule
    test: pd.DataFrame
    features: NDArray[np.float16]
    used: Counts
    by_threshold: dict[float, Counts]


def hold_out(store: LocalStore, *, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Take photos of the train split out of a collected lake, as visitors would give them: (label, bytes) of each.

    Raises DatasetError where the lake has too few.
    """
    train = sound_keys(store, "train")
    if len(train) < count:
        raise DatasetError(f"too few photos: {count} of the train split are to be given, and there are {len(train)}")
    taken = [str(key) for key in np.random.default_rng(seed).choice(train, count, replace=False)]
    photos = [(label_of(layout.parse_base(key).source), store.read(key)) for key in taken]
    for key in taken:
        store.delete(key)
    return photos


def gifts(photos: list[tuple[str, bytes]], *, flood: int, turned: float, seed: int) -> list[Gift]:
    """The last ``flood`` photos come from one session that turns every label; visitors turn a share of the others."""
    visitors = len(photos) - flood
    lies = set(np.random.default_rng(seed).choice(visitors, round(turned * visitors), replace=False).tolist())
    made = []
    for place, (truth, photo) in enumerate(photos):
        kind: Kind = "flood" if place >= visitors else "turned" if place in lies else "right"
        session = "flood" if kind == "flood" else f"visitor {place // PER_SESSION}"
        made.append(Gift(photo, session, truth if kind == "right" else _other(truth), kind))
    return made


def measure_poison(
    base: LocalStore,
    photos: list[tuple[str, bytes]],
    settings: Settings,
    *,
    flood: int,
    turned: float,
    seeds: Sequence[int],
    folder: Path,
) -> list[dict[str, Any]]:
    """One model of the right labels, without the flood, is the champion; each seed turns other labels and challenges.

    ``folder`` is for the lakes. Returns for each seed the ``difference`` in average precision with its 95 % interval
    (``low``, ``high``), whether the gate lets the challenger pass (``passed``), how many gifts of each kind it was
    ``given`` and ``used``, and ``by_threshold`` how many it would have used.
    """
    right = gifts(photos[: len(photos) - flood], flood=0, turned=0, seed=0)
    champion = _train(copy(base, folder / "right"), right, settings)
    measured = []
    for seed in seeds:
        given = gifts(photos, flood=flood, turned=turned, seed=seed)
        challenger = _train(copy(base, folder / f"seed {seed}"), given, settings)
        counts = {"given": count(given), "used": challenger.used, "by_threshold": challenger.by_threshold}
        measured.append(_compare(challenger, champion, settings) | counts)
    return measured


def count_used(uploads: pd.DataFrame, given: dict[str, Gift], threshold: float) -> Counts:
    """The gifts that would train if their labels had to be as probable as ``threshold``.

    ``uploads`` has columns key, fate and label_quality; ``given`` has the gifts by photo_id. What other rules than the
    agreement with the base photos leave out stays out.
    """
    free = uploads["status"].isin([USED, DISAGREES]) & ~(uploads["label_quality"] < threshold)
    return count([given[layout.photo_id_of(key)] for key in uploads.loc[free, "key"]])


def count(given: Sequence[Gift]) -> Counts:
    return {kind: sum(gift.kind == kind for gift in given) for kind in get_args(Kind)}


def _train(store: LocalStore, given: list[Gift], settings: Settings) -> Trained:
    """What `retrain` would make of the lake and the gifts, with the default hyperparameters."""
    by_id = {_give(store, gift): gift for gift in given}
    photos = check(store, settings)
    manifest, uploads = to_manifest(photos), photos[photos["source"] == UPLOADS]
    say(f"training on {(manifest['split'] == 'train').sum():,} photos")
    params = RetrainParams.of(settings.model_dump())
    head, _ = fit_default_head(store, manifest, Hyperparameters(), settings, epochs=params.epochs)
    test = manifest[manifest["split"] == "test"]
    features = load_examples(store, test, settings.embedding_cache).features
    rule, _ = fit_rule(store, RUN, manifest, HeldOutScores(test, score_features(head, features)), settings, params)
    used = count([by_id[layout.photo_id_of(key)] for key in uploads.loc[uploads["status"] == USED, "key"]])
    return Trained(head, rule, test, features, used, {low: count_used(uploads, by_id, low) for low in THRESHOLDS})


def _compare(challenger: Trained, champion: Trained, settings: Settings) -> dict[str, Any]:
    """Both on the challenger's test photos, as the gate does it."""
    table = challenger.test
    is_cat, from_base = (table["label"] == "cat").to_numpy(bool), (table["source"] != UPLOADS).to_numpy(bool)
    new, old = (_score(name, model, challenger.features) for name, model in (("2", challenger), ("1", champion)))
    floors = {"min_precision": settings.min_precision, "min_recall": settings.min_recall}
    decision = decide(is_cat, from_base, new, old, **floors, seed=settings.seed)
    drawn = difference(is_cat, new.probability, old.probability, seed=settings.seed)
    low, middle, high = (float(value) for value in np.quantile(drawn, [0.025, 0.5, 0.975]))
    return {"low": low, "difference": middle, "high": high, "passed": decision.better}


def _score(name: str, model: Trained, features: NDArray[np.float16]) -> VersionScores:
    return VersionScores(
        name, positive_probability(score_features(model.head, features), model.rule), model.rule.threshold
    )


def _give(store: LocalStore, gift: Gift) -> str:
    photo_id = photo_id_of(store, gift.session, gift.photo)
    save_upload(store, gift.photo, UploadRecord(photo_id, "2026-01-01T00:00:00+00:00", gift.session, 1, "", None))
    save_feedback(store, photo_id, gift.answer)
    return photo_id


def _other(label: str) -> str:
    return next(other for other in LABELS if other != label)
