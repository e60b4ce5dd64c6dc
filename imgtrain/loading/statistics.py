"""Mean and spread of the training pictures, measured once."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Ints
from imgtrain.data.stamps import stamp_keys
from imgtrain.errors import DataError, DiskError
from imgtrain.files import cache_folder, read_json, write_json
from imgtrain.loading.cache import decoding_digest
from imgtrain.loading.loader import Pictures

SAMPLE = 4096
"""Pictures looked at; evenly spread, so the same ones every time."""

_LEVELS = 256

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


def channel_statistics(
    pictures: Pictures, positions: Ints, *, root: str | None = None
) -> Statistics:
    """Mean and standard deviation per channel, in [0, 1], every pixel counting once.

    Args:
        pictures: Where the pictures come from.
        positions: Which of them count.
        root: The set that they are of: what was measured is kept in the user's cache for as long
            as paths, sizes, times and decoding stay; None measures anew.

    Raises:
        DataError: If no picture can be read.
    """
    chosen = positions[np.unique(np.linspace(0, len(positions) - 1, SAMPLE).astype(int))]
    if root is None:
        return _measured(pictures, chosen)
    digest = hashlib.sha256(decoding_digest(root, pictures.preprocess).encode())
    digest.update(stamp_keys(pictures.source, chosen).tobytes())
    path = cache_folder() / "statistics" / f"{digest.hexdigest()[:32]}.json"
    found = _kept(path, pictures.preprocess.channels)
    if found is None:
        found = _measured(pictures, chosen)
        with contextlib.suppress(DiskError):  # costs time only
            write_json(path, dict(zip(("mean", "std"), found, strict=True)))
    return found


def _kept(path: Path, channels: int) -> Statistics | None:
    """What was measured before; None if nothing was, or the file is broken."""
    try:
        values = np.array([read_json(path)[which] for which in ("mean", "std")], np.float64)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if values.shape != (2, channels) or not ((values >= 0) & (values <= 1)).all():
        return None
    return tuple(values[0].tolist()), tuple(values[1].tolist())


def _measured(pictures: Pictures, chosen: Ints) -> Statistics:
    counts = np.zeros((pictures.preprocess.channels, _LEVELS), np.int64)
    for i in chosen.tolist():
        pixels = pictures.get(i)
        if pixels is not None:
            counts += _levels(pixels)
    if not counts.any():
        raise DataError("no training picture can be read", "see --on-bad-image")
    values = np.arange(_LEVELS) / (_LEVELS - 1)
    pixels_each = counts.sum(axis=1)
    mean = counts @ values / pixels_each
    std = np.sqrt(np.maximum(counts @ values**2 / pixels_each - mean**2, 1e-6))
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())


def _levels(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How often each level occurs in each channel, (C, 256)."""
    return np.stack(
        [np.bincount(pixels[..., k].ravel(), minlength=_LEVELS) for k in range(pixels.shape[2])]
    )
