"""MNIST and its kin: four gz files of arrays in the IDX format (described on MNIST's page)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain.fetching.entry import Job
from imgtrain.fetching.names import folder_name
from imgtrain.fetching.pixels import PictureWriter
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import decompress, not_expected

_UINT8 = 8
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}


def lay_out(job: Job) -> None:
    """Write ``train`` and ``test``."""
    classes = [folder_name(name) for name in CLASSES[job.entry.name]]
    with metering("writing pictures", job.entry.pictures, "pictures") as meter:
        writer = PictureWriter(job.into, classes, meter)
        for part, start in (("train", "train"), ("test", "t10k")):
            pixels = read_idx(job.archives[f"{start}-images-idx3-ubyte.gz"], 3)
            labels = read_idx(job.archives[f"{start}-labels-idx1-ubyte.gz"], 1)
            writer.write(part, pixels, labels)


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The array of bytes in a compressed IDX file.

    Raises:
        DataError: If it is none, or not of so many dimensions.
    """
    raw = decompress(path)
    begins = 4 + 4 * dimensions
    if len(raw) < begins or raw[:4] != bytes((0, 0, _UINT8, dimensions)):
        raise not_expected(path, f"it holds no IDX array of bytes with {dimensions} dimensions")
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, 4).tolist())
    if len(raw) - begins != math.prod(shape):
        raise not_expected(path, f"it has {len(raw) - begins:,} bytes for an array {shape}")
    return np.frombuffer(raw, np.uint8, offset=begins).reshape(shape)
