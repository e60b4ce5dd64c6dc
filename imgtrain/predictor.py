"""Trained models that score pictures: they need their ``model.safetensors`` and nothing else."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from imgtrain.data.listing import Source
from imgtrain.engine.device import apply, usable_cores
from imgtrain.engine.infer import averaged
from imgtrain.engine.recipe import Recipe
from imgtrain.engine.state import SCORING_BATCH
from imgtrain.ensemble import Member, choose, read_members
from imgtrain.loading.cache import Nowhere
from imgtrain.loading.loader import AHEAD, Batch, Loader, Pictures
from imgtrain.loading.newest import Newest
from imgtrain.loading.preprocess import Pixels, Preprocess
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


Change = Callable[[Pixels], Pixels]
"""What the model is about to see, (size, size, C) uint8, in another form of the same shape."""

Rows = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Positions of the pictures that can be read, and their probabilities."""

Told = dict[int, Rows]
"""What each member says, by its number."""


def unchanged(pixels: Pixels) -> Pixels:
    """Pictures as they are."""
    return pixels


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one batch: nothing of a picture that one of the models cannot read.

    Args:
        pictures: Shape (B,), positions in the source.
        positions: Shape (G,), sorted: those that can be read.
        probs: For each change, shape (G, C).
        errors: Why the others cannot, by position.
    """

    pictures: NDArray[np.int64]
    positions: NDArray[np.int64]
    probs: tuple[NDArray[np.float32] | NDArray[np.float64], ...]
    errors: dict[int, str]


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

    def __init__(self, members: Sequence[Member], how: Rule = "mean") -> None:
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

    @property
    def conformity(self) -> tuple[float, ...]:
        """Scores of calibration pictures, ascending (see ``imgtrain.metrics.conformal``).

        Empty for a model that had none, and for several: theirs are about each one alone.
        """
        return () if self.recipe is None else self.recipe.conformity

    def predict(self, paths: Iterable[str | Path]) -> list[Prediction]:
        """Score every picture; one that cannot be read has an ``error`` instead of ``probs``."""
        return list(self.stream([str(path) for path in paths]))

    def stream(self, paths: Sequence[str], *, tta: str | None = None) -> Iterator[Prediction]:
        """The same, one after the other, in bounded memory.

        Args:
            paths: The pictures.
            tta: Views that are averaged; see ``imgtrain.loading.tta``.
        """
        for answer in self.look(Files(paths), tta=tta):
            rows = dict(zip(answer.positions.tolist(), answer.probs[0], strict=True))
            for i in answer.pictures.tolist():
                yield Prediction(paths[i], rows.get(i), answer.errors.get(i))

    def look(
        self, source: Source, *, tta: str | None = None, changes: Sequence[Change] = (unchanged,)
    ) -> Iterator[Answer]:
        """Score every picture of a source, batch after batch, changed in each of several ways.

        Members that see pictures in the same way share them: each is decoded once.

        Args:
            source: The pictures.
            tta: Views that are averaged; see ``imgtrain.loading.tta``.
            changes: What is done to what the model sees; nothing, if not given.
        """
        groups: dict[Preprocess, list[int]] = {}
        for number, member in enumerate(self.members):
            groups.setdefault(_sight(member), []).append(number)
        with ExitStack() as stack:
            lookers = [
                stack.enter_context(_looking(sight, source, self.members[own[0]], tta, changes))
                for sight, own in groups.items()
            ]
            streams = list(zip((each.batches() for each in lookers), groups.values(), strict=True))
            bad = [each.loader.pictures.bad for each in lookers]
            for share in _shares(len(source)):
                told = [self._told(streams, lookers[0].views) for _ in changes]
                good = share.pictures
                for positions, _ in told[0].values():
                    good = np.intersect1d(good, positions, assume_unique=True)
                reasons = {i: [each.pop(i, None) for each in bad] for i in share.pictures.tolist()}
                yield Answer(
                    pictures=share.pictures,
                    positions=good,
                    probs=tuple(self._together(each, good) for each in told),
                    errors={i: next(filter(None, why)) for i, why in reasons.items() if any(why)},
                )

    def _told(self, streams: Sequence[tuple[Iterator[Batch], list[int]]], views: int) -> Told:
        """What each member says of the pictures of one batch, all views of them averaged."""
        told: Told = {}
        for stream, own in streams:
            found: dict[int, list[Rows]] = {number: [] for number in own}
            for batch in islice(stream, views):  # each is valid until the next
                for number in own:
                    rows = self.members[number].probabilities([batch], self.classes)
                    found[number].append(rows)
            for number, each in found.items():
                told[number] = each[0][0], averaged([probs for _, probs in each])
        return told

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


def _sight(member: Member) -> Preprocess:
    """How its pictures are decoded and cut; means and deviations are the device's work."""
    return replace(member.recipe.preprocess, mean=(), std=())


def _shares(count: int) -> Iterator[Share]:
    """Batches of so many pictures, in order."""
    every = np.arange(count, dtype=np.int64)
    return scoring_shares(every, SCORING_BATCH, rank=0, world_size=1)


def _after(view: View, change: Change) -> View:
    """The view of a picture, then the change of what is seen."""
    return view if change is unchanged else lambda pixels, u: change(view(pixels, u))


@dataclass(frozen=True, slots=True)
class _Looker:
    """Batches of the pictures, decoded in one way for all looks at them.

    Args:
        loader: What reads them.
        looks: Every view of every change, change after change.
        views: How many views there are.
        pictures: How many pictures there are.
    """

    loader: Loader
    looks: Sequence[View]
    views: int
    pictures: int

    def batches(self) -> Iterator[Batch]:
        """Each batch as often as there are looks, one after the other: it is decoded once."""
        size = self.loader.pictures.preprocess.size
        shares = (
            replace(share, seen=(size, look))
            for share in _shares(self.pictures)
            for look in self.looks
        )
        return self.loader.batches(shares, self.looks[0])


@contextmanager
def _looking(
    preprocess: Preprocess,
    source: Source,
    member: Member,
    tta: str | None,
    changes: Sequence[Change],
) -> Iterator[_Looker]:
    """Threads that read pictures in one way."""
    seen = views(preprocess, tta)
    looks = [_after(view, change) for change in changes for view in seen]
    kept = Nowhere() if len(looks) == 1 else Newest(2 * AHEAD * SCORING_BATCH)
    pictures = Pictures(source, preprocess, kept, on_bad="skip")
    unknown = np.zeros(len(source), np.int64)
    loader = Loader(pictures, unknown, member.compute.torch_device, threads=usable_cores())
    try:
        yield _Looker(loader, looks, len(seen), len(source))
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
    chosen = choose(run, output, ensemble)
    hardware = hardware or HardwareSettings()
    if hardware.precision == "auto" and not hardware.amp:
        hardware = hardware.model_copy(update={"precision": "fp32"})
    members = read_members(chosen, hardware)
    apply(members[0].compute)
    return Predictor(members, cast("Rule", chosen.how))
