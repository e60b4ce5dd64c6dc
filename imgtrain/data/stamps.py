"""What a file is known by: its path, size and time of change; or its content."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Ints, Source

Keys = NDArray[np.uint64]
"""Shape (N, 2): 128 bits a file."""


def stamp_keys(source: Source, positions: Ints | None = None) -> Keys:
    """One key a picture, (N, 2): equal as long as path, size and time of change are."""
    chosen = range(len(source)) if positions is None else positions.tolist()
    found = np.empty((len(chosen), 2), np.uint64)
    for row, i in enumerate(chosen):
        size, mtime = source.stamp(i)
        text = f"{source.path(i)}\0{size}\0{mtime}".encode("utf-8", "surrogateescape")
        found[row] = _numbers(hashlib.blake2b(text, digest_size=16).digest())
    return found


def content_key(data: bytes) -> NDArray[np.uint64]:
    """The key of a file's bytes, (2,): whatever its name and time."""
    return _numbers(hashlib.sha256(data).digest())


def _numbers(digest: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(digest, np.uint64, 2)
