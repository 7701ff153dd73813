"""The check of a lake at the start of a stack and of each run: a wrong setting is told before any work."""

from uuid import uuid4

from include.errors import CatError, Unusable
from include.lake import layout
from include.lake.base import ObjectStore
from include.lake.faults import describe_fault
from include.lake.opening import open_lake
from include.settings import Settings


def check_lake(settings: Settings) -> None:
    """List the lake; create, read and delete one small object, as a run does. Takes at most some ten seconds.

    Raises Unusable, which says what is wrong and the cure, or UnsafeStore. Short faults of the network do not matter:
    the client asks twice.
    """
    try:
        _try(open_lake(settings, hasty=True))
    except CatError:
        raise
    except Exception as error:  # botocore alone has dozens of kinds
        raise Unusable(describe_fault(error, settings)) from None


def _try(store: ObjectStore) -> None:
    next(store.keys(layout.TRIALS), None)
    key = layout.trial(f"start-{uuid4().hex}")
    try:
        store.create(key, b"trial")
        store.read(key)
    finally:
        store.delete(key)
