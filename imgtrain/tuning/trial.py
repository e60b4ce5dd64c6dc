"""One trial: an ordinary run with settings that the study proposes, told epoch by epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from imgtrain import console
from imgtrain.continuing import Choice, identity_keys, provenance_of
from imgtrain.crossval.folder import with_own_devices
from imgtrain.data.folds import Folds
from imgtrain.engine.world import World
from imgtrain.errors import (
    DiskError,
    ImgtrainError,
    InterruptedRun,
    MemoryLimitError,
    PrunedRun,
    SettingsError,
    is_out_of_memory,
)
from imgtrain.events import EpochEnded, Event, RunStarted
from imgtrain.files import read_json
from imgtrain.preparing import Clock, Ground
from imgtrain.provenance import shareable
from imgtrain.registry import blamed
from imgtrain.rundir import RunDir, identity_of
from imgtrain.settings.layers import flatten, from_flat
from imgtrain.settings.schema import Settings
from imgtrain.training import train_once
from imgtrain.tuning.folded import (
    cost_of,
    drop_checkpoints,
    score_trial,
    scores_so_far,
    trial_place,
)
from imgtrain.tuning.goals import values_of
from imgtrain.tuning.queue import CODE, ERROR, STARTS, LostTrial, Queue
from imgtrain.tuning.space import propose
from imgtrain.tuning.storage import StorageError, reached
from imgtrain.tuning.study import Study

if TYPE_CHECKING:
    from optuna.trial import Trial, TrialState

RUN, EPOCHS, SECONDS = "run", "epochs", "seconds"
"""Attributes of a trial: its folder's name, how many epochs it had, and how long it took."""


def trial_name(number: int) -> str:
    """``trial_0007``."""
    return f"trial_{number:04d}"


def trial_settings(study: Study, number: int, proposed: Mapping[str, Any]) -> Settings:
    """The settings of one trial.

    Raises:
        SettingsError: If what is proposed contradicts itself.
    """
    own = {
        "train.epochs": study.settings.tune.epochs,
        "train.checkpoint_freq": 0,
        "run.output": str(study.folder.path),
        "run.name": trial_name(number),
        "track.uri": study.settings.track.uri,  # with its password
    }
    return from_flat({**flatten(shareable(study.settings)), **proposed, **own})


@dataclass(slots=True)
class Telling:
    """Hears a trial's epochs: reports each, and ends the run once others do better."""

    study: Study
    queue: Queue
    trial: Trial
    told: Callable[[], None]
    run: RunDir | None = None
    done: Sequence[float] = ()
    epochs: int = 0
    seconds: float = 0.0
    begun: float = field(default_factory=time.monotonic)

    def __call__(self, event: Event) -> None:
        """One event of the run.

        Raises:
            PrunedRun: If the trial is to end here.
        """
        if isinstance(event, RunStarted):
            if self.run is not None and self.study.settings.tune.objective == "cv":
                self.done = scores_so_far(self.run, self.study.goals[0].name)
            self.seconds += sum(float(row.get("seconds") or 0) for row in event.history)
            for row in event.history:
                self._report(row)
            if event.history:  # it was stopped between its last epoch and the verdict on it
                self._judge(len(event.history), event.epochs)
        if isinstance(event, EpochEnded):
            self._report(event.row)
            self._gets_on()
            self._judge(event.epoch, event.epochs)

    def took(self, run: RunDir) -> dict[str, Any]:
        """What the trial cost, by earlier workers as well."""
        epochs, seconds = cost_of(run.path)
        passed = self.seconds + time.monotonic() - self.begun
        return {EPOCHS: max(self.epochs, epochs), SECONDS: round(max(passed, seconds), 3)}

    def _gets_on(self) -> None:
        with reached(self.study.place):
            if int(self.trial.user_attrs.get(STARTS, 0)) > 1 and self.queue.is_mine(self.trial):
                self.trial.set_user_attr(STARTS, 1)

    @property
    def _epochs_before(self) -> int:
        """Those of the folds that are done."""
        return len(self.done) * self.study.settings.tune.epochs

    def _report(self, row: Mapping[str, Any]) -> None:
        self.epochs = self._epochs_before + int(row["epoch"])
        value = row.get(self.study.goals[0].name)
        if value is None or len(self.study.goals) > 1:
            return
        with reached(self.study.place):
            known = self.study.storage.get_trial(self.trial._trial_id)  # noqa: SLF001  # its only name
            if self.epochs - 1 not in known.intermediate_values:
                self.trial.report(fmean([*self.done, float(value)]), self.epochs - 1)

    def _judge(self, epoch: int, epochs: int) -> None:
        with reached(self.study.place):
            if not self.queue.is_mine(self.trial):
                raise LostTrial(self.trial.number)
            ends = len(self.study.goals) == 1 and epoch < epochs and self.trial.should_prune()
        self.told()
        if ends:
            raise PrunedRun(f"trial {self.trial.number} fell behind in epoch {epoch}")


@dataclass(frozen=True, slots=True)
class Bench:
    """Where a worker runs its trials.

    Args:
        study: The study.
        queue: Gives out the trials.
        ground: The pictures.
        origins: Who set what.
        hardware: Settings that the worker's own share of the machine decides.
        told: Called whenever there is something new to show.
        folds: With ``--objective cv``: which fold validates which picture.
    """

    study: Study
    queue: Queue
    ground: Ground
    origins: Mapping[str, str]
    hardware: Mapping[str, Any] = field(default_factory=dict)
    told: Callable[[], None] = lambda: None
    folds: Folds | None = None

    def run(self, trial: Trial) -> ImgtrainError | None:
        """Run a trial to its end, and tell the study how it ended.

        Returns:
            What it failed of, if it did.

        Raises:
            InterruptedRun: If a signal came; the trial waits for whoever comes next.
            DiskError: If the disk is full: no other trial would do better.
        """
        telling = Telling(self.study, self.queue, trial, self.told)
        try:
            return self._told(trial, telling)
        except LostTrial:
            console.warn(f"trial {trial.number} went on elsewhere: this worker seemed to be dead")
            return None
        except (InterruptedRun, KeyboardInterrupt, DiskError, StorageError):
            self._let_go(trial)
            raise
        finally:
            console.attach_log(self.study.folder.log)

    def _told(self, trial: Trial, telling: Telling) -> ImgtrainError | None:
        """Train, and tell the study how that ended."""
        from optuna.trial import TrialState

        try:
            values = self._trained(trial, telling)
        except PrunedRun:
            self._close(trial, telling, state=TrialState.PRUNED)
        except (InterruptedRun, DiskError, StorageError):
            raise
        except Exception as error:
            known = _as_trials_own(error)
            if known is None:
                self._let_go(trial)
                raise
            told = {ERROR: known.message, CODE: known.exit_code}
            self._close(trial, telling, state=TrialState.FAIL, why=told)
            return known
        else:
            self._close(trial, telling, values=values)
        return None

    def _let_go(self, trial: Trial) -> None:
        try:
            self.queue.give_back(trial)
        except StorageError:
            return  # found again as one whose worker is gone

    def _close(
        self,
        trial: Trial,
        telling: Telling,
        *,
        values: Sequence[float] | None = None,
        state: TrialState | None = None,
        why: Mapping[str, Any] | None = None,
    ) -> None:
        run = telling.run or RunDir(self.study.folder.path / trial_name(trial.number))
        about = {RUN: run.name, **telling.took(run), **(why or {})}
        self.queue.tell(trial, about, values=values, state=state)
        drop_checkpoints([run.path])
        self.told()

    def _trained(self, trial: Trial, telling: Telling) -> list[float]:
        study = self.study
        with reached(study.place):
            proposed = propose(study.space, trial)
        self.told()
        settings = trial_settings(study, trial.number, {**proposed, **self.hardware})
        name = trial_name(trial.number)
        if study.settings.tune.objective == "cv":
            return [self._folded(settings, name, telling)]
        choice = self._choice(settings, name)
        telling.run = choice.run
        if choice.run is not None and choice.run.status().get("state") == "pruned":
            raise PrunedRun(f"trial {trial.number} had ended")
        if choice.run is not None and choice.run.is_finished:
            metrics = read_json(choice.run.path / "metrics.json")
        else:
            with console.hushed():
                result = train_once(
                    choice,
                    replace(self.ground, hears=(telling,), draws=False),
                    asked=settings,
                    name=name,
                    world=World(),
                    origins={**self.origins, **dict.fromkeys(proposed, f"trial {trial.number}")},
                    clock=Clock(),
                )
            telling.run, metrics = RunDir(result.run), result.metrics
        assert telling.run is not None
        return values_of(telling.run.path, metrics, study.goals, choice.settings)

    def _folded(self, settings: Settings, name: str, telling: Telling) -> float:
        """The mean over folds."""
        assert self.folds is not None
        fingerprint = self.ground.index.fingerprint
        telling.run = trial_place(self.study.folder.path, name, settings, fingerprint)
        if telling.run.status().get("state") == "pruned":
            raise PrunedRun(f"{name} had ended")
        with console.hushed():
            return score_trial(
                telling.run,
                settings,
                self.ground,
                self.folds,
                origins=self.origins,
                hears=(telling,),
            )

    def _choice(self, settings: Settings, name: str) -> Choice:
        """The trial's run, if an earlier worker began it."""
        run = RunDir(self.study.folder.path / name)
        if not run.status():
            return Choice(None, settings)
        known = provenance_of(run).get("identity")
        if known is None:
            return Choice(run, settings)  # it ended before anything was recorded
        # devices and threads are the share of the worker that began it
        share = {k: v for k, v in _asked(run).items() if k.startswith("hardware.")}
        keys = identity_keys(settings) | share
        if identity_of(keys, self.ground.index.fingerprint, name) in known:
            return Choice(run, with_own_devices(run, settings))
        return Choice(None, settings)


def _asked(run: RunDir) -> Mapping[str, Any]:
    found = provenance_of(run).get("asked")
    return found if isinstance(found, dict) else {}


def _as_trials_own(error: Exception) -> ImgtrainError | None:
    """What one trial can fail of while others do well; None for a bug."""
    if isinstance(error, ImgtrainError):
        return error
    if is_out_of_memory(error):
        return MemoryLimitError("out of memory")
    found = blamed(error)
    return None if found is None else SettingsError(f"plugin {found[0]} failed: {found[1]}")
