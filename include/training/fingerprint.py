"""The digest of what a search or a training is made from: only an attempt with the same one resumes or reuses it."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from include.backbone import VERSION
from include.params import RetrainParams
from include.settings import Settings
from include.training.hyperparameters import Hyperparameters

MODULES = ("callbacks", "distribution", "fit", "head", "input_pipeline", "losses", "plan", "scratch_network")
CODE_OF_TRAINING = ("include.backbone.architecture", *(f"include.training.{name}" for name in MODULES))


def training_digest(digest: str, chosen: Hyperparameters, params: RetrainParams, settings: Settings) -> str:
    """The digest of all that a network is made from: a dataset version, hyperparameters, settings, params and code."""
    epochs = {"epochs": params.epochs, "fine_tune_epochs": params.fine_tune_epochs}
    parts = [digest, asdict(chosen), settings.recipe, epochs, VERSION]
    return fingerprint(parts, packages=("keras", "tensorflow"), code=CODE_OF_TRAINING)


def fingerprint(parts: Sequence[object], *, packages: Sequence[str], code: Sequence[str]) -> str:
    """32 hex digits: a sha256 over ``parts``, the versions of ``packages`` and the source of the modules in ``code``.

    ``parts`` must be serialisable as JSON. No module is imported.
    """
    versions, sources = map(version, packages), map(_source, code)
    return hashlib.sha256(json.dumps([[*parts, *versions], list(sources)]).encode()).hexdigest()[:32]


def _source(module: str) -> str:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(module)
    return Path(spec.origin).read_text()
