"""Trained models that score pictures: they need their ``model.safetensors`` and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Source
from imgtrain.engine.device import apply, usable_cores
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.ensemble import Chosen, Member, choose, read_members
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.given import Given, Picture
from imgtrain.loading.loader import AHEAD, Batch, Loader, Pictures
from imgtrain.loading.newest import Newest
from imgtrain.loading.preprocess import Preprocess
from imgtrain.loading.samplewise import View
from imgtrain.loading.sampling import Share, scoring_shares
from imgtrain.loading.tta import views
from imgtrain.metrics.combining import Rule, combine
from imgtrain.settings.schema import HardwareSettings


@dataclass(frozen=True, slots=True)
class Prediction:
    """One picture's result.

    Args:
        path: As it was given; empty for a picture without a file.
        probs: Shape (C,), in class order, float32, of several models float64; None when the
            picture cannot be read.
        error: Why it cannot be read; None when it can.
    """

    path: str
    probs: NDArray[np.float32] | NDArray[np.float64] | None
    error: str | None


class Predictor:
    """A model ready to score, or several that score as one.

    Args:
        members: The models; they know the same classes.
        how: How several are combined; see ``imgtrain.metrics.combining``.
    """

    def __init__(self, members: Sequence[Member], how: Rule = "mean") -> None:
        self.members, self.how = tuple(members), how
        self._turn = threading.Lock()
        self._weights = np.array([member.weight for member in members], np.float64)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the probabilities: that of the first member."""
        return self.members[0].recipe.classes

    @property
    def recipe(self) -> Recipe | None:
        """What the model is; None for several, whose ``members`` have one each."""
        return self.members[0].recipe if len(self.members) == 1 else None

    def predict(self, pictures: Iterable[Picture], *, tta: str | None = None) -> list[Prediction]:
        """Score every picture; one that cannot be read has an ``error`` instead of ``probs``.

        Safe to call from several threads: they read pictures side by side, and the model scores
        one batch after the other.

        Args:
            pictures: Paths, bytes of picture files, (H, W) or (H, W, C) of uint8, or images of
                Pillow's.
            tta: Views that are averaged; see ``imgtrain.loading.tta``.

        Raises:
            TypeError: If something is none of these.
        """
        if isinstance(pictures, str | bytes | bytearray | memoryview | np.ndarray):
            raise TypeError("give a list of pictures, also for one")
        return list(self.stream(list(pictures), tta=tta))

    def stream(
        self, pictures: Sequence[Picture] | Source, *, tta: str | None = None
    ) -> Iterator[Prediction]:
        """The same, one after the other, in bounded memory."""
        for batch in self.batches(pictures, tta=tta):
            yield from batch

    def batches(
        self,
        pictures: Sequence[Picture] | Source,
        *,
        tta: str | None = None,
        first: int = 0,
        size: int = SCORING_BATCH,
        threads: int | None = None,
    ) -> Generator[list[Prediction]]:
        """The same, batch by batch: as soon as one is scored.

        Members that see pictures in the same way share them: each is decoded once.

        Args:
            pictures: As above, or a source of them.
            tta: Views that are averaged; see ``imgtrain.loading.tta``.
            first: The number of the picture to begin with.
            size: How many are scored together.
            threads: How many read pictures; one a core, if not given.
        """
        source = Given(pictures) if isinstance(pictures, Sequence) else pictures
        groups: dict[Preprocess, list[int]] = {}
        for number, member in enumerate(self.members):
            groups.setdefault(_sight(member), []).append(number)
        work = _Work(source, tta, first, size, threads or usable_cores())
        with ExitStack() as stack:
            lookers = [
                stack.enter_context(_looking(preprocess, work, self.members[own[0]]))
                for preprocess, own in groups.items()
            ]
            for seen in zip(*(looker.batches() for looker in lookers), strict=True):
                yield self._answers(source, lookers, seen, list(groups.values()))

    def _answers(
        self,
        source: Source,
        lookers: Sequence[_Looker],
        seen: Sequence[tuple[Batch, ...]],
        groups: Sequence[Sequence[int]],
    ) -> list[Prediction]:
        """What all members say of one batch: nothing of a picture that one of them cannot read."""
        told: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        with self._turn:  # side by side they would fight for the cores
            for batches, own in zip(seen, groups, strict=True):
                for number in own:
                    told[number] = self.members[number].probabilities(batches, self.classes)
        pictures = seen[0][0].pictures
        good = pictures
        for positions, _ in told.values():
            good = np.intersect1d(good, positions, assume_unique=True)
        rows = dict(zip(good.tolist(), self._together(told, good), strict=True))
        found = []
        for i in pictures.tolist():
            reasons = [looker.loader.pictures.bad.pop(i, None) for looker in lookers]
            reason = next(filter(None, reasons), None)
            found.append(Prediction(source.path(i), rows.get(i), reason))
        return found

    def _together(
        self,
        told: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]],
        good: NDArray[np.int64],
    ) -> NDArray[np.float32] | NDArray[np.float64]:
        """Rows of probabilities for the pictures ``good``, which is sorted."""
        probs = [
            told[number][1][np.isin(told[number][0], good)] for number in range(len(self.members))
        ]
        if len(probs) == 1 or not len(good):
            return probs[0]
        return combine(np.stack(probs).astype(np.float64), self.how, self._weights)


def _sight(member: Member) -> Preprocess:
    """How its pictures are decoded and cut; means and deviations are the device's work."""
    return replace(member.recipe.preprocess, mean=(), std=())


@dataclass(frozen=True, slots=True)
class _Work:
    """Which pictures are to be scored, in which batches, by how many threads."""

    source: Source
    tta: str | None
    first: int
    size: int
    threads: int


@dataclass(frozen=True, slots=True)
class _Looker:
    """Batches of the pictures, seen in one way by all views."""

    loader: Loader
    views: tuple[View, ...]
    work: _Work

    def batches(self) -> Iterator[tuple[Batch, ...]]:
        """Every view's batches side by side, so that a picture is decoded once."""
        left = np.arange(self.work.first, len(self.work.source), dtype=np.int64)
        shares: Iterator[Share] = scoring_shares(left, self.work.size, rank=0, world_size=1)
        streams = [
            self.loader.batches(own, view)
            for own, view in zip(tee(shares, len(self.views)), self.views, strict=True)
        ]
        return zip(*streams, strict=True)


@contextmanager
def _looking(preprocess: Preprocess, work: _Work, member: Member) -> Iterator[_Looker]:
    """Threads that read pictures in one way."""
    kept = Nowhere() if work.tta is None else Newest(2 * AHEAD * work.size)
    pictures = Pictures(work.source, preprocess, kept, on_bad="skip")
    unknown = np.zeros(len(work.source), np.int64)
    loader = Loader(pictures, unknown, member.compute.torch_device, threads=work.threads)
    try:
        yield _Looker(loader, views(preprocess, work.tta), work)
    finally:
        loader.close()


def load(
    run: str | Path | Sequence[str | Path] | None = None,
    *,
    output: Path = Path("runs"),
    hardware: HardwareSettings | None = None,
    ensemble: str | None = None,
) -> Predictor:
    """The model of a run, or several as one; the newest run when none is named.

    Scoring is in fp32 unless ``hardware.precision`` or ``hardware.amp`` asks otherwise.

    Args:
        run: A run, a cross-validation, a ``model.safetensors``, or a list of such.
        output: Folder that holds the runs.
        hardware: Where it computes, and how.
        ensemble: How several are combined: ``mean``, ``logits`` or ``vote``; as the
            cross-validation says, else ``mean``, if not given.

    Raises:
        RunError: If it is not there or broken, or if runs know different classes.
        SettingsError: If there is nothing to combine.
    """
    return open_models(choose(run, output, ensemble), hardware or HardwareSettings())


def open_models(chosen: Chosen, hardware: HardwareSettings) -> Predictor:
    """The models that were chosen; see ``load``."""
    if hardware.precision == "auto" and not hardware.amp:
        hardware = hardware.model_copy(update={"precision": "fp32"})
    members = read_members(chosen, hardware)
    apply(members[0].compute)
    return Predictor(members, cast("Rule", chosen.how))
