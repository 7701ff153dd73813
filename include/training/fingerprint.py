"""The cache key of what a killed try left: a search or a training goes on only from what the same inputs made."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version


def fingerprint(parts: Sequence[object], *, packages: Sequence[str], code: Sequence[str]) -> str:
    """32 hex digits, by ``parts``, the versions of ``packages`` and the source of the modules in ``code``.

    ``parts`` are what JSON can hold.
    """
    versions, texts = map(version, packages), [inspect.getsource(import_module(module)) for module in code]
    return hashlib.sha256(json.dumps([[*parts, *versions], texts]).encode()).hexdigest()[:32]
