"""The table of a study's trials: sortable, with links to their own pages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imgtrain.report.markup import DASH, Column, shown, sortable, text
from imgtrain.report.study_reading import Trials, about, state_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Cell(Column):
    """A column of numbers of any size, or of words, as they come."""

    def cell(self, value: Any) -> str:
        """One value; nothing where there is none."""
        if value is None:
            return f'<td class="{self.kind}">{DASH}</td>'
        order = f"{value:.8g}" if self.kind == "number" else written(value)
        return f'<td class="{self.kind}" data-value="{text(order)}">{text(written(value))}</td>'


def written(value: object) -> str:
    """A value for people: four digits of a number."""
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def trial_table(folder: Path, trials: Trials) -> str:
    """Every trial: how it ended, its values, what it cost, what it tried; the best first."""
    if not trials.every:
        return ""
    keys = trials.keys()
    columns = [
        Column("Trial", "link"),
        Cell("State", "name"),
        *(Cell(text(goal)) for goal in trials.names),
        Cell("Epochs"),
        Cell("Seconds"),
        *(Cell(text(key), _kind(trials, key)) for key in keys),
    ]
    best = trials.ranked
    rest = [trial for trial in trials.every if trial not in best]
    rows = [
        [
            (str(trial.number), _page(folder, trial)),
            state_of(trial),
            *_values(trials, trial),
            about(trial, "epochs"),
            _seconds(trial),
            *(_param(trial, key) for key in keys),
        ]
        for trial in (*best, *rest)
    ]
    return sortable("Trials", columns, rows)


def _page(folder: Path, trial: FrozenTrial) -> str | None:
    """The trial's own page, as seen from the study's."""
    run = trial.user_attrs.get("run")
    if not isinstance(run, str) or not (folder / run / "report.html").is_file():
        return None
    return f"{quote(run)}/report.html"


def _kind(trials: Trials, key: str) -> Any:
    """Numbers sort as numbers."""
    values = [trial.params[key] for trial in trials.every if key in trial.params]
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    return "number" if numbers else "name"


def _values(trials: Trials, trial: FrozenTrial) -> list[float | None]:
    """A pruned trial's value is that of its last epoch."""
    found = trial.values or [None] * len(trials.names)
    return [None if value is None or not math.isfinite(value) else value for value in found]


def _seconds(trial: FrozenTrial) -> float | None:
    found = about(trial, "seconds")
    return None if found is None else round(found, 1)


def _param(trial: FrozenTrial, key: str) -> Any:
    """None is a value here: off."""
    if key not in trial.params:
        return None
    value = trial.params[key]
    return "off" if value is None else value
