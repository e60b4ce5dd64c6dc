"""STL-10 from its binary version."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imgtrain.fetching.entry import Job
from imgtrain.fetching.names import unique_names
from imgtrain.fetching.pixels import PictureWriter, Pixels
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import lines_of, members, not_expected

_SIDE = 96
_WANTED = ("class_names.txt", "train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")


def lay_out(job: Job) -> None:
    """Write ``train`` and ``test``; what has no labels is left out."""
    (archive,) = job.archives.values()
    for member in members(archive):
        if member.parts[-1] in _WANTED:
            member.save(job.scratch / member.parts[-1])
    for name in _WANTED:
        if not (job.scratch / name).is_file():
            raise not_expected(archive, f"it holds no {name}")
    names = lines_of((job.scratch / "class_names.txt").read_bytes())
    classes = list(unique_names({str(i): name for i, name in enumerate(names)}).values())
    with metering("writing pictures", job.entry.pictures, "pictures") as meter:
        writer = PictureWriter(job.into, classes, meter)
        for part in ("train", "test"):
            labels = np.fromfile(job.scratch / f"{part}_y.bin", np.uint8)
            pixels = _pixels(job.scratch / f"{part}_X.bin", archive)
            writer.write(part, pixels, labels.astype(np.int64) - 1)


def _pixels(file: Path, archive: Path) -> Pixels:
    """Pictures (N, 96, 96, 3), mapped: the file has each colour column by column."""
    size = file.stat().st_size
    if not size or size % (3 * _SIDE * _SIDE):
        raise not_expected(archive, f"{file.name} has {size:,} bytes, no whole pictures")
    raw = np.memmap(file, np.uint8, "r").reshape(-1, 3, _SIDE, _SIDE)
    return raw.transpose(0, 3, 2, 1)
