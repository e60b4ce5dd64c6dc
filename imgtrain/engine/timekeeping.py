"""A training that keeps to a budget: it measures, plans, and agrees with the other processes."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace

from imgtrain import console
from imgtrain.engine.course import Course
from imgtrain.engine.infer import probabilities
from imgtrain.engine.pacing import Costs, Pacer
from imgtrain.engine.state import Timekeeper, TrainState
from imgtrain.errors import SettingsError
from imgtrain.loading.loader import AHEAD, Batch
from imgtrain.loading.samplewise import scoring_view
from imgtrain.loading.sampling import scoring_shares

_PROBE = 16
"""Pictures that are scored beforehand, to know what scoring takes."""

_TIMES = 4
"""So often: the first time much is done once, and others may need the machine meanwhile."""

_WRITTEN = 2e8
"""Bytes of a checkpoint written in a second, until one was."""


def slack(budget: float) -> float:
    """Seconds by which a training may miss its budget: a twentieth, or five."""
    return max(5.0, 0.05 * budget)


def too_short(budget: float, needed: float, what: str) -> SettingsError:
    """Why a budget cannot be kept, and which one could."""
    return SettingsError(
        f"--budget {budget:.0f}s is too short: {what}",
        f"give at least {math.ceil(needed + 1)}s, and more to learn something",
    )


@dataclass(kw_only=True)
class Keeper(Timekeeper):
    """What one process knows of its time. The first one's knowledge counts.

    Args:
        budget: Seconds from the beginning of the command to its exit.
        begun: When that was, as ``time.monotonic()`` tells time.
        ending: Seconds from the last score to the exit: files, plots, the report.
        scored: Pictures of val and test, times the views of each.
        pacer: The arithmetic.
    """

    budget: float
    begun: float
    ending: float
    scored: int
    pacer: Pacer
    before: float = 0.0
    first_epoch: int = 1
    window: tuple[int, float] = (0, 0.0)
    waited: float = 0.0
    measured: set[str] = field(default_factory=set)

    def begin(self, state: TrainState) -> None:
        """Before the first step of this process: what is left, and what the end will take.

        Raises:
            SettingsError: If the budget of a new training is used up already.
        """
        progress, pacer = state.progress, self.pacer
        self.before, self.first_epoch = progress.used, progress.epoch
        pacer.deadline = self.begun + self.budget - progress.used
        if progress.course is None:
            self._follow(state, pacer.begin())
        else:
            self._follow(state, Course.parse(progress.course))
        each = seconds_to_score(state) / state.world.size
        weights = sum(p.numel() * p.element_size() for p in state.model.parameters())
        pacer.costs = Costs(len(state.val) * each, 0.05 + 5 * weights / _WRITTEN, 0.0)
        self._expect(each)
        pacer.checked_at = time.monotonic()
        self._refuse_if_late(state, step_seconds=0.0)
        self._restart(state)

    def _restart(self, state: TrainState) -> None:
        """Measure steps from here."""
        self.window, self.waited = (state.global_step, time.monotonic()), 0.0

    def batches(self, state: TrainState) -> Generator[Batch]:
        """The micro-batches, and how long each was waited for."""
        self._restart(state)
        return self._timed(state.training_batches())

    def _timed(self, batches: Generator[Batch]) -> Generator[Batch]:
        with contextlib.closing(batches):
            while True:
                since = time.monotonic()
                batch = next(batches, None)
                self.waited += time.monotonic() - since
                if batch is None:
                    return
                yield batch

    def looked(self, state: TrainState) -> None:
        """The device was waited for: the steps since the last time took what the clock says."""
        step, since = self.window
        done, seconds = state.global_step - step, time.monotonic() - since
        if done > 0:
            side = state.plan.size_at(state.global_step - 1) or 0
            cold = state.progress.epoch == self.first_epoch
            self.pacer.heard(side, done, seconds, waited=self.waited, cold=cold)
        self._restart(state)

    def is_due(self, state: TrainState) -> bool:
        """Whether all are to plan anew; the first process decides."""
        course = state.plan.course
        assert course is not None
        now = time.monotonic()
        return state.world.is_first and self.pacer.is_due(course, state.global_step, now)

    def plan(self, state: TrainState) -> None:
        """All processes take the first one's new course.

        Raises:
            SettingsError: If not even one step fits into the budget of a new training.
        """
        course, step = state.plan.course, state.global_step
        assert course is not None
        if "plan" not in self.measured:
            self.measured.add("plan")
            rates = self.pacer.rates.values()
            self._refuse_if_late(state, min((rate.warm for rate in rates), default=0.0))
        if state.world.is_first:
            now, pacer = time.monotonic(), self.pacer
            course = pacer.replanned(course, step, now, drawn=AHEAD + 2)
            console.detail(
                f"budget: {pacer.train_until - now:.1f} s for {course.steps - step} more steps, "
                f"then validation {pacer.costs.check:.1f} s, checkpoint {pacer.costs.save:.1f} s, "
                f"scoring and report {pacer.costs.end:.1f} s"
            )
        self._follow(state, state.world.gather(course)[0])

    def wants_check(self, state: TrainState) -> bool:
        """Whether all validate and save after this epoch; the first process decides."""
        if super().wants_check(state):
            return True
        wants = state.world.is_first and self.pacer.wants_check(time.monotonic())
        return bool(state.world.largest(int(wants)))

    def checked(self, state: TrainState, since: float) -> None:
        """All validated."""
        epoch, course = state.progress.epoch, state.plan.course
        assert course is not None
        if epoch not in course.checked:
            self._follow(state, replace(course, checked=(*course.checked, epoch)))
        if len(state.val):
            self.pacer.costs.check = time.monotonic() - since
            if state.compute.precision == "fp32":
                self._expect(self.pacer.costs.check / len(state.val))

    def saves(self, state: TrainState) -> None:
        """Before a checkpoint: what of the budget is used."""
        state.progress.used = self.before + time.monotonic() - self.begun

    def saved(self, state: TrainState, since: float) -> None:
        """After a checkpoint."""
        self.pacer.costs.save = time.monotonic() - since
        self.pacer.checked_at = time.monotonic()
        self._restart(state)

    def _follow(self, state: TrainState, course: Course) -> None:
        state.plan = replace(state.plan, course=course)
        state.progress.course = str(course)

    def _expect(self, each: float) -> None:
        """What comes after the training, at so many seconds a picture."""
        self.pacer.costs.end = self.ending + self.scored * each

    def _refuse_if_late(self, state: TrainState, step_seconds: float) -> None:
        if state.world.largest(int(self.before > 0)):
            return  # what was begun is brought to an end
        spent, costs = time.monotonic() - self.begun, self.pacer.costs
        after = costs.check + costs.save + costs.end
        needed = spent + step_seconds + after
        late = state.world.is_first and needed > self.budget + slack(self.budget)
        if state.world.largest(int(late)):
            what = f"{spent:.0f} s are gone, and scoring and the report will take {after:.0f} s"
            raise too_short(self.budget, needed, what)


def seconds_to_score(state: TrainState) -> float:
    """Seconds that a picture takes in fp32: the fastest time of a few, but for the first."""
    part = state.val if len(state.val) else state.train.train
    exact = replace(state.compute, precision="fp32")
    view, found = scoring_view(state.loader.pictures.preprocess), list[float]()
    for _ in range(_TIMES):
        since = time.monotonic()
        shares = scoring_shares(part[:_PROBE], _PROBE, rank=0, world_size=1)
        batches = state.loader.batches(shares, view)
        probabilities(state.scored, batches, state.normalise, exact)
        found.append(time.monotonic() - since)
    return min(found[1:]) / min(len(part), _PROBE)
