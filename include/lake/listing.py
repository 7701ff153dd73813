"""The keys of the lake that are the project's own. Other programs leave objects among them: markers of folders, files
of the system, conflicted copies, notes.
"""

import logging
from collections.abc import Iterator

from include.lake import layout
from include.lake.base import ObjectStore

log = logging.getLogger(__name__)


def own_keys(store: ObjectStore, prefix: str) -> Iterator[str]:
    """Every key that starts with ``prefix`` and has a form of ``layout``, sorted; one warning names the others."""
    foreign = list[str]()
    for key in store.keys(prefix):
        if layout.is_own(key):
            yield key
        else:
            foreign.append(key)
    if foreign:
        log.warning(
            "%d keys below %s are not of this project and are not read, such as %r", len(foreign), prefix, foreign[0]
        )
