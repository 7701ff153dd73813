"""What a killed training goes on from, by name: the name follows from all that the result depends on."""

import hashlib
import inspect
import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from include.backbone import architecture
from include.backbone.version import VERSION
from include.model import distribution, feeding, fitting, head, jobs, network, resuming
from include.model.hyperparameters import Hyperparameters
from include.model.jobs import TrainingJob
from include.settings import Settings

CODE = (architecture, network, head, jobs, feeding, distribution, resuming, fitting)


def state_folder(settings: Settings, digest: str, chosen: Hyperparameters, job: TrainingJob) -> Path:
    """Where the checkpoints of one training lie: what a killed try left is of no use to other photos or other code."""
    parts = [digest, settings.recipe, VERSION, job.name, job.epochs, asdict(chosen)]
    parts += [version("keras"), version("tensorflow")]
    code = [inspect.getsource(module) for module in CODE]
    name = hashlib.sha256(json.dumps([parts, code]).encode()).hexdigest()[:32]
    return settings.home / "checkpoints" / name
