"""Which hyperparameters a run trains with: the last best ones, or after a search with a time budget, better ones."""

from dataclasses import asdict
from typing import Any

from include.lake import layout
from include.lake.base import ObjectStore
from include.model.hyperparameters import best_key, last_best
from include.settings import Settings


def tune(store: ObjectStore, run: str, digest: str, *, minutes: float, epochs: int) -> dict[str, Any]:
    """Task: choose the hyperparameters of the run, and keep them under it. ``minutes`` 0: no search.

    A killed search goes on where it was: no finished trial runs again. Raises TuningError when no trial ends.
    """
    settings = Settings()
    best = last_best(store, settings)
    if minutes:
        from include.model.workers import find_best  # TensorFlow: only for those who search

        best = find_best(store, digest, minutes=minutes, epochs=epochs, settings=settings)
        store.write(best_key(settings), best.to_json())
    store.write(layout.run_json(run, "hyperparameters"), best.to_json())
    return asdict(best)
