"""Limits the memory that the camera threads' allocations keep, and returns it to the system."""

from __future__ import annotations

import ctypes
import gc

_M_ARENA_MAX = -8  # of glibc's mallopt(3)
MAX_HEAPS = 2  # glibc's own eight a core each keep what dead connections left there


def limit_heaps() -> None:
    """Let threads that start from now on share a few heaps. Does nothing with another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, MAX_HEAPS)


def trim_heap() -> None:
    """Collect Python's cycles, which may hold decoders and pictures that it does not see the size of, then let glibc
    return what it keeps of them. Takes some tens of milliseconds; on another C library only the first half is done.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
