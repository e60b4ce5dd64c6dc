"""Known sets by name: here already, fetched on the way, or an error that says how to get them."""

from __future__ import annotations

from pathlib import Path

from imgtrain.errors import DataError
from imgtrain.settings.known import SETS
from imgtrain.settings.schema import Settings

_BUILT_IN = "digits"


def find_root(root: str) -> str | None:
    """Where the pictures are: a folder or manifest of that name wins; None for a set to fetch."""
    if root not in SETS or root == _BUILT_IN or Path(root).exists():
        return root
    from imgtrain.fetching.sets import find_set

    found = find_set(root)
    return None if found is None else str(found)


def settle_root(settings: Settings) -> str:
    """As ``find_root`` for ``data.root``; a set that is not here is fetched where that is allowed.

    Raises:
        DataError: If a known set is not there and may not be fetched (``--auto-download``).
        OutsideError: If it cannot be fetched.
    """
    root = settings.data.root
    found = find_root(root)
    if found is not None:
        return found
    if not settings.data.auto_download:
        raise DataError(
            f"the known set {root} is not on this machine",
            f"imgtrain data download {root} fetches it; --auto-download does so on the way",
        )
    from imgtrain.fetching.sets import fetch_set

    return str(fetch_set(root, mirror=settings.data.mirror, offline=settings.hardware.offline))
