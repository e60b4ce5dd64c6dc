"""Mean and spread of the training pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imgtrain.errors import DataError
from imgtrain.loading.loader import Pictures

SAMPLE = 4096
"""Pictures looked at; evenly spread, so the same ones every time."""


def channel_statistics(
    pictures: Pictures, positions: NDArray[np.int64]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, in [0, 1], every pixel counting once.

    Raises:
        DataError: If no picture can be read.
    """
    chosen = positions[np.unique(np.linspace(0, len(positions) - 1, SAMPLE).astype(int))]
    channels = pictures.preprocess.channels
    count, total, squares = 0, np.zeros(channels), np.zeros(channels)
    for i in chosen.tolist():
        pixels = pictures.get(i)
        if pixels is None:
            continue
        values = pixels.reshape(-1, channels).astype(np.float64) / 255
        count += len(values)
        total += values.sum(axis=0)
        squares += (values**2).sum(axis=0)
    if not count:
        raise DataError("no training picture can be read", "see --on-bad-image")
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-6))
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())
