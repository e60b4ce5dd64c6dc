"""The 1,797 handwritten digits that come with scikit-learn, as if they were files."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imgtrain.data.listing import NO_PART, Listing

BRIGHTEST = 16


class Digits:
    """Grey pictures of 8 x 8 pixels in memory; ``read`` gives them as PNG.

    Args:
        pixels: Shape (N, 8, 8), uint8.
        labels: Shape (N,), the digit.
        numbers: Shape (N,), the place in scikit-learn's own order.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], labels: NDArray[np.int64], numbers: NDArray[np.int64]
    ) -> None:
        self._pixels, self._labels, self._numbers = pixels, labels, numbers

    def __len__(self) -> int:
        return len(self._pixels)

    def path(self, i: int) -> str:
        """``digits/3/0012.png``: the digit, and the place in scikit-learn's own order."""
        return f"digits/{self._labels[i]}/{self._numbers[i]:04}.png"

    def read(self, i: int) -> bytes:
        """The picture as PNG."""
        file = io.BytesIO()
        Image.fromarray(self._pixels[i]).save(file, "PNG")
        return file.getvalue()

    def stamp(self, i: int) -> tuple[int, int]:  # noqa: ARG002  # all are alike
        """64 pixels that never change (the PNG's own size depends on the version of zlib)."""
        return self._pixels[0].size, 0


def read_digits(_text: str = "") -> Listing:
    """List the digits, sorted by class; as a registered source, ``--data digits``."""
    from sklearn.datasets import load_digits

    images, targets = load_digits(return_X_y=True)
    order = np.argsort(targets, kind="stable")
    labels = targets[order].astype(np.int64)
    pixels = np.rint(images[order].reshape(-1, 8, 8) * (255 / BRIGHTEST)).astype(np.uint8)
    return Listing(
        classes=tuple("0123456789"),
        source=Digits(pixels, labels, order.astype(np.int64)),
        labels=labels,
        given=np.full(len(labels), NO_PART, np.int8),
        natural=False,
    )
