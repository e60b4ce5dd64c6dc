"""Which trial comes next: those that were interrupted first, then those that are queued, then new.

All that gives out trials happens while no other worker does, on this machine or another, so that
no trial is lost, none is run twice, and there are never more than were asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgtrain.errors import InterruptedRun
from imgtrain.tuning.methods import make_sampler
from imgtrain.tuning.presence import WORKER, Presence
from imgtrain.tuning.storage import alone, reached
from imgtrain.tuning.study import Study

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

POLL = 0.5
"""Seconds between two looks at what others do."""

MOST_STARTS = 3
"""A trial whose process died so often before an epoch was over is not tried again."""

FROM, STARTS, ERROR, CODE = "from", "starts", "error", "code"
"""Attributes of trials: where one that was not run here comes from, how often it was begun, why it
failed."""


class LostTrial(InterruptedRun):
    """Another worker took the trial over: this one seemed to be dead."""

    def __init__(self, number: int) -> None:
        super().__init__(2, f"trial {number} went on elsewhere")


@dataclass(slots=True)
class Queue:
    """Gives out the trials of a study to one worker.

    Args:
        study: The study.
        me: The worker.
        is_over: Whether no trial is to begin any more.
        stand_by: Called while others finish the last trials.
    """

    study: Study
    me: Presence
    is_over: Callable[[], bool] = lambda: False
    stand_by: Callable[[], None] = lambda: None

    def take(self) -> Trial | None:
        """The next trial; None once all that were asked for are done.

        While others still work on the last ones it waits: they might die.
        """
        study = self.study
        while True:
            if self.is_over():
                return None
            with (
                reached(study.place),
                alone(study.storage, study.place, study.trials.study_name),
            ):
                self._bring_back()
                trial = self._next()
            if trial is not None:
                return trial
            if not self._others_work():
                return None
            self.stand_by()
            time.sleep(POLL)

    def _next(self) -> Trial | None:
        from optuna.trial import TrialState

        every = all_trials(self.study.trials)
        waiting = [t for t in every if t.state == TrialState.WAITING]
        begun = [t for t in own(every) if t.state != TrialState.WAITING or STARTS in t.user_attrs]
        again = any(STARTS in t.user_attrs for t in waiting)
        tune = self.study.settings.tune
        if not again and (len(begun) >= tune.trials or (tune.method == "grid" and not waiting)):
            return None
        number = waiting[0].number if waiting else len(every)
        self.study.trials.sampler = make_sampler(tune.method, seed=tune.seed, number=number)
        trial = self.study.trials.ask()
        starts = int(trial.user_attrs.get(STARTS, 0))
        for key, value in (*self.me.marks.items(), (STARTS, starts + 1)):
            trial.set_user_attr(key, value)
        self.me.works_on(trial._trial_id)  # noqa: SLF001  # Optuna's storages know trials by it
        return trial

    def _bring_back(self) -> None:
        """Queue what dead workers left; what has ended its process too often has failed."""
        from optuna.trial import TrialState

        for trial in _running(self.study.trials):
            if not self.me.is_orphan(trial._trial_id, trial.user_attrs):  # noqa: SLF001  # as above
                continue
            if int(trial.user_attrs.get(STARTS, 0)) < MOST_STARTS:
                self._set(trial, TrialState.WAITING)
                continue
            reason = f"its process died {MOST_STARTS} times (out of memory, or a crash)"
            self.study.storage.set_trial_user_attr(trial._trial_id, ERROR, reason)  # noqa: SLF001  # as above
            self._set(trial, TrialState.FAIL)

    def _set(self, trial: FrozenTrial | Trial, state: optuna.trial.TrialState) -> None:
        self.study.storage.set_trial_state_values(trial._trial_id, state)  # noqa: SLF001  # as above

    def _others_work(self) -> bool:
        with reached(self.study.place):
            return bool(_running(self.study.trials))

    def give_back(self, trial: Trial) -> None:
        """The trial was interrupted: whoever comes next goes on with it."""
        from optuna.trial import TrialState

        self.me.works_on(None)
        with reached(self.study.place):
            if self.is_mine(trial):
                trial.set_user_attr(STARTS, max(0, int(trial.user_attrs.get(STARTS, 1)) - 1))
                self._set(trial, TrialState.WAITING)

    def is_mine(self, trial: Trial) -> bool:
        """Whether no other worker took the trial over."""
        now = self.study.storage.get_trial(trial._trial_id)  # noqa: SLF001  # as above
        return not now.state.is_finished() and now.user_attrs.get(WORKER) == self.me.token

    def tell(
        self,
        trial: Trial,
        attributes: Mapping[str, Any],
        *,
        values: Sequence[float] | None = None,
        state: optuna.trial.TrialState | None = None,
    ) -> None:
        """The trial is over."""
        self.me.works_on(None)
        with reached(self.study.place):
            if not self.is_mine(trial):
                raise LostTrial(trial.number)
            for key, value in attributes.items():
                trial.set_user_attr(key, value)
            self.study.trials.tell(trial, values, state)


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Every trial by number, as the database has it now."""
    return study.get_trials(deepcopy=False)


def own(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Those that belong to the study, not those that were taken over from others."""
    return [trial for trial in trials if FROM not in trial.user_attrs]


def _running(study: optuna.Study) -> list[FrozenTrial]:
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
