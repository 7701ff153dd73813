"""What a training or a search goes on from, by name: the name follows from all that the result depends on."""

import hashlib
import inspect
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from include.model import backbone, distribution, feeding, fitting, network, resuming, starting
from include.model.hyperparameters import Hyperparameters
from include.model.starting import Start
from include.settings import Settings

CODE = (network, feeding, backbone, starting, distribution, resuming, fitting)


def state_folder(
    settings: Settings, digest: str, hyperparameters: Hyperparameters, start: Start, *, epochs: int
) -> Path:
    """Where the checkpoints of one training lie."""
    return settings.home / "checkpoints" / _fingerprint(settings, digest, start, epochs, asdict(hyperparameters))


def search_folder(settings: Settings, digest: str, start: Start, *, epochs: int) -> Path:
    """Where the state of one search lies: another dataset, other settings or another code begin another."""
    return settings.home / "tuning" / _fingerprint(settings, digest, start, epochs)


def _fingerprint(settings: Settings, digest: str, start: Start, epochs: int, *more: object) -> str:
    """What a killed try left is of no use to other photos or other code; and what the code is, its own text tells."""
    parts = [digest, settings.recipe, start.name, *more, epochs, version("keras"), version("tensorflow")]
    code = [inspect.getsource(module) for module in CODE]
    return hashlib.sha256(json.dumps([parts, code]).encode()).hexdigest()[:32]
