"""The digits that come with scikit-learn, written out as files."""

from __future__ import annotations

import numpy as np

from imgtrain.fetching.entry import Job
from imgtrain.fetching.pixels import PictureWriter
from imgtrain.fetching.progress import metering

_BRIGHTEST = 16


def lay_out(job: Job) -> None:
    """Write one folder a digit: the set has no parts of its own."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    pixels = np.rint(images * (255 / _BRIGHTEST)).astype(np.uint8).reshape(-1, 8, 8)
    with metering("writing pictures", job.entry.pictures, "pictures") as meter:
        PictureWriter(job.into, "0123456789", meter).write("", pixels, labels)
