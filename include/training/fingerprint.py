"""The key under which a search or a training keeps its state: only an attempt with the same inputs resumes it."""

import hashlib
import inspect
import json
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version


def fingerprint(parts: Sequence[object], *, packages: Sequence[str], code: Sequence[str]) -> str:
    """32 hex digits: a sha256 over ``parts``, the versions of ``packages`` and the source of the modules in ``code``.

    ``parts`` must be serialisable as JSON.
    """
    versions, sources = map(version, packages), [inspect.getsource(import_module(module)) for module in code]
    return hashlib.sha256(json.dumps([[*parts, *versions], sources]).encode()).hexdigest()[:32]
