"""How long threads that compute together wait for one another before they sleep."""

from __future__ import annotations

import os

_SPINS = "30000"
"""A third of a millisecond where looking once takes 10 ns, 1.3 ms where it takes 43."""


def wait_briefly() -> None:
    """Have threads that wait leave the core to others soon; before torch is imported.

    The threads of an operation meet at its end. GNU's OpenMP, which torch's packages for Linux
    bring along, looks 300,000 times whether all are there before it sleeps: 3 to 13 ms. Where two
    programs share the cores, the one that looks keeps the one from working that it waits for, at
    the end of each of dozens of operations a step. What is between two operations takes less than
    what is left here, so that a program that is alone sleeps no more often. The numbers that are
    computed stay the same. What the user set stands: ``OMP_WAIT_POLICY``, ``GOMP_SPINCOUNT``
    (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", _SPINS)
