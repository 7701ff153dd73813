"""Memory that is free goes back to the system."""

import ctypes
import gc


def give_back() -> None:
    """Collect what is unreachable, and return the free pages that glibc would keep for ever."""
    gc.collect()
    trim()


def trim() -> None:
    """Return the free pages alone, in milliseconds and beside other threads of Python."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)
