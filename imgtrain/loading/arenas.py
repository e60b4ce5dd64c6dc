"""How the C library shares out memory between threads."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3  # M_... in glibc's malloc.h
_ARENAS = 2

_LARGE = 2**20
"""Bytes from which a block is the system's own, once memory was short."""


@cache
def share_arenas() -> None:
    """Let all threads take memory from two heaps, where the C library is glibc.

    By default each thread has a heap of its own, which keeps what large pictures once took.
    """
    _tell(lambda library: library.mallopt(_ARENA_MAX, _ARENAS))


def give_back() -> None:
    """After memory was short: free memory goes to the system, and large blocks always will.

    Otherwise what a failed step left free lies in heaps whose holes fit nothing, or belong to
    another thread's; that costs a little time from here on.
    """
    _tell(lambda library: library.mallopt(_MMAP_THRESHOLD, _LARGE))
    _tell(lambda library: library.malloc_trim(0))


def _tell(call: Callable[[ctypes.CDLL], object]) -> None:
    try:
        call(ctypes.CDLL(None))
    except (OSError, TypeError, AttributeError):  # another system, another C library
        return
