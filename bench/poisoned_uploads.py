"""Uploads with wrong labels: what a model loses by them, and whether the gate would let it pass."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.lakes import check, copy
from bench.measuring import say
from bench.ours import choose_and_score
from include.data import dataset, split
from include.data.uploads import photo_id_of, save_feedback, save_upload
from include.lake import layout
from include.lake.local import LocalStore
from include.model.checkpoints import Checkpoints
from include.model.fitting import fit
from include.model.hyperparameters import Hyperparameters
from include.model.pixels import load_pixels
from include.model.starting import starting_point
from include.records import LABELS, UPLOADS, Scored, UploadRecord, label_of
from include.release.gate import decide, difference
from include.settings import Settings

PER_SESSION = 5  # photos of one honest visitor


@dataclass(frozen=True)
class Gift:
    """A photo that a visitor gives, and what the visitor says of it."""

    photo: bytes
    session: str
    answer: str
    wrong_by: str = ""  # who turned the label: a visitor, or the flood


def hold_out(store: LocalStore, *, count: int, seed: int) -> list[tuple[str, bytes]]:
    """Take photos of the train side out of the lake, as visitors would give them: (label, bytes) of each."""
    keys = sorted(store.keys(layout.BASE))
    train = [key for key in keys if split.side_of(split.bucket(layout.parse_base(key).sha256)) == "train"]
    taken = np.random.default_rng(seed).choice(train, count, replace=False)
    photos = [(label_of(layout.parse_base(key).source), store.read(str(key))) for key in taken]
    for key in taken:
        store.delete(str(key))
    return photos


def gifts(photos: list[tuple[str, bytes]], *, flood: int, turned: float, seed: int) -> list[Gift]:
    """The last ``flood`` photos come from one session that turns every label; of the others a share is turned."""
    honest = len(photos) - flood
    lies = set(np.random.default_rng(seed).choice(honest, round(turned * honest), replace=False).tolist())
    made = []
    for place, (truth, photo) in enumerate(photos):
        wrong_by = "flood" if place >= honest else "visitor" if place in lies else ""
        session = "flood" if place >= honest else f"visitor {place // PER_SESSION}"
        made.append(Gift(photo, session, _other(truth) if wrong_by else truth, wrong_by))
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

    ``folder`` is for the lakes and the decoded pixels. Returns for each seed the difference in average precision with
    its interval, whether the gate lets the challenger pass, and how many gifts it trained on.
    """
    honest = gifts(photos[: len(photos) - flood], flood=0, turned=0, seed=0)
    is_cat, champion, _ = _train(copy(base, folder / "right"), honest, settings, cache=folder / "pixels")
    found = []
    for seed in seeds:
        given = gifts(photos, flood=flood, turned=turned, seed=seed)
        _, challenger, used = _train(copy(base, folder / f"seed {seed}"), given, settings, cache=folder / "pixels")
        found.append(_compare(is_cat, challenger, champion, settings) | {"used": used})
    return found


def _compare(is_cat: np.ndarray, challenger: Scored, champion: Scored, settings: Settings) -> dict[str, Any]:
    drawn = difference(is_cat, challenger.probability, champion.probability, seed=settings.seed)
    low, middle, high = (float(value) for value in np.quantile(drawn, [0.025, 0.5, 0.975]))
    floors = {"min_precision": settings.min_precision, "min_recall": settings.min_recall}
    decision = decide(is_cat, np.ones(len(is_cat), bool), challenger, champion, **floors, seed=settings.seed)
    return {"low": low, "difference": middle, "high": high, "passed": decision.better}


def _train(
    store: LocalStore, given: list[Gift], settings: Settings, *, cache: Path
) -> tuple[np.ndarray, Scored, dict[str, int]]:
    """The model that `retrain` would make: which test photos are cats, its scores, and how many gifts it used."""
    ids = {_give(store, gift): gift for gift in given}
    photos = check(store, settings, cache=cache)
    manifest = dataset.to_manifest(photos)
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
    figures, test, probability = choose_and_score(network, pixels, manifest, settings)
    is_cat = (test["label"] == "cat").to_numpy(bool)
    return is_cat, Scored(store.root.name, probability, figures.threshold), _used(manifest, ids)


def _give(store: LocalStore, gift: Gift) -> str:
    photo_id = photo_id_of(store, gift.session, gift.photo)
    save_upload(store, gift.photo, UploadRecord(photo_id, "2026-01-01T00:00:00+00:00", gift.session, 1, "", None))
    save_feedback(store, photo_id, gift.answer)
    return photo_id


def _used(manifest: pd.DataFrame, ids: dict[str, Gift]) -> dict[str, int]:
    """Of the gifts, how many train: by who turned their label."""
    trains = [ids[layout.photo_id_of(key)] for key in manifest.loc[manifest["source"] == UPLOADS, "key"]]
    return {
        name: sum(gift.wrong_by == wrong_by for gift in trains)
        for name, wrong_by in (("right", ""), ("turned", "visitor"), ("flood", "flood"))
    }


def _other(label: str) -> str:
    return next(one for one in LABELS if one != label)
