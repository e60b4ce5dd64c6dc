"""Arrays of small pictures as PNG files: lossless, many at once."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtrain.errors import DataError
from imgtrain.fetching.progress import Meter

Pixels = NDArray[np.uint8]

_CHUNK = 256
"""Pictures that a thread writes before it takes the next ones."""

_QUICK = (cv2.IMWRITE_PNG_COMPRESSION, 1)
"""zlib's fastest: a third more bytes than its best, at a fraction of the time."""


class PictureWriter:
    """Writes pictures as ``PART/CLASS/NUMBER.png`` below a folder.

    Args:
        into: The folder.
        classes: Name of each label's folder.
        meter: Hears how many were written.
    """

    def __init__(self, into: Path, classes: Sequence[str], meter: Meter) -> None:
        self._into, self._classes, self._meter = into, classes, meter
        self._written = 0

    def write(self, part: str, pixels: Pixels, labels: NDArray[Any], *, first: int = 0) -> None:
        """Write pictures (N, H, W) or RGB (N, H, W, 3), numbered from ``first``.

        Raises:
            DataError: If there are not as many labels, or one of them has no name.
        """
        if len(pixels) != len(labels):
            raise DataError(f"there are {len(pixels):,} pictures and {len(labels):,} labels")
        known = labels.astype(np.int64)
        if len(known) and not 0 <= known.min() <= known.max() < len(self._classes):
            raise DataError(
                f"a label is outside 0 to {len(self._classes) - 1}", "fetch the archive again"
            )
        folders = [self._into / part / name for name in self._classes]
        for label in np.unique(known).tolist():
            folders[label].mkdir(parents=True, exist_ok=True)
        chunks = [
            (folders, pixels[i : i + _CHUNK], known[i : i + _CHUNK], first + i)
            for i in range(0, len(pixels), _CHUNK)
        ]
        for number in _in_threads(chunks):
            self._written += number
            self._meter.at(self._written)


def _in_threads(chunks: list[tuple[list[Path], Pixels, NDArray[np.int64], int]]) -> Iterator[int]:
    """Write all chunks; how many pictures each had, in order. Few wait in memory at a time."""
    threads = min(8, os.cpu_count() or 2)
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[int]] = []
        try:
            queue = iter(chunks)
            waiting = [pool.submit(_write, *c) for c in itertools.islice(queue, 2 * threads)]
            while waiting:
                yield waiting.pop(0).result()
                waiting += [pool.submit(_write, *c) for c in itertools.islice(queue, 1)]
        finally:
            for future in waiting:
                future.cancel()


def _write(folders: list[Path], pixels: Pixels, labels: NDArray[np.int64], first: int) -> int:
    colours = pixels[..., ::-1] if pixels.ndim == 4 else pixels  # noqa: PLR2004  # N, H, W, RGB
    for i, label in enumerate(labels.tolist()):
        ok, png = cv2.imencode(".png", np.ascontiguousarray(colours[i]), _QUICK)
        assert ok
        with (folders[label] / f"{first + i:05}.png").open("xb") as file:
            file.write(png.tobytes())
    return len(labels)
