"""Deepchecks without a network: imported before it, in its own environment.

It sends an event at its import, and another for every suite, unless DISABLE_DEEPCHECKS_ANONYMOUS_TELEMETRY is set; the
process is started with that variable, and here sockets are shut as well.
"""

import sys
import types
import warnings

import numpy as np

FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.sendto")


def shut_the_network() -> None:
    """From now on this process opens no connection. An audit hook cannot be taken away again."""
    sys.addaudithook(_refuse)


def stand_in_for_torchvision() -> None:
    """deepchecks.vision imports one class of torchvision, for a loader of folders that we do not use.

    torchvision has no build beside every CPU build of PyTorch, so an empty class takes its place.
    """
    package, datasets = types.ModuleType("torchvision"), types.ModuleType("torchvision.datasets")
    datasets.VisionDataset = type("VisionDataset", (), {})  # type: ignore[attr-defined]
    package.datasets = datasets  # type: ignore[attr-defined]
    sys.modules.setdefault("torchvision", package)
    sys.modules.setdefault("torchvision.datasets", datasets)


def stand_in_for_old_names() -> None:
    """deepchecks.tabular calls infinity and "not a number" by names that NumPy 2 took away."""
    for old, value in {"Inf": np.inf, "NINF": -np.inf, "NaN": np.nan}.items():
        setattr(np, old, value)


def _refuse(event: str, arguments: tuple) -> None:
    if event in FORBIDDEN:
        raise PermissionError(f"the validation process opens no connection: {event}")


shut_the_network()
stand_in_for_torchvision()
stand_in_for_old_names()
warnings.simplefilter("ignore")  # of a library that nobody mends any more; our own tests judge what it says
