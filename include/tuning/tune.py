"""Which hyperparameters a run trains its head with: those of the last search, or after another one better ones."""

import logging
import shutil
from dataclasses import asdict
from typing import Any

from include.backbone import VERSION
from include.dataset.manifest import read_manifest
from include.errors import DatasetError
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.formats import read_json, to_json, write_json
from include.params import RetrainParams
from include.settings import Settings
from include.training.fingerprint import fingerprint
from include.training.hyperparameters import Hyperparameters, keep_chosen
from include.tuning import CODE, PACKAGES

log = logging.getLogger(__name__)

MANY_NEW = 0.05  # share of new photos from which on a search is worth its time


def tune(store: ObjectStore, run: str, digest: str, params: RetrainParams, *, settings: Settings) -> dict[str, Any]:
    """Task: choose the hyperparameters of the run, and keep them under it; returns them and why.

    A killed search resumes: no finished trial runs again, and each try has the whole time limit. The network from
    scratch is not tuned.
    """
    chosen, reason = Hyperparameters(), "the defaults: the network from scratch is not tuned"
    if settings.network != "scratch":
        chosen, reason = _choose(store, run, digest, epochs=params.epochs, settings=settings)
    keep_chosen(store, run, digest, chosen)
    shutil.rmtree(settings.home / "tuning", ignore_errors=True)  # what killed searches left
    log.info("hyperparameters: %s; %s", reason, chosen)
    return asdict(chosen) | {"reason": reason}


def last_search_key(settings: Settings, *, epochs: int) -> str:
    """The key of what the last search chose: {"hyperparameters", "dataset", "trials"}. Each choice of what is not
    tuned, and each version of the code that searches, has one of its own.
    """
    untuned = [settings.network, settings.l2_penalty, settings.seed, settings.question.digest, epochs, VERSION]
    return layout.tuned(fingerprint(untuned, packages=PACKAGES, code=CODE))


def _choose(
    store: ObjectStore, run: str, digest: str, *, epochs: int, settings: Settings
) -> tuple[Hyperparameters, str]:
    key = last_search_key(settings, epochs=epochs)
    last = read_json(store, key) if store.exists(key) else None
    best = Hyperparameters.from_json(to_json(last["hyperparameters"])) if last else Hyperparameters()
    if not settings.tune_trials:
        return best, "no search: CAT_TUNE_TRIALS is 0"
    if last and settings.tune_trials <= last["trials"]:
        share = new_share(store, digest, last["dataset"])
        if share < MANY_NEW:
            return best, f"as on dataset {last['dataset'][:8]}: {share:.1%} of the photos are new since that search"
    from include.tuning.search import find_best  # TensorFlow: only for those who search

    known = list(dict.fromkeys([best, Hyperparameters()]))
    chosen, reason = find_best(store, run, digest, known, epochs=epochs, settings=settings)
    record = {"hyperparameters": asdict(chosen), "dataset": digest, "trials": settings.tune_trials}
    write_json(store, key, record)
    return chosen, reason


def new_share(store: ObjectStore, digest: str, earlier: str) -> float:
    """Of the photos that train or stop early, the share that an ``earlier`` dataset did not have; 1 if it is gone."""
    try:
        before = _fitted(store, earlier)
    except DatasetError:
        return 1.0
    photos = _fitted(store, digest)
    return len(photos - before) / len(photos)


def _fitted(store: ObjectStore, digest: str) -> set[str]:
    manifest = read_manifest(store, digest)
    return set(manifest.loc[manifest["split"] != "test", "key"])
