"""Limits how much freed memory glibc keeps for the camera threads, and returns it to the system."""

from __future__ import annotations

import ctypes
import gc

_M_ARENA_MAX = -8  # of glibc's mallopt(3)
MAX_HEAPS = 2  # by default there are eight for each core, and each keeps what dead connections left


def limit_heaps() -> None:
    """Make threads that start from now on share a few heaps. Does nothing with another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, MAX_HEAPS)


def trim_heap() -> None:
    """Collect garbage, because cycles may keep decoders and pictures, then let glibc return free memory.

    Takes some tens of milliseconds. With another C library only garbage is collected.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
