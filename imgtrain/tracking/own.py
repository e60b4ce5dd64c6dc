"""Numbers of the user's own code, on their way to the trackers."""

from __future__ import annotations

from typing import Any

_latest: dict[str, Any] = {}


def report_number(name: str, value: Any) -> None:
    """Tell the trackers a number of yours, with the running numbers of the training.

    Of several values between two reports the last one counts. It costs no time: a tensor stays on
    its device until a tracker wants the number. Without ``--track`` nothing happens.

    Args:
        name: As in ``own/entropy``; letters, digits, and ``_ - . /``.
        value: A number, or a tensor that holds one.
    """
    detached = getattr(value, "detach", None)
    _latest[name] = value if detached is None else detached()


def taken() -> dict[str, Any]:
    """What was told since the last time, by name."""
    found = dict(_latest)
    _latest.clear()
    return found
