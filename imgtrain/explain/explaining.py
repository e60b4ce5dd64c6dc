"""From pictures to overlays: predicted as ``predict`` does, explained, written."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from imgtrain.data.listing import Source
from imgtrain.errors import disk_error
from imgtrain.explain.methods import Explainer
from imgtrain.explain.overlay import as_grey_png, as_jpeg, displayed, overlaid, strength
from imgtrain.files import write_bytes
from imgtrain.loading.loader import Batch
from imgtrain.loading.preprocess import Pixels
from imgtrain.looking import Work
from imgtrain.predictor import Prediction, Predictor
from imgtrain.report.explained import (
    MOST_SHOWN,
    Explained,
    Way,
    listed_files,
    write_explained,
)

Raw = Literal["npy", "png"]
"""How maps are kept beside the overlays: their values, or a grey picture."""

_AT_ONCE = 16
"""Pictures whose maps are made together, in a pass that keeps what gradients need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is explained, and where it goes.

    Args:
        run: What the page calls the model.
        predictor: The model alone: an ensemble's members look at different places.
        explainer: The method.
        place: The folder of the overlays.
        of: The class of the maps; each picture's own predicted class if not given.
        raw: How the maps themselves are kept, if they are.
        truth: True class by path, where it is known.
    """

    run: str
    predictor: Predictor
    explainer: Explainer
    place: Path
    of: str | None = None
    raw: Raw | None = None
    truth: Mapping[str, str] = field(default_factory=dict)

    @property
    def way(self) -> Way:
        """As page and table say it."""
        return Way(self.run, self.explainer.method, self.explainer.layer)


def explain_all(
    job: Job, pictures: Source, tell: Callable[[Explained], None] = lambda _: None
) -> list[Explained]:
    """Overlays of all pictures, their table and their page; ``tell`` hears every row.

    Raises:
        DiskError: If something cannot be written.
    """
    rows = []
    for row in explained(job, pictures):
        tell(row)
        rows.append(row)
    write_explained(job.place, job.way, rows)
    return rows


def explained(job: Job, pictures: Source) -> Iterator[Explained]:
    """Every picture's row, in order; its overlay is on the disk by then.

    A picture that cannot be read is a row with an error. Overlays of an earlier time that the
    folder's table lists are removed first.

    Raises:
        DiskError: If an overlay cannot be written.
    """
    _clear(job.place)
    number = 0
    for answer in job.predictor.look(Work(source=pictures)):
        batch, found = answer.seen, answer.predictions(pictures)
        good = [row for row, each in enumerate(found) if each.probs is not None]
        maps = _maps_of(job, batch, found, good)
        for row, each in enumerate(found):
            number += 1
            if each.probs is None:
                yield Explained(path=each.path, error=each.error)
                continue
            yield _written(job, number, each, batch.pixels[row].cpu().numpy(), next(maps))


def _maps_of(
    job: Job, batch: Batch, found: list[Prediction], good: list[int]
) -> Iterator[NDArray[np.float32]]:
    """The maps of a batch's readable pictures, (h, w) each."""
    for first in range(0, len(good), _AT_ONCE):
        some = good[first : first + _AT_ONCE]
        targets = [_target(job, found[row]) for row in some]
        pixels = batch.pixels[torch.tensor(some, device=batch.pixels.device)]
        yield from job.explainer.maps(pixels, torch.tensor(targets, device=pixels.device))


def _target(job: Job, found: Prediction) -> int:
    """The class of the map, as an index."""
    assert found.probs is not None
    return int(found.probs.argmax()) if job.of is None else job.predictor.classes.index(job.of)


def _written(
    job: Job, number: int, found: Prediction, pixels: Pixels, values: NDArray[np.float32]
) -> Explained:
    """One picture's overlay, written, and its row."""
    assert found.probs is not None
    probs, classes = found.probs, job.predictor.classes
    heat = strength(values, from_least=job.explainer.from_least)
    picture = displayed(pixels)
    overlay = as_jpeg(overlaid(picture, heat))
    stem = f"{number:03d}_{_plain(found.path)}"
    write_bytes(job.place / f"{stem}.jpg", overlay)
    if job.raw == "npy":
        write_bytes(job.place / f"{stem}.npy", _as_npy(values))
    if job.raw == "png":
        write_bytes(job.place / f"{stem}_map.png", as_grey_png(heat, *picture.shape[:2]))
    best, target, true = int(probs.argmax()), _target(job, found), job.truth.get(found.path)
    of_a_class, on_page = job.explainer.of_a_class, number <= MOST_SHOWN
    return Explained(
        path=found.path,
        pred=classes[best],
        prob=float(probs[best]),
        true=true,
        true_prob=float(probs[classes.index(true)]) if true in classes else None,
        of=classes[target] if of_a_class else None,
        of_prob=float(probs[target]) if of_a_class else None,
        flat=not heat.any(),
        file=f"{stem}.jpg",
        picture=as_jpeg(picture) if on_page else None,
        overlay=overlay if on_page else None,
    )


def _plain(path: str) -> str:
    """A file's stem with ASCII letters, digits and dashes alone."""
    return re.sub(r"[^A-Za-z0-9]+", "-", Path(path).stem).strip("-")[:60] or "picture"


def _as_npy(values: NDArray[np.float32]) -> bytes:
    data = io.BytesIO()
    np.save(data, values, allow_pickle=False)
    return data.getvalue()


def _clear(place: Path) -> None:
    """Remove the overlays of an earlier time, and the maps beside them."""
    for name in listed_files(place):
        stem = name.removesuffix(".jpg")
        if re.match(r"\d{3,}_", name):
            for old in (name, f"{stem}.npy", f"{stem}_map.png"):
                try:
                    with contextlib.suppress(FileNotFoundError):
                        (place / old).unlink()
                except OSError as error:
                    raise disk_error(error, place / old) from error
