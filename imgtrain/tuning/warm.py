"""What earlier runs and studies know, for a study that begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgtrain import console
from imgtrain.continuing import provenance_of, read_saved
from imgtrain.errors import RunError
from imgtrain.rundir import RunDir, find_run
from imgtrain.settings.layers import flatten
from imgtrain.tuning.queue import FROM, all_trials
from imgtrain.tuning.results import best_of, state_of
from imgtrain.tuning.space import params_of, propose
from imgtrain.tuning.storage import connected, file_place, reached
from imgtrain.tuning.study import Study

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_COMPARABLE = ("data", "tune.objective", "tune.epochs", "train.monitor")
"""What two studies share if the numbers of one mean something in the other."""

_TAKEN = "taken"
"""Attribute of a study: where it began from."""

_BEST = 5
"""Trials of a study that are tried again where its numbers mean nothing here."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run or a study that there is something to learn from."""

    path: Path
    trials: tuple[FrozenTrial, ...] | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()


def find_earlier(names: Sequence[str], output: Path) -> list[Earlier]:
    """The runs and studies of ``--from``, before any work.

    Raises:
        RunError: If one of them is not there, or its trials are not.
    """
    found = []
    for name in names:
        run = find_run(name, output)
        if run.status().get("kind") != "tune":
            read_saved(run)
            found.append(Earlier(run.path))
            continue
        if not (run.path / "study.db").exists():
            raise RunError(
                f"the trials of {run.path} are not in it: it was made with --storage",
                "name its best trials instead, as in --from "
                f"{run.path / 'trial_0000'} (trials.csv tells which)",
            )
        found.append(_studied(run))
    return found


def _studied(run: RunDir) -> Earlier:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    place = file_place(run.path / "study.db")
    storage = connected(place)
    with reached(place):
        names = optuna.get_all_study_names(storage)
        if not names:
            raise RunError(f"{place.shown} holds no study", "leave it out")
        study = optuna.load_study(study_name=names[0], storage=storage)
        trials, asked = tuple(all_trials(study)), study.user_attrs.get("asked", {})
        names = study.metric_names or []
    storage.engine.dispose()
    return Earlier(run.path, trials, asked, tuple(names))


def warm_up(study: Study, earlier: Sequence[Earlier]) -> None:
    """Take over finished trials that are comparable; queue settings of the others. Once."""
    taken = set(study.trials.user_attrs.get(_TAKEN, []))
    for each in earlier:
        name = str(each.path.absolute())
        if name in taken:
            continue
        if each.path.resolve() == study.folder.path.resolve():
            console.say(f"--from {each.path} is this study: its trials are there already")
            continue
        with reached(study.place):
            told = _from_run(study, each.path) if each.trials is None else _from_study(study, each)
            taken.add(name)
            study.trials.set_user_attr(_TAKEN, sorted(taken))
        console.say(f"from {each.path}: {told}")


def _from_run(study: Study, path: Path) -> str:
    run = RunDir(path)
    for flat in (flatten(read_saved(run)), provenance_of(run).get("asked", {})):
        params = params_of(study.space, flat)
        if params is not None:
            is_new = _queued(study, params, str(path))
            return "its settings are tried first" if is_new else "its settings are there already"
    return "its settings are outside of the space"


def _from_study(study: Study, earlier: Earlier) -> str:
    """How much was taken of a study."""
    every, asked = earlier.trials or (), earlier.asked
    mine = study.trials.user_attrs.get("asked", {})
    is_comparable = all(asked.get(key) == mine.get(key) for key in _COMPARABLE)
    if is_comparable and earlier.names == tuple(goal.name for goal in study.goals):
        over = [t for t in every if state_of(t) in ("finished", "pruned")]
        count = sum(_added(study, asked, trial, earlier.path) for trial in over)
        return f"{count} of {len(over)} trials fit the space and are taken over"
    best: list[FrozenTrial] = []
    rest = list(every)
    while len(best) < _BEST and (found := best_of(rest, study.goals)) is not None:
        best.append(found)
        rest.remove(found)
    where = str(earlier.path)
    fit = [params_of(study.space, {**asked, **trial.params}) for trial in best]
    count = sum(_queued(study, params, where) for params in fit if params is not None)
    return (
        "judged otherwise or on other pictures: the settings of "
        f"{count} of its {len(best)} best trials are tried first"
    )


def _queued(study: Study, params: dict[str, Any], where: str) -> bool:
    """Whether they had to be queued: no trial has them yet."""
    for trial in all_trials(study.trials):
        if params in (trial.params, trial.system_attrs.get("fixed_params")):
            return False
    study.trials.enqueue_trial(params, user_attrs={"like": where})
    return True


def _added(study: Study, asked: Mapping[str, Any], trial: FrozenTrial, path: Path) -> bool:
    """The trial with its numbers, as if it had been one of this study's."""
    import optuna

    params = params_of(study.space, {**asked, **trial.params})
    if params is None:
        return False
    where = str(path / str(trial.user_attrs.get("run", "")))
    known = all_trials(study.trials)
    if any((t.user_attrs.get(FROM), t.params) == (where, params) for t in known):
        return True  # by a process that died before it had all
    fixed = optuna.trial.FixedTrial(params)
    propose(study.space, fixed)
    study.trials.add_trial(
        optuna.trial.create_trial(
            state=trial.state,
            params=params,
            distributions=fixed.distributions,
            values=trial.values,
            intermediate_values=trial.intermediate_values,
            user_attrs={FROM: where},
        )
    )
    return True
