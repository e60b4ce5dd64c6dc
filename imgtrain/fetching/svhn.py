"""House numbers: cropped digits in two MATLAB files."""

from __future__ import annotations

import numpy as np

from imgtrain.fetching.entry import Job
from imgtrain.fetching.matlab import arrays_in
from imgtrain.fetching.pixels import PictureWriter
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import not_expected

_PIXELS = (32, 32, 3)


def lay_out(job: Job) -> None:
    """Write ``train`` and ``test``; the label 10 is the digit 0."""
    with metering("writing pictures", job.entry.pictures, "pictures") as meter:
        writer = PictureWriter(job.into, "0123456789", meter)
        for part in ("train", "test"):
            path = job.archives[f"{part}_32x32.mat"]
            pixels, labels = arrays_in(path, "X", "y")
            if pixels.dtype != np.uint8 or pixels.shape[:3] != _PIXELS:
                raise not_expected(path, f"X is {pixels.dtype} of shape {pixels.shape}")
            digits = labels.reshape(-1).astype(np.int64)
            writer.write(part, pixels.transpose(3, 0, 1, 2), np.where(digits == 10, 0, digits))  # noqa: PLR2004  # as the publisher has it
