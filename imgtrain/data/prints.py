"""Fingerprints of pictures: what survives re-encoding, resizing and mirroring, and the bytes.

A print is the digest of the file and a small grey thumbnail of the decoded picture; all else that
the search for duplicates needs is computed from these, for many pictures at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from imgtrain import console
from imgtrain.data.listing import Ints, Source
from imgtrain.data.stamps import Keys, stamp_keys
from imgtrain.errors import DiskError
from imgtrain.files import cache_folder, replacing

SIDE = 16
"""Of the thumbnail, whatever the shape of the picture."""

PRINT_DTYPE = np.dtype([("digest", "<u8", (2,)), ("thumbnail", "u1", (SIDE, SIDE))])
"""A digest of zeros means that no print was taken."""

Prints = NDArray[np.void]
"""Shape (N,), of ``PRINT_DTYPE``."""

_VERSION = 1
"""Raised whenever a print of the same bytes changes, so that no old one is compared with new."""

_LARGE = 128
"""From this side on, half a pixel is nothing: the nearest pixel will do."""

_COLOUR = 3


def take_print(pixels: NDArray[np.uint8], file: bytes) -> Prints:
    """The print of one picture: 5 us at 32 pixels a side, 45 at 256, twice that for odd shapes.

    Args:
        pixels: Shape (H, W, C) as decoded, in whatever size; of more than three channels the
            mean counts.
        file: The bytes of the file.

    Returns:
        Shape (), of ``PRINT_DTYPE``.
    """
    found = np.empty((), PRINT_DTYPE)
    digest = hashlib.blake2b(file, digest_size=16).digest()
    found["digest"] = np.frombuffer(digest, "<u8")
    found["thumbnail"] = _shrunk(_grey(pixels))
    return found


def blank_prints(length: int) -> Prints:
    """Room for prints, none of them taken."""
    return np.zeros(length, PRINT_DTYPE)


def is_taken(prints: Prints) -> NDArray[np.bool_]:
    """Shape (N,): where there is a print."""
    return cast("NDArray[np.bool_]", prints["digest"].any(axis=1))


def _grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    channels = pixels.shape[2]
    if channels == 1:
        return pixels[:, :, 0]
    if channels == _COLOUR:
        return cast("NDArray[np.uint8]", cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
    return cast("NDArray[np.uint8]", pixels.mean(axis=2).astype(np.uint8))


def _shrunk(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Averaged to ``SIDE`` squared: to the next multiple first, as whole blocks are fast."""
    height, width = (max(SIDE, length // SIDE * SIDE) for length in grey.shape)
    if grey.shape != (height, width):
        how = cv2.INTER_NEAREST if min(height, width) >= _LARGE else cv2.INTER_LINEAR
        grey = cast("NDArray[np.uint8]", cv2.resize(grey, (width, height), interpolation=how))
    shrunk = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.uint8]", shrunk)


class PrintBook:
    """The prints of a set's pictures, kept in the user's cache folder between runs.

    Threads may put prints of different pictures at once. Processes may, too: whoever saves keeps
    what others have saved since. Where the cache cannot be used, prints are taken anew each time.

    Args:
        source: The pictures.
        root: The folder, manifest or known set that they are of.
        how: Whatever else decides about their pixels, in words: the size they are decoded to.
    """

    def __init__(self, source: Source, root: str, how: str = "") -> None:
        where = "\0".join((os.path.realpath(root), how, str(_VERSION), str(SIDE)))
        name = hashlib.sha256(where.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._file = cache_folder() / "prints" / f"{name}.npz"
        self._keys = stamp_keys(source)
        self._dirty = False
        self.prints = blank_prints(len(source))
        self._learn(*self._saved())

    def missing(self) -> Ints:
        """Positions of the pictures without a print."""
        return np.flatnonzero(~is_taken(self.prints))

    def put(self, i: int, taken: Prints) -> None:
        """Keep the print of picture ``i``."""
        self.prints[i] = taken
        self._dirty = True

    def save(self) -> None:
        """Make what was put outlive the process; of pictures that are gone, nothing is kept."""
        if not self._dirty:
            return
        self._dirty = False
        try:
            with _locked(self._file.with_suffix(".lock")):
                self._learn(*self._saved())
                here = is_taken(self.prints)
                with replacing(self._file) as handle:
                    np.savez(handle, keys=self._keys[here], prints=self.prints[here])
        except (OSError, DiskError) as error:
            console.warn(f"fingerprints of the pictures are not kept: {error}")

    def _saved(self) -> tuple[Keys, Prints]:
        try:
            with self._file.open("rb") as file, np.load(file) as book:
                keys, prints = book["keys"], book["prints"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return np.empty((0, 2), np.uint64), blank_prints(0)
        fits = prints.dtype == PRINT_DTYPE and keys.shape == (len(prints), 2)
        return (keys, prints) if fits else (np.empty((0, 2), np.uint64), blank_prints(0))

    def _learn(self, keys: Keys, prints: Prints) -> None:
        """Take over the prints of this source's pictures that are not here yet."""
        if not len(keys):
            return
        order = np.argsort(keys[:, 0], kind="stable")
        keys, prints = keys[order], prints[order]
        spot = np.minimum(np.searchsorted(keys[:, 0], self._keys[:, 0]), len(keys) - 1)
        new = (keys[spot] == self._keys).all(axis=1) & ~is_taken(self.prints)
        self.prints[new] = prints[spot[new]]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time, where the system has such locks; it dies with the process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            import fcntl
        except ImportError:  # Windows: the later one wins
            pass
        else:
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
