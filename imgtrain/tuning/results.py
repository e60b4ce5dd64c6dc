"""What a study came to: its best trials, and the files that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgtrain.files import write_csv
from imgtrain.provenance import shareable
from imgtrain.settings.schema import Settings
from imgtrain.settings.strict_yaml import dump
from imgtrain.tuning.best import best_settings, write_best
from imgtrain.tuning.goals import Goal
from imgtrain.tuning.queue import ERROR, FROM, all_trials, own
from imgtrain.tuning.space import values_of
from imgtrain.tuning.study import Study
from imgtrain.tuning.trial import EPOCHS, RUN, SECONDS

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_WORDS = {
    "COMPLETE": "finished",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
}


def state_of(trial: FrozenTrial) -> str:
    """In our words: finished, pruned, failed, running or waiting."""
    return _WORDS[trial.state.name]


def best_of(trials: Sequence[FrozenTrial], goals: Sequence[Goal]) -> FrozenTrial | None:
    """The finished trial with the best first number; of equals the earliest."""
    best = None
    for trial in trials:
        if state_of(trial) != "finished" or trial.values is None:
            continue
        if best is None or goals[0].is_better(trial.values[0], best.values[0]):
            best = trial
    return best


def pareto(study: Study) -> list[FrozenTrial]:
    """Finished trials that no other beats in one goal without losing in the other."""
    if len(study.goals) == 1:
        return []
    found = study.trials.best_trials
    return sorted(found, key=lambda t: -t.values[0] if study.goals[0].maximize else t.values[0])


@dataclass(frozen=True, slots=True)
class Tally:
    """How many trials of the study ended in which way."""

    finished: int
    pruned: int
    failed: int

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial]) -> Tally:
        """Counted; those from elsewhere are left out."""
        states = [state_of(trial) for trial in own(trials)]
        return cls(*(states.count(each) for each in ("finished", "pruned", "failed")))

    @property
    def over(self) -> int:
        """How many are over."""
        return self.finished + self.pruned + self.failed

    def __str__(self) -> str:
        """``12 finished, 17 pruned, 1 failed``."""
        found = {"finished": self.finished, "pruned": self.pruned, "failed": self.failed}
        return ", ".join(f"{n} {how}" for how, n in found.items() if n) or "none over"


def write_trials(study: Study) -> None:
    """``trials.csv``: ``number,state,<goals>,epochs,seconds,<dotted keys>``, one row a trial.

    A pruned trial's value is that of its last epoch.
    """
    names = [goal.name for goal in study.goals]
    keys = list(study.space)
    rows = []
    for trial in all_trials(study.trials):
        values: Sequence[float | None] = trial.values or [None] * len(names)
        params = values_of(study.space, trial.params)
        about = trial.user_attrs
        rows.append(
            [
                trial.number,
                state_of(trial),
                *values,
                about.get(EPOCHS),
                about.get(SECONDS),
                *(_cell(params.get(key)) for key in keys),
            ]
        )
    header = ["number", "state", *names, "epochs", "seconds", *keys]
    write_csv(study.folder.path / "trials.csv", header, rows)


def _cell(value: object) -> object:
    return dump(value).strip() if isinstance(value, (list, dict)) else value


def settings_of(study: Study, trial: FrozenTrial, name: str) -> Settings:
    """The settings of a full training, called ``name``, with what the trial proposed."""
    return best_settings(shareable(study.settings), values_of(study.space, trial.params), name)


def write_found(study: Study, trial: FrozenTrial) -> None:
    """``best_params.yaml`` and ``best_config.yaml``, which ``train -c`` takes."""
    pairs = zip(study.goals, trial.values, strict=True)
    told = ", ".join(f"{goal.name} {goal.shown(value)}" for goal, value in pairs)
    values = values_of(study.space, trial.params)
    about = f"trial {trial.number}, {told}"
    write_best(study.folder.path, shareable(study.settings), values, about=about)


def failures(trials: Sequence[FrozenTrial]) -> list[str]:
    """Why trials failed, each reason once, the most frequent first."""
    told = [str(t.user_attrs.get(ERROR, "unknown")) for t in own(trials) if state_of(t) == "failed"]
    unique = sorted(set(told), key=lambda text: (-told.count(text), told.index(text)))
    counts = {text: told.count(text) for text in unique}
    return [f"{text} ({n} trials)" if n > 1 else text for text, n in counts.items()]


def as_json(study: Study) -> dict[str, Any]:
    """For programs: the folder, how the trials ended, the best, and all that none beats."""
    every = all_trials(study.trials)
    tally, best = Tally.of(every), best_of(every, study.goals)
    return {
        "run": str(study.folder.path),
        "trials": {
            "finished": tally.finished,
            "pruned": tally.pruned,
            "failed": tally.failed,
            "taken_over": len(every) - len(own(every)),
        },
        "best": None if best is None else _told(study, best),
        "pareto": [_told(study, trial) for trial in pareto(study)],
    }


def _told(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    values: Mapping[str, float] = dict(
        zip((goal.name for goal in study.goals), trial.values, strict=True)
    )
    run = trial.user_attrs.get(RUN)
    return {
        "trial": trial.number,
        "run": str(study.folder.path / run) if run else trial.user_attrs.get(FROM),
        "values": values,
        "params": values_of(study.space, trial.params),
    }
