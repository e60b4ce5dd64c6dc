"""What a model says of labelled pictures, each decoded once, as it is and changed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from imgtrain import console
from imgtrain.errors import DataError
from imgtrain.evaluating.pictures import Labelled
from imgtrain.looking import Change, Work, unchanged
from imgtrain.metrics.confusion import Floats, Ints
from imgtrain.predictor import Predictor

_WORTH_A_BAR = 300


@dataclass(frozen=True, eq=False)
class Answers:
    """Probabilities of the pictures that can be read.

    Args:
        pictures: Those that can be read, (N,).
        probs: Shape (N, C), float64, in the order of the model's classes.
        changed: For each change the likeliest class, shape (N,).
        bad: Path and reason of each of the others.
    """

    pictures: Labelled
    probs: Floats
    changed: tuple[Ints, ...]
    bad: tuple[tuple[str, str], ...]

    @property
    def labels(self) -> Ints:
        """The right classes, (N,)."""
        return self.pictures.labels

    @property
    def paths(self) -> list[str]:
        """As the data have them."""
        return [self.pictures.source.path(i) for i in range(len(self.pictures.labels))]


def ask(
    predictor: Predictor,
    pictures: Labelled,
    *,
    tta: str | None = None,
    changes: Sequence[Change] = (),
) -> Answers:
    """Score pictures.

    Args:
        predictor: The model or models.
        pictures: What is scored.
        tta: Views that are averaged; see ``imgtrain.loading.tta``.
        changes: What else each picture is turned into.

    Raises:
        DataError: If none can be read.
    """
    good: list[Ints] = []
    probs: list[Floats] = []
    changed: list[list[Ints]] = [[] for _ in changes]
    errors: dict[int, str] = {}
    source = pictures.source
    work = Work(source=source, tta=tta, changes=(unchanged, *changes))
    with _told(len(source), f"scoring {pictures.name}") as done:
        for answer in predictor.look(work):
            errors |= answer.errors
            done(len(answer.pictures))
            if not len(answer.positions):
                continue
            good.append(answer.positions)
            probs.append(answer.probs[0].astype(np.float64))
            for found, each in zip(changed, answer.probs[1:], strict=True):
                found.append(each.argmax(axis=1))
    bad = tuple((source.path(i), errors[i]) for i in sorted(errors))
    if not good:
        raise DataError(
            f"none of the {len(source)} pictures can be read (the first: {bad[0][0]}: {bad[0][1]})"
        )
    return Answers(
        pictures.take(np.concatenate(good)),
        np.concatenate(probs),
        tuple(np.concatenate(each) for each in changed),
        bad,
    )


@contextlib.contextmanager
def _told(total: int, what: str) -> Iterator[Callable[[int], None]]:
    """A progress bar where there is a terminal and enough to do."""
    if total < _WORTH_A_BAR or not console.is_live():
        yield lambda _: None
        return
    from rich.progress import Progress

    with Progress(console=console.console(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda number: bar.advance(task, number)
