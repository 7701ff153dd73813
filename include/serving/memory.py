"""Memory that is free goes back to the system."""

import ctypes
import gc


def give_back() -> None:
    """Collect what is unreachable, and return the free pages that glibc would keep for ever."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
