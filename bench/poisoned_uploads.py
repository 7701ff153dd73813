"""Uploads with wrong labels: what a model loses by them, and whether the gate would let it pass."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from bench.lakes import check, copy, sound_keys
from bench.measuring import say
from bench.ours import score_held_out
from include.data import dataset
from include.data.uploads import photo_id_of, save_feedback, save_upload
from include.errors import DatasetError
from include.lake import layout
from include.lake.local import LocalStore
from include.model.checkpoints import Checkpoints
from include.model.evaluation import cat_probability
from include.model.fitting import Photos, fit
from include.model.hyperparameters import Hyperparameters
from include.model.pixels import load_pixels
from include.model.scoring import score
from include.model.starting import starting_point
from include.records import LABELS, UPLOADS, Figures, Scored, UploadRecord, label_of
from include.release.candidate import choose
from include.release.gate import decide, difference
from include.settings import Settings

PER_SESSION = 5  # photos of one visitor
Kind = Literal["right", "turned", "flood"]  # what is true of a label: a visitor's, or one of the session that floods


@dataclass(frozen=True)
class Gift:
    """A photo that is given, and what is said of it."""

    photo: bytes
    session: str
    answer: str
    kind: Kind


@dataclass(frozen=True)
class Trained:
    """A model, the photos that judge it, and of each kind how many gifts trained it."""

    network: keras.Model
    figures: Figures
    test: Photos
    used: dict[str, int]


def hold_out(store: LocalStore, *, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Take photos of the train side out of a collected lake, as visitors would give them: (label, bytes) of each.

    Raises DatasetError where the lake has too few.
    """
    train = sound_keys(store, "train")
    if len(train) < count:
        raise DatasetError(f"too few photos: {count} of the train side are to be given, and there are {len(train)}")
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

    ``folder`` is for the lakes and the decoded pixels. Returns for each seed the ``difference`` in average precision
    with its 95 % interval (``low``, ``high``), whether the gate lets the challenger pass (``passed``), and of each kind
    how many gifts it was ``given`` and ``used``.
    """
    right = gifts(photos[: len(photos) - flood], flood=0, turned=0, seed=0)
    champion = _train(copy(base, folder / "right"), right, settings, cache=folder / "pixels")
    found = []
    for seed in seeds:
        given = gifts(photos, flood=flood, turned=turned, seed=seed)
        challenger = _train(copy(base, folder / f"seed {seed}"), given, settings, cache=folder / "pixels")
        counts = {"given": _count(given), "used": challenger.used}
        found.append(_compare(challenger, champion, settings) | counts)
    return found


def _train(store: LocalStore, given: list[Gift], settings: Settings, *, cache: Path) -> Trained:
    """What `retrain` would make of the lake and the gifts."""
    ids = {_give(store, gift): gift for gift in given}
    manifest = dataset.to_manifest(check(store, settings, cache=cache))
    pixels = load_pixels(store, manifest, folder=cache, size=settings.image_size)
    say(f"training on {(manifest['side'] == 'train').sum():,} photos in {settings.epochs} epochs")
    with tempfile.TemporaryDirectory() as scratch:
        network = fit(
            pixels,
            manifest,
            epochs=settings.epochs,
            settings=settings,
            hyperparameters=Hyperparameters.of(settings),
            checkpoints=Checkpoints(Path(scratch)),
            start=starting_point(store, settings),
        )
    assert network is not None  # whoever has checkpoints gets one
    test = (manifest["side"] == "test").to_numpy(bool)
    used = [ids[layout.photo_id_of(key)] for key in manifest.loc[manifest["source"] == UPLOADS, "key"]]
    val = (manifest["side"] == "val").to_numpy(bool)
    figures, _ = choose(score_held_out(network, pixels.subset(val), manifest[val]), settings)
    return Trained(network, figures, (pixels.subset(test), manifest[test]), _count(used))


def _compare(challenger: Trained, champion: Trained, settings: Settings) -> dict[str, Any]:
    """Both on the challenger's test photos, as the gate does it."""
    table = challenger.test[1]
    is_cat, from_base = (table["label"] == "cat").to_numpy(bool), (table["source"] != UPLOADS).to_numpy(bool)
    new, old = (_scored(name, model, challenger.test) for name, model in (("2", challenger), ("1", champion)))
    floors = {"min_precision": settings.min_precision, "min_recall": settings.min_recall}
    decision = decide(is_cat, from_base, new, old, **floors, seed=settings.seed)
    drawn = difference(is_cat, new.probability, old.probability, seed=settings.seed)
    low, middle, high = (float(value) for value in np.quantile(drawn, [0.025, 0.5, 0.975]))
    return {"low": low, "difference": middle, "high": high, "passed": decision.better}


def _scored(name: str, model: Trained, photos: Photos) -> Scored:
    probability = cat_probability(score(model.network, *photos), temperature=model.figures.temperature)
    return Scored(name, probability, model.figures.threshold)


def _give(store: LocalStore, gift: Gift) -> str:
    photo_id = photo_id_of(store, gift.session, gift.photo)
    save_upload(store, gift.photo, UploadRecord(photo_id, "2026-01-01T00:00:00+00:00", gift.session, 1, "", None))
    save_feedback(store, photo_id, gift.answer)
    return photo_id


def _count(given: list[Gift]) -> dict[str, int]:
    return {kind: sum(gift.kind == kind for gift in given) for kind in get_args(Kind)}


def _other(label: str) -> str:
    return next(one for one in LABELS if one != label)
