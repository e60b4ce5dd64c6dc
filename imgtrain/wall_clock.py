"""When this command began, for those who count wall-clock from there."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PASSED_ON = "_IMGTRAIN_BEGUN"
"""When the command began that started this process as one of several."""

_IMPORTED = time.monotonic()
_SANE = 600.0
"""Seconds before the first import that are believed."""

_begun: list[float] = []


def process_start() -> float:
    """When this process was started, as ``time.monotonic()`` tells time.

    From the kernel where it says so (Linux, to a hundredth of a second); elsewhere it is when this
    module was imported.
    """
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        ticks = int(fields.rpartition(")")[2].split()[19])  # starttime; see proc_pid_stat(5)
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return _IMPORTED
    start = time.monotonic() - age
    return start if _IMPORTED - _SANE < start <= _IMPORTED else _IMPORTED


def begin_command() -> None:
    """Count from the start of this process, or of the one that started it as one of several.

    A process that takes the place of one that died counts from its own start.
    """
    above = os.environ.get(_PASSED_ON)
    again = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
    if above and "_IMGTRAIN_LAUNCHED" in os.environ and not again:
        _begun[:] = [float(above)]
    else:
        _begun[:] = [process_start()]
        os.environ[_PASSED_ON] = repr(_begun[0])


def command_began() -> float:
    """When the command began; now, in a program that called a function instead."""
    return _begun[0] if _begun else time.monotonic()
