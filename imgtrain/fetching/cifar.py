"""CIFAR-10 and CIFAR-100 from their binary versions: no pickle is read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imgtrain.fetching.entry import Job
from imgtrain.fetching.names import unique_names
from imgtrain.fetching.pixels import PictureWriter, Pixels
from imgtrain.fetching.progress import metering
from imgtrain.fetching.unpack import lines_of, members, not_expected

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_NAMES = {"cifar10": "batches.meta.txt", "cifar100": "fine_label_names.txt"}
_LABEL_BYTES = {"cifar10": 1, "cifar100": 2}
"""CIFAR-100 has the coarse label first, then the fine one."""


def lay_out(job: Job) -> None:
    """Write ``train`` and ``test``; the classes are named by the archive itself."""
    (archive,) = job.archives.values()
    for member in members(archive):
        if member.parts[-1].endswith((".bin", ".txt")):
            member.save(job.scratch / member.parts[-1])
    classes = _classes(job, archive)
    parts = {"train": _batches(job.scratch, "train"), "test": _batches(job.scratch, "test")}
    for part, files in parts.items():
        if not files:
            raise not_expected(archive, f"it holds no file of the {part} part")
    with metering("writing pictures", job.entry.pictures, "pictures") as meter:
        writer = PictureWriter(job.into, classes, meter)
        for part, files in parts.items():
            first = 0
            for file in files:
                pixels, labels = read_batch(file, archive, _LABEL_BYTES[job.entry.name])
                writer.write(part, pixels, labels, first=first)
                first += len(labels)


def _classes(job: Job, archive: Path) -> list[str]:
    file = job.scratch / _NAMES[job.entry.name]
    if not file.is_file():
        raise not_expected(archive, f"it holds no {file.name}")
    names = lines_of(file.read_bytes())
    return list(unique_names({str(i): name for i, name in enumerate(names)}).values())


def _batches(folder: Path, part: str) -> list[Path]:
    """Files of a part: ``data_batch_1.bin`` and so on, or ``train.bin``."""
    starts = {"train": ("data_batch", "train"), "test": ("test",)}[part]
    return sorted(path for path in folder.glob("*.bin") if path.name.startswith(starts))


def read_batch(file: Path, archive: Path, label_bytes: int) -> tuple[Pixels, NDArray[np.uint8]]:
    """Pictures (N, 32, 32, 3) and labels (N,).

    Raises:
        DataError: If the file's length is not that of whole pictures.
    """
    raw = np.fromfile(file, np.uint8)
    record = label_bytes + _PIXELS
    if not len(raw) or len(raw) % record:
        raise not_expected(archive, f"{file.name} has {len(raw):,} bytes, no whole pictures")
    rows = raw.reshape(-1, record)
    planes = rows[:, label_bytes:].reshape(-1, 3, _SIDE, _SIDE)
    return planes.transpose(0, 2, 3, 1), rows[:, label_bytes - 1]
