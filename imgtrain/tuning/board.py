"""What a person sees of a study: a live table of the best trials, or a line for each that ends."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from imgtrain import console
from imgtrain.data.listing import count
from imgtrain.tuning.queue import ERROR, all_trials, own
from imgtrain.tuning.results import Tally, best_of, state_of
from imgtrain.tuning.storage import StorageError, reached
from imgtrain.tuning.study import Study
from imgtrain.tuning.trial import EPOCHS, SECONDS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_ROWS = 8
"""Trials in the live table."""

_LIVE_EVERY = 0.5
"""Seconds between two looks at the database for the live table."""

_OVER = ("finished", "pruned", "failed")


class Board:
    """Shows the study as it stands; others may work on it, too."""

    def __init__(self, study: Study, live: Live | None) -> None:
        self._study, self._live = study, live
        self._known: set[int] = {t.number for t in all_trials(study.trials) if state_of(t) in _OVER}
        self._looked = 0.0

    def __call__(self, *, at_once: bool = True) -> None:
        """Something may be new."""
        now = time.monotonic()
        if not at_once and now - self._looked < _LIVE_EVERY:
            return
        self._looked = now
        try:
            with reached(self._study.place):
                trials = all_trials(self._study.trials)
        except StorageError:  # whoever works there says so
            return
        for trial in trials:
            if state_of(trial) in _OVER and trial.number not in self._known:
                self._known.add(trial.number)
                self._ended(trial, trials)
        if self._live is not None:
            self._live.update(table(self._study, trials))

    def _ended(self, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> None:
        line = in_words(self._study, trial, best_of(trials, self._study.goals))
        if self._live is None or state_of(trial) == "failed":
            console.say(line)
        else:
            console.log_only(line)


@contextlib.contextmanager
def board(study: Study) -> Iterator[Board]:
    """The board during the block."""
    if not console.is_live() or console.verbosity() > 0:  # with -v, trials show themselves
        yield Board(study, None)
        return
    with Live(console=console.console(), refresh_per_second=4) as live:
        yield Board(study, live)


def in_words(study: Study, trial: FrozenTrial, best: FrozenTrial | None) -> str:
    """``trial 7 finished: val_top1 0.9412, 12 epochs, 8.1 s  optim.lr=0.003``."""
    state, about = state_of(trial), trial.user_attrs
    if state == "failed":
        return f"trial {trial.number} failed: {about.get(ERROR, 'unknown')}  {_params(trial)}"
    words = [f"trial {trial.number} {state}: {_values(study, trial)}"]
    if EPOCHS in about:
        words.append(f"{count(int(about[EPOCHS]), 'epoch')}, {about[SECONDS]:.1f} s")
    if best is not None and best.number != trial.number:
        words.append(f"best: trial {best.number}, {_values(study, best)}")
    elif best is not None:
        words.append("the best so far")
    return ", ".join(words) + f"  {_params(trial)}"


def _values(study: Study, trial: FrozenTrial) -> str:
    values = trial.values or ()
    pairs = zip(study.goals, values, strict=False)
    return ", ".join(f"{goal.name} {goal.shown(value)}" for goal, value in pairs) or "no value"


def _params(trial: FrozenTrial) -> str:
    return " ".join(f"{key}={_short(value)}" for key, value in trial.params.items())


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(study: Study, trials: Sequence[FrozenTrial]) -> RenderableType:
    """The best trials, those that run, and a line that counts.

    Each setting has a column where the terminal is wide enough; else they share one that wraps.
    """
    names = ["trial", "state", *(goal.name for goal in study.goals), "epochs"]
    sign = -1.0 if study.goals[0].maximize else 1.0
    done = [t for t in trials if state_of(t) == "finished" and t.values]
    done.sort(key=lambda t: (sign * t.values[0], t.number))
    running = [t for t in trials if state_of(t) == "running"]
    listed = [*done[:_ROWS], *running]
    rows = [[*_course(study, trial), *_proposed(study, trial)] for trial in listed]
    heads = [*names, *study.space]
    wide = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    if sum(wide) + 2 * len(wide) > console.console().width:
        heads = [*names, "settings"]
        listed = [*done[: _ROWS // 2], *running]
        rows = [[*_course(study, trial), _params(trial)] for trial in listed]
    shown = Table(box=None, pad_edge=False)
    for name in heads:
        shown.add_column(Text(name), overflow="fold", no_wrap=name != "settings")
    for row in rows:
        shown.add_row(*(Text(console.one_line(cell)) for cell in row))
    tally = Tally.of(trials)
    of = study.settings.tune.trials
    line = f"{tally.over} of {of} trials are over ({tally}), {len(running)} running"
    return Group(shown, Text(line))


def _course(study: Study, trial: FrozenTrial) -> list[str]:
    """Number, state, values and epochs, until now if it runs."""
    latest = list(trial.intermediate_values.values())[-1:]
    values: Sequence[float] = trial.values or latest
    told = [goal.shown(v) for goal, v in zip(study.goals, values, strict=False)]
    told += ["-"] * (len(study.goals) - len(told))
    epochs = trial.user_attrs.get(EPOCHS, len(trial.intermediate_values))
    return [str(trial.number), state_of(trial), *told, str(epochs)]


def _proposed(study: Study, trial: FrozenTrial) -> list[str]:
    return [_short(trial.params.get(key, "-")) for key in study.space]


def summary(study: Study) -> list[str]:
    """The last lines: how the trials ended, and the best."""
    trials = all_trials(study.trials)
    best = best_of(trials, study.goals)
    lines = [f"{len(own(trials))} trials: {Tally.of(trials)}"]
    if best is not None:
        lines.append(f"best: trial {best.number}, {_values(study, best)}  {_params(best)}")
    return lines
