"""Deepchecks without network access: import this module before it, in its own environment.

Deepchecks sends an event when it is imported, and one for every suite, unless
DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY is set. The process is started with that variable, and this module blocks
connections as well.
"""

import sys
import types
import warnings

import numpy as np

FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


def shut_the_network() -> None:
    """Block all connections of this process for good: an audit hook cannot be removed."""
    sys.addaudithook(_refuse)


def stand_in_for_torchvision() -> None:
    """Replace a class of torchvision that deepchecks.vision imports for a folder loader that is not used here.

    Not every CPU build of PyTorch has a matching build of torchvision.
    """
    package, datasets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    datasets.VisionDataset = type("VisionDataset", (), {})  # type: ignore[attr-defined]
    package.datasets = datasets  # type: ignore[attr-defined]
    sys.modules.setdefault("torchvision", package)
    sys.modules.setdefault("torchvision.datasets", datasets)


def stand_in_for_old_names() -> None:
    """Restore names of infinity and NaN that deepchecks.tabular uses and NumPy 2 has removed."""
    for name, value in {"Inf": np.inf, "NINF": -np.inf, "NaN": np.nan}.items():
        setattr(np, name, value)


def _refuse(event: str, arguments: tuple) -> None:
    if event in FORBIDDEN:
        raise PermissionError(f"the validation process opens no connection: {event}")


shut_the_network()
stand_in_for_torchvision()
stand_in_for_old_names()
warnings.simplefilter("ignore")  # Deepchecks is no longer maintained; our tests cover its results
