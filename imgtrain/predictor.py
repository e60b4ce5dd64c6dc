"""Trained models that score pictures: they need their ``model.safetensors`` and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Source
from imgtrain.engine.device import apply
from imgtrain.engine.infer import averaged
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.ensemble import Chosen, Scorer, choose, read_members
from imgtrain.loading.given import Given, Picture
from imgtrain.loading.loader import Batch
from imgtrain.loading.preprocess import Preprocess
from imgtrain.looking import Work, looking, sight
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


Rows = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions of the pictures that can be read, and their probabilities."""

Told = dict[int, Rows]
"""What each member says, by its number."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one batch: nothing of a picture that one of the models cannot read.

    Args:
        pictures: Shape (B,), positions in the source.
        positions: Shape (G,), sorted: those that can be read.
        probs: For each change, shape (G, C).
        errors: Why the others cannot, by position.
        seen: What the first model saw at the last look; valid until the next answer.
    """

    pictures: NDArray[np.int64]
    positions: NDArray[np.int64]
    probs: tuple[NDArray[np.float32] | NDArray[np.float64], ...]
    errors: dict[int, str]
    seen: Batch

    def predictions(self, source: Source) -> list[Prediction]:
        """One for each picture, as it is without a change."""
        rows = dict(zip(self.positions.tolist(), self.probs[0], strict=True))
        return [
            Prediction(source.path(i), rows.get(i), self.errors.get(i))
            for i in self.pictures.tolist()
        ]


class Predictor:
    """A model ready to score, or several that score as one.

    Args:
        members: The models; they know the same classes.
        how: How several are combined; see ``imgtrain.metrics.combining``.
    """

    def __init__(self, members: Sequence[Scorer], how: Rule = "mean") -> None:
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

    @property
    def conformity(self) -> tuple[float, ...]:
        """Scores of calibration pictures, ascending (see ``imgtrain.metrics.conformal``).

        Empty for a model that had none, and for several: theirs are about each one alone.
        """
        return () if self.recipe is None else self.recipe.conformity

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

        Args:
            pictures: As above, or a source of them.
            tta: Views that are averaged; see ``imgtrain.loading.tta``.
            first: The number of the picture to begin with.
            size: How many are scored together.
            threads: How many read pictures; one a core, if not given.
        """
        source = Given(pictures) if isinstance(pictures, Sequence) else pictures
        work = Work(source=source, tta=tta, first=first, size=size, threads=threads)
        for answer in self.look(work):
            yield answer.predictions(source)

    def look(self, work: Work) -> Generator[Answer]:
        """Score every picture, batch after batch, changed in each of several ways.

        Members that see pictures in the same way share them: each is decoded once.
        """
        groups: dict[tuple[Preprocess, str], list[int]] = {}
        for number, member in enumerate(self.members):
            groups.setdefault((sight(member), member.compute.device), []).append(number)
        with ExitStack() as stack:
            lookers = [
                stack.enter_context(looking(preprocess, work, self.members[own[0]]))
                for (preprocess, _), own in groups.items()
            ]
            streams = list(zip((each.batches() for each in lookers), groups.values(), strict=True))
            bad = [each.loader.pictures.bad for each in lookers]
            for share in work.shares():
                found = [self._told(streams, lookers[0].views) for _ in work.changes]
                told, good = [each for each, _ in found], share.pictures
                for positions, _ in told[0].values():
                    good = np.intersect1d(good, positions, assume_unique=True)
                reasons = {i: [each.pop(i, None) for each in bad] for i in share.pictures.tolist()}
                yield Answer(
                    pictures=share.pictures,
                    positions=good,
                    probs=tuple(self._together(each, good) for each in told),
                    errors={i: next(filter(None, why)) for i, why in reasons.items() if any(why)},
                    seen=found[-1][1],
                )

    def _told(
        self, streams: Sequence[tuple[Iterator[Batch], list[int]]], views: int
    ) -> tuple[Told, Batch]:
        """What each member says of the pictures of one batch, all views of them averaged.

        Beside it, what the first member saw last.
        """
        told: Told = {}
        seen: list[Batch] = []
        for stream, own in streams:
            found: dict[int, list[Rows]] = {number: [] for number in own}
            for batch in islice(stream, views):  # each is valid until the next
                with self._turn:  # side by side, callers would fight for the cores
                    for number in own:
                        rows = self.members[number].probabilities([batch], self.classes)
                        found[number].append(rows)
            seen.append(batch)
            for number, each in found.items():
                told[number] = each[0][0], averaged([probs for _, probs in each])
        return told, seen[0]

    def _together(
        self, told: Told, good: NDArray[np.int64]
    ) -> NDArray[np.float32] | NDArray[np.float64]:
        """Rows of probabilities for the pictures ``good``, which is sorted."""
        probs = [
            told[number][1][np.isin(told[number][0], good)] for number in range(len(self.members))
        ]
        if len(probs) == 1 or not len(good):
            return probs[0]
        return combine(np.stack(probs).astype(np.float64), self.how, self._weights)


def load(
    run: str | Path | Sequence[str | Path] | None = None,
    *,
    output: Path = Path("runs"),
    hardware: HardwareSettings | None = None,
    ensemble: str | None = None,
    folds: bool = True,
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
        folds: See ``imgtrain.ensemble.read_members``.

    Raises:
        RunError: If it is not there or broken, or if runs know different classes.
        SettingsError: If there is nothing to combine.
    """
    return open_models(choose(run, output, ensemble), hardware or HardwareSettings(), folds=folds)


def open_models(chosen: Chosen, hardware: HardwareSettings, *, folds: bool = True) -> Predictor:
    """The models that were chosen; see ``load``."""
    if hardware.precision == "auto" and not hardware.amp:
        hardware = hardware.model_copy(update={"precision": "fp32"})
    members = read_members(chosen, hardware, folds=folds)
    apply(members[0].compute)
    return Predictor(members, cast("Rule", chosen.how))
