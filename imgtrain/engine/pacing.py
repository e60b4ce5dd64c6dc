"""How many steps fit into what is left of a budget. Pure arithmetic, fed with measured times.

A training has a schedule of ``total`` steps; the budget decides in how many steps it is walked.
Each time a speed was measured, the way from the present place to the schedule's end is spread
evenly over the steps that still fit: the learning rate bends, and it always comes to its end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from imgtrain.engine.course import Course
from imgtrain.engine.shapes import Switches, at_step

CHECKS = 0.07
"""Largest share of the time for validation and saving, but for what comes at the end."""

_SHORTEST, _SHARE = 0.25, 0.02
"""Seconds between two plans, and as a share of what is left."""

_MEMORY = 20.0
"""Seconds over which speeds are averaged."""

_SAME = 0.003
"""A plan that would differ by a smaller share of the steps is left as it is."""

_TRIED = 3
"""Steps that follow the first at least: it holds much that is done once."""

_UNKNOWN = 1000
"""Steps planned before the first is measured."""


@dataclass(slots=True)
class Rate:
    """Seconds per step of one size; older windows count less and less.

    The first window holds what only the first steps cost, and what was measured while files were
    decoded for the first time holds that: both go when others come.
    """

    steps: float = 0.0
    seconds: float = 0.0
    waited: float = 0.0
    windows: int = 0
    cold: bool = True

    def add(self, steps: int, seconds: float, waited: float, *, cold: bool) -> None:
        """Another window of ``steps``, in ``waited`` of whose seconds no picture was ready."""
        if self.windows == 1 or (self.cold and not cold):
            self.steps = self.seconds = self.waited = 0.0
        stays = math.exp(-seconds / _MEMORY)
        self.steps = self.steps * stays + steps
        self.seconds = self.seconds * stays + seconds
        self.waited = self.waited * stays + waited
        self.windows += 1
        self.cold = cold

    @property
    def warm(self) -> float:
        """Seconds per step once all files are decoded."""
        return (self.seconds - (self.waited if self.cold else 0.0)) / self.steps

    @property
    def extra(self) -> float:
        """What a step takes longer until then."""
        return self.waited / self.steps if self.cold else 0.0


@dataclass(slots=True)
class Costs:
    """Seconds that are no training: guesses until they were measured.

    Args:
        check: Of one validation.
        save: Of one checkpoint.
        end: From the last checkpoint until the process is gone: scoring, report, exit.
    """

    check: float
    save: float
    end: float


@dataclass(slots=True, kw_only=True)
class Pacer:
    """Decides how many steps there are, and when to validate.

    Args:
        deadline: When the process is to be gone; times are seconds of any one clock.
        costs: What else takes time.
        total: Steps of the schedule.
        per_epoch: Steps of an epoch.
        shares: Sides of the pictures, and which share of the schedule each has; empty where none
            changes.
        checked_at: When the last validation ended, or training began.
    """

    deadline: float
    costs: Costs
    total: int
    per_epoch: int
    shares: Sequence[tuple[int, float]] = ()
    checked_at: float = 0.0
    planned_at: float = -math.inf
    rates: dict[int, Rate] = field(default_factory=dict)

    def begin(self) -> Course:
        """Before anything is measured: the schedule's beginning, until more is known."""
        first = ((0, self.shares[0][0]),) if self.shares else ()
        return Course(max(self.total, _UNKNOWN), ((0, 0.0, 0.0),), first)

    @property
    def train_until(self) -> float:
        """When the last step has to be done."""
        return self.deadline - self.costs.check - self.costs.save - self.costs.end

    def heard(
        self, side: int, steps: int, seconds: float, *, waited: float = 0.0, cold: bool = False
    ) -> None:
        """So many steps with pictures of ``side`` pixels took so many seconds."""
        self.rates.setdefault(side, Rate()).add(steps, seconds, min(waited, seconds), cold=cold)

    def is_due(self, course: Course, step: int, now: float) -> bool:
        """Whether to plan anew at this step boundary."""
        if not self.rates or step >= course.steps:
            return False
        left = self.train_until - now
        late = course.steps - step > 1 and left < self._step_seconds(self._side(course, step))
        return late or now - self.planned_at >= max(_SHORTEST, _SHARE * left)

    def replanned(self, course: Course, step: int, now: float, *, drawn: int = 0) -> Course:
        """The course from update number ``step`` on; at least that one is done.

        Args:
            course: The one so far.
            step: The next update.
            now: The time.
            drawn: Steps from ``step`` on whose pictures are already being made; they keep sizes.
        """
        self.planned_at = now
        count = self.steps_left(course.position(step), step, now)
        before = course.steps - step
        if course.pace[-1][2] and abs(count - before) <= _SAME * before:
            return course
        here, last = course.position(step), self.total - self.total / (step + count)
        if count == 1:
            leg = (step, max(here, last), 0.0)
        else:
            leg = (step, here, max(0.0, (last - here) / (count - 1)))
        pace = (*(leg for leg in course.pace if leg[0] < step), leg)
        found = replace(course, steps=step + count, pace=pace)
        return replace(found, sizes=self._sizes(found, course.sizes, step + drawn))

    def steps_left(self, position: float, step: int, now: float) -> int:
        """How many steps still fit, one at least."""
        left, mean = self.train_until - now, self._mean_seconds(position)
        cold = self.per_epoch - step if step < self.per_epoch else 0
        extra = max((rate.extra for rate in self.rates.values()), default=0.0)
        left -= extra * min(cold, max(0.0, left) / (mean + extra))
        ends = (step + max(1, int(left / mean)) - 1) // self.per_epoch - step // self.per_epoch
        pause = self.costs.check + self.costs.save
        left -= min(CHECKS * max(0.0, left), max(0, ends) * pause)
        first = left > 0 and all(rate.windows == 1 for rate in self.rates.values())
        return max(_TRIED if first else 1, int(left / mean))

    def wants_check(self, now: float) -> bool:
        """Whether an epoch that ends now is validated, although it is not the last."""
        return now - self.checked_at >= (self.costs.check + self.costs.save) / CHECKS

    def _mean_seconds(self, position: float) -> float:
        """Seconds per step, over what is left of the schedule."""
        if not self.shares:
            return self._step_seconds(next(iter(self.rates)))
        done = min(position / self.total, 1 - 1e-9)
        ends = [
            math.fsum(share for _, share in self.shares[: k + 1]) for k in range(len(self.shares))
        ]
        ends[-1] = 1.0
        starts = [0.0, *ends[:-1]]
        weights = [max(0.0, b - max(a, done)) for a, b in zip(starts, ends, strict=True)]
        seconds = [self._step_seconds(side) for side, _ in self.shares]
        products = (w * s for w, s in zip(weights, seconds, strict=True))
        return math.fsum(products) / math.fsum(weights)

    def _step_seconds(self, side: int) -> float:
        """Measured, else in proportion to the pixels of the nearest size that was."""
        near = min(self.rates, key=lambda known: abs(known - side))
        scale = (side / near) ** 2 if near else 1.0
        return max(1e-6, self.rates[near].warm * scale)

    def _side(self, course: Course, step: int) -> int:
        return at_step(course.sizes, step) if course.sizes else next(iter(self.rates))

    def _sizes(self, course: Course, before: Switches, free: int) -> Switches:
        """Sizes by their shares of the schedule; what comes before step ``free`` stays."""
        if not self.shares or free >= course.steps:
            return before
        found = {first: side for first, side in before if first < free}
        begun = 0.0
        for side, share in self.shares:
            first = _first_at(course, begun * self.total)
            found[max(free, min(first, course.steps - 1))] = side
            begun += share
        kept: list[tuple[int, int]] = []
        for first, side in sorted(found.items()):
            if not kept or kept[-1][1] != side:
                kept.append((first, side))
        return tuple(kept)


def _first_at(course: Course, position: float) -> int:
    """The first step of the last leg that is as far as ``position``."""
    first, start, each = course.pace[-1]
    if start >= position:
        return first
    return first + math.ceil((position - start) / each) if each else course.steps
