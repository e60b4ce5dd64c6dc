"""Trained models that score pictures: they need their ``model.safetensors`` and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import tee
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from imgtrain.engine.device import apply, usable_cores
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.ensemble import Scorer, choose, read_members
from imgtrain.loading.cache import Nowhere
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
        path: As it was given.
        probs: Shape (C,), in class order, float32, of several models float64; None when the
            picture cannot be read.
        error: Why it cannot be read; None when it can.
    """

    path: str
    probs: NDArray[np.float32] | NDArray[np.float64] | None
    error: str | None


class Files:
    """Pictures by path, one number each; satisfies ``Source``."""

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths

    def __len__(self) -> int:
        """How many."""
        return len(self._paths)

    def path(self, i: int) -> str:
        """As given."""
        return self._paths[i]

    def read(self, i: int) -> bytes:
        """The file's bytes."""
        return self._place(i).read_bytes()

    def stamp(self, i: int) -> tuple[int, int]:
        """Size in bytes, time of change in ns."""
        found = self._place(i).stat()
        return found.st_size, found.st_mtime_ns

    def _place(self, i: int) -> Path:
        if "\0" in self._paths[i]:  # as in a list from find -print0
            raise OSError(errno.EINVAL, "the name holds a zero byte")
        return Path(self._paths[i])


class Predictor:
    """A model ready to score, or several that score as one.

    Args:
        members: The models; they know the same classes.
        how: How several are combined; see ``imgtrain.metrics.combining``.
    """

    def __init__(self, members: Sequence[Scorer], how: Rule = "mean") -> None:
        self.members, self.how = tuple(members), how
        self._weights = np.array([member.weight for member in members], np.float64)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names in the order of the probabilities: that of the first member."""
        return self.members[0].recipe.classes

    @property
    def recipe(self) -> Recipe | None:
        """What the model is; None for several, whose ``members`` have one each."""
        return self.members[0].recipe if len(self.members) == 1 else None

    def predict(self, paths: Iterable[str | Path]) -> list[Prediction]:
        """Score every picture; one that cannot be read has an ``error`` instead of ``probs``."""
        return list(self.stream([str(path) for path in paths]))

    def stream(self, paths: Sequence[str], *, tta: str | None = None) -> Iterator[Prediction]:
        """The same, one after the other, in bounded memory.

        Members that see pictures in the same way share them: each is decoded once.

        Args:
            paths: The pictures.
            tta: Views that are averaged; see ``imgtrain.loading.tta``.
        """
        groups: dict[tuple[Preprocess, str], list[int]] = {}
        for number, member in enumerate(self.members):
            groups.setdefault((_sight(member), member.compute.device), []).append(number)
        with ExitStack() as stack:
            lookers = [
                stack.enter_context(_looking(preprocess, paths, self.members[own[0]], tta))
                for (preprocess, _), own in groups.items()
            ]
            for seen in zip(*(looker.batches() for looker in lookers), strict=True):
                yield from self._answers(paths, lookers, seen, list(groups.values()))

    def _answers(
        self,
        paths: Sequence[str],
        lookers: Sequence[_Looker],
        seen: Sequence[tuple[Batch, ...]],
        groups: Sequence[Sequence[int]],
    ) -> Iterator[Prediction]:
        """What all members say of one batch: nothing of a picture that one of them cannot read."""
        told: dict[int, tuple[NDArray[np.int64], NDArray[np.float32]]] = {}
        for batches, own in zip(seen, groups, strict=True):
            for number in own:
                told[number] = self.members[number].probabilities(batches, self.classes)
        pictures = seen[0][0].pictures
        good = pictures
        for positions, _ in told.values():
            good = np.intersect1d(good, positions, assume_unique=True)
        rows = dict(zip(good.tolist(), self._together(told, good), strict=True))
        for i in pictures.tolist():
            reasons = [looker.loader.pictures.bad.pop(i, None) for looker in lookers]
            yield Prediction(paths[i], rows.get(i), next(filter(None, reasons), None))

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


def _sight(member: Scorer) -> Preprocess:
    """How its pictures are decoded and cut; means and deviations are the device's work."""
    return replace(member.recipe.preprocess, mean=(), std=())


@dataclass(frozen=True, slots=True)
class _Looker:
    """Batches of the pictures, seen in one way by all views."""

    loader: Loader
    views: tuple[View, ...]
    count: int

    def batches(self) -> Iterator[tuple[Batch, ...]]:
        """Every view's batches side by side, so that a picture is decoded once."""
        every = np.arange(self.count, dtype=np.int64)
        shares: Iterator[Share] = scoring_shares(every, SCORING_BATCH, rank=0, world_size=1)
        streams = [
            self.loader.batches(own, view)
            for own, view in zip(tee(shares, len(self.views)), self.views, strict=True)
        ]
        return zip(*streams, strict=True)


@contextmanager
def _looking(
    preprocess: Preprocess, paths: Sequence[str], member: Scorer, tta: str | None
) -> Iterator[_Looker]:
    """Threads that read pictures in one way."""
    kept = Nowhere() if tta is None else Newest(2 * AHEAD * SCORING_BATCH)
    pictures = Pictures(Files(paths), preprocess, kept, on_bad="skip")
    unknown = np.zeros(len(paths), np.int64)
    loader = Loader(pictures, unknown, member.compute.torch_device, threads=usable_cores())
    try:
        yield _Looker(loader, views(preprocess, tta), len(paths))
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
        run: A run, a cross-validation, a ``model.safetensors``, an exported file, or a list of
            such.
        output: Folder that holds the runs.
        hardware: Where it computes, and how.
        ensemble: How several are combined: ``mean``, ``logits`` or ``vote``; as the
            cross-validation says, else ``mean``, if not given.

    Raises:
        RunError: If it is not there or broken, or if runs know different classes.
        SettingsError: If there is nothing to combine.
    """
    chosen = choose(run, output, ensemble)
    hardware = hardware or HardwareSettings()
    if hardware.precision == "auto" and not hardware.amp:
        hardware = hardware.model_copy(update={"precision": "fp32"})
    members = read_members(chosen, hardware)
    apply(members[0].compute)
    return Predictor(members, cast("Rule", chosen.how))
